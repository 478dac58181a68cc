//! Sums and arithmetic never wrap: they are right, or say what is too large.

use ostracon::{ErrorKind, Store};

use super::{NULL, column, event, failure, rows, strings};

const MAX: &str = "9223372036854775807";

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    for n in 0..6 {
        store.record(event("A", &format!(r#"{{"n": {n}}}"#), 1_795_404_290.0 + f64::from(n))).unwrap();
        if n == 3 {
            store.flush().unwrap();
        }
    }
    (folder, store)
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let (_folder, store) = store();
    for sql in [
        format!("SELECT seq + {MAX} FROM events"),
        format!("SELECT -{MAX} - seq - seq FROM events"),
        format!("SELECT seq * {MAX} FROM events"),
        format!("SELECT seq FROM events WHERE seq + {MAX} > 0"),
        format!("SELECT seq FROM events WHERE -(-{MAX} - seq) > 0"),
        format!("SELECT count(*) FROM events a JOIN events b ON a.seq + {MAX} = b.seq"),
        format!("SELECT {MAX} + 1"),
        "SELECT 99999999999999999999999999999999999999::decimal(38, 0) + 1".to_owned(),
        "SELECT -1 - 99999999999999999999999999999999999999::decimal(38, 0)".to_owned(),
        "SELECT seq + 99999999999999999999999999999999999999::decimal(38, 0) FROM events".to_owned(),
        "SELECT 99999999999999999999999999999999999999::decimal(38, 0) * 2 FROM events".to_owned(),
        "SELECT to_timestamp(1e15)".to_owned(),
        "SELECT to_timestamp(-1e15 * seq) FROM events".to_owned(),
        "SELECT to_timestamp('NaN'::double)".to_owned(),
        "SELECT -9223372036854775808 / -1".to_owned(),
        format!("SELECT sum({MAX}) FROM events"),
        format!("SELECT sum({MAX}) OVER () FROM events"),
        format!("SELECT sum({MAX}) OVER (ORDER BY seq ROWS 2 PRECEDING) FROM events"),
        format!("SELECT sum(DISTINCT {MAX} - seq) FROM events"),
        format!("SELECT stream, sum({MAX}) FROM events GROUP BY stream"),
        format!("SELECT seq FROM events GROUP BY seq HAVING sum({MAX} - seq + 1) + seq > 0"),
        "SELECT sum(at - TIMESTAMP '1800-01-01T00:00:00Z') FROM events".to_owned(),
        "SELECT at - TIMESTAMP '1680-01-01T00:00:00Z' - INTERVAL '250 years' FROM events WHERE (at - TIMESTAMP '1700-01-01T00:00:00Z') + (at - TIMESTAMP '1700-01-01T00:00:00Z') > INTERVAL '1 day'".to_owned(),
        "SELECT CAST(300 + seq AS TINYINT) FROM events".to_owned(),
        "SELECT at + INTERVAL '1 day' * 1 FROM events WHERE at + INTERVAL '400 years' > at".to_owned(),
        "SELECT sum(CAST('99999999999999999999999999999999999999' AS DECIMAL(38, 0))) FROM events".to_owned(),
    ] {
        let error = failure(&store, &sql);
        assert_eq!(error.kind(), ErrorKind::Query, "{sql}: {error}");
    }
    let error = failure(&store, &format!("SELECT seq + {MAX} FROM events")).to_string();
    assert!(error.contains("too large") && error.contains(MAX), "{error}");
    let error = failure(&store, "SELECT sum(at - TIMESTAMP '1800-01-01T00:00:00Z') FROM events").to_string();
    assert!(error.contains("292 years"), "{error}");
}

#[test]
fn what_fits_is_right_and_keeps_its_type() {
    let (_folder, store) = store();
    for (sql, wanted) in [
        // The way there may be beyond 64 bits, the answer is not.
        (
            format!(
                "SELECT sum(CASE WHEN seq <= 2 THEN {MAX} WHEN seq <= 4 THEN -{MAX} ELSE seq END) FROM events"
            ),
            "11",
        ),
        ("SELECT arrow_typeof(sum(seq)) FROM events".to_owned(), "Int64"),
        ("SELECT arrow_typeof(seq + 1) FROM events LIMIT 1".to_owned(), "Int64"),
        ("SELECT sum(seq) FROM events WHERE seq > 100".to_owned(), NULL),
        ("SELECT sum(DISTINCT seq / 2) FROM events".to_owned(), "6"),
        (format!("SELECT avg({MAX}) > 9.2e18 FROM events"), "true"),
        ("SELECT arrow_typeof(avg(seq)) FROM events".to_owned(), "Float64"),
        (
            "SELECT avg(at - TIMESTAMP '1800-01-01T00:00:00Z')::bigint > 7160000000000000000 FROM events"
                .to_owned(),
            "true",
        ),
        (
            "SELECT arrow_typeof(avg(at - TIMESTAMP '1800-01-01T00:00:00Z')) FROM events".to_owned(),
            "Duration(ns)",
        ),
        (
            "SELECT sum((at - TIMESTAMP '1800-01-01T00:00:00Z')::bigint / 1e9) > 4e10 FROM events".to_owned(),
            "true",
        ),
        (
            "SELECT date_part('epoch', sum(at - TIMESTAMP '2026-11-23T00:00:00Z')) > 60000 FROM events"
                .to_owned(),
            "true",
        ),
        (format!("SELECT CAST({MAX} AS DECIMAL(38, 0)) + 1"), "9223372036854775808"),
        (format!("SELECT sum(CAST({MAX} AS DECIMAL(19, 0))) FROM events"), "55340232221128654842"),
        (
            "SELECT sum(i) FROM (VALUES (INTERVAL '2000000 hours'), (INTERVAL '2000000 hours')) AS v(i)"
                .to_owned(),
            "166666 days 16 hours",
        ),
        ("SELECT sum(INTERVAL '30 hours') FROM events GROUP BY stream".to_owned(), "180 hours"),
        ("SELECT sum(INTERVAL '1 hour') FILTER (WHERE seq > 100) FROM events".to_owned(), NULL),
        ("SELECT -seq FROM events WHERE seq = 2".to_owned(), "-2"),
        ("SELECT max(seq * 2 - 1) FROM events".to_owned(), "11"),
        ("SELECT count(*) FROM events LIMIT 1 + 1".to_owned(), "6"),
    ] {
        assert_eq!(column(&store, &sql), [wanted], "{sql}");
    }
    assert_eq!(
        rows(
            &store,
            "SELECT seq + 1, sum(seq) OVER (ORDER BY seq ROWS 1 PRECEDING) FROM events ORDER BY seq LIMIT 3"
        ),
        [strings(&["2", "1"]), strings(&["3", "3"]), strings(&["4", "5"])]
    );
    assert_eq!(
        rows(
            &store,
            "SELECT seq % 2 AS odd, sum(seq) FILTER (WHERE seq > 1), sum(seq + 0) FROM events GROUP BY 1 ORDER BY 1"
        ),
        [strings(&["0", "12", "12"]), strings(&["1", "8", "9"])]
    );
}
