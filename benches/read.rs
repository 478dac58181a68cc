//! How fast a store answers: opened cold, listed, and asked in SQL.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that fails should stop")]

use criterion::{Criterion, criterion_group, criterion_main};
use ostracon::{Import, Kind, Store};

const FACTS: usize = 1_000_000;

fn lines() -> String {
    (0..FACTS)
        .map(|n| {
            let at = 1_795_404_290.0 + n as f64 / 100.0;
            let (actor, sku) = (n * 7 % 1000, n * 31 % 5000);
            match n % 5 {
                0 => format!(
                    "{{\"kind\": \"event\", \"system_id\": \"shop\", \"actor_address\": \"shop:{actor}\", \"event_type\": \"ActorCrashed\", \"payload\": {{\"error\": \"KeyError: sku-{sku}\", \"reason\": \"KeyError: sku-{sku}\"}}, \"timestamp\": {at}}}\n"
                ),
                _ => format!(
                    "{{\"kind\": \"event\", \"system_id\": \"shop\", \"actor_address\": \"shop:{actor}\", \"event_type\": \"ActorStarted\", \"payload\": {{}}, \"timestamp\": {at}}}\n"
                ),
            }
        })
        .collect()
}

fn read(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let store = Store::open(&path).unwrap();
    store.import(lines().as_bytes(), Import::named("benchmark")).unwrap();

    let mut group = criterion.benchmark_group("a million facts");
    group.sample_size(20);
    group.bench_function("list_events(limit=100)", |bench| {
        bench.iter(|| assert_eq!(store.list(Kind::Event, Some(100), None).unwrap().len(), 100));
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (name, sql) in [
        ("SELECT 1", "SELECT 1"),
        ("count(*)", "SELECT count(*) FROM events"),
        ("errors by type", "SELECT error_type, count(*) FROM crashes GROUP BY 1"),
        (
            "the last 100 crashes",
            "SELECT at, error FROM crashes ORDER BY recorded_at DESC, seq DESC LIMIT 100",
        ),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| runtime.block_on(async { store.sql(sql).await.unwrap().collect().await.unwrap() }));
        });
    }
    group.bench_function("open to read, SELECT 1", |bench| {
        bench.iter(|| {
            let store = Store::builder().access(ostracon::Access::Read).open(&path).unwrap();
            runtime.block_on(async { store.sql("SELECT 1").await.unwrap().collect().await.unwrap() })
        });
    });
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
