//! Papyra's own policy, over the three kinds together, and what the store makes of it.
//!
//! Two things differ, and are meant to: a size is that of the JSON line, not of Python's `repr`; and
//! zero records keep none, where Papyra's slice keeps all.

use std::time::Duration;

use ostracon::{Audit, DeadLetter, Event, Fact, Json, Kind, RetentionLimits, RetentionPolicy};
use proptest::prelude::*;

use super::{Hand, START, support};

#[derive(Clone, Debug)]
struct Policy {
    max_records: Option<usize>,
    max_age_seconds: Option<u32>,
    max_total_bytes: Option<u64>,
}

/// `papyra/persistence/_retention.py`, line by line.
fn apply_retention<'f>(records: Vec<&'f Fact<'static>>, policy: &Policy, now: f64) -> Vec<&'f Fact<'static>> {
    let mut result = records;
    if let Some(age) = policy.max_age_seconds {
        let cutoff = now - f64::from(age);
        result.retain(|fact| fact.timestamp().seconds() >= cutoff);
    }
    if let Some(most) = policy.max_records {
        result.drain(..result.len().saturating_sub(most));
    }
    if let Some(most) = policy.max_total_bytes {
        let (mut total, mut kept) = (0, Vec::new());
        for fact in result.into_iter().rev() {
            let size = fact.to_line().len() as u64;
            if total + size > most {
                break;
            }
            total += size;
            kept.push(fact);
        }
        kept.reverse();
        result = kept;
    }
    result
}

fn fact() -> impl Strategy<Value = Fact<'static>> {
    let now = START / super::SECOND;
    let seconds = prop_oneof![
        6 => (-12..6_i64).prop_map(move |ago| (now + ago) as f64),
        // Papyra's default clock: seconds since the machine's start.
        1 => (0..1_000_u32).prop_map(|seconds| f64::from(seconds) / 8.0),
        1 => prop::sample::select(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300][..]),
    ];
    (0..3_usize, seconds, 0..40_usize).prop_map(|(kind, seconds, text)| {
        let text = "é".repeat(text);
        match kind {
            0 => Event::new("shop", text.clone(), "ActorStarted", Json::string(&text), seconds).into(),
            1 => Audit::new(text, seconds).into(),
            _ => DeadLetter::new("shop", None::<String>, text, Json::empty_object(), seconds).into(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_stores_rules_are_papyras_over_the_three_kinds_together(
        facts in prop::collection::vec(fact(), 0..40),
        flushed in 0..40_usize,
        max_records in prop::option::of(1..20_usize),
        max_age_seconds in prop::option::of(0..15_u32),
        max_total_bytes in prop::option::of(0..4_000_u64),
    ) {
        let policy = Policy { max_records, max_age_seconds, max_total_bytes };
        let (folder, hand) = (support::scratch(), Hand::new());
        let root = folder.path().join("facts");
        let writer = hand.builder().open(&root).unwrap();
        for (at, fact) in facts.iter().enumerate() {
            writer.record(fact.clone()).unwrap();
            if at == flushed {
                writer.flush().unwrap();
            }
        }
        let mut limits = RetentionLimits::new();
        limits.max_records = max_records.map(|most| most as u64);
        limits.max_age = max_age_seconds.map(|age| Duration::from_secs(u64::from(age)));
        limits.max_bytes = max_total_bytes;
        let store = hand.read(&root, RetentionPolicy::new().store(limits));
        let wanted = apply_retention(facts.iter().collect(), &policy, hand.seconds());
        for kind in Kind::ALL {
            let listed = store.list(kind, None, None).unwrap();
            let found: Vec<_> = listed.iter().map(|found| found.fact.to_line()).collect();
            let of_kind: Vec<_> =
                wanted.iter().filter(|fact| fact.kind() == kind).map(|fact| fact.to_line()).collect();
            prop_assert_eq!(found, of_kind, "{} {:?}", kind, policy);
        }
    }
}
