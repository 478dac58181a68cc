//! A recovery that fails or is cut short at any of its operations, twice over, and is done again,
//! ends as one that went through.

use ostracon::disk::{Disk, Fault, FaultPlan, Op, PowerFailure};
use ostracon::{RecoveryMode, recover};

use super::scene::{Scene, change, places, position};
use crate::support;

/// Damage of every sort that a ledger survives.
fn damaged() -> (Scene, RecoveryMode) {
    let scene = Scene::new();
    // One segment of which a part can be read, and one that is gone.
    let events = scene.events(0);
    change(&events, |bytes| {
        bytes.pop();
        bytes[10] ^= 1;
    });
    std::fs::remove_file(scene.events(1)).unwrap();
    let journal = scene.journal();
    let at = position(&journal, b"sku-26");
    change(&journal, |bytes| bytes[at] ^= 1);
    std::fs::write(scene.root().join("events/notes.txt"), "hello").unwrap();
    // Of two commits, one file each.
    change(&scene.commit(1), |bytes| bytes[100] ^= 1);
    std::fs::remove_file(&support::both_files(&scene.root(), 0)[1]).unwrap();
    change(&support::both_files(&scene.root(), 2)[1], Vec::clear);
    std::fs::create_dir(scene.root().join("audits/mine")).unwrap();
    std::fs::write(scene.root().join("audits/mine/a"), "a").unwrap();
    (scene, RecoveryMode::Quarantine)
}

/// A ledger that is beyond help, and a segment that is gone.
fn without_a_ledger() -> (Scene, RecoveryMode) {
    let scene = Scene::new();
    support::lose_commit(&scene.root(), 1);
    std::fs::remove_file(scene.events(1)).unwrap();
    (scene, RecoveryMode::Rebuild)
}

/// A store that gave up facts of a segment and of a journal, and both files as they were before, put back.
fn put_back() -> (Scene, RecoveryMode) {
    let scene = Scene::new();
    let files = [scene.events(1), scene.journal()].map(|path| (path.clone(), std::fs::read(path).unwrap()));
    std::fs::remove_file(scene.events(1)).unwrap();
    let at = position(&scene.journal(), b"sku-26");
    change(&scene.journal(), |bytes| bytes[at] ^= 1);
    let report = run(&scene, RecoveryMode::Repair, &Disk::new()).unwrap();
    assert!(report.is_clean() && report.facts_lost() > 1, "{report:#?}");
    // What could bring them back by itself.
    let aside = scene.root().join("quarantine");
    if aside.exists() {
        std::fs::remove_dir_all(aside).unwrap();
    }
    for (path, bytes) in files {
        std::fs::write(path, bytes).unwrap();
    }
    (scene, RecoveryMode::Repair)
}

/// Recovers on this disk. The scratch folder holds the store and the folder for what is moved
/// aside.
fn run(scene: &Scene, mode: RecoveryMode, disk: &Disk) -> ostracon::Result<ostracon::RecoveryReport> {
    recover(scene.root(), scene.config(mode).disk(disk.clone()))
}

/// What is in a store that was recovered, for comparing.
fn facts(scene: &Scene, mode: RecoveryMode, disk: &Disk) -> Vec<(u32, u64, String)> {
    let report = run(scene, mode, disk).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    places(&scene.root()).unwrap()
}

struct Rehearsed {
    scene: Scene,
    mode: RecoveryMode,
    operations: Vec<Op>,
    facts: Vec<(u32, u64, String)>,
}

fn rehearse((scene, mode): (Scene, RecoveryMode)) -> Rehearsed {
    let played = scene.copy();
    let plan = FaultPlan::new();
    let facts = facts(&played, mode, &Disk::with_plan(plan.clone()));
    let operations = plan.log().into_iter().map(|(op, _)| op).collect();
    Rehearsed { scene, mode, operations, facts }
}

impl Rehearsed {
    fn ends_the_same(&self, scene: &Scene, disk: &Disk, because: &str) {
        let found = facts(scene, self.mode, disk);
        assert_eq!(found, self.facts, "{because}");
    }
}

fn survives_every_fault(rehearsed: &Rehearsed) {
    for (n, op) in (1..).zip(&rehearsed.operations) {
        let short = (*op == Op::Append).then_some(Fault::ShortWrite);
        let faults = [Some(if n % 2 == 0 { Fault::Io } else { Fault::NoSpace }), short];
        for (fault, for_good) in faults.into_iter().flatten().zip([n % 3 == 0, n % 2 == 0]) {
            let because = format!("operation {n} ({op:?}) fails with {fault:?}, for good: {for_good}");
            let plan = FaultPlan::new();
            if for_good {
                plan.fail_from(n, fault)
            } else {
                plan.fail_at(n, fault)
            };
            let scene = rehearsed.scene.copy();
            // It may get along without, or not.
            if let Ok(report) = run(&scene, rehearsed.mode, &Disk::with_plan(plan.clone())) {
                assert!(report.is_clean(), "{because}: {report:#?}");
            }
            rehearsed.ends_the_same(&scene, &Disk::new(), &because);
        }
    }
}

#[test]
fn a_repair_survives_a_fault_of_every_operation() {
    survives_every_fault(&rehearse(damaged()));
}

#[test]
fn a_rebuilding_survives_a_fault_of_every_operation() {
    survives_every_fault(&rehearse(without_a_ledger()));
}

#[test]
fn restoring_facts_survives_a_fault_of_every_operation() {
    let rehearsed = rehearse(put_back());
    assert_eq!(rehearsed.facts, places(&Scene::new().root()).unwrap());
    survives_every_fault(&rehearsed);
}

fn survives_every_stop_twice_over(rehearsed: &Rehearsed) {
    let operations = rehearsed.operations.len() as u64;
    for n in 1..=operations {
        let scene = rehearsed.scene.copy();
        let plan = FaultPlan::new().halt_at(n);
        assert!(run(&scene, rehearsed.mode, &Disk::with_plan(plan)).is_err(), "stopped at {n}");
        // The second stop comes early, in the middle or late.
        let m = [1 + n % 7, operations / 2 + n % 5, operations.saturating_sub(n % 11)][n as usize % 3];
        let again = scene.copy();
        let plan = FaultPlan::new().halt_at(m.max(1));
        let _ = run(&again, rehearsed.mode, &Disk::with_plan(plan));
        rehearsed.ends_the_same(&again, &Disk::new(), &format!("stopped at {n}, then at {m}"));
        rehearsed.ends_the_same(&scene, &Disk::new(), &format!("stopped at {n}"));
    }
}

#[test]
fn a_repair_survives_being_stopped_at_every_operation_twice_over() {
    survives_every_stop_twice_over(&rehearse(damaged()));
}

#[test]
fn a_rebuilding_survives_being_stopped_at_every_operation_twice_over() {
    survives_every_stop_twice_over(&rehearse(without_a_ledger()));
}

#[test]
fn restoring_facts_survives_being_stopped_at_every_operation_twice_over() {
    survives_every_stop_twice_over(&rehearse(put_back()));
}

/// Stops at operation `n`, and lays out what a power failure leaves then.
fn fail_power(
    scene: &Scene,
    mode: RecoveryMode,
    disk: Disk,
    plan: &FaultPlan,
    choice: PowerFailure,
) -> Scene {
    let _ = run(scene, mode, &disk);
    let folder = support::scratch();
    plan.power_failure(scene.folder.path(), folder.path(), choice).unwrap();
    Scene { folder, lines: scene.lines.clone() }
}

fn clear(n: u64) -> PowerFailure {
    [PowerFailure::DropUnsynced, PowerFailure::KeepNames, PowerFailure::KeepAllData][n as usize % 3]
}

fn survives_every_power_failure_twice_over(rehearsed: &Rehearsed) {
    let operations = rehearsed.operations.len() as u64;
    for n in 1..=operations + 1 {
        let (choice, next) = if n % 2 == 0 {
            (clear(n), PowerFailure::Random(n))
        } else {
            (PowerFailure::Random(n), clear(n))
        };
        let because = format!("the power fails before operation {n}: {choice:?}");
        let scene = rehearsed.scene.copy();
        let plan = FaultPlan::new().record_for_power_failure(scene.folder.path()).halt_at(n);
        let left = fail_power(&scene, rehearsed.mode, Disk::with_plan(plan.clone()), &plan, choice);
        // And again, while that is being recovered.
        let m = 1 + (n * 7) % operations;
        let copy = left.copy();
        let twice = FaultPlan::new().record_for_power_failure(copy.folder.path()).halt_at(m);
        let left_again = fail_power(&copy, rehearsed.mode, Disk::with_plan(twice.clone()), &twice, next);
        rehearsed.ends_the_same(&left_again, &Disk::after_power_failure(), &format!("{because}, then {m}"));
        rehearsed.ends_the_same(&left, &Disk::after_power_failure(), &because);
    }
}

#[test]
fn a_repair_survives_a_power_failure_at_every_operation_twice_over() {
    survives_every_power_failure_twice_over(&rehearse(damaged()));
}

#[test]
fn a_rebuilding_survives_a_power_failure_at_every_operation_twice_over() {
    survives_every_power_failure_twice_over(&rehearse(without_a_ledger()));
}

#[test]
fn restoring_facts_survives_a_power_failure_at_every_operation_twice_over() {
    survives_every_power_failure_twice_over(&rehearse(put_back()));
}
