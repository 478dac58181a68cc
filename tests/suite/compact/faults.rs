//! The disk fails, the process stops, the power fails: at every operation of a compaction.
//!
//! Whatever happens, the store holds either all facts that it held before, or those that retention
//! keeps, and nothing in between; and a compaction on a sound disk ends well.

use std::path::Path;

use ostracon::disk::{Disk, Fault, FaultPlan, Op, PowerFailure};
use ostracon::{CompactOptions, CompactReport, Position, Result, RetentionLimits, RetentionPolicy, Store};

use super::{assert_clean, assert_sorted, assert_swept, facts_at, support, written};
use crate::faults::Because;
use crate::support::copy_tree;

/// Facts that are kept, of 48.
const KEPT: usize = 17;

/// A store that is compacted over and over, and what is in it before and after.
struct Scene {
    folder: tempfile::TempDir,
    before: Vec<(Position, String)>,
}

impl Scene {
    fn new() -> Self {
        let folder = support::scratch();
        written(folder.path(), 2, 2, 12);
        let before = facts_at(folder.path());
        assert_eq!(before.len(), 48);
        Self { folder, before }
    }

    fn after(&self) -> &[(Position, String)] {
        &self.before[self.before.len() - KEPT..]
    }

    /// A copy of the store, for one attempt.
    fn copy(&self) -> tempfile::TempDir {
        let folder = support::scratch();
        copy_tree(self.folder.path(), &folder.path().join("facts"));
        folder
    }

    /// What the disk is asked to do when nothing goes wrong.
    fn rehearsal(&self) -> Vec<Op> {
        let folder = self.copy();
        let plan = FaultPlan::new();
        let report = compact(&folder.path().join("facts"), Disk::with_plan(plan.clone())).unwrap();
        assert_eq!(report.dropped_facts() as usize, self.before.len() - KEPT);
        plan.log().into_iter().map(|(op, _)| op).collect()
    }

    /// Fails unless the store is whole, and is compacted by the next one who tries.
    fn check(&self, root: &Path, disk: &Disk) {
        let found = facts_at(root);
        assert!(found == self.before || found == self.after(), "{found:#?}");
        assert_clean(root, disk);
        compact(root, disk.clone()).unwrap();
        assert_eq!(facts_at(root), self.after());
        // What could not be seen as left behind at once is seen now.
        assert_eq!(compact(root, disk.clone()).unwrap().commit, None);
        assert_swept(root);
        assert_sorted(root);
        assert_clean(root, disk);
        // And it can be written to.
        let store = Store::builder().disk(disk.clone()).open(root).unwrap();
        store.record(support::crash(1)).unwrap();
        store.close().unwrap();
        drop(store);
        assert_eq!(facts_at(root).len(), KEPT + 1);
    }
}

fn compact(root: &Path, disk: Disk) -> Result<CompactReport> {
    let policy = RetentionPolicy::new().store(RetentionLimits::new().max_records(KEPT as u64));
    let store =
        Store::builder().disk(disk).access(ostracon::Access::Maintain).retention(policy).open(root)?;
    store.compact(CompactOptions::new())
}

#[test]
fn a_compaction_survives_a_fault_of_every_operation() {
    let scene = Scene::new();
    let operations = scene.rehearsal();
    assert!(operations.len() > 40, "{operations:?}");
    for (n, op) in (1..).zip(operations) {
        // What a compaction makes of an error depends on its kind only in what it reports.
        let (once, for_good) =
            if n % 2 == 0 { (Fault::Io, Fault::NoSpace) } else { (Fault::NoSpace, Fault::Io) };
        let short = (op == Op::Append).then_some(Fault::ShortWrite);
        for (fault, for_good) in
            [Some((once, false)), Some((for_good, true)), short.map(|short| (short, n % 2 == 0))]
                .into_iter()
                .flatten()
        {
            let _because =
                Because(format!("operation {n} ({op:?}) fails with {fault:?}, for good: {for_good}"));
            let folder = scene.copy();
            let root = folder.path().join("facts");
            let plan = FaultPlan::new();
            let plan = if for_good { plan.fail_from(n, fault) } else { plan.fail_at(n, fault) };
            let result = compact(&root, Disk::with_plan(plan));
            // What was reported is so.
            if result.is_ok() {
                assert_eq!(facts_at(&root), scene.after());
            }
            scene.check(&root, &Disk::new());
        }
    }
}

#[test]
fn a_compaction_that_stops_at_any_operation_is_completed_by_the_next_one() {
    let scene = Scene::new();
    let operations = scene.rehearsal();
    for (n, op) in (1..).zip(&operations) {
        let _because = Because(format!("the process dies before operation {n} ({op:?})"));
        let folder = scene.copy();
        let root = folder.path().join("facts");
        let _ = compact(&root, Disk::with_plan(FaultPlan::new().halt_at(n)));
        if n % 3 == 0 {
            // And the next one dies, too, a little later.
            let _ = compact(&root, Disk::with_plan(FaultPlan::new().halt_at(n + 5)));
        }
        scene.check(&root, &Disk::new());
    }
}

#[test]
fn a_compaction_survives_a_power_failure_at_every_operation() {
    let scene = Scene::new();
    let operations = scene.rehearsal().len() as u64;
    for n in 1..=operations + 1 {
        let folder = scene.copy();
        let plan = FaultPlan::new().record_for_power_failure(folder.path()).halt_at(n);
        let result = compact(&folder.path().join("facts"), Disk::with_plan(plan.clone()));
        let clear = [PowerFailure::DropUnsynced, PowerFailure::KeepNames, PowerFailure::KeepAllData];
        for choice in [clear[n as usize % 3], PowerFailure::Random(n)] {
            let _because = Because(format!("the power fails before operation {n}: {choice:?}"));
            let left = support::scratch();
            plan.power_failure(folder.path(), left.path(), choice).unwrap();
            let root = left.path().join("facts");
            if result.is_ok() {
                assert_eq!(facts_at(&root), scene.after());
            }
            scene.check(&root, &Disk::after_power_failure());
        }
    }
}
