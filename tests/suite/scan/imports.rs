//! Segments of an import that no commit names: what was never acknowledged is no anomaly, and
//! what was is one, for its commit is lost.

use std::fs;
use std::path::Path;

use ostracon::disk::{Disk, FaultPlan, Op};
use ostracon::{CompactOptions, Import, Kind, RecoveryConfig, RecoveryMode, ScanReport, Store, recover};

use super::{DEPTHS, Scene, kinds};
use crate::support;
use crate::support::copy_tree;

const FACTS: u64 = 8;

fn input() -> String {
    (0..FACTS).map(|n| support::any_fact(n).to_line() + "\n").collect()
}

fn import(root: &Path) -> u64 {
    let store = Store::open(root).unwrap();
    store.import(input().as_bytes(), Import::named("papyra.ndjson")).unwrap().total()
}

/// A store with an import that has ended well, and whose commit, the newest, is gone.
fn rolled_back() -> Scene {
    let scene = Scene { folder: support::scratch() };
    assert_eq!(import(&scene.root()), FACTS);
    support::lose_commit(&scene.root(), 1);
    scene
}

/// A store whose process was killed when an import had linked its segments, before its commit.
fn killed() -> Scene {
    let alive = support::scratch();
    let plan = FaultPlan::new().below(alive.path().join("facts/ledger")).only(Op::Link);
    let store =
        Store::builder().disk(Disk::with_plan(plan.clone())).open(alive.path().join("facts")).unwrap();
    plan.halt_at(1);
    store.import(input().as_bytes(), Import::named("papyra.ndjson")).unwrap_err();
    let scene = Scene { folder: support::scratch() };
    copy_tree(&alive.path().join("facts"), &scene.root());
    scene
}

fn lines(root: &Path) -> Vec<String> {
    let mut lines = support::lines_at(root);
    lines.sort();
    lines
}

fn all_lines() -> Vec<String> {
    let mut lines: Vec<_> = input().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn repair(scene: &Scene) -> ostracon::RecoveryReport {
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    report
}

fn found(report: &ScanReport) -> String {
    report.anomalies.iter().map(|anomaly| format!("{}\n", anomaly.found)).collect()
}

#[test]
fn the_lost_commit_of_an_import_is_an_anomaly_and_its_facts_come_back() {
    let scene = rolled_back();
    for depth in DEPTHS {
        let report = scene.scan(depth);
        assert_eq!(kinds(&report), "3 segment_unknown", "{report:#?}");
        let told = found(&report);
        assert!(told.contains("its commit is lost") && told.contains("\"papyra.ndjson\""), "{told}");
        assert_eq!(report.anomalies.iter().filter_map(|a| a.affected.facts).sum::<u64>(), FACTS);
    }
    let report = repair(&scene);
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, FACTS), "{report:#?}");
    assert_eq!(lines(&scene.root()), all_lines());
    // The input is known again, too: its facts are not doubled.
    assert_eq!(import(&scene.root()), 0);
    assert_eq!(lines(&scene.root()), all_lines());
}

#[test]
fn a_rebuilt_ledger_knows_the_inputs_of_the_facts_that_it_takes_back() {
    let scene = rolled_back();
    support::lose_ledger(&scene.root());
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(lines(&scene.root()), all_lines());
    assert_eq!(import(&scene.root()), 0);
}

/// A power failure undoes what was not synced, such as the removal of a name. Whoever is told then that
/// the input is in the store may delete it.
#[test]
fn an_input_that_is_said_to_be_in_the_store_is_there_without_it() {
    let scene = Scene { folder: support::scratch() };
    assert_eq!(import(&scene.root()), FACTS);
    for segment in Kind::ALL.into_iter().flat_map(|kind| scene.segments(kind)) {
        fs::hard_link(&segment, segment.with_extension("tmp")).unwrap();
    }
    assert_eq!(import(&scene.root()), 0, "nothing is new in it");
    support::lose_ledger(&scene.root());
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(lines(&scene.root()), all_lines());
}

/// One of the three segments, and no commit: what a rebuilding takes of it, the input would double.
#[test]
fn a_rebuilt_ledger_leaves_what_was_never_acknowledged_to_the_input() {
    let scene = killed();
    fs::remove_file(&scene.segments(Kind::Audit)[0]).unwrap();
    support::lose_commit(&scene.root(), 0);
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert!(lines(&scene.root()).is_empty());
    assert_eq!(import(&scene.root()), FACTS);
    assert_eq!(lines(&scene.root()), all_lines());
}

#[test]
fn what_others_have_taken_the_numbers_of_is_kept_aside_and_told() {
    let scene = rolled_back();
    // The ledger knows nothing of the import's stream: whoever comes next has it.
    support::without_imports(&scene.root(), || {
        let store = Store::open(scene.root()).unwrap();
        for n in 100..120 {
            store.record(support::any_fact(n)).unwrap();
        }
        let other: String = (200..220).map(|n| support::any_fact(n).to_line() + "\n").collect();
        store.import(other.as_bytes(), Import::named("other")).unwrap();
        store.close().unwrap();
    });
    for depth in DEPTHS {
        let report = scene.scan(depth);
        assert_eq!(kinds(&report), "3 segment_unknown", "{report:#?}");
        assert!(found(&report).contains("other facts have their numbers"), "{report:#?}");
        assert!(report.anomalies[0].remedy.contains("import"), "{report:#?}");
    }
    // A compaction does not take them for litter.
    let store = Store::builder().access(ostracon::Access::Maintain).open(scene.root()).unwrap();
    store.compact(CompactOptions::new()).unwrap();
    drop(store);
    assert_eq!(kinds(&scene.scan(DEPTHS[1])), "3 segment_unknown");

    let report = repair(&scene);
    assert_eq!(report.quarantined_files.len(), 3, "{report:#?}");
    assert!(report.quarantined_files.iter().all(|path| path.exists()));
    assert_eq!(lines(&scene.root()).len(), 40);
    assert_eq!(import(&scene.root()), FACTS);
    assert_eq!(lines(&scene.root()).len() as u64, 40 + FACTS);
}

/// An import has no journal: what stands there under its numbers are other facts.
#[test]
fn an_import_whose_numbers_are_in_anothers_journal_is_told_at_once() {
    for taken in [3, FACTS] {
        let scene = rolled_back();
        let (one, two) = support::without_imports(&scene.root(), || {
            let (one, two) = (Store::open(scene.root()).unwrap(), Store::open(scene.root()).unwrap());
            for n in 100..100 + taken {
                two.record(support::any_fact(n)).unwrap();
            }
            (one, two)
        });
        let told = |scene: &Scene| {
            for depth in DEPTHS {
                let report = scene.scan(depth);
                assert_eq!(kinds(&report), "3 segment_unknown", "{report:#?}");
                assert!(found(&report).contains("other facts have"), "{report:#?}");
                assert!(report.anomalies[0].remedy.contains("import"), "{report:#?}");
            }
        };
        told(&scene);
        let scene = Scene::copy_of(&scene.root());
        drop((one, two));
        told(&scene);
        assert_eq!(repair(&scene).quarantined_files.len(), 3);
        assert_eq!(import(&scene.root()), FACTS);
        assert_eq!(lines(&scene.root()).len() as u64, taken + FACTS);
    }
}

#[test]
fn what_was_never_acknowledged_is_harmless_also_after_maintenance() {
    let scene = killed();
    let harmless = |scene: &Scene| {
        let report = scene.scan(DEPTHS[1]);
        assert!(report.is_clean(), "{report:#?}");
        report.debris.iter().filter(|debris| debris.what.contains("never reported as imported")).count()
    };
    assert_eq!(harmless(&scene), 3);
    repair(&scene);
    let store = Store::builder().access(ostracon::Access::Maintain).open(scene.root()).unwrap();
    store.compact(CompactOptions::new()).unwrap();
    drop(store);
    assert!(lines(&scene.root()).is_empty());
    assert_eq!(harmless(&scene), 3);
    assert_eq!(import(&scene.root()), FACTS);
    assert_eq!(lines(&scene.root()), all_lines());
    assert!(scene.scan(DEPTHS[1]).is_clean());
}

/// Where the mark of what was not acknowledged is gone, nobody can tell what it is.
#[test]
fn what_cannot_be_told_apart_is_not_called_harmless() {
    let scene = killed();
    for folder in ["events", "audits", "dead_letters"] {
        for path in super::files(&scene.root().join(folder)) {
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(path).unwrap();
            }
        }
    }
    let report = scene.scan(DEPTHS[0]);
    assert_eq!(kinds(&report), "3 segment_unknown");
    let files = repair(&scene).quarantined_files.len();
    assert_eq!((files, lines(&scene.root()).len() as u64), (3, FACTS));
    assert_eq!(import(&scene.root()), 0, "no fact twice");
}
