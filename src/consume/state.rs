//! The state of a consumer group: delivered and pending facts. It reads and writes no files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConsumerSummary, GroupSummary};
use crate::fact::{FactId, Kind, Seq, UnixNanos};
use crate::follow::Cursor;
use crate::ledger::StreamRange;

/// The most ranges of skipped facts that are kept.
const MOST_PASSED_OVER: usize = 10_000;

/// The state of a group after a number of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupState {
    number: u64,
    delivered: Cursor,
    pending: BTreeMap<FactId, Delivery>,
    /// Ranges before `delivered` that were not delivered, because retention hid them. In each range all
    /// facts of the kind are hidden.
    passed_over: Vec<StreamRange>,
}

/// The last delivery of a fact: its consumer, its time, and how many deliveries there were.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Delivery {
    consumer: Arc<str>,
    at: UnixNanos,
    times: u64,
}

impl GroupState {
    /// The first state of a group that begins after a cursor.
    pub(super) const fn first(delivered: Cursor) -> Self {
        Self { number: 1, delivered, pending: BTreeMap::new(), passed_over: Vec::new() }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// This state with the number of the next state.
    pub(super) fn next(mut self) -> Self {
        self.number = self.number.saturating_add(1);
        self
    }

    pub(super) const fn delivered(&self) -> &Cursor {
        &self.delivered
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether a fact was not delivered, or not acknowledged.
    pub(super) fn is_open(&self, id: FactId) -> bool {
        let is_in = |range: &StreamRange| {
            range.stream == id.stream && (range.first_seq..=range.last_seq).contains(&id.seq)
        };
        !self.delivered.has_passed(id) || self.pending.contains_key(&id) || self.passed_over.iter().any(is_in)
    }

    /// Notes the parts of the given ranges between the earlier and the current delivered position. If there
    /// are too many ranges, the oldest are forgotten: most likely a compaction has dropped their facts.
    pub(super) fn pass_over(&mut self, before: &Cursor, hidden: &[StreamRange]) {
        for range in hidden {
            let first_seq = range.first_seq.max(before.seq(range.stream).next());
            let last_seq = range.last_seq.min(self.delivered.seq(range.stream));
            if first_seq <= last_seq {
                self.passed_over.push(StreamRange { stream: range.stream, first_seq, last_seq });
            }
        }
        let surplus = self.passed_over.len().saturating_sub(MOST_PASSED_OVER);
        self.passed_over.drain(..surplus);
    }

    /// Whether facts of this range may have been skipped.
    pub(super) fn has_passed_over_in(&self, range: StreamRange) -> bool {
        self.passed_over.iter().any(|passed| passed.touches(&range))
    }

    /// Whether a fact of this range is pending.
    pub(super) fn has_pending_in(&self, range: StreamRange) -> bool {
        let id = |seq| FactId { stream: range.stream, seq };
        range.first_seq <= range.last_seq
            && self.pending.range(id(range.first_seq)..=id(range.last_seq)).next().is_some()
    }

    /// Makes these facts pending for this consumer, whichever consumer had them before.
    pub(super) fn deliver(&mut self, ids: impl Iterator<Item = FactId>, consumer: &str, now: UnixNanos) {
        let consumer: Arc<str> = consumer.into();
        for id in ids {
            self.delivered.pass(id.stream, id.seq);
            let times = self.pending.get(&id).map_or(0, |delivery| delivery.times);
            let times = times.saturating_add(1);
            self.pending.insert(id, Delivery { consumer: Arc::clone(&consumer), at: now, times });
        }
    }

    /// The pending facts of a consumer, after one of them.
    pub(super) fn pending_of(&self, consumer: &str, after: Option<FactId>) -> impl Iterator<Item = FactId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let pending = self.pending.range((from, Bound::Unbounded));
        pending.filter(move |(_, delivery)| *delivery.consumer == *consumer).map(|(id, _)| *id)
    }

    /// Whether a fact is pending, and was delivered at least this long ago.
    pub(super) fn is_idle(&self, id: FactId, least: Duration, now: UnixNanos) -> bool {
        self.pending.get(&id).is_some_and(|delivery| delivery.idle(now) >= least)
    }

    /// Pending facts that were delivered at least this long ago: those that have waited longest first.
    pub(super) fn idle(&self, least: Duration, now: UnixNanos) -> Vec<FactId> {
        let idle = self.pending.iter().filter(|(_, delivery)| delivery.idle(now) >= least);
        let mut idle: Vec<_> = idle.map(|(id, delivery)| (delivery.at, *id)).collect();
        idle.sort_unstable();
        idle.into_iter().map(|(_, id)| id).collect()
    }

    /// Removes pending facts, and returns how many of them were pending.
    pub(super) fn acknowledge(&mut self, ids: &[FactId]) -> u64 {
        ids.iter().filter(|id| self.pending.remove(id).is_some()).count() as u64
    }

    pub(super) fn summary(&self, kind: Kind, group: &str, now: UnixNanos) -> GroupSummary {
        let mut consumers: BTreeMap<&str, ConsumerSummary> = BTreeMap::new();
        for delivery in self.pending.values() {
            let of = consumers.entry(&delivery.consumer).or_insert_with(|| ConsumerSummary {
                consumer: delivery.consumer.to_string(),
                pending: 0,
                longest_idle: Duration::ZERO,
            });
            of.pending += 1;
            of.longest_idle = of.longest_idle.max(delivery.idle(now));
        }
        let ends = self.pending.first_key_value().zip(self.pending.last_key_value());
        GroupSummary {
            kind,
            group: group.to_owned(),
            delivered: self.delivered.clone(),
            pending: self.pending.len() as u64,
            pending_range: ends.map(|((first, _), (last, _))| (*first, *last)),
            consumers: consumers.into_values().collect(),
        }
    }
}

impl Delivery {
    /// The time since the delivery; zero if the clock was set back meanwhile.
    fn idle(&self, now: UnixNanos) -> Duration {
        let nanos = i128::from(now.get()) - i128::from(self.at.get());
        Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

/// A group's state as in its file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StateInFile {
    number: u64,
    delivered: String,
    pending: Vec<PendingInFile>,
    /// Runs of names, as for pending facts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    passed_over: String,
}

/// Facts that were delivered together.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PendingInFile {
    consumer: String,
    at: UnixNanos,
    times: u64,
    /// Names of facts, or of the first and the last of consecutive ones: `1:7,1:9-12`.
    facts: String,
}

impl From<&GroupState> for StateInFile {
    fn from(state: &GroupState) -> Self {
        let mut together: BTreeMap<(&str, UnixNanos, u64), BTreeSet<FactId>> = BTreeMap::new();
        for (id, delivery) in &state.pending {
            let of = together.entry((&delivery.consumer, delivery.at, delivery.times)).or_default();
            of.insert(*id);
        }
        let pending = together.into_iter().map(|((consumer, at, times), ids)| PendingInFile {
            consumer: consumer.to_owned(),
            at,
            times,
            facts: runs(&ids),
        });
        Self {
            number: state.number,
            delivered: state.delivered.to_string(),
            pending: pending.collect(),
            passed_over: state.passed_over.iter().map(run).collect::<Vec<_>>().join(","),
        }
    }
}

impl StateInFile {
    /// The state in the file; `None` if it is invalid. At most `most` facts may be pending.
    pub(super) fn state(self, most: usize) -> Option<GroupState> {
        let mut state = GroupState::first(self.delivered.parse().ok()?);
        state.number = self.number;
        for PendingInFile { consumer, at, times, facts } in self.pending {
            let consumer: Arc<str> = consumer.into();
            for run in facts.split(',').filter(|run| !run.is_empty()) {
                let StreamRange { stream, first_seq, last_seq } = parse_run(run)?;
                if last_seq.0.checked_sub(first_seq.0)? >= most.checked_sub(state.pending.len())? as u64 {
                    return None;
                }
                for seq in first_seq.0..=last_seq.0 {
                    let delivery = Delivery { consumer: Arc::clone(&consumer), at, times };
                    state.pending.insert(FactId { stream, seq: Seq(seq) }, delivery);
                }
            }
        }
        let passed_over = self.passed_over.split(',').filter(|run| !run.is_empty());
        state.passed_over = passed_over.map(parse_run).collect::<Option<_>>()?;
        Some(state)
    }
}

/// Writes `1:7,1:9-12`.
fn runs(ids: &BTreeSet<FactId>) -> String {
    let ids: Vec<FactId> = ids.iter().copied().collect();
    let follow = |one: &FactId, next: &FactId| one.stream == next.stream && one.seq.next() == next.seq;
    let runs = ids.chunk_by(follow).filter_map(|of_run| {
        let (first, last) = (of_run.first()?, of_run.last()?);
        Some(run(&StreamRange { last_seq: last.seq, ..StreamRange::of(*first) }))
    });
    runs.collect::<Vec<_>>().join(",")
}

fn run(range: &StreamRange) -> String {
    let StreamRange { stream, first_seq, last_seq } = range;
    if first_seq == last_seq {
        format!("{stream}:{first_seq}")
    } else {
        format!("{stream}:{first_seq}-{last_seq}")
    }
}

fn parse_run(text: &str) -> Option<StreamRange> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (first, Some(Seq(last.parse().ok()?))),
        None => (text, None),
    };
    let FactId { stream, seq } = first.parse().ok()?;
    Some(StreamRange { last_seq: last.unwrap_or(seq), ..StreamRange::of(FactId { stream, seq }) })
}
