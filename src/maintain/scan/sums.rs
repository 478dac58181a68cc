//! Whether the ledger's numbers fit each other: pure, over what the commits add up to.

use std::collections::BTreeMap;

use super::super::anomaly::{Affected, Anomaly, AnomalyKind, Span};
use super::super::chain::Gaps;
use super::seen::Seen;
use crate::fact::{StreamId, UnixNanos};
use crate::ledger::{Segment, State};

/// Recorded facts are live, dropped or lost; segments hold what their streams gave out, and in
/// the order of time.
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

/// Segments of one stream whose facts come later than others', and were recorded earlier. Those
/// whose numbers are among each other's are left to the rows.
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

/// After a deep scan: numbers that the ledger covers and that are in no segment must be those of
/// facts that were dropped or lost. `excused` tells of segments that could not be read.
pub(super) fn gaps(
    state: &State,
    path: &str,
    seen: &Seen,
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
    let gone = |totals: &[crate::ledger::Total; 3]| totals.iter().map(|total| total.facts).sum::<u64>();
    let accounted = state.dropped.values().map(gone).sum::<u64>() + gone(&state.lost) + state.unaccounted;
    if anomalies.is_empty() && excused.is_empty() && missing != accounted {
        let expected = format!("{accounted} facts that are in no segment: dropped, lost or unaccounted for");
        let found = format!("{missing} facts that are in no segment");
        anomalies.push(Anomaly::new(AnomalyKind::Imbalance, path, expected, found));
    }
    anomalies
}
