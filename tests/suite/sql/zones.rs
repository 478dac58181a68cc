//! Zones: what SQL says of days, hours and texts, as PostgreSQL says it.

use ostracon::{Error, QueryOptions, Store, Zone};

use super::{Rows, event, rows, try_rows};

/// 2026-10-25, when clocks in Athens are put back from 04:00 to 03:00; in UTC that is 01:00.
const BACK: i64 = 1_792_890_000;

/// A fact each hour from 20:30 in UTC on the evening before, twenty-eight of them.
fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    for hour in 0..28 {
        let at = BACK - 4 * 3600 - 1800 + hour * 3600;
        store.record(event("ActorStarted", "{}", at as f64)).unwrap();
        if hour == 12 {
            store.flush().unwrap();
        }
    }
    (folder, store)
}

fn try_athens(store: &Store, sql: &str) -> Result<Rows, Error> {
    let athens = Zone::named("Europe/Athens").unwrap();
    try_rows(store, sql, QueryOptions::new().time_zone(athens))
}

#[track_caller]
fn athens(store: &Store, sql: &str) -> String {
    let rows = try_athens(store, sql).unwrap_or_else(|error| panic!("{sql}\n{error:?}"));
    rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn utc(store: &Store, sql: &str) -> String {
    rows(store, sql).iter().map(|row| row.join(" ")).collect::<Vec<_>>().join("; ")
}

#[test]
fn at_time_zone_is_what_clocks_show_and_back() {
    let (_folder, store) = store();
    for (expression, shown) in [
        ("timestamptz '2026-07-01 12:00:00Z' AT TIME ZONE 'Europe/Athens'", "2026-07-01T15:00:00"),
        ("timestamptz '2026-07-01 12:00:00Z' AT TIME ZONE 'europe/ATHENS'", "2026-07-01T15:00:00"),
        (
            "(timestamptz '2026-07-01 12:00:00Z' AT TIME ZONE 'Europe/Athens')::timestamp",
            "2026-07-01T15:00:00",
        ),
        ("(timestamptz '2026-07-01 22:00:00Z' AT TIME ZONE 'Europe/Athens')::date", "2026-07-02"),
        ("(timestamptz '2026-07-01 12:00:00Z' AT TIME ZONE 'Europe/Athens')::text", "2026-07-01T15:00:00"),
        ("timestamp '2026-07-01 12:00:00' AT TIME ZONE 'Europe/Athens'", "2026-07-01T09:00:00Z"),
        ("timestamp '2026-03-29 03:30:00' AT TIME ZONE 'Europe/Athens'", "2026-03-29T01:30:00Z"),
        ("timestamp '2026-10-25 03:30:00' AT TIME ZONE 'Europe/Athens'", "2026-10-25T01:30:00Z"),
        (
            "timestamp '2026-07-01 12:00:00' AT TIME ZONE 'Europe/Athens' AT TIME ZONE 'Asia/Tokyo'",
            "2026-07-01T18:00:00",
        ),
        ("timestamptz '2026-07-01 12:00:00Z' AT TIME ZONE INTERVAL '2 hours'", "2026-07-01T14:00:00"),
        ("timezone('Asia/Kolkata', timestamptz '2026-07-01 12:00:00Z')", "2026-07-01T17:30:00"),
        (
            "timestamptz '2026-07-01 12:00:00Z' AT TIME ZONE concat('Europe/', 'Athens')",
            "2026-07-01T15:00:00",
        ),
        ("extract(hour FROM timestamptz '2026-07-01 12:00:00Z' AT TIME ZONE 'Europe/Athens')", "15"),
        ("date '2026-07-01' AT TIME ZONE 'Europe/Athens'", "2026-07-01T03:00:00"),
        ("NULL AT TIME ZONE 'Europe/Athens' IS NULL", "true"),
        ("timestamptz '2026-07-01 12:00:00Z' AT TIME ZONE NULL IS NULL", "true"),
    ] {
        assert_eq!(utc(&store, &format!("SELECT {expression}")), shown, "{expression}");
    }
    let both =
        "SELECT count(*) FROM events WHERE at <> at AT TIME ZONE 'Asia/Tokyo' AT TIME ZONE 'Asia/Tokyo'";
    assert_eq!(utc(&store, both), "0");
}

#[test]
fn days_are_whole_in_the_zone_that_is_named() {
    let (_folder, store) = store();
    let sql =
        "SELECT date_bin(INTERVAL '1 day', at AT TIME ZONE 'Europe/Athens') AS day, count(*) FROM events
               GROUP BY 1 ORDER BY 1";
    let days = "2026-10-24T00:00:00 1; 2026-10-25T00:00:00 25; 2026-10-26T00:00:00 2";
    assert_eq!(utc(&store, sql), days);
    let truncated = sql.replace("date_bin(INTERVAL '1 day',", "date_trunc('day',");
    assert_eq!(utc(&store, &truncated), days);
}

#[test]
fn a_sessions_zone_is_that_of_all_that_names_none() {
    let (_folder, store) = store();
    for (sql, answer) in [
        (
            "SELECT date_trunc('day', at) AS day, count(*) FROM events GROUP BY date_trunc('day', at) ORDER BY day",
            "2026-10-23T21:00:00Z 1; 2026-10-24T21:00:00Z 25; 2026-10-25T22:00:00Z 2",
        ),
        (
            "SELECT date_bin(INTERVAL '1 day', at) AS day, count(*) FROM events GROUP BY 1 ORDER BY 1",
            "2026-10-23T21:00:00Z 1; 2026-10-24T21:00:00Z 25; 2026-10-25T22:00:00Z 2",
        ),
        (
            "SELECT at::date, count(*) FROM events GROUP BY 1 ORDER BY 1",
            "2026-10-24 1; 2026-10-25 25; 2026-10-26 2",
        ),
        ("SELECT count(*) FROM events WHERE extract(hour FROM at) = 3", "2"),
        ("SELECT count(DISTINCT date_trunc('hour', at)) FROM events WHERE date_part('hour', at) = 3", "2"),
        ("SELECT count(*) FROM events WHERE extract(epoch FROM at) >= 1792890000", "23"),
        ("SELECT count(*) FROM events WHERE at >= '2026-10-26'", "2"),
        ("SELECT count(*) FROM events WHERE at >= DATE '2026-10-26'", "2"),
        ("SELECT count(*) FROM events WHERE at < timestamp '2026-10-25 00:00:00'", "1"),
        ("SELECT count(*) FROM events WHERE at::text LIKE '2026-10-25T03:30:00+0_:00'", "2"),
        ("SELECT count(*) FROM events WHERE at BETWEEN '2026-10-25' AND '2026-10-26'", "25"),
        ("SELECT count(*) FROM events WHERE at IN ('2026-10-25 00:30:00', '2026-10-25 05:30:00+03:00')", "2"),
        ("SELECT min(at + INTERVAL '1 day') FROM events WHERE at >= '2026-10-25'", "2026-10-25T22:30:00Z"),
        ("SELECT (timestamptz '2026-10-24 12:00:00' + INTERVAL '1 day')::text", "2026-10-25T12:00:00+02:00"),
        (
            "SELECT (timestamptz '2026-10-24 12:00:00' + INTERVAL '24 hours')::text",
            "2026-10-25T11:00:00+02:00",
        ),
        ("SELECT to_char(min(at), 'YYYY-MM-DD HH24:MI TZ OF') FROM events", "2026-10-24 23:30 EEST +03"),
        ("SELECT to_char(min(at), '%H:%M %z') FROM events", "23:30 +0300"),
        ("SELECT to_timestamp('2026-10-24 23:30', 'YYYY-MM-DD HH24:MI')", "2026-10-24T20:30:00Z"),
        ("SELECT to_timestamp_seconds('2026-10-24 23:30', '%Y-%m-%d %H:%M')", "2026-10-24T20:30:00Z"),
        ("SELECT now() > timestamp '2020-01-01'", "true"),
        ("SELECT current_date = now()::date", "true"),
        ("SELECT date_trunc('day', timestamp '2026-10-25 12:00:00')", "2026-10-25T00:00:00"),
    ] {
        assert_eq!(athens(&store, sql), answer, "{sql}");
    }
}

#[test]
fn a_series_of_days_is_one_of_the_zones_days() {
    let (_folder, store) = store();
    let ends = "timestamptz '2026-10-24', timestamptz '2026-10-27'";
    for (function, wanted) in [
        ("range", "2026-10-24 2026-10-25 2026-10-26"),
        ("generate_series", "2026-10-24 2026-10-25 2026-10-26 2026-10-27"),
    ] {
        let sql = format!(
            "SELECT string_agg(day::text, ' ' ORDER BY day) FROM (SELECT unnest({function}({ends}, interval '1 day'))::date AS day)"
        );
        assert_eq!(athens(&store, &sql), wanted, "{function}");
        assert_eq!(utc(&store, &sql), wanted, "{function}");
    }
}

#[test]
fn patterns_are_postgresqls_or_have_a_percent_sign() {
    let (_folder, store) = store();
    for (expression, text) in [
        ("to_char(min(at), 'YYYY-MM-DD')", "2026-10-24"),
        ("to_char(min(at), 'FMDay, FMDDth \"of\" FMMonth HH12:MI am')", "Saturday, 24th of October 08:30 pm"),
        ("to_char(min(at), '%Y-%m-%d')", "2026-10-24"),
        ("date_format(min(at), '%d.%m.%Y')", "24.10.2026"),
        ("to_char(DATE '2026-02-03', 'DD.MM.YYYY')", "03.02.2026"),
        ("to_char(DATE '2026-02-03', '%d %H')", "03 00"),
        ("to_char(min(at)::time, 'HH24:MI')", "20:30"),
        ("to_char(timestamp(0) '9999-12-31 23:59:59', 'YYYY-MM-DD HH24:MI:SS')", "9999-12-31 23:59:59"),
        ("to_char(timestamp(0) '0001-02-03 00:00:00', 'YYYY-MM-DD')", "0001-02-03"),
        ("to_char(min(at), '') IS NULL", "true"),
        ("to_timestamp('20261024 2030', 'YYYYMMDD HH24MI')", "2026-10-24T20:30:00Z"),
        ("to_timestamp('24 Oct 2026 20:30', '%d %b %Y %H:%M')", "2026-10-24T20:30:00Z"),
        ("to_timestamp('2026-10-24 20:30:00')", "2026-10-24T20:30:00Z"),
        ("to_date('24 October 2026', 'DD Month YYYY')", "2026-10-24"),
        ("to_date('24.10.2026', '%d.%m.%Y')", "2026-10-24"),
    ] {
        let sql = format!("SELECT DISTINCT {expression} FROM events");
        assert_eq!(utc(&store, &sql), text, "{sql}");
    }
    let by_row =
        "SELECT DISTINCT to_char(at, CASE WHEN seq < 3 THEN 'YYYY' ELSE 'Q' END) FROM events ORDER BY 1";
    assert_eq!(utc(&store, by_row), "2026; 4");
}

#[test]
fn what_is_not_understood_is_refused() {
    let (_folder, store) = store();
    for (expression, why) in [
        ("at AT TIME ZONE 'Europe/Athen'", "Did you mean Europe/Athens?"),
        ("at AT TIME ZONE '+02:00'", "to the east of UTC"),
        ("at AT TIME ZONE 'CET'", "summer time"),
        ("at AT TIME ZONE INTERVAL '1 month'", "time zone"),
        ("at::time AT TIME ZONE 'UTC'", "takes a timestamp"),
        ("to_char(at, 'HH24:MI:SS.FF9')", "FF9"),
        ("to_char(5, '999')", "a date, a time or a timestamp"),
        ("to_timestamp('2026-02-30', 'YYYY-MM-DD')", "does not exist"),
        ("to_timestamp('noon', 'HH24')", "not a value for the field HH24"),
        ("to_timestamp('2026', 'YYYY', '%Y')", "give a PostgreSQL pattern alone"),
        ("to_date('2026 EET', 'YYYY TZ')", "only for to_char"),
    ] {
        let sql = format!("SELECT {expression} FROM events");
        let error = try_rows(&store, &sql, QueryOptions::new()).expect_err(&sql).to_string();
        assert!(error.contains(why), "{sql}: {error}");
        assert!(!error.contains("did not match any"), "{error}");
    }
}

#[test]
fn segments_are_left_out_in_every_zone() {
    let (_folder, store) = store();
    store.flush().unwrap();
    let segments = |sql: &str, options| {
        let plan = super::run(async {
            let frame = store.sql_with(sql, options).await.unwrap().into_dataframe();
            let plan = frame.create_physical_plan().await.unwrap();
            super::displayable(plan.as_ref()).indent(true).to_string()
        });
        plan.matches(".parquet").count()
    };
    let athens = || QueryOptions::new().time_zone(Zone::named("Europe/Athens").unwrap());
    for sql in [
        "SELECT seq FROM events WHERE at >= '2026-10-25 20:00:00'",
        "SELECT seq FROM events WHERE at >= timestamp '2026-10-25 20:00:00'",
    ] {
        assert_eq!(segments(sql, athens()), 1, "{sql}");
        assert_eq!(segments(sql, QueryOptions::new()), 1, "{sql}");
    }
}
