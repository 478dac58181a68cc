//! Each kind of plan is stopped while it works, and leaves no thread busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use ostracon::{Answer, ErrorKind, Event, Json, QueryOptions, Store};

use super::super::support::scratch;

/// What would take hours.
const ENDLESS: [(&str, &str); 17] = [
    (
        "a nested-loop join that finds nothing",
        "SELECT count(*) FROM events a, events b, events c, events d WHERE a.at < b.at - INTERVAL '400 days' OR c.at < d.at - INTERVAL '400 days'",
    ),
    (
        "a nested-loop join of many rows",
        "SELECT count(*) FROM big a, big b WHERE a.value < b.value - 3000000",
    ),
    (
        "an outer nested-loop join",
        "SELECT count(*) FROM big a LEFT JOIN big b ON a.value > b.value + 3000000",
    ),
    ("a full nested-loop join", "SELECT count(*) FROM big a FULL JOIN big b ON a.value > b.value + 3000000"),
    (
        "a nested-loop anti join",
        "SELECT count(*) FROM big a WHERE NOT EXISTS (SELECT 1 FROM big b WHERE b.value > a.value + 3000000)",
    ),
    ("a cross join", "SELECT sum(a.value * b.value % 7) FROM big a, big b"),
    ("a hash join with few keys", "SELECT count(*) FROM big a JOIN big b ON a.value % 2 = b.value % 2"),
    (
        "a hash join whose condition nothing fulfils",
        "SELECT count(*) FROM big a JOIN big b ON a.value % 2 = b.value % 2 AND a.value + b.value < 0",
    ),
    (
        "a hash semi join whose condition nothing fulfils",
        "SELECT count(*) FROM big a WHERE EXISTS (SELECT 1 FROM big b WHERE a.value % 2 = b.value % 2 AND a.value + b.value < 0)",
    ),
    ("a sort", "SELECT value FROM generate_series(1, 10000000000) g ORDER BY value % 1009, value"),
    (
        "a sort with a limit",
        "SELECT value FROM generate_series(1, 10000000000) g ORDER BY value % 1009, value LIMIT 10",
    ),
    ("groups", "SELECT value % 1000, count(*) FROM generate_series(1, 10000000000) g GROUP BY 1"),
    (
        "a window",
        "SELECT max(n) FROM (SELECT sum(value % 7) OVER (ORDER BY value ROWS BETWEEN 1000 PRECEDING AND CURRENT ROW) AS n FROM generate_series(1, 10000000000) g)",
    ),
    (
        "a whole-partition window",
        "SELECT max(n) FROM (SELECT sum(value % 7) OVER (PARTITION BY value % 3) AS n FROM generate_series(1, 10000000000) g)",
    ),
    ("recursion", "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"),
    (
        "unnesting",
        "SELECT count(*) FROM (SELECT unnest(range(1, 1000)) AS n, value FROM generate_series(1, 10000000000) g) WHERE n + value < 0",
    ),
    (
        "functions",
        "SELECT count(*) FROM generate_series(1, 10000000000) g WHERE regexp_replace(repeat(value::text, 20), '(1|2)+', 'x') = 'y'",
    ),
];

fn store() -> (tempfile::TempDir, Store) {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    for n in 0..2_000 {
        let event = Event::new("shop", "shop:1", "ActorStarted", Json::empty_object(), 1_795_404_290.0);
        store.record(event).unwrap();
        if n == 1_500 {
            store.flush().unwrap();
        }
    }
    (folder, store)
}

fn written_out(sql: &str) -> String {
    sql.replace("FROM big ", "FROM generate_series(1, 2000000) ")
        .replace(", big ", ", generate_series(1, 2000000) ")
        .replace("JOIN big ", "JOIN generate_series(1, 2000000) ")
}

/// One thread, as a small service has: it hears its clock, whatever the query does.
fn on_one_thread<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_dropped_stream_of_any_plan_leaves_no_thread_busy() {
    let (_folder, store) = store();
    on_one_thread(async {
        for (kind, sql) in ENDLESS {
            let answer = store.sql(&written_out(sql)).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
            let frame = answer.into_dataframe();
            let alive = Arc::downgrade(&frame.task_ctx().runtime_env());
            let mut stream = Answer::from(frame).stream().await.unwrap();
            let began = Instant::now();
            let first = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
            assert!(first.is_err(), "{kind} has an answer already: {first:?}");
            assert!(began.elapsed() < Duration::from_secs(2), "{kind} kept the clock from ticking");
            drop(stream);
            let dropped = Instant::now();
            while alive.upgrade().is_some() {
                assert!(dropped.elapsed() < Duration::from_secs(3), "{kind} goes on although nobody waits");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            println!("{kind}: ended after {:?}", dropped.elapsed());
            let next = store.sql("SELECT 42").await.unwrap().rows().await.unwrap();
            assert_eq!(next.len(), 1, "after {kind}");
        }
    });
}

#[test]
fn a_timeout_ends_any_plan() {
    let (_folder, store) = store();
    on_one_thread(async {
        for (kind, sql) in ENDLESS {
            let options = QueryOptions::new().timeout(Duration::from_millis(150));
            let frame = store.sql_with(&written_out(sql), options).await.unwrap().into_dataframe();
            let alive = Arc::downgrade(&frame.task_ctx().runtime_env());
            let began = Instant::now();
            let error = Answer::from(frame).collect().await.expect_err(kind);
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}: {error}");
            assert!(began.elapsed() < Duration::from_secs(3), "{kind} after {:?}", began.elapsed());
            while alive.upgrade().is_some() {
                assert!(began.elapsed() < Duration::from_secs(4), "{kind} goes on after its timeout");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
}

/// What no step looks at while it computes: one call of a function, one partition of a window.
const HELD: [&str; 2] = [
    "SELECT max(levenshtein(repeat(event_type, 64), repeat(actor_address, 130))) FROM events",
    "SELECT max(m) FROM (SELECT median(seq * 1.5) OVER (ORDER BY seq ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS m FROM (SELECT a.seq + b.seq AS seq FROM events a, (SELECT seq FROM events LIMIT 30) b))",
];

#[test]
fn a_stopped_query_that_goes_on_holds_up_no_other() {
    let (_folder, store) = store();
    on_one_thread(async {
        for sql in HELD.into_iter().cycle().take(4) {
            let options = QueryOptions::new().timeout(Duration::from_millis(300));
            let answer = store.sql_with(sql, options).await.unwrap();
            let began = Instant::now();
            let stopped = match answer.stream().await {
                Ok(mut stream) => stream.next().await.unwrap().map(drop),
                Err(error) => Err(error),
            };
            assert_eq!(stopped.expect_err(sql).kind(), ErrorKind::TimedOut, "{sql}");
            assert!(began.elapsed() < Duration::from_secs(4), "{sql} ended after {:?}", began.elapsed());
            let asked = Instant::now();
            let next = store.sql("SELECT count(*) FROM events WHERE seq % 2 = 0").await.unwrap();
            assert_eq!(next.collect().await.unwrap().len(), 1);
            assert!(asked.elapsed() < Duration::from_secs(5), "a query after it took {:?}", asked.elapsed());
        }
    });
}

#[test]
fn planning_ends_with_the_timeout_too() {
    let (_folder, store) = store();
    on_one_thread(async {
        let options = QueryOptions::new().timeout(Duration::from_millis(300));
        // Constants are computed while the query is planned.
        let sql = "SELECT levenshtein(repeat('a', 16000), repeat('b', 16000))";
        let began = Instant::now();
        let answer = store.sql_with(sql, options).await.unwrap();
        let error = match answer.stream().await {
            Ok(mut stream) => stream.next().await.unwrap().unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(began.elapsed() < Duration::from_secs(3), "after {:?}", began.elapsed());
    });
}
