//! Facts that are appended, and not waited for one by one: when their buffer is sealed, the disk may
//! have none of them, and the next ones go into another journal file.
//!
//! What is promised then is promised by `wait`, for all up to a fact, and by `flush`.

use std::path::Path;

use ostracon::disk::{Disk, Fault, FaultPlan, Op};
use ostracon::{Durability, Store};

use super::power::survives_power_failures;
use super::run::{Because, Run};
use super::support;

/// Facts that are appended between two promises.
const PART: usize = 3;

/// Appends, and has promised, by turns. Returns how many of the appended facts are safe whatever
/// happens, and the store, which is still open.
fn play(run: &mut Run, root: &Path, disk: &Disk) -> (usize, Option<Store>) {
    let Some(store) = run.open(root, disk) else { return (0, None) };
    let mut safe = 0;
    for flush in [true, false, true, true] {
        append_part(run, &store);
        let kept = if flush { run.flush(&store) } else { run.wait(&store) };
        if kept {
            safe = run.acknowledged.len();
        }
    }
    append_part(run, &store);
    (safe, Some(store))
}

fn append_part(run: &mut Run, store: &Store) {
    for _ in 0..PART {
        run.append(store);
    }
}

fn rehearsal(durability: Durability) -> Vec<Op> {
    let folder = support::scratch();
    let plan = FaultPlan::new();
    let mut run = Run::new(durability);
    let (safe, store) = play(&mut run, &folder.path().join("facts"), &Disk::with_plan(plan.clone()));
    assert!(run.errors.is_empty() && safe == 4 * PART, "{:?}", run.errors);
    let operations = plan.log().into_iter().map(|(op, _)| op).collect();
    drop(store);
    operations
}

/// Plays it on a disk with this plan; then the power fails.
fn survives(durability: Durability, plan: &FaultPlan, n: u64) {
    let folder = support::scratch();
    let plan = plan.record_for_power_failure(folder.path());
    let mut run = Run::new(durability);
    let (safe, store) = play(&mut run, &folder.path().join("facts"), &Disk::with_plan(plan.clone()));
    // A store that does not sync promises nothing of the kind but by a flush.
    let kept = if durability == Durability::Synced { safe } else { run.flushed };
    survives_power_failures(&run, kept, &plan, folder.path(), n);
    drop(store);
}

fn survives_at_every_operation(durability: Durability) {
    for (n, op) in (1..).zip(rehearsal(durability)) {
        let _because = Because(format!("{durability:?}: the power fails before operation {n} ({op:?})"));
        survives(durability, &FaultPlan::new().halt_at(n), n);
        let fault = if op == Op::Append { Fault::ShortWrite } else { Fault::Io };
        let _because = Because(format!("{durability:?}: operation {n} ({op:?}) has failed: {fault:?}"));
        survives(durability, &FaultPlan::new().fail_at(n, fault), n);
    }
}

#[test]
fn what_a_journaling_store_has_appended_survives_a_power_failure_as_far_as_was_promised() {
    survives_at_every_operation(Durability::Journaled);
}

#[test]
fn what_a_syncing_store_has_appended_survives_a_power_failure_as_far_as_was_promised() {
    survives_at_every_operation(Durability::Synced);
}
