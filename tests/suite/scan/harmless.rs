//! What crashes leave and what does no harm: told apart, and no anomaly.

use std::fs;

use ostracon::disk::{Disk, FaultPlan, Op};
use ostracon::{CompactOptions, Import, Kind, RecoveryConfig, RecoveryMode, ScanDepth, Store, recover};

use super::{DEPTHS, Scene, record, tree};
use crate::support;
use crate::support::copy_tree;

/// A deep scan that finds nothing wrong, and what it calls harmless.
#[track_caller]
fn harmless(scene: &Scene) -> Vec<String> {
    let reports = DEPTHS.map(|depth| {
        let before = tree(&scene.root());
        let report = scene.scan(depth);
        assert_eq!(tree(&scene.root()), before, "a scan has changed something");
        assert!(report.is_clean(), "{report:#?}");
        report.debris
    });
    assert_eq!(reports[0], reports[1]);
    reports[0].iter().map(|debris| debris.what.clone()).collect()
}

#[test]
fn a_store_at_rest_has_nothing_to_tell() {
    let scene = Scene { folder: support::scratch() };
    let store = Store::open(scene.root()).unwrap();
    (0..20).for_each(|n| record(&store, n));
    store.close().unwrap();
    assert!(harmless(&scene).is_empty());
    assert!(harmless(&Scene::with_a_checkpoint()).is_empty());
}

#[test]
fn facts_in_the_journal_of_a_killed_process_are_no_debris() {
    assert!(harmless(&Scene::left_by_a_killed_process()).is_empty());
}

/// Spares that came too late, or to nothing, and whose process did not live to remove them.
#[test]
fn journal_files_that_were_begun_and_never_used() {
    let scene = Scene::left_by_a_killed_process();
    let used = scene.journal();
    let name = used.file_name().unwrap().to_str().unwrap();
    let header = &fs::read(&used).unwrap()[..36];
    let number: u64 = name.split('-').next().unwrap().parse().unwrap();
    assert!(number > 1, "{name}");
    let beside = |number: u64| used.with_file_name(format!("{number:08}{}", &name[8..]));
    for spare in [beside(number - 1), beside(number + 1)] {
        fs::write(&spare, header).unwrap();
        support::never_used(&spare);
    }
    // Of processes that were killed while they began one.
    fs::write(used.with_file_name("0f0f.tmp"), &header[..20]).unwrap();
    fs::write(used.with_file_name("0e0e.tmp"), b"").unwrap();
    let told = harmless(&scene);
    let without_facts = told.iter().filter(|what| *what == "a journal without facts");
    assert_eq!((told.len(), without_facts.count()), (4, 2), "{told:?}");

    let lines: Vec<_> = (0..21).map(|n| support::any_fact(n).to_line()).collect();
    assert_eq!(support::lines_at(&scene.root()), lines);
    let store = Store::open(scene.root()).unwrap();
    let next = store.record(support::any_fact(21)).unwrap();
    assert_eq!((next.stream.get(), next.seq.get()), (1, 22), "the stream goes on");
    store.close().unwrap();
    let unfinished = "a file that was not finished; nothing refers to it";
    assert_eq!(harmless(&scene), [unfinished, unfinished]);
    assert_eq!(support::lines_at(&scene.root()).len(), 22);
}

#[test]
fn temporary_files() {
    let scene = Scene::left_by_a_killed_process();
    for name in
        ["events/1-17-21-0a0b0c0d.tmp", "ledger/00ff.tmp", "ostracon.toml.00ff.tmp", "audits/again-1.tmp"]
    {
        fs::write(scene.root().join(name), b"half").unwrap();
    }
    let told = harmless(&scene);
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|what| what.starts_with("a file that was not finished")), "{told:?}");
}

/// A store whose process was killed when a flush had linked its segments, before its commit.
fn killed_before_the_commit_of_a_flush() -> Scene {
    let alive = support::scratch();
    let plan = FaultPlan::new().below(alive.path().join("facts/ledger")).only(Op::Link);
    let store =
        Store::builder().disk(Disk::with_plan(plan.clone())).open(alive.path().join("facts")).unwrap();
    (0..8).for_each(|n| record(&store, n));
    plan.halt_at(1);
    store.flush().unwrap_err();
    let scene = Scene { folder: support::scratch() };
    copy_tree(&alive.path().join("facts"), &scene.root());
    scene
}

#[test]
fn segments_that_were_not_committed_and_whose_facts_are_in_the_journal() {
    let scene = killed_before_the_commit_of_a_flush();
    let told = harmless(&scene);
    let segments = told.iter().filter(|what| what.contains("its facts are still in the journal"));
    assert_eq!(segments.count(), 3, "{told:?}");

    // Without the journal they are the only place of these facts.
    fs::remove_file(scene.journal()).unwrap();
    for depth in DEPTHS {
        let report = scene.scan(depth);
        let unknown: Vec<_> = report.anomalies.iter().map(|anomaly| anomaly.kind.to_string()).collect();
        assert_eq!(unknown, ["segment_unknown"; 3]);
        let facts: u64 = report.anomalies.iter().filter_map(|anomaly| anomaly.affected.facts).sum();
        assert_eq!(facts, 8);
    }
}

#[test]
fn segments_that_were_not_committed_and_whose_facts_another_flush_has_committed() {
    let scene = killed_before_the_commit_of_a_flush();
    Store::open(scene.root()).unwrap().close().unwrap();
    let told = harmless(&scene);
    let segments = told.iter().filter(|what| what.contains("whose facts the ledger covers"));
    // The fourth is the commit's temporary file.
    assert_eq!((segments.count(), told.len()), (3, 4), "{told:?}");
    assert_eq!(support::lines_at(&scene.root()).len(), 8);
}

#[test]
fn segments_of_an_import_that_was_killed_before_its_commit() {
    let alive = support::scratch();
    let plan = FaultPlan::new().below(alive.path().join("facts/ledger")).only(Op::Link);
    let store =
        Store::builder().disk(Disk::with_plan(plan.clone())).open(alive.path().join("facts")).unwrap();
    let lines: String = (0..8).map(|n| support::any_fact(n).to_line() + "\n").collect();
    plan.halt_at(1);
    store.import(lines.as_bytes(), Import::named("killed")).unwrap_err();
    let scene = Scene { folder: support::scratch() };
    copy_tree(&alive.path().join("facts"), &scene.root());

    let told = harmless(&scene);
    let segments = told.iter().filter(|what| what.contains("importing the same input again"));
    assert_eq!(segments.count(), 3, "{told:?}");
    // Nobody takes these facts for recorded: the next run of the import brings them.
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(support::lines_at(&scene.root()).len(), 0);
    let store = Store::open(scene.root()).unwrap();
    assert_eq!(store.import(lines.as_bytes(), Import::named("killed")).unwrap().total(), 8);
    assert_eq!(support::lines_at(&scene.root()).len(), 8);
    // And the next compaction removes what lies about.
    store.compact(CompactOptions::new()).unwrap();
    let left = harmless(&scene);
    assert!(left.iter().all(|what| !what.contains("segment")), "{left:?}");
}

#[test]
fn a_journal_whose_facts_are_in_the_ledger() {
    // The segments' temporary names, and the commit's, are removed before the journal.
    let scene = Scene { folder: support::scratch() };
    let alive = support::scratch();
    let store = Store::open(alive.path().join("facts")).unwrap();
    (0..8).for_each(|n| record(&store, n));
    copy_tree(&alive.path().join("facts/journal"), &alive.path().join("journal"));
    store.close().unwrap();
    copy_tree(&alive.path().join("facts"), &scene.root());
    fs::remove_dir_all(scene.root().join("journal")).unwrap();
    copy_tree(&alive.path().join("journal"), &scene.root().join("journal"));
    assert_eq!(harmless(&scene), ["a journal whose facts are in the ledger"]);
}

#[test]
fn a_torn_end_that_a_crash_may_have_left() {
    let scene = Scene::left_by_a_killed_process();
    let journal = scene.journal();
    let bytes = fs::read(&journal).unwrap();
    for cut in [1, 10, 40] {
        fs::write(&journal, &bytes[..bytes.len() - cut]).unwrap();
        let told = harmless(&scene);
        assert!(told.len() == 1 && told[0].starts_with("a journal's torn end"), "{told:?}");
    }
}

#[test]
fn what_a_live_owner_is_making_is_not_even_told() {
    let scene = Scene { folder: support::scratch() };
    let store = Store::open(scene.root()).unwrap();
    store.record(support::crash(1)).unwrap();
    for name in ["events/1-1-1-0a0b0c0d.tmp", "dead_letters/1-1-1-0a0b0c0d.tmp"] {
        fs::write(scene.root().join(name), b"half").unwrap();
    }
    assert!(harmless(&scene).is_empty());
    drop(store);
    assert_eq!(harmless(&scene).len(), 2);
}

#[test]
fn a_scan_is_counted() {
    let scene = Scene::left_by_a_killed_process();
    let store = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap();
    assert!(store.scan(ScanDepth::Quick).unwrap().is_clean());
    fs::remove_file(&scene.segments(Kind::Event)[0]).unwrap();
    assert!(!store.scan(ScanDepth::Deep).unwrap().is_clean());
    let metrics = store.metrics();
    assert_eq!((metrics.scans, metrics.anomalies_detected, metrics.scan_errors), (2, 1, 0));
    fs::remove_dir_all(scene.root()).unwrap();
    store.scan(ScanDepth::Quick).unwrap_err();
    assert_eq!((store.metrics().scans, store.metrics().scan_errors), (3, 1));
}
