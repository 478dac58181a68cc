//! Backups: a second store with the same facts, while the first is in use.

mod apart;
mod damaged;
mod interrupted;
mod kept;
mod places;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ostracon::disk::{Disk, Fault, FaultPlan};
use ostracon::{
    Anomaly, AnomalyKind, BackupOptions, CompactOptions, Cursor, Durability, ErrorKind, FactId, Kind,
    ScanDepth, StartAt, Store, backup, scan,
};

use super::command::Folder;
use super::support::tree;
use super::support::{any_fact, crash, lines_at, scratch};

/// The names of all facts of the store at this path.
fn ids_at(path: &Path) -> BTreeSet<FactId> {
    let store = Store::builder().access(ostracon::Access::Read).open(path).unwrap();
    store.after(&Cursor::start()).unwrap().map(|fact| fact.unwrap().position.id()).collect()
}

fn assert_whole(path: &Path) {
    let report = scan(path, ScanDepth::Deep).unwrap();
    assert!(report.is_clean(), "{}: {:#?}", path.display(), report.anomalies);
}

/// A store of 30 facts, of which the last ten are in no segment.
fn some_store(root: &Path) -> Store {
    let store = Store::open(root).unwrap();
    for n in 0..30 {
        store.record(any_fact(n)).unwrap();
        if n == 9 || n == 19 {
            store.flush().unwrap();
        }
    }
    store
}

#[test]
fn a_backup_is_a_store_with_the_same_facts() {
    for copy in [false, true] {
        let folder = scratch();
        let (root, target) = (folder.path().join("facts"), folder.path().join("backup"));
        let store = some_store(&root);
        store.consumer_group(Kind::Event, "g").unwrap().create(StartAt::Beginning).unwrap();
        let given = store.consumer_group(Kind::Event, "g").unwrap().consume("c", 3).unwrap();
        let report = store.backup(&target, BackupOptions::new().copy(copy)).unwrap();
        assert_eq!((report.unflushed, report.kept), (10, 0));
        assert_eq!(report.linked == 0, copy);
        assert_eq!((ids_at(&target), lines_at(&target)), (ids_at(&root), lines_at(&root)));
        assert_whole(&target);
        let restored = Store::builder().access(ostracon::Access::Maintain).open(&target).unwrap();
        let group = restored.consumer_group(Kind::Event, "g").unwrap();
        assert_eq!(group.pending("c", None, 10).unwrap(), given);
        assert!(
            !folder
                .path()
                .read_dir()
                .unwrap()
                .any(|entry| { entry.unwrap().file_name().to_string_lossy().ends_with(".tmp") })
        );
    }
}

#[test]
fn a_backup_gives_out_no_number_of_its_original() {
    let folder = scratch();
    let (root, target) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = some_store(&root);
    store.backup(&target, BackupOptions::new()).unwrap();
    let own = store.record(crash(100)).unwrap();
    let copy = Store::open(&target).unwrap();
    let theirs = copy.record(crash(200)).unwrap();
    assert_ne!(own.stream, theirs.stream);
    copy.close().unwrap();
    assert_eq!(ids_at(&target).len(), 31);
    assert_whole(&target);
    store.close().unwrap();
    assert_whole(&root);
    // It has gone its own way: what comes later does not belong to it.
    let error = backup(&root, &target, BackupOptions::new().incremental(true)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("the backup was written to"), "{error}");
}

#[test]
fn an_incremental_backup_adds_what_is_new_and_keeps_what_older_commits_need() {
    let folder = scratch();
    let (root, target) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = some_store(&root);
    let more = || BackupOptions::new().incremental(true);
    let first = store.backup(&target, more()).unwrap();
    let then = lines_at(&root)[..20].to_vec();
    let again = store.backup(&target, more()).unwrap();
    assert_eq!((again.commit, again.copied, again.linked), (first.commit, 0, 0), "nothing is new");
    for n in 30..40 {
        store.record(any_fact(n)).unwrap();
    }
    store.flush().unwrap();
    store.compact(CompactOptions::default()).unwrap();
    let last = store.backup(&target, more()).unwrap();
    assert!(last.commit > first.commit && last.kept > 0);
    assert_eq!(lines_at(&target), lines_at(&root));
    assert_whole(&target);

    // The segments of the first backup are gone from the store, and are in the backup still.
    let restored = folder.path().join("restored");
    backup(&target, &restored, BackupOptions::new().at_commit(first.commit)).unwrap();
    assert_eq!(lines_at(&restored), then);
    assert_whole(&restored);
    let error =
        backup(&root, folder.path().join("x"), BackupOptions::new().at_commit(first.commit)).unwrap_err();
    assert!(error.to_string().contains("a compaction has removed it"), "{error}");
    let error = backup(&root, folder.path().join("x"), BackupOptions::new().at_commit(999)).unwrap_err();
    assert!(error.to_string().contains("no commit 999 exists"), "{error}");
    assert!(!folder.path().join("x").exists());
}

#[test]
fn a_backup_is_put_over_nothing() {
    let folder = scratch();
    let (root, target) = (folder.path().join("facts"), folder.path().join("other"));
    let store = some_store(&root);
    Store::open(&target).unwrap().close().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    fs::create_dir(folder.path().join("filled")).unwrap();
    fs::write(folder.path().join("filled/x"), "x").unwrap();
    let before = tree(folder.path());
    for options in [BackupOptions::new(), BackupOptions::new().incremental(true)] {
        for target in ["other", "file", "filled", "facts", "facts/within", "."] {
            let error = store.backup(folder.path().join(target), options.clone()).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Refused | ErrorKind::NotAStore | ErrorKind::Io),
                "{target}: {error:?}"
            );
        }
    }
    assert_eq!(tree(folder.path()), before);
    fs::create_dir(folder.path().join("empty")).unwrap();
    store.backup(folder.path().join("empty"), BackupOptions::new()).unwrap();
}

#[test]
fn a_damaged_segment_is_not_backed_up_as_if_it_were_sound() {
    let folder = scratch();
    let root = folder.path().join("facts");
    some_store(&root).close().unwrap();
    let segment = root.join("events").read_dir().unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let error = backup(&root, folder.path().join("backup"), BackupOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(!folder.path().join("backup").exists());
}

#[test]
fn backups_beside_writers_and_compaction_have_every_fact_that_was_acknowledged_before() {
    let folder = scratch();
    let (root, target) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = Store::builder().flush_rows(40).open(&root).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let compacting = scope.spawn(|| {
            let maintainer = Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap();
            while !done.load(Ordering::SeqCst) {
                maintainer.compact(CompactOptions::default()).unwrap();
            }
        });
        let recording = scope.spawn(|| {
            for n in 0..2_000_u64 {
                store.record(any_fact(n)).unwrap();
            }
        });
        let mut round = 0;
        while !recording.is_finished() || round < 3 {
            let before = store.metrics().records_written;
            let target =
                if round % 2 == 0 { target.clone() } else { folder.path().join(format!("new{round}")) };
            store.backup(&target, BackupOptions::new().incremental(true)).unwrap();
            let ids = ids_at(&target);
            assert!(ids.len() as u64 >= before, "{} of {before}", ids.len());
            let last = ids.iter().map(|id| id.seq.get()).max().unwrap_or(0);
            assert_eq!(ids.len() as u64, last, "a beginning of the stream, without gaps");
            assert_whole(&target);
            round += 1;
        }
        done.store(true, Ordering::SeqCst);
        compacting.join().unwrap();
    });
}

/// Every operation of the disk fails once: the backup is there whole or not at all, the store is as
/// it was, and the next attempt succeeds.
#[test]
fn whatever_fails_a_backup_is_whole_or_not_there() {
    for incremental in [false, true] {
        let rehearsal = FaultPlan::new();
        let operations = attempt(incremental, &rehearsal, None).unwrap();
        assert!(operations > 20, "{operations}");
        for n in 1..=operations {
            for fault in [Fault::Io, Fault::NoSpace] {
                attempt(incremental, &FaultPlan::new(), Some((n, fault)));
            }
        }
    }
}

/// How many operations it took, if all went well.
fn attempt(incremental: bool, plan: &FaultPlan, fault: Option<(u64, Fault)>) -> Option<u64> {
    let folder = scratch();
    let (root, target) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = Store::builder()
        .disk(Disk::with_plan(plan.clone()))
        .durability(Durability::Journaled)
        .open(&root)
        .unwrap();
    for n in 0..8 {
        store.record(any_fact(n)).unwrap();
        if n == 3 {
            store.flush().unwrap();
        }
    }
    let options = BackupOptions::new().incremental(incremental).copy(true);
    let mut before = None;
    if incremental {
        store.backup(&target, options.clone()).unwrap();
        before = Some(ids_at(&target));
        for n in 8..12 {
            store.record(any_fact(n)).unwrap();
        }
        store.flush().unwrap();
        store.record(any_fact(12)).unwrap();
    }
    let begun = plan.operations();
    if let Some((n, fault)) = fault {
        plan.fail_at(n, fault);
    }
    let result = store.backup(&target, options.clone());
    let operations = plan.operations() - begun;
    plan.heal();
    if result.is_err() {
        match &before {
            // The last thing that can fail is to have the disk keep its name.
            None if target.exists() => {
                assert_eq!(ids_at(&target), ids_at(&root));
                assert_whole(&target);
                return None;
            }
            None => {}
            Some(before) => assert!(ids_at(&target).is_superset(before), "{fault:?}"),
        }
        store.backup(&target, options).unwrap();
    }
    assert_eq!(ids_at(&target), ids_at(&root), "{fault:?}");
    assert_whole(&target);
    assert_eq!(lines_at(&root).len(), if incremental { 13 } else { 8 });
    result.is_ok().then_some(operations)
}

/// Whenever it is killed: a new backup is whole or not there, an old one is whole, and the next one
/// succeeds.
#[test]
fn a_backup_that_is_killed_leaves_nothing_half_done() {
    let folder = Folder::with_known_facts();
    for round in 0..12_u64 {
        let store = Store::open(folder.path("facts")).unwrap();
        store.record(crash(round)).unwrap();
        store.close().unwrap();
        let target = if round % 2 == 0 { "old".to_owned() } else { format!("new{round}") };
        let args = ["backup", "facts", &target, "--incremental", "--copy"];
        let mut child = folder.spawn(&args);
        std::thread::sleep(std::time::Duration::from_millis(round * 4));
        child.kill().unwrap();
        child.wait().unwrap();
        if folder.path(&target).exists() {
            // Killed between a segment or a checkpoint and its commit, the one is there without the other until the
            // next run.
            let report = scan(folder.path(&target), ScanDepth::Deep).unwrap();
            let is_expected = |anomaly: &Anomaly| match anomaly.kind {
                AnomalyKind::SegmentUnknown => true,
                AnomalyKind::CommitMissing => anomaly.found.contains("a backup that was cut short"),
                _ => false,
            };
            assert!(report.anomalies.iter().all(is_expected), "{:#?}", report.anomalies);
            ids_at(&folder.path(&target));
        }
        folder.run(&args).ok();
        assert_eq!(ids_at(&folder.path(&target)), ids_at(&folder.path("facts")));
        assert_whole(&folder.path(&target));
    }
}

#[test]
fn the_command_backs_up_and_restores() {
    let folder = Folder::with_known_facts();
    let said = folder.run(&["backup", "facts", "copy"]).ok().out;
    assert!(said.starts_with("commit 1: ") && said.contains(" 0 facts in journals"), "{said}");
    let refused = folder.run(&["backup", "facts", "copy"]).failed();
    assert!(
        refused.contains("something is there already; choose a new folder, or --incremental"),
        "{refused}"
    );
    let json = folder.run(&["backup", "facts", "copy", "--incremental", "--json"]).ok().out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["commit"].as_u64(), json["copied"].as_u64()), (Some(1), Some(0)));
    fs::remove_dir_all(folder.path("facts")).unwrap();
    folder.run(&["backup", "copy", "facts"]).ok();
    assert_eq!(folder.run(&["tail", "facts"]).ok().out.lines().count(), 84);
}
