//! No number ever names two facts: neither where a journal was cut, nor where the ledger is older than the
//! segments beside it.

use std::fs;
use std::path::Path;

use ostracon::disk::{Disk, FaultPlan};
use ostracon::{Cursor, ScanDepth, Store, scan};

use super::recover::scene::{change, places};
use super::support::{crash, lines_at, scratch};
use crate::support::copy_tree;
use crate::support::repair;

fn record(store: &Store, facts: std::ops::Range<u64>) {
    for n in facts {
        store.record(crash(n)).unwrap();
    }
}

/// A store whose process has died with these facts in its journal.
fn left_with(facts: u64) -> tempfile::TempDir {
    let folder = scratch();
    let plan = FaultPlan::new();
    let disk = Disk::with_plan(plan.clone());
    let store = Store::builder().disk(disk).open(folder.path().join("facts")).unwrap();
    record(&store, 0..facts);
    plan.halt_at(1);
    folder
}

fn journal(root: &Path) -> std::path::PathBuf {
    let mut files = fs::read_dir(root.join("journal/1")).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "journal")).unwrap()
}

/// A copy of a store in a folder of its own.
fn copy(root: &Path) -> tempfile::TempDir {
    let folder = scratch();
    fs::create_dir(folder.path().join("facts")).unwrap();
    copy_tree(root, &folder.path().join("facts"));
    folder
}

#[test]
fn a_cursor_passes_over_nothing_after_a_journal_was_cut() {
    for size in [36, 300, 1000] {
        let left = left_with(30);
        let root = left.path().join("facts");
        let mut cursor = Cursor::start();
        let before = Store::builder().access(ostracon::Access::Read).open(&root).unwrap();
        let facts = before.after(&cursor).unwrap();
        facts.sign(&mut cursor);
        facts.for_each(|fact| cursor.advance(&fact.unwrap()));
        drop(before);
        change(&journal(&root), |bytes| bytes.truncate(size));
        // Nobody can tell whether a crash has done this. Nothing says that it was one.
        let found = scan(&root, ScanDepth::Deep).unwrap();
        let [cut] = &found.debris[..] else { panic!("{found:#?}") };
        assert!(cut.what.contains("numbers are not used again"), "{cut:?}");

        let store = Store::open(&root).unwrap();
        for n in 100..135 {
            assert_eq!(store.record(crash(n)).unwrap().stream.get(), 2, "{size}");
        }
        store.close().unwrap();
        let facts: Vec<_> = store.after(&cursor).unwrap().map(|fact| fact.unwrap().fact.to_line()).collect();
        assert_eq!(facts, (100..135).map(|n| crash(n).to_line()).collect::<Vec<_>>(), "{size}");
        assert!(scan(&root, ScanDepth::Deep).unwrap().is_clean());
    }
}

#[test]
fn a_stream_goes_on_after_an_append_that_failed_half_way() {
    let folder = scratch();
    let root = folder.path().join("facts");
    let plan = FaultPlan::new();
    let store = Store::builder().disk(Disk::with_plan(plan.clone())).open(&root).unwrap();
    store.record(crash(0)).unwrap();
    plan.restrict_to(ostracon::disk::Op::Append);
    plan.fail_at(1, ostracon::disk::Fault::ShortWrite);
    store.record(crash(1)).unwrap_err();
    store.record(crash(2)).unwrap();
    // The file that follows the torn one has the number that the torn one began.
    let left = copy(&root);
    let store = Store::open(left.path().join("facts")).unwrap();
    let next = store.record(crash(3)).unwrap();
    assert_eq!((next.stream.get(), next.seq.get()), (1, 3));
}

/// A store as it was with 20 facts, and as it was with 25: all in segments.
fn early_and_late() -> (tempfile::TempDir, tempfile::TempDir) {
    let late = scratch();
    let root = late.path().join("facts");
    let store = Store::open(&root).unwrap();
    record(&store, 0..20);
    store.close().unwrap();
    let early = copy(&root);
    let store = Store::open(&root).unwrap();
    (20..25).for_each(|n| assert_eq!(store.record(crash(n)).unwrap().stream.get(), 1));
    store.close().unwrap();
    (early, late)
}

fn add_segments(from: &Path, to: &Path) {
    for entry in fs::read_dir(from.join("events")).unwrap().map(Result::unwrap) {
        let target = to.join("events").join(entry.file_name());
        if !target.exists() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_ledger_older_than_its_segments_gives_no_number_of_theirs_away() {
    let (early, late) = early_and_late();
    let root = early.path().join("facts");
    add_segments(&late.path().join("facts"), &root);
    let store = Store::open(&root).unwrap();
    let new: Vec<_> = (100..102).map(|n| store.record(crash(n)).unwrap()).collect();
    assert!(new.iter().all(|position| position.stream.get() == 2), "{new:?}");
    store.close().unwrap();
    drop(store);
    let report = repair(&root);
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 5), "{report:#?}");
    let mut lines = lines_at(&root);
    lines.sort();
    let mut expected: Vec<_> = (0..25).chain(100..102).map(|n| crash(n).to_line()).collect();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn a_new_stream_is_none_that_segments_have_which_no_commit_names() {
    let folder = scratch();
    let root = folder.path().join("facts");
    Store::open(&root).unwrap().close().unwrap();
    let early = copy(&root);
    let store = Store::open(&root).unwrap();
    assert_eq!(store.record(crash(0)).unwrap().stream.get(), 1);
    store.close().unwrap();
    let early = early.path().join("facts");
    add_segments(&root, &early);
    let store = Store::open(&early).unwrap();
    assert_eq!(store.record(crash(1)).unwrap().stream.get(), 2);
    store.close().unwrap();
    drop(store);
    repair(&early);
    assert_eq!(lines_at(&early).len(), 2);
}

/// As an older program could leave it.
#[test]
fn facts_whose_numbers_others_have_by_now_are_told_and_kept_aside() {
    let (early, late) = early_and_late();
    let root = early.path().join("facts");
    let store = Store::open(&root).unwrap();
    (200..202).for_each(|n| assert_eq!(store.record(crash(n)).unwrap().stream.get(), 1));
    store.close().unwrap();
    drop(store);
    add_segments(&late.path().join("facts"), &root);
    let report = repair(&root);
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 3), "{report:#?}");
    assert!(
        report.notes.iter().any(|note| note.contains("facts 21 to 22 of stream 1 already")),
        "{report:#?}"
    );
    let kept: Vec<_> = fs::read_dir(root.join("quarantine/events")).unwrap().collect();
    assert_eq!(kept.len(), 1);
    let names: Vec<_> = places(&root).unwrap().into_iter().map(|(stream, seq, _)| (stream, seq)).collect();
    assert_eq!(names, (1..=25).map(|seq| (1, seq)).collect::<Vec<_>>(), "in the order of their numbers");
    // The store's order holds in one segment, too.
    let store = Store::open(&root).unwrap();
    store.compact(ostracon::CompactOptions::new()).unwrap();
    assert_eq!(places(&root).unwrap().len(), 25);
    assert!(scan(&root, ScanDepth::Deep).unwrap().is_clean());
}
