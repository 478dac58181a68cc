//! Restores facts that an earlier repair lost or could not prove, when the segment's file is back.
//!
//! The file's digest proves that it is the segment which the ledger named.
//!
//! 1. As long as the segments that replaced it are live, and no other live segment has one of its facts, the segment
//!    replaces them again.
//! 2. After a compaction of them, only the facts that the repair lost are written into new segments. If their number
//!    is not the number that the ledger lost, retention rules may have dropped some, and the file is moved aside.

use std::path::Path;

use super::Work;
use super::coverage::Coverage;
use super::exact::adopt_copy;
use super::gate::Gate;
use super::segments::{covered_range, others, write_passed};
use super::wreck::Wreck;
use crate::error::{Error, Result};
use crate::ledger::{Action, LossyRepair, Segment, State, Total};
use crate::maintain::chain;
use crate::maintain::lossy_repair::find_by_file;
use crate::segment;

/// Restores the facts of the file at `path`; `false` if no repair lost facts of such a file.
pub(super) fn restore(work: &mut Work<'_>, path: &str) -> Result<bool> {
    let place = work.root.join(path);
    let mut known = Vec::new();
    chain::walk(work.root, |commit, _| LossyRepair::add_commit(&mut known, commit))?;
    let bytes = std::fs::metadata(&place).map_err(|error| Error::io("look at", &place, error))?.len();
    let Some(repair) = find_by_file(&known, &place, bytes)?.cloned() else { return Ok(false) };
    let state = work.ledger()?.refresh()?;
    let whole = can_replace_heirs(work, &state, &repair)?;
    let remove = if whole { repair.heirs.clone() } else { Vec::new() };
    let add = if whole {
        vec![adopt_copy(work, &repair.segment, &place)?]
    } else {
        write_lost_rows(work, &state, &repair, &place)?
    };
    let total = |segments: &[Segment]| {
        segments.iter().try_fold(Total::default(), |total, segment| total.plus(Total::of(segment)))
    };
    let lost = repair.lost.iter().try_fold(Total::default(), |sum, lost| sum.plus(lost.total));
    if total(&add) != total(&remove).zip(lost).and_then(|(removed, lost)| removed.plus(lost)) {
        segment::discard(work.disk, work.root, &add);
        work.note(format!(
            "{path} has facts that commit {} gave up as lost, but the facts that it saved were compacted after that, \
             and retention rules may have dropped some; the file was moved aside",
            repair.by
        ));
        work.move_stranger(&place)?;
        return Ok(true);
    }
    let result = work.ledger()?.commit(|now| {
        let is_live = |heir: &Segment| now.segments(heir.kind).iter().any(|live| **live == *heir);
        let is_lost = repair.lost.iter().all(|lost| {
            let known = now.lost.get(lost.kind.index()).copied().unwrap_or_default();
            known.facts >= lost.total.facts && known.bytes >= lost.total.bytes
        });
        if !is_lost || !remove.iter().all(is_live) {
            return Ok(None);
        }
        Ok(Some(Action::Repair {
            remove: remove.clone(),
            add: add.clone(),
            lost: Vec::new(),
            found: repair.lost.clone(),
            proven: if whole { repair.unverified.clone() } else { Vec::new() },
            unverified: Vec::new(),
        }))
    });
    match result {
        Ok(Some(_)) => {}
        Ok(None) => {
            segment::discard(work.disk, work.root, &add);
            work.note(format!(
                "the ledger does not count facts of {path} as lost any more; it was moved aside"
            ));
            work.move_stranger(&place)?;
            return Ok(true);
        }
        Err(error) => {
            let known = work.ledger()?.refresh();
            let is_live = |state: &State| {
                add.iter().all(|heir| state.segments(heir.kind).iter().any(|live| live.path == heir.path))
            };
            if known.is_ok_and(|state| !is_live(&state)) {
                segment::discard(work.disk, work.root, &add);
            }
            return Err(error);
        }
    }
    work.repaired(path);
    let kind = repair.segment.kind;
    work.note(match repair.lost_facts() {
        0 => {
            format!("{} {kind} that commit {} kept in doubt are as they were", repair.segment.rows, repair.by)
        }
        lost => {
            format!("{lost} {kind} that commit {} gave up as lost are part of the store again", repair.by)
        }
    });
    work.move_stranger(&place)?;
    Ok(true)
}

/// Whether the segments that replaced it are live, and no other live segment has one of its facts.
fn can_replace_heirs(work: &Work<'_>, state: &State, repair: &LossyRepair) -> Result<bool> {
    let is_live = |heir: &Segment| state.segments(heir.kind).iter().any(|live| **live == *heir);
    if !repair.heirs.iter().all(is_live) {
        return Ok(false);
    }
    let mut beside = state.clone();
    for live in &mut beside.segments {
        live.retain(|live| !repair.heirs.contains(live));
    }
    Ok(others(work, &beside, &repair.segment)?.ranges().is_empty())
}

/// Writes the lost facts of a file that no live segment has.
fn write_lost_rows(
    work: &Work<'_>,
    state: &State,
    repair: &LossyRepair,
    place: &Path,
) -> Result<Vec<Segment>> {
    let LossyRepair { segment, lost, .. } = repair;
    let taken: Coverage = others(work, state, segment)?;
    let Some(whole) = Wreck::by_footer(place, segment.kind)? else { return Ok(Vec::new()) };
    let within: Vec<_> = lost.iter().flat_map(|lost| lost.within.iter().copied()).collect();
    let mut gate = Gate::new(segment.kind, &within, Some(segment.recorded_at), &taken);
    write_passed(work, state.store, &whole, &mut gate, |stream| covered_range(segment, stream))
}
