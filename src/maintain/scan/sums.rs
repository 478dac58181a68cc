//! Checks whether the ledger's numbers fit each other. It reads only the sum of the commits, no files.

use std::collections::BTreeMap;

use super::super::anomaly::{Affected, Anomaly, AnomalyKind, Span};
use super::super::gaps::Gaps;
use super::fact_set::FactSet;
use crate::fact::{PerKind, StreamId, UnixNanos};
use crate::ledger::{Segment, State};

/// Checks that recorded facts are live, dropped or lost, and that segments hold facts that their streams
/// gave out, in the order of time.
pub(super) fn check(state: &State, path: &str) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    if let Some(found) = state.imbalance() {
        let expected = "that recorded facts are live, dropped or lost";
        anomalies.push(Anomaly::new(AnomalyKind::Imbalance, path, expected, found));
    }
    for segment in state.segments.iter().flatten() {
        for range in &segment.streams {
            let committed = state.committed(range.stream);
            if range.last_seq > committed || range.first_seq.0 == 0 || range.facts().is_none() {
                let expected = format!("facts of stream {} up to {committed}", range.stream);
                let found = Span::from(*range).to_string();
                let anomaly = Anomaly::new(AnomalyKind::Imbalance, segment.path.clone(), expected, found);
                anomalies.push(anomaly.touching(Affected::of(segment)));
            }
        }
    }
    let mut streams: BTreeMap<StreamId, Vec<&Segment>> = BTreeMap::new();
    for segment in state.segments.iter().flatten() {
        if let [range] = segment.streams.as_slice() {
            streams.entry(range.stream).or_default().push(segment);
        }
    }
    anomalies.extend(streams.into_values().flat_map(|segments| disorder(&segments)));
    anomalies
}

/// Finds segments of one stream whose facts have higher numbers than others', but were recorded earlier.
/// Segments whose ranges of numbers overlap are left to the check of the rows.
fn disorder(segments: &[&Segment]) -> Vec<Anomaly> {
    let place = |segment: &Segment| segment.streams.first().map(|range| (range.first_seq, range.last_seq));
    let mut by_first = segments.to_vec();
    by_first.sort_by_key(|segment| place(segment).map(|(first, _)| first));
    let mut by_last = segments.to_vec();
    by_last.sort_by_key(|segment| place(segment).map(|(_, last)| last));
    let mut before = by_last.into_iter().peekable();
    let mut newest: Option<UnixNanos> = None;
    let mut anomalies = Vec::new();
    for segment in by_first {
        let Some((first, _)) = place(segment) else { continue };
        while let Some(earlier) =
            before.next_if(|earlier| place(earlier).is_some_and(|(_, last)| last < first))
        {
            newest = newest.max(Some(earlier.recorded_at.max));
        }
        if let Some(newest) = newest.filter(|newest| *newest > segment.recorded_at.min) {
            let expected = format!("facts recorded from {newest} on, as those before them in their stream");
            let found = format!("facts recorded from {} on", segment.recorded_at.min);
            let anomaly = Anomaly::new(AnomalyKind::Imbalance, segment.path.clone(), expected, found);
            anomalies.push(anomaly.touching(Affected::of(segment)));
        }
    }
    anomalies
}

/// After a deep scan: facts that the ledger covers and that are in no segment must have been dropped or
/// lost. `excused` are the segments that could not be read.
pub(super) fn gaps(
    state: &State,
    path: &str,
    seen: &FactSet,
    gaps: &Gaps,
    excused: &[&Segment],
) -> Vec<Anomaly> {
    let mut allowed = gaps.clone();
    allowed.add(excused.iter().flat_map(|segment| segment.streams.iter().copied()));
    allowed.seal();
    let mut anomalies = Vec::new();
    let mut missing = 0_u64;
    for (stream, known) in &state.streams {
        for gap in seen.unseen(*stream, known.committed) {
            missing = missing.saturating_add(gap.facts().unwrap_or(u64::MAX));
            if !allowed.allow(*stream, gap.first_seq, gap.last_seq) {
                let Span { first, last, .. } = gap.into();
                let (expected, found) =
                    ("facts that are live, or dropped or lost by a commit", "in no segment");
                let anomaly = Anomaly::new(AnomalyKind::Imbalance, path, expected, found);
                anomalies.push(anomaly.touching(Affected::facts(*stream, first, last)));
            }
        }
    }
    let gone = |totals: &PerKind<crate::ledger::Total>| totals.iter().map(|total| total.facts).sum::<u64>();
    let accounted = state.dropped.values().map(gone).sum::<u64>() + gone(&state.lost) + state.unaccounted;
    if anomalies.is_empty() && excused.is_empty() && missing != accounted {
        let expected = format!("{accounted} facts that are in no segment: dropped, lost or unaccounted for");
        let found = format!("{missing} facts that are in no segment");
        anomalies.push(Anomaly::new(AnomalyKind::Imbalance, path, expected, found));
    }
    anomalies
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fact::{Kind, Seq};
    use crate::ledger::{Commit, Stream, StreamRange, TimeRange, Total};

    fn range(first: u64, last: u64) -> StreamRange {
        StreamRange { stream: StreamId(1), first_seq: Seq(first), last_seq: Seq(last) }
    }

    /// A segment of as many facts as its range has, recorded between these instants.
    fn segment(first: u64, last: u64, from: i64, to: i64) -> Arc<Segment> {
        let time = TimeRange { min: UnixNanos(from), max: UnixNanos(to) };
        Arc::new(Segment {
            path: format!("events/1-{first}-{last}-aa.parquet"),
            kind: Kind::Event,
            rows: (last + 1).saturating_sub(first),
            bytes: 1000,
            blake3: String::new(),
            fact_bytes: 100,
            streams: vec![range(first, last)],
            recorded_at: time,
            timestamp: None,
            timestamp_nulls: 0,
            at: time,
        })
    }

    /// The state of a ledger whose one stream is covered up to this fact.
    fn state(committed: u64, segments: Vec<Arc<Segment>>) -> State {
        let mut state = State::begin(&Commit::first(), String::new()).unwrap();
        let stream = Stream { committed: Seq(committed), last_recorded_at: UnixNanos(0), ended: false };
        state.streams.insert(StreamId(1), stream);
        let (facts, bytes) = segments.iter().fold((0, 0), |(f, b), s| (f + s.rows, b + s.fact_bytes));
        state.recorded[Kind::Event] = Total { facts, bytes };
        state.segments[Kind::Event] = segments;
        state
    }

    fn found(state: &State) -> Vec<String> {
        check(state, "head")
            .into_iter()
            .map(|anomaly| format!("{}: {}", anomaly.path, anomaly.found))
            .collect()
    }

    #[test]
    fn numbers_that_fit_each_other() {
        let sound = state(20, vec![segment(11, 20, 5, 9), segment(1, 10, 1, 5)]);
        assert_eq!(found(&sound), [""; 0]);
        // The ranges overlap: the check of the rows decides.
        let interleaved = state(20, vec![segment(1, 9, 1, 9), segment(2, 12, 1, 9)]);
        assert!(
            disorder(&interleaved.segments[Kind::Event].iter().map(AsRef::as_ref).collect::<Vec<_>>())
                .is_empty()
        );
    }

    #[test]
    fn recorded_facts_that_are_nowhere_on_the_sheet() {
        let mut state = state(20, vec![segment(1, 20, 1, 5)]);
        state.recorded[Kind::Event].facts = 21;
        assert_eq!(found(&state), ["head: of 21 events recorded, 20 are live, 0 dropped and 0 lost"]);
    }

    #[test]
    fn segments_beyond_what_their_stream_gave_out() {
        let state = state(15, vec![segment(1, 10, 1, 5), segment(11, 20, 5, 9)]);
        assert!(found(&state).contains(&"events/1-11-20-aa.parquet: facts 11 to 20 of stream 1".to_owned()));
    }

    #[test]
    fn segments_in_the_wrong_order_of_time() {
        let state = state(30, vec![segment(1, 10, 1, 9), segment(11, 20, 3, 4), segment(21, 30, 9, 9)]);
        let [found] = &found(&state)[..] else { panic!("{:?}", found(&state)) };
        assert!(found.starts_with("events/1-11-20-aa.parquet: facts recorded from "), "{found}");
    }

    #[test]
    fn numbers_in_no_segment_must_be_accounted_for() {
        let mut state = state(20, vec![segment(1, 10, 1, 5)]);
        let mut seen = FactSet::default();
        seen.add(StreamId(1), 1..=10);
        let reported = |state: &State, within: &[StreamRange], excused: &[&Segment]| {
            let mut allowed = Gaps::default();
            allowed.add(within.iter().copied());
            gaps(state, "head", &seen, &allowed, excused).len()
        };
        assert_eq!(reported(&state, &[], &[]), 1, "a gap that no commit explains");
        assert_eq!(reported(&state, &[range(11, 20)], &[]), 1, "fewer facts were dropped than are missing");
        assert_eq!(reported(&state, &[range(11, 19)], &[]), 1);
        let damaged = segment(11, 20, 5, 9);
        assert_eq!(reported(&state, &[], &[&damaged]), 0, "the damaged segment is reported already");
        state.unaccounted = 10;
        assert_eq!(reported(&state, &[range(15, 20), range(11, 14)], &[]), 0);
        state.unaccounted = 9;
        assert_eq!(reported(&state, &[range(1, 20)], &[]), 1);
    }
}
