//! Finds out what became of segments that readable commits name, and whose files are missing.

use super::super::recovery_state::Work;
use super::super::segments::places;
use super::Inquiry;
use crate::fact::Kind;
use crate::ledger::{Lost, Segment, StreamRange, Total};
use crate::maintain::coverage::Coverage;

impl Inquiry {
    /// For missing segments that other segments replaced: facts that are in no replacement were dropped or
    /// lost. Other missing segments stay named, for the next repair.
    pub(in super::super) fn settle_gone(&mut self, work: &Work<'_>) {
        for kind in Kind::ALL {
            let (mut merged, mut elsewhere) = (Vec::new(), 0);
            for segment in std::mem::take(&mut self.gone) {
                let replaced =
                    || segment.streams.iter().any(|range| !self.replaced.within(*range).is_empty());
                let rows = if segment.kind == kind { self.rows_elsewhere(work, &segment) } else { 0 };
                if segment.kind == kind && (rows > 0 || replaced()) {
                    elsewhere += rows.min(segment.rows);
                    merged.push(segment);
                } else {
                    self.gone.push(segment);
                }
            }
            if merged.is_empty() {
                continue;
            }
            let before = merged.iter().fold(Total::default(), |total, segment| Total {
                facts: total.facts.saturating_add(segment.rows),
                bytes: total.bytes.saturating_add(segment.fact_bytes),
            });
            let found = self.replaced_facts[kind].max(elsewhere);
            let bytes = self.replaced_bytes[kind];
            let total = Total {
                facts: before.facts.saturating_sub(found),
                // The ledger does not say how many bytes the facts have that are in named segments.
                bytes: if found >= before.facts { 0 } else { before.bytes.saturating_sub(bytes) },
            };
            if total.facts > 0 {
                self.unknown.push(format!(
                    "whether {} {kind} of segments that are gone were lost, or dropped by retention",
                    total.facts
                ));
                let within = merged.iter().flat_map(|segment| segment.streams.iter().copied()).collect();
                self.lost.push(Lost { kind, total, within });
            }
        }
        self.accepted.append(&mut self.gone);
    }

    /// The number of facts of a missing segment that accepted segments have: a compaction has merged it, and the
    /// commit that says so cannot be read.
    fn rows_elsewhere(&self, work: &Work<'_>, gone: &Segment) -> u64 {
        let mut taken = Coverage::default();
        let others = self.accepted.iter().filter(|other| other.kind == gone.kind);
        for other in others.filter(|other| StreamRange::any_touch(&other.streams, &gone.streams)) {
            let mut own = Coverage::default();
            // A damaged segment shows nothing here; the repair that follows accounts for it.
            if places(&work.root.join(&other.path), gone.kind, &mut own).is_ok() {
                taken.add_all(&own.ranges());
            }
        }
        let found = gone.streams.iter().flat_map(|range| taken.within(*range));
        found.filter_map(StreamRange::facts).fold(0, u64::saturating_add)
    }
}
