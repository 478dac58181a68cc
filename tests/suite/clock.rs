//! Clocks that jump: what is recorded after a clock was set right is stamped right.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ostracon::{Durability, RetentionLimits, RetentionPolicy, ScanDepth, Store, UnixNanos, scan};

use super::support::{crash, lines, scratch};

const NOW: i64 = 1_795_404_290_000_000_000;
const SECOND: i64 = 1_000_000_000;
const TEN_YEARS: i64 = 3650 * 86_400 * SECOND;

/// A clock that a test sets.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(nanos: i64) -> Self {
        Self(Arc::new(AtomicI64::new(nanos)))
    }

    fn set(&self, nanos: i64) {
        self.0.store(nanos, Ordering::SeqCst);
    }

    fn open(&self, root: &std::path::Path, durability: Durability) -> Store {
        let hands = Arc::clone(&self.0);
        let clock = move || UnixNanos::new(hands.load(Ordering::SeqCst));
        Store::builder().durability(durability).clock(clock).open(root).unwrap()
    }
}

#[test]
fn a_stream_is_left_when_the_clock_is_set_right() {
    for durability in [Durability::Buffered, Durability::Journaled, Durability::Synced] {
        let folder = scratch();
        let root = folder.path().join("facts");
        let hands = Hands::at(NOW + TEN_YEARS);
        let store = hands.open(&root, durability);
        let ahead = store.record(crash(0)).unwrap();
        let ahead = [ahead, store.record(crash(1)).unwrap()];
        hands.set(NOW);
        let right = store.record(crash(2)).unwrap();
        assert_ne!(right.stream, ahead[0].stream, "{durability:?}");
        assert_eq!((right.recorded_at, right.seq.get()), (UnixNanos::new(NOW), 1));
        let next = store.append(crash(3)).unwrap();
        assert_eq!((next.stream, next.seq.get()), (right.stream, 2));
        for position in ahead.into_iter().chain([right, next]) {
            store.wait(position).unwrap();
        }
        assert_eq!(lines(&store).len(), 4, "also before the flush");
        store.close().unwrap();
        let store = hands.open(&root, durability);
        assert_eq!(lines(&store).len(), 4);
        assert_eq!(store.summary().unwrap().streams, 2);
        store.close().unwrap();
        assert!(scan(&root, ScanDepth::Deep).unwrap().is_clean());
    }
}

#[test]
fn a_clock_that_wavers_keeps_its_stream() {
    let folder = scratch();
    let hands = Hands::at(NOW);
    let store = hands.open(&folder.path().join("facts"), Durability::Journaled);
    let first = store.record(crash(0)).unwrap();
    hands.set(NOW - 50 * SECOND);
    let second = store.record(crash(1)).unwrap();
    assert_eq!((second.stream, second.recorded_at), (first.stream, first.recorded_at));
}

#[test]
fn the_newest_are_kept_after_the_clock_was_set_right() {
    let folder = scratch();
    let root = folder.path().join("facts");
    let hands = Hands::at(NOW + TEN_YEARS);
    let store = hands.open(&root, Durability::Journaled);
    store.record(crash(0)).unwrap();
    hands.set(NOW);
    for n in 1..10 {
        store.record(crash(n)).unwrap();
    }
    store.close().unwrap();
    // Of the ten years' lead there is one fact, and not the whole life of a process.
    let policy = RetentionPolicy::new().store(RetentionLimits::new().max_records(4));
    let store = Store::builder().retention(policy).open(&root).unwrap();
    let kept = lines(&store);
    assert!((7..10).all(|n| kept.contains(&crash(n).to_line())), "{kept:?}");
}

#[test]
fn recorders_at_once_lose_nothing_when_the_clock_is_set_back() {
    let folder = scratch();
    let root = folder.path().join("facts");
    let hands = Hands::at(NOW);
    let store = hands.open(&root, Durability::Synced);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, hands) = (&store, &hands);
            scope.spawn(move || {
                for n in 0..50 {
                    let position = store.record(crash(thread * 1000 + n)).unwrap();
                    store.wait(position).unwrap();
                    if thread == 0 && n % 10 == 9 {
                        hands.set(NOW - i64::try_from(n).unwrap() * 600 * SECOND);
                    }
                }
            });
        }
    });
    assert_eq!(lines(&store).len(), 200);
    store.close().unwrap();
    let store = Store::open(&root).unwrap();
    assert_eq!(lines(&store).len(), 200);
    assert!(store.summary().unwrap().streams > 2);
    store.close().unwrap();
    assert!(scan(&root, ScanDepth::Deep).unwrap().is_clean());
}

#[test]
fn scan_and_verify_name_facts_that_are_ahead_of_the_clock() {
    let folder = scratch();
    let root = folder.path().join("facts");
    let store = Hands::at(4_000_000_000 * SECOND).open(&root, Durability::Journaled);
    store.record(crash(0)).unwrap();
    store.close().unwrap();
    let report = scan(&root, ScanDepth::Quick).unwrap();
    assert!(report.is_clean());
    let [note] = report.notes.as_slice() else { panic!("{:?}", report.notes) };
    assert!(
        note.what.contains("stream 1 (up to 2096-") && note.what.contains("recorded later than now"),
        "{}",
        note.what
    );
    assert_eq!(ostracon::verify(&root, None).unwrap().notes, report.notes);
    // Who opens it now goes on in a stream of its own.
    let store = Store::open(&root).unwrap();
    assert_eq!(store.record(crash(1)).unwrap().stream.get(), 2);
}
