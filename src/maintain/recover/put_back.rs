//! Restores facts of a lost segment from other files than its own, which were put back after the loss: the
//! segments that it was merged from, other segments that no commit names, and journals.
//!
//! The facts are found and proven as for a damaged segment ([`segments::gather`]), among the numbers that the
//! repair lost. If only some of them are back, the others stay lost, and may be put back later.

use std::collections::BTreeSet;

use super::journals::{read_journals, stream_of};
use super::other_copies::is_dropped;
use super::path_state::FileState;
use super::recovery_state::Work;
use super::replacements::total_of;
use super::restore_lost::discard_unless_live;
use super::segments::{self, Damaged, few, others};
use crate::error::Result;
use crate::fact::{Kind, StreamId, codec};
use crate::journal::claim::{self, Claim};
use crate::ledger::{Action, LossyRepair, Lost, Segment, StreamRange, TimeRange, Total};
use crate::maintain::coverage::Coverage;
use crate::maintain::lossy_repair::LostPlaces;
use crate::maintain::{AnomalyKind, ScanReport, commit_chain};
use crate::segment;

/// The files that were put back.
#[derive(Debug, Default)]
pub(super) struct PutBack {
    /// Segments, by their paths below the root.
    pub(super) segments: BTreeSet<String>,
    /// The streams of journals.
    streams: BTreeSet<StreamId>,
}

impl PutBack {
    /// Finds them among the findings of a scan.
    pub(super) fn find(work: &Work<'_>, found: &ScanReport) -> Result<Self> {
        let mut put_back = Self::default();
        let is_unknown =
            |kind: AnomalyKind| matches!(kind, AnomalyKind::SegmentUnknown | AnomalyKind::JournalUnknown);
        if !found.anomalies.iter().any(|anomaly| is_unknown(anomaly.kind)) {
            return Ok(put_back);
        }
        let known = lossy_repairs(work)?;
        let state = work.ledger()?.refresh()?;
        let lost = LostPlaces::new(work.root, &state, &known);
        for anomaly in found.anomalies.iter().filter(|anomaly| is_unknown(anomaly.kind)) {
            let path = &anomaly.path;
            if let Some(stream) = stream_of(path) {
                put_back.streams.insert(stream);
            } else if let Some(kind) = Kind::of_segment(path)
                && lost.in_segment(&work.root.join(path), kind)?.is_some()
            {
                put_back.segments.insert(path.clone());
            }
        }
        Ok(put_back)
    }

    /// Restores the lost facts in these files. A file that still has facts which are in doubt is moved aside.
    pub(super) fn restore(&self, work: &mut Work<'_>) -> Result<()> {
        if self.segments.is_empty() && self.streams.is_empty() {
            return Ok(());
        }
        // Where it is owned, restoring its journal has said so.
        let mut claims = Vec::new();
        for stream in &self.streams {
            claims.extend(claim::try_claim(work.disk, work.root, *stream)?);
        }
        let mut restored = 0;
        for losses in together(&lossy_repairs(work)?) {
            restored += restore(work, &losses)?;
        }
        for path in &self.segments {
            if restored > 0 {
                work.repaired(path);
            }
            work.move_unknown_file(&work.root.join(path))?;
        }
        claims.iter().try_for_each(|claim| settle_journals(work, claim, restored > 0))
    }
}

/// Moves the journals of a stream aside that still have lost facts. The others go with the next compaction.
fn settle_journals(work: &mut Work<'_>, claim: &Claim, restored: bool) -> Result<()> {
    let known = lossy_repairs(work)?;
    let state = work.ledger()?.refresh()?;
    let lost = LostPlaces::new(work.root, &state, &known);
    for journal in read_journals(work, state.store, claim.stream)? {
        let (mut has_lost, mut has_new) = (false, false);
        for frame in journal.frames() {
            has_new |= frame.seq > state.committed(claim.stream);
            let Some(kind) = codec::kind_of(frame.body) else { continue };
            has_lost = has_lost || lost.contains(kind, claim.stream, frame.seq)?;
        }
        // Facts that are in no segment yet are only here.
        if has_lost && has_new {
            work.note(format!(
                "{} has facts that are not flushed yet, and was left alone",
                work.name(&journal.path)
            ));
        } else if has_lost {
            work.note(format!(
                "facts in {} have the numbers of facts that were given up as lost, and cannot be proven to \
                 be these; the file was moved aside",
                work.name(&journal.path)
            ));
            work.move_unknown_file(&journal.path)?;
        } else if restored {
            work.repaired(&work.name(&journal.path));
        }
    }
    Ok(())
}

/// The repairs that lost facts of segments.
fn lossy_repairs(work: &Work<'_>) -> Result<Vec<LossyRepair>> {
    let mut known = Vec::new();
    commit_chain::walk(work.root, |commit, _| LossyRepair::add_commit(&mut known, commit))?;
    Ok(known)
}

/// A loss, and the repair that made it.
type Loss = (LossyRepair, Lost);

/// The losses. Those with facts of the same numbers are together: a fact may have been restored once and lost again, and
/// it is unknown which of them lost it.
fn together(known: &[LossyRepair]) -> Vec<Vec<Loss>> {
    let mut groups: Vec<Vec<Loss>> = Vec::new();
    for repair in known {
        for lost in repair.lost.iter().filter(|lost| lost.total.facts > 0) {
            let touches = |(_, other): &Loss| {
                other.kind == lost.kind && StreamRange::any_touch(&other.within, &lost.within)
            };
            let (mut same, others): (Vec<_>, Vec<_>) =
                groups.into_iter().partition(|group| group.iter().any(touches));
            groups = others;
            same.push(vec![(repair.clone(), lost.clone())]);
            groups.push(same.into_iter().flatten().collect());
        }
    }
    groups
}

/// Restores facts of losses with the same numbers. Returns how many.
fn restore(work: &mut Work<'_>, losses: &[Loss]) -> Result<u64> {
    let Some((repair, first)) = losses.first() else { return Ok(0) };
    let (state, kind) = (work.ledger()?.refresh()?, first.kind);
    let lost = losses.iter().try_fold(Total::default(), |sum, (_, lost)| sum.plus(lost.total));
    let lost = lost.unwrap_or_default();
    let (mut within, mut recorded_at) = (Coverage::default(), None);
    for (repair, lost) in losses {
        within.add_all(&lost.within);
        TimeRange::cover(&mut recorded_at, repair.segment.recorded_at);
    }
    // What is left of the segments. The inputs of one of them do not hold everything that several lost.
    let path = if losses.len() == 1 { repair.segment.path.clone() } else { String::new() };
    let wanted = Segment {
        path,
        rows: lost.facts,
        fact_bytes: lost.bytes,
        streams: within.ranges(),
        recorded_at: recorded_at.unwrap_or(repair.segment.recorded_at),
        ..repair.segment.clone()
    };
    // Rules dropped none of the kind, and no other repair lost one.
    let none_is_gone = !is_dropped(&state, kind) && state.lost[kind].facts == lost.facts;
    let others = others(work, &state, &wanted)?;
    let damaged = Damaged { state: &state, segment: &wanted, others, none_is_gone, is_given_up: true };
    let heirs = segments::gather(work, &damaged, &FileState::Nothing)?;
    let total = total_of(&heirs.add).unwrap_or_default();
    let found = shares(losses, total).filter(|_| !heirs.add.is_empty());
    let Some(found) = found else {
        segment::discard(work.disk, work.root, &heirs.add);
        return Ok(0);
    };
    let places = few(heirs.unverified.ranges(), &wanted);
    let doubts = heirs.doubts(kind, &places);
    let result = work.ledger()?.commit(|now| {
        let known = now.lost[kind];
        let is_lost = known.facts >= total.facts && known.bytes >= total.bytes;
        Ok(is_lost.then(|| Action::Repair {
            remove: Vec::new(),
            add: heirs.add.clone(),
            lost: Vec::new(),
            found: found.clone(),
            proven: Vec::new(),
            unverified: doubts.clone(),
        }))
    });
    match result {
        Ok(Some(_)) => {}
        Ok(None) => {
            segment::discard(work.disk, work.root, &heirs.add);
            return Ok(0);
        }
        Err(error) => {
            discard_unless_live(work, &heirs.add)?;
            return Err(error);
        }
    }
    work.report_doubts(&repair.segment.path, &doubts);
    work.note(format!(
        "{} {kind} that commit {} gave up as lost are part of the store again",
        total.facts, repair.by
    ));
    Ok(total.facts)
}

/// The part of found facts that each loss gets, the oldest first; `None` if they are more than were lost.
fn shares(losses: &[Loss], found: Total) -> Option<Vec<Lost>> {
    let mut rest = found;
    let mut shares = Vec::new();
    for (_, lost) in losses {
        let total =
            Total { facts: rest.facts.min(lost.total.facts), bytes: rest.bytes.min(lost.total.bytes) };
        rest = Total { facts: rest.facts - total.facts, bytes: rest.bytes - total.bytes };
        if total != Total::default() {
            shares.push(Lost { total, ..lost.clone() });
        }
    }
    (rest == Total::default()).then_some(shares)
}
