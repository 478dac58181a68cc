//! Scan and verify: every damage is found and named, nothing harmless is called damage, nothing
//! is changed, and nothing that a store does of itself is taken for either.

#[cfg(feature = "cli")]
mod bounds;
#[cfg(feature = "cli")]
mod command;
mod damages;
mod flips;
mod harmless;
mod imports;
mod live;
mod verify;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::SystemTime;

use ostracon::{Kind, ScanDepth, ScanReport, Store, scan};
use tempfile::TempDir;

use super::support;
use crate::support::copy_tree;

const DEPTHS: [ScanDepth; 2] = [ScanDepth::Quick, ScanDepth::Deep];

/// A folder with a store in it.
struct Scene {
    folder: TempDir,
}

impl Scene {
    /// What a killed process leaves: two flushes of eight facts, and five facts in a journal.
    fn left_by_a_killed_process() -> Self {
        static LEFT: LazyLock<Scene> = LazyLock::new(|| {
            let alive = support::scratch();
            let store = Store::open(alive.path().join("facts")).unwrap();
            for n in 0..16 {
                store.record(support::any_fact(n)).unwrap();
                if n % 8 == 7 {
                    store.flush().unwrap();
                }
            }
            (16..21).for_each(|n| record(&store, n));
            // As it is while its owner lives, and without its owner.
            Scene::copy_of(&alive.path().join("facts"))
        });
        Self::copy_of(&LEFT.root())
    }

    /// A store with a checkpoint at commit 128, and one commit more.
    fn with_a_checkpoint() -> Self {
        static LEFT: LazyLock<Scene> = LazyLock::new(|| {
            let scene = Scene { folder: support::scratch() };
            let store = Store::open(scene.root()).unwrap();
            for n in 0..129 {
                store.record(support::crash(n)).unwrap();
                store.flush().unwrap();
            }
            store.close().unwrap();
            scene
        });
        Self::copy_of(&LEFT.root())
    }

    fn copy_of(root: &Path) -> Self {
        let scene = Self { folder: support::scratch() };
        copy_tree(root, &scene.root());
        scene
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("facts")
    }

    fn scan(&self, depth: ScanDepth) -> ScanReport {
        scan(self.root(), depth).unwrap()
    }

    /// The segments of a kind, in the order in which they were flushed.
    fn segments(&self, kind: Kind) -> Vec<PathBuf> {
        let mut paths = files(&self.root().join(kind.table()));
        paths.sort_by_key(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            name.split('-').nth(1).and_then(|first| first.parse::<u64>().ok())
        });
        paths
    }

    fn commit(&self, number: u64) -> PathBuf {
        self.root().join(format!("ledger/{number:020}.json"))
    }

    fn journal(&self) -> PathBuf {
        let files = files(&self.root().join("journal/1"));
        files.into_iter().find(|path| path.extension().is_some_and(|e| e == "journal")).unwrap()
    }
}

fn record(store: &Store, n: u64) {
    store.record(support::any_fact(n)).unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Flips one bit of a file.
fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

/// Every name below a folder, with what is under it: what a change of any kind would change.
fn tree(root: &Path) -> BTreeMap<PathBuf, (SystemTime, String)> {
    let mut tree = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            let content = if metadata.is_dir() {
                folders.push(entry.path());
                "a folder".to_owned()
            } else if metadata.is_file() {
                let bytes = fs::read(entry.path()).unwrap();
                format!("{} {}", bytes.len(), blake3::hash(&bytes))
            } else {
                format!("{:?}", metadata.file_type())
            };
            tree.insert(entry.path(), (metadata.modified().unwrap(), content));
        }
    }
    tree
}

/// The anomalies by their kinds, each with how many there are.
fn kinds(report: &ScanReport) -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for anomaly in &report.anomalies {
        *kinds.entry(anomaly.kind.to_string()).or_default() += 1;
    }
    let told: Vec<_> =
        kinds.into_iter().map(|(kind, n)| if n == 1 { kind } else { format!("{n} {kind}") }).collect();
    if told.is_empty() { "clean".to_owned() } else { told.join(", ") }
}
