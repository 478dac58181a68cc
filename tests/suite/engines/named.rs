//! Faults that have a name: what was answered wrongly once, over segments, tails, and both.

use std::time::Duration;

use ostracon::{DeadLetter, Event, Json, QueryOptions, Store};
use serde_json::{Value, json};

use super::super::support::scratch;
use super::facts::{Rows, ask};

/// Ten events of three actors, of which two have an error; four dead letters of two of these actors, of
/// another and of nobody.
fn record(store: &Store, which: std::ops::Range<usize>) {
    for n in which {
        if n < 10 {
            let error = ["null", "\"E: a\"", "\"E: b\"", "null", "null"][n % 5];
            let payload = Json::parse(format!(r#"{{"error": {error}}}"#)).unwrap();
            let kind = if n % 5 == 1 || n % 5 == 2 { "ActorCrashed" } else { "ActorStarted" };
            store.record(Event::new("shop", format!("shop:{}", n % 3), kind, payload, n as f64)).unwrap();
        } else {
            let target = [Some("shop:0"), Some("shop:1"), Some("shop:9"), None][n - 10];
            store.record(DeadLetter::new("shop", target, "Order", Json::empty_object(), n as f64)).unwrap();
        }
    }
}

/// The same facts in segments, in the tail, and in both.
fn everywhere(check: impl Fn(&dyn Fn(&str) -> Rows)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (place, flushed) in [("segments", 14), ("tail", 0), ("both", 6)] {
        let folder = scratch();
        let store = Store::open(folder.path().join("facts")).unwrap();
        record(&store, 0..flushed);
        if flushed > 0 {
            store.flush().unwrap();
        }
        record(&store, flushed..14);
        check(&|sql| {
            ask(&store, &runtime, sql).unwrap_or_else(|error| panic!("facts in {place}: {sql}\n{error}"))
        });
    }
}

/// Each question with its one answer.
fn answers(of: &[(impl AsRef<str>, Value)]) {
    everywhere(|ask| {
        for (sql, right) in of {
            let sql = sql.as_ref();
            let Value::Array(right) = right else { panic!("an answer is rows") };
            let mut rows: Vec<Value> = ask(sql).into_iter().map(Value::Array).collect();
            if !sql.contains("ORDER BY") {
                rows.sort_by_key(ToString::to_string);
            }
            assert_eq!(&rows, right, "{sql}");
        }
    });
}

#[test]
fn a_filter_above_a_join_is_that_of_its_own_column() {
    answers(&[
        // Dead letters to nobody whom an event names: those to shop:9 and to none.
        (
            "SELECT d.target FROM events e RIGHT JOIN dead_letters d ON e.actor_address = d.target WHERE e.seq IS NULL",
            json!([["shop:9"], [null]]),
        ),
        (
            "SELECT count(*) FROM events e RIGHT JOIN dead_letters d ON e.actor_address = d.target WHERE e.seq IS NULL",
            json!([[2]]),
        ),
        (
            "SELECT d.target FROM dead_letters d LEFT JOIN events e ON e.actor_address = d.target WHERE e.seq IS NULL",
            json!([["shop:9"], [null]]),
        ),
        (
            "SELECT e.seq, d.seq FROM events e FULL JOIN dead_letters d ON e.actor_address = d.target WHERE e.seq IS NULL AND d.seq > 12",
            json!([[null, 13], [null, 14]]),
        ),
        (
            "SELECT e.seq, d.seq FROM events e RIGHT JOIN dead_letters d ON e.actor_address = d.target WHERE d.seq = 12 AND e.seq > 5",
            json!([[8, 12]]),
        ),
        (
            "SELECT count(*) FROM events a RIGHT JOIN events b ON a.seq = b.seq + 5 WHERE a.seq IS NULL",
            json!([[5]]),
        ),
        (
            "SELECT b.seq FROM crashes a RIGHT JOIN events b ON a.seq = b.seq WHERE a.error IS NULL AND b.seq < 4",
            json!([[1]]),
        ),
        (
            "SELECT e.seq, d.seq FROM events e JOIN dead_letters d ON e.actor_address = d.target ORDER BY d.seq DESC, e.seq LIMIT 1",
            json!([[2, 12]]),
        ),
        (
            "SELECT e.seq FROM events e WHERE EXISTS (SELECT 1 FROM dead_letters d WHERE d.target = e.actor_address) ORDER BY e.seq DESC LIMIT 2",
            json!([[10], [8]]),
        ),
    ]);
}

#[test]
fn a_query_without_rows_gives_null() {
    answers(&[
        ("SELECT (SELECT seq FROM events WHERE seq = 99) IS NULL", json!([[1]])),
        ("SELECT count(*) FROM events WHERE (SELECT seq FROM events WHERE seq = 99) IS NULL", json!([[10]])),
        (
            "SELECT count(*) FROM events WHERE (SELECT seq FROM events WHERE seq = 99) IS NOT NULL",
            json!([[0]]),
        ),
        ("SELECT coalesce((SELECT event_type FROM events WHERE seq = 99), 'none')", json!([["none"]])),
        ("SELECT (SELECT 1 WHERE false) IS NULL", json!([[1]])),
        ("SELECT NOT (SELECT seq = 4 FROM events WHERE seq = 99) IS NULL", json!([[0]])),
        ("SELECT (SELECT seq FROM events WHERE seq = 4) IS NULL", json!([[0]])),
        ("SELECT (SELECT seq FROM events WHERE seq = 99) IS DISTINCT FROM NULL", json!([[0]])),
    ]);
}

#[test]
fn not_in_knows_of_nulls_wherever_it_stands() {
    let nothing = json!([[0]]);
    answers(&[
        // One target is NULL: nobody is known to be none of them.
        (
            "SELECT count(*) FROM events WHERE actor_address NOT IN (SELECT target FROM dead_letters)",
            nothing.clone(),
        ),
        (
            "SELECT count(*) FROM events WHERE NOT actor_address IN (SELECT target FROM dead_letters)",
            nothing.clone(),
        ),
        (
            "SELECT count(*) FROM events WHERE NOT (actor_address IN (SELECT target FROM dead_letters) OR seq < 0)",
            nothing.clone(),
        ),
        (
            "SELECT count(*) FROM events WHERE seq < 0 OR actor_address NOT IN (SELECT target FROM dead_letters)",
            nothing.clone(),
        ),
        ("SELECT count(*) FROM events WHERE 'x' NOT IN (SELECT target FROM dead_letters)", nothing.clone()),
        (
            "SELECT count(*) FROM events WHERE 'x' NOT IN (SELECT target FROM dead_letters WHERE target IS NOT NULL)",
            json!([[10]]),
        ),
        ("SELECT count(*) FROM events WHERE NULL NOT IN (SELECT target FROM dead_letters)", nothing.clone()),
        (
            "SELECT count(*) FROM events WHERE NULL NOT IN (SELECT target FROM dead_letters WHERE seq = 99)",
            json!([[10]]),
        ),
        (
            "SELECT count(*) FROM events WHERE error NOT IN (SELECT error FROM events WHERE error = 'E: a')",
            json!([[2]]),
        ),
        (
            "SELECT count(*) FROM events WHERE error NOT IN (SELECT error FROM events WHERE seq = 99)",
            json!([[10]]),
        ),
        ("SELECT count(*) FROM events WHERE (error IN (SELECT error FROM events)) IS NULL", json!([[6]])),
        (
            "SELECT count(*) FROM events WHERE (error NOT IN (SELECT error FROM crashes)) IS NULL",
            json!([[6]]),
        ),
        (
            "SELECT count(*) FROM events WHERE CASE WHEN error IN (SELECT error FROM events) THEN false ELSE true END",
            json!([[6]]),
        ),
        (
            "SELECT count(*) FROM events e WHERE seq NOT IN (SELECT d.seq FROM dead_letters d WHERE d.target = e.actor_address)",
            json!([[10]]),
        ),
        (
            "SELECT count(*) FROM events e WHERE e.error NOT IN (SELECT f.error FROM events f WHERE f.seq > e.seq)",
            json!([[1]]),
        ),
        (
            "SELECT count(*) FROM events WHERE actor_address IN (SELECT target FROM dead_letters)",
            json!([[7]]),
        ),
        ("SELECT count(*) FROM events WHERE actor_address <> ALL (SELECT target FROM dead_letters)", nothing),
        (
            "SELECT count(*) FROM events WHERE actor_address = ANY (SELECT target FROM dead_letters)",
            json!([[7]]),
        ),
    ]);
}

#[test]
fn two_lists_of_one_column_are_unknown_where_it_is_null() {
    answers(&[
        ("SELECT count(*) FROM events WHERE (error IN ('a') AND error IN ('b')) IS NULL", json!([[6]])),
        ("SELECT count(*) FROM events WHERE NOT (error IN ('a') AND error IN ('b'))", json!([[4]])),
        ("SELECT count(*) FROM events WHERE error NOT IN ('a') OR error NOT IN ('b')", json!([[4]])),
        (
            "SELECT count(*) FROM events WHERE (error = 'a' OR error = 'c') AND error IN ('b', 'd', 'e', 'f') IS NULL",
            json!([[0]]),
        ),
        (
            "SELECT count(*) FROM events WHERE ((error = 'a' OR error = 'c') AND error IN ('b', 'd', 'e', 'f')) IS NULL",
            json!([[6]]),
        ),
        (
            "SELECT count(*) FROM events WHERE (error IN ('a', 'b', 'c', 'd') AND error NOT IN ('a', 'b', 'c', 'd')) IS NULL",
            json!([[6]]),
        ),
        (
            "SELECT count(*) FROM events WHERE seq IN (stream, 1, 2, 3) AND seq IN (stream + 1, 2, 7, 9)",
            json!([[1]]),
        ),
        ("SELECT count(*) FROM events WHERE seq IN (1, 2, 3, 4) AND seq NOT IN (1, NULL)", json!([[0]])),
        (
            "SELECT count(*) FROM events WHERE (seq IN (1, 2, NULL) AND seq IN (2, 3, 4)) IS NULL",
            json!([[2]]),
        ),
        ("SELECT count(*) FROM events WHERE error IN ('E: a', 'x') AND error IN ('E: a', 'y')", json!([[2]])),
        (
            "SELECT count(*) FROM (SELECT error IN ('a') AS a, error IN ('b') AS b FROM events) WHERE (a AND b) IS NULL",
            json!([[6]]),
        ),
        (
            "SELECT count(*) FROM events WHERE (NOT (error IN ('a') OR error = 'x') OR error NOT IN ('b'))",
            json!([[4]]),
        ),
    ]);
}

#[test]
fn each_column_of_an_answer_has_a_name() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    record(&store, 0..14);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (sql, names) in [
        ("SELECT at, at::date FROM events", "at at_2"),
        ("SELECT at::date, at::time, count(*) FROM events GROUP BY 1, 2", "at at_2 count(*)"),
        ("SELECT max(at::date), max(at::time) FROM events", "max(at::DATE) max(at::TIME)"),
        ("SELECT seq, seq, seq_2 FROM (SELECT seq, stream AS seq_2 FROM events) e", "seq seq_3 seq_2"),
        ("SELECT e.seq, d.seq FROM events e, dead_letters d", "seq seq_2"),
        ("SELECT e.seq, (SELECT d.seq FROM dead_letters d WHERE d.seq = 99) FROM events e", "seq seq_2"),
        ("SELECT count(*), count(*) FROM events", "count(*) count(*)_2"),
        ("SELECT seq AS a, stream AS a FROM events", "a a_2"),
        ("SELECT at AS t, at::date AS T, 1 AS t_2 FROM events", "t t_3 t_2"),
        ("SELECT *, seq + 1 AS seq, 5 AS five FROM (SELECT at, seq FROM events) e", "at seq seq_2 five"),
        ("SELECT 1, 1 UNION ALL SELECT 2, 2", "1 1_2"),
        ("SELECT left(error, 3), max(e.seq) FROM events e GROUP BY left(error, 3)", "left(error,3) max(seq)"),
        (
            "SELECT max(a.seq), max(b.seq), min(a.seq) FROM events a, events b",
            "max(a.seq) max(b.seq) min(seq)",
        ),
        ("SELECT 'x', 2.5, true, coalesce(error, 'a.b') FROM events", "'x' 2.5 true coalesce(error,'a.b')"),
        ("SELECT seq+1 FROM events ORDER BY seq+1 LIMIT 2", "seq + 1"),
        ("SELECT DISTINCT seq % 3 FROM events", "seq % 3"),
        ("SELECT count(*) FILTER (WHERE seq > 3) FROM events", "count(*) FILTER (WHERE seq > 3)"),
        ("SELECT 1 AS \"Int64(1)\", seq AS \"max(a.b)\" FROM events", "Int64(1) max(a.b)"),
        ("SELECT row_number() OVER (ORDER BY seq) FROM events", "row_number() OVER (ORDER BY seq)"),
        // Within: the names go on to the answer, also through another query.
        ("SELECT * FROM (SELECT a.seq, b.seq FROM events a JOIN events b USING (seq)) LIMIT 1", "seq seq_2"),
        (
            "SELECT * FROM (SELECT a.seq, b.seq FROM events a JOIN events b USING (seq) LIMIT 1) t",
            "seq seq_2",
        ),
        ("WITH t AS (SELECT a.seq, b.seq FROM events a, events b) SELECT x.* FROM t x", "seq seq_2"),
        ("SELECT * FROM (SELECT seq, seq, 1, 1 FROM events) t", "seq seq_2 1 1_2"),
        (
            "SELECT * FROM (SELECT error AS \"error.type\", seq AS \"Int64(5)\" FROM events)",
            "error.type Int64(5)",
        ),
        (
            "SELECT \"a.b\", count(*) FROM (SELECT error AS \"a.b\" FROM events) GROUP BY \"a.b\"",
            "a.b count(*)",
        ),
        ("SELECT count(*) AS \"count(*) e.g. all\" FROM events", "count(*) e.g. all"),
        ("SELECT 1, 'mine' AS \"1\"", "1_2 1"),
        ("WITH t AS (SELECT left(error, 3), 1 FROM events) SELECT * FROM t", "left(error,3) 1"),
        ("SELECT * FROM (SELECT 1) a, (SELECT 2) b", "1 2"),
        ("SELECT left(error, 3) FROM events EXCEPT SELECT 'x'", "left(error,3)"),
        ("SELECT 'it''s a.b'", "'it''s a.b'"),
        (
            "SELECT sum(seq) OVER (), max(seq) OVER (PARTITION BY error ORDER BY seq DESC) FROM events",
            "sum(seq) OVER () max(seq) OVER (PARTITION BY error ORDER BY seq DESC)",
        ),
        ("SELECT count(*) FROM (SELECT count(*), count(*) FROM events) t", "count(*)"),
        ("SELECT seq FROM events e WHERE EXISTS (SELECT 1, 1 FROM events a WHERE a.seq = e.seq)", "seq"),
        // A name of a part's own is no number.
        ("SELECT * FROM (SELECT seq, stream AS \"seq:b\" FROM events) t", "seq seq:b"),
        (
            "SELECT target, d.*, seq FROM dead_letters d ORDER BY d.seq",
            "target_2 at system_id target message_type payload recorded_at timestamp stream seq extra seq_2",
        ),
    ] {
        let answer = runtime.block_on(store.sql(sql)).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let found: Vec<String> = answer.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(found.join(" "), names, "{sql}");
        let batches = runtime.block_on(answer.collect()).unwrap();
        let answered: Vec<_> =
            batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(answered, found, "{sql}");
    }
}

/// The planner names a cast after what it is of: `max(seq::text)` and `max(seq::double)` would have one name.
#[test]
fn casts_of_one_column_to_two_types_are_told_apart() {
    answers(&[
        ("SELECT max(seq::text) AS a, max(seq::double) AS b FROM events", json!([["9", 10.0]])),
        (
            "SELECT CAST(seq / 5 AS text), count(*), max(seq::double) AS d, max(seq::text) AS t FROM events GROUP BY (seq / 5)::text ORDER BY 1",
            json!([["0", 4, 4.0, "4"], ["1", 5, 9.0, "9"], ["2", 1, 10.0, "10"]]),
        ),
        ("SELECT max(seq::text), max(seq::double), max(seq) FROM events", json!([["9", 10.0, 10]])),
        ("SELECT count(DISTINCT seq::text), count(DISTINCT (seq > 3)::int) FROM events", json!([[10, 2]])),
        (
            "SELECT count(DISTINCT (seq / 5)::text) AS t, count(DISTINCT (seq / 5)::double) AS d FROM events",
            json!([[3, 3]]),
        ),
        (
            "SELECT (seq / 5)::text, (seq / 5)::double AS d, count(*) FROM events GROUP BY (seq / 5)::text, (seq / 5)::double ORDER BY 1",
            json!([["0", 0.0, 4], ["1", 1.0, 5], ["2", 2.0, 1]]),
        ),
        (
            "SELECT (seq / 5)::text, (seq / 5)::double, count(*) FROM events GROUP BY 1, 2 ORDER BY 2 DESC LIMIT 1",
            json!([["2", 2.0, 1]]),
        ),
        (
            "SELECT count(*) FROM events GROUP BY event_type HAVING max(seq::text) > '8' AND max(seq::double) > 9.5",
            json!([[6]]),
        ),
        (
            "SELECT stream, max(seq::text), max(seq::double) FROM events GROUP BY stream ORDER BY max(seq::double), max(seq::text)",
            json!([[1, "9", 10.0]]),
        ),
        (
            "SELECT sum(x::int + y::int) FROM (SELECT max(seq::text) AS x, max(seq::double) AS y FROM events) t",
            json!([[19]]),
        ),
        (
            "SELECT row_number() OVER (PARTITION BY (seq > 5)::int ORDER BY seq) AS a, row_number() OVER (PARTITION BY (seq > 5)::text ORDER BY seq) AS b FROM events ORDER BY seq LIMIT 2",
            json!([[1, 1], [2, 2]]),
        ),
        (
            "SELECT max(NULL::text) AS a, max(NULL::bigint) AS b, count(NULL::int) FROM audits",
            json!([[null, null, 0]]),
        ),
        (
            "SELECT DISTINCT ON ((seq > 5)::int, (seq > 5)::text) seq FROM events ORDER BY (seq > 5)::int, (seq > 5)::text, seq",
            json!([[1], [6]]),
        ),
        (
            "SELECT count(CAST(seq AS int)), count(TRY_CAST(seq::text AS int)), sum(1.0), sum(1.00) FROM events",
            json!([[10, 10, 10.0, 10.0]]),
        ),
    ]);
}

#[test]
fn products_with_zero_keep_their_type() {
    let ranks = "(SELECT dense_rank() OVER (ORDER BY seq) AS n FROM events) t";
    for (condition, rows) in [
        ("7 > n * length('')", 10),
        ("7 > length('') * n", 10),
        ("7 NOT BETWEEN 1 AND n * 0", 10),
        ("7 IN (n * 0, 7)", 10),
        ("n * -1 < n * 0", 10),
        ("coalesce(n * 0, n) = 0", 10),
        ("(n * 0)::text = '0'", 10),
    ] {
        let sql = format!("SELECT count(*) FROM {ranks} WHERE {condition}");
        answers(&[(&sql, json!([[rows]]))]);
    }
    // Only in a part of the union it is known that there is no NULL.
    answers(&[(
        "SELECT count(*) FROM (SELECT dense_rank() OVER (ORDER BY seq) AS n FROM events UNION SELECT NULL::bigint FROM events) t WHERE 7 NOT BETWEEN n AND n % 3 * length('')",
        json!([[10]]),
    )]);
}

/// Two NULLs are the same only where IS NOT DISTINCT FROM compares them, or the planner's own joins.
#[test]
fn equalities_beside_keys_that_may_be_null_match_no_nulls() {
    let of_target = "(SELECT sum(1) FROM events e WHERE e.actor_address = d.target AND e.seq > 99)";
    answers(&[
        (
            "SELECT count(*) FROM events a JOIN events b ON a.error IS NOT DISTINCT FROM b.error WHERE a.reason = b.reason",
            json!([[0]]),
        ),
        (
            "SELECT count(*) FROM events a JOIN events b ON a.error IS NOT DISTINCT FROM b.error WHERE a.reason IS NOT DISTINCT FROM b.reason",
            json!([[44]]),
        ),
        (
            "SELECT count(*) FROM events a, events b WHERE a.error IS NOT DISTINCT FROM b.error AND a.reason = b.reason",
            json!([[0]]),
        ),
        (
            "SELECT count(*) FROM events a JOIN events b ON a.error IS NOT DISTINCT FROM b.error, events c WHERE b.reason = c.reason",
            json!([[0]]),
        ),
        (
            "SELECT count(*) FROM events c JOIN events d ON c.reason = d.reason JOIN events b ON c.error IS NOT DISTINCT FROM b.error",
            json!([[0]]),
        ),
        (
            "SELECT count(*) FROM (SELECT a.reason FROM events a JOIN events b ON a.error IS NOT DISTINCT FROM b.error) x, events c WHERE x.reason = c.reason",
            json!([[0]]),
        ),
        (
            "SELECT count(*) FROM events a JOIN events b ON a.error IS NOT DISTINCT FROM b.error AND a.seq = b.seq JOIN events c ON c.seq = a.seq",
            json!([[10]]),
        ),
        (
            &format!(
                "SELECT d.seq, d.target NOT IN (SELECT {of_target}::text FROM audits), d.target NOT IN (SELECT {of_target}::text) FROM dead_letters d ORDER BY d.seq"
            ),
            json!([[11, 1, null], [12, 1, null], [13, 1, null], [14, 1, null]]),
        ),
        (
            &format!(
                "SELECT d.seq, NULL::bigint IN (SELECT {of_target} FROM events), EXISTS (SELECT 1 FROM (SELECT {of_target} AS y) s WHERE y = nullif(d.seq, d.seq)) FROM dead_letters d ORDER BY d.seq"
            ),
            json!([[11, null, 0], [12, null, 0], [13, null, 0], [14, null, 0]]),
        ),
    ]);
}

/// The planner takes the two sides of an equality for one key.
#[test]
fn windows_above_an_equality_with_a_computed_value_are_answered() {
    answers(&[
        (
            "SELECT count(*) OVER (PARTITION BY d.message_type ORDER BY d.seq, d.target DESC, d.message_type DESC ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) FROM dead_letters d WHERE d.message_type || coalesce(d.target, '') = d.message_type",
            json!([[1]]),
        ),
        (
            "SELECT d.seq, count(*) OVER (PARTITION BY d.target ORDER BY d.seq, d.message_type DESC) FROM dead_letters d WHERE d.target = replace(d.target, 'x', 'y') ORDER BY d.seq",
            json!([[11, 1], [12, 1], [13, 1]]),
        ),
        (
            "SELECT seq FROM events WHERE actor_address = lower(actor_address) GROUP BY seq, actor_address ORDER BY actor_address, seq DESC LIMIT 2",
            json!([[10], [7]]),
        ),
    ]);
}

#[test]
fn a_name_that_a_query_within_has_twice_cannot_be_asked_for() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    record(&store, 0..14);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let twice = "SELECT a.seq, b.seq, a.stream FROM events a JOIN events b ON a.seq = b.seq + 1";
    for sql in [
        format!("WITH t AS ({twice}) SELECT seq FROM t LIMIT 1"),
        format!("SELECT t.seq FROM ({twice}) t"),
        format!("SELECT stream FROM ({twice}) t ORDER BY seq"),
        format!("SELECT stream FROM ({twice}) t WHERE seq > 1"),
        format!("SELECT x.stream FROM ({twice}) x JOIN audits a ON a.seq = x.seq"),
        format!("SELECT x.stream FROM ({twice}) x JOIN events e USING (seq)"),
        format!(
            "WITH t AS ({twice}) SELECT stream FROM events e WHERE EXISTS (SELECT 1 FROM t x WHERE x.seq = e.seq)"
        ),
        "SELECT seq FROM (SELECT * FROM events a JOIN events b ON a.seq = b.seq + 1) t".to_owned(),
    ] {
        let error = ask(&store, &runtime, &sql).expect_err(&sql).to_string();
        assert!(error.contains("seq is ambiguous"), "{sql}: {error}");
    }
    for sql in [
        format!("SELECT stream FROM ({twice}) t"),
        format!("SELECT e.seq FROM events e JOIN ({twice}) t ON t.stream = e.stream AND e.seq = 1"),
        format!("SELECT stream AS seq FROM ({twice}) t ORDER BY seq"),
        format!("SELECT count(*) FROM ({twice}) AS t(one, other, stream) WHERE one = other + 1"),
        format!(
            "SELECT stream FROM ({twice}) t WHERE EXISTS (SELECT seq FROM events e WHERE e.stream = t.stream)"
        ),
    ] {
        ask(&store, &runtime, &sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[test]
fn a_sample_is_refused_with_what_to_write_instead() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = ask(&store, &runtime, "SELECT count(*) FROM events TABLESAMPLE BERNOULLI (1)").unwrap_err();
    assert!(error.to_string().contains("random() < 0.01"), "{error}");
}

#[test]
fn long_lists_and_parts_that_are_used_again_are_answered() {
    let parts: Vec<String> =
        (0..7).map(|n| format!("p{n} AS (SELECT seq FROM events WHERE seq % 7 = {n})")).collect();
    let used: Vec<String> =
        (0..7).map(|n| format!("SELECT a.seq FROM p{n} a JOIN p{n} b ON a.seq = b.seq")).collect();
    let with = format!("WITH {} SELECT count(*) FROM ({}) u", parts.join(", "), used.join(" UNION ALL "));
    let negative: Vec<String> = (1..=2_100).map(|n| format!("-{n}")).collect();
    let list = format!("SELECT count(*) FROM events WHERE seq NOT IN ({})", negative.join(", "));
    let distinct = format!(
        "SELECT count(*) FROM events WHERE {}",
        vec!["coalesce(error, 'x') IS DISTINCT FROM coalesce(reason, error, 'y')"; 60].join(" AND ")
    );
    answers(&[
        (with.as_str(), json!([[10]])),
        (list.as_str(), json!([[10]])),
        (distinct.as_str(), json!([[6]])),
        ("SELECT count(*) FROM events WHERE false IS DISTINCT FROM true AND seq < 3", json!([[2]])),
        ("SELECT count(*) FROM events WHERE true IS NOT DISTINCT FROM true OR false", json!([[10]])),
        (
            "SELECT count(*) FROM (SELECT unnest(generate_series(TIMESTAMP '2026-11-01', TIMESTAMP '2026-11-30', INTERVAL '1 hour'))) h",
            json!([[697]]),
        ),
        (
            "SELECT count(*) FROM (SELECT unnest(generate_series(DATE '2026-01-01', DATE '2026-12-31', INTERVAL '1 day'))) h",
            json!([[365]]),
        ),
    ]);
}

/// The actors' events before each crash: 1 has those of shop:1 before it, and so on.
#[test]
fn the_last_event_before_each_crash_is_found() {
    let last = json!([[2, null], [3, null], [7, 4], [8, 5]]);
    let number =
        "SELECT c.seq, (SELECT count(*) FROM events e WHERE e.seq < c.seq) FROM crashes c ORDER BY 1";
    answers(&[
        (
            "SELECT c.seq, (SELECT e.seq FROM events e WHERE e.actor_address = c.actor_address AND e.seq < c.seq ORDER BY e.seq DESC LIMIT 1) FROM crashes c ORDER BY 1",
            last.clone(),
        ),
        (
            "SELECT c.seq, (SELECT max(e.seq) FROM events e WHERE e.actor_address = c.actor_address AND e.seq < c.seq) FROM crashes c ORDER BY 1",
            last.clone(),
        ),
        (
            "SELECT c.seq, l.seq FROM crashes c LEFT JOIN LATERAL (SELECT e.seq FROM events e WHERE e.actor_address = c.actor_address AND e.seq < c.seq ORDER BY e.seq DESC LIMIT 1) l ON true ORDER BY 1",
            last,
        ),
        (
            "SELECT c.seq, l.seq, l.kind FROM crashes c, LATERAL (SELECT e.seq, e.event_type AS kind FROM events e WHERE e.actor_address = c.actor_address AND e.seq < c.seq ORDER BY e.seq DESC LIMIT 2) l ORDER BY 1, 2",
            json!([
                [7, 1, "ActorStarted"],
                [7, 4, "ActorStarted"],
                [8, 2, "ActorCrashed"],
                [8, 5, "ActorStarted"]
            ]),
        ),
        (number, json!([[2, 1], [3, 2], [7, 6], [8, 7]])),
        (
            "SELECT c.seq, (SELECT count(*) FROM events e WHERE e.actor_address = c.actor_address AND e.seq < c.seq) AS n FROM crashes c ORDER BY 1",
            json!([[2, 0], [3, 0], [7, 2], [8, 2]]),
        ),
        (
            "SELECT c.seq FROM crashes c WHERE (SELECT e.seq FROM events e WHERE e.seq < c.seq ORDER BY e.seq DESC LIMIT 1) = 6",
            json!([[7]]),
        ),
        (
            "SELECT d.seq, (SELECT e.event_type FROM events e WHERE e.actor_address = d.target ORDER BY e.seq LIMIT 1) AS first FROM dead_letters d ORDER BY 1",
            json!([[11, "ActorStarted"], [12, "ActorCrashed"], [13, null], [14, null]]),
        ),
    ]);
}

#[test]
fn a_condition_without_columns_holds_above_an_aggregate() {
    let none = json!([]);
    answers(&[
        (
            "SELECT * FROM (SELECT count(*) FROM events) q WHERE (SELECT count(*) FROM crashes) > 100",
            none.clone(),
        ),
        ("SELECT * FROM (SELECT count(*) FROM events) q WHERE now() < TIMESTAMP '2000-01-01'", none.clone()),
        ("SELECT * FROM (SELECT max(seq) FROM events) q WHERE (SELECT 1) = 1", json!([[10]])),
        ("SELECT count(*) FROM events HAVING (SELECT count(*) FROM crashes) > 100", none.clone()),
        (
            "SELECT count(*) FROM (SELECT event_type, count(*) FROM events GROUP BY ROLLUP (event_type)) q WHERE (SELECT 1) > 1",
            json!([[0]]),
        ),
        (
            "SELECT 1 FROM events a JOIN (SELECT 1 AS c FROM crashes WHERE false) b ON true FULL JOIN (SELECT sum(seq) FROM audits) c ON true WHERE a.seq IS NOT DISTINCT FROM 2",
            none,
        ),
    ]);
}

#[test]
fn exists_and_in_are_answered_wherever_they_stand() {
    answers(&[
        (
            "SELECT seq IN (SELECT seq - 10 FROM dead_letters) FROM events WHERE seq > 3 AND seq < 6",
            json!([[0], [1]]),
        ),
        (
            "SELECT DISTINCT EXISTS (SELECT 1 FROM audits), NOT EXISTS (SELECT 1 FROM audits) FROM events",
            json!([[0, 1]]),
        ),
        (
            "SELECT count(*) FILTER (WHERE actor_address IN (SELECT target FROM dead_letters WHERE target IS NOT NULL)) FROM events",
            json!([[7]]),
        ),
        (
            "SELECT sum(CASE WHEN seq IN (SELECT seq - 10 FROM dead_letters) THEN 1 ELSE 0 END) FROM events",
            json!([[4]]),
        ),
        (
            "SELECT count(*) FROM dead_letters d WHERE 'E: a' IN (SELECT e.error FROM events e WHERE e.actor_address = d.target)",
            json!([[2]]),
        ),
        // What is outside stands in a column of the query, and in a query within the query.
        ("SELECT count(*) FROM events e WHERE 2 IN (SELECT e.seq FROM dead_letters)", json!([[1]])),
        (
            "SELECT count(*) FROM dead_letters d WHERE 1 NOT IN (SELECT 1 FROM events e WHERE d.seq NOT IN (SELECT c.seq + 10 FROM crashes c))",
            json!([[2]]),
        ),
        (
            "SELECT count(*) FROM dead_letters d WHERE EXISTS (SELECT 1 FROM events e WHERE e.actor_address = d.target AND EXISTS (SELECT 1 FROM crashes c WHERE c.seq = e.seq + 1))",
            json!([[2]]),
        ),
        // Not known, since a target is NULL.
        (
            "SELECT count(*) FROM events WHERE seq < 0 OR (SELECT 'x') NOT IN (SELECT target FROM dead_letters)",
            json!([[0]]),
        ),
        (
            "SELECT count(*) FROM events WHERE (SELECT max(seq) FROM events WHERE seq < 0) NOT IN (SELECT seq FROM dead_letters)",
            json!([[0]]),
        ),
        // Of the three actors one has four events, and two have three.
        (
            "SELECT count(*) FROM (SELECT DISTINCT actor_address FROM events) a WHERE EXISTS (SELECT 1 FROM events e WHERE e.actor_address = a.actor_address OFFSET 3)",
            json!([[1]]),
        ),
        (
            "SELECT count(*) FROM (SELECT DISTINCT actor_address FROM events) a WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.actor_address = a.actor_address LIMIT 1 OFFSET 3)",
            json!([[2]]),
        ),
    ]);
}

#[test]
fn a_query_for_each_row_outside_sees_the_same_rows_outside() {
    answers(&[
        (
            "SELECT count(q.seq), count(q.p) FROM (SELECT c.seq, (SELECT max(e.seq) FROM events e WHERE e.seq < c.seq) AS p FROM (SELECT seq FROM events WHERE seq > 1 LIMIT 5) c) q",
            json!([[5, 5]]),
        ),
        // Any row of an actor, and a row of each: without an ORDER BY any will do.
        (
            "SELECT count(*) FROM dead_letters d WHERE (SELECT e.event_type FROM events e WHERE e.actor_address = d.target LIMIT 1) IS NOT NULL",
            json!([[2]]),
        ),
        (
            "SELECT d.seq, l.n FROM dead_letters d, LATERAL (SELECT e.seq AS n FROM events e WHERE e.actor_address = d.target ORDER BY e.seq DESC LIMIT 1) l ORDER BY 1",
            json!([[11, 10], [12, 8]]),
        ),
        (
            "SELECT count(*) FROM events e ORDER BY (SELECT count(*) FROM crashes c WHERE c.seq < 3)",
            json!([[10]]),
        ),
        (
            "SELECT e.seq FROM events e ORDER BY (SELECT count(*) FROM crashes c WHERE c.seq < e.seq) DESC, e.seq LIMIT 2",
            json!([[9], [10]]),
        ),
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    record(&store, 0..14);
    let sampled =
        "SELECT (SELECT max(e.seq) FROM events e WHERE e.seq < c.seq) FROM events c WHERE random() < 0.5";
    let error = ask(&store, &runtime, sampled).unwrap_err();
    assert!(error.contains("random()") && error.contains("seq % 10 = 0"), "{error}");
}

/// A condition on a row outside is not that of the window, the DISTINCT or the outer join above it.
#[test]
fn a_query_for_each_row_outside_may_have_windows_and_be_distinct() {
    answers(&[
        (
            "SELECT d.seq, l.seq, l.n FROM dead_letters d, LATERAL (SELECT e.seq, row_number() OVER (ORDER BY e.seq DESC) AS n FROM events e WHERE e.actor_address = d.target) l ORDER BY 1, 2",
            json!([[11, 1, 4], [11, 4, 3], [11, 7, 2], [11, 10, 1], [12, 2, 3], [12, 5, 2], [12, 8, 1]]),
        ),
        (
            "SELECT d.seq, l.error FROM dead_letters d LEFT JOIN LATERAL (SELECT DISTINCT e.error FROM events e WHERE e.actor_address = d.target) l ON true ORDER BY 1, 2 NULLS LAST",
            json!([[11, "E: a"], [11, null], [12, "E: a"], [12, "E: b"], [12, null], [13, null], [14, null]]),
        ),
        (
            "SELECT d.seq, l.seq, l.later FROM dead_letters d, LATERAL (SELECT e.seq, f.seq AS later FROM events e LEFT JOIN crashes f ON f.seq > e.seq AND f.actor_address = e.actor_address WHERE e.actor_address = d.target AND e.seq > 5) l ORDER BY 1, 2, 3",
            json!([[11, 7, null], [11, 10, null], [12, 8, null]]),
        ),
        (
            "SELECT d.seq, (SELECT count(*) FROM (SELECT DISTINCT g.error, g.n FROM (SELECT e.error, count(*) AS n FROM events e WHERE e.actor_address = d.target GROUP BY e.error, e.seq) g) h) FROM dead_letters d ORDER BY 1",
            json!([[11, 2], [12, 3], [13, 0], [14, 0]]),
        ),
        (
            "SELECT c.seq, l.n FROM crashes c, LATERAL (SELECT count(*) OVER () AS n FROM events e WHERE e.actor_address = c.actor_address AND e.seq < c.seq LIMIT 1) l ORDER BY 1",
            json!([[7, 2], [8, 2]]),
        ),
    ]);
}

#[test]
fn the_key_of_a_join_may_stand_without_its_table() {
    answers(&[
        ("SELECT seq FROM events e JOIN crashes c USING (seq) WHERE seq > 3 ORDER BY seq", json!([[7], [8]])),
        (
            "SELECT seq, c.error FROM events e LEFT JOIN crashes c USING (seq) WHERE seq BETWEEN 2 AND 4 ORDER BY seq",
            json!([[2, "E: a"], [3, "E: b"], [4, null]]),
        ),
        (
            "SELECT count(*) FROM dead_letters d JOIN (SELECT target, count(*) AS n FROM dead_letters GROUP BY 1) t USING (target) JOIN events e ON e.actor_address = d.target WHERE target = 'shop:1' AND n = 1",
            json!([[3]]),
        ),
        (
            "SELECT count(*) FROM events NATURAL JOIN (SELECT seq FROM crashes) c WHERE seq IN (SELECT seq FROM crashes WHERE seq > 2)",
            json!([[3]]),
        ),
        (
            "WITH a AS (SELECT seq FROM events JOIN crashes USING (seq) WHERE seq = 7) SELECT seq FROM events JOIN a USING (seq) WHERE NOT seq = 8",
            json!([[7]]),
        ),
    ]);
}

#[test]
fn any_and_all_compare_with_the_rows_within() {
    answers(&[
        ("SELECT seq FROM crashes WHERE seq >= ALL (SELECT seq FROM crashes)", json!([[8]])),
        (
            "SELECT seq FROM crashes WHERE seq < ANY (SELECT seq FROM crashes) ORDER BY 1",
            json!([[2], [3], [7]]),
        ),
        (
            "SELECT seq FROM crashes WHERE seq = ANY (SELECT seq FROM crashes WHERE seq > 3) ORDER BY 1",
            json!([[7], [8]]),
        ),
        (
            "SELECT seq FROM crashes WHERE seq <> ALL (SELECT seq FROM crashes WHERE seq > 3) ORDER BY 1",
            json!([[2], [3]]),
        ),
        ("SELECT count(*) FROM events WHERE at >= ALL (SELECT at FROM events)", json!([[1]])),
        (
            "SELECT count(*) FROM dead_letters WHERE target >= ALL (SELECT target FROM dead_letters)",
            json!([[0]]),
        ),
        (
            "SELECT count(*) FROM dead_letters WHERE target >= ANY (SELECT target FROM dead_letters)",
            json!([[3]]),
        ),
        (
            "SELECT count(*) FROM dead_letters WHERE (target > ALL (SELECT target FROM dead_letters)) IS NULL",
            json!([[1]]),
        ),
        (
            "SELECT count(*) FROM events WHERE seq > ALL (SELECT seq FROM events WHERE seq > 99)",
            json!([[10]]),
        ),
        (
            "SELECT seq, seq > ANY (SELECT c.seq FROM crashes c WHERE c.actor_address = e.actor_address) AS later FROM events e WHERE seq < 4 ORDER BY 1",
            json!([[1, 0], [2, 0], [3, 0]]),
        ),
        (
            "WITH t AS (SELECT actor_address AS a, count(*) AS n FROM events GROUP BY 1) SELECT a FROM t WHERE n >= ALL (SELECT n FROM t)",
            json!([["shop:0"]]),
        ),
    ]);
}

#[test]
fn a_union_is_sorted_where_columns_are_equal_in_one_part() {
    answers(&[(
        "SELECT * FROM (SELECT seq AS a, seq AS b FROM crashes GROUP BY seq, event_type UNION ALL SELECT 7 AS a, 1 AS b FROM audits UNION ALL SELECT 7, 9 FROM dead_letters WHERE seq = 11) q ORDER BY a DESC, b",
        json!([[8, 8], [7, 7], [7, 9], [3, 3], [2, 2]]),
    )]);
}

#[test]
fn a_query_within_a_query_may_name_what_is_outside_of_both() {
    answers(&[
        (
            "SELECT d.seq FROM dead_letters d WHERE NOT EXISTS (SELECT 1 FROM events e WHERE d.target NOT IN (SELECT d.message_type FROM crashes c WHERE c.actor_address = e.actor_address)) ORDER BY 1",
            json!([[14]]),
        ),
        (
            "SELECT d.seq FROM dead_letters d WHERE 'x' IN (SELECT 'x' FROM events e WHERE 1 NOT IN (SELECT d.seq FROM crashes)) ORDER BY 1",
            json!([[11], [12], [13], [14]]),
        ),
        (
            "SELECT d.seq, (SELECT count(*) FROM events e WHERE EXISTS (SELECT 1 FROM crashes c WHERE c.actor_address = d.target AND c.seq > e.seq)) FROM dead_letters d ORDER BY 1",
            json!([[11, 6], [12, 7], [13, 0], [14, 0]]),
        ),
        (
            "SELECT d.seq, (SELECT max(e.seq) FROM events e WHERE e.actor_address = d.target AND e.seq < (SELECT max(c.seq) FROM crashes c WHERE c.actor_address = d.target)) FROM dead_letters d ORDER BY 1",
            json!([[11, 4], [12, 5], [13, null], [14, null]]),
        ),
        (
            "SELECT d.seq FROM dead_letters d WHERE 7 IN (SELECT e.seq FROM events e, crashes c WHERE e.seq NOT BETWEEN c.seq AND d.seq - 5) ORDER BY 1",
            json!([[11], [12], [13], [14]]),
        ),
    ]);
}

/// All crashes have one type, and where none is joined it is NULL.
#[test]
fn rows_of_an_outer_join_are_sorted_by_what_is_the_same_on_one_side() {
    answers(&[
        (
            "SELECT c.event_type FROM events e LEFT JOIN crashes c ON e.seq = c.seq ORDER BY c.event_type NULLS FIRST LIMIT 7",
            json!([[null], [null], [null], [null], [null], [null], ["ActorCrashed"]]),
        ),
        (
            "SELECT c.event_type, c.n FROM (SELECT event_type, 1 AS n FROM crashes) c RIGHT JOIN dead_letters d ON d.seq < 0 OR c.n = d.seq - 10 ORDER BY c.n DESC NULLS LAST",
            json!([
                ["ActorCrashed", 1],
                ["ActorCrashed", 1],
                ["ActorCrashed", 1],
                ["ActorCrashed", 1],
                [null, null],
                [null, null],
                [null, null]
            ]),
        ),
        (
            "SELECT c.n, d.n FROM (SELECT 1 AS n FROM crashes WHERE seq < 4) c FULL JOIN (SELECT 2 AS n FROM dead_letters WHERE seq > 12) d ON FALSE ORDER BY c.n NULLS FIRST, d.n",
            json!([[null, 2], [null, 2], [1, null], [1, null]]),
        ),
        (
            "SELECT c.event_type, count(*) FROM events e LEFT JOIN crashes c ON e.seq = c.seq GROUP BY c.event_type ORDER BY c.event_type NULLS FIRST",
            json!([[null, 6], ["ActorCrashed", 4]]),
        ),
        (
            "SELECT e.seq, count(*) OVER (PARTITION BY c.event_type) FROM events e LEFT JOIN crashes c ON e.seq = c.seq ORDER BY e.seq LIMIT 3",
            json!([[1, 6], [2, 4], [3, 4]]),
        ),
        // A filter and a projection that the planner puts into a join where they do not fit.
        (
            "SELECT count(*) FROM (SELECT t2.seq AS c1, t1.reason || t1.actor_address AS c2, t1.error_type AS c3 FROM events t1 FULL JOIN events t2 ON TRUE WHERE t2.error_type IS NULL) q",
            json!([[60]]),
        ),
        (
            "SELECT count(c2) FROM (SELECT t2.seq AS c1, t1.error || t1.actor_address AS c2, t1.error_type AS c3 FROM events t1 FULL JOIN events t2 ON TRUE WHERE t2.error_type IS NULL) q WHERE c1 > 5",
            json!([[12]]),
        ),
    ]);
}

#[test]
fn a_key_that_a_table_beside_has_too_is_ambiguous() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    record(&store, 0..14);
    let sql = "SELECT count(*) FROM dead_letters d, events e JOIN crashes c USING (seq) WHERE seq = 7";
    assert!(ask(&store, &runtime, sql).expect_err(sql).contains("Ambiguous"));
    let sql =
        "SELECT count(*) FROM dead_letters d, events e JOIN crashes c USING (error) WHERE error = 'E: a'";
    assert_eq!(ask(&store, &runtime, sql).unwrap(), [[json!(16)]]);
}

#[test]
fn what_would_have_no_effect_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    record(&store, 0..14);
    for (sql, why) in [
        ("SELECT seq FROM events CONNECT BY seq = 1", "CONNECT BY"),
        ("SELECT seq FROM events FOR UPDATE", "FOR UPDATE"),
        ("SELECT seq FROM (SELECT seq FROM events FOR SHARE) q", "FOR SHARE"),
        ("SELECT seq FROM events WITH (nolock)", "a hint"),
        ("SELECT seq FROM events e RIGHT JOIN dead_letters d USING (seq)", "USING"),
        ("EXPLAIN SELECT seq FROM events e FULL JOIN dead_letters d USING (seq)", "USING"),
        ("SELECT seq FROM events e NATURAL FULL JOIN dead_letters d", "NATURAL"),
        ("SELECT seq FROM events INTERSECT ALL SELECT seq FROM crashes", "INTERSECT ALL"),
        ("SELECT seq FROM events WHERE seq IN (SELECT 1 UNION SELECT 2 EXCEPT ALL SELECT 3)", "EXCEPT ALL"),
        ("SELECT seq FROM events WHERE error SIMILAR TO 'E%'", "SIMILAR TO"),
    ] {
        let error = ask(&store, &runtime, sql).expect_err(sql);
        assert!(error.contains("the SQL is refused") && error.contains(why), "{sql}: {error}");
    }
    assert_eq!(
        ask(&store, &runtime, "SELECT count(*) FROM events e LEFT JOIN dead_letters d USING (seq)").unwrap(),
        [[json!(10)]]
    );
}

#[test]
fn other_spellings_of_postgresql_are_answered() {
    answers(&[
        ("SELECT seq FROM events ORDER BY seq FETCH FIRST 2 ROWS ONLY", json!([[1], [2]])),
        ("SELECT seq FROM events ORDER BY seq OFFSET 3 ROWS FETCH NEXT ROW ONLY", json!([[4]])),
        ("SELECT count(*) FROM (SELECT seq FROM events FETCH FIRST 4 ROWS ONLY) AS few", json!([[4]])),
        ("SELECT count(*) FROM events WHERE actor_address LIKE 'shop!:_' ESCAPE '!'", json!([[10]])),
        ("SELECT 'a%b' LIKE 'a!%b' ESCAPE '!', 'axb' LIKE 'a!%b' ESCAPE '!'", json!([[1, 0]])),
        (r"SELECT 'a\b' LIKE 'a\_' ESCAPE '', 'A%' ILIKE 'a!%' ESCAPE '!'", json!([[1, 1]])),
        (
            "SELECT (timestamp '2026-10-25 12:00' + interval '1 minute')::text",
            json!([["2026-10-25T12:01:00"]]),
        ),
        ("SELECT extract(hour FROM timestamp '2026-10-25T12:30')", json!([[12]])),
        ("SELECT 'ab' NOT LIKE 'a!_' ESCAPE '!'", json!([[1]])),
    ]);
}

#[test]
fn an_aggregate_with_a_filter_is_not_that_of_the_query_within() {
    answers(&[
        ("SELECT sum(n) FILTER (WHERE n < 5) FROM (SELECT count(*) AS n FROM events)", json!([[null]])),
        ("SELECT sum(n) FILTER (WHERE n > 5) FROM (SELECT count(*) AS n FROM events)", json!([[10]])),
        (
            "SELECT count(*) FILTER (WHERE n < 5) FROM (SELECT count(*) AS n FROM events WHERE false)",
            json!([[1]]),
        ),
        (
            "SELECT count(*) FILTER (WHERE n > 5) FROM (SELECT count(*) AS n FROM events WHERE false)",
            json!([[0]]),
        ),
        (
            "SELECT count(*) AS a, count(DISTINCT t.m) FILTER (WHERE true) AS b FROM (SELECT max('') AS m FROM events WHERE false) t",
            json!([[1, 0]]),
        ),
        (
            "SELECT (sum(1) FILTER (WHERE true) >= 1) AS a, min(t.n) AS b FROM (SELECT count(*) AS n FROM audits WHERE NULL = 1) t",
            json!([[1, 0]]),
        ),
        (
            "SELECT count(*) FROM events WHERE seq > (SELECT max(n) FILTER (WHERE n < 5) FROM (SELECT count(*) AS n FROM dead_letters))",
            json!([[6]]),
        ),
        (
            "SELECT avg(n) FILTER (WHERE n < 5), max(n) FROM (SELECT max(n) FILTER (WHERE n > 2) AS n FROM (SELECT count(*) AS n FROM events) a) b",
            json!([[null, 10]]),
        ),
        ("SELECT count(*), count(seq) FROM events", json!([[10, 10]])),
        ("SELECT count(*) FROM (SELECT count(*) FROM events)", json!([[1]])),
    ]);
}

/// A query within an expression has no row, and its value is compared farther outside.
#[test]
fn a_column_that_a_query_without_rows_gives_is_null() {
    let nobody = "(SELECT seq FROM audits WHERE seq = 999)";
    let of_nobody = |condition: &str| {
        format!("SELECT count(*) FROM (SELECT {nobody} AS n, seq FROM events) AS t WHERE {condition}")
    };
    let questions = [
        ("t.n NOT IN (SELECT 1 FROM events)", 0),
        ("t.n NOT IN (SELECT 1 FROM events WHERE false)", 10),
        ("t.n IN (SELECT seq FROM events)", 0),
        ("NOT (t.n IN (SELECT seq FROM events))", 0),
        ("(t.n IN (SELECT seq FROM events)) IS NULL", 10),
        ("t.n <> ALL (SELECT seq FROM events)", 0),
        ("(t.n = ANY (SELECT seq FROM events)) IS NULL", 10),
        ("t.n NOT IN (1, 2)", 0),
        ("t.n IS NULL", 10),
        ("t.seq NOT IN (SELECT u.n FROM (SELECT (SELECT seq FROM audits) AS n FROM dead_letters) AS u)", 0),
        ("EXISTS (SELECT 1 FROM dead_letters AS d WHERE d.seq = t.n)", 0),
    ];
    answers(&questions.map(|(condition, right)| (of_nobody(condition), json!([[right]]))));
}

#[test]
fn rows_are_ordered_by_extremes_over_windows_that_begin_with_null() {
    let up = "SELECT max(error) OVER (ORDER BY seq) AS m FROM events";
    let questions = [
        (
            format!("{up} ORDER BY m"),
            json!([
                ["E: a"],
                ["E: b"],
                ["E: b"],
                ["E: b"],
                ["E: b"],
                ["E: b"],
                ["E: b"],
                ["E: b"],
                ["E: b"],
                [null]
            ]),
        ),
        (format!("{up} ORDER BY m LIMIT 1"), json!([["E: a"]])),
        (format!("{up} ORDER BY m NULLS FIRST LIMIT 2"), json!([[null], ["E: a"]])),
        (format!("{up} ORDER BY m DESC LIMIT 2"), json!([[null], ["E: b"]])),
        (
            String::from(
                "SELECT min(error) OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS m FROM events ORDER BY m DESC NULLS LAST OFFSET 8",
            ),
            json!([["E: a"], [null]]),
        ),
        (
            String::from(
                "SELECT max(error) OVER (ORDER BY seq ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS m FROM events ORDER BY m DESC NULLS LAST OFFSET 7",
            ),
            json!([["E: b"], [null], [null]]),
        ),
        (
            String::from(
                "SELECT max(seq) OVER (ORDER BY seq ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING) AS m FROM events ORDER BY m LIMIT 1",
            ),
            json!([[1]]),
        ),
        (
            String::from(
                "SELECT max(error) OVER (PARTITION BY actor_address ORDER BY seq) AS m, seq FROM events ORDER BY actor_address, m, seq LIMIT 4",
            ),
            json!([["E: a", 7], ["E: a", 10], [null, 1], [null, 4]]),
        ),
    ];
    answers(&questions);
}

#[test]
fn a_filter_on_a_union_with_empty_branches_is_that_of_its_own_column() {
    let of_letters = "SELECT d.seq FROM events e JOIN dead_letters d ON e.stream = d.stream";
    let missing = "SELECT d.seq FROM events e LEFT JOIN dead_letters d ON e.seq = d.seq";
    let full = "SELECT e.n AS m, e.known FROM (SELECT stream AS n, false AS known FROM audits WHERE false) e FULL JOIN dead_letters d ON e.n = d.stream";
    let questions = [
        (
            format!(
                "SELECT count(*) FROM ({of_letters} UNION ALL SELECT 1 FROM audits WHERE false) t WHERE t.seq < 12"
            ),
            10,
        ),
        (
            format!(
                "SELECT count(*) FROM (SELECT 1 AS seq FROM audits WHERE 1 = 2 UNION ALL {of_letters}) t WHERE t.seq < 12"
            ),
            10,
        ),
        (
            format!(
                "SELECT count(*) FROM ({of_letters} UNION SELECT 1 FROM audits WHERE NULL) t WHERE t.seq < 12"
            ),
            1,
        ),
        (
            format!(
                "SELECT count(*) FROM ({missing} UNION ALL SELECT 1 FROM audits WHERE false) t WHERE t.seq IS NULL"
            ),
            10,
        ),
        (
            format!(
                "SELECT count(*) FROM ({full} UNION ALL SELECT 1, true FROM audits WHERE false) t WHERE t.known IS NOT NULL"
            ),
            0,
        ),
        (
            format!(
                "SELECT count(*) FROM ({full} UNION ALL SELECT 1, true FROM audits WHERE false) t WHERE t.known IS NULL"
            ),
            4,
        ),
        (
            format!(
                "SELECT count(*) FROM ({of_letters} UNION ALL SELECT 1 FROM audits WHERE false) t JOIN events u ON t.seq = u.seq + 1"
            ),
            10,
        ),
    ];
    answers(&questions.map(|(sql, right)| (sql, json!([[right]]))));
}

/// An aggregate without GROUP BY has one row, also where no row matches: the joins that DataFusion makes have none.
#[test]
fn an_aggregate_of_no_rows_is_a_row_within_in_and_exists() {
    let count = |condition: &str| format!("SELECT count(*) AS n FROM events e WHERE {condition}");
    let within = "FROM crashes c WHERE c.seq = e.seq";
    answers(&[
        (count(&format!("0 IN (SELECT count(*) {within})")), json!([[6]])),
        (count(&format!("0 NOT IN (SELECT count(*) {within})")), json!([[4]])),
        (count(&format!("1 = ANY (SELECT count(*) {within})")), json!([[4]])),
        (count(&format!("1 <> ALL (SELECT count(*) {within})")), json!([[6]])),
        (count(&format!("EXISTS (SELECT count(*) {within})")), json!([[10]])),
        (count(&format!("NOT EXISTS (SELECT max(c.seq) {within})")), json!([[0]])),
        (count(&format!("EXISTS (SELECT 1 {within} HAVING count(*) = 0)")), json!([[6]])),
        (count(&format!("NOT EXISTS (SELECT 1 {within} HAVING count(*) = 0)")), json!([[4]])),
        (count(&format!("(SELECT 'none' {within} HAVING count(*) = 0) = 'none'")), json!([[6]])),
        (count(&format!("(SELECT max(c.seq) {within} HAVING count(*) = 0) IS NULL")), json!([[10]])),
        (count(&format!("(SELECT 7 {within} HAVING max(c.seq) IS NULL) = 7")), json!([[6]])),
        (count(&format!("7 IN (SELECT 7 {within} HAVING count(*) = 0)")), json!([[6]])),
        (count(&format!("7 NOT IN (SELECT 7 {within} HAVING count(*) = 0)")), json!([[4]])),
        (count(&format!("8 = ALL (SELECT 7 {within} HAVING count(*) = 0)")), json!([[4]])),
        // The row may be that of a query within, and sorted, distinct or limited.
        (count(&format!("EXISTS (SELECT count(*) {within} LIMIT 1)")), json!([[10]])),
        (count(&format!("EXISTS (SELECT DISTINCT count(*) {within})")), json!([[10]])),
        (count(&format!("EXISTS (SELECT n FROM (SELECT count(*) AS n {within}) t)")), json!([[10]])),
        (
            count(&format!("EXISTS (SELECT n FROM (SELECT count(*) AS n {within}) t WHERE n = 0)")),
            json!([[6]]),
        ),
        (
            count(&format!("EXISTS (WITH w AS (SELECT count(*) AS n {within}) SELECT n FROM w)")),
            json!([[10]]),
        ),
        (
            count(&format!("0 IN (SELECT n + 0 FROM (SELECT count(*) AS n {within} ORDER BY 1) t LIMIT 5)")),
            json!([[6]]),
        ),
        (count(&format!("(SELECT n FROM (SELECT count(*) AS n {within}) t WHERE n = 0) = 0")), json!([[6]])),
        (count(&format!("EXISTS (SELECT count(*) {within} LIMIT 0)")), json!([[0]])),
        (count(&format!("EXISTS (SELECT count(*) {within} OFFSET 1)")), json!([[0]])),
        (count(&format!("EXISTS (SELECT count(*) {within} GROUP BY c.stream)")), json!([[4]])),
        (
            count("e.seq NOT IN (SELECT max(c.seq) FROM crashes c WHERE c.actor_address = e.actor_address)"),
            json!([[7]]),
        ),
        (
            format!(
                "SELECT DISTINCT EXISTS (SELECT count(*) {within}) AS a, 0 IN (SELECT count(*) {within}) AS b FROM events e ORDER BY b"
            ),
            json!([[1, 0], [1, 1]]),
        ),
    ]);
}

/// Such numbers were floating-point numbers, which are equal to their neighbours.
#[test]
fn integers_beyond_64_bits_are_exact() {
    let (one, other) = ("12345678901234567890123", "12345678901234567890124");
    answers(&[
        (
            format!("SELECT {one} = {other} AS a, {one} < {other} AS b, -{one} > -{other} AS c"),
            json!([[0, 1, 1]]),
        ),
        (format!("SELECT {one}::text AS a, ({one} + 1)::text AS b"), json!([[one, other]])),
        (format!("SELECT {one}::decimal(38, 0)::text AS a"), json!([[one]])),
        (format!("SELECT n FROM (VALUES ('{one}'), ('{other}')) t(n) WHERE n = {one}"), json!([[one]])),
        (
            format!("SELECT n FROM (VALUES ('{one}'), ('{other}'), ('x')) t(n) WHERE n <> {one}"),
            json!([[other]]),
        ),
        ("SELECT 18446744073709551615 = 18446744073709551614 AS a".to_owned(), json!([[0]])),
    ]);
}

#[test]
fn a_sum_of_texts_is_refused() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for sql in [
        "SELECT sum(payload->>'ms') FROM events",
        "SELECT avg(payload->'ms') FROM events",
        "SELECT avg(DISTINCT error) FROM events",
        "SELECT sum(error) FILTER (WHERE seq > 1) FROM events",
        "SELECT sum(seq::text) OVER (ORDER BY seq) FROM events",
        "SELECT avg(coalesce(payload->>'ms', '0')) FROM events",
        "SELECT sum(x) FROM (VALUES ('5'), ('7')) t(x)",
    ] {
        let error = ask(&store, &runtime, sql).expect_err(sql);
        assert!(error.contains("CAST(x AS DOUBLE)"), "{sql}: {error}");
    }
    let sql = "SELECT sum(x::double) AS a, avg(x::int) AS b FROM (VALUES ('5'), ('7')) t(x)";
    assert_eq!(ask(&store, &runtime, sql).unwrap(), [[json!(12.0), json!(6.0)]]);
}

/// DataFusion compares rows as structs, for which NULL equals NULL.
#[test]
fn rows_are_compared_value_by_value() {
    answers(&[
        (
            "SELECT (1, NULL) = (1, NULL) AS a, (1, NULL) = (2, NULL) AS b, (1, NULL) <> (2, NULL) AS c".to_owned(),
            json!([[null, 0, 1]]),
        ),
        (
            "SELECT (1, NULL) IN ((1, NULL), (2, 3)) AS a, (1, NULL) NOT IN ((1, 2), (2, 3)) AS b, \
             (1, 2) IN ((1, 2), (2, NULL)) AS c, (1, 2) NOT IN ((1, 3), (2, NULL)) AS d, ROW(1, NULL) = ROW(1, NULL) AS e"
                .to_owned(),
            json!([[null, null, 1, 1, null]]),
        ),
        (
            "SELECT (1, NULL) BETWEEN (1, 2) AND (1, 3) AS a, (1, 2) BETWEEN (1, 2) AND (1, 3) AS b, \
             (2, NULL) NOT BETWEEN (1, 2) AND (1, 3) AS c"
                .to_owned(),
            json!([[null, 1, 1]]),
        ),
        (
            "SELECT (1, 2) < (1, 3) AS a, (1, 3) <= (1, 3) AS b, (2, NULL) > (1, 5) AS c, (1, NULL) < (1, 5) AS d, \
             (1, 2, 3) >= (1, 2, 4) AS e"
                .to_owned(),
            json!([[1, 1, 1, null, 0]]),
        ),
        ("SELECT count(*) AS n FROM events WHERE (error, seq) = (error, seq)".to_owned(), json!([[4]])),
        (
            "SELECT count(*) AS n FROM events a JOIN events b ON (a.error, a.seq) = (b.error, b.seq)".to_owned(),
            json!([[4]]),
        ),
    ]);
}

#[test]
fn a_row_is_null_if_all_its_values_are() {
    answers(&[
        (
            "SELECT (NULL, NULL) IS NULL AS a, (1, NULL) IS NULL AS b, (1, NULL) IS NOT NULL AS c, ROW(1, 2) IS NOT NULL AS d, \
             ROW(NULL) IS NULL AS e, NOT (1, NULL) IS NULL AS f"
                .to_owned(),
            json!([[1, 0, 0, 1, 1, 1]]),
        ),
        ("SELECT count(*) AS n FROM events WHERE (error, error) IS NOT NULL".to_owned(), json!([[4]])),
        // A row within a row is not NULL.
        (
            "SELECT ((NULL, 1), NULL) IS NULL AS a, (1, (2, NULL)) IS NOT NULL AS b, (NULL, ROW(NULL, NULL)) IS NULL AS c".to_owned(),
            json!([[0, 1, 0]]),
        ),
    ]);
}

/// What has left a frame no longer counts.
#[test]
fn a_moving_frame_forgets_what_has_left_it() {
    let over = "OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)";
    let values = |values: &str| {
        format!(
            "SELECT sum(x) {over} AS a, avg(x) {over} AS b, stddev(x) {over} AS c, var_pop(x) {over} AS d FROM (VALUES {values}) \
             t(i, x) ORDER BY i DESC LIMIT 1"
        )
    };
    answers(&[
        (values("(1, 1e16), (2, 1.0), (3, 1.0)"), json!([[2.0, 1.0, 0.0, 0.0]])),
        (values("(1, 'NaN'::double), (2, 1.0), (3, 3.0)"), json!([[4.0, 2.0, 2.0_f64.sqrt(), 1.0]])),
        (values("(1, 'inf'::double), (2, 1.0), (3, NULL)"), json!([[1.0, 1.0, null, 0.0]])),
        (
            values("(1, 0.1), (2, 0.7), (3, 0.3), (4, 0.3), (5, 0.3), (6, 8), (7, 5), (8, 5)"),
            json!([[10.0, 5.0, 0.0, 0.0]]),
        ),
        // The last two points have one x.
        (
            "SELECT regr_slope(y, x) OVER w AS a, regr_intercept(y, x) OVER w AS b, regr_sxx(y, x) OVER w AS c, corr(x, y) OVER w AS d, \
             covar_pop(y, x) OVER w AS e, regr_avgy(y, x) OVER w AS f FROM (VALUES (0, 2.0, 0.0), (1, 2.0, 2.0), (2, 1.0, 0.1), \
             (3, 7.0, 1.0), (4, 8.0, 1.0)) t(i, y, x) WINDOW w AS (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY i \
             DESC LIMIT 1"
                .to_owned(),
            json!([[null, null, 0.0, null, 0.0, 7.5]]),
        ),
        (
            "SELECT sum(x) OVER (ORDER BY i RANGE BETWEEN CURRENT ROW AND 1 FOLLOWING) AS a FROM (VALUES (1, 1e16), (2, 1.0), (3, 1.0)) \
             t(i, x) ORDER BY i DESC LIMIT 2"
                .to_owned(),
            json!([[1.0], [2.0]]),
        ),
    ]);
}

#[test]
fn the_value_after_the_next_is_not_given_as_null() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    record(&store, 0..10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let of = |what: &str| format!("SELECT {what} OVER (ORDER BY seq) FROM events");
    for refused in
        ["lead(error, 2) IGNORE NULLS", "lag(error, -2) IGNORE NULLS", "lead(error, 3, 'x') IGNORE NULLS"]
    {
        let error = ask(&store, &runtime, &of(refused)).unwrap_err().to_string();
        assert!(error.contains("lag(x, 2) IGNORE NULLS"), "{refused}: {error}");
    }
    for answered in [
        "lead(error) IGNORE NULLS",
        "lead(error, 1) IGNORE NULLS",
        "lead(error, 2)",
        "lag(error, 2) IGNORE NULLS",
    ] {
        ask(&store, &runtime, &of(answered)).unwrap();
    }
}

#[test]
fn the_sign_of_a_number_comes_before_its_power() {
    answers(&[
        (
            "SELECT -2 ^ 2 AS a, - 2 ^ 2 ^ 2 AS b, 3 - 2 ^ 2 AS c, -(2 ^ 2) AS d, 2 * -3 ^ 2 AS e, 2 ^ -1 AS f, -seq ^ 2 AS g, - -2 ^ 2 AS h, - - -2 ^ 3 AS i \
             FROM events WHERE seq = 3"
                .to_owned(),
            json!([[4.0, 16.0, -1.0, -4.0, 18.0, 0.5, 9.0, 4.0, -8.0]]),
        ),
    ]);
}

#[test]
fn texts_of_arrays_and_lengths_of_lists_are_read() {
    answers(&[
        (
            "SELECT array_to_string('{a,\"b c\",null}'::text[], '|', '-') AS a, cardinality('{1,2}'::int[]) AS b, \
             2 = ANY ('{1,2}'::int[]) AS c, 'x' = ANY ('{a,b}') AS d, cardinality('{}'::text[]) AS e, \
             length(array_to_string(E'{a\\\\ ,b }'::text[], '|')) AS f, array_to_string('{abc,d}'::varchar(2)[], '|') AS g, \
             true = ANY ('{t,f}'::boolean[]) AS h, array_to_string($${a}$$::text[], '') AS i, \
             cardinality('{2020-01-01 10:00}'::timestamp[]) AS j"
                .to_owned(),
            json!([["a|b c|-", 2, 1, 0, 0, 4, "ab|d", 1, "a", 1]]),
        ),
        (
            "SELECT len([1, 2, 3]) AS a, length(ARRAY['abc']) AS b, char_length(array_agg(seq)) AS c, length('abc') AS d, \
             len([[1, 2], [3]]) AS e, len(NULL::int[]) AS f, len('{}'::int[]) AS g FROM events"
                .to_owned(),
            json!([[3, 1, 10, 3, 2, null, 0]]),
        ),
    ]);
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for sql in
        ["SELECT error::text[] FROM events", "SELECT '{{1},{2}}'::int[]", "SELECT TRY_CAST('a' AS text[])"]
    {
        let error = ask(&store, &runtime, sql).unwrap_err().to_string();
        assert!(error.contains("a text cannot be cast to a list"), "{sql}: {error}");
    }
}

/// A subquery without FROM gives a row without columns of its own.
#[test]
fn a_value_is_compared_with_a_query_without_a_table() {
    answers(&[
        ("SELECT count(*) AS n FROM dead_letters WHERE target NOT IN (SELECT 'shop:0')".to_owned(), json!([[2]])),
        ("SELECT count(*) AS n FROM events WHERE error IN (SELECT 'E: a')".to_owned(), json!([[2]])),
        ("SELECT count(*) AS n FROM events e WHERE e.error IN (SELECT e.error)".to_owned(), json!([[4]])),
        ("SELECT count(*) AS n FROM events e WHERE EXISTS (SELECT e.error)".to_owned(), json!([[10]])),
        (
            "WITH x AS (SELECT 'shop:0' AS n) SELECT count(*) AS n FROM dead_letters WHERE target NOT IN (SELECT n FROM x)"
                .to_owned(),
            json!([[2]]),
        ),
    ]);
}

/// Branches of a union share the limit of the rows that they have so far, by the columns by which each is sorted.
#[test]
fn the_first_row_of_a_union_is_the_first_by_all_columns() {
    let ranks = "(SELECT dense_rank() OVER (ORDER BY seq) AS n FROM events)";
    for _ in 0..5 {
        answers(&[
            (
                format!(
                    "SELECT * FROM (SELECT false AS a, t.n AS b FROM events e CROSS JOIN {ranks} t \
                     UNION ALL SELECT true AS a, 1 AS b FROM events) q ORDER BY a, b LIMIT 1"
                ),
                json!([[0, 1.0]]),
            ),
            (
                format!(
                    "SELECT * FROM (SELECT 'x' AS a, 1 AS b FROM events UNION ALL \
                     SELECT 'b', t.n FROM events e CROSS JOIN {ranks} t) q ORDER BY a DESC, b LIMIT 11"
                ),
                Value::Array([vec![json!(["x", 1.0]); 10], vec![json!(["b", 1.0])]].concat()),
            ),
        ]);
    }
}

/// What cannot be written over the aggregate is refused where it matters, and not answered wrongly.
/// The stream is a constant of the segments, and another one of the tail. The first row by the error is not the first by
/// the stream.
#[test]
fn the_first_row_by_stream_is_found_in_segments_and_tails() {
    let folder = scratch();
    let at = folder.path().join("facts");
    let event = |error: &str, n: u32| {
        let payload = Json::parse(format!(r#"{{"error": {error}}}"#)).unwrap();
        Event::new("shop", "shop:1", "ActorCrashed", payload, f64::from(n))
    };
    let (first, second) = (Store::open(&at).unwrap(), Store::open(&at).unwrap());
    first.record_all((0..12).map(|n| event("\"E: 1\"", n))).unwrap();
    first.flush().unwrap();
    second.record_all((0..12).map(|n| event(if n % 3 == 0 { "null" } else { "\"E: 2\"" }, n))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for condition in ["stream < seq", "seq > 1", "stream < seq AND error IS DISTINCT FROM 'x'"] {
        for order in
            ["1, 2, 3 DESC NULLS FIRST", "2, 3 DESC NULLS FIRST", "2, 3 DESC", "2 DESC, 3 NULLS LAST"]
        {
            let from = format!("(SELECT 1 AS a, stream AS b, error AS c FROM events WHERE {condition}) q");
            let all = ask(&first, &runtime, &format!("SELECT * FROM {from} ORDER BY {order}")).unwrap();
            for limit in [1, 3] {
                let some = format!("SELECT * FROM {from} ORDER BY {order} LIMIT {limit}");
                let some = ask(&first, &runtime, &some).unwrap();
                assert_eq!(some[..], all[..limit], "{condition}, {order}");
            }
        }
    }
}

#[test]
fn a_condition_above_having_leaves_no_row() {
    let nothing = json!([]);
    answers(&[
        (
            "SELECT 'x' AS a FROM (SELECT '' AS c FROM dead_letters HAVING count('') <> 2) t WHERE 3 <> (SELECT 1 FROM dead_letters \
             WHERE false AND true)",
            nothing.clone(),
        ),
        (
            "SELECT 1 AS a FROM (SELECT '' AS c FROM dead_letters HAVING count(*) < 9) t WHERE nullif((NOT EXISTS (SELECT 1 FROM \
             crashes c WHERE c.reason = c.reason)), true)",
            nothing.clone(),
        ),
        (
            "SELECT 1 AS a FROM (SELECT true AS c FROM audits HAVING count(*) <> 2) t WHERE (NOT EXISTS (SELECT min(2) FILTER (WHERE \
             false) FROM restarts r WHERE false GROUP BY r.stream)) IS FALSE",
            nothing.clone(),
        ),
        (
            "SELECT 1 AS a FROM (SELECT count(*) AS n FROM events HAVING count(*) > 3) t WHERE now() < '2000-01-01'",
            nothing,
        ),
    ]);
}

#[test]
fn an_aggregate_of_no_rows_beside_a_subquery_is_right_or_refused() {
    let within = "FROM crashes c WHERE c.actor_address = e.actor_address";
    let count = |condition: &str| format!("SELECT count(*) FROM events e WHERE {condition}");
    answers(&[
        (count(&format!("EXISTS (SELECT count(*), (SELECT 1) {within})")), json!([[10]])),
        (count(&format!("NOT EXISTS (SELECT count(*), (SELECT 1) {within})")), json!([[0]])),
    ]);
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for condition in [
        format!("0 IN (SELECT count(*) + (SELECT 0) {within})"),
        format!("0 = ANY (SELECT count(*) + (SELECT 0) {within})"),
        format!("EXISTS (SELECT 1 {within} HAVING count(*) = (SELECT 0))"),
        format!("(SELECT 1 {within} HAVING count(*) = (SELECT 0)) = 1"),
        format!("(SELECT count(*) {within} HAVING random() >= 0) = 0"),
    ] {
        let error = ask(&store, &runtime, &count(&condition)).expect_err(&condition);
        assert!(error.contains("the SQL is refused"), "{condition}: {error}");
    }
}

/// A NULL in the array is unknown, as in IN with a list.
#[test]
fn any_and_all_of_an_array_with_nulls_are_unknown() {
    let list =
        "(SELECT array_agg(nullif(seq, 3)) AS list FROM (SELECT seq FROM events ORDER BY seq LIMIT 3) t)";
    answers(&[
        (
            "SELECT 2 = ANY(ARRAY[1, NULL]) AS a, 1 = ANY(ARRAY[1, NULL]) AS b, NOT (2 = ANY(ARRAY[1, NULL])) AS c, \
             0 > ANY(ARRAY[1, NULL]) AS d, 2 > ANY(ARRAY[1, NULL]) AS e, 1 <> ANY(ARRAY[1, NULL]) AS f, \
             2 <> ALL(ARRAY[1, NULL]) AS g, 1 = ANY(ARRAY[]::bigint[]) AS h, NULL = ANY(ARRAY[1]) AS i, \
             2 <= ANY(ARRAY[1, 2]) AS j, 2 < ANY(ARRAY[1, 2]) AS k, 2 >= ANY(ARRAY[3, 4]) AS l"
                .to_owned(),
            json!([[null, 1, null, null, 1, null, null, 0, null, 1, 0, 0]]),
        ),
        (format!("SELECT count(*) FROM events, {list} WHERE seq = ANY(list)"), json!([[2]])),
        (format!("SELECT count(*) FROM events, {list} WHERE NOT (seq = ANY(list))"), json!([[0]])),
        (format!("SELECT count(*) FROM events, {list} WHERE NOT (seq > ANY(list))"), json!([[0]])),
        (format!("SELECT count(*) FROM events, {list} WHERE (seq = ANY(list)) IS NULL"), json!([[8]])),
    ]);
}

#[test]
fn a_text_is_cut_to_the_length_of_its_type() {
    answers(&[(
        "SELECT 'abcdefgh'::varchar(5) AS a, CAST('abc' AS varchar(5)) AS b, 'äöü'::char(2) AS c, 'abc'::char AS d, \
         123456::varchar(3) AS e, TRY_CAST('abc' AS varchar(2)) AS f, 'abc'::varchar AS g"
            .to_owned(),
        json!([["abcde", "abc", "äö", "a", "123", "ab", "abc"]]),
    )]);
}

/// The parser, which knows no timeout, must not try each level of a nested text in two ways: forty levels would take
/// years.
#[test]
fn nested_texts_are_read_once() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (begin, end) in [
        ("upper(", ")"),
        ("coalesce(", ", 'b')"),
        ("(", ")"),
        ("(SELECT ", ")"),
        ("CAST(", " AS TEXT)"),
        ("(", ")::text"),
        ("CASE WHEN true THEN ", " END"),
        ("CASE ", " WHEN 'a' THEN 'b' ELSE 'c' END"),
        ("substring(", " FROM 1)"),
        ("substring(", ", 1)"),
        ("trim(BOTH 'x' FROM ", ")"),
        ("trim(", ")"),
        ("position('a' IN ", ")::text"),
        ("overlay(", " PLACING 'c' FROM 1)"),
        ("extract(year FROM (", ")::timestamp)::text"),
        ("(", " IN ('a', 'b'))::text"),
        ("('a' IN (", "))::text"),
        ("(", " BETWEEN 'a' AND 'b')::text"),
        ("(", " LIKE 'a')::text"),
        ("(", " IS NULL)::text"),
        ("(NOT ", " = 'a')::text"),
        ("ARRAY[", "]::text"),
        ("[", "][1]"),
        ("ROW(", ")::text"),
        ("{'a': ", "}::text"),
        ("floor(length(", "))::text"),
        ("INTERVAL (", ")"),
        ("(EXISTS (SELECT ", "))::text"),
        ("max(", ")"),
        ("max(", ") OVER ()"),
        ("date_trunc('day', (", ")::timestamp)::text"),
        ("((", ") AT TIME ZONE 'UTC')::text"),
        ("(", " || 'b')"),
        ("(", " COLLATE \"C\")"),
        ("-(", ")"),
    ] {
        let sql = format!("SELECT {}'ab'{} AS x", begin.repeat(40), end.repeat(40));
        let options = QueryOptions::new().timeout(Duration::from_secs(1));
        // Many of them are refused, each for its own reason.
        drop(runtime.block_on(store.sql_with(&sql, options)));
    }
    let calls = format!("SELECT {}'ab'{} AS x", "upper(".repeat(40), ")".repeat(40));
    assert_eq!(ask(&store, &runtime, &calls).unwrap(), [[json!("AB")]]);
}

/// A form of another database may have its argument several times, and so on within the argument.
#[test]
fn functions_that_are_written_out_do_not_grow_without_bound() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let nested = |begin: &str, end: &str, times: usize| {
        format!("SELECT {}'ab'{} AS x", begin.repeat(times), end.repeat(times))
    };
    for (begin, end, times) in [
        ("regexp_extract(", ", 'a.*')", 30),
        ("((1, ", ", 2) < (1, '2', 3))::text", 14),
        // The planner writes the array of ANY and ALL five times.
        ("('b' < ALL (make_array(", ")))::text", 9),
        ("('b' > ANY (make_array(", ")))::text", 9),
        ("('b' = ANY (make_array(", ")))::text", 9),
    ] {
        let error = ask(&store, &runtime, &nested(begin, end, times)).expect_err(begin);
        assert!(error.contains("the SQL is refused"), "{begin}: {error}");
    }
    assert_eq!(ask(&store, &runtime, &nested("regexp_extract(", ", 'a.*')", 5)).unwrap(), [[json!("ab")]]);
}
