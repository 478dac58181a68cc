//! An incremental backup that is cut short at any operation of the disk.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use ostracon::disk::{Disk, FaultPlan};
use ostracon::{BackupOptions, CompactOptions, ErrorKind, Store, backup};

use super::assert_whole;
use crate::support::{any_fact, lines_at, scratch};

fn more() -> BackupOptions {
    BackupOptions::new().incremental(true).copy(true)
}

/// A store that was backed up, and has flushed twice and merged its segments since: between the head of the
/// backup and its own are commits of which the segments are nowhere any more.
fn merged_since_its_backup(root: &Path, saved: &Path, plan: &FaultPlan) -> Store {
    let store = Store::builder().disk(Disk::with_plan(plan.clone())).open(root).unwrap();
    let record = |facts: std::ops::Range<u64>| {
        for n in facts {
            store.record(any_fact(n)).unwrap();
        }
    };
    record(0..4);
    store.flush().unwrap();
    record(4..6);
    store.backup(saved, more()).unwrap();
    for facts in [6..10, 10..14] {
        record(facts);
        store.flush().unwrap();
    }
    store.compact(CompactOptions::default()).unwrap();
    record(14..16);
    store
}

/// How many operations a whole backup takes, or, cut short before one of these, what is left.
fn cut_short(at: Option<u64>) -> u64 {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let plan = FaultPlan::new();
    let store = merged_since_its_backup(&root, &saved, &plan);
    let before: BTreeSet<_> = lines_at(&saved).into_iter().collect();
    let all: BTreeSet<_> = lines_at(&root).into_iter().collect();
    assert_eq!((before.len(), all.len()), (6, 16));
    let begun = plan.operations();
    if let Some(at) = at {
        plan.halt_at(at);
        store.backup(&saved, more()).unwrap_err();
        let left: BTreeSet<_> = lines_at(&saved).into_iter().collect();
        assert!(left.is_superset(&before), "operation {at}: facts are gone");
        assert!(left.is_subset(&all), "operation {at}");
        backup(&root, &saved, more()).unwrap();
    } else {
        store.backup(&saved, more()).unwrap();
    }
    assert_eq!(lines_at(&saved), lines_at(&root), "{at:?}");
    assert_whole(&saved);
    plan.operations() - begun
}

#[test]
fn a_backup_can_be_read_wherever_an_incremental_run_was_cut_short() {
    let operations = cut_short(None);
    assert!(operations > 30, "{operations}");
    for at in 1..=operations {
        cut_short(Some(at));
    }
}

/// A reader that is open meanwhile goes from the one state to the other.
#[test]
fn a_reader_of_the_backup_sees_the_old_head_or_the_new_one() {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = merged_since_its_backup(&root, &saved, &FaultPlan::new());
    let reader = Store::builder().access(ostracon::Access::Read).open(&saved).unwrap();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let begun = Instant::now();
            loop {
                assert!(begun.elapsed() < Duration::from_secs(60), "the new head did not come");
                let seen = crate::support::lines(&reader).len();
                assert!([6, 14, 16].contains(&seen), "{seen}");
                if seen == 16 {
                    break;
                }
            }
        });
        store.backup(&saved, more()).unwrap();
        reading.join().unwrap();
    });
}

#[test]
fn a_backup_of_another_store_is_not_added_to() {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = merged_since_its_backup(&root, &saved, &FaultPlan::new());
    let other = Store::open(folder.path().join("other")).unwrap();
    let error = other.backup(&saved, more()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    store.backup(&saved, more()).unwrap();
    assert_whole(&saved);
}
