//! What a rebuilt ledger must not forget: who is reading, and what was removed.

use std::fs;
use std::path::Path;

use ostracon::{
    CompactOptions, Cursor, ErrorKind, Kind, RecoveryConfig, RecoveryMode, RetentionLimits, RetentionPolicy,
    Store, recover, verify,
};
use serde_json::Value;

use super::scene::flip;
use crate::support;

/// Two writers, twenty facts each in four flushes.
fn written(root: &Path) {
    let writers = [Store::open(root).unwrap(), Store::open(root).unwrap()];
    for n in 0..40 {
        writers[n as usize % 2].record(support::any_fact(n)).unwrap();
        if n % 10 > 7 {
            writers[n as usize % 2].flush().unwrap();
        }
    }
    writers.iter().for_each(|writer| writer.close().unwrap());
}

fn compact(root: &Path) -> ostracon::CompactReport {
    Store::builder()
        .access(ostracon::Access::Maintain)
        .open(root)
        .unwrap()
        .compact(CompactOptions::new())
        .unwrap()
}

/// A bit of the first commit flips, and of its copy: the chain holds no more.
fn break_ledger(root: &Path) {
    support::both_files(root, 0).iter().for_each(|path| flip(path, 500));
}

fn rebuild(root: &Path) -> ostracon::Result<ostracon::RecoveryReport> {
    recover(root, RecoveryConfig::new(RecoveryMode::Rebuild))
}

/// The newest commit, as it is on disk.
fn newest_commit(root: &Path) -> Value {
    let mut commits: Vec<_> =
        fs::read_dir(root.join("ledger")).unwrap().map(|entry| entry.unwrap().path()).collect();
    commits.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    commits.sort();
    serde_json::from_slice(&fs::read(commits.last().unwrap()).unwrap()).unwrap()
}

fn segments(root: &Path) -> usize {
    let of = |kind: Kind| fs::read_dir(root.join(kind.table())).unwrap().count();
    Kind::ALL.into_iter().map(of).sum()
}

#[test]
fn a_ledger_is_not_rebuilt_under_a_query() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    written(&root);
    let reader = Store::builder().access(ostracon::Access::Read).open(&root).unwrap();
    let expected = support::lines(&reader);
    let mut running = reader.after(&Cursor::start()).unwrap();
    let mut seen: Vec<_> = running.by_ref().take(3).map(|fact| fact.unwrap().fact.to_line()).collect();
    assert!(compact(&root).files_waiting > 0);
    break_ledger(&root);

    let error = rebuild(&root).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
    assert!(error.to_string().contains("a query is still reading"), "{error}");
    assert!(error.to_string().contains("try again"), "{error}");
    // It sees all of what it began with.
    seen.extend(running.by_ref().map(|fact| fact.unwrap().fact.to_line()));
    assert_eq!(seen, expected);
    drop(running);
    drop(reader);

    let report = rebuild(&root).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(support::lines_at(&root), expected);
}

#[test]
fn a_rebuilt_ledger_still_tells_what_compaction_has_removed() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    written(&root);
    let reader = Store::builder().access(ostracon::Access::Read).open(&root).unwrap();
    let expected = support::lines(&reader);
    let running = reader.after(&Cursor::start()).unwrap();
    // Their files wait for the query.
    let removed = compact(&root);
    assert!(removed.segments_removed > 6 && removed.files_waiting == removed.segments_removed);
    let before: Value = newest_commit(&root)["remove"].clone();
    drop(running);
    drop(reader);
    break_ledger(&root);

    let report = rebuild(&root).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{report:#?}");
    let commit = newest_commit(&root);
    let told = |segments: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let each = segments.as_array().unwrap().iter();
        let mut told: Vec<_> =
            each.map(|segment| (text(&segment["path"]), text(&segment["blake3"]))).collect();
        told.sort();
        told
    };
    assert_eq!(told(&commit["removed"]), told(&before));
    assert_eq!(support::lines_at(&root), expected);
    assert!(verify(&root, None).unwrap().is_sound());
    // And the files that waited go.
    let report = compact(&root);
    assert_eq!(report.files_removed, removed.segments_removed, "{report:#?}");
    assert_eq!(segments(&root), 3);
    // The next rebuilding, which has it from that commit alone, tells it, too.
    let store = Store::open(&root).unwrap();
    store.record(support::crash(999)).unwrap();
    store.close().unwrap();
    let head = verify(&root, None).unwrap().head.unwrap().commit;
    support::both_files(&root, head).iter().for_each(|path| flip(path, 500));
    rebuild(&root).unwrap();
    let expected: Vec<_> = expected.into_iter().chain([support::crash(999).to_line()]).collect();
    assert_eq!(support::lines_at(&root), expected);
    assert_eq!(told(&newest_commit(&root)["removed"]), told(&before));
}

#[test]
fn what_retention_has_dropped_stays_dropped_when_a_compacted_store_is_rebuilt() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let policy = RetentionPolicy::new().kind(Kind::Event, RetentionLimits::new().max_records(8));
    let store = Store::builder().retention(policy).open(&root).unwrap();
    for n in 0..12 {
        store.record(support::crash(n)).unwrap();
        if n % 6 == 5 {
            store.flush().unwrap();
        }
    }
    assert_eq!(store.compact(CompactOptions::new()).unwrap().dropped[0].facts, 4);
    let expected = support::lines(&store);
    assert_eq!(expected.len(), 8);
    drop(store);
    break_ledger(&root);
    let report = rebuild(&root).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(support::lines_at(&root), expected);
    let sheet = verify(&root, None).unwrap();
    assert!(sheet.is_sound());
    let of = &sheet.kinds[0];
    assert_eq!(
        (of.recorded, of.live, of.lost, of.dropped.values().sum::<u64>()),
        (12, 8, 0, 4),
        "{sheet:#?}"
    );
}

/// The commits of two compactions, of which one is lost: the inputs of the first one are named by commits that can be
/// read, and their facts are in the segment that the second one wrote.
#[test]
fn facts_that_were_merged_twice_are_counted_once() {
    for lost in [&[3][..], &[4], &[3, 4], &[2, 3], &[1, 3], &[5], &[3, 5], &[6], &[3, 6], &[1, 2, 3, 4, 5]] {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let mut recorded = 0;
        for step in ["record", "record", "compact", "record", "compact", "record"] {
            if step == "compact" {
                assert!(compact(&root).commit.is_some());
                continue;
            }
            let store = Store::open(&root).unwrap();
            for n in recorded..recorded + 12 {
                store.record(support::any_fact(n)).unwrap();
            }
            recorded += 12;
            store.close().unwrap();
        }
        let before = support::lines_at(&root);
        lost.iter().for_each(|number| support::lose_commit(&root, *number));
        let report = rebuild(&root).unwrap_or_else(|error| panic!("without commits {lost:?}: {error}"));
        assert_eq!(report.facts_lost(), 0, "without commits {lost:?}: {report:#?}");
        let mut after = support::lines_at(&root);
        let mut expected = before.clone();
        after.sort();
        expected.sort();
        assert_eq!(after, expected, "without commits {lost:?}");
        assert!(verify(&root, None).unwrap().is_sound(), "without commits {lost:?}");
    }
}

/// The commit of an import is lost, and a compaction has merged its facts: nothing says any more that the input was
/// imported.
#[test]
fn a_merged_import_that_is_not_known_any_more_is_named() {
    for (lost, is_named) in [(1, true), (0, false)] {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let input: String = (0..12).map(|n| support::any_fact(n).to_line() + "\n").collect();
        let store = Store::open(&root).unwrap();
        store.import(input.as_bytes(), ostracon::Import::named("input")).unwrap();
        for n in 12..24 {
            store.record(support::any_fact(n)).unwrap();
        }
        store.close().unwrap();
        drop(store);
        assert!(compact(&root).commit.is_some());
        support::lose_commit(&root, lost);
        let report = rebuild(&root).unwrap();
        let named = report.notes.iter().any(|note| note.contains("again doubles its facts"));
        assert_eq!((named, support::lines_at(&root).len()), (is_named, 24), "commit {lost}: {report:#?}");
    }
}
