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
                let keeper = Store::builder().access(ostracon::Access::Maintain).open(scene.root()).unwrap();
                keeper.compact(CompactOptions::new()).unwrap();
            }
            "a new ledger" => {
                begin_ledger_again(&scene.root());
            }
            _ => {}
        }

        fs::copy(&away, &events).unwrap();
        // Nobody takes it for litter.
        Store::builder()
            .access(ostracon::Access::Maintain)
            .open(scene.root())
            .unwrap()
            .compact(CompactOptions::new())
            .unwrap();
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
            let keeper = Store::builder().access(ostracon::Access::Maintain).open(scene.root()).unwrap();
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

/// A damaged file from which all facts could be read, with another value in them.
#[test]
fn facts_that_damage_altered_come_back_with_their_file() {
    // The second one makes the line of a fact shorter: a quotation mark becomes an apostrophe.
    for (event_type, altered) in [("ActorCrashed", "DctorCrashed"), ("Actor\"Crashed", "Actor'Crashed")] {
        for merged in [false, true] {
            check_altered(event_type, altered, merged);
        }
    }
}

fn check_altered(event_type: &str, altered: &str, merged: bool) {
    let folder = crate::support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..2 * FLUSHED {
        let payload = ostracon::Json::empty_object();
        let event = ostracon::Event::new("shop", format!("shop:{n}"), event_type, payload, n as f64);
        store.record(event).unwrap();
        // A place of another kind between those of the file.
        store
            .record(ostracon::DeadLetter::new(
                "shop",
                None::<&str>,
                "Order",
                ostracon::Json::empty_object(),
                1.0,
            ))
            .unwrap();
        if n + 1 == FLUSHED {
            store.flush().unwrap();
        }
    }
    store.close().unwrap();
    drop(store);
    let kept = places(&root).unwrap();
    let events = fs::read_dir(root.join("events")).unwrap().next().unwrap().unwrap().path();
    let sound = fs::read(&events).unwrap();
    // In the dictionary of a column, which comes before the statistics in the footer.
    let different = event_type.bytes().zip(altered.bytes()).position(|(was, is)| was != is).unwrap();
    let at = super::scene::position(&events, event_type.as_bytes()) + different;
    change(&events, |bytes| bytes[at] = altered.as_bytes()[different]);
    let report = repair(&root);
    let case = format!("{altered}, merged: {merged}");
    assert_eq!((report.facts_unverified(), report.facts_lost()), (FLUSHED, 0), "{case}: {report:#?}");
    let in_doubt = places(&root).unwrap();
    assert_ne!(in_doubt, kept, "{case}");

    fs::write(&events, sound).unwrap();
    if merged {
        let keeper = Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap();
        keeper.compact(CompactOptions::new()).unwrap();
    }
    let report = repair(&root);
    assert!(report.is_clean(), "{case}: {report:#?}");
    let (now, sheet) = (places(&root).unwrap(), verify(&root, None).unwrap());
    assert!(sheet.is_sound(), "{case}: {sheet:#?}");
    let says = |words: &str| report.notes.iter().any(|note| note.contains(words));
    if merged {
        // Nobody can tell the altered values from others: they stay, in doubt, and the file is kept aside.
        assert!(says("it is unknown which") && !says("are proven again"), "{case}: {report:#?}");
        assert_eq!((now, sheet.unverified.is_empty()), (in_doubt, false), "{case}");
    } else {
        assert!(says("are proven again"), "{case}: {report:#?}");
        assert_eq!((now, sheet.unverified.is_empty()), (kept, true), "{case}: {report:#?}");
    }
    assert!(scan(&root, ScanDepth::Deep).unwrap().is_clean(), "{case}");
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
            begin_ledger_again(&scene.root());
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
pub(super) fn begin_ledger_again(root: &Path) {
    let is = |path: &Path, extension: &str| path.extension().is_some_and(|it| it == extension);
    let files = fs::read_dir(root.join("ledger")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let commits: Vec<_> = files.iter().filter(|path| is(path, "json")).collect();
    let damaged = commits[commits.len() - 2];
    fs::write(damaged, "").unwrap();
    fs::write(root.join("ledger-copy").join(damaged.file_name().unwrap()), "").unwrap();
    for checkpoint in files.iter().filter(|path| is(path, "checkpoint")) {
        fs::remove_file(checkpoint).unwrap();
    }
    let report = recover(root, RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

/// A store whose journal was damaged and salvaged, and the file as it was before.
fn salvaged() -> (Scene, Vec<(u32, u64, String)>, std::path::PathBuf, Vec<u8>) {
    let scene = Scene::new();
    let kept = places(&scene.root()).unwrap();
    let journal = scene.journal();
    let sound = fs::read(&journal).unwrap();
    change(&journal, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x05;
    });
    assert!(repair(&scene.root()).facts_lost() > 0);
    let _ = fs::remove_dir_all(scene.root().join("quarantine"));
    (scene, kept, journal, sound)
}

#[test]
fn facts_of_a_journal_are_restored_whatever_else_is_damaged() {
    // The file that is put back is damaged as well, before the lost facts.
    let (scene, mut kept, journal, sound) = salvaged();
    fs::write(&journal, &sound).unwrap();
    change(&journal, |bytes| bytes[120] ^= 0x05);
    let report = repair(&scene.root());
    assert!(report.is_clean(), "{report:#?}");
    let mut now = places(&scene.root()).unwrap();
    now.sort();
    kept.sort();
    assert_eq!(now, kept, "{report:#?}");

    // A segment of the stream is damaged.
    for at in [0.1, 0.3, 0.5, 0.7] {
        let (scene, kept, journal, sound) = salvaged();
        fs::write(&journal, &sound).unwrap();
        change(&scene.events(1), |bytes| {
            let at = (bytes.len() as f64 * at) as usize;
            bytes[at..at + 9].iter_mut().for_each(|byte| *byte ^= 0x55);
        });
        let report = repair(&scene.root());
        assert!(report.is_clean(), "{at}: {report:#?}");
        let numbers: Vec<_> =
            places(&scene.root()).unwrap().iter().map(|(stream, seq, _)| (*stream, *seq)).collect();
        let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len(), "{at}: a fact is there twice");
        assert!(numbers.len() as u64 + report.facts_lost() == kept.len() as u64, "{at}: {report:#?}");
    }
}

/// The commits that lost facts, or restored them, cannot be read.
#[test]
fn a_ledger_that_begins_again_has_restored_facts_once() {
    for which in ["the loss", "the restoring"] {
        for of in ["a segment", "a journal"] {
            let (scene, mut kept) = if of == "a journal" {
                let (scene, kept, journal, sound) = salvaged();
                fs::write(journal, sound).unwrap();
                (scene, kept)
            } else {
                let scene = Scene::new();
                let kept = places(&scene.root()).unwrap();
                let (events, away) = (scene.events(1), scene.folder.path().join("away"));
                fs::rename(&events, &away).unwrap();
                fs::remove_file(scene.journal()).unwrap();
                assert!(repair(&scene.root()).facts_lost() > 0);
                fs::rename(away, events).unwrap();
                let kept = kept.into_iter().filter(|(_, seq, _)| *seq <= 2 * FLUSHED).collect();
                (scene, kept)
            };
            let report = repair(&scene.root());
            assert!(report.is_clean(), "{report:#?}");
            let store = Store::open(scene.root()).unwrap();
            store.record(crate::support::any_fact(1000)).unwrap();
            store.close().unwrap();
            let number = |commits: &[std::path::PathBuf]| commits.len() as u64 - 2;
            let commits = scene.files("ledger");
            let commits: Vec<_> =
                commits.into_iter().filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
            let restored = number(&commits);
            crate::support::lose_commit(
                &scene.root(),
                if which == "the loss" { restored - 1 } else { restored },
            );
            let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
            assert!(report.is_clean(), "{which} of {of}: {report:#?}");
            let mut now = places(&scene.root()).unwrap();
            kept.sort();
            let last = kept.last().map(|(stream, seq, _)| (*stream, *seq)).unwrap();
            now.retain(|(stream, seq, _)| (*stream, *seq) <= last);
            now.sort();
            assert_eq!(now, kept, "{which} of {of}: {report:#?}");
            assert!(scan(scene.root(), ScanDepth::Deep).unwrap().is_clean(), "{which} of {of}");
        }
    }
}

/// A rebuilt ledger does not know all numbers that it lost: no file with facts of the stream is deleted.
#[test]
fn a_journal_that_is_put_back_after_a_rebuild_is_kept() {
    let (scene, _, journal, sound) = salvaged();
    // The commit that says which numbers are lost.
    let store = Store::open(scene.root()).unwrap();
    store.record(crate::support::any_fact(1000)).unwrap();
    store.close().unwrap();
    crate::support::lose_commit(&scene.root(), 3);
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    fs::write(&journal, &sound).unwrap();
    for _ in 0..2 {
        let store = Store::open(scene.root()).unwrap();
        store.record(crate::support::any_fact(1001)).unwrap();
        store.flush().unwrap();
        store.compact(CompactOptions::new()).unwrap();
        store.close().unwrap();
    }
    assert!(!journal.exists(), "it stops nobody");
    let kept = scene.files("quarantine").into_iter().filter(|path| path.is_file());
    assert!(kept.map(|path| fs::read(path).unwrap()).any(|bytes| bytes == sound));
}

/// The only flush of a stream cannot be read, its segments and its folder are gone, and a repair that lost them is
/// all that knows of the stream: its number was given out all the same.
#[test]
fn a_rebuilt_ledger_gives_out_no_number_of_a_lost_stream() {
    let folder = crate::support::scratch();
    let root = folder.path().join("facts");
    let one = Store::open(&root).unwrap();
    let other = Store::open(&root).unwrap();
    for n in 0..FLUSHED {
        other.record(crate::support::any_fact(n)).unwrap();
    }
    other.flush().unwrap();
    let segments: Vec<_> = ["events", "audits", "dead_letters"]
        .iter()
        .flat_map(|kind| fs::read_dir(root.join(kind)).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    one.record(crate::support::any_fact(FLUSHED)).unwrap();
    one.close().unwrap();
    other.close().unwrap();
    assert_eq!(segments.len(), 3);
    segments.iter().for_each(|path| fs::remove_file(path).unwrap());
    fs::remove_dir_all(root.join("journal/2")).unwrap();
    assert_eq!(repair(&root).facts_lost(), FLUSHED);
    crate::support::lose_commit(&root, 1);
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
    assert!(report.is_clean(), "{report:#?}");

    let stores = [(); 2].map(|()| Store::open(&root).unwrap());
    for store in stores {
        store.record(crate::support::any_fact(1000)).unwrap();
        store.close().unwrap();
    }
    let streams: Vec<_> = places(&root).unwrap().into_iter().map(|(stream, ..)| stream).collect();
    assert!(streams.len() == 3 && !streams.contains(&2), "{streams:?}");
}
