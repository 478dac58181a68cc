//! Finds out which inputs were imported, if the commits of imports cannot be read.

use super::super::import_positions::Imported;
use super::super::ledger_parts::Evidence;
use super::super::recovery_state::Work;
use super::Inquiry;
use crate::error::Result;
use crate::fact::{Kind, Seq};
use crate::ledger::{Segment, StreamRange};
use crate::maintain::coverage::Coverage;
use crate::maintain::damaged_segment::DamagedSegment;
use crate::segment;

/// The note about imports whose commits cannot be read, after a compaction has merged their facts.
pub(super) const MERGED_IMPORTS: &str = "which inputs were imported whose facts a compaction has merged, if any: importing one of them \
                              again doubles its facts";

impl Inquiry {
    /// The places of an import's own facts in accepted segments.
    pub(super) fn of_import(&self, work: &Work<'_>, imported: &Imported) -> Result<Coverage> {
        let mut own = Coverage::default();
        let ranges = &imported.label.streams;
        for other in self.accepted.iter().filter(|other| StreamRange::any_touch(&other.streams, ranges)) {
            if let Some(wreck) = DamagedSegment::by_footer(&work.root.join(&other.path), other.kind)? {
                imported.find_in(&wreck, &mut own)?;
            }
        }
        Ok(own)
    }

    /// Whether other known facts have numbers of this part of an input.
    pub(super) fn gives_way(
        &self,
        work: &Work<'_>,
        evidence: &Evidence,
        imported: &Imported,
    ) -> Result<bool> {
        let ranges = &imported.label.streams;
        let mut taken = Coverage::default();
        for kind in Kind::ALL {
            taken.add_all(&self.accepted_places(work, kind, ranges)?.ranges());
        }
        for range in ranges {
            taken.add_all(&evidence.flushed.within(*range));
            taken.add_all(&self.journaled.within(*range));
        }
        let mut own = self.of_import(work, imported)?;
        // A segment of a repair that had restored them, and that is missing now.
        for gone in self.gone.iter().filter(|gone| imported.made(gone.recorded_at)) {
            own.add_all(&gone.streams);
        }
        Ok(imported.gives_way(&taken, &own))
    }

    /// Whether a compaction may have merged facts of an import into this segment whose commit cannot be read: no
    /// readable commit covers them, and their stream has no journal file.
    pub(super) fn may_be_imported(&self, work: &Work<'_>, evidence: &Evidence, segment: &Segment) -> bool {
        let is_unknown = |range: &StreamRange| {
            let known = evidence.streams.get(&range.stream).map_or(Seq(0), |known| known.committed);
            let has_journal = self.journals.get(&range.stream).is_some_and(|files| !files.is_empty());
            known < range.last_seq && !has_journal
        };
        !segment::is_imported(&work.root.join(&segment.path)) && segment.streams.iter().any(is_unknown)
    }
}
