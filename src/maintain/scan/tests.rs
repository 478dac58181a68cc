//! Flips each of the eight bits of every byte, one file at a time, where a file can be checked alone.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::Store;
use crate::fact::{Audit, Kind, PerKind, Seq};
use crate::ledger::{Action, CommitNumber, Dropped, Total, commit_path};

/// A store after one flush of two facts, with one fact in a journal, as a killed process leaves it.
struct Small {
    folder: TempDir,
}

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Store::open(folder.path().join("alive")).unwrap();
        store.record(Audit::new("a", 1.0)).unwrap();
        store.record(Audit::new("b", 2.0)).unwrap();
        store.flush().unwrap();
        store.record(Audit::new("c", 3.0)).unwrap();
        copy(&folder.path().join("alive"), &folder.path().join("facts"));
        Self { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("facts")
    }
}

/// Checks a store with each bit of a file flipped in turn; `look` says whether the flip is found.
fn flip_each(path: &Path, look: impl Fn(usize) -> bool) -> usize {
    let sound = fs::read(path).unwrap();
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << bit;
            fs::write(path, &flipped).unwrap();
            assert!(look(at), "{}: bit {bit} of byte {at}", path.display());
        }
    }
    fs::write(path, &sound).unwrap();
    sound.len()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn every_bit_of_every_commit() {
    let small = Small::new();
    let found = || match commit_chain::walk(&small.root(), |_, _| {}) {
        Ok(chain) => !chain.anomalies.is_empty(),
        // The version is read before the digest is compared: it may be an unknown version.
        Err(error) => error.kind() == ErrorKind::NewerFormat,
    };
    assert!(!found());
    for number in 0..2 {
        let path = commit_path(&small.root().join("ledger"), CommitNumber(number));
        assert!(flip_each(&path, |_| found()) > 200);
    }
    assert!(!found());
}

#[test]
fn every_bit_of_a_segment() {
    let small = Small::new();
    let state = commit_chain::walk(&small.root(), |_, _| {}).unwrap().state.unwrap();
    let [segment] = state.segments(Kind::Audit) else { panic!("{state:?}") };
    let found = || {
        let seen = Mutex::new(FactSet::default());
        let checker = Checker { root: &small.root(), store: state.store, seen: Some(&seen) };
        !checker.check(segment, &|_| {}).unwrap().anomalies.is_empty()
    };
    assert!(!found());
    assert!(flip_each(&small.root().join(&segment.path), |_| found()) > 2000);
    assert!(!found());
}

#[test]
fn every_bit_of_a_journal() {
    let small = Small::new();
    let disk = Disk::new();
    let store = commit_chain::walk(&small.root(), |_, _| {}).unwrap().state.map(|state| state.store);
    let judge = || {
        let mut files = journals::open(&disk, &small.root(), StreamId(1)).unwrap();
        files.judge(store, Seq(2)).unwrap()
    };
    assert_eq!(
        (judge().anomalies.len(), judge().debris.len(), judge().unflushed),
        (0, 0, PerKind::of(0, 1, 0))
    );
    let journal = fs::read_dir(small.root().join("journal/1")).unwrap().map(|entry| entry.unwrap().path());
    let journal = { journal }.find(|path| path.extension().is_some_and(|e| e == "journal")).unwrap();
    let flipped = flip_each(&journal, |at| {
        let judged = judge();
        // A length that is too large looks like a frame that is cut short, if it is the last frame. Such
        // a fact counts as never acknowledged, and is reported as debris.
        !judged.anomalies.is_empty() || ((36..40).contains(&at) && judged.debris.len() == 1)
    });
    assert!(flipped > 60);
}

/// Two segments of two audits each, all of one size.
fn two_segments() -> (TempDir, Store, Vec<Segment>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    for flush in 0..2 {
        for name in ["a", "b"] {
            store.record(Audit::new(name, f64::from(flush))).unwrap();
        }
        store.flush().unwrap();
    }
    let state = store.context().ledger.known();
    let segments = state.segments(Kind::Audit).iter().map(|segment| (**segment).clone()).collect();
    (folder, store, segments)
}

fn commit(store: &Store, action: &Action) {
    store.context().ledger.commit(|_| Ok(Some(action.clone()))).unwrap();
}

#[test]
fn facts_that_a_commit_says_are_gone_are_no_gap() {
    let (_folder, store, segments) = two_segments();
    let dropped = vec![Dropped { rule: "old".to_owned(), kind: Kind::Audit, total: Total::of(&segments[0]) }];
    let swept = CommitNumber(0);
    commit(&store, &Action::Compact { remove: vec![segments[0].clone()], add: vec![], dropped, swept });
    let report = store.scan(ScanDepth::Deep).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let [removed] = &report.debris[..] else { panic!("{report:#?}") };
    assert_eq!(removed.path, segments[0].path);
    assert!(removed.what.starts_with("a segment that commit 3 removed"), "{removed:?}");
}

#[test]
fn facts_that_are_twice_in_segments_and_others_that_are_nowhere() {
    let (_folder, store, segments) = two_segments();
    let (first, second) = (&segments[0], &segments[1]);
    assert_eq!(first.fact_bytes, second.fact_bytes, "the sums do not show it");
    let again = Segment { path: "audits/1-1-2-0a0b0c0d.parquet".to_owned(), ..first.clone() };
    fs::copy(store.path().join(&first.path), store.path().join(&again.path)).unwrap();
    let swept = CommitNumber(0);
    commit(
        &store,
        &Action::Compact { remove: vec![second.clone()], add: vec![again], dropped: vec![], swept },
    );

    assert!(store.scan(ScanDepth::Quick).unwrap().is_clean());
    let report = store.scan(ScanDepth::Deep).unwrap();
    assert!(report.anomalies.iter().all(|anomaly| anomaly.kind == AnomalyKind::Imbalance), "{report:#?}");
    let found: Vec<_> = report.anomalies.iter().map(|anomaly| anomaly.found.as_str()).collect();
    assert!(
        found.iter().any(|found| found.starts_with("2 facts that are in another segment, too")),
        "{found:?}"
    );
    assert!(found.contains(&"in no segment"), "{found:?}");
}

#[test]
fn a_ledger_that_tells_wrong_things_of_a_sound_segment() {
    type Change = fn(&mut Segment);
    let (_folder, store, segments) = two_segments();
    let changes: [(Change, &str); 3] = [
        (|segment| segment.recorded_at.max.0 += 1, "recorded from"),
        (|segment| segment.at.min.0 -= 1, "wall times from"),
        (|segment| segment.timestamp_nulls = 1, "timestamps without a nanosecond"),
    ];
    for (change, what) in changes {
        let mut wrong = segments[1].clone();
        change(&mut wrong);
        let seen = Mutex::new(FactSet::default());
        let store_id = store.context().ledger.known().store;
        let checker = Checker { root: store.path(), store: store_id, seen: Some(&seen) };
        let found = checker.check(&wrong, &|_| {}).unwrap();
        let [anomaly] = &found.anomalies[..] else { panic!("{what}: {:#?}", found.anomalies) };
        assert_eq!(anomaly.kind, AnomalyKind::SegmentForeign);
        assert!(anomaly.expected.contains(what), "{anomaly:#?}");
    }
}
