//! Restores facts of a lost segment from other files than its own, which were put back after the loss: the
//! segments that it was merged from, other segments that no commit names, and journals.
//!
//! The facts are found and proven as for a damaged segment ([`segments::gather`]), among the numbers that the
//! repair lost. If only some of them are back, the others stay lost, and may be put back later.

use std::collections::BTreeSet;

use super::file::FileState;
use super::heirs::total_of;
use super::journals::{read_journals, stream_of};
use super::report::{UnverifiedFacts, spans};
use super::restore_lost::discard_unless_live;
use super::segments::{self, Damaged, few, others};
use super::sources::is_dropped;
use super::work::Work;
use crate::error::Result;
use crate::fact::{Kind, StreamId, codec};
use crate::journal::claim::{self, Claim};
use crate::ledger::{Action, LossyRepair, Lost, Segment, State, StreamRange, Total, Unverified};
use crate::maintain::lossy_repair::LostPlaces;
use crate::maintain::{AnomalyKind, ScanReport, chain};
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
        let known = lossy_repairs(work)?;
        for repair in &known {
            for lost in repair.lost.iter().filter(|lost| lost.total.facts > 0) {
                restored += restore(work, &known, repair, lost)?;
            }
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
        let mut has_lost = false;
        for frame in journal.frames() {
            let Some(kind) = codec::kind_of(frame.body) else { continue };
            has_lost = has_lost || lost.contains(kind, claim.stream, frame.seq)?;
        }
        if has_lost {
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
    chain::walk(work.root, |commit, _| LossyRepair::add_commit(&mut known, commit))?;
    Ok(known)
}

/// Restores facts of a loss. Returns how many.
fn restore(work: &mut Work<'_>, known: &[LossyRepair], repair: &LossyRepair, lost: &Lost) -> Result<u64> {
    let state = work.ledger()?.refresh()?;
    let kind = lost.kind;
    // What is left of the segment.
    let wanted = Segment {
        rows: lost.total.facts,
        fact_bytes: lost.total.bytes,
        streams: lost.within.clone(),
        ..repair.segment.clone()
    };
    let none_is_gone = is_only_loss(&state, known, repair, lost);
    let damaged =
        Damaged { state: &state, segment: &wanted, others: others(work, &state, &wanted)?, none_is_gone };
    let heirs = segments::gather(work, &damaged, &FileState::Nothing)?;
    let total = total_of(&heirs.add).unwrap_or_default();
    if heirs.add.is_empty() || total.facts > lost.total.facts || total.bytes > lost.total.bytes {
        segment::discard(work.disk, work.root, &heirs.add);
        return Ok(0);
    }
    let found = Lost { total, ..lost.clone() };
    let places = few(heirs.unverified.ranges(), &wanted);
    let doubts = match heirs.unverified_facts {
        0 => Vec::new(),
        facts => vec![Unverified { kind, facts, within: places.clone() }],
    };
    let result = work.ledger()?.commit(|now| {
        let known = now.lost.get(kind.index()).copied().unwrap_or_default();
        let is_lost = known.facts >= total.facts && known.bytes >= total.bytes;
        Ok(is_lost.then(|| Action::Repair {
            remove: Vec::new(),
            add: heirs.add.clone(),
            lost: Vec::new(),
            found: vec![found.clone()],
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
    if heirs.unverified_facts > 0 {
        work.report.unverified.push(UnverifiedFacts {
            path: wanted.path.clone(),
            kind,
            facts: heirs.unverified_facts,
            spans: spans(&places),
        });
    }
    work.note(format!(
        "{} {kind} that commit {} gave up as lost are part of the store again",
        total.facts, repair.by
    ));
    Ok(total.facts)
}

/// Whether no other fact of the kind with one of these numbers can be gone: rules dropped none, and no other
/// repair lost one.
fn is_only_loss(state: &State, known: &[LossyRepair], repair: &LossyRepair, lost: &Lost) -> bool {
    let of_kind = |lost: &&Lost| lost.kind == repair.segment.kind;
    let sum = known.iter().flat_map(|repair| &repair.lost).filter(of_kind);
    let sum = sum.fold(Total::default(), |sum, lost| sum.plus(lost.total).unwrap_or_default());
    let overlaps = |other: &LossyRepair| {
        other.by != repair.by
            && other.segment.kind == lost.kind
            && StreamRange::any_touch(&other.lost_within(), &lost.within)
    };
    let is_known = state.lost.get(lost.kind.index()).is_some_and(|all| all.facts == sum.facts);
    is_known && !is_dropped(state, lost.kind) && !known.iter().any(overlaps)
}
