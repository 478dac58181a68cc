//! Counts and extremes come from the ledger's numbers and the tail's: no row is read for them.

use ostracon::{Event, Json, Store};

use super::{NULL, event, plan, rows, strings};

/// Whether a plan reads rows, be it of files or of the tail.
#[track_caller]
fn assert_reads_nothing(store: &Store, sql: &str) {
    let plan = plan(store, sql);
    assert!(!plan.contains("DataSourceExec") && !plan.contains("TailExec"), "{sql}\n{plan}");
}

const COUNT: &str = "SELECT count(*) FROM events";
const EXTREMES: &str = "SELECT min(seq), max(seq), min(arrow_cast(recorded_at, 'Timestamp(ns)')) IS NULL,
    max(timestamp) FROM events";
const PLAIN_EXTREMES: [&str; 6] = [
    "SELECT min(seq) FROM events",
    "SELECT max(seq) FROM events",
    "SELECT min(recorded_at) FROM events",
    "SELECT max(recorded_at) FROM events",
    "SELECT min(timestamp) FROM events",
    "SELECT count(*), min(seq), max(seq), min(recorded_at), max(recorded_at), min(timestamp), max(timestamp) FROM events",
];

fn record(store: &Store, seconds: impl IntoIterator<Item = f64>) {
    for seconds in seconds {
        store.record(event("ActorStarted", "{}", seconds)).unwrap();
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    (folder, store)
}

#[test]
fn count_min_and_max_over_segments_and_tail_read_no_row() {
    let (_folder, store) = store();
    record(&store, [100.0, 50.0, 75.0]);
    store.flush().unwrap();
    record(&store, [200.0, 20.0]);
    store.flush().unwrap();
    record(&store, [10.0, 300.0]);
    for sql in PLAIN_EXTREMES.into_iter().chain([COUNT]) {
        assert_reads_nothing(&store, sql);
    }
    assert_eq!(rows(&store, COUNT), [["7"]]);
    let sql = "SELECT count(*), min(seq), max(seq), min(timestamp), max(timestamp) FROM events";
    let wanted = ["7", "1", "7", "1970-01-01T00:00:10Z", "1970-01-01T00:05:00Z"];
    assert_eq!(rows(&store, sql), [strings(&wanted)]);
}

/// What is found for one of them must not leave rows unread that another needs.
#[test]
fn extremes_of_some_rows_do_not_hide_rows_from_one_another() {
    let (_folder, store) = store();
    for segment in 0..4 {
        for n in 0..5 {
            let payload =
                if segment == 1 { "{}".to_owned() } else { format!(r#"{{"error": "E {segment}{n}"}}"#) };
            store.record(event("ActorCrashed", &payload, f64::from(100 - 10 * segment + n))).unwrap();
        }
        store.flush().unwrap();
    }
    for (sql, wanted) in [
        ("SELECT min(seq), max(seq + 1) FROM events WHERE seq > 2", ["3", "21"]),
        ("SELECT max(seq), min(seq + 1) FROM events WHERE seq < 18", ["17", "2"]),
        ("SELECT min(seq), min(timestamp) FROM events WHERE seq > 2", ["3", "1970-01-01T00:01:10Z"]),
        ("SELECT min(seq), max(error) FROM events WHERE seq > 5", ["6", "E 34"]),
        ("SELECT max(error), min(seq) FROM events WHERE seq > 5 AND seq < 16", ["E 24", "6"]),
    ] {
        for _ in 0..10 {
            assert_eq!(rows(&store, sql), [strings(&wanted)], "{sql}");
        }
    }
}

#[test]
fn count_min_and_max_without_a_tail_read_no_row() {
    let (_folder, store) = store();
    record(&store, [100.0, 50.0, 75.0]);
    store.flush().unwrap();
    record(&store, [200.0, 20.0]);
    store.flush().unwrap();
    for sql in PLAIN_EXTREMES.into_iter().chain([COUNT]) {
        assert_reads_nothing(&store, sql);
    }
    let sql = "SELECT count(*), max(seq), min(timestamp) FROM events";
    assert_eq!(rows(&store, sql), [strings(&["5", "5", "1970-01-01T00:00:20Z"])]);
}

#[test]
fn count_min_and_max_without_segments_read_no_row() {
    let (_folder, store) = store();
    record(&store, [100.0, 50.0]);
    for sql in PLAIN_EXTREMES.into_iter().chain([COUNT]) {
        assert_reads_nothing(&store, sql);
    }
    let sql = "SELECT count(*), max(seq), max(timestamp) FROM events";
    assert_eq!(rows(&store, sql), [strings(&["2", "2", "1970-01-01T00:01:40Z"])]);
}

#[test]
fn an_empty_store_counts_zero_and_has_no_extremes() {
    let (_folder, store) = store();
    let sql = "SELECT count(*), min(seq), max(timestamp), min(at) FROM events";
    assert_eq!(rows(&store, sql), [strings(&["0", NULL, NULL, NULL])]);
    assert_eq!(rows(&store, "SELECT count(*) FROM crashes"), [["0"]]);
    assert_eq!(rows(&store, "SELECT * FROM actors"), Vec::<Vec<String>>::new());
}

/// `NaN` has no nanosecond; nor has 1e300. Some segments then have extremes, others have none.
#[test]
fn extremes_are_right_where_timestamps_have_no_nanosecond() {
    let none = [f64::NAN, 1e300, f64::INFINITY];
    let some = [3.0, f64::NAN, 1.0];
    for (flushed, tail) in
        [(vec![none, some], some), (vec![none, none], none), (vec![some], none), (vec![none], some)]
    {
        let (_folder, store) = store();
        for seconds in &flushed {
            record(&store, seconds.iter().copied());
            store.flush().unwrap();
        }
        record(&store, tail);
        let finite = flushed.iter().chain([&tail]).flatten().any(|seconds| *seconds < 10.0);
        let total = 3 * (flushed.len() + 1);
        let counted = 2 * flushed.iter().chain([&tail]).filter(|group| group[0] == 3.0).count();
        let (min, max) = if finite { ("1970-01-01T00:00:01Z", "1970-01-01T00:00:03Z") } else { (NULL, NULL) };
        let sql = "SELECT count(*), count(timestamp), min(timestamp), max(timestamp) FROM events";
        let wanted = [total.to_string(), counted.to_string(), min.to_owned(), max.to_owned()];
        assert_eq!(rows(&store, sql), [wanted], "{flushed:?} {tail:?}");
        assert_eq!(rows(&store, EXTREMES)[0][..2], ["1".to_owned(), total.to_string()]);
        assert_reads_nothing(&store, COUNT);
    }
}

#[test]
fn a_filter_is_not_forgotten_by_statistics() {
    let (_folder, store) = store();
    record(&store, (0..10).map(f64::from));
    store.flush().unwrap();
    record(&store, (10..14).map(f64::from));
    let crash = Json::parse(r#"{"error": "Boom"}"#).unwrap();
    store.record(Event::new("shop", "shop:9", "ActorCrashed", crash, 99.0)).unwrap();
    for (sql, wanted) in [
        ("SELECT count(*) FROM events WHERE seq > 8", vec!["7"]),
        ("SELECT count(*) FROM events WHERE seq > 1000", vec!["0"]),
        ("SELECT max(seq) FROM events WHERE seq < 8", vec!["7"]),
        ("SELECT count(*), min(seq) FROM crashes", vec!["1", "15"]),
        ("SELECT count(error) FROM events", vec!["1"]),
        ("SELECT count(*) FROM (SELECT * FROM events LIMIT 3)", vec!["3"]),
        ("SELECT count(*) FROM (SELECT * FROM events LIMIT 30 OFFSET 2)", vec!["13"]),
        ("SELECT count(*) FROM events a, events b", vec!["225"]),
        ("SELECT count(DISTINCT stream) FROM events", vec!["1"]),
    ] {
        assert_eq!(rows(&store, sql), [strings(&wanted)], "{sql}");
    }
}

/// Two hours around a midnight: the first day begins before the first fact.
#[test]
fn a_day_that_begins_before_the_first_fact_is_asked_for() {
    let (_folder, store) = store();
    let midnight = 1_795_392_000.0;
    record(&store, [-3_600.0, -60.5, 0.0, 3_599.5].map(|off| midnight + off));
    store.flush().unwrap();
    record(&store, [midnight + 3_600.0]);
    for column in ["timestamp", "at"] {
        for (condition, wanted) in [
            ("{}::date >= '2026-11-22'", "5"),
            ("{}::date > DATE '2026-11-22'", "3"),
            ("{}::date = '2026-11-22'", "2"),
            ("{}::date <> '2026-11-22'", "3"),
            ("'2026-11-22' = {}::date", "2"),
            ("{}::date <= DATE '2026-11-22'", "2"),
            ("{}::date BETWEEN '2026-11-22' AND '2026-11-23'", "5"),
            ("{}::date NOT BETWEEN '2026-11-22' AND '2026-11-22'", "3"),
            ("{}::date IN ('2026-11-22', '2027-01-01')", "2"),
            ("{}::date NOT IN ('2026-11-22', NULL)", "0"),
            ("{}::date IS NOT DISTINCT FROM DATE '2026-11-22'", "2"),
            ("NOT ({}::date <= DATE '2026-11-22')", "3"),
            ("{}::date < '9999-12-31' AND {}::date > '0001-01-01'", "5"),
            ("{}::date >= recorded_at::date - 100000", "5"),
            ("date_trunc('day', {}) >= '2026-11-22'", "5"),
            ("{}::timestamp(0) >= '2026-11-22 22:59:00'", "5"),
            ("{}::timestamp(0) = '2026-11-22 23:58:59'", "1"),
            ("arrow_cast({}, 'Timestamp(s)') >= arrow_cast(timestamp, 'Timestamp(s)')", "5"),
            ("{}::date::timestamp >= '2026-11-22 00:00:00'", "5"),
        ] {
            let sql = format!("SELECT count(*) FROM events WHERE {}", condition.replace("{}", column));
            assert_eq!(rows(&store, &sql), [[wanted]], "{sql}");
        }
    }
}
