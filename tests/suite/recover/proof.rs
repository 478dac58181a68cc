//! What counts as proof that facts are a segment's. Equal sums alone are none: a fact that a rule has
//! dropped makes up for one that is nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use ostracon::{
    CompactOptions, Kind, RecoveryConfig, RecoveryMode, RetentionLimits, RetentionPolicy, RetentionRule,
    Store, recover,
};

use super::elsewhere::{Merged, crashes, keep_all};
use super::scene;
use crate::support;

/// Drops the events of one actor.
fn drop_actor(actor: &str) -> RetentionPolicy {
    let rule = RetentionRule::new("one-actor", RetentionLimits::new().max_records(0))
        .kind(Kind::Event)
        .predicate(format!("actor_address = '{actor}'"));
    RetentionPolicy::new().rule(rule)
}

/// Copies the journals of the first stream, under names of their own.
fn copy_journals(root: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let entries = fs::read_dir(root.join("journal/1")).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "journal")) {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_dropped_fact_does_not_make_up_for_one_whose_file_is_missing() {
    for mode in [RecoveryMode::Repair, RecoveryMode::Rebuild] {
        let store = Merged::new(6, drop_actor("shop:3"));
        store.compact();
        store.put_back(|name| Path::new("events").join(name));
        // Fact 4 is in no file, and the dropped fact 3 is as long as it.
        let lines = crashes(3..5);
        assert_eq!(lines[0].len(), lines[1].len());
        let gone: Vec<PathBuf> = store
            .events()
            .into_iter()
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("1-5-5-"))
            .collect();
        assert_eq!(gone.len(), 1);
        fs::remove_file(&gone[0]).unwrap();
        let report = recover(store.root(), RecoveryConfig::new(mode)).unwrap();
        assert!(report.is_clean(), "{report:#?}");
        assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 5), "{report:#?}");
        assert!(report.notes.iter().any(|note| note.contains("it is unknown which")), "{report:#?}");
    }
}

#[test]
fn an_older_journal_does_not_prove_facts_of_which_some_were_dropped() {
    for lose_unverified in [false, true] {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let store = Store::builder().retention(drop_actor("shop:3")).open(&root).unwrap();
        for n in 0..5 {
            store.record(support::crash(n)).unwrap();
        }
        copy_journals(&root, &root.join("quarantine/older"));
        store.record(support::crash(5)).unwrap();
        store.compact(CompactOptions::new()).unwrap();
        store.close().unwrap();
        drop(store);
        fs::remove_dir_all(root.join("events")).unwrap();
        let config = RecoveryConfig::new(RecoveryMode::Repair).lose_unverified(lose_unverified);
        let report = recover(&root, config).unwrap();
        assert!(report.is_clean(), "{report:#?}");
        let expected = if lose_unverified { (5, 0) } else { (0, 5) };
        assert_eq!((report.facts_lost(), report.facts_unverified()), expected, "{report:#?}");
    }
}

/// The journal has all facts, also the one that was dropped: so it has every fact of the segment, but which
/// one to leave out it does not tell.
#[test]
fn a_whole_journal_with_dropped_facts_brings_as_many_as_there_were() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::builder().retention(drop_actor("shop:3")).open(&root).unwrap();
    for n in 0..6 {
        store.record(support::crash(n)).unwrap();
    }
    copy_journals(&root, &root.join("quarantine/whole"));
    store.compact(CompactOptions::new()).unwrap();
    store.close().unwrap();
    drop(store);
    fs::remove_dir_all(root.join("events")).unwrap();
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 5), "{report:#?}");
    assert_eq!(support::lines_at(&root), crashes(1..6));
}

/// The rule that dropped a fact is in the settings: the facts of other rules cannot be those that it dropped.
#[test]
fn facts_that_no_rule_can_have_dropped_come_back_first() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    Store::open(&root).unwrap().close().unwrap();
    let rule = "[[retention.rule]]\nname = 'one-actor'\nkind = 'events'\nwhere = \"actor_address = 'shop:3'\"\nmax_records = 0\n";
    fs::write(root.join("ostracon.toml"), rule).unwrap();
    let store = Store::open(&root).unwrap();
    for n in 0..6 {
        store.record(support::crash(n)).unwrap();
    }
    copy_journals(&root, &root.join("quarantine/whole"));
    store.compact(CompactOptions::new()).unwrap();
    store.close().unwrap();
    drop(store);
    let kept = support::lines_at(&root);
    assert_eq!(kept.len(), 5);
    fs::remove_dir_all(root.join("events")).unwrap();
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 5), "{report:#?}");
    assert_eq!(support::lines_at(&root), kept);
}

/// Two segments of the same range, which have its facts by turns.
#[test]
fn a_journal_brings_no_facts_that_other_segments_hold() {
    let folder = support::scratch();
    let (root, journals) = (folder.path().join("facts"), folder.path().join("journals"));
    let store = Store::open(&root).unwrap();
    for n in 0..6 {
        store.record(support::crash(n)).unwrap();
        copy_journals(&root, &journals);
        store.flush().unwrap();
    }
    store.close().unwrap();
    drop(store);
    let inputs = folder.path().join("inputs");
    fs::create_dir_all(&inputs).unwrap();
    crate::support::copy_tree(&root.join("events"), &inputs);
    let compact = || {
        let store = Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap();
        store.compact(CompactOptions::new()).unwrap();
    };
    let events = || -> Vec<PathBuf> {
        fs::read_dir(root.join("events")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    compact();
    // Three facts come back from files, the others from what is readable of the damaged one.
    let merged = events().remove(0);
    scene::change(&merged, |bytes| bytes.extend_from_slice(b"and more"));
    for entry in fs::read_dir(&inputs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if ["1-1-1-", "1-3-3-", "1-5-5-"].iter().any(|start| name.starts_with(start)) {
            fs::copy(&path, root.join("events").join(name)).unwrap();
        }
    }
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 3), "{report:#?}");
    // One of the heirs is lost, and a journal is found that has the facts of all of them.
    let heirs = events();
    for lost in heirs.iter().filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("1-1-6-"))
    {
        let copy = folder.path().join("copy");
        fs::create_dir_all(copy.join("facts")).unwrap();
        crate::support::copy_tree(&root, &copy.join("facts"));
        let inside = copy.join("facts");
        for path in fs::read_dir(inside.join("events")).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap();
            if Some(name) == lost.file_name() || !name.to_str().unwrap().starts_with("1-1-6-") {
                fs::remove_file(path).unwrap();
            }
        }
        fs::create_dir_all(inside.join("quarantine/found")).unwrap();
        crate::support::copy_tree(&journals, &inside.join("quarantine/found"));
        let report = recover(&inside, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
        assert!(report.is_clean(), "{report:#?}");
        assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{report:#?}");
        assert_eq!(support::lines_at(&inside), crashes(0..6));
        fs::remove_dir_all(copy).unwrap();
    }
}

/// As long as no fact was dropped, each fact that is found is the segment's, also of a part of it.
#[test]
fn where_nothing_was_dropped_a_part_is_proven() {
    let store = Merged::new(5, keep_all());
    store.compact();
    store.put_back(|name| Path::new("events").join(name));
    fs::remove_file(&store.events()[0]).unwrap();
    let (copy, report) = store.recover(RecoveryMode::Repair);
    assert_eq!((report.facts_lost(), report.facts_unverified()), (1, 0), "{report:#?}");
    assert_eq!(support::lines(&copy.open()), crashes(1..5));
}
