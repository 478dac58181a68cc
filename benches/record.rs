//! How fast facts are taken: by one thread, and by many that wait for the disk together.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that fails should stop")]

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ostracon::{Durability, Event, Fact, Json, Store};

const BATCH: u64 = 64;

fn fact(n: u64) -> Fact<'static> {
    let payload = Json::parse(r#"{"error": "KeyError: missing field sku-123", "reason": "KeyError"}"#)
        .unwrap_or_else(|_| Json::null());
    Event::new("shop", "shop:5", "ActorCrashed", payload, 1_795_404_290.0 + n as f64 / 1000.0).into()
}

fn open(folder: &tempfile::TempDir, durability: Durability) -> Store {
    Store::builder()
        .durability(durability)
        .max_wait(Duration::from_mins(1))
        .open(folder.path().join("facts"))
        .unwrap()
}

fn one_thread(criterion: &mut Criterion) {
    let facts: Vec<_> = (0..BATCH).map(fact).collect();
    let mut group = criterion.benchmark_group("record from one thread");
    for durability in [Durability::Buffered, Durability::Journaled] {
        let name = format!("{durability:?}");
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one by one", &name), |bench| {
            let folder = tempfile::tempdir().unwrap();
            let store = open(&folder, durability);
            bench.iter(|| store.record(black_box(&facts[0]).clone()).unwrap());
        });
        group.throughput(Throughput::Elements(BATCH));
        group.bench_function(BenchmarkId::new(format!("{BATCH} at once"), &name), |bench| {
            let folder = tempfile::tempdir().unwrap();
            let store = open(&folder, durability);
            bench.iter(|| store.record_all(black_box(&facts).iter().cloned()).unwrap());
        });
    }
    group.finish();
}

fn synced(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("synced");
    group.sample_size(10).throughput(Throughput::Elements(1));
    group.bench_function("one fdatasync at a time", |bench| {
        let folder = tempfile::tempdir().unwrap();
        let mut file = File::create(folder.path().join("file")).unwrap();
        bench.iter(|| {
            file.write_all(&[7; 150]).unwrap();
            file.sync_data().unwrap();
        });
    });
    for threads in [1, 8, 64] {
        group.bench_function(BenchmarkId::new("record", format!("{threads} threads")), |bench| {
            let folder = tempfile::tempdir().unwrap();
            let store = open(&folder, Durability::Synced);
            bench.iter_custom(|facts| {
                let each = facts.div_ceil(threads);
                let begun = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            for n in 0..each {
                                store.record(fact(n)).unwrap();
                            }
                        });
                    }
                });
                begun.elapsed().mul_f64(facts as f64 / (each * threads) as f64)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_thread, synced);
criterion_main!(benches);
