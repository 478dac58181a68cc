//! Lists of a store that is damaged: they give what can be read, and say what cannot.

use std::fs;
use std::path::{Path, PathBuf};

use ostracon::{ErrorKind, Kind, RetentionLimits, RetentionPolicy, RetentionRule, Store};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::recover::scene::change;
use super::support::{crash, scratch};

fn segments(root: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(root.join("events")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Three segments of ten events each; the end of this one is torn off.
fn torn(which: usize) -> tempfile::TempDir {
    let folder = scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..30 {
        store.record(crash(n)).unwrap();
        if n % 10 == 9 {
            store.flush().unwrap();
        }
    }
    store.close().unwrap();
    let mut paths = segments(&root);
    paths.sort_by_key(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name.split('-').nth(1).unwrap().parse::<u64>().unwrap()
    });
    change(&paths[which], |bytes| bytes.truncate(bytes.len() - 9));
    folder
}

fn listed(root: &Path, policy: RetentionPolicy, limit: Option<usize>) -> (Vec<String>, usize) {
    let store = Store::builder().access(ostracon::Access::Read).retention(policy).open(root).unwrap();
    let listed = store.list_readable(Kind::Event, limit, None).unwrap();
    (listed.facts.iter().map(|found| found.fact.to_line()).collect(), listed.damage.len())
}

fn lines(from: u64) -> Vec<String> {
    (from..30).map(|n| crash(n).to_line()).collect()
}

#[test]
fn a_limit_that_cuts_through_a_torn_segment_keeps_all_of_it() {
    let limits = || RetentionLimits::new();
    let of_store = |limits| RetentionPolicy::new().store(limits);
    let sound = torn(0);
    assert_eq!(listed(&sound.path().join("facts"), RetentionPolicy::new(), None), (lines(0), 1));
    for which in 0..3 {
        let folder = torn(which);
        let root = folder.path().join("facts");
        // The cut is in the first segment.
        let (facts, damage) = listed(&root, of_store(limits().max_records(25)), None);
        let expected = if which == 0 { lines(0) } else { lines(5) };
        assert_eq!((facts, damage), (expected, 1), "{which}");
        let (facts, _) = listed(&root, of_store(limits().max_records(25)), Some(7));
        assert_eq!(facts, lines(23), "{which}");
        // Of bytes, and of a rule with a condition, nobody knows without looking: what is kept is not less.
        let (facts, _) = listed(&root, of_store(limits().max_bytes(2000)), None);
        assert!(facts.len() >= 5 && facts.ends_with(&lines(28)), "{which}: {}", facts.len());
        let rule = RetentionRule::new("crashes", limits().max_records(25))
            .kind(Kind::Event)
            .predicate("event_type = 'ActorCrashed'");
        let (facts, damage) = listed(&root, RetentionPolicy::new().rule(rule), None);
        assert!(facts.len() >= 25 && facts.ends_with(&lines(5)) && damage == 1, "{which}: {}", facts.len());
        // Who asks for all of them is told that some may be missing.
        let store =
            Store::builder().access(ostracon::Access::Read).retention(of_store(limits().max_records(25)));
        let error = store.open(&root).unwrap().list(Kind::Event, None, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
    }
}

#[test]
fn one_bad_page_hides_no_more_than_its_own_rows() {
    const FACTS: usize = 45_000;
    let folder = scratch();
    let root = folder.path().join("facts");
    let store = Store::builder().flush_rows(1_000_000).open(&root).unwrap();
    for thousand in 0..FACTS as u64 / 1000 {
        store.record_all((thousand * 1000..(thousand + 1) * 1000).map(crash)).unwrap();
    }
    store.close().unwrap();
    let [segment] = &segments(&root)[..] else { panic!("one segment") };
    let reader = SerializedFileReader::new(fs::File::open(segment).unwrap()).unwrap();
    let group = reader.metadata().row_group(0);
    let payload = group.columns().iter().find(|column| column.column_path().string() == "payload").unwrap();
    let (begin, length) = payload.byte_range();
    drop(reader);
    // In one of its later pages: the first has the dictionary of others.
    let at = (begin + length / 2) as usize;
    change(segment, |bytes| bytes[at..at + 200].fill(0x5a));

    let store = Store::builder().access(ostracon::Access::Read).open(&root).unwrap();
    let newest = store.list_readable(Kind::Event, Some(10), None).unwrap();
    let expected: Vec<_> = (FACTS as u64 - 10..FACTS as u64).map(|n| crash(n).to_line()).collect();
    assert_eq!(newest.facts.iter().map(|found| found.fact.to_line()).collect::<Vec<_>>(), expected);
    let all = store.list_readable(Kind::Event, None, None).unwrap();
    assert!(all.facts.len() >= FACTS / 3 && all.facts.len() < FACTS, "{}", all.facts.len());
    assert_eq!(all.facts.len() as u64 + all.passed_over, FACTS as u64);
    assert_eq!(all.damage.len(), 1);
    assert_eq!(store.list(Kind::Event, None, None).unwrap_err().kind(), ErrorKind::Damaged);
}

/// A process that had another store open has put its commit here.
#[test]
fn a_commit_of_another_store_keeps_nobody_from_recording() {
    let folder = scratch();
    let (root, other) = (folder.path().join("facts"), folder.path().join("other"));
    for (path, flushes) in [(&root, 3), (&other, 6)] {
        let store = Store::open(path).unwrap();
        for n in 0..flushes {
            store.record(crash(n)).unwrap();
            store.flush().unwrap();
        }
        store.close().unwrap();
    }
    let name = format!("ledger/{:020}.json", 4);
    fs::copy(other.join(&name), root.join(&name)).unwrap();

    let store = Store::open(&root).unwrap();
    store.record(crash(100)).unwrap();
    let listed = store.list_readable(Kind::Event, None, None).unwrap();
    assert_eq!(listed.facts.len(), 4);
    assert!(listed.damage.iter().any(|damage| damage.to_string().contains("belongs to another store")));
    assert!(store.list(Kind::Event, None, None).is_err());
    drop(store);
    let config = ostracon::RecoveryConfig::new(ostracon::RecoveryMode::Repair);
    let report = ostracon::recover(&root, config).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert!(!root.join(&name).exists());
    assert!(report.quarantined_files.iter().any(|path| path.ends_with(&name)), "{report:#?}");
    Store::open(&root).unwrap().close().unwrap();
    assert_eq!(super::support::lines_at(&root).len(), 4);
}
