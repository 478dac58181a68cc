//! Functions and forms of SQL that users bring from DuckDB have DuckDB's answers.

use ostracon::Store;
use serde_json::{Value, json};

use super::facts::{Rows, ask};
use super::peers::Peers;
use crate::support::scratch;

/// Times around ends of months and weeks, and rows with NULLs.
const ROWS: &str = "(VALUES (1, 10, 'Key: a1', TIMESTAMP '2026-11-23 20:18:10.6'), \
                    (2, NULL, 'Time: b22', TIMESTAMP '2026-10-31 23:59:59'), \
                    (NULL, 30, NULL, TIMESTAMP '2027-01-01 00:00:00'), \
                    (4, 20, 'none', TIMESTAMP '1999-12-31 12:30:00')) t(a, b, s, seen)";

/// What is asked of the rows.
const ASKED: &[&str] = &[
    "SELECT arg_max(a, b), arg_min(a, b), max_by(b, a), min_by(b, a) FROM rows",
    "SELECT arg_max(a, b) FILTER (WHERE b < 20) FROM rows",
    "SELECT b > 15 AS g, arg_max(a, seen) FROM rows GROUP BY 1 ORDER BY 1",
    "SELECT count_if(a > 1), countif(b IS NULL) FROM rows",
    "SELECT count_if(a > - -1), count_if(a IS DISTINCT FROM 1 AND b > 15), year(seen - INTERVAL '1 year') FROM rows GROUP BY seen HAVING max(a) > 0 AND max(b) > 0 ORDER BY seen",
    "SELECT arg_max(s || '--', b), arg_max('it''s', a), count_if(a > 0) FILTER (WHERE b > 15 OR b IS NULL) FROM rows",
    "SELECT regexp_extract(regexp_extract(s, '[A-Z].*'), '[a-z]+') FROM rows ORDER BY seen",
    "SELECT array_to_string(list(a ORDER BY seen), ',') FROM rows",
    "SELECT first(a ORDER BY seen), last(b ORDER BY seen) FROM rows",
    "SELECT year(seen), quarter(seen), month(seen), week(seen), day(seen), hour(seen), minute(seen) FROM rows ORDER BY seen",
    "SELECT dayofweek(seen), isodow(seen), dayofyear(seen), dayofmonth(seen), weekofyear(seen) FROM rows ORDER BY seen",
    "SELECT epoch(seen) FROM rows ORDER BY seen",
    "SELECT strftime(seen, '%Y-%m-%d %H:%M:%S'), strftime('%d/%m/%y', seen) FROM rows ORDER BY seen",
    "SELECT strftime(time_bucket(INTERVAL '1 hour', seen), '%Y-%m-%d %H:%M') FROM rows ORDER BY seen",
    "SELECT strftime(time_bucket(INTERVAL '15 minutes', seen), '%Y-%m-%d %H:%M') FROM rows ORDER BY seen",
    "SELECT strftime(time_bucket(INTERVAL '7 days', seen), '%Y-%m-%d %H:%M') FROM rows ORDER BY seen",
    "SELECT strftime(time_bucket(INTERVAL '2 days', seen), '%Y-%m-%d %H:%M') FROM rows ORDER BY seen",
    "SELECT strftime(time_bucket(INTERVAL '1 month', seen), '%Y-%m-%d %H:%M') FROM rows ORDER BY seen",
    "SELECT strftime(time_bucket(INTERVAL '5 months', seen), '%Y-%m-%d %H:%M') FROM rows ORDER BY seen",
    "SELECT date_diff('second', x.seen, y.seen), date_diff('minute', x.seen, y.seen), date_diff('hour', x.seen, y.seen), \
     date_diff('day', x.seen, y.seen), date_diff('week', x.seen, y.seen), date_diff('month', x.seen, y.seen), \
     date_diff('quarter', x.seen, y.seen), date_diff('year', x.seen, y.seen) FROM rows x, rows y ORDER BY x.seen, y.seen",
    "SELECT datediff('days', x.seen, y.seen) FROM rows x, rows y ORDER BY x.seen, y.seen",
    "SELECT regexp_extract(s, '[a-z][0-9]+'), regexp_extract(s, '([A-Z])[a-z]+: ([a-z])', 2), \
     regexp_extract(s, '([A-Z])[a-z]+: ([a-z])', 1), regexp_extract(s, 'it''s') FROM rows ORDER BY seen",
    "SELECT len(s), lcase(s), ucase(s) FROM rows ORDER BY seen",
    "SELECT array_to_string(string_split('a,b,,c', ','), '|')",
    "SELECT quantile_cont(b, 0.25), quantile_cont(b, 0.5) FILTER (WHERE b > 10) FROM rows",
    "SELECT json_extract_string('{\"a\": \"x\", \"n\": 5}', 'a')",
    "FROM rows SELECT a WHERE a > 1 ORDER BY a",
    "SELECT * EXCLUDE (s, seen) FROM rows ORDER BY b NULLS FIRST",
    "SELECT * EXCLUDE s REPLACE (1 AS seen) FROM rows ORDER BY b NULLS FIRST",
];

/// Numbers as numbers: 1 and 1.0 are one value in SQL.
fn plain(rows: Rows) -> Rows {
    let plain = |value: Value| value.as_f64().map_or(value, |number| json!(number));
    rows.into_iter().map(|row| row.into_iter().map(plain).collect()).collect()
}

#[test]
fn what_users_bring_from_duckdb_is_answered_as_duckdb_does() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut peers = Peers::start();
    peers.load(&json!({}));
    let questions: Vec<String> =
        ASKED.iter().map(|asked| format!("WITH rows AS (SELECT * FROM {ROWS}) {asked}")).collect();
    peers.ask(&questions);
    let mut wrong = Vec::new();
    for (question, [duck, _]) in ASKED.iter().zip(peers.receive_answers()) {
        let sql = format!("WITH rows AS (SELECT * FROM {ROWS}) {question}");
        let ours = ask(&store, &runtime, &sql).map(plain);
        let theirs = duck.map(plain);
        if ours != theirs || ours.is_err() {
            wrong.push(format!("{question}\n  ours:   {ours:?}\n  DuckDB: {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_known_is_refused_with_what_to_write_instead() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (sql, said) in [
        ("SELECT mode(error) FROM crashes", "there is no function mode; SELECT x FROM"),
        ("SELECT histogram(error) FROM crashes", "GROUP BY x counts each value"),
        ("SUMMARIZE events", "DESCRIBE lists columns"),
        ("SELECT e.seq FROM events e ASOF JOIN dead_letters d ON e.at >= d.at", "LEFT JOIN LATERAL"),
        ("SELECT TOP 5 * FROM events", "LIMIT n at the end"),
        ("SELECT uper(error) FROM crashes", "Did you mean upper?"),
        ("SELECT nothing_like_it(error) FROM crashes", "there is no function nothing_like_it"),
    ] {
        let error = ask(&store, &runtime, sql).expect_err(sql);
        assert!(error.contains(said), "{sql}: {error}");
    }
}

#[test]
fn what_users_bring_from_clickhouse_is_answered() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (sql, answer) in [
        (
            "SELECT uniq(a), uniqExact(a), countIf(a = 1) FROM (VALUES (1), (1), (NULL)) t(a)",
            json!([[1, 1, 2]]),
        ),
        (
            "SELECT argMax(a, b), argMin(a, b) FROM (VALUES (1, 5), (2, 7), (3, NULL)) t(a, b)",
            json!([[2, 1]]),
        ),
        (
            "SELECT toStartOfHour(d)::text, toStartOfMonth(d)::text, toDate(d)::text \
             FROM (SELECT TIMESTAMP '2026-11-23 20:18:10' AS d)",
            json!([["2026-11-23T20:00:00", "2026-11-01T00:00:00", "2026-11-23"]]),
        ),
        ("SELECT \"uniq\" FROM (SELECT 5 AS uniq)", json!([[5]])),
    ] {
        assert_eq!(json!(ask(&store, &runtime, sql)), json!({ "Ok": answer }), "{sql}");
    }
}
