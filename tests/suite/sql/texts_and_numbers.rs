//! Texts compared with numbers and times: rows whose text is none do not match, and nothing fails.

use ostracon::{Hold, Kind, Store};

use super::{NULL, column, event, failure, rows, strings};

const TEXTS: [&str; 9] = ["7", "28.8", "n/a", "\"28.8\"", "9007199254740993", "1e400", "NaN", "null", "true"];

/// One event for each text, half of them in a segment.
fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    for (n, text) in TEXTS.iter().enumerate() {
        let value = if *text == "n/a" { "\"n/a\"" } else { text };
        store.record(event("A", &format!(r#"{{"t": {value}}}"#), 1_795_404_290.0 + n as f64)).unwrap();
        if n == 4 {
            store.flush().unwrap();
        }
    }
    (folder, store)
}

/// The numbers of the events for which a condition is true.
#[track_caller]
fn matching(store: &Store, condition: &str) -> String {
    column(store, &format!("SELECT seq FROM events WHERE {condition} ORDER BY seq")).join(" ")
}

#[test]
fn numbers_match_and_texts_that_are_none_do_not() {
    let (_folder, store) = store();
    for (condition, wanted) in [
        ("payload->>'t' > 5", "1 2 4 5 6 7"),
        ("5 < payload->>'t'", "1 2 4 5 6 7"),
        ("payload->>'t' > 28.5", "2 4 5 6 7"),
        ("payload->>'t' = 7", "1"),
        ("payload->>'t' = 28.8", "2 4"),
        ("payload->>'t' <> 7", "2 4 5 6 7"),
        ("NOT payload->>'t' > 5", ""),
        ("NOT payload->>'t' > 10", "1"),
        ("payload->>'t' > 9007199254740992", "5 6 7"),
        ("payload->>'t' = 9007199254740992", ""),
        ("payload->>'t' BETWEEN 5 AND 30", "1 2 4"),
        ("payload->>'t' NOT BETWEEN 5 AND 20", "2 4 5 6 7"),
        ("payload->>'t' BETWEEN 5 AND 28.8", "1 2 4"),
        ("payload->>'t' IN (7, 8)", "1"),
        ("payload->>'t' IN (7, 28.8)", "1 2 4"),
        ("payload->>'t' NOT IN (7, 8)", "2 4 5 6 7"),
        ("payload->>'t' IN ('n/a', '7')", "1 3"),
        ("payload->>'t' IN (SELECT seq + 6 FROM events)", "1"),
        ("payload->>'t' NOT IN (SELECT seq + 6 FROM events)", "2 4 5 6 7"),
        ("seq + 6 IN (SELECT payload->>'t' FROM events WHERE seq = 1)", "1"),
        ("payload->>'t' = seq + 6", "1"),
        ("payload->>'t' > seq", "1 2 4 5 6 7"),
        ("payload->>'t' > (SELECT max(seq) FROM events)", "2 4 5 6 7"),
        ("CASE payload->>'t' WHEN 7 THEN true ELSE false END", "1"),
        ("CASE WHEN payload->>'t' > 5 THEN true ELSE false END", "1 2 4 5 6 7"),
        ("nullif(payload->>'t', 7) IS NULL", "1 8"),
        ("payload->>'t' IS DISTINCT FROM 7", "2 3 4 5 6 7 8 9"),
        ("payload->'t' > 4.9", "1 2 5 6 7"),
        ("payload->'t' <> 7", "2 5 6 7"),
        ("payload->'t' = true", "9"),
        ("payload->>'t' > at", ""),
        ("payload->>'t' < TIMESTAMP '2030-01-01T00:00:00Z' OR seq = 3", "3"),
        ("payload->>'t' = DATE '2030-01-01'", ""),
        ("payload->>'t' > 5 AND payload->>'t' < 10", "1"),
        ("seq > '5' AND seq <= '7'", "6 7"),
    ] {
        assert_eq!(matching(&store, condition), wanted, "{condition}");
    }
    assert_eq!(
        rows(
            &store,
            "SELECT count(*) FILTER (WHERE payload->>'t' > 5), sum(CASE WHEN payload->>'t' = 7 THEN 1 ELSE 0 END) FROM events"
        ),
        [strings(&["6", "1"])]
    );
    assert_eq!(
        column(&store, "SELECT a.seq FROM events a JOIN events b ON a.payload->>'t' = b.seq ORDER BY 1"),
        ["1"]
    );
    assert_eq!(
        column(
            &store,
            "SELECT seq FROM events b WHERE NOT EXISTS (SELECT 1 FROM events a WHERE a.payload->>'t' = b.seq + 6) ORDER BY 1"
        ),
        ["2", "3", "4", "5", "6", "7", "8", "9"]
    );
    for sql in ["SELECT seq > 'x' FROM events", "SELECT (payload->>'t')::bigint FROM events"] {
        failure(&store, sql);
    }
    let error = failure(&store, "SELECT seq FROM events WHERE payload->'t' = 'n/a'").to_string();
    assert!(error.contains("->>"), "{error}");
}

#[test]
fn guards_guard() {
    let (_folder, store) = store();
    let number = r"payload->>'t' ~ '^[0-9]+$'";
    let cast = "(payload->>'t')::bigint";
    for (condition, wanted) in [
        (format!("{number} AND {cast} > 5"), "1 5"),
        (format!("{cast} > 5 AND {number}"), "1 5"),
        (format!("CASE WHEN {number} THEN {cast} > 5 ELSE false END"), "1 5"),
        (format!("CASE WHEN {number} THEN {cast} ELSE 0 END > 5"), "1 5"),
        (format!("NOT {number} OR {cast} < 10"), "1 2 3 4 6 7 9"),
        (format!("seq <> 1 AND 10 / (seq - 1) > 4 AND {number}"), ""),
        ("seq <> 1 AND 10 / (seq - 1) > 4".to_owned(), "2 3"),
        (format!("seq IN (1, 3, 5) AND ({number} AND ({cast} > 5 AND {cast} < 100))"), "1"),
    ] {
        assert_eq!(matching(&store, &condition), wanted, "{condition}");
    }
    for (sql, wanted) in [
        (format!("SELECT sum({cast}) FILTER (WHERE {number}) FROM events"), "9007199254741000"),
        (format!("SELECT max({cast}) FROM events WHERE {number}"), "9007199254740993"),
        (format!("SELECT count(*) FILTER (WHERE {cast} > 5 AND {number}) FROM events"), "2"),
        (format!("SELECT count(*) FROM events WHERE seq > 0 AND ({cast} > 5 AND {number} OR seq = 3)"), "3"),
        (format!("SELECT count(*) FROM (SELECT * FROM events WHERE {number}) WHERE {cast} > 5"), "2"),
        (
            format!(
                "WITH n AS (SELECT {cast} AS n FROM events WHERE {number}) SELECT count(*) FROM n WHERE n > 5"
            ),
            "2",
        ),
        (
            "SELECT count(*) FROM events a JOIN events b ON a.seq = b.seq AND a.payload->>'t' ~ '^[0-9]+$' AND (a.payload->>'t')::bigint > 5".to_owned(),
            "2",
        ),
    ] {
        assert_eq!(column(&store, &sql), [wanted], "{sql}");
    }
    let keys = "e.payload->>'t' ~ '^[0-9]+$' AND CAST(e.payload->>'t' AS BIGINT) = a.seq + 1";
    for (sql, wanted) in [
        (format!("SELECT count(a.seq) FROM events e LEFT JOIN events a ON {keys}"), "1"),
        (format!("SELECT count(*) FROM events e FULL JOIN events a ON {keys}"), "17"),
        (format!("SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT 1 FROM events a WHERE {keys})"), "8"),
        (
            "SELECT max(s) FROM (SELECT sum(10 / (seq - 1)) FILTER (WHERE seq > 1) OVER (ORDER BY seq) AS s FROM events)".to_owned(),
            "25",
        ),
        (
            "SELECT (array_agg(seq ORDER BY 10 / (seq - 1), seq) FILTER (WHERE seq > 1))[1] FROM events".to_owned(),
            "7",
        ),
    ] {
        assert_eq!(column(&store, &sql), [wanted], "{sql}");
    }
    let condition = format!("{number} AND {cast} > 5");
    store.hold("case", Hold::new("x").kind(Kind::Event).predicate(&condition)).unwrap();
    let explained = store.explain_retention(Some(Kind::Event), Some(&condition)).unwrap();
    assert_eq!(explained.fates.iter().map(|fate| fate.facts).sum::<u64>(), 2);
    assert_eq!(store.retention_doubts().unwrap(), [], "the guard guards in holds, too");
    let condition = "payload->>'t' > 5";
    let explained = store.explain_retention(Some(Kind::Event), Some(condition)).unwrap();
    assert_eq!(explained.fates.iter().map(|fate| fate.facts).sum::<u64>(), 6);
    assert_eq!(column(&store, "SELECT payload->>'none' > 5 FROM events WHERE seq = 1"), [NULL]);
}

#[test]
fn a_long_list_and_a_long_chain_are_answered() {
    let (_folder, store) = store();
    let list =
        |many, of: &dyn Fn(i64) -> String, between: &str| (0..many).map(of).collect::<Vec<_>>().join(between);
    let numbers = list(600, &|n| n.to_string(), ", ");
    for (condition, wanted) in [
        (format!("payload->>'t' IN ({numbers}, 28.8)"), "1 2 4"),
        (format!("payload->>'t' NOT IN ({numbers}, 28.8)"), "5 6 7"),
        (list(600, &|n| format!("payload->>'t' = {n}.8"), " OR "), "2 4"),
        (list(600, &|n| format!("seq + {n} = 1"), " OR "), "1"),
        (format!("NOT (seq = 0 OR {})", list(200, &|n| format!("seq = {}", n + 2), " OR ")), "1"),
        (list(200, &|n| format!("seq <> {}", n + 2), " AND "), "1"),
    ] {
        assert_eq!(matching(&store, &condition), wanted, "{}", &condition[..60]);
    }
}

#[test]
fn a_long_chain_needs_no_large_stack() {
    let asked = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        let (folder, store) = store();
        let chain = (0..600).map(|n| format!("seq = {}", n + 2)).collect::<Vec<_>>().join(" OR ");
        assert_eq!(matching(&store, &format!("NOT ({chain})")), "1");
        drop(store);
        let rule = format!(
            "[[retention.rule]]\nmax_age = \"1d\"\nkind = \"events\"\nname = \"some\"\nwhere = \"{chain}\"\n"
        );
        std::fs::write(folder.path().join("facts/ostracon.toml"), rule).unwrap();
        Store::open(folder.path().join("facts")).unwrap();
    });
    asked.unwrap().join().unwrap();
}

#[test]
fn every_text_matches_a_pattern_for_anything() {
    let (_folder, store) = store();
    for (condition, wanted) in [
        ("event_type ~ '.*' AND seq < 3", "1 2"),
        ("regexp_like(event_type || E'\\n' || seq, '.*') AND seq < 3", "1 2"),
        ("event_type !~ '.*'", ""),
        ("error ~ '.*'", ""),
        ("(error ~ '.*') IS NULL AND seq < 3", "1 2"),
        ("event_type ~* '.*' AND seq < 3", "1 2"),
    ] {
        assert_eq!(matching(&store, condition), wanted, "{condition}");
    }
}

#[test]
fn keys_of_a_join_are_compared_as_elsewhere() {
    let (_folder, store) = store();
    let texts = "(SELECT payload->>'t' AS seq FROM events) t";
    for sql in [
        format!("SELECT count(*) FROM events e JOIN {texts} USING (seq)"),
        format!("SELECT count(*) FROM (SELECT seq FROM events) e NATURAL JOIN {texts}"),
        format!("SELECT count(*) FROM events e JOIN {texts} ON e.seq = t.seq"),
    ] {
        assert_eq!(column(&store, &sql), ["1"], "{sql}");
    }
}

#[test]
fn a_time_may_have_no_seconds_or_be_far_away() {
    let (_folder, store) = store();
    for (condition, wanted) in [
        ("at < DATE '9999-12-31'", "1 2 3 4 5 6 7 8 9"),
        ("at < '9999-01-01' AND '1000-01-01' < at AND seq < 3", "1 2"),
        ("at > '9999-01-01' OR at = '9999-01-01'", ""),
        ("at > '2026-11-23 03:24' AND at < '2026-11-23T03:25'", "1 2 3 4 5 6 7 8 9"),
        ("at > '2026-11-23 03:25'", ""),
        ("at BETWEEN '2026-11-23 03:24' AND '9999-01-01' AND seq = 4", "4"),
        ("at IN ('9999-01-01', '0001-01-01')", ""),
        ("at NOT IN ('9999-01-01') AND seq < 3", "1 2"),
        ("at IS DISTINCT FROM '9999-01-01' AND seq < 3", "1 2"),
        ("at IS NOT DISTINCT FROM '9999-01-01'", ""),
    ] {
        assert_eq!(matching(&store, condition), wanted, "{condition}");
    }
}
