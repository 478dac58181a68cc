//! Journal files with facts that were given up as lost.

use std::path::PathBuf;

use super::leftovers::read_journal;
use crate::fact::{StreamId, codec};
use crate::frame::{FileHeader, Frame};
use crate::journal::claim::JournalFile;
use crate::journal::intact_frames::sound;
use crate::ledger::{Ledger, LossyRepair, State, StreamRange};

/// Lost facts of a stream that its journal files may have, because the files were put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LostFacts {
    None,
    /// Facts that a recovery gave up as lost. `recover` restores them from these files.
    Known,
    /// A rebuilt ledger does not know all numbers that it lost: the files may have facts with covered
    /// numbers.
    Possible,
}

impl LostFacts {
    pub(super) fn in_files(ledger: &Ledger, state: &State, stream: StreamId, files: &[JournalFile]) -> Self {
        let ended = state.streams.get(&stream).is_some_and(|stream| stream.ended);
        // A salvage ends its stream.
        let may_be_of_salvage = ended && state.unaccounted > 0;
        let may_be_of_segment = state.lost.iter().any(|lost| lost.facts > 0);
        if files.is_empty() || !(may_be_of_salvage || may_be_of_segment) {
            return Self::None;
        }
        // If commits cannot be read, `recover` may need every file, so none is removed.
        let Ok((lost, repairs)) = ledger.lost_facts(state) else { return Self::Known };
        let has_unknown = may_be_of_salvage && lost.count() < state.unaccounted;
        let is_lost = |frame: &Frame<'_>| {
            let of_salvage = || may_be_of_salvage && lost.contains(stream, frame.seq);
            of_salvage() || is_in_lost_segment(&repairs, stream, frame)
        };
        let header = FileHeader { stream, store: state.store };
        let committed = state.committed(stream);
        let mut found = Self::None;
        for file in files {
            let Ok(bytes) = read_journal(file) else { return Self::Known };
            if FileHeader::decode(&bytes).is_ok_and(|found| found != header) {
                continue;
            }
            // Also after damage.
            let facts = sound(&bytes).facts;
            if facts.iter().any(is_lost) {
                return Self::Known;
            }
            if has_unknown && facts.iter().any(|frame| frame.seq <= committed) {
                found = Self::Possible;
            }
        }
        found
    }
}

/// Whether a repair lost facts of this kind, and the fact has one of their numbers.
fn is_in_lost_segment(repairs: &[LossyRepair], stream: StreamId, frame: &Frame<'_>) -> bool {
    let place = StreamRange { stream, first_seq: frame.seq, last_seq: frame.seq };
    let kind = codec::kind_of(frame.body);
    let mut lost = repairs.iter().flat_map(|repair| &repair.lost).filter(|lost| lost.total.facts > 0);
    lost.any(|lost| Some(lost.kind) == kind && lost.within.iter().any(|range| range.touches(&place)))
}

/// The files that are kept in `quarantine/` before they are removed.
pub(super) fn kept_aside(mut kept: Vec<PathBuf>, lost: LostFacts, files: &[JournalFile]) -> Vec<PathBuf> {
    if lost == LostFacts::Possible {
        kept = files.iter().map(|file| file.path.clone()).collect();
    }
    kept
}
