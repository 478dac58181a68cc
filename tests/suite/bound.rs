//! The bound of the buffer: what a recorder does when the flush cannot make room.

use std::time::Duration;

use ostracon::disk::{Disk, Fault, FaultPlan, Op};
use ostracon::{Durability, ErrorKind, Store};

use super::support;

/// A store whose flushes fail until its disk is healed, with room for a few dozen facts.
fn stuck(root: &std::path::Path, durability: Durability) -> (Store, FaultPlan) {
    Store::open(root).unwrap().close().unwrap();
    // Commits are published by links.
    let plan = FaultPlan::new().below(root.join("ledger")).only(Op::Link).fail_from(1, Fault::NoSpace);
    let store = Store::builder()
        .disk(Disk::with_plan(plan.clone()))
        .durability(durability)
        .flush_bytes(2_000)
        .max_buffer_bytes(10_000)
        .max_wait(Duration::from_millis(20))
        .open(root)
        .unwrap();
    (store, plan)
}

#[test]
fn a_recorder_waits_a_while_and_is_refused_and_goes_on_when_there_is_room() {
    for durability in [Durability::Buffered, Durability::Journaled, Durability::Synced] {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let (store, plan) = stuck(&root, durability);
        let mut kept = Vec::new();
        let refused = loop {
            let fact = support::crash(kept.len() as u64);
            match store.record(fact.clone()) {
                Ok(_) => kept.push(fact.to_line()),
                Err(error) => break error,
            }
            assert!(kept.len() < 1_000, "there is no bound");
        };
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        assert!(refused.to_string().contains("the limit is 10000"), "{refused}");
        let counted = store.metrics();
        assert_eq!((counted.waits, counted.refused, counted.write_errors), (1, 1, 1));
        assert_eq!(counted.records_written, kept.len() as u64);

        plan.heal();
        store.flush().unwrap();
        let fact = support::crash(999);
        store.record(fact.clone()).unwrap();
        kept.push(fact.to_line());
        store.close().unwrap();
        assert_eq!(support::lines_at(&root), kept, "each that was acknowledged, once, and no other");
    }
}

#[test]
fn whoever_must_not_wait_is_refused_at_once_and_may_wait_elsewhere() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let (store, plan) = stuck(&root, Durability::Synced);
    let mut kept = vec![support::crash(0).to_line()];
    let first = store.append(support::crash(0)).unwrap();
    assert_eq!(store.metrics().syncs, 0, "appending alone syncs nothing");
    store.wait(first).unwrap();
    assert_eq!(store.metrics().syncs, 1);
    let other = Store::open(&root).unwrap().record(support::crash(7)).unwrap();
    assert_eq!(store.wait(other).unwrap_err().kind(), ErrorKind::Refused, "it is a fact of another stream");
    let refused = loop {
        let fact = support::crash(kept.len() as u64);
        match store.append(fact.clone()) {
            Ok(_) => kept.push(fact.to_line()),
            Err(error) => break error,
        }
        assert!(kept.len() < 1_000, "there is no bound");
    };
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert_eq!((store.metrics().waits, store.metrics().refused), (0, 1));
    plan.heal();
    store.flush().unwrap();
    kept.push(support::crash(7).to_line());
    let mut there = support::lines(&store);
    there.sort();
    kept.sort();
    assert_eq!(there, kept);
}

/// A sync that failed is not waited away.
#[test]
fn waiting_fails_where_the_sync_has_failed() {
    let folder = support::scratch();
    let plan = FaultPlan::new().only(Op::SyncData);
    let store = Store::builder()
        .disk(Disk::with_plan(plan.clone()))
        .durability(Durability::Synced)
        .open(folder.path().join("facts"))
        .unwrap();
    store.record(support::crash(0)).unwrap();
    let position = store.append(support::crash(1)).unwrap();
    plan.fail_at(1, Fault::Io);
    store.wait(position).unwrap_err();
    assert_eq!(store.wait(position).unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(store.append(support::crash(2)).unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(store.metrics().write_errors, 3);
}
