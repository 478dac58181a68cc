//! All eight bits of every byte, file by file, where a file can be looked at alone.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::fact::{Audit, Seq};
use crate::ledger::commit_path;

/// One flush of two facts, and one fact in a journal: what a killed process leaves.
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

    /// Looks at the store with each bit of a file flipped in turn; `look` says whether that is found.
    fn flip_each(&self, path: &Path, look: impl Fn(usize) -> bool) -> usize {
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
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => assert!(fs::copy(entry.path(), to).is_ok()),
        }
    }
}

#[test]
fn every_bit_of_every_commit() {
    let small = Small::new();
    let found = || match chain::walk(&small.root(), |_, _| {}) {
        Ok(chain) => !chain.anomalies.is_empty(),
        // The version is read before the digest is compared: it may be one that is not known.
        Err(error) => error.kind() == ErrorKind::NewerFormat,
    };
    assert!(!found());
    for number in 0..2 {
        let path = commit_path(&small.root().join("ledger"), crate::ledger::CommitNumber(number));
        assert!(small.flip_each(&path, |_| found()) > 200);
    }
    assert!(!found());
}

#[test]
fn every_bit_of_a_segment() {
    let small = Small::new();
    let state = chain::walk(&small.root(), |_, _| {}).unwrap().state.unwrap();
    let [segment] = state.segments(crate::Kind::Audit) else { panic!("{state:?}") };
    let found = || {
        let seen = Mutex::new(Seen::default());
        let checker = Checker { root: &small.root(), store: state.store, seen: Some(&seen) };
        !checker.check(segment, &|_| {}).unwrap().anomalies.is_empty()
    };
    assert!(!found());
    assert!(small.flip_each(&small.root().join(&segment.path), |_| found()) > 2000);
    assert!(!found());
}

#[test]
fn every_bit_of_a_journal() {
    let small = Small::new();
    let disk = Disk::new();
    let store = chain::walk(&small.root(), |_, _| {}).unwrap().state.map(|state| state.store);
    let judge = || {
        let mut files = journals::open(&disk, &small.root(), StreamId(1)).unwrap();
        files.judge(store, Seq(2)).unwrap()
    };
    assert_eq!((judge().anomalies.len(), judge().debris.len(), judge().unflushed), (0, 0, [0, 1, 0]));
    let journal = fs::read_dir(small.root().join("journal/1")).unwrap().map(|entry| entry.unwrap().path());
    let journal = journal.filter(|path| path.extension().is_some_and(|e| e == "journal")).next().unwrap();
    let flipped = small.flip_each(&journal, |at| {
        let judged = judge();
        // A length that is too large looks like a frame that is cut short, if it is the last: that was
        // never acknowledged, as far as anybody can tell, and is told as such.
        !judged.anomalies.is_empty() || ((36..40).contains(&at) && judged.debris.len() == 1)
    });
    assert!(flipped > 60);
}
