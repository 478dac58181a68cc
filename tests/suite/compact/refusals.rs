//! Damage, a second maintainer, a dry run, a stop; and the command.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ostracon::{CompactOptions, ErrorKind, RetentionLimits, RetentionPolicy, Store};

use super::{facts_at, segment_files, support, tree_without_lock, written};
use crate::command::Folder;
use crate::support::tree;

#[test]
fn a_damaged_segment_is_not_merged() {
    let folder = support::scratch();
    let root = &folder.path().join("facts");
    written(root, 2, 2, 20);
    for (n, path) in segment_files(root).into_iter().enumerate() {
        let sound = std::fs::read(root.join(&path)).unwrap();
        let mut damaged = sound.clone();
        match n % 4 {
            0 => damaged[sound.len() / 3] ^= 1,
            1 => damaged.truncate(sound.len() - 1),
            2 => damaged[sound.len() - 20] ^= 0x40,
            _ => damaged.clear(),
        }
        std::fs::write(root.join(&path), &damaged).unwrap();
        let before = tree_without_lock(root);
        let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
        let error = store.compact(CompactOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        let told = error.to_string();
        for part in [path.to_str().unwrap(), "ostracon scan", "ostracon recover", "nothing was changed"] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(tree_without_lock(root), before);
        assert_eq!(store.metrics().compaction_errors, 1);
        std::fs::write(root.join(&path), &sound).unwrap();
    }
    let missing = segment_files(root).remove(0);
    std::fs::rename(root.join(&missing), folder.path().join("aside")).unwrap();
    let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
    let error = store.compact(CompactOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
    std::fs::rename(folder.path().join("aside"), root.join(&missing)).unwrap();
    assert!(store.compact(CompactOptions::new()).is_ok());
    assert_eq!(facts_at(root).len(), 80);
}

#[test]
fn a_second_maintainer_is_told_so() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 1, 2, 10);
    let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
    let lock = std::fs::File::create(root.join("ledger/maintenance.lock")).unwrap();
    lock.lock().unwrap();
    let error = store.compact(CompactOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended);
    assert!(error.to_string().contains("another process is compacting or recovering"), "{error}");
    // Who only looks is not in anybody's way.
    assert!(store.compact(CompactOptions::new().dry_run(true)).is_ok());
    drop(lock);
    assert!(store.compact(CompactOptions::new()).unwrap().commit.is_some());
}

#[test]
fn a_store_that_is_open_for_reading_is_not_compacted() {
    let folder = support::scratch();
    written(folder.path(), 1, 2, 10);
    let before = tree(folder.path());
    let store = Store::builder().access(ostracon::Access::Read).open(folder.path()).unwrap();
    assert_eq!(store.compact(CompactOptions::new()).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(tree(folder.path()), before);
}

#[test]
fn a_dry_run_tells_what_would_be_and_touches_nothing() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 2, 3, 30);
    let policy = RetentionPolicy::new().store(RetentionLimits::new().max_records(41));
    let before = tree(root);
    let store = Store::builder().access(ostracon::Access::Read).retention(policy.clone()).open(root).unwrap();
    let dry = store.compact(CompactOptions::new().dry_run(true)).unwrap();
    assert_eq!(tree(root), before);
    assert!(dry.dry_run && dry.commit.is_none());
    let store = Store::builder().access(ostracon::Access::Maintain).retention(policy).open(root).unwrap();
    let done = store.compact(CompactOptions::new()).unwrap();
    assert_eq!(dry.dropped, done.dropped);
    assert_eq!((dry.before, dry.after.facts), (done.before, done.after.facts));
    assert_eq!(dry.after.fact_bytes, done.after.fact_bytes);
    assert_eq!((dry.after.segments, dry.segments_removed), (done.after.segments, done.segments_removed));
}

#[test]
fn one_that_is_stopped_leaves_the_store_as_it_was() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 2, 2, 20);
    let before = tree_without_lock(root);
    let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
    let stop = Arc::new(AtomicBool::new(true));
    let error = store.compact(CompactOptions::new().cancel(Arc::clone(&stop))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(tree_without_lock(root), before);
    stop.store(false, std::sync::atomic::Ordering::Relaxed);
    assert!(store.compact(CompactOptions::new().cancel(stop)).unwrap().commit.is_some());
}

#[test]
fn the_command_reports_on_stdout_and_changes_nothing_in_a_dry_run() {
    let folder = Folder::new();
    written(&folder.path("facts"), 1, 3, 12);
    let before = folder.tree();
    let said = folder.run(&["compact", "facts", "--dry-run"]).ok();
    assert!(said.out.contains("this is the result that a compaction would have"), "{}", said.out);
    assert!(said.out.contains("segments                  9 -> about 3\n"), "{}", said.out);
    assert_eq!(folder.tree(), before);

    let said = folder.run(&["compact", "facts", "--kind", "dead-letters", "--json"]).ok();
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&report["before"]["segments"], &report["after"]["segments"]), (&3.into(), &1.into()));
    assert_eq!(said.err, "");

    let said = folder.run(&["compact", "facts"]).ok();
    assert!(said.out.contains("by commit 5\n"), "{}", said.out);
    assert!(said.out.contains("segments                  7 -> 3\n"), "{}", said.out);
    let said = folder.run(&["compact", "facts"]).ok();
    assert!(said.out.starts_with("nothing to merge and nothing to drop"), "{}", said.out);

    for args in [
        &["compact", "nowhere"][..],
        &["compact", "facts", "--target-size", "0"],
        &["compact", "facts", "--kind", "x"],
    ] {
        assert_eq!(folder.run(args).code, Some(1), "{args:?}");
    }
    assert!(!folder.path("nowhere").exists());
}
