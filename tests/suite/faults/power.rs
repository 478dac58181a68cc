//! The machine's power fails, at every operation of the scenario, and the disk keeps as little of
//! what was not synced, or as strange a choice of it, as it may.
//!
//! What a sync has covered must be there: every acknowledged fact of a store that syncs, and of any
//! store all that a successful flush has put into segments. Of the rest a beginning of each
//! stream may be left. In no case does a place in a stream come to name two facts.

use std::path::Path;

use ostracon::disk::{Disk, Fault, FaultPlan, Op, PowerFailure};
use ostracon::{Cursor, Durability, Store};

use super::run::{Because, Run};
use super::{rehearsal, support};

/// What the disk makes of a power failure before operation `n`: one of the clear choices, which
/// take turns, and a strange one.
fn choices(n: u64) -> [PowerFailure; 2] {
    let clear = [PowerFailure::DropUnsynced, PowerFailure::KeepNames, PowerFailure::KeepAllData];
    [clear[n as usize % 3], PowerFailure::Random(n)]
}

/// How many of the facts that were acknowledged the disk has promised to keep.
fn kept(run: &Run, durability: Durability) -> usize {
    if durability == Durability::Synced { run.acknowledged.len() } else { run.flushed }
}

/// Opens what each of the power failures leaves, on a machine that was started again, and checks
/// it: the first `kept` of the acknowledged facts must be there.
pub(super) fn survives_power_failures(run: &Run, kept: usize, plan: &FaultPlan, parent: &Path, n: u64) {
    for choice in choices(n) {
        let _because = Because(format!("the power fails: {choice:?}"));
        let left = support::scratch();
        plan.power_failure(parent, left.path(), choice).unwrap();
        run.copy().reopen(&left.path().join("facts"), &Disk::after_power_failure(), kept);
    }
}

fn survives_a_power_failure_at_every_operation(durability: Durability) {
    let operations = rehearsal(durability);
    // One more: the end of it all.
    for n in 1..=operations.len() as u64 + 1 {
        let _because = Because(format!("{durability:?}: before operation {n}"));
        let folder = support::scratch();
        let plan = FaultPlan::new().record_for_power_failure(folder.path()).halt_at(n);
        let mut run = Run::new(durability);
        run.play(&folder.path().join("facts"), &Disk::with_plan(plan.clone()));
        survives_power_failures(&run, kept(&run, durability), &plan, folder.path(), n);
    }
}

#[test]
fn a_buffering_store_survives_a_power_failure_at_every_operation() {
    survives_a_power_failure_at_every_operation(Durability::Buffered);
}

#[test]
fn a_journaling_store_survives_a_power_failure_at_every_operation() {
    survives_a_power_failure_at_every_operation(Durability::Journaled);
}

#[test]
fn a_syncing_store_survives_a_power_failure_at_every_operation() {
    survives_a_power_failure_at_every_operation(Durability::Synced);
}

/// Plays the scenario with an attempt more for whatever fails, up to so many steps behind the
/// first failure. The store is still open then.
fn play_until_something_failed(
    run: &mut Run,
    root: &Path,
    disk: &Disk,
    steps_behind: usize,
) -> Option<Store> {
    let mut left = None;
    let mut go_on = |failed: bool| {
        left = left.or(failed.then_some(steps_behind + 1)).map(|left: usize| left - 1);
        left != Some(0)
    };
    let first = run.open(root, disk);
    let failed = first.is_none();
    let store = first.or_else(|| run.open(root, disk))?;
    let mut going = go_on(failed);
    for flush in [false, true, false, true, false] {
        if !going {
            break;
        }
        let done = if flush { run.flush(&store) || !run.flush(&store) } else { run.record_part(&store) };
        // A flush that failed and was repeated counts as a failure, too.
        going = go_on(!done || run.errors.len() > usize::from(failed));
    }
    Some(store)
}

/// A sync that failed, and an attempt after it that did not: what the second one reports must be
/// as durable as if there had been no first one.
fn a_second_attempt_is_worth_a_first_one(durability: Durability) {
    for (n, op) in (1..).zip(rehearsal(durability)) {
        if !matches!(op, Op::SyncData | Op::SyncDir | Op::Link | Op::CreateDir | Op::LockFile) {
            continue;
        }
        // Content that one sync did not keep is written anew; names hang together.
        for steps_behind in 0..if op == Op::SyncData { 1 } else { 2 } {
            let _because =
                Because(format!("{durability:?}: operation {n} ({op:?}) failed, {steps_behind} behind"));
            let folder = support::scratch();
            let plan = FaultPlan::new().record_for_power_failure(folder.path()).fail_at(n, Fault::Io);
            let disk = Disk::with_plan(plan.clone());
            let mut run = Run::new(durability);
            let store =
                play_until_something_failed(&mut run, &folder.path().join("facts"), &disk, steps_behind);
            survives_power_failures(&run, kept(&run, durability), &plan, folder.path(), n);
            drop(store);
        }
    }
}

#[test]
fn what_a_journaling_store_reports_after_a_fault_survives_a_power_failure() {
    a_second_attempt_is_worth_a_first_one(Durability::Journaled);
}

#[test]
fn what_a_syncing_store_reports_after_a_fault_survives_a_power_failure() {
    a_second_attempt_is_worth_a_first_one(Durability::Synced);
}

/// Whatever fails for good, and however the store muddles through: the power failure that ends it
/// leaves a store that can be read, and that goes on.
fn survives_a_power_failure_after_every_fault(durability: Durability) {
    for (n, op) in (1..).zip(rehearsal(durability)) {
        for fault in [Fault::NoSpace, Fault::ShortWrite] {
            let once = fault == Fault::ShortWrite;
            if once && op != Op::Append {
                continue;
            }
            let _because = Because(format!("{durability:?}: operation {n} ({op:?}) failed with {fault:?}"));
            let folder = support::scratch();
            let plan = FaultPlan::new().record_for_power_failure(folder.path());
            let plan = if once { plan.fail_at(n, fault) } else { plan.fail_from(n, fault) };
            let mut run = Run::new(durability);
            let Some(store) = run.open(&folder.path().join("facts"), &Disk::with_plan(plan.clone())) else {
                continue;
            };
            run.record_and_flush(&store);
            survives_power_failures(&run, kept(&run, durability), &plan, folder.path(), n);
            drop(store);
        }
    }
}

#[test]
fn a_journaling_store_survives_a_power_failure_after_every_fault() {
    survives_a_power_failure_after_every_fault(Durability::Journaled);
}

#[test]
fn a_syncing_store_survives_a_power_failure_after_every_fault() {
    survives_a_power_failure_after_every_fault(Durability::Synced);
}

/// A process dies at every operation, the next one goes on with the store, and then the power
/// fails: nothing that the first one left half done may take along what the second one was told.
#[test]
fn what_a_syncing_store_reports_after_a_crash_survives_a_power_failure() {
    let operations = rehearsal(Durability::Synced).len() as u64;
    for n in 1..=operations + 1 {
        let _because = Because(format!("a process died before operation {n}"));
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let plan = FaultPlan::new().record_for_power_failure(folder.path());
        let disk = Disk::with_plan(plan.clone());
        let mut run = Run::new(Durability::Synced);
        // Nothing succeeds that the dying process still attempts.
        for m in n..=2 * operations {
            plan.fail_at(m, Fault::Io);
        }
        run.play(&root, &disk);
        plan.heal();
        let no_flush = n % 2 == 0 && root.join("ledger/00000000000000000000.json").exists();
        if no_flush {
            // What the dead process left stays in its journal for a while.
            plan.below(root.join("ledger")).only(Op::Link).fail_from(1, Fault::Io);
        }
        let _because = Because(format!("flushed by the next process: {}", !no_flush));
        let store = run.open(&root, &disk).unwrap();
        assert!(run.record(&store));
        assert_eq!(run.flush(&store), !no_flush);
        survives_power_failures(&run, run.acknowledged.len(), &plan, folder.path(), n);
        drop(store);
    }
}

/// One recorder's append is cut short while others wait for the disk to keep theirs.
#[test]
fn a_torn_journal_file_is_synced_before_anybody_is_told_so() {
    for n in 1..60 {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let plan = FaultPlan::new().record_for_power_failure(folder.path());
        let disk = Disk::with_plan(plan.clone());
        let store = Store::builder().disk(disk).durability(Durability::Synced).open(&root).unwrap();
        plan.only(Op::Append).fail_at(n, Fault::ShortWrite);
        let record = |k: u64| store.record(support::any_fact(k)).ok().map(|position| (position, k));
        let acknowledged: Vec<_> = std::thread::scope(|scope| {
            let each =
                |t: u64| scope.spawn(move || (0..10).filter_map(|k| record(t * 10 + k)).collect::<Vec<_>>());
            let threads: Vec<_> = (0..8).map(each).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let left = support::scratch();
        plan.power_failure(folder.path(), left.path(), PowerFailure::DropUnsynced).unwrap();
        let disk = Disk::after_power_failure();
        let after = Store::builder()
            .disk(disk)
            .access(ostracon::Access::Read)
            .open(left.path().join("facts"))
            .unwrap();
        let there: std::collections::BTreeMap<_, _> = after
            .after(&Cursor::start())
            .unwrap()
            .map(|fact| fact.map(|fact| (fact.position.seq, fact.fact.to_line())).unwrap())
            .collect();
        for (position, k) in acknowledged {
            assert_eq!(
                there.get(&position.seq),
                Some(&support::any_fact(k).to_line()),
                "append {n} was torn"
            );
        }
    }
}
