//! What a consumer group knows: what was delivered, and what of it is pending. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConsumerSummary, GroupSummary};
use crate::fact::{FactId, Kind, Seq, StreamId, UnixNanos};
use crate::follow::Cursor;
use crate::ledger::StreamRange;

/// The state of a group after so many changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupState {
    number: u64,
    delivered: Cursor,
    pending: BTreeMap<FactId, Delivery>,
}

/// To whom a fact was delivered last, when, and how many times it was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Delivery {
    consumer: Arc<str>,
    at: UnixNanos,
    times: u64,
}

impl GroupState {
    /// Of a group that begins behind a cursor.
    pub(super) const fn first(delivered: Cursor) -> Self {
        Self { number: 1, delivered, pending: BTreeMap::new() }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The same with the number of the state that follows.
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
        !self.delivered.has_passed(id) || self.pending.contains_key(&id)
    }

    /// Whether a fact of this range is pending.
    pub(super) fn has_pending_in(&self, range: StreamRange) -> bool {
        let id = |seq| FactId { stream: range.stream, seq };
        range.first_seq <= range.last_seq
            && self.pending.range(id(range.first_seq)..=id(range.last_seq)).next().is_some()
    }

    /// These facts are pending for this consumer from now on, whosever they were.
    pub(super) fn deliver(&mut self, ids: impl Iterator<Item = FactId>, consumer: &str, now: UnixNanos) {
        let consumer: Arc<str> = consumer.into();
        for id in ids {
            self.delivered.pass(id.stream, id.seq);
            let times = self.pending.get(&id).map_or(0, |delivery| delivery.times);
            let times = times.saturating_add(1);
            self.pending.insert(id, Delivery { consumer: Arc::clone(&consumer), at: now, times });
        }
    }

    /// The pending facts of a consumer, behind one of them.
    pub(super) fn pending_of(&self, consumer: &str, after: Option<FactId>) -> impl Iterator<Item = FactId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let pending = self.pending.range((from, Bound::Unbounded));
        pending.filter(move |(_, delivery)| *delivery.consumer == *consumer).map(|(id, _)| *id)
    }

    /// Whether a fact is pending, and was delivered at least so long ago.
    pub(super) fn is_idle(&self, id: FactId, least: Duration, now: UnixNanos) -> bool {
        self.pending.get(&id).is_some_and(|delivery| delivery.idle(now) >= least)
    }

    /// Pending facts that were delivered at least so long ago: those that have waited longest, at
    /// most so many.
    pub(super) fn idle(&self, least: Duration, now: UnixNanos, most: usize) -> BTreeSet<FactId> {
        let idle = self.pending.iter().filter(|(_, delivery)| delivery.idle(now) >= least);
        let mut idle: Vec<_> = idle.map(|(id, delivery)| (delivery.at, *id)).collect();
        idle.sort_unstable();
        idle.into_iter().take(most).map(|(_, id)| id).collect()
    }

    /// How many of these were pending, and are no more.
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
    /// How long ago it was; by a clock that was set back meanwhile, no time at all.
    fn idle(&self, now: UnixNanos) -> Duration {
        let nanos = i128::from(now.get()) - i128::from(self.at.get());
        Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

/// A group's state as it is in its file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StateInFile {
    number: u64,
    delivered: String,
    pending: Vec<PendingInFile>,
}

/// Facts that were delivered together.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PendingInFile {
    consumer: String,
    at: UnixNanos,
    times: u64,
    /// Names of facts, or of the first and the last of some that follow each other: `1:7,1:9-12`.
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
        Self { number: state.number, delivered: state.delivered.to_string(), pending: pending.collect() }
    }
}

impl StateInFile {
    /// The state that was written; `None` if it is not one. No more facts are pending than `most`.
    pub(super) fn state(self, most: usize) -> Option<GroupState> {
        let mut state = GroupState::first(self.delivered.parse().ok()?);
        state.number = self.number;
        for PendingInFile { consumer, at, times, facts } in self.pending {
            let consumer: Arc<str> = consumer.into();
            for run in facts.split(',').filter(|run| !run.is_empty()) {
                let (stream, first, last) = parse_run(run)?;
                if last.0.checked_sub(first.0)? >= (most - state.pending.len()) as u64 {
                    return None;
                }
                for seq in first.0..=last.0 {
                    let delivery = Delivery { consumer: Arc::clone(&consumer), at, times };
                    state.pending.insert(FactId { stream, seq: Seq(seq) }, delivery);
                }
            }
        }
        Some(state)
    }
}

/// `1:7,1:9-12`.
fn runs(ids: &BTreeSet<FactId>) -> String {
    let ids: Vec<FactId> = ids.iter().copied().collect();
    let follow = |one: &FactId, next: &FactId| one.stream == next.stream && one.seq.next() == next.seq;
    let runs = ids.chunk_by(follow).filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        Some(if first == last { first.to_string() } else { format!("{first}-{}", last.seq) })
    });
    runs.collect::<Vec<_>>().join(",")
}

fn parse_run(text: &str) -> Option<(StreamId, Seq, Seq)> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (first, Some(Seq(last.parse().ok()?))),
        None => (text, None),
    };
    let FactId { stream, seq } = first.parse().ok()?;
    Some((stream, seq, last.unwrap_or(seq)))
}
