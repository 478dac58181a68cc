//! Questions about a part of the store in time: the same answers as the condition written out.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;

use ostracon::{QueryOptions, Store, UnixNanos};

use super::{Rows, event, plan, rows, run, try_rows};

const SECOND: i64 = 1_000_000_000;
/// The store's clock at its first fact; the actor system's is some years ahead of it.
const RECORDED: i64 = 1_700_000_000;
const HAPPENED: i64 = 1_795_000_000;

/// Forty facts, one a second by both clocks: in three segments and a tail.
fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = record(&folder);
    (folder, store)
}

fn record(folder: &tempfile::TempDir) -> Store {
    let now = Arc::new(AtomicI64::new(RECORDED * SECOND));
    let clock = Arc::clone(&now);
    let store = Store::builder()
        .clock(move || UnixNanos::new(clock.load(SeqCst)))
        .open(folder.path().join("facts"))
        .unwrap();
    for n in 0..40 {
        now.store((RECORDED + n) * SECOND, SeqCst);
        let kind = if n % 3 == 0 { "ActorCrashed" } else { "ActorStarted" };
        store.record(event(kind, &format!(r#"{{"error": "E: {n}"}}"#), (HAPPENED + n) as f64)).unwrap();
        if n % 10 == 9 && n < 35 {
            store.flush().unwrap();
        }
    }
    store
}

fn at(seconds: i64) -> UnixNanos {
    UnixNanos::new(seconds * SECOND)
}

#[track_caller]
fn within(store: &Store, sql: &str, options: QueryOptions) -> Rows {
    try_rows(store, sql, options).unwrap()
}

#[test]
fn a_window_is_its_condition_written_out() {
    let (_folder, store) = store();
    let time = |seconds: i64| format!("to_timestamp({seconds})");
    for (from, to) in [(0, 40), (5, 25), (12, 13), (20, 20), (35, 50), (-10, 3)] {
        let window = || QueryOptions::new().since(at(HAPPENED + from)).until(at(HAPPENED + to));
        let condition = format!("at >= {} AND at < {}", time(HAPPENED + from), time(HAPPENED + to));
        for (narrow, written) in [
            ("SELECT count(*) FROM events", "SELECT count(*) FROM events WHERE $".to_owned()),
            (
                "SELECT error FROM crashes ORDER BY seq",
                "SELECT error FROM crashes WHERE $ ORDER BY seq".to_owned(),
            ),
            (
                "SELECT seq FROM events ORDER BY recorded_at DESC LIMIT 4",
                "SELECT seq FROM events WHERE $ ORDER BY recorded_at DESC LIMIT 4".to_owned(),
            ),
            (
                "SELECT payload->>'error' FROM events WHERE seq > 7 ORDER BY seq",
                "SELECT payload->>'error' FROM events WHERE seq > 7 AND $ ORDER BY seq".to_owned(),
            ),
            (
                "SELECT min(timestamp), max(at), max(recorded_at) FROM events",
                "SELECT min(timestamp), max(at), max(recorded_at) FROM events WHERE $".to_owned(),
            ),
        ] {
            let expected = rows(&store, &written.replace('$', &condition));
            assert_eq!(within(&store, narrow, window()), expected, "{narrow} {from} {to}");
            assert_eq!(within(&store, narrow, window().without_pruning()), expected, "{narrow} {from} {to}");
        }
    }
}

#[test]
fn bounds_are_from_and_before() {
    let (_folder, store) = store();
    let count = |options| within(&store, "SELECT count(*) FROM events", options);
    assert_eq!(count(QueryOptions::new().since(at(HAPPENED + 30))), [["10"]]);
    assert_eq!(count(QueryOptions::new().until(at(HAPPENED + 30))), [["30"]]);
    assert_eq!(
        within(&store, "SELECT seq FROM events LIMIT 3", QueryOptions::new().since(at(HAPPENED + 38))).len(),
        2
    );
}

#[test]
fn as_of_an_instant_later_facts_are_not_there_yet() {
    let (_folder, store) = store();
    let then = || QueryOptions::new().as_of(at(RECORDED + 14));
    assert_eq!(within(&store, "SELECT count(*), max(seq) FROM events", then()), [["15", "15"]]);
    assert_eq!(
        within(&store, "SELECT crashes, state, last_error FROM actors", then()),
        [["5", "running", "E: 12"]]
    );
    assert_eq!(
        within(&store, "SELECT seq FROM events ORDER BY recorded_at DESC LIMIT 2", then()),
        [["15"], ["14"]]
    );
    let both = then().since(at(HAPPENED + 10));
    assert_eq!(within(&store, "SELECT count(*) FROM events", both), [["5"]]);
    assert_eq!(within(&store, "SELECT count(*) FROM store.segments", then()), [["3"]]);
}

/// The plan of a question within a window.
fn narrowed(store: &Store, sql: &str, options: QueryOptions) -> String {
    let plan = run(async {
        store.sql_with(sql, options).await.unwrap().into_dataframe().create_physical_plan().await
    })
    .unwrap();
    datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string()
}

#[test]
fn segments_outside_are_not_opened_and_promoted_columns_stay() {
    let (_folder, store) = store();
    let sql = "SELECT payload->>'error' FROM events";
    let files = |plan: &str| plan.matches(".parquet").count();
    let all = plan(&store, sql);
    assert_eq!(files(&all), 3, "{all}");
    assert!(!all.contains("RetainedExec"), "without a window there is none in the plan: {all}");
    for options in [
        QueryOptions::new().since(at(HAPPENED + 12)).until(at(HAPPENED + 18)),
        QueryOptions::new().as_of(at(RECORDED + 19)).since(at(HAPPENED + 10)),
    ] {
        let plan = narrowed(&store, sql, options);
        assert_eq!(files(&plan), 1, "{plan}");
        assert!(!plan.contains("json_text"), "{plan}");
    }
}

#[test]
fn the_newest_come_first_in_a_window_too() {
    let (_folder, store) = store();
    let sql = "SELECT seq FROM events ORDER BY recorded_at DESC LIMIT 2";
    let reversed =
        |plan: &str| plan.contains("reverse_row_groups=true") || plan.contains("sort_order_for_reorder");
    let all = plan(&store, sql);
    let some = narrowed(&store, sql, QueryOptions::new().until(at(HAPPENED + 25)));
    assert_eq!(reversed(&all), reversed(&some), "{all}\n{some}");
}
