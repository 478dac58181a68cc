//! An incremental backup removes no fact that the target has and the store has not, nor the state of a group.

use std::fs;
use std::path::Path;

use ostracon::{BackupOptions, ErrorKind, Kind, StartAt, Store, backup};

use super::{assert_whole, ids_at};
use crate::command::Folder;
use crate::support::copy_tree;
use crate::support::{any_fact, crash, lines_at, scratch};

fn more() -> BackupOptions {
    BackupOptions::new().incremental(true)
}

/// It is refused, and the target is as it was.
fn assert_refused(from: &Path, target: &Path, kind: ErrorKind, why: &str) {
    let before = lines_at(target);
    let error = backup(from, target, more()).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(lines_at(target), before);
    assert_whole(target);
}

#[test]
fn swapped_paths_cost_no_fact_while_the_writer_lives_nor_after_it_was_killed() {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = Store::open(&root).unwrap();
    store.record(crash(0)).unwrap();
    store.backup(&saved, more()).unwrap();
    for n in 1..5 {
        store.record(crash(n)).unwrap();
    }
    assert_refused(&saved, &root, ErrorKind::Contended, "the other way round");
    // A copy, of which no process has the lock: as the writer would have left it.
    let killed = folder.path().join("killed");
    copy_tree(&root, &killed);
    assert_refused(&saved, &killed, ErrorKind::Refused, "fact 2 of stream 1");
    assert_eq!(lines_at(&killed).len(), 5);
    // The other way round all is well.
    backup(&killed, &saved, more()).unwrap();
    assert_eq!(lines_at(&saved), lines_at(&root));
}

#[test]
fn a_backup_that_is_recorded_into_keeps_its_facts() {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = Store::open(&root).unwrap();
    store.backup(&saved, more()).unwrap();
    let used = Store::open(&saved).unwrap();
    for n in 0..4 {
        used.record(crash(n)).unwrap();
    }
    // Its writer has ended the original's stream with a commit of its own.
    let error = store.backup(&saved, more()).unwrap_err();
    assert!([ErrorKind::Contended, ErrorKind::Refused].contains(&error.kind()), "{error}");
    assert_eq!(ids_at(&saved).len(), 4);
}

#[test]
fn a_store_that_was_put_back_to_an_older_state_takes_no_fact_from_its_backup() {
    for facts_since in [2, 8] {
        for flushed in [false, true] {
            let folder = scratch();
            let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
            let store = Store::open(&root).unwrap();
            store.record(crash(0)).unwrap();
            store.flush().unwrap();
            store.record(crash(1)).unwrap();
            let older = folder.path().join("older");
            copy_tree(&root, &older);
            for n in 2..6 {
                store.record(crash(n)).unwrap();
            }
            store.backup(&saved, more()).unwrap();
            let older_store = Store::open(&older).unwrap();
            for n in 100..100 + facts_since {
                older_store.record(crash(n)).unwrap();
            }
            if flushed {
                older_store.close().unwrap();
            }
            let before = lines_at(&saved);
            let error = backup(&older, &saved, more()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            assert!(
                error.to_string().contains("the target has facts that this store does not have"),
                "{error}"
            );
            assert_eq!(lines_at(&saved), before);
            assert_whole(&saved);
        }
    }
}

#[test]
fn facts_that_a_rule_has_dropped_since_keep_no_backup_from_going_on() {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = Store::open(&root).unwrap();
    for n in 0..8 {
        store.record(any_fact(n)).unwrap();
    }
    store.backup(&saved, more()).unwrap();
    store.close().unwrap();
    fs::write(root.join("ostracon.toml"), "[[retention.rule]]\nname = \"few\"\nmax_records = 2\n").unwrap();
    let store = Store::open(&root).unwrap();
    store.record(any_fact(8)).unwrap();
    store.flush().unwrap();
    store.compact(ostracon::CompactOptions::default().insist(true)).unwrap();
    store.backup(&saved, more()).unwrap();
    assert_eq!(lines_at(&saved), lines_at(&root));
    assert_whole(&saved);
}

#[test]
fn a_group_that_was_made_anew_is_backed_up_as_it_is_now() {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = Store::open(&root).unwrap();
    for n in 0..4 {
        store.record(crash(n)).unwrap();
    }
    store.consumer_group(Kind::Event, "g").unwrap().create(StartAt::Beginning).unwrap();
    store.backup(&saved, more()).unwrap();
    store.consumer_group(Kind::Event, "g").unwrap().remove().unwrap();
    store.consumer_group(Kind::Event, "g").unwrap().create(StartAt::Now).unwrap();
    store.backup(&saved, more()).unwrap();
    let state = |path: &Path| fs::read(path.join("consumers/events.g.00000000000000000001.json")).unwrap();
    assert_eq!(state(&saved), state(&root));
    assert_whole(&saved);
}

#[test]
fn a_damaged_state_of_a_group_keeps_no_fact_from_being_backed_up() {
    let folder = Folder::with_known_facts();
    for group in ["g", "h"] {
        folder.run(&["group", "create", "facts", group]).ok();
    }
    folder.write("facts/consumers/events.g.00000000000000000001.json", "x");
    for args in [["backup", "facts", "copy", "--incremental"]; 2] {
        let said = folder.run(&args).ok().out;
        let left_out = "left out: consumers/events.g.00000000000000000001.json is damaged";
        assert!(said.contains(left_out), "{said}");
    }
    assert_eq!(lines_at(&folder.path("copy")), lines_at(&folder.path("facts")));
    assert_whole(&folder.path("copy"));
    let copied = Store::builder().access(ostracon::Access::Read).open(folder.path("copy")).unwrap();
    let groups: Vec<_> =
        copied.consumer_groups().unwrap().iter().map(|group| group.name().to_owned()).collect();
    assert_eq!(groups, ["h"]);
}

/// The store has lost a segment, and has been recovered; its backup still has the file.
#[test]
fn a_backup_keeps_what_the_store_lost_and_says_so() {
    let folder = Folder::with_known_facts();
    folder.run(&["backup", "facts", "copy"]).ok();
    let all = lines_at(&folder.path("facts"));
    let name = fs::read_dir(folder.path("facts/events")).unwrap().next().unwrap().unwrap().file_name();
    let segment = format!("events/{}", name.to_str().unwrap());
    fs::remove_file(folder.path("facts").join(&segment)).unwrap();
    folder.run(&["recover", "facts", "--mode", "repair"]);
    assert!(lines_at(&folder.path("facts")).len() < all.len());
    for _ in 0..2 {
        let said = folder.run(&["backup", "facts", "copy", "--incremental"]).ok().out;
        let expected = format!(
            "the backup has facts that the store has lost, in {segment}: copy that file into the store"
        );
        assert!(said.contains(&expected), "{said}");
    }
    fs::copy(folder.path("copy").join(&segment), folder.path("facts").join(&segment)).unwrap();
    folder.run(&["recover", "facts", "--mode", "repair"]).ok();
    assert_eq!(lines_at(&folder.path("facts")), all);
    // The backup follows.
    let said = folder.run(&["backup", "facts", "copy", "--incremental"]).ok().out;
    assert!(!said.contains("lost"), "{said}");
    assert_eq!(lines_at(&folder.path("copy")), all);
}

/// The same of facts that were in a journal.
#[test]
fn a_backup_keeps_a_journal_with_facts_that_the_store_lost() {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = Store::open(&root).unwrap();
    for n in 0..20 {
        store.record(any_fact(n)).unwrap();
    }
    store.backup(&saved, BackupOptions::new()).unwrap();
    let all = lines_at(&saved);
    std::mem::forget(store);
    let journals = fs::read_dir(root.join("journal/1")).unwrap().map(|entry| entry.unwrap().path());
    let journal = journals.filter(|path| path.extension().is_some_and(|it| it == "journal")).min().unwrap();
    let copy = scratch();
    copy_tree(&root, &copy.path().join("facts"));
    let root = copy.path().join("facts");
    let journal = root.join("journal/1").join(journal.file_name().unwrap());
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x05;
    fs::write(&journal, bytes).unwrap();
    let report =
        ostracon::recover(&root, ostracon::RecoveryConfig::new(ostracon::RecoveryMode::Repair)).unwrap();
    assert!(report.facts_lost() > 0, "{report:#?}");
    for _ in 0..2 {
        let report = backup(&root, &saved, more()).unwrap();
        let [kept] = report.lost_by_store.as_slice() else { panic!("{report:#?}") };
        assert!(saved.join(kept).is_file());
    }
    // What it says is true.
    let report = backup(&root, &saved, more()).unwrap();
    let kept = &report.lost_by_store[0];
    fs::copy(saved.join(kept), root.join(kept)).unwrap();
    let report =
        ostracon::recover(&root, ostracon::RecoveryConfig::new(ostracon::RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let mut restored = lines_at(&root);
    let mut all = all;
    restored.sort();
    all.sort();
    assert_eq!(restored, all);
}
