//! A store of a few flushes whose process has died, and ways to damage it.

use std::fs;
use std::path::{Path, PathBuf};

use ostracon::disk::{Disk, FaultPlan};
use ostracon::{Cursor, RecoveryConfig, RecoveryMode, Store};
use tempfile::TempDir;

use crate::support;
use crate::support::copy_tree;

/// Facts of a flush, and facts that were never flushed.
pub(crate) const FLUSHED: u64 = 12;
pub(crate) const LEFT: u64 = 6;
pub(crate) const ALL: u64 = 2 * FLUSHED + LEFT;

/// A folder with a store in `facts`.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    /// Every fact that was recorded.
    pub(crate) lines: Vec<String>,
}

impl Scene {
    /// Two flushes, three segments each, and six facts in the journal of a process that has died.
    pub(crate) fn new() -> Self {
        let folder = support::scratch();
        let plan = FaultPlan::new();
        let store =
            Store::builder().disk(Disk::with_plan(plan.clone())).open(folder.path().join("facts")).unwrap();
        for n in 0..ALL {
            store.record(support::any_fact(n)).unwrap();
            if n + 1 == FLUSHED || n + 1 == 2 * FLUSHED {
                store.flush().unwrap();
            }
        }
        let lines = support::lines(&store);
        plan.halt_at(1);
        drop(store);
        Self { folder, lines }
    }

    /// The same store once more, in a folder of its own.
    pub(crate) fn copy(&self) -> Self {
        let folder = support::scratch();
        copy_tree(self.folder.path(), folder.path());
        Self { folder, lines: self.lines.clone() }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("facts")
    }

    pub(crate) fn commit(&self, number: u64) -> PathBuf {
        self.root().join(format!("ledger/{number:020}.json"))
    }

    /// The segment of events of the first or the second flush.
    pub(crate) fn events(&self, flush: usize) -> PathBuf {
        self.files("events")[flush].clone()
    }

    pub(crate) fn journal(&self) -> PathBuf {
        let files = self.files("journal/1");
        files.into_iter().find(|path| path.extension().is_some_and(|e| e == "journal")).unwrap()
    }

    pub(crate) fn files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root().join(folder)).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// How to recover it.
    pub(crate) fn config(&self, mode: RecoveryMode) -> RecoveryConfig {
        let config = RecoveryConfig::new(mode);
        if mode == RecoveryMode::Quarantine { config.quarantine_dir(self.aside()) } else { config }
    }

    /// A quarantine folder outside of the store.
    pub(crate) fn aside(&self) -> PathBuf {
        self.folder.path().join("aside")
    }
}

/// Every fact of the store at this path, with its place.
pub(crate) fn places(root: &Path) -> ostracon::Result<Vec<(u32, u64, String)>> {
    let store = Store::builder().access(ostracon::Access::Read).open(root)?;
    store
        .after(&Cursor::start())?
        .map(|fact| fact.map(|f| (f.position.stream.get(), f.position.seq.get(), f.fact.to_line())))
        .collect()
}

pub(crate) fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Flips a bit of the byte at this part of the file, in thousandths.
pub(crate) fn flip(path: &Path, thousandth: usize) {
    change(path, |bytes| {
        let at = bytes.len() * thousandth / 1000;
        bytes[at] ^= 0x08;
    });
}

/// Where these bytes are in a file.
pub(crate) fn position(path: &Path, needle: &[u8]) -> usize {
    let bytes = fs::read(path).unwrap();
    bytes.windows(needle.len()).position(|window| window == needle).unwrap()
}
