//! Bits of a small store are flipped, and a deep scan finds each.
//!
//! Here the whole scan runs, for a bit of every eleventh byte; all eight bits of every byte are
//! flipped beside the code (`maintain::scan::tests`), where a file can be looked at alone. What is not
//! covered is `ostracon.toml`, which people change, and lock files, which are empty.

use std::fs;
use std::path::PathBuf;

use ostracon::{Audit, ScanDepth, ScanOptions, Store, scan};

use super::Scene;
use crate::support;
use crate::support::copy_tree;

/// One flush of two facts, and one fact in a journal.
fn small() -> Scene {
    let alive = support::scratch();
    let store = Store::open(alive.path().join("facts")).unwrap();
    store.record(Audit::new("a", 1.0)).unwrap();
    store.record(Audit::new("b", 2.0)).unwrap();
    store.flush().unwrap();
    store.record(Audit::new("c", 3.0)).unwrap();
    let scene = Scene { folder: support::scratch() };
    copy_tree(&alive.path().join("facts"), &scene.root());
    scene
}

fn files(scene: &Scene) -> Vec<PathBuf> {
    let folders = ["ledger", "ledger-copy", "audits", "journal/1"]
        .map(|folder| super::files(&scene.root().join(folder)));
    let mut files = folders.concat();
    files.retain(|path| fs::metadata(path).unwrap().len() > 0);
    files
}

#[test]
fn a_bit_here_and_there() {
    let scene = small();
    let files = files(&scene);
    assert_eq!(files.len(), 6, "two commits, their copies, a segment and a journal: {files:?}");
    let mut flipped = 0;
    for path in files {
        let sound = fs::read(&path).unwrap();
        let journal = path.extension().is_some_and(|e| e == "journal");
        // The length of the last frame: one that is too large makes it a frame that was cut short.
        let last = if journal { 36..40 } else { 0..0 };
        for at in (0..sound.len()).step_by(11) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << (at / 11 % 8);
            fs::write(&path, &bytes).unwrap();
            let report = scan(scene.root(), ScanOptions::new(ScanDepth::Deep).threads(1)).unwrap();
            let told = !report.is_clean() || (last.contains(&at) && report.debris.len() == 1);
            assert!(told, "{} flipped at {at}: {report:#?}", path.display());
            flipped += 1;
        }
        fs::write(&path, &sound).unwrap();
    }
    assert!(flipped > 400, "{flipped}");
    assert!(scan(scene.root(), ScanDepth::Deep).unwrap().is_clean());
}
