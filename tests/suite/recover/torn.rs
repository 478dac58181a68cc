//! Segments whose end is gone: each fact whose bytes are there comes back, and lists have it before
//! that.

use std::fs;
use std::path::{Path, PathBuf};

use ostracon::{Kind, RecoveryMode, Store, recover};

use super::scene::{Scene, change, places};

/// Where a segment's file is cut.
fn cuts(bytes: &[u8]) -> Vec<(&'static str, usize)> {
    let end = bytes.len();
    let length = u32::from_le_bytes(bytes[end - 8..end - 4].try_into().unwrap()) as usize;
    vec![
        ("one byte is gone", end - 1),
        ("nine bytes are gone", end - 9),
        ("a hundred bytes are gone", end - 100),
        ("a thousand bytes are gone", end - 1000),
        ("the footer is gone", end - 8 - length),
    ]
}

fn first(scene: &Scene, kind: Kind) -> PathBuf {
    scene.files(kind.table())[0].clone()
}

fn cut(path: &Path, at: usize) {
    change(path, |bytes| bytes.truncate(at));
}

#[test]
fn a_torn_segment_of_any_kind_comes_back_exactly() {
    let sound = Scene::new();
    let before = places(&sound.root()).unwrap();
    for kind in Kind::ALL {
        let bytes = fs::read(first(&sound, kind)).unwrap();
        for (what, at) in cuts(&bytes) {
            let scene = sound.copy();
            cut(&first(&scene, kind), at);
            let report = recover(scene.root(), scene.config(RecoveryMode::Repair)).unwrap();
            assert!(report.is_clean(), "{kind}, {what}: {report:#?}");
            assert_eq!(
                (report.facts_lost(), report.facts_unverified()),
                (0, 0),
                "{kind}, {what}: {report:#?}"
            );
            assert_eq!(places(&scene.root()).unwrap(), before, "{kind}, {what}");
        }
    }
}

#[test]
fn a_list_of_what_can_be_read_has_the_facts_of_a_torn_segment() {
    let sound = Scene::new();
    for kind in Kind::ALL {
        let whole = Store::builder()
            .access(ostracon::Access::Read)
            .open(sound.root())
            .unwrap()
            .list(kind, None, None)
            .unwrap();
        let bytes = fs::read(first(&sound, kind)).unwrap();
        for (what, at) in cuts(&bytes) {
            let scene = sound.copy();
            cut(&first(&scene, kind), at);
            let store = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap();
            let listed = store.list_readable(kind, None, None).unwrap();
            assert_eq!(listed.facts, whole, "{kind}, {what}");
            assert_eq!((listed.damage.len(), listed.passed_over), (1, 0), "{kind}, {what}");
            let newest = store.list_readable(kind, Some(5), None).unwrap();
            assert_eq!(newest.facts, whole[whole.len() - 5..], "{kind}, {what}");
            // Who asks for all of them is told that some may be missing.
            assert!(store.list(kind, None, None).is_err(), "{kind}, {what}");
        }
    }
}
