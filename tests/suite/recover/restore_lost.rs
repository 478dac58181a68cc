//! Facts that were given up as lost, and whose file turns up.

use std::fs;
use std::path::Path;

use ostracon::{
    AnomalyKind, CompactOptions, RecoveryConfig, RecoveryMode, RecoveryReport, ScanDepth, Store, recover,
    scan, verify,
};

use super::scene::{FLUSHED, LEFT, Scene, change, places};

fn repair(root: &Path) -> RecoveryReport {
    recover(root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap()
}

/// A file that was missing when the store was recovered, and that somebody puts back later.
#[test]
fn facts_that_were_given_up_come_back_with_their_file() {
    for meanwhile in ["nothing", "a compaction", "a new ledger"] {
        let scene = Scene::new();
        let kept = places(&scene.root()).unwrap();
        let (events, journal) = (scene.events(0), scene.journal());
        let away = scene.folder.path().join("away");
        fs::rename(&events, &away).unwrap();
        // All that could bring them.
        fs::remove_file(journal).unwrap();
        let report = repair(&scene.root());
        let lost = report.facts_lost();
        assert!(lost > 0 && report.is_clean(), "{report:#?}");
        let before = verify(scene.root(), None).unwrap();
        match meanwhile {
            "a compaction" => {
                let keeper = Store::builder().maintenance().open(scene.root()).unwrap();
                keeper.compact(CompactOptions::new()).unwrap();
            }
            "a new ledger" => {
                begin_ledger_again(&scene);
            }
            _ => {}
        }

        fs::copy(&away, &events).unwrap();
        // Nobody takes it for litter.
        Store::builder().maintenance().open(scene.root()).unwrap().compact(CompactOptions::new()).unwrap();
        let found = scan(scene.root(), ScanDepth::Quick).unwrap();
        let named: Vec<_> =
            found.anomalies.iter().map(|anomaly| (anomaly.kind, anomaly.affected.facts)).collect();
        assert_eq!(named, [(AnomalyKind::SegmentUnknown, Some(before.kinds[0].lost))], "{found:#?}");
        let report = repair(&scene.root());
        assert!(report.is_clean() && report.facts_lost() == 0, "{report:#?}");
        assert!(report.notes.iter().any(|note| note.contains("part of the store again")), "{report:#?}");
        let sheet = verify(scene.root(), None).unwrap();
        assert!(sheet.is_sound(), "{sheet:#?}");
        assert_eq!((before.kinds[0].lost > 0, sheet.kinds[0].lost), (true, 0));
        let mut now = places(&scene.root()).unwrap();
        let mut kept: Vec<_> = kept.iter().filter(|(_, seq, _)| *seq <= 2 * FLUSHED).cloned().collect();
        now.sort();
        kept.sort();
        assert_eq!(now, kept, "meanwhile: {meanwhile}");
        // And only once.
        fs::copy(&away, &events).unwrap();
        assert!(scan(scene.root(), ScanDepth::Deep).unwrap().is_clean());
    }
}

/// What was saved of a damaged file is in doubt, and may be altered; the file itself is not.
#[test]
fn a_file_that_was_damaged_takes_its_place_again_as_it_was() {
    let original = Scene::new();
    for path in original.files("journal/1") {
        fs::remove_file(path).unwrap();
    }
    let kept = places(&original.root()).unwrap();
    let (mut in_doubt, mut partly_lost) = (0, 0);
    // Far from one another, until both have come about.
    for at in (0..990).map(|n| 4 + n * 31 % 990) {
        if in_doubt > 1 && partly_lost > 3 {
            break;
        }
        let scene = original.copy();
        let events = scene.events(1);
        let sound = fs::read(&events).unwrap();
        change(&events, |bytes| {
            let at = bytes.len() * at / 1000;
            bytes[at] ^= 0x05;
        });
        let report = repair(&scene.root());
        assert!(report.is_clean(), "{at}: {report:#?}");
        if places(&scene.root()).unwrap() == kept && report.facts_unverified() == 0 {
            continue;
        }
        in_doubt += u64::from(report.facts_lost() == 0);
        partly_lost += u64::from(report.facts_lost() > 0);
        fs::write(&events, sound).unwrap();
        let merged = at % 2 == 0;
        if merged {
            let keeper = Store::builder().maintenance().open(scene.root()).unwrap();
            keeper.compact(CompactOptions::new()).unwrap();
            assert!(events.exists(), "nobody takes it for litter");
        }
        let report = repair(&scene.root());
        assert!(report.is_clean(), "{at}: {report:#?}");
        let now = places(&scene.root()).unwrap();
        let sheet = verify(scene.root(), None).unwrap();
        assert!(sheet.is_sound(), "{at}: {sheet:#?}");
        if !merged {
            assert_eq!(now, kept, "{at}: {report:#?}");
            assert_eq!((sheet.kinds[0].lost, sheet.unverified.len()), (0, 0), "{at}: {sheet:#?}");
        }
        let numbers: std::collections::BTreeSet<_> =
            now.iter().map(|(stream, seq, _)| (stream, seq)).collect();
        assert_eq!(numbers.len(), now.len(), "{at}: a fact is there twice");
        assert!(scan(scene.root(), ScanDepth::Deep).unwrap().is_clean(), "{at}");
    }
    assert!(in_doubt > 0 && partly_lost > 0, "{in_doubt} {partly_lost}");
}

/// A damaged journal was salvaged without some of its facts; later somebody puts the sound file back.
#[test]
fn facts_of_a_journal_that_was_put_back_are_restored() {
    for meanwhile in ["nothing", "a new ledger"] {
        let scene = Scene::new();
        let kept = places(&scene.root()).unwrap();
        let journal = scene.journal();
        let sound = fs::read(&journal).unwrap();
        change(&journal, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x05;
        });
        let lost = repair(&scene.root()).facts_lost();
        assert!(lost > 0 && lost < LEFT, "{lost}");
        if meanwhile == "a new ledger" {
            begin_ledger_again(&scene);
        }

        fs::create_dir_all(journal.parent().unwrap()).unwrap();
        fs::write(&journal, &sound).unwrap();
        // No writer and no compaction takes it for a file whose facts are in the ledger.
        let store = Store::open(scene.root()).unwrap();
        store.record(crate::support::any_fact(1000)).unwrap();
        store.flush().unwrap();
        store.compact(CompactOptions::new()).unwrap();
        store.close().unwrap();
        let found = scan(scene.root(), ScanDepth::Quick).unwrap();
        let named: Vec<_> =
            found.anomalies.iter().map(|anomaly| (anomaly.kind, anomaly.affected.facts)).collect();
        assert_eq!(named, [(AnomalyKind::JournalUnknown, Some(lost))], "{found:#?}");

        let report = repair(&scene.root());
        assert!(report.is_clean() && report.facts_lost() == 0, "{report:#?}");
        let sheet = verify(scene.root(), None).unwrap();
        assert!(sheet.is_sound(), "{sheet:#?}");
        assert_eq!((sheet.lost_from_journals, sheet.unaccounted), (0, 0), "{sheet:#?}");
        let mut now = places(&scene.root()).unwrap();
        now.retain(|(stream, ..)| *stream == kept[0].0);
        now.sort();
        let mut kept = kept;
        kept.sort();
        assert_eq!(now, kept, "meanwhile: {meanwhile}");
        // And only once; the file goes as any other whose facts are in the ledger.
        let store = Store::open(scene.root()).unwrap();
        store.compact(CompactOptions::new()).unwrap();
        store.close().unwrap();
        assert!(!journal.exists());
        assert!(scan(scene.root(), ScanDepth::Deep).unwrap().is_clean());
        assert_eq!(places(&scene.root()).unwrap().len(), kept.len() + 1);
    }
}

/// Damages the commit before the newest one, of which both files are needed, and rebuilds the ledger.
fn begin_ledger_again(scene: &Scene) {
    let is = |path: &Path, extension: &str| path.extension().is_some_and(|it| it == extension);
    let files = scene.files("ledger");
    let commits: Vec<_> = files.iter().filter(|path| is(path, "json")).collect();
    let damaged = commits[commits.len() - 2];
    fs::write(damaged, "").unwrap();
    fs::write(scene.root().join("ledger-copy").join(damaged.file_name().unwrap()), "").unwrap();
    for checkpoint in files.iter().filter(|path| is(path, "checkpoint")) {
        fs::remove_file(checkpoint).unwrap();
    }
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
}
