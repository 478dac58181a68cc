//! Rules that a table of damages cannot show.

use std::collections::BTreeSet;
use std::fs;

use ostracon::{
    CompactOptions, ErrorKind, Kind, RecoveryConfig, RecoveryMode, StartupMode, Store, recover, verify,
};

use super::scene::{ALL, Scene, change, flip, places, position};
use crate::support;
use crate::support::copy_tree;
use crate::support::tree;

#[test]
fn without_a_mode_nothing_is_changed() {
    let scene = Scene::new();
    flip(&scene.events(0), 40);
    let before = tree(scene.folder.path());
    for config in [RecoveryConfig::default(), RecoveryConfig::new(RecoveryMode::Ignore)] {
        let report = recover(scene.root(), config).unwrap();
        assert!(!report.is_clean() && report.repaired_files.is_empty());
        assert_eq!(report.scan, report.after);
    }
    assert!(tree(scene.folder.path()) == before);
}

#[test]
fn quarantine_without_a_folder_is_refused() {
    let scene = Scene::new();
    flip(&scene.events(0), 40);
    let before = tree(scene.folder.path());
    let error = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Quarantine)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Settings);
    assert!(error.to_string().contains("needs a folder"), "{error}");
    // Nor may the folder be among the store's own.
    let within = scene.config(RecoveryMode::Quarantine).quarantine_dir(scene.root().join("events/aside"));
    assert_eq!(recover(scene.root(), within).unwrap_err().kind(), ErrorKind::Settings);
    assert!(tree(scene.folder.path()) == before);
}

#[test]
fn where_there_is_no_store_none_is_made() {
    let folder = support::scratch();
    for mode in [RecoveryMode::Ignore, RecoveryMode::Repair, RecoveryMode::Rebuild] {
        for path in [folder.path().join("facts"), folder.path().to_path_buf()] {
            let error = recover(path, RecoveryConfig::new(mode)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotAStore, "{error}");
        }
    }
    assert!(tree(folder.path()).is_empty());
}

#[test]
fn quarantine_keeps_every_damaged_byte() {
    let scene = Scene::new();
    change(&scene.events(0), |bytes| {
        bytes.pop();
        bytes[20] ^= 1;
    });
    let journal = scene.journal();
    let at = position(&journal, b"sku-26");
    change(&journal, |bytes| bytes[at] ^= 1);
    let damaged = [fs::read(scene.events(0)).unwrap(), fs::read(&journal).unwrap()];
    let report = recover(scene.root(), scene.config(RecoveryMode::Quarantine)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let kept = tree(&scene.aside());
    for bytes in damaged {
        assert!(kept.iter().any(|(_, kept)| *kept == bytes));
    }
}

#[test]
fn facts_that_may_not_be_what_was_recorded_are_given_up_if_that_is_asked_for() {
    let scene = Scene::new();
    let at = position(&scene.events(0), b"ActorCrashed");
    change(&scene.events(0), |bytes| {
        bytes[at + 3] = b'0';
        bytes[at + 4] = b'0';
    });
    let kept = scene.copy();
    let report = recover(kept.root(), kept.config(RecoveryMode::Repair)).unwrap();
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 6), "{report:#?}");
    assert_eq!(places(&kept.root()).unwrap().len() as u64, ALL);
    // They are told apart for ever: by the balance sheet, and in SQL.
    let sheet = verify(kept.root(), None).unwrap();
    let doubts: Vec<_> = sheet.unverified.iter().map(|of| (of.kind, of.facts)).collect();
    assert!(sheet.is_sound() && doubts == [(Some(Kind::Event), Some(6))], "{sheet:#?}");
    let store = Store::builder().access(ostracon::Access::Read).open(kept.root()).unwrap();
    let doubtful = "SELECT count(*) FROM events e JOIN store.unverified u ON u.kind = 'events' \
                    AND e.stream = u.stream AND e.seq BETWEEN u.first_seq AND u.last_seq";
    assert_eq!(support::number(&store, doubtful), 6);
    // Somebody who only reads does not recover.
    let error = store.recover(RecoveryConfig::new(RecoveryMode::Repair)).unwrap_err();
    assert_eq!((error.kind(), store.metrics().recovery_errors), (ErrorKind::Closed, 1));
    // The damaged file is gone.
    let files = fs::read_dir(kept.root().join("events")).unwrap().count();
    assert_eq!(files, 2);

    let config = scene.config(RecoveryMode::Repair).lose_unverified(true);
    let report = recover(scene.root(), config).unwrap();
    assert!(report.is_clean());
    assert_eq!((report.facts_lost(), report.facts_unverified()), (6, 0), "{report:#?}");
    let facts = places(&scene.root()).unwrap();
    assert_eq!(facts.len() as u64, ALL - 6);
    assert!(facts.iter().all(|(_, seq, line)| scene.lines[*seq as usize - 1] == *line));
}

#[test]
fn the_journal_of_a_writer_that_lives_is_left_alone() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..8 {
        store.record(support::crash(n)).unwrap();
    }
    let journals = || -> Vec<_> {
        let files = fs::read_dir(root.join("journal/1")).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some()).collect()
    };
    let journal = journals().pop().unwrap();
    let at = position(&journal, b"sku-4");
    change(&journal, |bytes| bytes[at] ^= 1);
    for mode in [RecoveryMode::Repair, RecoveryMode::Rebuild] {
        let before = fs::read(&journal).unwrap();
        let report = store.recover(RecoveryConfig::new(mode)).unwrap();
        assert!(!report.is_clean());
        assert!(report.notes.iter().any(|note| note.contains("a live process")), "{report:#?}");
        assert_eq!(fs::read(&journal).unwrap(), before);
    }
    // Its facts are in memory, and go on their way.
    store.close().unwrap();
    assert_eq!(support::count(&store), 8);
    let metrics = store.metrics();
    assert_eq!((metrics.recoveries, metrics.recovery_errors), (2, 0));
    assert!(metrics.scans >= 2 && metrics.anomalies_detected >= 2);
}

#[test]
fn a_ledger_is_rebuilt_when_nobody_writes() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    store.record(support::crash(1)).unwrap();
    store.flush().unwrap();
    support::both_files(&root, 0).iter().for_each(|path| flip(path, 500));
    let error = recover(&root, RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended);
    assert!(error.to_string().contains("only while no process writes"), "{error}");
    drop(store);
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(places(&root).unwrap().len(), 1);
}

#[test]
fn a_store_may_be_recovered_before_it_is_opened() {
    let damaged = Scene::new();
    change(&damaged.events(0), |bytes| bytes.truncate(bytes.len() - 1));
    let open = |scene: &Scene, mode| Store::builder().startup(mode).open(scene.root());

    let scene = damaged.copy();
    let error = open(&scene, StartupMode::FailOnAnomaly).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("recover it first"), "{error}");
    // Recovering in mode ignore does not help.
    let error = open(&scene, StartupMode::Recover(RecoveryConfig::default())).unwrap_err();
    assert!(error.to_string().contains("did not help"), "{error}");

    let store = open(&scene, StartupMode::ScanOnly).unwrap();
    assert_eq!((store.metrics().scans, store.metrics().recoveries), (1, 0));
    assert!(store.metrics().anomalies_detected > 0);
    drop(store);

    let repair = RecoveryConfig::new(RecoveryMode::Repair);
    let store = open(&damaged, StartupMode::Recover(repair.clone())).unwrap();
    assert_eq!((store.metrics().scans, store.metrics().recoveries), (2, 1));
    assert_eq!(support::count(&store), ALL);
    drop(store);

    // A store that is not there yet is made.
    let folder = support::scratch();
    for mode in [StartupMode::FailOnAnomaly, StartupMode::Recover(repair)] {
        let store = Store::builder().startup(mode).open(folder.path().join("new")).unwrap();
        store.close().unwrap();
    }
}

#[test]
fn a_ledger_that_is_gone_is_rebuilt_before_the_store_is_opened() {
    let scene = Scene::new();
    support::lose_ledger(&scene.root());
    assert_eq!(Store::open(scene.root()).unwrap_err().kind(), ErrorKind::Damaged);
    let rebuild = StartupMode::Recover(RecoveryConfig::new(RecoveryMode::Rebuild));
    let store = Store::builder().startup(rebuild).open(scene.root()).unwrap();
    assert_eq!(support::count(&store), ALL);
    let mut lines = support::lines(&store);
    lines.sort();
    let mut expected = scene.lines.clone();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn a_checkpoint_that_is_damaged_goes_and_nothing_is_lost() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..128 {
        store.record(support::crash(n)).unwrap();
        store.flush().unwrap();
    }
    drop(store);
    let checkpoint = root.join("ledger/00000000000000000128.checkpoint");
    flip(&checkpoint, 500);
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(report.scan.anomalies.len(), 1);
    assert_eq!(report.repaired_files, ["ledger/00000000000000000128.checkpoint"]);
    assert!(!checkpoint.exists());
    assert_eq!(places(&root).unwrap().len(), 128);
}

#[test]
fn a_sound_checkpoint_keeps_what_commits_no_longer_say() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..130 {
        store.record(support::crash(n)).unwrap();
        store.flush().unwrap();
    }
    drop(store);
    for number in [3, 60] {
        support::lose_commit(&root, number);
    }
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{report:#?}");
    assert!(!report.notes.iter().any(|note| note.contains("not known")), "{report:#?}");
    assert_eq!(places(&root).unwrap().len(), 130);
}

#[test]
fn a_place_never_names_two_facts_after_a_recovery() {
    let scene = Scene::new();
    // The last fact of the journal is gone: its number was given out.
    flip(&scene.journal(), 998);
    let report = recover(scene.root(), scene.config(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean());
    let store = Store::open(scene.root()).unwrap();
    let position = store.record(support::crash(1000)).unwrap();
    assert_ne!(position.stream.get(), 1, "the stream has ended");
    assert!(report.notes.iter().any(|note| note.contains("it is unknown whether")), "{report:#?}");
}

#[test]
fn a_journal_file_without_facts_does_not_hide_that_the_one_before_it_may_have_lost_some() {
    let scene = Scene::new();
    let journal = scene.journal();
    flip(&journal, 998);
    let (number, rest) = journal.file_name().unwrap().to_str().unwrap().split_at(8);
    let spare = journal.with_file_name(format!("{:08}{rest}", number.parse::<u64>().unwrap() + 1));
    fs::write(&spare, &fs::read(&journal).unwrap()[..36]).unwrap();
    let report = recover(scene.root(), scene.config(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean() && !spare.exists());
    assert!(report.notes.iter().any(|note| note.contains("it is unknown whether")), "{report:#?}");
}

/// Two writers, ten facts each in two flushes, merged by a compaction whose inputs are gone.
fn compacted(root: &std::path::Path) {
    let writers = [Store::open(root).unwrap(), Store::open(root).unwrap()];
    for n in 0..20 {
        writers[n as usize % 2].record(support::crash(n)).unwrap();
        if n % 10 > 7 {
            writers.iter().for_each(|writer| writer.flush().unwrap());
        }
    }
    writers.iter().for_each(|writer| writer.close().unwrap());
    let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
    let report = store.compact(CompactOptions::new()).unwrap();
    assert_eq!((report.after.segments, report.after.facts), (1, 20));
}

/// Loses the newest commits: of so many so many are left.
fn roll_back(root: &std::path::Path, left: fn(usize) -> usize) {
    let mut commits: Vec<_> =
        fs::read_dir(root.join("ledger")).unwrap().map(|entry| entry.unwrap().path()).collect();
    commits.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    commits.sort();
    for commit in commits.split_off(left(commits.len())) {
        let copy = root.join("ledger-copy").join(commit.file_name().unwrap());
        fs::remove_file(copy).unwrap();
        fs::remove_file(commit).unwrap();
    }
}

#[test]
fn facts_outlive_the_commit_of_the_compaction_that_moved_them() {
    // Without the last commit, which is the compaction's; and with the first alone, as a ledger that
    // comes from a backup: then nobody knows of the streams.
    let left: [(&str, fn(usize) -> usize); 2] = [("all but one", |all| all - 1), ("the first", |_| 1)];
    for (name, left) in left {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        compacted(&root);
        let before = support::lines_at(&root);
        roll_back(&root, left);
        let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
        assert!(report.is_clean() && report.facts_lost() == 0, "{name}: {report:#?}");
        assert_eq!(support::lines_at(&root), before, "{name}");
        // Nor does the next compaction take them for litter, or a writer their numbers.
        Store::open(&root).unwrap().record(support::crash(99)).unwrap();
        let store = Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap();
        store.compact(CompactOptions::new()).unwrap();
        assert_eq!(support::lines_at(&root).len(), 21, "{name}");
        let named: BTreeSet<_> =
            places(&root).unwrap().into_iter().map(|(stream, seq, _)| (stream, seq)).collect();
        assert_eq!(named.len(), 21, "{name}");
    }
}

/// A process that was killed has left facts 1 to 8 in a segment, and its copy from a backup facts 5 to
/// 12; no commit names either.
#[test]
fn of_unnamed_segments_that_overlap_every_fact_is_kept_once() {
    let folder = support::scratch();
    let (one, other, root) =
        (folder.path().join("one"), folder.path().join("other"), folder.path().join("facts"));
    drop(Store::open(&one).unwrap());
    for copy in [&other, &root] {
        fs::create_dir(copy).unwrap();
        copy_tree(&one, copy);
    }
    let record = |path: &std::path::Path, flushes: [std::ops::Range<u64>; 2]| {
        let store = Store::open(path).unwrap();
        for flush in flushes {
            for n in flush {
                store.record(support::any_fact(n)).unwrap();
            }
            store.flush().unwrap();
        }
    };
    record(&one, [0..8, 0..0]);
    record(&other, [0..4, 4..12]);
    for kind in Kind::ALL {
        for (from, range) in [(&one, "1-1-8-"), (&other, "1-5-12-")] {
            for entry in fs::read_dir(from.join(kind.table())).unwrap().map(Result::unwrap) {
                let name = entry.file_name().to_str().unwrap().to_owned();
                if name.starts_with(range) {
                    fs::copy(entry.path(), root.join(kind.table()).join(name)).unwrap();
                }
            }
        }
    }
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 12), "{report:#?}");
    let facts = places(&root).unwrap();
    assert_eq!(facts.iter().map(|(_, seq, _)| *seq).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    assert!((0..).zip(&facts).all(|(n, (.., line))| *line == support::any_fact(n).to_line()));
}

/// One number of a damaged segment has become larger: with it, there are more bytes than were recorded.
#[test]
fn of_what_adds_up_to_too_much_as_few_facts_as_possible_are_given_up() {
    let folder = support::scratch();
    let (root, aside) = (folder.path().join("facts"), folder.path().join("aside"));
    let writer = Store::open(&root).unwrap();
    for n in 0..40 {
        if n == 20 {
            writer.flush().unwrap();
        }
        writer.record(support::any_fact(n)).unwrap();
    }
    fs::create_dir(&aside).unwrap();
    copy_tree(&root.join("journal/1"), &aside);
    writer.close().unwrap();
    drop(writer);
    let store = Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap();
    store.compact(CompactOptions::new()).unwrap();
    let expected = support::lines(&store);
    drop(store);
    // The second half is in a journal, too.
    copy_tree(&aside, &root.join("journal/1"));
    let audits = fs::read_dir(root.join("audits")).unwrap().next().unwrap().unwrap().path();
    let at = position(&audits, &[5_i64.to_le_bytes(), 9_i64.to_le_bytes()].concat());
    change(&audits, |bytes| {
        bytes[at + 6] = 7;
        // No bit that can be put right.
        bytes[at + 14] = 7;
    });
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.notes.iter().any(|note| note.contains("bytes more than were recorded")), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (1, 4), "{report:#?}");
    let kept = support::lines_at(&root);
    assert_eq!(kept.len(), 39);
    assert!(
        kept.iter().filter(|line| !expected.contains(line)).count() <= 2,
        "only those with a larger number"
    );
}
