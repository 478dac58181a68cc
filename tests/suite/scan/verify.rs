//! The balance sheet, and heads that were kept elsewhere.

use std::fs;

use ostracon::{Against, AnomalyKind, Kind, LedgerHead, Store, verify};

use super::{Scene, flip};
use crate::support;

#[test]
fn every_fact_is_on_the_sheet() {
    let scene = Scene::left_by_a_killed_process();
    let sheet = verify(scene.root(), None).unwrap();
    assert!(sheet.is_sound(), "{sheet:#?}");
    let numbers: Vec<_> =
        sheet.kinds.iter().map(|of| (of.kind, of.recorded, of.live, of.lost, of.unflushed)).collect();
    assert_eq!(
        numbers,
        [(Kind::Event, 8, 8, 0, 3), (Kind::Audit, 4, 4, 0, 1), (Kind::DeadLetter, 4, 4, 0, 1)]
    );
    assert_eq!((sheet.unaccounted, sheet.root, sheet.commits), (0, 0, 3));
    assert_eq!(sheet.head.unwrap().commit, 2);
    assert!(sheet.rebuilt.is_none() && sheet.holds.is_empty() && sheet.against.is_none());
}

#[test]
fn beside_a_damaged_journal_a_store_is_not_sound() {
    let scene = Scene::left_by_a_killed_process();
    let journal = scene.journal();
    let at = fs::metadata(&journal).unwrap().len() as usize / 2;
    flip(&journal, at, 3);
    let sheet = verify(scene.root(), None).unwrap();
    assert!(!sheet.is_sound(), "{sheet:#?}");
    let kinds: Vec<_> = sheet.anomalies.iter().map(|anomaly| anomaly.kind.to_string()).collect();
    assert_eq!(kinds, ["journal_damaged"]);
}

#[test]
fn a_head_that_was_kept_is_found_again_for_ever() {
    let scene = Scene { folder: support::scratch() };
    let mut kept: Vec<LedgerHead> = Vec::new();
    let store = Store::open(scene.root()).unwrap();
    for n in 0..5 {
        kept.push(store.head().unwrap());
        store.record(support::crash(n)).unwrap();
        store.flush().unwrap();
    }
    store.close().unwrap();
    for (n, head) in kept.iter().enumerate() {
        assert_eq!(head.commit, n as u64);
        let sheet = verify(scene.root(), Some(head)).unwrap();
        assert!(sheet.is_sound());
        assert_eq!(sheet.against, Some(Against::Contained { since: 5 - n as u64 }));
    }
}

#[test]
fn a_store_that_was_rolled_back_is_found_out() {
    let scene = Scene { folder: support::scratch() };
    let store = Store::open(scene.root()).unwrap();
    store.record(support::crash(1)).unwrap();
    store.close().unwrap();
    drop(store);
    let older = Scene::copy_of(&scene.root());
    let store = Store::open(scene.root()).unwrap();
    store.record(support::crash(2)).unwrap();
    store.close().unwrap();
    let kept = store.head().unwrap();
    drop(store);

    // By itself the older copy is sound; that is why a head is kept.
    assert!(verify(older.root(), None).unwrap().is_sound());
    let sheet = verify(older.root(), Some(&kept)).unwrap();
    assert!(!sheet.is_sound());
    assert_eq!(sheet.against, Some(Against::RolledBack { newest: 1 }));

    // It went on from there, and has as many commits again.
    let store = Store::open(older.root()).unwrap();
    store.record(support::crash(3)).unwrap();
    store.close().unwrap();
    let found = store.head().unwrap().blake3;
    drop(store);
    let sheet = verify(older.root(), Some(&kept)).unwrap();
    assert!(!sheet.is_sound() && sheet.anomalies.is_empty());
    assert_eq!(sheet.against, Some(Against::Rewritten { found }));
}

#[test]
fn a_broken_chain_is_not_sound() {
    let scene = Scene::left_by_a_killed_process();
    let kept = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap().head().unwrap();
    support::lose_commit(&scene.root(), 1);
    let sheet = verify(scene.root(), Some(&kept)).unwrap();
    assert!(!sheet.is_sound());
    assert!(sheet.anomalies.iter().any(|anomaly| anomaly.kind.to_string() == "commit_missing"));
    support::lose_ledger(&scene.root());
    let sheet = verify(scene.root(), Some(&kept)).unwrap();
    assert!(!sheet.is_sound() && sheet.head.is_none());
    assert_eq!(sheet.against, Some(Against::Gone));
}

#[test]
fn a_segment_whose_file_is_gone_or_short_is_on_no_sound_sheet() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    store.record(support::crash(1)).unwrap();
    store.close().unwrap();
    let file = std::fs::read_dir(root.join("events")).unwrap().next().unwrap().unwrap().path();
    let sound = std::fs::read(&file).unwrap();
    let kinds = || {
        let sheet = verify(&root, None).unwrap();
        assert_eq!(sheet.is_sound(), sheet.anomalies.is_empty());
        sheet.anomalies.iter().map(|anomaly| anomaly.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(), []);
    std::fs::write(&file, &sound[1..]).unwrap();
    assert_eq!(kinds(), [AnomalyKind::SegmentSize]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(kinds(), [AnomalyKind::SegmentMissing]);
}
