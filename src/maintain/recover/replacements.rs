//! The segments that replace a damaged segment.

use super::recovery_state::Work;
use crate::fact::Kind;
use crate::ledger::{Segment, StreamRange, Total, Unverified};
use crate::maintain::coverage::Coverage;
use crate::segment;

/// The segments that replace a damaged one.
#[derive(Default)]
pub(super) struct Heirs {
    pub(super) add: Vec<Segment>,
    /// The places in `add` whose facts are not exact.
    pub(super) unverified: Coverage,
    pub(super) unverified_facts: u64,
    /// All places in `add`.
    pub(super) saved: Coverage,
    /// The number of exact segments at the beginning of `add`, and the places of their facts.
    exact: (usize, Coverage),
}

impl Heirs {
    /// A copy with the segment's digest.
    pub(super) fn of_copy(copy: Segment) -> Self {
        Self { add: vec![copy], ..Self::default() }
    }

    /// Whether they have as many facts and bytes as the segment had.
    pub(super) fn is_whole(&self, segment: &Segment) -> bool {
        total_of(&self.add) == Some(Total::of(segment))
    }

    /// The segment's facts that are not here.
    pub(super) fn missing_of(&self, segment: &Segment) -> Total {
        let (all, here) = (Total::of(segment), total_of(&self.add).unwrap_or_default());
        Total { facts: all.facts.saturating_sub(here.facts), bytes: all.bytes.saturating_sub(here.bytes) }
    }

    /// Adds segments, and the places of their facts. `exact` says whether the facts are proven.
    pub(super) fn add_written(&mut self, written: Vec<Segment>, places: &[StreamRange], exact: bool) {
        if !exact {
            self.unverified_facts += written.iter().map(|heir| heir.rows).sum::<u64>();
            self.unverified.add_all(places);
        }
        self.saved.add_all(places);
        self.add.extend(written);
        if exact {
            self.exact = (self.add.len(), self.saved.clone());
        }
    }

    /// What the ledger notes about the facts that are not proven. `within` are their places.
    pub(super) fn doubts(&self, kind: Kind, within: &[StreamRange]) -> Vec<Unverified> {
        match self.unverified_facts {
            0 => Vec::new(),
            facts => vec![Unverified { kind, facts, within: within.to_vec() }],
        }
    }

    /// Removes the segments that are not exact. Returns how many facts remain.
    pub(super) fn keep_exact(&mut self, work: &Work<'_>) -> u64 {
        let (exact, places) = std::mem::take(&mut self.exact);
        let rest = self.add.split_off(exact.min(self.add.len()));
        segment::discard(work.disk, work.root, &rest);
        let add = std::mem::take(&mut self.add);
        *self = Self { add, saved: places, ..Self::default() };
        self.add.iter().map(|heir| heir.rows).sum()
    }
}

/// The number of facts in these segments, and their bytes; `None` beyond 64 bits.
pub(super) fn total_of(segments: &[Segment]) -> Option<Total> {
    segments.iter().try_fold(Total::default(), |total, segment| total.plus(Total::of(segment)))
}
