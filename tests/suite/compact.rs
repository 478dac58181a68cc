//! Compaction: few large segments instead of many small ones, every fact as it was, and what
//! retention does not keep gone for good.
//!
//! - [`merging`]: the same facts in the same order, and the same answers, whatever was merged;
//! - [`dropping`]: what rules drop is counted, and its bytes are nowhere any more;
//! - [`sweeping`]: which files go, and which stay;
//! - [`refusals`]: damage, a second maintainer, a dry run, a stop;
//! - [`faults`]: the disk fails, the process stops, the power fails at every operation;
//! - [`kill`]: a hundred compactions killed beside writers and readers.

#[cfg(feature = "cli")]
mod dropping;
mod faults;
#[cfg(feature = "cli")]
mod kill;
#[cfg(feature = "cli")]
mod merging;
#[cfg(feature = "cli")]
mod refusals;
#[cfg(feature = "cli")]
mod sweeping;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use ostracon::disk::Disk;
use ostracon::{
    Audit, Cursor, DeadLetter, Event, Fact, Json, Kind, Position, ScanDepth, ScanOptions, Store,
    StoreBuilder, UnixNanos,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::support;

/// 2026-11-23, in nanoseconds.
const BEGIN: i64 = 1_795_404_290_000_000_000;

/// A clock that all writers of a scenario share: each look moves it on by a millisecond.
#[derive(Clone)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(BEGIN)))
    }

    fn builder(&self) -> StoreBuilder {
        let now = Arc::clone(&self.0);
        Store::builder().clock(move || UnixNanos::new(now.fetch_add(1_000_000, Ordering::Relaxed)))
    }
}

/// A store that was written by so many writers at once, each of which flushed so often; the facts
/// of different writers alternate, and none flushes when another does.
fn written(root: &Path, writers: usize, flushes: usize, facts: u64) -> Clock {
    written_with(root, writers, flushes, facts, support::any_fact)
}

fn written_with(
    root: &Path,
    writers: usize,
    flushes: usize,
    facts: u64,
    fact: impl Fn(u64) -> Fact<'static>,
) -> Clock {
    let clock = Clock::new();
    let stores: Vec<_> = (0..writers).map(|_| clock.builder().open(root).unwrap()).collect();
    let mut n = 0;
    for _ in 0..flushes {
        for flushing in &stores {
            for _ in 0..facts.div_ceil(writers as u64) {
                for (writer, store) in (0..).zip(&stores) {
                    store.record(fact(1_000_000 * writer + n)).unwrap();
                }
                n += 1;
            }
            flushing.flush().unwrap();
        }
    }
    for store in stores {
        store.close().unwrap();
    }
    clock
}

/// A fact that compresses badly, so that few of them make a file of some size.
fn noisy(n: u64) -> Fact<'static> {
    let noise: String = (0..24_u64)
        .map(|k| {
            format!("{:016x}", (n * 24 + k + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(k as u32))
        })
        .collect();
    let payload = Json::parse(format!(r#"{{"noise": "{noise}"}}"#)).unwrap();
    let time = 1_795_404_290.0 + n as f64;
    match n % 4 {
        1 => {
            let mut audit = Audit::new("shop", time);
            audit.registry_dead = vec![noise.into()];
            audit.into()
        }
        3 => DeadLetter::new("shop", None::<String>, "Order", payload, time).into(),
        _ => Event::new("shop", format!("shop:{}", n % 7), "Noise", payload, time).into(),
    }
}

/// Every fact, with its place, in the store's order.
fn facts(store: &Store) -> Vec<(Position, String)> {
    let facts = store.after(&Cursor::start()).unwrap();
    facts.map(|fact| fact.map(|fact| (fact.position, fact.fact.to_line())).unwrap()).collect()
}

/// Every fact of the store at this path.
fn facts_at(root: &Path) -> Vec<(Position, String)> {
    facts(&Store::builder().access(ostracon::Access::Read).open(root).unwrap())
}

fn segments(store: &Store, kind: Kind) -> u64 {
    store.summary().unwrap().of(kind).segments
}

/// The same but for the lock of who maintains the store, which a compaction leaves behind.
fn tree_without_lock(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut tree = support::tree(root);
    tree.remove(Path::new("ledger/maintenance.lock"));
    tree
}

/// The files in the folders of segments.
fn segment_files(root: &Path) -> Vec<PathBuf> {
    let tree = support::tree(root).into_keys();
    tree.filter(|path| Kind::ALL.iter().any(|kind| path.starts_with(kind.table()))).collect()
}

/// Fails unless the folders of segments hold the live ones and nothing else.
fn assert_swept(root: &Path) {
    let store = Store::builder().access(ostracon::Access::Read).open(root).unwrap();
    let live: u64 = Kind::ALL.into_iter().map(|kind| segments(&store, kind)).sum();
    let files = segment_files(root);
    assert_eq!(files.len() as u64, live, "{files:?}");
}

/// Fails unless a deep scan finds nothing wrong. What crashes left is not wrong.
fn assert_clean(root: &Path, disk: &Disk) {
    let report = ostracon::scan(root, ScanOptions::new(ScanDepth::Deep).disk(disk.clone())).unwrap();
    assert!(report.is_clean(), "{:#?}", report.anomalies);
}

/// Fails unless each segment's rows are in the store's order.
fn assert_sorted(root: &Path) {
    for path in segment_files(root) {
        let file = std::fs::File::open(root.join(&path)).unwrap();
        let mut last = None;
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let recorded_at = batch["recorded_at"].as_primitive::<TimestampNanosecondType>();
            let stream = batch["stream"].as_primitive::<Int32Type>();
            let seq = batch["seq"].as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let place = Some((recorded_at.value(row), stream.value(row), seq.value(row)));
                assert!(last < place, "{path:?}: {place:?} comes behind {last:?}");
                last = place;
            }
        }
    }
}
