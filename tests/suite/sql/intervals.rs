//! Intervals and durations are compared by their length, wherever they are compared.

use ostracon::{Hold, Kind, Store};

use super::{column, event, failure, rows, strings};

/// Two actors: one seen for 25 hours, one for 23.
fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    for (n, (actor, hours)) in
        [("shop:1", 0.0), ("shop:2", 0.0), ("shop:1", 25.0), ("shop:2", 23.0)].into_iter().enumerate()
    {
        let mut event = event("A", "{}", 1_795_404_290.0 + hours * 3600.0);
        event.actor_address = actor.into();
        store.record(event).unwrap();
        if n == 1 {
            store.flush().unwrap();
        }
    }
    (folder, store)
}

const LENGTHS: &str = "(VALUES (INTERVAL '25 hours'), (INTERVAL '1 day'), (INTERVAL '24 hours'), (INTERVAL '1 month'), (INTERVAL '30 days'), (INTERVAL '31 days'), (INTERVAL '-1 day'), (INTERVAL '-25 hours')) AS v(i)";

#[test]
fn a_duration_is_compared_with_an_interval_by_its_length() {
    let (_folder, store) = store();
    let seen = "last_seen - first_seen";
    for (condition, wanted) in [
        (format!("{seen} > INTERVAL '1 day'"), "shop:1"),
        (format!("INTERVAL '1 day' < {seen}"), "shop:1"),
        (format!("{seen} <= INTERVAL '1 day'"), "shop:2"),
        (format!("{seen} = INTERVAL '1 day 1 hour'"), "shop:1"),
        (format!("{seen} <> INTERVAL '25 hours'"), "shop:2"),
        (format!("{seen} BETWEEN INTERVAL '1 day' AND INTERVAL '2 days'"), "shop:1"),
        (format!("{seen} NOT BETWEEN INTERVAL '1 day' AND INTERVAL '2 days'"), "shop:2"),
        (format!("{seen} IN (INTERVAL '1 day 1 hour')"), "shop:1"),
        (format!("{seen} < INTERVAL '1 month' AND {seen} > INTERVAL '1 day'"), "shop:1"),
        (format!("greatest({seen}, INTERVAL '1 day') > INTERVAL '1 day'"), "shop:1"),
        (format!("coalesce({seen}, INTERVAL '0 days') > INTERVAL '1 day'"), "shop:1"),
        (format!("{seen} = (SELECT max({seen}) FROM actors)"), "shop:1"),
    ] {
        let sql = format!("SELECT actor_address FROM actors WHERE {condition} ORDER BY 1");
        assert_eq!(column(&store, &sql), [wanted], "{condition}");
    }
}

#[test]
fn intervals_are_sorted_grouped_and_joined_by_their_length() {
    let (_folder, store) = store();
    for (sql, wanted) in [
        (format!("SELECT count(DISTINCT i) FROM {LENGTHS}"), "6"),
        (format!("SELECT count(*) FROM (SELECT DISTINCT i FROM {LENGTHS})"), "6"),
        (format!("SELECT count(*) FROM (SELECT i, count(*) FROM {LENGTHS} GROUP BY i)"), "6"),
        (format!("SELECT count(*) FROM (SELECT i FROM {LENGTHS} UNION SELECT i FROM {LENGTHS})"), "6"),
        (format!("SELECT max(i) = INTERVAL '31 days' FROM {LENGTHS}"), "true"),
        (format!("SELECT min(i) = INTERVAL '-25 hours' FROM {LENGTHS}"), "true"),
        (format!("SELECT max(i) FROM {LENGTHS} WHERE i < INTERVAL '2 days'"), "25 hours"),
        (format!("SELECT count(*) FROM {LENGTHS} JOIN (VALUES (INTERVAL '24 hours')) AS w(j) ON i = j"), "2"),
        (
            format!(
                "SELECT count(*) FROM {LENGTHS} WHERE i IN (SELECT j FROM (VALUES (INTERVAL '24 hours')) AS w(j))"
            ),
            "2",
        ),
        (format!("SELECT count(*) FROM {LENGTHS} WHERE i = INTERVAL '30 days'"), "2"),
        (format!("SELECT count(*) FROM {LENGTHS} WHERE i > INTERVAL '1 day'"), "4"),
        (
            format!(
                "SELECT CASE i WHEN INTERVAL '24 hours' THEN 'day' ELSE 'x' END FROM {LENGTHS} WHERE i = INTERVAL '1 day' LIMIT 1"
            ),
            "day",
        ),
        (
            format!(
                "SELECT sum(n) FROM (SELECT count(*) AS n FROM {LENGTHS} GROUP BY i HAVING count(*) > 1)"
            ),
            "4",
        ),
        (format!("SELECT count(*) FROM (SELECT DISTINCT ON (i) i FROM {LENGTHS} ORDER BY i)"), "6"),
        (format!("SELECT max(n) FROM (SELECT count(*) OVER (PARTITION BY i) AS n FROM {LENGTHS})"), "2"),
    ] {
        assert_eq!(column(&store, &sql), [wanted], "{sql}");
    }
    let ordered = column(
        &store,
        &format!(
            "SELECT i FROM {LENGTHS} WHERE i NOT IN (INTERVAL '1 day', INTERVAL '1 month') ORDER BY i DESC"
        ),
    );
    assert_eq!(ordered, ["31 days", "25 hours", "-1 days", "-25 hours"]);
    assert_eq!(
        rows(
            &store,
            "SELECT last_seen - first_seen AS d, count(*) FROM actors GROUP BY d ORDER BY d DESC LIMIT 1"
        ),
        [strings(&["PT90000S", "1"])]
    );
}

#[test]
fn holds_compare_by_length() {
    let (_folder, store) = store();
    for (condition, wanted) in [
        ("at - TIMESTAMP '2026-11-23T03:24:50Z' > INTERVAL '1 day'", 1),
        ("NULLIF(at - TIMESTAMP '2026-11-23T03:24:50Z', INTERVAL '1 day') IS NULL", 0),
        ("NULLIF(INTERVAL '24 hours', INTERVAL '1 day') IS NULL AND seq = 1", 1),
        ("at - TIMESTAMP '2026-11-23T03:24:50Z' BETWEEN INTERVAL '22 hours' AND INTERVAL '1 day'", 1),
    ] {
        store.hold(condition, Hold::new("x").kind(Kind::Event).predicate(condition)).unwrap();
        let explained = store.explain_retention(Some(Kind::Event), Some(condition)).unwrap();
        assert_eq!(explained.fates.iter().map(|fate| fate.facts).sum::<u64>(), wanted, "{condition}");
    }
}

#[test]
fn a_duration_consists_of_days_hours_minutes_and_seconds() {
    let (_folder, store) = store();
    let length = "(TIMESTAMP '2026-11-25T04:05:06.7899' - TIMESTAMP '2026-11-23T01:02:03.5')";
    for (part, wanted) in [
        ("epoch", "183783.2899"),
        ("day", "2"),
        ("hours", "3"),
        ("minute", "3"),
        ("second", "3"),
        ("milliseconds", "3289"),
        ("microsecond", "3289900"),
    ] {
        assert_eq!(column(&store, &format!("SELECT extract({part} FROM {length})")), [wanted], "{part}");
    }
    let actors = "SELECT extract(epoch FROM last_seen - first_seen) FROM actors ORDER BY 1";
    assert_eq!(column(&store, actors), ["82800.0", "90000.0"]);
    assert_eq!(
        column(&store, "SELECT date_part('microsecond', max(last_seen - first_seen)) FROM actors"),
        ["0"]
    );
    assert!(
        failure(&store, &format!("SELECT extract(month FROM {length})"))
            .to_string()
            .contains("no part month")
    );
}

#[test]
fn a_day_and_a_length_are_an_instant() {
    let (_folder, store) = store();
    for (sql, wanted) in [
        ("SELECT date '2026-10-25' + interval '36 hours'", "2026-10-26T12:00:00"),
        ("SELECT interval '1 hour' + date '2026-10-25'", "2026-10-25T01:00:00"),
        ("SELECT date '2026-10-25' - interval '1 day'", "2026-10-24T00:00:00"),
        ("SELECT current_date - interval '2 hours' < current_date", "true"),
        ("SELECT count(*) FROM events WHERE at::date + interval '3 hours 24 minutes 50 seconds' <= at", "3"),
        ("SELECT count(*) FROM events WHERE at::date + interval '3 hours 25 minutes' <= at", "1"),
        (
            "SELECT count(*) FROM events WHERE at BETWEEN date '2026-11-23' + interval '3 hours' AND date '2026-11-23' + interval '4 hours'",
            "2",
        ),
        ("SELECT date '2026-10-25' + 1", "2026-10-26"),
    ] {
        assert_eq!(column(&store, sql), [wanted], "{sql}");
    }
}

#[test]
fn lengths_are_multiplied_and_divided() {
    let (_folder, store) = store();
    for (sql, wanted) in [
        ("SELECT 2 * interval '1 day 3 hours' = interval '54 hours'", "true"),
        ("SELECT interval '1 month' * 0.5 = interval '15 days'", "true"),
        ("SELECT (interval '1 month 1 day' / 2)::text", "15 days 12 hours"),
        ("SELECT max(last_seen - first_seen) / 2 = interval '12 hours 30 minutes' FROM actors", "true"),
        ("SELECT sum(last_seen - first_seen) / count(*) = avg(last_seen - first_seen) FROM actors", "true"),
        (
            "SELECT count(*) FROM events WHERE at > TIMESTAMP '2026-11-24 04:00' - 2 * interval '12 hours'",
            "2",
        ),
        ("SELECT (NULL * interval '1 day') IS NULL AND (interval '1 day' / NULL::int) IS NULL", "true"),
        ("SELECT interval '1 day' * seq = interval '72 hours' FROM events WHERE seq = 3", "true"),
    ] {
        assert_eq!(column(&store, sql), [wanted], "{sql}");
    }
    store
        .hold(
            "h",
            Hold::new("x")
                .kind(Kind::Event)
                .predicate("at < TIMESTAMP '2026-11-24 04:00' - 2 * interval '12 hours'"),
        )
        .unwrap();
    for (sql, why) in [
        ("SELECT interval '1 day' / 0", "by zero"),
        ("SELECT interval '1 day' * 9000000000", "is out of range"),
        ("SELECT interval '1 day' * 'NaN'::double", "is out of range"),
    ] {
        assert!(failure(&store, sql).to_string().contains(why), "{sql}");
    }
}

/// Each right value is PostgreSQL 15's.
#[test]
fn intervals_are_read_and_averaged_as_in_postgresql() {
    let (_folder, store) = store();
    for (sql, wanted) in [
        // The sign is of all parts.
        ("SELECT (- interval '1 day 2 hours')::text", "-1 days -2 hours"),
        ("SELECT timestamp '2026-01-01' + - interval '1 day 2 hours' = timestamp '2025-12-30 22:00'", "true"),
        ("SELECT timestamp '2026-03-31' - interval '1 month 1 day' = timestamp '2026-02-27'", "true"),
        ("SELECT interval '3 days -04:05:06' = interval '67 hours 54 minutes 54 seconds'", "true"),
        ("SELECT (interval - '1 day 2 hours')::text", "-1 days -2 hours"),
        ("SELECT (interval - '1' day)::text", "-1 days"),
        ("SELECT (- interval - '1 day 2 hours')::text", "1 days 2 hours"),
        ("SELECT interval '1 02:03' = interval '26 hours 3 minutes'", "true"),
        ("SELECT '01:30'::interval = CAST('90 minutes' AS interval)", "true"),
        ("SELECT (interval '1 year 2 mons 3 days ago')::text", "-14 mons -3 days"),
        ("SELECT (interval 'P1Y2M3DT4H5M')::text", "14 mons 3 days 4 hours 5 mins"),
        ("SELECT extract(epoch FROM interval '1 year 1 month')", "34149600.0"),
        ("SELECT extract(epoch FROM interval '-1 day 2 hours')", "-79200.0"),
        ("SELECT extract(epoch FROM - interval '2 years 1 second')", "-63115201.0"),
        (
            "SELECT avg(i)::text FROM (VALUES (interval '1 month'), (interval '2 days'), (interval '3 hours'), (NULL)) t(i)",
            "10 days 17 hours",
        ),
        ("SELECT avg(i) IS NULL FROM (SELECT interval '1 day' AS i) WHERE false", "true"),
        (
            "SELECT max(m)::text FROM (SELECT avg(i) OVER (ORDER BY n ROWS 1 PRECEDING) AS m \
             FROM (VALUES (1, interval '1 day'), (2, interval '2 days'), (3, interval '4 days')) t(n, i))",
            "3 days",
        ),
        ("SELECT avg(2 * interval '1 day') = interval '2 days' FROM events", "true"),
        ("SELECT avg(seq) FROM events WHERE seq < 4", "2.0"),
    ] {
        assert_eq!(column(&store, sql), [wanted], "{sql}");
    }
    for text in ["1:60", "1 day 2:", "P1H", "-"] {
        failure(&store, &format!("SELECT interval '{text}'"));
    }
}

#[test]
fn windows_go_in_the_order_of_lengths() {
    let (_folder, store) = store();
    let ranks = format!("SELECT rank() OVER (ORDER BY i) AS r FROM {LENGTHS} ORDER BY r");
    assert_eq!(column(&store, &ranks), ["1", "2", "3", "3", "5", "6", "6", "8"]);
    let so_far = format!("SELECT count(*) OVER (ORDER BY i DESC) AS n FROM {LENGTHS} ORDER BY n");
    assert_eq!(column(&store, &so_far), ["1", "3", "3", "4", "6", "6", "7", "8"]);
    let longest = "SELECT actor_address, rank() OVER (ORDER BY last_seen - first_seen DESC), sum(crashes + 1) OVER (ORDER BY last_seen - first_seen) FROM actors ORDER BY 2";
    assert_eq!(rows(&store, longest), [strings(&["shop:1", "1", "2"]), strings(&["shop:2", "2", "1"])]);
    let to_come = format!(
        "SELECT count(*) OVER (ORDER BY i RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS n FROM {LENGTHS} ORDER BY n"
    );
    assert_eq!(column(&store, &to_come), ["1", "3", "3", "4", "6", "6", "7", "8"]);
    let near = format!("SELECT count(*) OVER (ORDER BY i RANGE INTERVAL '1 hour' PRECEDING) FROM {LENGTHS}");
    assert!(failure(&store, &near).to_string().contains("extract(epoch"));
}

#[test]
fn what_does_not_compare_by_length_is_refused() {
    let (_folder, store) = store();
    for sql in [
        "SELECT array_max([INTERVAL '25 hours', INTERVAL '1 day'])",
        "SELECT array_min([last_seen - first_seen, INTERVAL '1 day']) FROM actors",
        "SELECT array_sort(array_agg(i)) FROM (SELECT INTERVAL '1 day' AS i)",
        "SELECT INTERVAL '25 hours' > ANY(ARRAY[INTERVAL '1 day'])",
        "SELECT array_distinct([INTERVAL '24 hours', INTERVAL '1 day'])",
        "SELECT array_has([INTERVAL '24 hours'], INTERVAL '1 day')",
        "SELECT [INTERVAL '24 hours'] = [INTERVAL '1 day']",
        "SELECT DISTINCT struct(INTERVAL '24 hours')",
        "SELECT count(DISTINCT [i]) FROM (SELECT INTERVAL '1 day' AS i)",
        "SELECT 1 FROM (SELECT [INTERVAL '1 day'] AS i) GROUP BY i",
        "SELECT 1 FROM (SELECT [INTERVAL '1 day'] AS i) ORDER BY i",
        "SELECT i, count(*) FROM (SELECT INTERVAL '1 day' AS i) GROUP BY ROLLUP(i)",
        "SELECT i, s, count(*) FROM (SELECT INTERVAL '1 day' AS i, 1 AS s) GROUP BY GROUPING SETS ((i), (s))",
    ] {
        let why = failure(&store, sql).to_string();
        assert!(why.contains("by their length"), "{sql}: {why}");
    }
    // A list of intervals is compared one by one.
    assert_eq!(column(&store, "SELECT INTERVAL '24 hours' = ANY(ARRAY[INTERVAL '1 day'])"), ["true"]);
    // Durations alone have an order.
    let longest = "SELECT array_max(array_agg(last_seen - first_seen)) FROM actors";
    assert_eq!(column(&store, longest), ["PT90000S"]);
}
