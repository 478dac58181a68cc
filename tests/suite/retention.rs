//! What the rules of retention keep, as users see it: in every read, on the command line, and
//! compared with Papyra's own policy. That every read agrees with a plain model of the rules, at
//! the boundaries, is shown beside the code (`src/retention/tests.rs`).

mod changed;
mod cli;
mod doubts;
mod holds;
mod papyra;
mod reads;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ostracon::{
    AgeBy, Event, Fact, Json, Kind, RetentionLimits, RetentionPolicy, Store, StoreBuilder, UnixNanos,
};

use super::support;

const SECOND: i64 = 1_000_000_000;
/// When the stories begin: 2027-01-15T08:00:00Z.
const START: i64 = 1_800_000_000 * SECOND;

/// A clock that a test moves.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START)))
    }

    /// Goes on by so many seconds.
    fn wait(&self, seconds: i64) {
        self.0.fetch_add(seconds * SECOND, Ordering::SeqCst);
    }

    fn seconds(&self) -> f64 {
        self.0.load(Ordering::SeqCst) as f64 / 1e9
    }

    fn builder(&self) -> StoreBuilder {
        let time = Arc::clone(&self.0);
        Store::builder().clock(move || UnixNanos::new(time.load(Ordering::SeqCst)))
    }

    /// Reads a store under these rules.
    fn read(&self, root: &Path, policy: RetentionPolicy) -> Store {
        self.builder().access(ostracon::Access::Read).retention(policy).open(root).unwrap()
    }
}

/// Event `n`, which happens now.
fn event(hand: &Hand, n: usize) -> Fact<'static> {
    let event_type = if n.is_multiple_of(5) { "ActorCrashed" } else { "ActorStarted" };
    let payload = Json::parse(format!(r#"{{"error": "E: {n}"}}"#)).unwrap();
    Event::new("shop", format!("shop:{}", n % 3), event_type, payload, hand.seconds()).into()
}

/// Segments of ten events each, one a second, and an unflushed tail of five.
fn store_of_segments(root: &Path, hand: &Hand, segments: usize) -> Store {
    let store = hand.builder().open(root).unwrap();
    for n in 0..segments * 10 + 5 {
        hand.wait(1);
        store.record(event(hand, n)).unwrap();
        if n % 10 == 9 {
            store.flush().unwrap();
        }
    }
    store
}

/// The files of the events' segments, the oldest first.
fn segment_files(root: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(root.join("events")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name.split('-').nth(1).unwrap().parse::<u64>().unwrap()
    });
    files
}

/// The numbers of the events that are listed.
fn listed(store: &Store) -> Vec<u64> {
    store.list(Kind::Event, None, None).unwrap().iter().map(|fact| fact.position.seq.get()).collect()
}

fn by_recording() -> RetentionLimits {
    RetentionLimits::new().age_by(AgeBy::RecordedAt)
}
