//! Imports whose commits are lost: their facts come back once, and the next import of the same input
//! brings what is missing, once.

use std::fs;
use std::ops::Range;

use ostracon::disk::{Disk, FaultPlan};
use ostracon::{
    CompactOptions, Cursor, Import, Kind, RecoveryConfig, RecoveryMode, RecoveryReport, Store, recover,
};
use tempfile::TempDir;

use crate::support;
use crate::support::copy_tree;

/// A store that loses its newest commits.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { folder: support::scratch() }
    }

    fn copy(&self) -> Self {
        let copy = Self::new();
        copy_tree(self.folder.path(), copy.folder.path());
        copy
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("facts")
    }

    /// Opens it for writing. The stream is the first that is free, and an import's the next.
    fn open(&self) -> Store {
        Store::open(self.root()).unwrap()
    }

    /// Of the ledger, so many commits are left.
    fn roll_back(&self, left: u64) {
        for number in left.. {
            if !support::both_files(&self.root(), number)[0].exists() {
                return;
            }
            support::lose_commit(&self.root(), number);
        }
    }

    fn lose_ledger(&self) {
        support::lose_ledger(&self.root());
    }

    fn recover(&self, mode: RecoveryMode) -> RecoveryReport {
        let report = recover(self.root(), RecoveryConfig::new(mode)).unwrap();
        assert!(report.is_clean(), "{report:#?}");
        report
    }

    /// How many facts an import of these brings.
    fn import(&self, numbers: Range<u64>) -> u64 {
        import(&self.open(), numbers)
    }

    fn holds(&self, numbers: impl Iterator<Item = u64>) {
        let mut expected: Vec<_> = numbers.map(|n| support::any_fact(n).to_line()).collect();
        let mut found = support::lines_at(&self.root());
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    fn compact(&self) {
        let store = Store::builder().access(ostracon::Access::Maintain).open(self.root()).unwrap();
        store.compact(CompactOptions::new()).unwrap();
    }
}

fn lines(numbers: Range<u64>) -> String {
    numbers.map(|n| support::any_fact(n).to_line() + "\n").collect()
}

fn import(store: &Store, numbers: Range<u64>) -> u64 {
    store.import(lines(numbers).as_bytes(), Import::named("papyra.ndjson")).unwrap().total()
}

fn import_again(store: &Store, numbers: Range<u64>) {
    store.import(lines(numbers).as_bytes(), Import::named("papyra.ndjson").again(true)).unwrap();
}

fn record(store: &Store, numbers: Range<u64>) {
    for n in numbers {
        store.record(support::any_fact(n)).unwrap();
    }
}

fn is_told(report: &RecoveryReport, what: &str) -> bool {
    report.notes.iter().any(|note| note.contains(what))
}

/// Its beginning, by which an input is known again, is another one since it has grown.
#[test]
fn a_small_input_that_has_grown_is_known_again() {
    let scene = Scene::new();
    assert_eq!((scene.import(0..8), scene.import(0..16)), (8, 8));
    scene.roll_back(2);
    for mode in [RecoveryMode::Repair, RecoveryMode::Rebuild] {
        let scene = scene.copy();
        if mode == RecoveryMode::Rebuild {
            scene.lose_ledger();
        }
        scene.recover(mode);
        scene.holds(0..16);
        assert_eq!(scene.import(0..16), 0, "no fact twice: {mode:?}");
        assert_eq!(scene.import(0..24), 8);
        scene.holds(0..24);
    }
}

/// Two parts of an input, the first in stream 2, the second in stream 1.
fn two_streams() -> Scene {
    let scene = Scene::new();
    let one = scene.open();
    assert_eq!(import(&one, 0..8), 8);
    let other = scene.open();
    drop(one);
    assert_eq!(import(&other, 0..16), 8);
    drop(other);
    scene.roll_back(1);
    scene
}

#[test]
fn parts_of_an_input_in_several_streams_follow_each_other() {
    let scene = two_streams();
    scene.recover(RecoveryMode::Repair);
    scene.holds(0..16);
    assert_eq!(scene.import(0..16), 0);
}

#[test]
fn parts_of_an_input_that_take_turns_in_several_streams_follow_each_other() {
    let scene = Scene::new();
    let one = scene.open();
    assert_eq!(import(&one, 0..8), 8);
    let two = scene.open();
    drop(one);
    assert_eq!(import(&two, 0..16), 8);
    let three = scene.open();
    drop(two);
    assert_eq!(import(&three, 0..24), 8);
    drop(three);
    scene.roll_back(1);
    scene.recover(RecoveryMode::Repair);
    scene.holds(0..24);
    assert_eq!(scene.import(0..24), 0);
}

/// A recovery that is stopped at any of its operations, and done again, ends as one that went through.
fn survives_every_stop(scene: &Scene, mode: RecoveryMode, ends_well: impl Fn(&Scene)) {
    for n in 1.. {
        let scene = scene.copy();
        let disk = Disk::with_plan(FaultPlan::new().halt_at(n));
        let ended = recover(scene.root(), RecoveryConfig::new(mode).disk(disk)).is_ok();
        scene.recover(mode);
        ends_well(&scene);
        if ended {
            assert!(n > 10);
            return;
        }
    }
}

#[test]
fn a_recovery_of_several_streams_that_is_killed_doubles_nothing() {
    let scene = two_streams();
    let ends_well = |scene: &Scene| {
        scene.holds(0..16);
        assert_eq!(scene.import(0..16), 0);
    };
    survives_every_stop(&scene, RecoveryMode::Repair, ends_well);
    scene.lose_ledger();
    survives_every_stop(&scene, RecoveryMode::Rebuild, ends_well);
}

/// An import in stream 2 whose commit is lost, and whose first numbers others get.
fn taken_in_part(others: impl FnOnce(&Store)) -> Scene {
    let scene = Scene::new();
    assert_eq!(scene.import(0..8), 8);
    scene.roll_back(1);
    let (one, two) = support::without_imports(&scene.root(), || {
        let (one, two) = (scene.open(), scene.open());
        others(&two);
        (one, two)
    });
    // As it is when both processes are killed.
    let scene = scene.copy();
    drop((one, two));
    scene
}

fn comes_back_by_its_input(scene: &Scene, mode: RecoveryMode) {
    let report = scene.recover(mode);
    let kept = report.quarantined_files.iter().filter(|path| {
        path.exists() && path.file_name().is_some_and(|name| name.to_string_lossy().contains("import-"))
    });
    assert_eq!(kept.count(), 3, "{report:#?}");
    scene.holds(100..103);
    assert_eq!(scene.import(0..8), 8);
    scene.holds((0..8).chain(100..103));
    assert_eq!(scene.import(0..8), 0);
}

#[test]
fn an_import_of_whose_numbers_others_have_some_comes_back_whole_by_its_input() {
    let flushed = taken_in_part(|store| {
        record(store, 100..103);
        store.flush().unwrap();
    });
    comes_back_by_its_input(&flushed, RecoveryMode::Repair);
    let journaled = taken_in_part(|store| record(store, 100..103));
    comes_back_by_its_input(&journaled, RecoveryMode::Repair);
}

/// No commit names either: what was recorded has no other source.
#[test]
fn of_lost_commits_for_the_same_numbers_an_imports_gives_way() {
    let scene = taken_in_part(|store| {
        record(store, 100..103);
        store.flush().unwrap();
    });
    scene.roll_back(1);
    let ends_well = |scene: &Scene| {
        scene.holds(100..103);
        assert_eq!(scene.import(0..8), 8);
        scene.holds((0..8).chain(100..103));
    };
    survives_every_stop(&scene, RecoveryMode::Repair, ends_well);
    comes_back_by_its_input(&scene.copy(), RecoveryMode::Repair);
    scene.lose_ledger();
    survives_every_stop(&scene, RecoveryMode::Rebuild, ends_well);
    comes_back_by_its_input(&scene, RecoveryMode::Rebuild);
}

#[test]
fn a_part_that_comes_back_with_gaps_is_told() {
    let scene = Scene::new();
    assert_eq!(scene.import(0..8), 8);
    scene.roll_back(1);
    for path in fs::read_dir(scene.root().join("audits")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::remove_file(path).unwrap();
    }
    let report = scene.recover(RecoveryMode::Repair);
    assert_eq!(report.facts_lost(), 2);
    assert!(is_told(&report, "\"papyra.ndjson\"") && is_told(&report, "others were not"), "{report:#?}");
    scene.holds((0..8).filter(|n| n % 4 != 1));
}

/// The facts of the older import excuse nothing: those of the second are in the store only by itself.
#[test]
fn an_import_that_was_asked_for_again_is_not_excused_by_the_first() {
    let scene = Scene::new();
    assert_eq!(scene.import(0..8), 8);
    import_again(&scene.open(), 0..8);
    scene.roll_back(2);
    let others = scene.copy();
    scene.recover(RecoveryMode::Repair);
    scene.holds((0..8).chain(0..8));
    assert_eq!(scene.import(0..8), 0);

    // Others get its numbers, and a compaction looks for litter.
    support::without_imports(&others.root(), || {
        let (one, two) = (others.open(), others.open());
        record(&two, 100..108);
        two.close().unwrap();
        drop((one, two));
    });
    let segments = |scene: &Scene| {
        let names = Kind::ALL.map(|kind| fs::read_dir(scene.root().join(kind.table())).unwrap());
        let names = names.into_iter().flatten().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("import-2-9-16-")).count()
    };
    others.compact();
    assert_eq!(segments(&others), 3);
    let report = others.recover(RecoveryMode::Repair);
    assert_eq!(report.quarantined_files.len(), 3, "{report:#?}");
}

/// A repair is killed when it has committed what it brings back; then its own segments go, and the ledger.
#[test]
fn what_a_repair_had_brought_back_comes_back_again_from_the_imports_files() {
    let scene = Scene::new();
    assert_eq!(scene.import(0..8), 8);
    scene.roll_back(1);
    let left = scene.copy();
    scene.recover(RecoveryMode::Repair);
    for kind in Kind::ALL {
        let folder = scene.root().join(kind.table());
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            fs::remove_file(path).unwrap();
        }
        for path in fs::read_dir(left.root().join(kind.table())).unwrap().map(|entry| entry.unwrap().path()) {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    support::lose_commit(&scene.root(), 0);
    scene.recover(RecoveryMode::Rebuild);
    scene.holds(0..8);
    assert_eq!(scene.import(0..8), 0);
}

/// Where the mark of an import, and what it had committed, have to be told by footers.
#[test]
fn a_rebuilt_ledger_knows_an_input_whose_facts_a_compaction_had_moved() {
    let scene = Scene::new();
    let store = scene.open();
    record(&store, 100..108);
    store.flush().unwrap();
    assert_eq!(import(&store, 0..8), 8);
    drop(store);
    // The import's own files wait for a reader.
    let reader = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap();
    let reading = reader.after(&Cursor::start()).unwrap();
    scene.compact();
    let left = scene.copy();
    drop((reading, reader));
    left.lose_ledger();
    left.recover(RecoveryMode::Rebuild);
    left.holds((0..8).chain(100..108));
    assert_eq!(left.import(0..8), 0);

    // And if they do not wait, nobody can tell.
    scene.compact();
    scene.lose_ledger();
    let report = scene.recover(RecoveryMode::Rebuild);
    scene.holds((0..8).chain(100..108));
    assert!(is_told(&report, "not known: which inputs"), "{report:#?}");
}
