//! Filters, whatever they are, give the rows that a plain model gives, and what is left out
//! unread makes no difference to any answer.

use std::fmt::Write as _;

use ostracon::{Kind, QueryOptions, UnixNanos};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::model::{Everything, Row, SECOND, START, Value};
use super::{Rows, rows, try_rows};

/// A filter, for SQL to read and for the model to hold rows against.
#[derive(Clone, Debug)]
enum Filter {
    Compare { column: &'static str, op: &'static str, value: Value, swapped: bool },
    Between { column: &'static str, not: bool, low: Value, high: Value },
    In { column: &'static str, not: bool, values: Vec<Value> },
    IsNull { column: &'static str, not: bool },
    Like { column: &'static str, not: bool, pattern: &'static str },
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

const OPS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
const INSTANTS: [&str; 3] = ["at", "recorded_at", "timestamp"];
const TEXTS: [&str; 9] = [
    "system_id",
    "actor_address",
    "event_type",
    "error",
    "error_type",
    "reason",
    "payload->>'error'",
    "payload->>'reason'",
    "payload",
];
const PATTERNS: [&str; 8] = ["%", "Key%", "%r%", "_%", "%sku%", "shop:_", "ActorC%", "%Error: %"];
const WORDS: [&str; 8] =
    ["shop", "shop:1", "ActorCrashed", "KeyError: 'sku'", "KeyError", "", "boot", "no such text"];

fn columns(kind: Kind) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        Kind::Audit => {
            (&["seq", "stream", "total_actors", "alive_actors", "dead_letters_count"], &["system_id"])
        }
        Kind::DeadLetter => (&["seq", "stream"], &["system_id", "target", "message_type", "payload"]),
        _ => (&["seq", "stream"], &TEXTS),
    }
}

fn instant() -> impl Strategy<Value = Value> {
    // Some that rows have, some between them, some far off.
    prop_oneof![
        4 => (0_i64..8_000).prop_map(|seconds| START + seconds * SECOND),
        2 => (0_i64..8_000).prop_map(|seconds| START + seconds * SECOND / 4 - 86_400 * SECOND),
        2 => (0_i64..200_000).prop_map(|seconds| START - 3 * 86_400 * SECOND + seconds * SECOND / 4),
        1 => (0_i64..4_200).prop_map(|seconds| seconds * SECOND),
        1 => prop::sample::select(vec![0, -5_250_000_000, 946_684_800 * SECOND, 946_684_799_750_000_000]),
    ]
    .prop_map(Value::Instant)
}

fn leaf(kind: Kind) -> impl Strategy<Value = Filter> {
    let (integers, texts) = columns(kind);
    let instants = prop::sample::select(INSTANTS.to_vec());
    let of_instants = (instants, prop::collection::vec(instant(), 3));
    let small = (0_i64..120).prop_map(Value::Int);
    let of_integers = (prop::sample::select(integers.to_vec()), prop::collection::vec(small, 3));
    let word = prop::sample::select(WORDS.to_vec()).prop_map(|word| Value::Text(word.to_owned()));
    let of_texts = (prop::sample::select(texts.to_vec()), prop::collection::vec(word, 3));
    let values = prop_oneof![4 => of_instants, 2 => of_integers, 3 => of_texts.clone()];
    let plain = (values, 0..9_usize, any::<bool>(), prop::sample::select(OPS.to_vec())).prop_map(
        |((column, values), shape, not, op)| {
            let value = values[0].clone();
            match shape {
                0..5 => Filter::Compare { column, op, value, swapped: not },
                5 | 6 => Filter::Between { column, not, low: value, high: values[1].clone() },
                7 => Filter::In { column, not, values },
                _ => Filter::IsNull { column, not },
            }
        },
    );
    let like = (of_texts, any::<bool>(), prop::sample::select(PATTERNS.to_vec()))
        .prop_map(|((column, _), not, pattern)| Filter::Like { column, not, pattern });
    prop_oneof![5 => plain, 1 => like]
}

fn filter(kind: Kind) -> impl Strategy<Value = Filter> {
    leaf(kind).prop_recursive(3, 8, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            2 => two.clone().prop_map(|(a, b)| Filter::And(a.into(), b.into())),
            2 => two.prop_map(|(a, b)| Filter::Or(a.into(), b.into())),
            1 => inner.prop_map(|a| Filter::Not(a.into())),
        ]
    })
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Instant(nanos) => format!("TIMESTAMPTZ '{}'", UnixNanos::new(*nanos)),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
    }
}

impl Filter {
    fn sql(&self) -> String {
        let not = |not: &bool| if *not { "NOT " } else { "" };
        match self {
            Self::Compare { column, op, value, swapped: false } => {
                format!("{column} {op} {}", literal(value))
            }
            Self::Compare { column, op, value, swapped: true } => format!("{} {op} {column}", literal(value)),
            Self::Between { column, not: n, low, high } => {
                format!("{column} {}BETWEEN {} AND {}", not(n), literal(low), literal(high))
            }
            Self::In { column, not: n, values } => {
                let values: Vec<_> = values.iter().map(literal).collect();
                format!("{column} {}IN ({})", not(n), values.join(", "))
            }
            Self::IsNull { column, not: n } => format!("{column} IS {}NULL", not(n)),
            Self::Like { column, not: n, pattern } => format!("{column} {}LIKE '{pattern}'", not(n)),
            Self::And(a, b) => format!("({} AND {})", a.sql(), b.sql()),
            Self::Or(a, b) => format!("({} OR {})", a.sql(), b.sql()),
            Self::Not(a) => format!("NOT ({})", a.sql()),
        }
    }

    /// Whether a row passes, in SQL's logic of three values.
    fn holds(&self, row: &Row) -> Option<bool> {
        match self {
            Self::Compare { column, op, value, swapped } => {
                let (left, right) = (&row[column], value);
                let order = compare(left, right)?;
                let order = if *swapped { order.reverse() } else { order };
                Some(match *op {
                    "=" => order.is_eq(),
                    "<>" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            Self::Between { column, not, low, high } => {
                let above = compare(&row[column], low)?.is_ge();
                let below = compare(&row[column], high)?.is_le();
                Some((above && below) != *not)
            }
            Self::In { column, not, values } => {
                compare(&row[column], &row[column])?;
                Some(values.contains(&row[column]) != *not)
            }
            Self::IsNull { column, not } => Some((row[column] == Value::Null) != *not),
            Self::Like { column, not, pattern } => match &row[column] {
                Value::Text(text) => Some(like(text, pattern) != *not),
                _ => None,
            },
            Self::And(a, b) => match (a.holds(row), b.holds(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.holds(row), b.holds(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(a) => a.holds(row).map(|holds| !holds),
        }
    }
}

fn compare(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    if *left == Value::Null || *right == Value::Null {
        return None;
    }
    left.partial_cmp(right)
}

fn like(text: &str, pattern: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('%') => text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| like(&text[at..], rest.as_str())),
        Some(wanted) => {
            let mut text = text.chars();
            text.next()
                .is_some_and(|found| (wanted == '_' || found == wanted) && like(text.as_str(), rest.as_str()))
        }
    }
}

/// The stream and seq of the rows that pass, in order.
fn expected<'r>(rows: &'r [Row], filter: &'r Filter) -> impl Iterator<Item = &'r Row> {
    rows.iter().filter(|row| filter.holds(row) == Some(true))
}

fn places<'r>(rows: impl Iterator<Item = &'r Row>) -> Rows {
    let number = |value: &Value| match value {
        Value::Int(number) => number.to_string(),
        other => panic!("{other:?} is no integer"),
    };
    rows.map(|row| vec![number(&row["stream"]), number(&row["seq"])]).collect()
}

fn both(everything: &Everything, sql: &str) -> Result<(Rows, Rows), TestCaseError> {
    let fail = |error: ostracon::Error| TestCaseError::fail(format!("{sql}\n{error:?}"));
    let with = try_rows(&everything.store, sql, QueryOptions::new()).map_err(fail)?;
    let without = try_rows(&everything.store, sql, QueryOptions::new().without_pruning()).map_err(fail)?;
    Ok((with, without))
}

fn run<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    // What fails is printed as SQL, which is easier to keep than a seed.
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    TestRunner::new(config).run(strategy, test).unwrap();
}

#[test]
fn any_filter_gives_the_models_rows_with_and_without_pruning() {
    let everything = Everything::build();
    let tables = prop_oneof![
        5 => filter(Kind::Event).prop_map(|filter| ("events", Kind::Event, filter)),
        2 => filter(Kind::Event).prop_map(|filter| ("crashes", Kind::Event, filter)),
        1 => filter(Kind::Event).prop_map(|filter| ("restarts", Kind::Event, filter)),
        2 => filter(Kind::Audit).prop_map(|filter| ("audits", Kind::Audit, filter)),
        2 => filter(Kind::DeadLetter).prop_map(|filter| ("dead_letters", Kind::DeadLetter, filter)),
    ];
    run(48, &tables, |(table, kind, filter)| {
        let of_view = |row: &&Row| match table {
            "crashes" => row["event_type"] == Value::Text("ActorCrashed".to_owned()),
            "restarts" => row["event_type"] == Value::Text("ActorRestarted".to_owned()),
            _ => true,
        };
        let wanted = places(expected(everything.rows(kind), &filter).filter(of_view));
        let sql = format!("SELECT stream, seq FROM {table} WHERE {} ORDER BY stream, seq", filter.sql());
        let (with, without) = both(&everything, &sql)?;
        prop_assert_eq!(&without, &wanted, "without pruning: {}", sql);
        prop_assert_eq!(&with, &wanted, "with pruning: {}", sql);
        Ok(())
    });
}

#[test]
fn any_question_has_one_answer_with_and_without_pruning() {
    let everything = Everything::build();
    const PROJECTIONS: [&str; 7] = [
        "*",
        "at, seq",
        "seq, error, at, timestamp",
        "payload->>'error' AS e, stream",
        "error AS a, error AS b",
        "actor_address, extra, at AS wall, recorded_at",
        "system_id || ':' || event_type, date_trunc('hour', at)",
    ];
    const KEYS: [&str; 7] =
        ["at", "recorded_at", "timestamp", "seq", "error", "payload->>'reason'", "stream"];
    const GROUPS: [&str; 7] = [
        "event_type",
        "error",
        "payload->>'error'",
        "date_trunc('hour', at)",
        "stream, error_type",
        "system_id, reason IS NULL",
        "at",
    ];
    let asked = (
        filter(Kind::Event),
        0..4_usize,
        0..6_usize,
        prop::sample::select(KEYS.to_vec()),
        prop::sample::select(vec!["", " DESC", " DESC NULLS LAST", " ASC NULLS FIRST"]),
        0..12_usize,
        prop::sample::select(GROUPS.to_vec()),
        prop::sample::select(vec!["events", "crashes"]),
    );
    run(32, &asked, |(filter, shape, projection, key, direction, limit, group, table)| {
        let filter = filter.sql();
        let sql = match shape {
            0 | 1 => format!(
                "SELECT {} FROM {table} WHERE {filter} ORDER BY {key}{direction}, stream, seq LIMIT {limit} OFFSET {}",
                PROJECTIONS[projection],
                limit % 3
            ),
            2 => format!(
                "SELECT {group}, count(*), min(at), max(seq) FROM {table} WHERE {filter} GROUP BY {group} ORDER BY {group}"
            ),
            3 => format!(
                "SELECT min(error), max(error), min(at), max(at), min(seq), max(-seq), max(recorded_at) FROM {table} WHERE {filter}"
            ),
            _ => format!(
                "SELECT count(*), count(error), min(at), max(at), min(seq), max(recorded_at), max(timestamp) FROM {table} WHERE {filter}"
            ),
        };
        let (with, without) = both(&everything, &sql)?;
        prop_assert_eq!(with, without, "{}", sql);
        Ok(())
    });
}

#[test]
fn the_view_of_actors_is_the_same_with_and_without_pruning() {
    let everything = Everything::build();
    for condition in [
        "true",
        "crashes > 2",
        "state = 'crashed'",
        "actor_address LIKE 'shop:%' AND last_seen > TIMESTAMPTZ '2026-11-23T08:20:00Z'",
        "last_error IS NULL",
    ] {
        let sql = format!("SELECT * FROM actors WHERE {condition} ORDER BY system_id, actor_address");
        let (with, without) = both(&everything, &sql).unwrap();
        assert_eq!(with, without, "{sql}");
    }
}

#[test]
fn at_is_the_wall_time_that_the_contract_says() {
    let everything = Everything::build();
    for kind in Kind::ALL {
        let sql = format!(
            "SELECT arrow_cast(arrow_cast(at, 'Timestamp(ns)'), 'Int64') FROM {} ORDER BY stream, seq",
            kind.table()
        );
        let wanted: Vec<Vec<String>> = everything
            .rows(kind)
            .iter()
            .map(|row| match row["at"] {
                Value::Instant(nanos) => vec![nanos.to_string()],
                _ => unreachable!(),
            })
            .collect();
        assert!(!wanted.is_empty());
        assert_eq!(rows(&everything.store, &sql), wanted, "{kind}");
    }
}

/// Every instant that a row has is a boundary: `<` and `<=` must not be mistaken there.
#[test]
fn filters_on_at_agree_with_the_model_at_every_boundary() {
    let everything = Everything::build();
    let mut boundaries: Vec<Value> =
        everything.rows(Kind::Event).iter().map(|row| row["at"].clone()).collect();
    boundaries.sort_by(|a, b| a.partial_cmp(b).unwrap());
    boundaries.dedup();
    let step = boundaries.len() / 12 + 1;
    for value in boundaries.into_iter().step_by(step) {
        let mut sql = String::from("SELECT 0");
        let mut wanted = vec!["0".to_owned()];
        for op in OPS {
            let filter = Filter::Compare { column: "at", op, value: value.clone(), swapped: false };
            write!(sql, ", (SELECT count(*) FROM events WHERE {}) AS c{}", filter.sql(), wanted.len())
                .unwrap();
            wanted.push(expected(everything.rows(Kind::Event), &filter).count().to_string());
        }
        assert_eq!(rows(&everything.store, &sql), vec![wanted], "{sql}");
    }
}

/// Instants as people type them.
#[test]
fn an_instant_may_be_text_or_a_date() {
    let everything = Everything::build();
    let filter = Filter::Compare {
        column: "at",
        op: ">=",
        value: Value::Instant(START + 1_200 * SECOND),
        swapped: false,
    };
    let wanted = expected(everything.rows(Kind::Event), &filter).count().to_string();
    for condition in [
        "at >= '2026-11-23T08:20:00Z'",
        "at >= '2026-11-23 08:20:00'",
        "at >= '2026-11-23T10:20:00+02:00'",
        "at >= TIMESTAMP '2026-11-23 08:20:00'",
        "at >= CAST('2026-11-23T08:20:00Z' AS TIMESTAMPTZ)",
        "at - INTERVAL '20 minutes' >= '2026-11-23T08:00:00Z'",
    ] {
        let sql = format!("SELECT count(*) FROM events WHERE {condition}");
        assert_eq!(rows(&everything.store, &sql), [[wanted.as_str()]], "{sql}");
        let (with, without) = both(&everything, &sql).unwrap();
        assert_eq!(with, without, "{sql}");
    }
}

/// A fact of every hour of three days, in two segments that begin and end in the morning, and in the tail.
fn hours() -> (tempfile::TempDir, ostracon::Store, Vec<i64>) {
    let folder = tempfile::tempdir().unwrap();
    let store = ostracon::Store::open(folder.path().join("facts")).unwrap();
    let times: Vec<i64> = (0..72).map(|hour| START / SECOND + hour * 3_600).collect();
    for (n, time) in times.iter().enumerate() {
        store.record(super::event("A", "{}", *time as f64)).unwrap();
        if n == 25 || n == 50 {
            store.flush().unwrap();
        }
    }
    (folder, store, times)
}

#[test]
fn the_ends_of_a_segment_say_nothing_about_what_keeps_no_order() {
    let (_folder, store, times) = hours();
    let hour = |time: &&i64| **time % 86_400 / 3_600;
    let late = times.iter().filter(|time| hour(time) > 22).count();
    let early = times.iter().filter(|time| hour(time) < 1).count();
    let morning = times.iter().filter(|time| (3..=4).contains(&hour(time))).count();
    for (condition, wanted) in [
        ("at::time > TIME '22:00:00'", late),
        ("timestamp::time > TIME '22:00:00'", late),
        ("to_time(timestamp) > TIME '22:00:00'", late),
        ("at::timestamp::time > TIME '22:00:00'", late),
        ("TRY_CAST(at AS TIME) > TIME '22:00:00'", late),
        ("arrow_cast(timestamp, 'Time64(Nanosecond)') > TIME '22:00:00'", late),
        ("arrow_cast(timestamp, 'Time32(Second)') > arrow_cast(TIME '22:00:00', 'Time32(Second)')", late),
        ("at::time < TIME '01:00:00'", early),
        ("at::time BETWEEN TIME '03:00:00' AND TIME '04:00:00'", morning),
        ("at::time IN (TIME '03:00:00', TIME '04:00:00')", morning),
        ("seq < 100 AND CAST(seq AS SMALLINT) = 60", 1),
        ("seq::text = '9'", 1),
        ("CAST(seq - 40 AS BOOLEAN) = false", 1),
    ] {
        let sql = format!("SELECT count(*) FROM events WHERE {condition}");
        for options in [QueryOptions::new(), QueryOptions::new().without_pruning()] {
            let counted = try_rows(&store, &sql, options).unwrap();
            assert_eq!(counted, [[wanted.to_string()]], "{condition}");
        }
        let explained = store.explain_retention(Some(Kind::Event), Some(condition)).unwrap();
        assert_eq!(explained.fates.iter().map(|fate| fate.facts).sum::<u64>(), wanted as u64, "{condition}");
    }
    for (sql, wanted) in [
        ("SELECT max(timestamp::time), min(timestamp::time) FROM events", ["23:00:00", "00:00:00"]),
        ("SELECT max(seq::text), min(seq::text) FROM events", ["9", "1"]),
        (
            "SELECT count(*), min(seq) FROM events e JOIN (VALUES (TIME '23:00:00')) v(t) ON e.timestamp::time = v.t",
            ["3", "16"],
        ),
        (
            "SELECT t, seq FROM (SELECT at::time AS t, seq FROM events ORDER BY at LIMIT 60) ORDER BY t, seq LIMIT 1",
            ["00:00:00", "17"],
        ),
        (
            "SELECT arrow_typeof(t), t FROM (SELECT timestamp::time AS t FROM events WHERE seq = 2)",
            ["Time64(ns)", "09:00:00"],
        ),
    ] {
        for options in [QueryOptions::new(), QueryOptions::new().without_pruning()] {
            assert_eq!(try_rows(&store, sql, options).unwrap(), [wanted], "{sql}");
        }
    }
    let by_hour = "SELECT at::time AS t, count(*) FROM events GROUP BY GROUPING SETS ((at::time), ()) ORDER BY 2 DESC, 1 LIMIT 2";
    assert_eq!(rows(&store, by_hour), [["∅", "72"], ["00:00:00", "3"]]);
}
