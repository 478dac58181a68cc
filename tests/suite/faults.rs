//! The disk lets the store down at every single one of its operations, and nothing that was
//! acknowledged is lost.
//!
//! One scenario: open, record, flush, record, flush, record, close. A rehearsal counts its
//! operations on the disk; then it is played once for each of them, with a disk that fails there,
//! once or from there on, or with a process that dies there. What is left is opened again on a
//! sound disk, for reading and for writing, and checked against what the scenario was told
//! ([`run::Run::check`]). [`power`] does the same to a machine whose power fails.

mod appended;
mod power;
mod run;

use ostracon::disk::{Disk, Fault, FaultPlan, Op};
use ostracon::{Durability, ErrorKind};
pub(crate) use run::Because;
use run::Run;

use super::support;

/// What the disk is asked to do when nothing goes wrong.
fn rehearsal(durability: Durability) -> Vec<Op> {
    let folder = support::scratch();
    let plan = FaultPlan::new();
    let mut run = Run::new(durability);
    run.play(&folder.path().join("facts"), &Disk::with_plan(plan.clone()));
    assert!(run.errors.is_empty(), "{:?}", run.errors);
    plan.log().into_iter().map(|(op, _)| op).collect()
}

/// Plays the scenario on a disk with this plan, and checks what is left of it.
fn survives(durability: Durability, plan: &FaultPlan) {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let mut run = Run::new(durability);
    run.play(&root, &Disk::with_plan(plan.clone()));
    // What only memory was promised for dies with the process, unless a flush came first.
    let kept = if durability == Durability::Buffered { run.flushed } else { run.acknowledged.len() };
    run.reopen(&root, &Disk::new(), kept);
}

fn survives_every_fault(durability: Durability) {
    for (n, op) in (1..).zip(rehearsal(durability)) {
        // What the store makes of an error depends on its kind only in what it reports.
        let (once, for_good) =
            if n % 2 == 0 { (Fault::Io, Fault::NoSpace) } else { (Fault::NoSpace, Fault::Io) };
        let short = (op == Op::Append).then_some(Fault::ShortWrite);
        // Of two operations in a row, it is enough that one fails for good.
        let for_good = (n % 2 == 1).then_some(for_good);
        for fault in [Some(once), short].into_iter().flatten() {
            let _because =
                Because(format!("{durability:?}: operation {n} ({op:?}) fails once with {fault:?}"));
            survives(durability, &FaultPlan::new().fail_at(n, fault));
        }
        for fault in [for_good, short.filter(|_| n % 2 == 0)].into_iter().flatten() {
            let _because = Because(format!("{durability:?}: from {n} on {op:?} fails with {fault:?}"));
            survives(durability, &FaultPlan::new().fail_from(n, fault));
        }
        let _because = Because(format!("{durability:?}: the process dies before operation {n} ({op:?})"));
        survives(durability, &FaultPlan::new().halt_at(n));
    }
}

#[test]
fn a_buffering_store_survives_a_fault_of_every_operation() {
    survives_every_fault(Durability::Buffered);
}

#[test]
fn a_journaling_store_survives_a_fault_of_every_operation() {
    survives_every_fault(Durability::Journaled);
}

#[test]
fn a_syncing_store_survives_a_fault_of_every_operation() {
    survives_every_fault(Durability::Synced);
}

/// A full disk is said to be full, and nothing else; and it is no reason to open the store again.
fn resumes_when_there_is_space(durability: Durability) {
    for (n, op) in (1..).zip(rehearsal(durability)).step_by(2) {
        let _because =
            Because(format!("{durability:?}: from {n} on there is no space for {op:?}, then there is"));
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let plan = FaultPlan::new().fail_from(n, Fault::NoSpace);
        let disk = Disk::with_plan(plan.clone());
        let mut run = Run::new(durability);
        let opened = run.open(&root, &disk);
        if let Some(store) = &opened {
            run.record_and_flush(store);
        }
        plan.heal();
        let store = opened.or_else(|| run.open(&root, &disk)).unwrap();
        let poisoned = run.errors.iter().any(|error| error.kind() == ErrorKind::Poisoned);
        if poisoned {
            // The sync of a journal is the one thing that is never tried again.
            assert_eq!((durability, op), (Durability::Synced, Op::SyncData));
            assert!(store.close().is_err());
        } else {
            for error in &run.errors {
                let sync = durability == Durability::Synced && op == Op::SyncData;
                assert!(
                    error.kind() == ErrorKind::NoSpace || sync && error.kind() == ErrorKind::Io,
                    "{error:?}"
                );
            }
            let before = run.acknowledged.len();
            if run.record(&store) {
                store.flush().unwrap();
            } else {
                // The sync that failed was the last thing that happened.
                assert_eq!((durability, op), (Durability::Synced, Op::SyncData));
            }
            let gained = run.acknowledged.len() - before;
            let closed = store.close();
            assert_eq!(closed.is_ok(), gained == 1, "{closed:?}");
        }
        drop(store);
        run.reopen(&root, &Disk::new(), run.acknowledged.len());
    }
}

#[test]
fn a_buffering_store_resumes_when_there_is_space_again() {
    resumes_when_there_is_space(Durability::Buffered);
}

#[test]
fn a_journaling_store_resumes_when_there_is_space_again() {
    resumes_when_there_is_space(Durability::Journaled);
}

#[test]
fn a_syncing_store_resumes_when_there_is_space_again() {
    resumes_when_there_is_space(Durability::Synced);
}

#[test]
fn after_a_failed_sync_a_syncing_store_promises_nothing_until_it_is_opened_again() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let plan = FaultPlan::new().only(Op::SyncData);
    let disk = Disk::with_plan(plan.clone());
    let mut run = Run::new(Durability::Synced);
    let store = run.open(&root, &disk).unwrap();
    for _ in 0..3 {
        assert!(run.record(&store));
    }
    plan.fail_at(1, Fault::Io);
    assert!(!run.record(&store));
    assert_eq!(run.errors.pop().unwrap().kind(), ErrorKind::Io);

    // The disk would sync again, but nobody knows what it dropped: it is not asked.
    let syncs = plan.operations();
    for _ in 0..2 {
        assert!(!run.record(&store));
        assert_eq!(run.errors.pop().unwrap().kind(), ErrorKind::Poisoned);
        assert_eq!(store.flush().unwrap_err().kind(), ErrorKind::Poisoned);
    }
    assert_eq!(store.close().unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(plan.operations(), syncs, "a failed sync was tried again");
    drop(store);
    run.reopen(&root, &disk, 3);
}

#[test]
fn a_fact_that_is_kept_is_not_called_refused_because_the_flush_has_no_space() {
    for durability in [Durability::Buffered, Durability::Journaled] {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let plan = FaultPlan::new();
        let disk = Disk::with_plan(plan.clone());
        let store =
            ostracon::Store::builder().disk(disk).durability(durability).flush_rows(4).open(&root).unwrap();
        let mut run = Run::new(durability);
        assert!(run.record(&store));
        plan.only(Op::CreateNew).fail_from(1, Fault::NoSpace);
        for _ in 0..8 {
            // Whoever is told that a fact was not recorded may record it again.
            let refused = !run.record(&store);
            let there = support::lines(&store).len();
            assert_eq!(there + usize::from(refused), run.given.len());
            if refused {
                run.given.pop();
            }
        }
        plan.heal();
        assert!(run.record(&store));
        store.close().unwrap();
        drop(store);
        run.reopen(&root, &Disk::new(), run.acknowledged.len());
    }
}
