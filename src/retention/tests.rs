//! Every way of reading facts returns the facts that a plain model of the rules keeps.
//!
//! The model has all facts in one list and applies the words of the rules one after another. The store
//! has the facts in several streams, flushed and unflushed, judged by the ledger's numbers, by blocks and
//! by rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::prelude::*;

use super::cut::Place;
use super::rows::{Places, read};
use super::tally::all_columns;
use super::*;
use crate::fact::{Audit, DeadLetter, Event, Fact, Json, Kind, PerKind, Timestamp, UnixNanos};
use crate::settings::retention::{AgeBy, RetentionLimits, RetentionPolicy, RetentionRule};
use crate::{Cursor, Store};

const SECOND: i64 = 1_000_000_000;
/// The time of all reads.
const NOW: i64 = 1_800_000_000 * SECOND;

/// A condition: its text and its meaning.
type Condition = (&'static str, fn(&Known) -> bool);

const CONDITIONS: [Condition; 5] = [
    ("seq % 2 = 0", |fact| fact.place.seq.0.is_multiple_of(2)),
    ("timestamp IS NULL", |fact| fact.timestamp.to_nanos().is_none()),
    ("stream = 1", |fact| fact.place.stream.0 == 1),
    ("recorded_at >= '2027-01-15T07:59:50'", |fact| fact.place.recorded_at.0 >= NOW - 10 * SECOND),
    ("false", |_| false),
];

#[derive(Clone, Debug)]
enum Step {
    Record {
        writer: usize,
        kind: Kind,
        seconds: f64,
        text: usize,
    },
    Flush(usize),
    /// The clock goes on, or is set back.
    Tick(i64),
}

#[derive(Clone, Debug)]
struct RuleOf {
    kind: Option<Kind>,
    condition: Option<usize>,
    limits: RetentionLimits,
}

#[derive(Clone, Debug)]
struct Case {
    steps: Vec<Step>,
    store: Option<RetentionLimits>,
    kinds: PerKind<Option<RetentionLimits>>,
    rules: Vec<RuleOf>,
    holds: Vec<(Option<Kind>, Option<usize>)>,
}

/// A fact in the model.
#[derive(Clone, Debug)]
struct Known {
    kind: Kind,
    place: Place,
    timestamp: Timestamp,
    bytes: u64,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

fn limits() -> impl Strategy<Value = RetentionLimits> {
    let age_by = prop::sample::select(&[AgeBy::Timestamp, AgeBy::RecordedAt][..]);
    let age = prop::option::of(prop_oneof![0..25_u64, Just(u64::MAX)]);
    let bytes = prop::option::of(prop_oneof![Just(0), 0..2500_u64]);
    (age, prop::option::of(0..12_u64), bytes, prop_oneof![3 => Just(0), 1 => 1..5_u64], age_by).prop_map(
        |(age, records, bytes, keep_at_least, age_by)| RetentionLimits {
            max_age: age.map(Duration::from_secs),
            max_records: records,
            max_bytes: bytes,
            keep_at_least,
            age_by,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = prop_oneof![
        // Around now, at whole seconds, so that some are exactly at a limit. Some are in the future.
        8 => (-25..10_i64).prop_map(|ago| (NOW / SECOND + ago) as f64),
        1 => prop::sample::select(&[f64::NAN, f64::INFINITY, 1e300, -1e300, 0.0, 17.25][..]),
    ];
    prop_oneof![
        10 => (0..3_usize, kind(), seconds, 0..60_usize)
            .prop_map(|(writer, kind, seconds, text)| Step::Record { writer, kind, seconds, text }),
        2 => (0..3_usize).prop_map(Step::Flush),
        // Often not at all: then facts of different streams have equal times.
        3 => prop_oneof![3 => 0..4_i64, 1 => -6..0_i64].prop_map(Step::Tick),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let rule = (prop::option::of(kind()), prop::option::of(0..CONDITIONS.len()), limits());
    let rule = rule.prop_map(|(kind, condition, limits)| RuleOf { kind, condition, limits });
    let hold = (prop::option::of(kind()), prop::option::weighted(0.9, 0..CONDITIONS.len()));
    let of_kind = || prop::option::weighted(0.3, limits());
    (
        prop::collection::vec(step(), 1..70),
        prop::option::weighted(0.7, limits()),
        [of_kind(), of_kind(), of_kind()]
            .prop_map(|[events, audits, letters]| PerKind::of(events, audits, letters)),
        prop::collection::vec(rule, 0..3),
        prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(hold, 1..3)],
    )
        .prop_map(|(steps, store, kinds, rules, holds)| Case { steps, store, kinds, rules, holds })
}

/// One rule with all limits, over few kinds, mostly flushed: cases that are rare above.
fn dense_case() -> impl Strategy<Value = Case> {
    let limits = (0..25_u64, 1..15_u64, 300..4000_u64, 0..6_u64, any::<bool>()).prop_map(
        |(age, records, bytes, keep_at_least, some)| RetentionLimits {
            max_age: Some(Duration::from_secs(age)),
            max_records: some.then_some(records),
            max_bytes: Some(bytes),
            keep_at_least,
            age_by: AgeBy::Timestamp,
        },
    );
    let record = (0..2_usize, -25..10_i64, 0..60_usize).prop_map(|(writer, ago, text)| Step::Record {
        writer,
        kind: Kind::Event,
        seconds: (NOW / SECOND + ago) as f64,
        text,
    });
    let step = prop_oneof![8 => record, 1 => (0..2_usize).prop_map(Step::Flush), 2 => (0..3_i64).prop_map(Step::Tick)];
    (prop::collection::vec(step, 20..80), limits).prop_map(|(steps, limits)| Case {
        steps,
        store: Some(limits),
        kinds: PerKind::default(),
        rules: Vec::new(),
        holds: Vec::new(),
    })
}

impl Case {
    fn policy(&self) -> RetentionPolicy {
        let mut policy = RetentionPolicy { store: self.store.clone(), ..RetentionPolicy::new() };
        policy.kinds.clone_from(&self.kinds);
        for (at, rule) in self.rules.iter().enumerate() {
            let mut named = RetentionRule::new(format!("r{at}"), rule.limits.clone());
            named.kind = rule.kind;
            named.predicate = rule.condition.map(|at| CONDITIONS[at].0.to_owned());
            policy = policy.rule(named);
        }
        policy
    }

    /// Records and flushes, and returns the recorded facts. The writers stay open.
    fn play(&self, root: &Path) -> (Vec<Store>, Vec<Known>) {
        let time = Arc::new(AtomicI64::new(NOW - 20 * SECOND));
        let writers: Vec<Store> = (0..3)
            .map(|_| {
                let time = Arc::clone(&time);
                Store::builder().clock(move || UnixNanos(time.load(Ordering::SeqCst))).open(root).unwrap()
            })
            .collect();
        let mut known = Vec::new();
        for step in &self.steps {
            match step {
                Step::Tick(seconds) => {
                    // Sometimes only by a nanosecond.
                    let by = if *seconds == 3 { 1 } else { seconds * SECOND };
                    time.fetch_add(by, Ordering::SeqCst);
                }
                Step::Flush(writer) => writers[*writer].flush().unwrap(),
                Step::Record { writer, kind, seconds, text } => {
                    let fact = fact(*kind, *seconds, *text);
                    let bytes = fact.line_len();
                    let position = writers[*writer].record(fact).unwrap();
                    let place = Place {
                        recorded_at: position.recorded_at,
                        stream: position.stream,
                        seq: position.seq,
                    };
                    known.push(Known {
                        kind: *kind,
                        place,
                        timestamp: Timestamp::from_seconds(*seconds),
                        bytes,
                    });
                }
            }
        }
        (writers, known)
    }

    /// The limit that drops each fact, by its place.
    fn model(&self, facts: &[Known]) -> BTreeMap<(u32, u64), Option<String>> {
        let mut of_rules: BTreeMap<String, (RetentionLimits, Vec<&Known>)> = BTreeMap::new();
        let mut fates = BTreeMap::new();
        for fact in facts {
            let named = self.rules.iter().enumerate().find(|(_, rule)| {
                rule.kind.is_none_or(|kind| kind == fact.kind)
                    && rule.condition.is_none_or(|at| CONDITIONS[at].1(fact))
            });
            let rule = named
                .map(|(at, rule)| (format!("r{at}"), rule.limits.clone()))
                .or_else(|| Some((fact.kind.table().to_owned(), self.kinds[fact.kind].clone()?)))
                .or_else(|| Some(("store".to_owned(), self.store.clone()?)));
            fates.insert(key(fact.place), None);
            if let Some((name, limits)) = rule {
                of_rules.entry(name).or_insert_with(|| (limits, Vec::new())).1.push(fact);
            }
        }
        for (name, (limits, mut facts)) in of_rules {
            facts.sort_by_key(|fact| std::cmp::Reverse(fact.place));
            let safe: BTreeSet<_> =
                facts.iter().take(limits.keep_at_least as usize).map(|fact| key(fact.place)).collect();
            let mut drop = |fact: &Known, limit: &str| {
                fates.insert(key(fact.place), Some(format!("{name}.{limit}")));
            };
            let is_safe = |fact: &Known| safe.contains(&key(fact.place));

            let (left, old): (Vec<_>, Vec<_>) =
                facts.into_iter().partition(|fact| is_safe(fact) || !is_old(fact, &limits));
            for fact in old {
                drop(fact, "max_age");
            }
            let most = limits.max_records.map_or(usize::MAX, |most| most as usize);
            let (left, surplus): (Vec<_>, Vec<_>) =
                left.into_iter().enumerate().partition(|(rank, fact)| is_safe(fact) || *rank < most);
            for (_, fact) in surplus {
                drop(fact, "max_records");
            }
            let (mut sum, mut fits) = (0, true);
            for (_, fact) in left {
                sum += fact.bytes;
                fits &= limits.max_bytes.is_none_or(|most| sum <= most);
                if !fits && !is_safe(fact) {
                    drop(fact, "max_bytes");
                }
            }
        }
        for fact in facts {
            let held = self.holds.iter().any(|(kind, condition)| {
                kind.is_none_or(|kind| kind == fact.kind) && condition.is_none_or(|at| CONDITIONS[at].1(fact))
            });
            if held {
                fates.insert(key(fact.place), None);
            }
        }
        fates
    }
}

fn is_old(fact: &Known, limits: &RetentionLimits) -> bool {
    let Some(age) = limits.max_age else { return false };
    let oldest = i128::from(NOW) - age.as_nanos() as i128;
    match limits.age_by {
        AgeBy::Timestamp => match fact.timestamp.to_nanos() {
            Some(nanos) => i128::from(nanos) < oldest,
            // Outside all nanoseconds: in the future, or long ago, or not a time at all.
            None => fact.timestamp.seconds().is_nan() || fact.timestamp.seconds() < 0.0,
        },
        AgeBy::RecordedAt => i128::from(fact.place.recorded_at.get()) < oldest,
    }
}

fn key(place: Place) -> (u32, u64) {
    (place.stream.0, place.seq.0)
}

fn fact(kind: Kind, seconds: f64, text: usize) -> Fact<'static> {
    let text = "x".repeat(text);
    match kind {
        Kind::Event => Event::new("shop", "shop:1", text.clone(), Json::string(&text), seconds).into(),
        Kind::Audit => Audit::new(text, seconds).into(),
        Kind::DeadLetter => {
            DeadLetter::new("shop", Some(text), "Order", Json::empty_object(), seconds).into()
        }
    }
}

/// The facts of a kind that are kept, in the store's order.
fn kept(facts: &[Known], fates: &BTreeMap<(u32, u64), Option<String>>, kind: Kind) -> Vec<(u32, u64)> {
    let mut places: Vec<Place> = facts
        .iter()
        .filter(|fact| fact.kind == kind && fates[&key(fact.place)].is_none())
        .map(|fact| fact.place)
        .collect();
    places.sort_unstable();
    places.into_iter().map(key).collect()
}

/// The selection's result for every row, after a check that its verdicts on segments agree.
fn judged(store: &Store) -> BTreeMap<(u32, u64), Option<String>> {
    let snapshot = store.snapshot().unwrap();
    let selection = store.context().selection(&snapshot, store.context().now()).unwrap();
    let mut fates = BTreeMap::new();
    let mut judge = |kind, batch: &arrow::array::RecordBatch| {
        let dropped = selection.dropped(kind, batch).unwrap();
        let few = batch.project(selection.columns(kind)).unwrap();
        if !selection.keeps_everything() {
            assert_eq!(selection.dropped(kind, &few).unwrap(), dropped);
        }
        let places = Places::of(batch).unwrap();
        for (row, by) in dropped.iter().enumerate() {
            let name = by.map(|by| selection.rule_name(by).to_owned());
            fates.insert(key(places.get(row).unwrap()), name);
        }
        dropped
    };
    for kind in Kind::ALL {
        for segment in snapshot.state.segments(kind) {
            let verdict = selection.segment(segment);
            read(store.path(), segment, &all_columns(kind), None, |_, batch| {
                for by in judge(kind, batch) {
                    match verdict {
                        Verdict::KeepAll => assert_eq!(by, None),
                        Verdict::DropAll(Some(all)) => assert_eq!(by, Some(all)),
                        Verdict::DropAll(None) => assert!(by.is_some()),
                        Verdict::Mixed => {}
                    }
                }
                Ok(())
            })
            .unwrap();
        }
        for chunk in snapshot.tail().unwrap() {
            if let Some(rows) = chunk.rows(kind) {
                judge(kind, &rows.batch);
            }
        }
    }
    fates
}

fn sql(store: &Store, sql: &str) -> Vec<(u32, u64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let batches = runtime.block_on(async { store.sql(sql).await.unwrap().collect().await.unwrap() });
    let rows = batches.iter().flat_map(|batch| {
        let stream = batch.column(0).as_primitive::<Int32Type>().iter();
        let seq = batch.column(1).as_primitive::<Int64Type>().iter();
        stream.zip(seq).map(|(stream, seq)| (stream.unwrap() as u32, seq.unwrap() as u64))
    });
    rows.collect()
}

fn check(case: &Case) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let root = folder.path().join("facts");
    let (writers, facts) = case.play(&root);
    for (at, (kind, condition)) in case.holds.iter().enumerate() {
        let mut hold = Hold::new("a case");
        hold.kind = *kind;
        hold.predicate = condition.map(|at| CONDITIONS[at].0.to_owned());
        writers[0].hold(&format!("h{at}"), hold).unwrap();
    }
    let fates = case.model(&facts);
    let store = Store::builder()
        .access(crate::context::Access::Read)
        .retention(case.policy())
        .clock(|| UnixNanos(NOW))
        .open(&root)
        .unwrap();
    // The second time with the results of the first time.
    for _ in 0..2 {
        assert_eq!(judged(&store), fates);
    }
    let explained = store.explain_retention(None, None).unwrap();
    let dropped = fates.values().filter(|fate| fate.is_some()).count() as u64;
    assert_eq!(explained.totals(), (facts.len() as u64 - dropped, dropped));
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for by in fates.values().flatten() {
        *counted.entry(by.clone()).or_default() += 1;
    }
    let said = explained.fates.iter().filter(|fate| !fate.outcome.is_kept());
    let said: BTreeMap<String, u64> = said
        .map(|fate| (format!("{}.{}", fate.rule.as_deref().unwrap(), fate.outcome), fate.facts))
        .collect();
    assert_eq!(said, counted);

    let mut all = Vec::new();
    for kind in Kind::ALL {
        let kept = kept(&facts, &fates, kind);
        let listed = |limit| {
            let facts = store.list(kind, limit, None).unwrap();
            facts.iter().map(|fact| (fact.position.stream.0, fact.position.seq.0)).collect::<Vec<_>>()
        };
        assert_eq!(listed(None), kept, "list {kind}");
        assert_eq!(listed(Some(4)), kept[kept.len().saturating_sub(4)..], "list 4 {kind}");
        let order = "ORDER BY recorded_at, stream, seq";
        assert_eq!(sql(&store, &format!("SELECT stream, seq FROM {kind} {order}")), kept, "sql {kind}");
        let newest = "ORDER BY recorded_at DESC, stream DESC, seq DESC LIMIT 3";
        let found = sql(&store, &format!("SELECT stream, seq, recorded_at FROM {kind} {newest}"));
        assert_eq!(found, kept.iter().rev().take(3).copied().collect::<Vec<_>>(), "newest {kind}");
        let count = "SELECT CAST(count(*) AS INT), coalesce(max(seq), 0)";
        let most = kept.iter().map(|(_, seq)| *seq).max().unwrap_or_default();
        assert_eq!(sql(&store, &format!("{count} FROM {kind}")), [(kept.len() as u32, most)], "count {kind}");
        let some = sql(&store, &format!("SELECT stream, seq FROM {kind} LIMIT 2"));
        assert!(some.len() == kept.len().min(2) && some.iter().all(|place| kept.contains(place)));
        all.extend(kept);
    }
    let mut followed: Vec<_> = store
        .after(&Cursor::start())
        .unwrap()
        .map(|fact| fact.unwrap().position)
        .map(|position| (position.stream.0, position.seq.0))
        .collect();
    followed.sort_unstable();
    all.sort_unstable();
    assert_eq!(followed, all, "after");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_read_keeps_what_the_model_keeps(case in case()) {
        check(&case);
    }

    #[test]
    fn all_limits_of_one_rule_at_once_keep_what_the_model_keeps(case in dense_case()) {
        check(&case);
    }
}

#[test]
fn a_clock_that_jumped_ahead_drops_nothing_for_good() {
    const DAY: i64 = 86_400 * SECOND;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("facts");
    let writer = Store::builder().clock(|| UnixNanos(NOW)).open(&root).unwrap();
    writer.record(fact(Kind::Event, (NOW / SECOND) as f64, 0)).unwrap();
    let check = |policy: RetentionPolicy, now: i64| {
        let reader =
            Store::builder().access(crate::context::Access::Read).retention(policy).open(&root).unwrap();
        let snapshot = reader.snapshot().unwrap();
        reader.context().selection(&snapshot, UnixNanos(now)).unwrap().check_clock()
    };
    let aged = || RetentionPolicy::new().store(RetentionLimits::new().max_age(Duration::from_secs(1)));
    let counted = RetentionPolicy::new().store(RetentionLimits::new().max_records(0));
    for flushed in [false, true] {
        if flushed {
            writer.flush().unwrap();
        }
        check(aged(), NOW + 400 * DAY).unwrap();
        let error = check(aged(), NOW + 400 * DAY + 1).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Refused);
        for said in ["400 days", "max_clock_lead", "400d", "--insist"] {
            assert!(error.to_string().contains(said), "{error}");
        }
        check(aged().max_clock_lead(Duration::from_hours(1)), NOW + DAY).unwrap_err();
        check(aged().max_clock_lead(Duration::from_hours(24 * 401)), NOW + 401 * DAY).unwrap();
        // The clock was set back, or no rule has an age: then no clock decides.
        check(aged(), NOW - 1000 * DAY).unwrap();
        check(counted.clone(), NOW + 4000 * DAY).unwrap();
    }
    // A live writer with this clock continues to record: that proves nothing.
    let far = Store::builder().clock(|| UnixNanos(NOW + 4000 * DAY)).open(&root).unwrap();
    far.record(fact(Kind::Event, 0.0, 0)).unwrap();
    for _ in 0..2 {
        check(aged(), NOW + 4000 * DAY).unwrap_err();
        far.flush().unwrap();
    }
}
