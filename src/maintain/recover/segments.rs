//! Repairs damaged segments: new segments replace them, with all facts that can be saved.
//!
//! 1. The file is checked again. If it matches the ledger, it is left alone, whatever the scan saw.
//! 2. Its rows are searched where they are *exact*: in another file of the store, or of its quarantine,
//!    with the digest (two files were swapped, or one was renamed or copied); in the file itself with one
//!    bit corrected ([`bit_flip`](super::bit_flip)); in the stream's journal if that is not removed yet; in the
//!    segments that it was merged from ([`removed_segments`]).
//! 3. The remaining rows are read from the damaged file, as far as possible ([`DamagedSegment`]) and as
//!    far as they are plausible (`accepted_rows`). If writing these rows again gives a file with the ledger's
//!    digest, they are proven. If not, they are *unverified*: bits in them may have flipped. They are
//!    kept, because most of them are unchanged; and the ledger notes them permanently, because some may
//!    be changed. [`RecoveryConfig::lose_unverified`](super::RecoveryConfig::lose_unverified) drops them
//!    instead.
//! 4. One commit removes the segment, adds the new segments, and records how many facts are lost, and in
//!    which ranges. The file is a removed segment from then on, and is deleted when no query can be
//!    reading it.

use std::path::Path;

use super::exact_restore::{adopt_copy, elsewhere, put_right};
use super::other_copies::{Trust, none_is_gone};
use super::path_state::FileState;
use super::recovery_state::Work;
use super::replacements::{Heirs, total_of};
use super::report::LostFacts;
use super::report::spans;
use super::uncommitted_rows::adoptable;
use super::write_rows::write_fitting;
use super::{journals, removed_segments};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::ledger::{Action, Lost, Segment, State, StreamRange, Total};
use crate::maintain::coverage::Coverage;
use crate::maintain::damaged_segment::DamagedSegment;
use crate::segment;

/// The most ranges that are listed: more are of no use.
const MOST_SPANS: usize = 1000;

/// A damaged segment whose facts are searched.
pub(super) struct Damaged<'a> {
    pub(super) state: &'a State,
    pub(super) segment: &'a Segment,
    /// The segment's places whose facts are in other live segments.
    pub(super) others: Coverage,
    /// Whether no other fact of its kind can be gone that had one of its numbers.
    pub(super) none_is_gone: bool,
    /// Whether the facts were given up before. Then a fact that a rule may have dropped does not take the place of a
    /// fact whose file may be put back later.
    pub(super) is_given_up: bool,
}

/// Repairs the live segment at this path, if it is damaged.
pub(super) fn repair(work: &mut Work<'_>, path: &str) -> Result<()> {
    let state = work.ledger()?.refresh()?;
    let Some(segment) = live(&state, path) else {
        work.note(format!("{path} is not live any more, and was left alone"));
        return Ok(());
    };
    let place = work.root.join(path);
    let found = FileState::at(&place)?;
    if found.is(&segment) {
        work.note(format!("{path} is undamaged, and was left alone"));
        return Ok(());
    }
    if found != FileState::Nothing {
        work.keep_damaged(&place)?;
    }
    let mut heirs = find_heirs(work, &state, &segment, &found)?;
    if FileState::at(&place)? != found {
        segment::discard(work.disk, work.root, &heirs.add);
        let moved = format!("{path} changes while it is being repaired; try again when it does not");
        return Err(Error::new(ErrorKind::Contended, moved));
    }
    // More facts than were recorded cannot be facts of this store.
    let total = Total::of(&segment);
    let mut saved = total_of(&heirs.add);
    let is_too_much =
        |saved: Option<Total>| saved.is_none_or(|it| it.facts > total.facts || it.bytes > total.bytes);
    if is_too_much(saved) {
        let exact = heirs.keep_exact(work);
        let exact = if exact == 0 { String::new() } else { format!(" but {exact} facts that are proven") };
        work.note(format!(
            "the readable facts in {path} add up to more than was recorded; none of them is kept{exact}"
        ));
        saved = total_of(&heirs.add);
    }
    if is_too_much(saved) {
        segment::discard(work.disk, work.root, &heirs.add);
        heirs = Heirs::default();
        saved = Some(Total::default());
    }
    let saved = saved.unwrap_or_default();
    let lost = Total { facts: total.facts - saved.facts, bytes: total.bytes - saved.bytes };
    if lost.facts > 0 && found.is_out_of_reach() {
        segment::discard(work.disk, work.root, &heirs.add);
        work.note(out_of_reach(path, &found, lost.facts));
        return Ok(());
    }
    // Bytes that the disk cannot read today, a tool may read tomorrow.
    if lost != Total::default() || matches!(found, FileState::File { blake3: None, .. }) {
        work.keep_lost(&place)?;
    }
    let within = missing_places(work, &state, &segment, &heirs.saved, lost.facts)?;
    commit(work, &segment, &heirs, lost, &within)?;
    if found == FileState::NoFile {
        work.move_unknown_file(&place)?;
    }
    Ok(())
}

/// The note about a file that is left alone: its facts are not given up while they may still be saved.
fn out_of_reach(path: &str, found: &FileState, facts: u64) -> String {
    if *found == FileState::BrokenLink {
        return format!(
            "{path} is a link that leads to nothing; it was left alone, because {facts} facts would be lost. \
             Restore the target of the link (is it mounted?), or, if it is gone for ever, remove the link, \
             and recover again"
        );
    }
    format!(
        "the disk cannot read {path}; it was left alone, because {facts} facts would be lost. Copy the file \
         as far as the disk can read it (`ddrescue`, or `dd conv=noerror,sync`), put the copy in its place, \
         and recover again: then its readable facts are kept, and only the others are lost"
    )
}

fn live(state: &State, path: &str) -> Option<Segment> {
    state.segments.iter().flatten().find(|segment| segment.path == path).map(|segment| (**segment).clone())
}

fn commit(
    work: &mut Work<'_>,
    segment: &Segment,
    heirs: &Heirs,
    lost: Total,
    within: &[StreamRange],
) -> Result<()> {
    let kind = segment.kind;
    let none = lost == Total::default();
    let losses = if none { Vec::new() } else { vec![Lost { kind, total: lost, within: within.to_vec() }] };
    let places = few(heirs.unverified.ranges(), segment);
    let doubts = heirs.doubts(kind, &places);
    let result = work.ledger()?.commit(|state| {
        if live(state, &segment.path).as_ref() != Some(segment) {
            return Ok(None);
        }
        Ok(Some(Action::Repair {
            remove: vec![segment.clone()],
            add: heirs.add.clone(),
            lost: losses.clone(),
            found: Vec::new(),
            proven: Vec::new(),
            unverified: doubts.clone(),
        }))
    });
    match result {
        Ok(Some(_)) => {}
        Ok(None) => {
            segment::discard(work.disk, work.root, &heirs.add);
            work.note(format!("{} was replaced by another process, and was left alone", segment.path));
            return Ok(());
        }
        Err(error) => {
            // Unless the commit was published all the same, no commit names these files.
            let known = work.ledger()?.refresh();
            if known.is_ok_and(|state| live(&state, &segment.path).is_some()) {
                segment::discard(work.disk, work.root, &heirs.add);
            }
            return Err(error);
        }
    }
    work.repaired(&segment.path);
    if !none {
        work.report.lost.push(LostFacts {
            path: segment.path.clone(),
            kind: Some(kind),
            facts: lost.facts,
            bytes: Some(lost.bytes),
            spans: spans(within),
        });
    }
    work.report_doubts(&segment.path, &doubts);
    Ok(())
}

/// Limits the ranges to a useful number.
pub(super) fn few(ranges: Vec<StreamRange>, segment: &Segment) -> Vec<StreamRange> {
    if ranges.len() > MOST_SPANS { segment.streams.clone() } else { ranges }
}

fn find_heirs(work: &mut Work<'_>, state: &State, segment: &Segment, found: &FileState) -> Result<Heirs> {
    let exact = match elsewhere(work, segment)? {
        Some(copy) => Some(adopt_copy(work, segment, &copy)?),
        None => put_right(work, segment, found)?,
    };
    if let Some(copy) = exact {
        return Ok(Heirs::of_copy(copy));
    }
    let none_is_gone = none_is_gone(state, segment.kind);
    let others = others(work, state, segment)?;
    let damaged = Damaged { state, segment, others, none_is_gone, is_given_up: false };
    gather(work, &damaged, found)
}

/// Writes the facts of a segment that can be found, in the damaged file or elsewhere: first those that are
/// proven.
pub(super) fn gather(work: &mut Work<'_>, damaged: &Damaged<'_>, found: &FileState) -> Result<Heirs> {
    let Damaged { state, segment, .. } = damaged;
    let mut heirs = Heirs::default();
    let sources = [journals::sources(work, damaged)?, removed_segments::sources(work, state, segment)?];
    for source in &sources {
        if !heirs.is_whole(segment) {
            source.take(work, damaged, &mut heirs, Trust::Proven)?;
        }
    }
    if !heirs.is_whole(segment) && matches!(found, FileState::File { .. }) {
        from_damaged_file(work, damaged, &mut heirs)?;
    }
    // The rest of the file shows which facts it had. The sources also have facts that were dropped.
    for source in sources.iter().rev() {
        if !heirs.is_whole(segment) && !work.lose_unverified {
            source.take(work, damaged, &mut heirs, Trust::Doubtful)?;
        }
    }
    if !heirs.is_whole(segment) && !work.lose_unverified {
        from_unnamed(work, damaged, &mut heirs)?;
    }
    Ok(heirs)
}

/// Saves the readable facts of the damaged file itself.
fn from_damaged_file(work: &mut Work<'_>, damaged: &Damaged<'_>, heirs: &mut Heirs) -> Result<()> {
    let Damaged { state, segment, others, .. } = damaged;
    let path = work.root.join(&segment.path);
    let mut best: Option<(u64, DamagedSegment)> = None;
    for way in DamagedSegment::ways(&path, segment)? {
        let rows = way.count()?;
        if best.as_ref().is_none_or(|(most, _)| rows > *most) {
            best = Some((rows, way));
        }
    }
    let Some((_, wreck)) = best.filter(|(rows, _)| *rows > 0) else { return Ok(()) };
    let mut taken = others.clone();
    taken.add_all(&heirs.saved.ranges());
    let (written, places) = write_fitting(work, state.store, segment, &wreck, heirs, &mut taken)?;
    let proven = heirs.add.is_empty()
        && matches!(&written[..], [heir] if heir.bytes == segment.bytes && heir.blake3 == segment.blake3);
    if proven {
        work.note(format!(
            "the facts of {} are unchanged: written again, they have the digest that the ledger names",
            segment.path
        ));
    } else if work.lose_unverified {
        segment::discard(work.disk, work.root, &written);
        return Ok(());
    } else {
        heirs.unverified.add_all(&places);
        heirs.unverified_facts += written.iter().map(|heir| heir.rows).sum::<u64>();
    }
    heirs.saved.add_all(&places);
    heirs.add.extend(written);
    Ok(())
}

/// Saves facts of the segment from segments that no commit names: a lost commit may have put them there.
/// Their digests are unknown.
fn from_unnamed(work: &mut Work<'_>, damaged: &Damaged<'_>, heirs: &mut Heirs) -> Result<()> {
    let Damaged { state, segment, others, .. } = damaged;
    for path in unnamed(work, state, segment.kind)? {
        let Some(wreck) = adoptable(work.root, &path, state.store)? else { continue };
        let mut taken = others.clone();
        taken.add_all(&heirs.saved.ranges());
        let (written, places) = write_fitting(work, state.store, segment, &wreck, heirs, &mut taken)?;
        heirs.add_written(written, &places, false);
    }
    Ok(())
}

/// The segments of a kind that no commit names and none has removed, except those of an import: its input
/// has the facts.
fn unnamed(work: &Work<'_>, state: &State, kind: Kind) -> Result<Vec<String>> {
    let folder = work.root.join(kind.folder());
    let attempt = |error| Error::io("search for copies in", &folder, error);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(attempt(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry.map_err(attempt)?.file_name();
        let Some(name) = name.to_str().filter(|name| name.ends_with(".parquet")) else { continue };
        let path = format!("{}/{name}", kind.folder());
        let removed = state.removed.iter().any(|tombstone| tombstone.path == path);
        if !removed && !name.starts_with(segment::IMPORTED) && live(state, &path).is_none() {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// This segment's places whose facts are in other live segments.
pub(super) fn others(work: &Work<'_>, state: &State, segment: &Segment) -> Result<Coverage> {
    let mut taken = Coverage::default();
    for other in state.segments.iter().flatten() {
        let touches = other.path != segment.path && StreamRange::any_touch(&other.streams, &segment.streams);
        // A damaged segment says nothing about places.
        if touches && FileState::at(&work.root.join(&other.path))?.is(other) {
            places(&work.root.join(&other.path), other.kind, &mut taken)?;
        }
    }
    Ok(taken)
}

/// Adds the places of all facts in a sound segment.
pub(super) fn places(path: &Path, kind: Kind, coverage: &mut Coverage) -> Result<()> {
    let Some(sound) = DamagedSegment::by_footer(path, kind)? else { return Ok(()) };
    sound.read_places(&mut |place| coverage.insert(place.stream, place.seq))
}

/// The places of the lost facts: those of the segment that no other file has.
fn missing_places(
    work: &Work<'_>,
    state: &State,
    segment: &Segment,
    saved: &Coverage,
    lost: u64,
) -> Result<Vec<StreamRange>> {
    if lost == 0 {
        return Ok(Vec::new());
    }
    let mut known = others(work, state, segment)?;
    for range in saved.ranges() {
        known.add(range.stream, range.first_seq, range.last_seq);
    }
    let gaps: Vec<_> = segment.streams.iter().flat_map(|range| known.gaps(*range)).collect();
    Ok(if gaps.is_empty() { segment.streams.clone() } else { few(gaps, segment) })
}
