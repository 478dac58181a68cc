//! What somebody holds is neither hidden nor dropped, and the ledger says who, when and why.

use ostracon::{ErrorKind, Event, Hold, Json, Kind, RetentionLimits, RetentionPolicy, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Hand, listed, store_of_segments, support};

fn newest(facts: u64) -> RetentionPolicy {
    RetentionPolicy::new().store(RetentionLimits::new().max_records(facts))
}

#[test]
fn a_hold_brings_back_what_was_hidden_and_its_release_hides_it_again() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let writer = store_of_segments(&root, &hand, 3);
    let reader = hand.read(&root, newest(3));
    assert_eq!(listed(&reader), [33, 34, 35]);
    let keeper = hand.builder().access(ostracon::Access::Maintain).open(&root).unwrap();
    let hold = Hold::new("claim 4711").kind(Kind::Event).predicate("seq IN (2, 12, 34)").by("legal");
    keeper.hold("case-1", hold.clone()).unwrap();
    // It counts in the ranks as before: nothing else is dropped for it, nor kept.
    assert_eq!(listed(&reader), [2, 12, 33, 34, 35]);
    assert_eq!(support::number(&reader, "SELECT count(*) FROM events"), 5);
    keeper.hold("case-2", Hold::new("audit").predicate("seq < 4")).unwrap();
    assert_eq!(listed(&reader), [1, 2, 3, 12, 33, 34, 35]);
    keeper.release("case-1", "legal", "settled").unwrap();
    assert_eq!(listed(&reader), [1, 2, 3, 33, 34, 35]);
    keeper.release("case-2", "", "").unwrap();
    assert_eq!(listed(&reader), [33, 34, 35]);
    keeper.hold("all", Hold::new("everything is evidence")).unwrap();
    assert_eq!(listed(&reader), (1..=35).collect::<Vec<_>>());
    drop(writer);
}

#[test]
fn holds_are_in_the_ledger_with_who_when_and_why() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    store.hold("case", Hold::new("claim 4711").kind(Kind::Audit).predicate("seq > 1").by("legal")).unwrap();
    store.hold("other", Hold::new("b").by("me")).unwrap();
    let holds = store.holds().unwrap();
    assert_eq!(holds.len(), 2);
    assert_eq!((holds[0].name.as_str(), holds[0].hold.by.as_str()), ("case", "legal"));
    assert_eq!(holds[0].hold.predicate.as_deref(), Some("seq > 1"));
    assert!(holds[0].since.unwrap() <= holds[1].since.unwrap());
    store.release("case", "judge", "settled").unwrap();
    assert_eq!(store.holds().unwrap().len(), 1);
    let commits = "SELECT count(*) FROM store.commits WHERE action IN ('hold', 'release')";
    assert_eq!(support::number(&store, commits), 3);
    let last = std::fs::read_to_string(root.join("ledger/00000000000000000003.json")).unwrap();
    for said in
        [r#""action": "release""#, r#""name": "case""#, r#""released_by": "judge""#, r#""reason": "settled""#]
    {
        assert!(last.contains(said), "{last}");
    }
}

#[test]
fn what_cannot_be_held_commits_nothing() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    store.hold("case", Hold::new("why")).unwrap();
    let commits = || support::number(&store, "SELECT count(*) FROM store.commits");
    let before = commits();
    for (name, hold, kind, said) in [
        ("case", Hold::new("again"), ErrorKind::Refused, "already"),
        ("", Hold::new("why"), ErrorKind::Refused, "a name"),
        ("two\nlines", Hold::new("why"), ErrorKind::Refused, "a name"),
        ("x", Hold::new(" "), ErrorKind::Refused, "reason"),
        ("x", Hold::new("why").predicate("actor_address = 'a'"), ErrorKind::Query, "give it one"),
        ("x", Hold::new("why").kind(Kind::Event).predicate("at > now()"), ErrorKind::Query, "now()"),
        ("x", Hold::new("why").kind(Kind::Event).predicate("nonsense"), ErrorKind::Query, "nonsense"),
    ] {
        let error = store.hold(name, hold).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = store.release("other", "me", "").unwrap_err();
    assert!(error.kind() == ErrorKind::Refused && error.to_string().contains(r#""case""#), "{error}");
    let reader = Store::builder().access(ostracon::Access::Read).open(&root).unwrap();
    assert_eq!(reader.hold("y", Hold::new("why")).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(reader.release("case", "me", "").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(commits(), before);
}

#[test]
fn opening_for_maintenance_claims_no_stream_and_records_nothing() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let journal = || std::fs::read_dir(root.join("journal")).unwrap().count();
    assert_eq!(
        Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap_err().kind(),
        ErrorKind::NotAStore,
        "nothing is created"
    );
    assert!(!root.exists());
    Store::open(&root).unwrap().close().unwrap();
    let streams = journal();
    let keeper = Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap();
    keeper.hold("case", Hold::new("why")).unwrap();
    assert_eq!(keeper.record(support::crash(1)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(journal(), streams);
}

#[test]
fn two_processes_that_hold_at_once_both_succeed() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    Store::open(&root).unwrap().close().unwrap();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let root = &root;
            scope.spawn(move || {
                let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
                for m in 0..5 {
                    store.hold(&format!("{n}-{m}"), Hold::new("why")).unwrap();
                }
            });
        }
    });
    assert_eq!(Store::open(&root).unwrap().holds().unwrap().len(), 20);
}

/// Events of three days, an hour apart, in two segments that begin and end in the morning, and in the tail.
fn three_days(root: &std::path::Path, hand: &Hand) -> Store {
    let store = hand.builder().open(root).unwrap();
    for n in 0..60 {
        hand.wait(3_600);
        let payload = match n % 5 {
            0 => format!(r#"{{"error": "KeyError: {n}", "n": {n}}}"#),
            1 => format!(r#"{{"reason": "KeyError: {n}", "n": {n}.5}}"#),
            2 => r#"{"error": null, "n": "n/a"}"#.to_owned(),
            3 => format!(r#"{{"n": "0{n}", "error": "Boom"}}"#),
            _ => "{}".to_owned(),
        };
        let payload = Json::parse(payload).unwrap();
        store.record(Event::new("shop", format!("shop:{}", n % 3), "A", payload, hand.seconds())).unwrap();
        if n == 20 || n == 45 {
            store.flush().unwrap();
        }
    }
    store
}

/// Conditions with casts, times, intervals, texts that meet numbers, and functions that are nothing but others.
fn condition() -> impl Strategy<Value = String> {
    const INSTANTS: [&str; 3] = ["at", "timestamp", "recorded_at"];
    const OPS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
    let drawn = (0..18_usize, 0..3_usize, 0..6_usize, 0..64_i64, 0..64_i64);
    let leaf = drawn.prop_map(|(shape, instant, op, a, b)| {
        let (instant, op) = (INSTANTS[instant], OPS[op]);
        match shape {
            0 | 1 => format!("{instant}::time {op} TIME '{:02}:00:00'", a % 24),
            2 => format!("arrow_cast({instant}, 'Time64(Nanosecond)') {op} TIME '{:02}:00:00'", a % 24),
            3 => format!("{instant}::date {op} DATE '2027-01-{}'", 15 + a % 4),
            4 => format!("{instant} {op} TIMESTAMPTZ '2027-01-{}T{:02}:00:00Z'", 15 + a % 3, b % 24),
            5 => format!("{instant} - TIMESTAMPTZ '2027-01-15T08:00:00Z' {op} INTERVAL '{a} hours'"),
            6 => format!("seq {op} '{a}'"),
            7 => format!("seq IN ('{a}', '{b}') AND seq = '0{a}'"),
            8 => format!("seq::text {op} '{a}'"),
            9 => format!("payload->>'n' {op} {a}"),
            10 => format!("payload->>'n' IN ({a}, {b}.5, 5)"),
            11 => format!("coalesce(error, reason) LIKE '%{}%'", a % 10),
            12 => format!("nvl(error, 'none') {op} 'Boom'"),
            13 => format!("nvl2(error, seq, stream) {op} {a}"),
            14 => format!("CASE WHEN seq % 2 = 0 THEN error ELSE reason END IS NOT NULL AND stream {op} 1"),
            15 => format!("arrow_cast(seq, 'Int16') {op} {a}"),
            16 => format!("TRY_CAST(seq * 3 AS TINYINT) {op} {a}"),
            _ => format!("ifnull(reason, error) {op} 'KeyError: {a}'"),
        }
    });
    leaf.prop_recursive(2, 5, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            2 => two.clone().prop_map(|(a, b)| format!("({a} AND {b})")),
            2 => two.prop_map(|(a, b)| format!("({a} OR {b})")),
            1 => inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

#[test]
fn a_hold_covers_the_rows_that_the_same_where_gives() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let _writer = three_days(&root, &hand);
    let all = hand.read(&root, RetentionPolicy::new());
    let none = hand.read(&root, newest(0));
    let keeper = hand.builder().access(ostracon::Access::Maintain).open(&root).unwrap();
    let config = Config { cases: 64, failure_persistence: None, max_shrink_iters: 40, ..Config::default() };
    let tested = TestRunner::new(config).run(&condition(), |condition| {
        keeper.hold("case", Hold::new("x").kind(Kind::Event).predicate(&condition)).unwrap();
        let held = listed(&none);
        keeper.release("case", "", "").unwrap();
        let sum = |rows: &[u64]| rows.iter().map(|seq| (1 << 20) + *seq as i64).sum::<i64>();
        let sql = format!("SELECT coalesce(sum(1048576 + seq), 0) FROM events WHERE {condition}");
        prop_assert_eq!(sum(&held), support::number(&all, &sql), "{}: {:?}", condition, held);
        Ok(())
    });
    tested.unwrap();
}
