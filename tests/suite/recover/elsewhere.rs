//! Facts of a segment that is gone, and whose bytes lie in the store all the same: in the segments that it
//! was merged from, under other names, in quarantine, in journals.

use std::fs;
use std::path::{Path, PathBuf};

use ostracon::{
    AnomalyKind, CompactOptions, Kind, RecoveryConfig, RecoveryMode, RecoveryReport, RetentionLimits,
    RetentionPolicy, RetentionRule, ScanDepth, Store, recover, scan, verify,
};

use super::scene::places;
use crate::support;
use crate::support::copy_tree;

/// A store of one-event segments, and a copy of them.
pub(super) struct Merged {
    pub(super) folder: tempfile::TempDir,
    policy: RetentionPolicy,
}

impl Merged {
    pub(super) fn new(facts: u64, policy: RetentionPolicy) -> Self {
        let merged = Self { folder: support::scratch(), policy };
        let store = merged.open();
        for n in 0..facts {
            store.record(support::crash(n)).unwrap();
            store.flush().unwrap();
        }
        store.close().unwrap();
        merged.copy_events();
        merged
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("facts")
    }

    pub(super) fn open(&self) -> Store {
        Store::builder().retention(self.policy.clone()).open(self.root()).unwrap()
    }

    /// Adds the events' segments to the copies.
    fn copy_events(&self) {
        let aside = self.folder.path().join("aside");
        fs::create_dir_all(&aside).unwrap();
        copy_tree(&self.root().join("events"), &aside);
    }

    pub(super) fn compact(&self) {
        let store = Store::builder()
            .access(ostracon::Access::Maintain)
            .retention(self.policy.clone())
            .open(self.root())
            .unwrap();
        store.compact(CompactOptions::new()).unwrap();
    }

    /// The files of events that are there.
    pub(super) fn events(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(self.root().join("events")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The merged segments are gone, and the copies are there instead, under these names.
    pub(super) fn put_back(&self, name: impl Fn(&Path) -> PathBuf) {
        self.events().iter().for_each(|path| fs::remove_file(path).unwrap());
        for entry in fs::read_dir(self.folder.path().join("aside")).unwrap() {
            let path = entry.unwrap().path();
            let to = self.root().join(name(Path::new(path.file_name().unwrap())));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, to).unwrap();
        }
    }

    /// The copies are there again, under the names that they had.
    pub(super) fn put_inputs_back(&self) {
        let merged = self.folder.path().join("merged");
        fs::create_dir_all(&merged).unwrap();
        copy_tree(&self.root().join("events"), &merged);
        self.put_back(|name| Path::new("events").join(name));
        copy_tree(&merged, &self.root().join("events"));
        fs::remove_dir_all(merged).unwrap();
    }

    /// The files of events that were merged from several.
    pub(super) fn merged(&self) -> Vec<PathBuf> {
        let is_merged = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let mut parts = name.split('-').skip(1);
            parts.next() != parts.next()
        };
        self.events().into_iter().filter(is_merged).collect()
    }

    /// In a copy of all this, for one mode.
    pub(super) fn recover(&self, mode: RecoveryMode) -> (Self, RecoveryReport) {
        let copy = Self { folder: support::scratch(), policy: self.policy.clone() };
        copy_tree(self.folder.path(), copy.folder.path());
        let config = RecoveryConfig::new(mode).quarantine_dir(copy.folder.path().join("kept"));
        let report = recover(copy.root(), config).unwrap();
        (copy, report)
    }

    /// Every mode brings all facts back, with proof, and nothing afterwards takes them away.
    fn comes_back_whole(&self, expected: &[String]) {
        let found = scan(self.root(), ScanDepth::Deep).unwrap();
        assert!(found.anomalies.iter().any(|it| it.kind == AnomalyKind::SegmentMissing), "{found:#?}");
        for mode in [RecoveryMode::Repair, RecoveryMode::Quarantine, RecoveryMode::Rebuild] {
            let (copy, report) = self.recover(mode);
            assert!(report.is_clean(), "{mode}: {report:#?}");
            assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{mode}: {report:#?}");
            assert_eq!(support::lines(&copy.open()), expected, "{mode}");
            copy.compact();
            copy.compact();
            assert_eq!(support::lines(&copy.open()), expected, "{mode}, compacted");
            let after = scan(copy.root(), ScanDepth::Deep).unwrap();
            assert!(after.is_clean(), "{mode}: {after:#?}");
            assert!(verify(copy.root(), None).unwrap().is_sound(), "{mode}");
        }
    }
}

pub(super) fn crashes(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|n| support::crash(n).to_line()).collect()
}

pub(super) fn keep_all() -> RetentionPolicy {
    RetentionPolicy::new()
}

#[test]
fn facts_come_back_from_the_segments_that_were_merged() {
    let store = Merged::new(5, keep_all());
    store.compact();
    assert_eq!(store.events().len(), 1);
    store.put_back(|name| Path::new("events").join(name));
    store.comes_back_whole(&crashes(0..5));
}

#[test]
fn facts_come_back_from_what_was_merged_twice_over() {
    let store = Merged::new(5, keep_all());
    store.compact();
    let writer = store.open();
    writer.record(support::crash(5)).unwrap();
    writer.close().unwrap();
    drop(writer);
    store.copy_events();
    let (mut merged, one): (Vec<_>, Vec<_>) = fs::read_dir(store.folder.path().join("aside"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .partition(|path| path.file_name().unwrap().to_str().unwrap().starts_with("1-1-5-"));
    assert_eq!((merged.len(), one.len()), (1, 6));
    fs::remove_file(merged.pop().unwrap()).unwrap();
    // The next compaction's commit says that the files of the first one's inputs are gone.
    store.compact();
    assert_eq!(store.events().len(), 1);
    store.put_back(|name| Path::new("events").join(name));
    store.comes_back_whole(&crashes(0..6));
}

#[test]
fn facts_come_back_from_files_of_other_names_and_from_quarantine() {
    for place in ["events/copy-of-", "quarantine/events/", "quarantine/", "audits/a-"] {
        let store = Merged::new(3, keep_all());
        store.compact();
        store.put_back(|name| PathBuf::from(format!("{place}{}", name.display())));
        for mode in [RecoveryMode::Repair, RecoveryMode::Quarantine] {
            let (copy, report) = store.recover(mode);
            assert!(report.is_clean(), "{place}, {mode}: {report:#?}");
            assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{place}: {report:#?}");
            assert_eq!(support::lines(&copy.open()), crashes(0..3), "{place}, {mode}");
        }
    }
}

#[test]
fn a_segment_itself_comes_back_from_quarantine() {
    let store = Merged::new(1, keep_all());
    store.put_back(|name| Path::new("quarantine/2026").join(name).with_extension("parquet.2"));
    store.comes_back_whole(&crashes(0..1));
}

#[test]
fn facts_come_back_from_a_journal_in_quarantine() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..4 {
        store.record(support::crash(n)).unwrap();
    }
    let journal = fs::read_dir(root.join("journal/1")).unwrap().map(|entry| entry.unwrap().path());
    let journal = { journal }.find(|path| path.extension().is_some_and(|e| e == "journal")).unwrap();
    fs::create_dir_all(root.join("quarantine/journal/1")).unwrap();
    fs::copy(&journal, root.join("quarantine/journal/1").join(journal.file_name().unwrap())).unwrap();
    store.close().unwrap();
    drop(store);
    fs::remove_dir_all(root.join("events")).unwrap();
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{report:#?}");
    assert_eq!(support::lines_at(&root), crashes(0..4));
}

#[test]
fn a_damaged_segment_is_replaced_by_what_it_was_merged_from() {
    let store = Merged::new(5, keep_all());
    store.compact();
    let merged = store.events().remove(0);
    store.put_back(|name| Path::new("events").join(name));
    fs::write(&merged, b"PAR1 and nothing of it PAR1").unwrap();
    let (copy, report) = store.recover(RecoveryMode::Quarantine);
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{report:#?}");
    assert_eq!(support::lines(&copy.open()), crashes(0..5));
}

#[test]
fn a_part_of_what_was_merged_brings_its_facts_and_the_others_are_lost() {
    let store = Merged::new(5, keep_all());
    store.compact();
    store.put_back(|name| Path::new("events").join(name));
    let gone: Vec<_> = store.events().into_iter().take(2).collect();
    gone.iter().for_each(|path| fs::remove_file(path).unwrap());
    let (copy, report) = store.recover(RecoveryMode::Repair);
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (2, 0), "{report:#?}");
    assert_eq!(support::lines(&copy.open()), crashes(2..5));
}

#[test]
fn a_file_that_has_not_the_digest_is_not_believed() {
    let store = Merged::new(2, keep_all());
    store.compact();
    store.put_back(|name| Path::new("events").join(name));
    for path in store.events() {
        super::scene::change(&path, |bytes| bytes[40] ^= 1);
    }
    let (copy, report) = store.recover(RecoveryMode::Repair);
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(report.facts_lost() + support::count(&copy.open()), 2, "{report:#?}");
    assert!(report.facts_unverified() == support::count(&copy.open()), "{report:#?}");
}

#[test]
fn what_a_rule_has_dropped_does_not_come_back() {
    let policy = RetentionPolicy::new().kind(Kind::Event, RetentionLimits::new().max_records(3));
    let store = Merged::new(5, policy);
    store.compact();
    store.put_back(|name| Path::new("events").join(name));
    store.comes_back_whole(&crashes(2..5));
}

/// Of facts that a condition picks out, nobody can tell any more which ones were dropped: as many as were
/// live are kept, and called unverified.
#[test]
fn where_it_cannot_be_told_what_was_dropped_facts_are_kept_and_it_is_said() {
    let rule = RetentionRule::new("threes", RetentionLimits::new().max_records(0))
        .kind(Kind::Event)
        .predicate("actor_address = 'shop:3'");
    let store = Merged::new(6, RetentionPolicy::new().rule(rule));
    store.compact();
    assert_eq!(support::count(&store.open()), 5);
    store.put_back(|name| Path::new("events").join(name));
    let (copy, report) = store.recover(RecoveryMode::Repair);
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 5), "{report:#?}");
    assert!(report.notes.iter().any(|note| note.contains("it is unknown which")), "{report:#?}");
    assert!(verify(copy.root(), None).unwrap().is_sound());
    let (_, report) = {
        let copy = Merged { folder: support::scratch(), policy: keep_all() };
        copy_tree(store.folder.path(), copy.folder.path());
        let config = RecoveryConfig::new(RecoveryMode::Repair).lose_unverified(true);
        let report = recover(copy.root(), config).unwrap();
        (copy, report)
    };
    assert_eq!((report.facts_lost(), report.facts_unverified()), (5, 0), "{report:#?}");
}

#[test]
fn compaction_keeps_what_a_missing_segment_was_merged_from() {
    let store = Merged::new(5, keep_all());
    // Another kind, for the compaction to have something to do.
    let writer = store.open();
    for n in [1, 5, 9] {
        writer.record(support::any_fact(n)).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    drop(writer);
    let maintainer = Store::builder().access(ostracon::Access::Maintain).open(store.root()).unwrap();
    maintainer.compact(CompactOptions::new().kind(Kind::Event)).unwrap();
    store.put_back(|name| Path::new("events").join(name));
    maintainer.compact(CompactOptions::new().kind(Kind::Audit)).unwrap();
    assert_eq!(store.events().len(), 5);
    drop(maintainer);
    let (copy, report) = store.recover(RecoveryMode::Repair);
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{report:#?}");
    assert_eq!(places(&copy.root()).unwrap().len(), 8);
}

/// A damaged file of the right size is found only by reading it.
#[test]
fn compaction_keeps_what_a_damaged_segment_was_merged_from() {
    let store = Merged::new(5, keep_all());
    store.compact();
    store.put_inputs_back();
    let merged = store.merged();
    assert_eq!((merged.len(), store.events().len()), (1, 6));
    super::scene::change(&merged[0], |bytes| bytes[20..60].iter_mut().for_each(|byte| *byte ^= 0x55));
    store.compact();
    assert_eq!(store.events().len(), 6);
    let (copy, report) = store.recover(RecoveryMode::Repair);
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{report:#?}");
    assert_eq!(support::lines(&copy.open()), crashes(0..5));
    // What took the place of the damaged one is sound, so that the next compaction removes the others.
    copy.compact();
    copy.compact();
    assert_eq!(copy.events().len(), 1);
    assert_eq!(support::lines(&copy.open()), crashes(0..5));
}

#[cfg(unix)]
#[test]
fn more_inputs_than_descriptors_bring_their_facts_back() {
    let store = Merged::new(80, keep_all());
    store.compact();
    store.put_back(|name| Path::new("events").join(name));
    let binary = env!("CARGO_BIN_EXE_ostracon");
    let script = format!("ulimit -n 40 && exec {binary} recover facts --mode repair");
    let mut command = std::process::Command::new("sh");
    let output = command.args(["-c", &script]).current_dir(store.folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(support::lines(&store.open()), crashes(0..80));
}

/// The merged segment is gone, and a recovery gives its facts up; the inputs are put back only then.
fn given_up(facts: u64, policy: RetentionPolicy) -> (Merged, u64) {
    let store = Merged::new(facts, policy);
    store.compact();
    store.events().iter().for_each(|path| fs::remove_file(path).unwrap());
    let report = recover(store.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean() && report.facts_lost() > 0, "{report:#?}");
    (store, report.facts_lost())
}

/// Puts the copies whose numbers these are into the folder of events.
fn put_back_some(store: &Merged, numbers: std::ops::Range<u64>) {
    for entry in fs::read_dir(store.folder.path().join("aside")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let number: u64 = name.split('-').nth(1).unwrap().parse().unwrap();
        if numbers.contains(&(number - 1)) {
            fs::copy(&path, store.root().join("events").join(name)).unwrap();
        }
    }
}

#[test]
fn facts_that_were_given_up_come_back_from_the_segments_that_were_merged() {
    for meanwhile in ["nothing", "other facts", "a compaction", "a new ledger"] {
        let (store, lost) = given_up(5, keep_all());
        assert_eq!(lost, 5);
        let mut expected = crashes(0..5);
        for _ in 0..if meanwhile == "nothing" { 0 } else { 2 } {
            let writer = store.open();
            writer.record(support::crash(5)).unwrap();
            writer.close().unwrap();
            expected.extend(crashes(5..6));
        }
        match meanwhile {
            "a compaction" => store.compact(),
            "a new ledger" => super::restore_lost::begin_ledger_again(&store.root()),
            _ => {}
        }
        put_back_some(&store, 0..5);
        // No compaction takes them for files that are no longer needed.
        for _ in 0..2 {
            let writer = store.open();
            writer.record(support::crash(6)).unwrap();
            writer.close().unwrap();
            drop(writer);
            expected.extend(crashes(6..7));
            store.compact();
        }
        let found = scan(store.root(), ScanDepth::Quick).unwrap();
        let named = found.anomalies.iter().map(|it| (it.kind, it.affected.facts));
        assert_eq!(named.collect::<Vec<_>>(), [(AnomalyKind::SegmentUnknown, Some(1)); 5], "{found:#?}");
        for mode in [RecoveryMode::Repair, RecoveryMode::Quarantine, RecoveryMode::Rebuild] {
            let (copy, report) = store.recover(mode);
            assert!(report.is_clean(), "{meanwhile}, {mode}: {report:#?}");
            assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{mode}: {report:#?}");
            let mut lines = support::lines(&copy.open());
            lines.sort();
            expected.sort();
            assert_eq!(lines, expected, "{meanwhile}, {mode}");
            let sheet = verify(copy.root(), None).unwrap();
            assert!(sheet.is_sound() && sheet.kinds[0].lost == 0, "{meanwhile}, {mode}: {sheet:#?}");
            copy.compact();
            copy.compact();
            assert_eq!(support::count(&copy.open()), expected.len() as u64, "{meanwhile}, {mode}, compacted");
            assert!(scan(copy.root(), ScanDepth::Deep).unwrap().is_clean(), "{meanwhile}, {mode}");
        }
    }
}

#[test]
fn facts_that_were_given_up_come_back_part_by_part() {
    let (store, _) = given_up(5, keep_all());
    for (back, lost) in [(0..2, 3), (0..5, 0)] {
        put_back_some(&store, back.clone());
        store.compact();
        let report = recover(store.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
        assert!(report.is_clean() && report.facts_unverified() == 0, "{report:#?}");
        assert_eq!(support::lines(&store.open()), crashes(back), "{report:#?}");
        let sheet = verify(store.root(), None).unwrap();
        assert!(sheet.is_sound(), "{sheet:#?}");
        assert_eq!(sheet.kinds[0].lost, lost, "{sheet:#?}");
        store.compact();
    }
    assert_eq!(support::count(&store.open()), 5);
    // And only once.
    put_back_some(&store, 0..5);
    assert!(scan(store.root(), ScanDepth::Deep).unwrap().is_clean());
}

/// A rule dropped two facts of the inputs; which facts were lost is known by their number and their bytes, or the
/// newest are kept in doubt.
#[test]
fn what_a_rule_has_dropped_is_not_restored_in_place_of_lost_facts() {
    let policy = RetentionPolicy::new().kind(Kind::Event, RetentionLimits::new().max_records(3));
    let (store, lost) = given_up(5, policy);
    assert_eq!(lost, 3);
    put_back_some(&store, 0..5);
    store.compact();
    let report = recover(store.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(support::lines(&store.open()), crashes(2..5), "{report:#?}");
    let sheet = verify(store.root(), None).unwrap();
    assert!(sheet.is_sound() && sheet.kinds[0].lost == 0, "{sheet:#?}");
    assert!(scan(store.root(), ScanDepth::Deep).unwrap().is_clean());
}

/// The journal of a lost segment is put back, as from a copy of the whole folder that is older than the flush.
#[test]
fn facts_that_were_given_up_come_back_from_their_journal() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..4 {
        store.record(support::crash(n)).unwrap();
    }
    let journals = folder.path().join("journals");
    copy_tree(&root.join("journal"), &journals);
    store.close().unwrap();
    drop(store);
    fs::remove_dir_all(root.join("events")).unwrap();
    assert_eq!(recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap().facts_lost(), 4);
    copy_tree(&journals, &root.join("journal"));
    // Neither a writer nor a compaction takes it for a file whose facts are in segments.
    let store = Store::open(&root).unwrap();
    store.record(support::crash(4)).unwrap();
    store.flush().unwrap();
    store.compact(CompactOptions::new()).unwrap();
    store.close().unwrap();
    drop(store);
    let found = scan(&root, ScanDepth::Quick).unwrap();
    let named = found.anomalies.iter().map(|it| (it.kind, it.affected.facts));
    assert_eq!(named.collect::<Vec<_>>(), [(AnomalyKind::JournalUnknown, Some(4))], "{found:#?}");
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{report:#?}");
    let mut lines = support::lines_at(&root);
    lines.sort();
    assert_eq!(lines, crashes(0..5));
    let sheet = verify(&root, None).unwrap();
    assert!(sheet.is_sound() && sheet.kinds[0].lost == 0, "{sheet:#?}");
    let store = Store::open(&root).unwrap();
    store.compact(CompactOptions::new()).unwrap();
    store.close().unwrap();
    assert!(scan(&root, ScanDepth::Deep).unwrap().is_clean());
    assert_eq!(support::lines_at(&root).len(), 5);
}

/// Two writers' facts are in the merged segment; its name has the range of one stream only.
#[test]
fn facts_of_several_streams_that_were_given_up_come_back() {
    for part in [false, true] {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let (one, other) = (Store::open(&root).unwrap(), Store::open(&root).unwrap());
        for n in 0..12 {
            one.record(support::any_fact(n)).unwrap();
            other.record(support::any_fact(100 + n)).unwrap();
            if n % 4 == 3 {
                one.flush().unwrap();
                other.flush().unwrap();
            }
        }
        one.close().unwrap();
        other.close().unwrap();
        drop((one, other));
        let expected = places(&root).unwrap().len();
        let aside = folder.path().join("aside");
        copy_tree(&root.join("events"), &aside);
        let compact = || {
            let store = Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap();
            store.compact(CompactOptions::new()).unwrap();
        };
        compact();
        for entry in fs::read_dir(root.join("events")).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let repair = || {
            let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
            assert!(report.is_clean(), "{report:#?}");
            report
        };
        assert!(repair().facts_lost() > 0);
        for stream in if part { vec!["2-", "1-"] } else { vec![""] } {
            for entry in fs::read_dir(&aside).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if name.starts_with(stream) {
                    fs::copy(&path, root.join("events").join(name)).unwrap();
                }
            }
            assert_eq!(repair().facts_unverified(), 0);
        }
        assert_eq!(places(&root).unwrap().len(), expected, "{part}");
        let sheet = verify(&root, None).unwrap();
        assert!(sheet.is_sound() && sheet.kinds[0].lost == 0, "{sheet:#?}");
        assert!(scan(&root, ScanDepth::Deep).unwrap().is_clean());
        compact();
        assert_eq!(places(&root).unwrap().len(), expected, "{part}");
    }
}

/// Facts are restored, lost again and restored: two losses have the same numbers.
#[test]
fn facts_that_were_given_up_twice_come_back_once() {
    let (store, _) = given_up(5, keep_all());
    let repair = |store: &Merged| {
        let report = recover(store.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
        assert!(report.is_clean(), "{report:#?}");
        report
    };
    put_back_some(&store, 0..3);
    repair(&store);
    store.compact();
    fs::remove_dir_all(store.root().join("quarantine")).unwrap();
    store.events().iter().for_each(|path| fs::remove_file(path).unwrap());
    assert_eq!(repair(&store).facts_lost(), 3);
    for (back, there) in [(3..5, 2), (0..3, 5)] {
        put_back_some(&store, back);
        repair(&store);
        assert_eq!(support::count(&store.open()), there);
        store.compact();
    }
    assert_eq!(support::lines(&store.open()).len(), 5);
    let sheet = verify(store.root(), None).unwrap();
    assert!(sheet.is_sound() && sheet.kinds[0].lost == 0, "{sheet:#?}");
    assert!(scan(store.root(), ScanDepth::Deep).unwrap().is_clean());
}

/// A part of the inputs also has facts that the rule had dropped: they do not take the place of lost facts.
#[test]
fn a_part_of_the_inputs_restores_no_fact_that_a_rule_drops() {
    let rule = RetentionRule::new("threes", RetentionLimits::new().max_records(0))
        .kind(Kind::Event)
        .predicate("actor_address = 'shop:1'");
    let store = Merged::new(6, RetentionPolicy::new().rule(rule));
    fs::write(
        store.root().join("ostracon.toml"),
        "[[retention.rule]]\nname = 'threes'\nkind = 'events'\nwhere = \"actor_address = 'shop:1'\"\nmax_records = 0\n",
    )
    .unwrap();
    store.compact();
    let kept = support::lines(&store.open());
    assert!(!kept.is_empty() && kept.len() < 6, "{kept:?}");
    store.events().iter().for_each(|path| fs::remove_file(path).unwrap());
    let report = recover(store.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert_eq!(report.facts_lost(), kept.len() as u64);
    for back in [0..2, 2..4, 4..6] {
        put_back_some(&store, back);
        let report = recover(store.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
        assert!(report.is_clean(), "{report:#?}");
    }
    assert_eq!(support::lines(&store.open()), kept);
    assert_eq!(verify(store.root(), None).unwrap().kinds[0].lost, 0);
}

/// Nothing can be read from its footer, and it may be the only place of lost facts.
#[test]
fn compaction_keeps_a_damaged_file_that_was_put_back() {
    let (store, _) = given_up(3, keep_all());
    put_back_some(&store, 0..3);
    let damaged = store.events().remove(0);
    let bytes = fs::read(&damaged).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() - 20]).unwrap();
    store.compact();
    assert!(damaged.exists());
    let found = scan(store.root(), ScanDepth::Quick).unwrap();
    assert_eq!(found.anomalies.len(), 3, "{found:#?}");
    let report = recover(store.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(support::count(&store.open()), 2);
    assert!(
        !damaged.exists()
            && report.quarantined_files.iter().any(|path| path.ends_with(damaged.file_name().unwrap()))
    );
}
