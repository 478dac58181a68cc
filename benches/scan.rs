//! How fast a store is scanned: ten thousand segments quickly, and many bytes deeply.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that fails should stop")]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ostracon::{Audit, DeadLetter, Event, Fact, Import, Json, ScanDepth, ScanOptions, Store, scan};

/// Each flush of one fact of each kind makes three segments.
const FLUSHES: usize = 3_334;
const FACTS: usize = 2_000_000;

fn of_each_kind(n: usize) -> [Fact<'static>; 3] {
    let at = 1_795_404_290.0 + n as f64;
    [
        Event::new("shop", format!("shop:{}", n % 100), "ActorStarted", Json::empty_object(), at).into(),
        Audit::new("shop", at).into(),
        DeadLetter::new("shop", Some("shop:5"), "Order", Json::empty_object(), at).into(),
    ]
}

/// Crashes whose payloads hardly compress: a deep scan is measured by the bytes on disk.
fn lines() -> impl Iterator<Item = String> {
    (0..FACTS).map(|n| {
        let at = 1_795_404_290.0 + n as f64 / 100.0;
        let token = blake3::hash(&n.to_le_bytes()).to_hex();
        format!(
            "{{\"kind\": \"event\", \"system_id\": \"shop\", \"actor_address\": \"shop:{}\", \"event_type\": \"ActorCrashed\", \"payload\": {{\"error\": \"KeyError: {}\", \"request\": \"{token}\"}}, \"timestamp\": {at}}}\n",
            n * 7 % 1000,
            n * 31 % 5000
        )
    })
}

fn scans(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("scan");
    group.sample_size(10).measurement_time(Duration::from_secs(10));

    let many = folder.path().join("many");
    let store = Store::open(&many).unwrap();
    for n in 0..FLUSHES {
        store.record_all(of_each_kind(n)).unwrap();
        store.flush().unwrap();
    }
    store.close().unwrap();
    group.bench_function("10,000 segments, quick", |bench| {
        bench.iter(|| {
            let report = scan(&many, ScanOptions::new(ScanDepth::Quick).threads(2)).unwrap();
            assert!(report.is_clean() && report.segments >= 10_000);
        });
    });

    let large = folder.path().join("large");
    let store = Store::open(&large).unwrap();
    let text: String = lines().collect();
    store.import(text.as_bytes(), Import::named("benchmark")).unwrap();
    store.close().unwrap();
    drop(text);
    let bytes = scan(&large, ScanDepth::Deep).unwrap().bytes;
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("two million facts, deep", |bench| {
        bench.iter(|| {
            let report = scan(&large, ScanOptions::new(ScanDepth::Deep).threads(2)).unwrap();
            assert!(report.is_clean());
        });
    });
    group.finish();
}

criterion_group!(benches, scans);
criterion_main!(benches);
