//! Where a query ends: at its timeout, at its memory, and when nobody waits for it any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use ostracon::{Answer, ErrorKind, QueryOptions, Store};

use super::{column, event, failure, run, try_rows};

const ENDLESS: &str =
    "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    fill(&store);
    (folder, store)
}

fn fill(store: &Store) {
    for n in 0..200 {
        store.record(event("ActorCrashed", &format!(r#"{{"error": "E: {n}"}}"#), f64::from(n))).unwrap();
        if n % 50 == 49 {
            store.flush().unwrap();
        }
    }
}

#[test]
fn a_query_is_stopped_at_its_timeout() {
    let (_folder, store) = store();
    let began = Instant::now();
    for sql in [
        ENDLESS,
        "SELECT count(*) FROM events a, events b, events c, events d WHERE a.seq + b.seq > c.seq * d.seq",
        "SELECT a.value FROM generate_series(1, 100000000) a ORDER BY a.value % 1009",
    ] {
        let error =
            try_rows(&store, sql, QueryOptions::new().timeout(Duration::from_millis(200))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{sql}: {error}");
        assert!(error.to_string().contains("200ms"), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(column(&store, "SELECT count(*) FROM events"), ["200"]);
}

#[test]
fn the_store_has_a_timeout_for_all_queries_and_a_query_may_have_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let store = Store::builder().query_timeout(Duration::from_millis(150)).open(&path).unwrap();
    assert_eq!(failure(&store, ENDLESS).kind(), ErrorKind::TimedOut);
    let error =
        try_rows(&store, ENDLESS, QueryOptions::new().timeout(Duration::from_millis(250))).unwrap_err();
    assert!(error.to_string().contains("250ms"), "{error}");
}

#[test]
fn the_timeout_counts_from_when_the_first_row_was_asked_for() {
    let (_folder, store) = store();
    let options = QueryOptions::new().timeout(Duration::from_millis(500));
    run(async {
        let answer = store.sql_with("SELECT count(*) FROM crashes", options).await.unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
        answer.collect().await.unwrap();
    });
}

#[test]
fn a_stream_that_is_read_slowly_is_stopped_too() {
    let (_folder, store) = store();
    let error = run(async {
        let options = QueryOptions::new().timeout(Duration::from_millis(200));
        let answer =
            store.sql_with("SELECT value FROM generate_series(1, 100000000)", options).await.unwrap();
        let mut stream = answer.stream().await.unwrap();
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            match stream.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    assert!(stream.next().await.is_none(), "after its error a stream is over");
                    break error;
                }
                None => panic!("a hundred million rows in a moment"),
            }
        }
    });
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

/// What a query works with is released when its stream is dropped: its tasks have ended then.
#[test]
fn a_dropped_stream_is_a_cancelled_query() {
    let (_folder, store) = store();
    for sql in [
        ENDLESS,
        "SELECT a.seq FROM events a, generate_series(1, 1000000000) g ORDER BY g.value % 1009, a.seq",
    ] {
        run(async {
            let frame = store.sql(sql).await.unwrap().into_dataframe();
            let alive = Arc::downgrade(&frame.task_ctx().runtime_env());
            let mut stream = Answer::from(frame).stream().await.unwrap();
            let first = tokio::time::timeout(Duration::from_millis(100), stream.next()).await;
            assert!(first.is_err(), "{sql} has an answer already");
            assert!(alive.upgrade().is_some());
            drop(stream);
            let began = Instant::now();
            while alive.upgrade().is_some() {
                assert!(
                    began.elapsed() < Duration::from_secs(10),
                    "{sql} goes on although nobody waits for it"
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
}

#[test]
fn a_query_out_of_memory_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::builder().query_memory_bytes(4 << 20).open(folder.path().join("facts")).unwrap();
    fill(&store);
    for sql in [
        "SELECT array_length(array_agg(value)) FROM generate_series(1, 20000000)",
        "SELECT count(*) FROM generate_series(1, 3000000) a JOIN generate_series(1, 3000000) b ON a.value = b.value",
    ] {
        let error = failure(&store, sql);
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{sql}: {error}");
    }
    assert_eq!(column(&store, "SELECT count(*) FROM events"), ["200"]);
}

#[test]
fn a_sort_larger_than_memory_goes_to_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::builder().query_memory_bytes(40 << 20).open(folder.path().join("facts")).unwrap();
    run(async {
        let sql = "SELECT value, value % 1009 AS key, value % 7 AS other FROM generate_series(1, 2000000) ORDER BY key";
        let answer = store.sql(sql).await.unwrap();
        let answer = answer.into_dataframe();
        let context = Arc::new(answer.task_ctx());
        let plan = answer.create_physical_plan().await.unwrap();
        let mut stream = datafusion::physical_plan::execute_stream(Arc::clone(&plan), context).unwrap();
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.unwrap().num_rows();
        }
        assert_eq!(rows, 2_000_000);
        assert!(spills(&plan) > 0, "it fitted into memory, which shows nothing");
    });
}

fn spills(plan: &Arc<dyn datafusion::physical_plan::ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.spill_count()).unwrap_or(0);
    own + plan.children().into_iter().map(spills).sum::<usize>()
}

#[test]
fn queries_work_after_the_store_was_closed() {
    let (_folder, store) = store();
    store.record(event("ActorStarted", "{}", 1.0)).unwrap();
    store.close().unwrap();
    assert_eq!(column(&store, "SELECT count(*) FROM events"), ["201"]);
    assert_eq!(column(&store, "SELECT max(seq) FROM crashes"), ["200"]);
    assert_eq!(column(&store, "SELECT sum(unflushed) FROM store.streams"), ["0"]);
    assert_eq!(failure(&store, "DROP TABLE events").kind(), ErrorKind::Query);
}

#[test]
fn an_answer_outlives_its_store() {
    let (_folder, store) = store();
    run(async {
        let answer = store.sql("SELECT seq FROM events ORDER BY seq").await.unwrap();
        drop(store);
        let rows: usize =
            answer.collect().await.unwrap().iter().map(arrow::array::RecordBatch::num_rows).sum();
        assert_eq!(rows, 200);
    });
}

#[test]
fn many_queries_at_once_are_all_answered() {
    let (_folder, store) = store();
    let store = Arc::new(store);
    run(async {
        let asked = (0..40).map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let sql = format!("SELECT count(*) FROM crashes WHERE seq > {n} AND error LIKE 'E:%'");
                super::text(&store.sql(&sql).await.unwrap().collect().await.unwrap())
            })
        });
        for (n, answer) in futures::future::join_all(asked).await.into_iter().enumerate() {
            assert_eq!(answer.unwrap(), [[(200 - n).to_string()]]);
        }
    });
}

#[test]
fn distinct_pairs_and_lists_are_counted_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::builder().query_memory_bytes(16 << 20).open(folder.path().join("facts")).unwrap();
    let numbered = |n: u32| event("ActorStarted", "{}", f64::from(n % 10));
    store.record_all((0..20_000).map(numbered)).unwrap();
    for (counted, wanted) in [
        ("(stream, seq)", "20000"),
        ("(stream, timestamp)", "10"),
        ("(stream, CASE WHEN seq > 2 THEN seq END)", "19999"),
        ("CASE WHEN seq > 5 THEN (stream, seq) END", "19995"),
        ("[stream, seq % 7]", "7"),
        ("struct(struct(event_type, seq % 7), [seq % 2])", "14"),
    ] {
        // Beside another aggregate the distinct values are not made groups of.
        for sql in [
            format!("SELECT count(DISTINCT {counted}) AS n FROM events"),
            format!("SELECT n FROM (SELECT count(*), count(DISTINCT {counted}) AS n FROM events)"),
            format!(
                "SELECT n FROM (SELECT actor_address, count(*), count(DISTINCT {counted}) FILTER (WHERE true) AS n FROM events GROUP BY 1)"
            ),
        ] {
            assert_eq!(column(&store, &sql), [wanted], "{sql}");
        }
    }
}

/// The copies of one long list for every row of a batch would take 26 GB, which no operator counts.
#[test]
fn long_lists_are_repeated_in_small_batches_or_refused() {
    let (_folder, store) = store();
    let list = |length: u32| format!("(SELECT array_agg(value) AS x FROM generate_series(1, {length}))");
    let rows = "generate_series(1, 300)";
    for (sql, expected) in [
        (format!("SELECT max(cardinality(x)) FROM (SELECT {} AS x FROM {rows})", list(400_000)), "400000"),
        (format!("SELECT max(cardinality(x)), max(a.value) FROM {rows} a, {} b", list(400_000)), "400000"),
        (
            "SELECT max(cardinality(b.x)) FROM events a JOIN (SELECT event_type, array_agg(seq) AS x FROM events GROUP \
             BY event_type) b USING (event_type)"
                .to_owned(),
            "200",
        ),
        // Nothing repeats it.
        (format!("SELECT cardinality(x) FROM {}", list(1_000_000)), "1000000"),
        (
            "SELECT max(cardinality(x)) FROM (SELECT array_agg(value) OVER (PARTITION BY value % 900 ORDER BY value) \
             AS x FROM generate_series(1, 9000))"
                .to_owned(),
            "10",
        ),
        (
            "SELECT max(length(x)) FROM (SELECT string_agg('a', ',') OVER (PARTITION BY value % 900) AS x FROM \
             generate_series(1, 9000))"
                .to_owned(),
            "19",
        ),
    ] {
        assert_eq!(column(&store, &sql), [expected], "{sql}");
    }
    for sql in [
        format!("SELECT max(cardinality(x)) FROM (SELECT {} AS x FROM {rows})", list(1_000_000)),
        format!("SELECT max(cardinality(x)), max(a.value) FROM {rows} a, {} b", list(1_000_000)),
        format!(
            "SELECT max(length(x)) FROM {rows} a, (SELECT string_agg('abcd', '') AS x FROM generate_series(1, 2000000)) b"
        ),
    ] {
        let error = failure(&store, &sql);
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{sql}: {error}");
        assert!(error.to_string().contains("would be repeated for each row"), "{sql}: {error}");
    }
}

/// Neither the rows that a window operator keeps nor the values that it makes are counted by DataFusion.
#[test]
fn the_memory_of_windows_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::builder().query_memory_bytes(64 << 20).open(folder.path().join("facts")).unwrap();
    let long = "x".repeat(1 << 20);
    let event = |n: u32| {
        let error = if n == 1 { long.as_str() } else { "short" };
        event("ActorCrashed", &format!(r#"{{"error": "{error}"}}"#), f64::from(n))
    };
    store.record_all((0..3000).map(event)).unwrap();
    store.flush().unwrap();
    let lengths =
        |of: &str, from: &str| format!("SELECT sum(length(x)) AS n FROM (SELECT {of} AS x FROM {from})");
    let series = "generate_series(1, 100000)";
    // Each would take gigabytes.
    for sql in [
        lengths("first_value(error) OVER (ORDER BY length(error) DESC, seq)", "events"),
        lengths("first_value(error) OVER (PARTITION BY event_type ORDER BY length(error) DESC)", "events"),
        lengths("nth_value(error, 2) OVER (ORDER BY seq)", "events"),
        lengths("last_value(error) OVER (ORDER BY length(error) ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)", "events"),
        lengths("max(error) OVER (ORDER BY seq)", "events"),
        lengths("max(error) OVER (ORDER BY seq ROWS BETWEEN 2999 PRECEDING AND CURRENT ROW)", "events"),
        lengths("max(error) OVER (ORDER BY seq DESC ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)", "events"),
        lengths("max(error) FILTER (WHERE seq > 0) OVER (ORDER BY seq)", "events"),
        lengths("lag(error, 1, repeat('x', 1000000)) OVER (PARTITION BY seq ORDER BY seq)", "events"),
        lengths("array_to_string(array_agg(value) OVER (ORDER BY value), '')", series),
        lengths("array_to_string(array_agg(value) OVER (), '')", series),
        lengths("string_agg('abcd', '') OVER (ORDER BY value DESC)", series),
        lengths("array_to_string(array_agg(error) OVER (ORDER BY seq), '')", "events"),
        lengths("any_value(arrow_cast(error, 'LargeUtf8')) OVER (ORDER BY length(error) DESC)", "events"),
        lengths("string_agg(error, ',') FILTER (WHERE seq = 2) OVER ()", "events"),
        lengths("string_agg(error, ',') FILTER (WHERE seq = 2) OVER (PARTITION BY event_type)", "events"),
        lengths("max(arrow_cast(error, 'LargeUtf8')) OVER ()", "events"),
        lengths(
            "first_value(arrow_cast(error, 'Dictionary(Int32, Utf8)')) OVER (ORDER BY length(error) DESC)",
            "events",
        ),
        lengths("array_to_string(first_value(array[error]) OVER (ORDER BY length(error) DESC), '')", "events"),
        // The rows themselves are too large.
        "SELECT max(x), max(n) FROM (SELECT x, count(*) OVER () AS n FROM (SELECT repeat('x', 1000) || value AS x FROM \
         generate_series(1, 100000)))".to_owned(),
        "SELECT sum(n) FROM (SELECT value, value * 2, value * 3, count(*) OVER () AS n FROM generate_series(1, 10000000))".to_owned(),
        "SELECT sum(n) FROM (SELECT percent_rank() OVER (ORDER BY value) AS n FROM generate_series(1, 10000000))".to_owned(),
    ] {
        let error = failure(&store, &sql);
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{sql}: {error}");
    }
    // Rows that an operator has returned are no longer counted.
    for (sql, expected) in [
        (lengths("lag(error) OVER (ORDER BY seq)", "events"), (1 << 20) + 2998 * 5),
        (lengths("first_value(error) OVER (ORDER BY seq)", "events"), 3000 * 5),
        (lengths("max(error) OVER (PARTITION BY seq)", "events"), (1 << 20) + 2999 * 5),
        // Views share one text.
        (lengths("max(error) OVER ()", "events"), 3000_u64 << 20),
        (lengths("max(error) OVER (ORDER BY length(error) ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)", "events WHERE seq > 2"), 2998 * 5),
        (lengths("max(error) OVER (ROWS UNBOUNDED PRECEDING)", "events WHERE seq > 2"), 2998 * 5),
        (
            "SELECT max(n) FROM (SELECT x, count(*) OVER (PARTITION BY y % 7) AS n, y FROM (SELECT repeat('x', 100) || value AS x, \
             value AS y FROM generate_series(1, 100000)) ORDER BY y % 3, x)"
                .to_owned(),
            14286,
        ),
        (lengths("first_value(repeat('x', 100)) OVER (ORDER BY value)", "generate_series(1, 1000000)"), 100_000_000),
        (lengths("max(repeat('x', 100)) OVER (ORDER BY value)", "generate_series(1, 1000000)"), 100_000_000),
        (
            "SELECT count(*) FROM (SELECT value, row_number() OVER (ORDER BY value) AS n FROM generate_series(1, 10000000)) \
             WHERE value = n"
                .to_owned(),
            10_000_000,
        ),
    ] {
        assert_eq!(column(&store, &sql), [expected.to_string()], "{sql}");
    }
}

/// Every set of a CUBE has its own copy of the keys of a batch.
#[test]
fn the_cube_of_twelve_columns_is_computed_in_small_batches() {
    let (_folder, store) = store();
    let keys: Vec<_> = (1..=12).map(|n| format!("value % {n}")).collect();
    let sql = format!(
        "SELECT count(*) FROM (SELECT count(*) FROM generate_series(1, 100) GROUP BY CUBE ({}))",
        keys.join(", ")
    );
    assert_eq!(column(&store, &sql).len(), 1);
}
