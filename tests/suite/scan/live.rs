//! Scans of a store that does not stand still: no false alarm.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ostracon::{Import, ScanDepth, Store, scan, verify};

use super::{DEPTHS, Scene};
use crate::support;

const WRITERS: u64 = 4;
const ROUNDS: usize = 60;

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
                    let store = Store::builder().flush_rows(7 + writer).open(root).unwrap();
                    for _ in 0..60 {
                        store.record(support::any_fact(n)).unwrap();
                        n += 1;
                        recorded.fetch_add(1, Ordering::Relaxed);
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
                assert_eq!(store.import(lines.as_bytes(), Import::named("live")).unwrap().total(), 50);
            }
        });
        let scans = scope.spawn(|| {
            for round in 0..ROUNDS {
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
    assert!(report.segments > 100, "{report:#?}");
}
