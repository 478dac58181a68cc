//! A flipped bit may make a text longer: then a segment reads as more bytes than were recorded. Its facts are
//! kept all the same, but for as few as must make room.

use std::fs;

use ostracon::{Event, Json, Kind, RecoveryConfig, RecoveryMode, ScanDepth, Store, recover, scan};

use super::scene::{change, places};
use crate::support;

const FACTS: usize = 40;

/// Whether all facts can be read, and of how many bytes their lines are.
fn line_bytes(root: &std::path::Path) -> Option<usize> {
    let store = Store::builder().access(ostracon::Access::Read).open(root).unwrap();
    let facts = store.list(Kind::Event, None, None).ok()?;
    (facts.len() == FACTS).then(|| facts.iter().map(|found| found.fact.to_line().len()).sum())
}

#[test]
fn facts_that_read_as_longer_than_they_were_are_kept() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..FACTS {
        let actor = if n % 2 == 0 { "shop:1" } else { "shop:with-a-much-longer-address" };
        store.record(Event::new("shop", actor, "ActorStarted", Json::empty_object(), n as f64)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let recorded = line_bytes(&root).unwrap();
    let segment = fs::read_dir(root.join("events")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&segment).unwrap();
    // Two bits, so that none of them can be put right: two facts get the other actor's address.
    let address = super::scene::position(&segment, b"shop:with-a-much");
    let longer = (address..address + 400).find(|at| {
        change(&segment, |bytes| bytes[*at] ^= 0x05);
        let is_longer = line_bytes(&root).is_some_and(|bytes| bytes > recorded);
        if !is_longer {
            fs::write(&segment, &whole).unwrap();
        }
        is_longer
    });
    longer.expect("some byte says which address a fact has");
    let damaged = fs::read(&segment).unwrap();

    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (1, FACTS as u64 - 1), "{report:#?}");
    assert_eq!(places(&root).unwrap().len(), FACTS - 1);
    // What was given up can be looked at still, also in mode repair.
    let [kept] = &report.quarantined_files[..] else { panic!("{report:#?}") };
    assert!(fs::read(kept).unwrap() == damaged);
    let store = Store::open(&root).unwrap();
    store.compact(ostracon::CompactOptions::new()).unwrap();
    assert!(scan(&root, ScanDepth::Deep).unwrap().is_clean());
    assert_eq!(places(&root).unwrap().len(), FACTS - 1);
}
