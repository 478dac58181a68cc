//! Restores facts that an earlier repair lost or could not prove, when the segment's file is back.
//!
//! The file's digest proves that it is the segment which the ledger named.
//!
//! 1. As long as the segments that replaced it are live, and no other live segment has one of its facts, the segment
//!    replaces them again.
//! 2. If they were compacted, only the facts that the repair lost are written into new segments. If their
//!    number is not the number that the ledger lost, retention rules may have dropped some, and the file
//!    is moved aside.
//!
//! For a journal whose facts a salvage gave up, only the numbers are known. The ledger has no other fact
//! with such a number, so a sound frame with one of them is the lost fact.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::accepted_rows::Gate;
use super::exact_restore::adopt_copy;
use super::journals::read_journals;
use super::path_state::FileState;
use super::recovery_state::Work;
use super::segments::{others, places};
use super::write_rows::{covered_range, write_passed};
use crate::buffer::Buffer;
use crate::error::Result;
use crate::fact::StreamId;
use crate::journal::claim;
use crate::ledger::{Action, LossyRepair, Lost, LostNumbers, Segment, State, StreamRange, Total};
use crate::maintain::commit_chain;
use crate::maintain::coverage::Coverage;
use crate::maintain::damaged_segment::DamagedSegment;
use crate::maintain::inventory::look_at;
use crate::maintain::lossy_repair::find_by_file;
use crate::segment::{self, Origin};

/// Restores the facts of the file at `path`. Returns `false` if no repair lost facts of such a file.
pub(super) fn restore(work: &mut Work<'_>, path: &str) -> Result<bool> {
    let place = work.root.join(path);
    let mut known = Vec::new();
    commit_chain::walk(work.root, |commit, _| LossyRepair::add_commit(&mut known, commit))?;
    let Some(bytes) = look_at(&place)?.map(|found| found.len()) else { return Ok(false) };
    let Some(repair) = find_by_file(&known, &place, bytes)?.cloned() else { return Ok(false) };
    let state = work.ledger()?.refresh()?;
    let whole = can_replace_heirs(work, &state, &repair, &place)?;
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
    // After a compaction only lost facts can be restored: facts in doubt are then in other segments,
    // changed or not.
    let restores = whole || repair.lost_facts() > 0;
    let found = found_of(&repair, total(&add), total(&remove), lost).filter(|_| restores);
    let Some(found) = found else {
        segment::discard(work.disk, work.root, &add);
        work.note(format!(
            "{path} has facts that commit {} {}, but the facts that it saved were compacted after that, and \
             it is unknown which of them retention rules dropped or damage altered; the file was moved \
             aside",
            repair.by,
            if repair.lost_facts() == 0 { "kept in doubt" } else { "gave up as lost" },
        ));
        work.move_unknown_file(&place)?;
        return Ok(true);
    };
    let result = work.ledger()?.commit(|now| {
        let is_live = |heir: &Segment| now.segments(heir.kind).iter().any(|live| **live == *heir);
        let is_lost = repair.lost.iter().all(|lost| {
            let known = now.lost[lost.kind];
            known.facts >= lost.total.facts && known.bytes >= lost.total.bytes
        });
        if !is_lost || !remove.iter().all(is_live) {
            return Ok(None);
        }
        Ok(Some(Action::Repair {
            remove: remove.clone(),
            add: add.clone(),
            lost: Vec::new(),
            found: found.clone(),
            proven: if whole { repair.unverified.clone() } else { Vec::new() },
            unverified: Vec::new(),
        }))
    });
    match result {
        Ok(Some(_)) => {}
        Ok(None) => {
            segment::discard(work.disk, work.root, &add);
            work.note(format!("the ledger does not count facts of {path} as lost; the file was moved aside"));
            work.move_unknown_file(&place)?;
            return Ok(true);
        }
        Err(error) => {
            discard_unless_live(work, &add)?;
            return Err(error);
        }
    }
    work.repaired(path);
    let kind = repair.segment.kind;
    work.note(match repair.lost_facts() {
        0 => {
            format!("{} {kind} that commit {} kept in doubt are proven again", repair.segment.rows, repair.by)
        }
        lost => {
            format!("{lost} {kind} that commit {} gave up as lost are part of the store again", repair.by)
        }
    });
    work.move_unknown_file(&place)?;
    Ok(true)
}

/// The losses that these segments restore; `None` if their facts are not the lost ones.
///
/// The bytes of a loss are those that the saved facts did not have. If damage changed a saved fact, the
/// lost facts have another number of bytes.
fn found_of(
    repair: &LossyRepair,
    add: Option<Total>,
    remove: Option<Total>,
    lost: Option<Total>,
) -> Option<Vec<Lost>> {
    let (add, remove, lost) = (add?, remove?, lost?);
    let facts = add.facts.checked_sub(remove.facts).filter(|facts| *facts == lost.facts)?;
    let bytes = add.bytes.checked_sub(remove.bytes).filter(|bytes| *bytes <= lost.bytes)?;
    match repair.lost.as_slice() {
        [one] => Some(vec![Lost { total: Total { facts, bytes }, ..one.clone() }]),
        all => (bytes == lost.bytes).then(|| all.to_vec()),
    }
}

/// Restores facts of a stream whose numbers a salvage lost, and that are in the stream's journal files
/// now.
pub(super) fn restore_journal(work: &mut Work<'_>, stream: StreamId) -> Result<()> {
    let Some(_claim) = claim::try_claim(work.disk, work.root, stream)? else {
        work.note(format!("stream {stream} belongs to a live process, and was left alone"));
        return Ok(());
    };
    let mut numbers = LostNumbers::default();
    commit_chain::walk(work.root, |commit, _| numbers.add_commit(commit))?;
    let state = work.ledger()?.refresh()?;
    let mut taken = Coverage::default();
    for live in state.segments.iter().flatten() {
        let place = work.root.join(&live.path);
        // A damaged segment says nothing about places.
        if live.streams.iter().any(|range| range.stream == stream) && FileState::at(&place)?.is(live) {
            places(&place, live.kind, &mut taken)?;
        }
    }
    let journals = read_journals(work, state.store, stream)?;
    let (mut frames, mut files) = (BTreeMap::new(), BTreeSet::new());
    for journal in &journals {
        for frame in journal.frames().into_iter().filter(|frame| numbers.contains(stream, frame.seq)) {
            files.insert(journal.path.clone());
            if !taken.contains(stream, frame.seq) {
                frames.entry(frame.seq).or_insert(frame.raw);
            }
        }
    }
    let (Some((first, _)), Some((last, _))) = (frames.first_key_value(), frames.last_key_value()) else {
        for file in &files {
            work.note(format!(
                "the store has the facts of {} already; the file was moved aside",
                work.name(file)
            ));
            work.move_unknown_file(file)?;
        }
        return Ok(());
    };
    let range = StreamRange { stream, first_seq: *first, last_seq: *last };
    let (mut buffer, mut restored) = (Buffer::new(stream), Coverage::default());
    for (seq, raw) in &frames {
        buffer.push(*seq, raw);
        restored.insert(stream, *seq);
    }
    let chunks = buffer.seal();
    let add = segment::write_all(work.disk, work.root, state.store, range, Origin::Store, |kind| {
        Box::new(chunks.iter().filter_map(move |chunk| chunk.rows(kind)))
    })?;
    let action = Action::Restore { numbers: restored.ranges(), add: add.clone() };
    if let Err(error) = work.ledger()?.commit(|_| Ok(Some(action.clone()))) {
        discard_unless_live(work, &add)?;
        return Err(error);
    }
    for file in &files {
        work.repaired(&work.name(file));
    }
    work.note(format!(
        "{} facts of stream {stream} that an earlier recovery gave up as lost are part of the store again",
        frames.len()
    ));
    Ok(())
}

/// Removes files whose commit failed, unless it was published all the same.
pub(super) fn discard_unless_live(work: &Work<'_>, add: &[Segment]) -> Result<()> {
    let known = work.ledger()?.refresh();
    let is_live = |state: &State| {
        add.iter().all(|heir| state.segments(heir.kind).iter().any(|live| live.path == heir.path))
    };
    if known.is_ok_and(|state| !is_live(&state)) {
        segment::discard(work.disk, work.root, add);
    }
    Ok(())
}

/// Checks that the segments which replaced the file are live, and that no other live segment has a fact
/// of the file.
fn can_replace_heirs(work: &Work<'_>, state: &State, repair: &LossyRepair, file: &Path) -> Result<bool> {
    let is_live = |heir: &Segment| state.segments(heir.kind).iter().any(|live| **live == *heir);
    if !repair.heirs.iter().all(is_live) {
        return Ok(false);
    }
    let mut beside = state.clone();
    for live in &mut beside.segments {
        live.retain(|live| !repair.heirs.contains(live));
    }
    let elsewhere = others(work, &beside, &repair.segment)?;
    let mut own = Coverage::default();
    places(file, repair.segment.kind, &mut own)?;
    Ok(own.ranges().iter().all(|range| elsewhere.within(*range).is_empty()))
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
    let Some(whole) = DamagedSegment::by_footer(place, segment.kind)? else { return Ok(Vec::new()) };
    let within: Vec<_> = lost.iter().flat_map(|lost| lost.within.iter().copied()).collect();
    let mut gate = Gate::new(segment.kind, &within, Some(segment.recorded_at), &taken);
    write_passed(work, state.store, &whole, &mut gate, |stream| covered_range(segment, stream))
}
