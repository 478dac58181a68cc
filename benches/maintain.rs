//! How fast a store is looked after: a thousand small segments are compacted into few large ones.
//!
//! ```text
//! FACTS=10000000 SEGMENTS=1000 WRITERS=2 cargo bench --locked --bench maintain
//! ```
//!
//! Prints what a compaction does in a second and what it needs in memory, and how long a query takes
//! before and after it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that fails should stop"
)]

use std::time::{Duration, Instant};

use ostracon::{CompactOptions, Event, Fact, Json, RetentionLimits, RetentionPolicy, Store};

const QUESTIONS: [(&str, &str); 3] = [
    ("errors by type", "SELECT error_type, count(*) FROM crashes GROUP BY 1"),
    ("actors", "SELECT count(DISTINCT actor_address) FROM events"),
    ("the last 100 crashes", "SELECT at, error FROM crashes ORDER BY recorded_at DESC, seq DESC LIMIT 100"),
];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn fact(n: u64) -> Fact<'static> {
    let at = 1_795_404_290.0 + n as f64 / 100.0;
    let (actor, sku) = (n * 7 % 1000, n * 31 % 5000);
    let (kind, payload) = match n % 5 {
        0 => (
            "ActorCrashed",
            format!(r#"{{"error": "KeyError: sku-{sku}", "reason": "KeyError: sku-{sku}"}}"#),
        ),
        1 => ("ActorStopped", format!(r#"{{"reason": "idle for {} s"}}"#, n % 977)),
        _ => ("ActorStarted", "{}".to_owned()),
    };
    Event::new("shop", format!("shop:{actor}"), kind, Json::parse(payload).unwrap(), at).into()
}

/// The most memory that this process ever had, since it was last asked to forget.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() >> 10
}

fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn ask(store: &Store) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (name, sql) in QUESTIONS {
        let once = || {
            let begun = Instant::now();
            runtime.block_on(async { store.sql(sql).await.unwrap().collect().await.unwrap() });
            begun.elapsed()
        };
        let best = (0..5).map(|_| once()).min().unwrap_or(Duration::ZERO);
        println!("  {name:<24} {:>10.1} ms", best.as_secs_f64() * 1e3);
    }
}

fn compact(title: &str, path: &std::path::Path, policy: Option<RetentionPolicy>) {
    let mut builder = Store::builder().access(ostracon::Access::Maintain);
    if let Some(policy) = policy {
        builder = builder.retention(policy);
    }
    let store = builder.open(path).unwrap();
    forget_peak();
    let report = store.compact(CompactOptions::new()).unwrap();
    let seconds = report.elapsed.as_secs_f64();
    println!(
        "{title}: {} segments -> {}, {} facts -> {}, {:.1} MB -> {:.1} MB in {seconds:.2} s: {:.2} M facts/s, peak {} MB",
        report.before.segments,
        report.after.segments,
        report.before.facts,
        report.after.facts,
        report.before.bytes as f64 / 1e6,
        report.after.bytes as f64 / 1e6,
        report.before.facts as f64 / seconds / 1e6,
        peak_megabytes()
    );
}

fn main() {
    let (facts, segments, writers) =
        (setting("FACTS", 10_000_000), setting("SEGMENTS", 1000), setting("WRITERS", 2));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let stores: Vec<_> =
        (0..writers).map(|_| Store::builder().flush_rows(u64::MAX).open(&path).unwrap()).collect();
    let begun = Instant::now();
    let batch = (facts / segments).max(1);
    // Each flush is of one writer, and the others record meanwhile.
    for (n, flushing) in (0..segments).zip((0..writers as usize).cycle()) {
        for piece in (n * batch..(n + 1) * batch).collect::<Vec<_>>().chunks(100) {
            let store = stores.get(piece.first().map_or(0, |n| n / 100 % writers) as usize).unwrap();
            store.record_all(piece.iter().map(|n| fact(*n))).unwrap();
        }
        stores.get(flushing).unwrap().flush().unwrap();
    }
    for store in &stores {
        store.close().unwrap();
    }
    drop(stores);
    println!(
        "{facts} facts by {writers} writers in {segments} flushes: {:.1} s",
        begun.elapsed().as_secs_f64()
    );

    let reader = Store::builder().access(ostracon::Access::Read).open(&path).unwrap();
    println!("queries before:");
    ask(&reader);
    compact("merge", &path, None);
    println!("queries after:");
    ask(&reader);
    let half = RetentionPolicy::new().store(RetentionLimits::new().max_records(facts / 2));
    compact("drop half", &path, Some(half));
    compact("nothing to do", &path, None);
}
