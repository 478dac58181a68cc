//! Scans of a store that does not stand still: no false alarm.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ostracon::{CompactOptions, Import, ScanDepth, Store, scan, verify};

use super::{DEPTHS, Scene};
use crate::support;

const WRITERS: u64 = 4;
/// So many rounds at least, and for so long.
const ROUNDS: usize = 12;
const FOR: Duration = Duration::from_secs(6);
/// Between two facts, so that there are not too many of them on a slow machine.
const PAUSE: Duration = Duration::from_millis(8);

#[test]
fn beside_four_writers_and_an_import_no_scan_finds_anything() {
    let scene = Scene { folder: support::scratch() };
    let root = &scene.root();
    drop(Store::open(root).unwrap());
    let (done, recorded) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (done, recorded) = (&done, &recorded);
            scope.spawn(move || {
                let mut n = writer * 1_000_000;
                while !done.load(Ordering::Relaxed) {
                    // Streams are given back and taken up again.
                    let store = Store::builder().flush_rows(20 + writer).open(root).unwrap();
                    for _ in 0..60 {
                        store.record(support::any_fact(n)).unwrap();
                        n += 1;
                        recorded.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(PAUSE);
                    }
                    // Every other one leaves its facts in the journal.
                    if n % 120 == 0 {
                        store.close().unwrap();
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut n = 10_000_000;
            while !done.load(Ordering::Relaxed) {
                let lines: String = (n..n + 50).map(|n| support::any_fact(n).to_line() + "\n").collect();
                n += 50;
                let store = Store::open(root).unwrap();
                recorded.fetch_add(50, Ordering::Relaxed);
                std::thread::sleep(50 * PAUSE);
                assert_eq!(store.import(lines.as_bytes(), Import::named("live")).unwrap().total(), 50);
            }
        });
        let scans = scope.spawn(|| {
            let (begun, mut round) = (Instant::now(), 0);
            while round < ROUNDS || begun.elapsed() < FOR {
                round += 1;
                let report = scan(root, DEPTHS[round % 2]).unwrap();
                assert!(report.is_clean(), "round {round}: {report:#?}");
                let sheet = verify(root, None).unwrap();
                assert!(sheet.is_sound(), "round {round}: {sheet:#?}");
            }
        });
        let result = scans.join();
        done.store(true, Ordering::Relaxed);
        result.unwrap();
    });
    Store::open(root).unwrap().close().unwrap();
    let report = scan(root, ScanDepth::Deep).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let sheet = verify(root, None).unwrap();
    let live: u64 = sheet.kinds.iter().map(|of| of.live).sum();
    assert_eq!(live, recorded.into_inner());
    assert!(report.segments > 50, "{report:#?}");
}

#[test]
fn beside_compactions_no_scan_finds_anything() {
    const ROUNDS: u64 = 12;
    let scene = Scene { folder: support::scratch() };
    let root = &scene.root();
    drop(Store::open(root).unwrap());
    let done = AtomicBool::new(false);
    let compacted = std::thread::scope(|scope| {
        scope.spawn(|| {
            let store = Store::open(root).unwrap();
            for n in 0.. {
                store.record(support::any_fact(n)).unwrap();
                if n % 10 == 9 {
                    store.flush().unwrap();
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
                std::thread::sleep(PAUSE / 8);
            }
            store.close().unwrap();
        });
        let compactions = scope.spawn(|| {
            let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
            let mut merged = 0;
            while !done.load(Ordering::Relaxed) {
                merged += store.compact(CompactOptions::new()).unwrap().segments_removed;
            }
            merged
        });
        let scans = scope.spawn(|| {
            let begun = Instant::now();
            let mut round = 0;
            while round < ROUNDS || begun.elapsed() < FOR / 2 {
                round += 1;
                let report = scan(root, DEPTHS[round as usize % 2]).unwrap();
                assert!(report.is_clean(), "round {round}: {report:#?}");
                let sheet = verify(root, None).unwrap();
                assert!(sheet.is_sound(), "round {round}: {sheet:#?}");
            }
        });
        let result = scans.join();
        done.store(true, Ordering::Relaxed);
        result.unwrap();
        compactions.join().unwrap()
    });
    assert!(compacted > 20, "{compacted}");
    let report = scan(root, ScanDepth::Deep).unwrap();
    assert!(report.is_clean(), "{report:#?}");
}
