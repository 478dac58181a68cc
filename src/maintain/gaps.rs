//! Ranges in which numbers of facts may be missing from a store's segments, according to its commits.

use std::collections::BTreeMap;

use crate::fact::{Seq, StreamId};
use crate::ledger::{Action, StreamRange};

/// Ranges in which commits have dropped or lost facts: the missing numbers are in these ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps {
    within: BTreeMap<StreamId, Vec<(Seq, Seq)>>,
    /// Whether numbers may be missing anywhere, because not all commits could be read.
    pub(super) anywhere: bool,
}

impl Gaps {
    /// Whether all these facts may be missing.
    pub(crate) fn allow(&self, stream: StreamId, first: Seq, last: Seq) -> bool {
        let mut reached = Seq(first.0.saturating_sub(1));
        // Sorted by `seal`.
        for (from, to) in self.within.get(&stream).into_iter().flatten() {
            if *from <= reached.next() {
                reached = reached.max(*to);
            }
        }
        self.anywhere || reached >= last
    }

    /// Adds ranges whose facts may be missing.
    pub(crate) fn add(&mut self, ranges: impl IntoIterator<Item = StreamRange>) {
        for range in ranges {
            self.within.entry(range.stream).or_default().push((range.first_seq, range.last_seq));
        }
    }

    /// Sorts the ranges. Call this before [`Self::allow`].
    pub(crate) fn seal(&mut self) {
        self.within.values_mut().for_each(|ranges| ranges.sort_unstable());
    }

    pub(super) fn note(&mut self, action: &Action) {
        match action {
            Action::Compact { remove, dropped, .. }
                if dropped.iter().any(|dropped| dropped.total.facts > 0) =>
            {
                self.add(remove.iter().flat_map(|segment| segment.streams.iter().copied()));
            }
            Action::Repair { lost, .. } => self.add(lost.iter().flat_map(|lost| lost.within.iter().copied())),
            Action::Salvage { lost, .. } => self.add(lost.iter().copied()),
            Action::Rebuild(rebuilt) => {
                self.add(rebuilt.streams.iter().map(|(stream, known)| StreamRange {
                    stream: *stream,
                    first_seq: Seq(1),
                    last_seq: known.committed,
                }));
            }
            _ => {}
        }
    }
}
