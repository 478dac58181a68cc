//! A dry run: reports what a compaction would do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::examine::Examined;
use super::plan::{Piece, plan};
use super::report::{CompactReport, Holding};
use super::run::{Compaction, limits};
use super::source::memory;
use crate::error::Result;
use crate::fact::Kind;
use crate::ledger::Total;

impl Compaction<'_, '_> {
    /// The report of a compaction without doing it: the plan of the first round, with an estimate of the
    /// new segments.
    pub(super) fn rehearse(mut self) -> Result<CompactReport> {
        let examined = self.examine(true)?;
        if let Err(error) = self.check_newest(&examined) {
            tracing::warn!(%error, "a compaction would refuse to drop facts");
        }
        let limits = limits(self.options);
        let mut after = Holding::default();
        let mut inputs: BTreeMap<Kind, Vec<(Examined, Piece)>> = BTreeMap::new();
        for examined in examined {
            self.count_dropped(examined.segment.kind, &examined.dropped);
            let kept = examined.kept();
            if kept == 0 {
                self.remove.push(Arc::clone(&examined.segment));
                continue;
            }
            let piece = Piece::of(&examined.segment, kept, memory(&examined.segment));
            let gone = examined
                .dropped
                .values()
                .fold(Total::default(), |sum, total| sum.plus(*total).unwrap_or(sum));
            after.facts += kept;
            after.bytes += piece.bytes;
            after.fact_bytes += examined.segment.fact_bytes.saturating_sub(gone.bytes);
            inputs.entry(examined.segment.kind).or_default().push((examined, piece));
        }
        let mut added = 0;
        for inputs in inputs.values() {
            let pieces: Vec<_> = inputs.iter().map(|(_, piece)| piece.clone()).collect();
            let parts = plan(&pieces, limits);
            let read: BTreeSet<usize> = parts.iter().flat_map(|part| part.pieces.iter().copied()).collect();
            let bytes: u64 = read.iter().filter_map(|at| pieces.get(*at)).map(|piece| piece.bytes).sum();
            added += (bytes / limits.target_bytes).max(parts.len() as u64);
            after.segments += (pieces.len() - read.len()) as u64;
            let read = read.iter().filter_map(|at| inputs.get(*at));
            self.remove.extend(read.map(|(examined, _)| Arc::clone(&examined.segment)));
        }
        after.segments += added;
        Ok(CompactReport { dry_run: true, segments_added: added, after, ..self.report(None) })
    }
}
