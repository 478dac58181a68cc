//! `payload->>'error'` is the column `error`, wherever the payload can be followed to; and where
//! it cannot, the answer is still the same.

use ostracon::{DeadLetter, Event, Json, Store};

use super::model::PAYLOADS;
use super::{NULL, column, plan, rows};

/// Every payload once: as an event in a segment, as one in the tail, and as a dead letter.
fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    for round in 0..2 {
        for (n, (payload, ..)) in PAYLOADS.iter().enumerate() {
            let payload = || Json::parse(*payload).unwrap();
            let kind = if n % 2 == 0 { "ActorStarted" } else { "ActorCrashed" };
            store.record(Event::new("shop", format!("shop:{n}"), kind, payload(), 1.0)).unwrap();
            if round == 0 {
                store.record(DeadLetter::new("shop", Some("shop:1"), "Order", payload(), 1.0)).unwrap();
            }
        }
        if round == 0 {
            store.flush().unwrap();
        }
    }
    (folder, store)
}

/// Asks once by key and once by column.
#[track_caller]
fn assert_same(store: &Store, by_key: &str) {
    let by_column = by_key.replace("payload->>'error'", "error").replace("payload->>'reason'", "reason");
    assert_ne!(by_key, by_column);
    assert_eq!(rows(store, by_key), rows(store, &by_column), "{by_key}");
}

#[test]
fn the_key_costs_no_json_and_gives_what_the_column_gives() {
    let (_folder, store) = store();
    for sql in [
        "SELECT payload->>'error' FROM events ORDER BY seq",
        "SELECT seq, payload->>'error' AS e, payload->>'reason' FROM events ORDER BY seq",
        "SELECT events.payload->>'error' FROM events ORDER BY seq",
        "SELECT e.payload->>'error' FROM events e ORDER BY e.seq",
        "SELECT e.payload->>'error', e.payload->>'reason' AS r FROM events AS e ORDER BY r, e.seq",
        "SELECT payload->>'error' FROM crashes ORDER BY seq",
        "SELECT c.payload->>'error' FROM crashes c WHERE c.payload->>'error' IS NOT NULL ORDER BY seq",
        "SELECT payload->>'error', count(*) FROM events GROUP BY payload->>'error' ORDER BY 1",
        "SELECT payload->>'error' AS e, count(*) FROM crashes GROUP BY e ORDER BY 1",
        "SELECT payload->>'error' AS e, count(*) AS n FROM events GROUP BY 1 HAVING count(*) > 2 ORDER BY n DESC, e",
        "SELECT count(payload->>'error'), min(payload->>'error'), max(payload->>'reason') FROM events",
        "SELECT count(DISTINCT payload->>'error') FROM events",
        "SELECT count(*) FILTER (WHERE payload->>'error' LIKE '%Error%') FROM events",
        "SELECT string_agg(payload->>'error', ',' ORDER BY seq) FROM events",
        "SELECT seq FROM events WHERE payload->>'error' LIKE 'Key%' ORDER BY seq",
        "SELECT seq FROM events WHERE payload->>'error' ILIKE '%ERROR%' ORDER BY seq",
        "SELECT seq FROM events WHERE payload->>'error' ~ '^[A-Z]' ORDER BY seq",
        "SELECT seq FROM events WHERE payload->>'error' = 'second' ORDER BY seq",
        "SELECT seq FROM events WHERE payload->>'error' <> 'second' ORDER BY seq",
        "SELECT seq FROM events WHERE payload->>'error' IN ('second', '1', 'Boom', 'KeyError: ''sku''', 'x') ORDER BY seq",
        "SELECT seq FROM events WHERE payload->>'error' NOT IN ('second', '1') ORDER BY seq",
        "SELECT seq FROM events WHERE payload->>'error' BETWEEN 'A' AND 'Z' ORDER BY seq",
        "SELECT seq FROM events WHERE payload->>'error' IS NULL ORDER BY seq",
        "SELECT seq FROM events WHERE payload->>'error' = payload->>'reason' ORDER BY seq",
        "SELECT seq FROM events WHERE payload->>'error' = event_type ORDER BY seq",
        "SELECT CASE WHEN payload->>'error' LIKE '%:%' THEN payload->>'error' ELSE 'other' END FROM events ORDER BY seq",
        "SELECT CASE payload->>'error' WHEN 'second' THEN 2 WHEN '1' THEN 1 END FROM events ORDER BY seq",
        "SELECT coalesce(payload->>'error', payload->>'reason', 'none') FROM events ORDER BY seq",
        "SELECT nullif(payload->>'error', 'second') FROM events ORDER BY seq",
        "SELECT upper(payload->>'error') || '!' FROM events ORDER BY seq",
        "SELECT split_part(payload->>'error', ':', 1) FROM events ORDER BY seq",
        "SELECT error_group(payload->>'error'), count(*) FROM events GROUP BY 1 ORDER BY 1",
        "SELECT length(payload->>'error'), substr(payload->>'error', 2, 3) FROM events ORDER BY seq",
        "SELECT (payload->>'error')::BIGINT FROM events WHERE payload->>'error' = '1'",
        "SELECT e FROM (SELECT payload->>'error' AS e, seq FROM events) ORDER BY e, seq",
        "SELECT payload->>'error' FROM (SELECT * FROM events WHERE seq > 5 ORDER BY seq LIMIT 20) ORDER BY seq",
        "WITH late AS (SELECT * FROM crashes WHERE seq > 9) SELECT payload->>'error' FROM late ORDER BY seq",
        "SELECT a.payload->>'error', b.payload->>'reason' FROM events a JOIN events b ON a.seq = b.seq + 2 ORDER BY a.seq",
        "SELECT a.seq, b.seq FROM events a JOIN events b ON a.payload->>'error' = b.payload->>'reason' ORDER BY 1, 2",
        "SELECT a.seq, b.payload->>'error' FROM events a LEFT JOIN crashes b ON a.seq = b.seq ORDER BY 1",
        "SELECT b.seq, a.payload->>'error' FROM crashes a FULL JOIN events b ON a.seq = b.seq ORDER BY 1",
        "SELECT payload->>'error', d.target FROM events JOIN (SELECT target, seq FROM dead_letters) d ON events.seq = d.seq - 1 ORDER BY d.seq",
        "SELECT lag(payload->>'error') OVER (ORDER BY seq) FROM events ORDER BY seq",
        "SELECT payload->>'error', row_number() OVER (ORDER BY seq) FROM events ORDER BY seq",
        "SELECT last_value(payload->>'error' ORDER BY seq) FROM crashes",
        "SELECT seq FROM events WHERE payload->>'error' IN (SELECT payload->>'reason' FROM events) ORDER BY seq",
        "SELECT seq FROM events WHERE EXISTS (SELECT 1 FROM crashes WHERE crashes.payload->>'error' = 'second') ORDER BY seq",
        "SELECT (SELECT max(payload->>'error') FROM events)",
        "SELECT payload->>'error' FROM events UNION SELECT payload->>'reason' FROM crashes ORDER BY 1",
        "SELECT payload->>'error' FROM events UNION ALL SELECT target FROM dead_letters ORDER BY 1",
        "SELECT target FROM dead_letters EXCEPT SELECT payload->>'error' FROM events ORDER BY 1",
    ] {
        let plan = plan(&store, sql);
        // Names of columns may still tell of the call; what counts is that no payload is read.
        let read = ["[payload,", "[payload]", ", payload,", ", payload]"];
        let mut scans = plan.lines().filter(|line| line.contains("DataSourceExec"));
        assert!(scans.all(|scan| !read.iter().any(|column| scan.contains(column))), "{sql}\n{plan}");
        assert_same(&store, sql);
    }
}

/// The key's values, as the contract has them.
fn wanted() -> Vec<&'static str> {
    PAYLOADS.iter().map(|(_, error, ..)| error.unwrap_or(NULL)).collect()
}

#[test]
fn the_operator_gives_what_the_contract_says_whatever_it_is_asked_of() {
    let (_folder, store) = store();
    let wanted = wanted();
    for sql in [
        "SELECT payload->>'error' FROM events ORDER BY seq LIMIT 24",
        // Not to be followed to a column, or not an event's.
        "SELECT e FROM (SELECT payload->>'error' AS e, seq FROM events ORDER BY payload->>'reason') ORDER BY seq LIMIT 24",
        "SELECT payload->>'error' FROM dead_letters ORDER BY seq",
        "SELECT json->>'error' FROM (SELECT payload || '' AS json, seq FROM events) ORDER BY seq LIMIT 24",
        "SELECT payload->>'error' FROM (SELECT DISTINCT payload, seq FROM events) ORDER BY seq LIMIT 24",
        "SELECT payload->>'error' FROM (SELECT payload, min(seq) AS seq FROM events GROUP BY payload) ORDER BY seq",
        "SELECT payload->>'error' FROM (SELECT payload, seq FROM dead_letters UNION ALL SELECT '{}', 9999) ORDER BY seq LIMIT 24",
        "SELECT (payload || ' ')->>'error' FROM events ORDER BY seq LIMIT 24",
    ] {
        assert_eq!(column(&store, sql), wanted, "{sql}");
    }
}

#[test]
fn longer_paths_and_other_keys_are_json_still() {
    let (_folder, store) = store();
    for (sql, wanted) in [
        ("SELECT payload->'error'->>'a' FROM events WHERE payload = '{\"error\": {\"a\":1}}'", "1"),
        ("SELECT payload->>'errors' FROM events WHERE payload LIKE '{\"deep%'", "1"),
        ("SELECT payload->>'Error' FROM events WHERE payload LIKE '{\"deep%'", "2"),
        ("SELECT payload->'deep'->>'error' FROM events WHERE payload LIKE '{\"deep%'", "no"),
        (
            "SELECT payload->>'error'->>'error' FROM events WHERE payload LIKE '{\"error\": {\"error%'",
            "inner",
        ),
        ("SELECT payload->'error'->>1 FROM events WHERE payload LIKE '{\"error\": [%'", "2"),
        ("SELECT payload ? 'error' FROM events WHERE payload LIKE '{\"deep%'", "false"),
    ] {
        assert_eq!(column(&store, sql), [wanted, wanted], "{sql}");
    }
}

/// Another column of that name, or one of another row, must not be taken for it.
#[test]
fn the_column_is_not_taken_where_it_is_another_rows_or_another_thing() {
    let (_folder, store) = store();
    for (sql, wanted) in [
        // The user's own `payload`, and the user's own `error`.
        (
            "SELECT payload->>'error' FROM (SELECT '{\"error\": \"mine\"}' AS payload, error FROM events WHERE seq = 3)",
            "mine",
        ),
        (
            "SELECT payload->>'error' FROM (SELECT payload, 'mine' AS error FROM events WHERE seq = 3)",
            "KeyError: 'sku'",
        ),
        (
            "SELECT payload->>'error' FROM (SELECT payload, reason AS error FROM events WHERE seq = 3)",
            "KeyError: 'sku'",
        ),
        (
            "SELECT payload->>'error' FROM (SELECT payload, error AS reason, reason AS error FROM events WHERE seq = 3)",
            "KeyError: 'sku'",
        ),
        ("SELECT payload->>'error' FROM (SELECT reason AS payload, error FROM events WHERE seq = 3)", NULL),
        (
            "SELECT payload->>'error' FROM (SELECT '{\"error\": \"' || seq || '\"}' AS payload, error FROM crashes) WHERE error = 'Boom'",
            NULL,
        ),
        // Payload of one side, error of the other.
        (
            "SELECT payload->>'error' FROM (SELECT a.payload, b.error FROM events a JOIN events b ON a.seq = b.seq - 2 WHERE a.seq = 3)",
            "KeyError: 'sku'",
        ),
        (
            "SELECT payload->>'error' FROM (SELECT a.payload, b.error FROM events a, events b WHERE a.seq = 3 AND b.seq = 7)",
            "KeyError: 'sku'",
        ),
        (
            "SELECT d.payload->>'error' FROM dead_letters d JOIN events e ON d.seq = e.seq + 3 WHERE d.seq = 4",
            "KeyError: 'sku'",
        ),
        (
            "SELECT payload->>'error' FROM (SELECT d.payload, e.error FROM dead_letters d, events e WHERE d.seq = 4 AND e.seq = 7)",
            "KeyError: 'sku'",
        ),
        // Behind a DISTINCT or a GROUP BY, rows are no longer the events'.
        (
            "SELECT payload->>'error' FROM (SELECT payload, max(error) AS error FROM (SELECT payload, 'x' AS error FROM events WHERE seq = 3) GROUP BY payload)",
            "KeyError: 'sku'",
        ),
        ("SELECT max(payload)->>'error' FROM events WHERE seq = 3", "KeyError: 'sku'"),
        (
            "SELECT payload->>'error' FROM (SELECT DISTINCT payload, reason AS error FROM events WHERE seq = 3)",
            "KeyError: 'sku'",
        ),
        // Correlated.
        (
            "SELECT seq FROM events o WHERE seq = 3 AND EXISTS (SELECT 1 FROM dead_letters d WHERE d.seq = o.seq + 1 AND d.payload->>'error' = o.payload->>'error')",
            "3",
        ),
    ] {
        let found = column(&store, sql);
        assert!(
            found.iter().all(|found| found == wanted) && !found.is_empty()
                || wanted == NULL && found.is_empty(),
            "{sql}\n{found:?}, not {wanted}"
        );
    }
}

#[test]
fn names_and_types_of_an_answer_do_not_change() {
    let (_folder, store) = store();
    let sql = "SELECT payload->>'error', payload->>'error' AS e, error FROM events LIMIT 1";
    let (said, given) = super::run(async {
        let answer = store.sql(sql).await.unwrap();
        let said = answer.schema();
        (said, answer.collect().await.unwrap()[0].schema())
    });
    let names: Vec<_> = given.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names[1..], ["e", "error"]);
    for (said, given) in said.fields().iter().zip(given.fields()) {
        assert_eq!((said.name(), said.data_type()), (given.name(), given.data_type()));
    }
}
