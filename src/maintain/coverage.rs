//! A set of facts by their places: for each stream, ranges that do not touch.

use std::collections::BTreeMap;

use crate::fact::{Seq, StreamId};
use crate::ledger::StreamRange;

/// A set of places. A flush covers every number of a range over all its kinds together, so the set for a
/// whole store is small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage(BTreeMap<StreamId, BTreeMap<u64, u64>>);

impl Coverage {
    /// Adds the facts `first` to `last` of a stream.
    pub(super) fn add(&mut self, stream: StreamId, first: Seq, last: Seq) {
        if last < first {
            return;
        }
        let ranges = self.0.entry(stream).or_default();
        let (mut first, mut last) = (first.0, last.0);
        // Ranges that touch the new range become part of it.
        while let Some((begin, end)) = ranges
            .range(..=last.saturating_add(1))
            .next_back()
            .map(|(begin, end)| (*begin, *end))
            .filter(|(_, end)| end.saturating_add(1) >= first)
        {
            ranges.remove(&begin);
            (first, last) = (first.min(begin), last.max(end));
        }
        ranges.insert(first, last);
    }

    /// Adds the facts of all these ranges.
    pub(super) fn add_all(&mut self, ranges: &[StreamRange]) {
        for range in ranges {
            self.add(range.stream, range.first_seq, range.last_seq);
        }
    }

    /// Adds one fact.
    pub(super) fn insert(&mut self, stream: StreamId, seq: Seq) {
        self.add(stream, seq, seq);
    }

    /// Whether this fact is in it.
    pub(super) fn contains(&self, stream: StreamId, seq: Seq) -> bool {
        let before = self.0.get(&stream).and_then(|ranges| ranges.range(..=seq.0).next_back());
        before.is_some_and(|(_, end)| *end >= seq.0)
    }

    /// The parts of the range that are in the set.
    pub(super) fn within(&self, range: StreamRange) -> Vec<StreamRange> {
        let Some(ranges) = self.0.get(&range.stream) else { return Vec::new() };
        let (first, last) = (range.first_seq.0, range.last_seq.0);
        if last < first {
            return Vec::new();
        }
        let before = ranges.range(..first).next_back().filter(|(_, end)| **end >= first);
        let all = before.into_iter().chain(ranges.range(first..=last));
        all.map(|(begin, end)| StreamRange {
            stream: range.stream,
            first_seq: Seq((*begin).max(first)),
            last_seq: Seq((*end).min(last)),
        })
        .collect()
    }

    /// The parts of the range that are not in the set.
    pub(super) fn gaps(&self, range: StreamRange) -> Vec<StreamRange> {
        let mut gaps = Vec::new();
        let mut next = range.first_seq;
        for part in self.within(range) {
            if next < part.first_seq {
                gaps.push(StreamRange { last_seq: Seq(part.first_seq.0 - 1), first_seq: next, ..range });
            }
            next = part.last_seq.next();
        }
        if next <= range.last_seq {
            gaps.push(StreamRange { first_seq: next, ..range });
        }
        gaps
    }

    /// All ranges of the set.
    pub(super) fn ranges(&self) -> Vec<StreamRange> {
        let each = self.0.iter().flat_map(|(stream, ranges)| {
            ranges.iter().map(|(first, last)| StreamRange {
                stream: *stream,
                first_seq: Seq(*first),
                last_seq: Seq(*last),
            })
        });
        each.collect()
    }

    /// The number of facts in the set.
    pub(super) fn facts(&self) -> u64 {
        self.ranges().iter().filter_map(|range| range.facts()).sum()
    }

    /// The last fact of a stream.
    pub(super) fn last(&self, stream: StreamId) -> Option<Seq> {
        self.0.get(&stream)?.values().next_back().map(|last| Seq(*last))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn range(first: u64, last: u64) -> StreamRange {
        StreamRange { stream: StreamId(1), first_seq: Seq(first), last_seq: Seq(last) }
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_its_places(
            given in prop::collection::vec((1_u64..60, 0_u64..12), 0..30),
            asked in (1_u64..60, 0_u64..30),
        ) {
            let mut coverage = Coverage::default();
            let mut model = BTreeSet::new();
            for (first, more) in given {
                coverage.add(StreamId(1), Seq(first), Seq(first + more));
                model.extend(first..=first + more);
            }
            for seq in 0..80 {
                prop_assert_eq!(coverage.contains(StreamId(1), Seq(seq)), model.contains(&seq));
            }
            prop_assert_eq!(coverage.last(StreamId(1)), model.last().map(|last| Seq(*last)));
            let asked = range(asked.0, asked.0 + asked.1);
            let numbers = |ranges: Vec<StreamRange>| -> Vec<u64> {
                ranges.iter().flat_map(|range| range.first_seq.0..=range.last_seq.0).collect()
            };
            let all: Vec<u64> = (asked.first_seq.0..=asked.last_seq.0).collect();
            let (within, gaps): (Vec<u64>, Vec<u64>) = all.iter().partition(|seq| model.contains(seq));
            prop_assert_eq!(numbers(coverage.within(asked)), within);
            prop_assert_eq!(numbers(coverage.gaps(asked)), gaps);
            // No two ranges touch.
            let ranges = coverage.ranges();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].last_seq.0 + 1 < pair[1].first_seq.0));
            prop_assert!(!coverage.contains(StreamId(2), Seq(5)));
        }
    }
}
