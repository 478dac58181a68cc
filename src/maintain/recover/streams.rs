//! Repairs a stream with a damaged journal: its readable facts go into segments, and the stream ends.
//!
//! 1. The stream's lock is claimed: the journal of a live writer is not touched.
//! 2. Every sound frame is taken, before and after the damage ([`intact_frames`](crate::journal::intact_frames)), and
//!    every row of segments that no commit names and whose facts are nowhere else. For a part of an
//!    imported input, all its facts are taken or none ([`import_positions`](super::import_positions)).
//! 3. The readable facts are written into segments, and committed as the next range of the stream,
//!    including the missing numbers in between.
//! 4. Only then the journal files are removed. In mode quarantine they were kept aside before.
//!
//! The stream ends, because there may have been more facts after the last one that was found: its numbers
//! are not continued, so that no number ever names two facts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::accepted_rows::Gate;
use super::journals::{JournalRead, is_sound, read_journals, read_kept};
use super::recovery_state::Work;
use super::report::spans;
use super::report::{LostFacts, UnverifiedFacts};
use super::uncommitted_rows::{UncommittedRows, beyond, newest_known};
use super::unknown_files::left_alone;
use super::write_rows::write_passed;
use crate::buffer::Buffer;
use crate::disk::is_broken_link;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Seq, StreamId, UnixNanos};
use crate::frame::Frame;
use crate::journal::claim;
use crate::journal::intact_frames::sound;
use crate::journal::replay::Ending;
use crate::ledger::{Action, Segment, State, StreamRange, Unverified};
use crate::maintain::coverage::Coverage;
use crate::segment::{self, Origin};

/// The facts of a stream that were found after those in the ledger.
#[derive(Default)]
struct Remains<'j> {
    frames: BTreeMap<Seq, &'j [u8]>,
    last_recorded_at: UnixNanos,
    /// Files with facts whose numbers other facts have: two processes have owned the stream at the same
    /// time.
    conflicting: Vec<&'j Path>,
}

impl<'j> Remains<'j> {
    fn of(journals: impl Iterator<Item = &'j JournalRead>, committed: Seq) -> Self {
        let mut remains = Self::default();
        let mut cut = Vec::new();
        for journal in journals.filter(|journal| !journal.foreign) {
            let found = sound(&journal.bytes);
            for frame in found.facts {
                if !remains.add(frame, committed) && !remains.conflicting.contains(&journal.path.as_path()) {
                    remains.conflicting.push(&journal.path);
                }
            }
            if !found.incomplete.is_empty() {
                cut.push((matches!(journal.ending, Ending::Damaged { .. }), found.incomplete));
            }
        }
        // The beginning of a batch: its facts count unless a crash cut it.
        let newest = remains.frames.keys().next_back().copied().unwrap_or_default();
        for (damaged, incomplete) in cut {
            if damaged || incomplete.last().is_some_and(|last| newest > last.seq) {
                for frame in incomplete {
                    remains.add(frame, committed);
                }
            }
        }
        remains
    }

    /// Adds a fact. Returns `false` if another one has its number.
    fn add(&mut self, frame: Frame<'j>, committed: Seq) -> bool {
        if frame.seq <= committed {
            return true;
        }
        if let Some(known) = self.frames.get(&frame.seq) {
            return *known == frame.raw;
        }
        self.frames.insert(frame.seq, frame.raw);
        self.last_recorded_at = self.last_recorded_at.max(frame.recorded_at);
        true
    }
}

/// Salvages a stream: its journals, and its facts in these segments that no commit names. Returns `false`
/// if nothing was done.
pub(super) fn salvage(work: &mut Work<'_>, stream: StreamId, unknown: &BTreeSet<String>) -> Result<bool> {
    let Some(claim) = claim::try_claim(work.disk, work.root, stream)? else {
        work.note(format!(
            "stream {stream} belongs to a live process, and was left alone; recover again when it has ended"
        ));
        return Ok(false);
    };
    // The target of a broken link may still exist on a disk that is not mounted.
    let files = claim::files(&claim.folder)?;
    if let Some(file) = files.iter().find(|file| is_broken_link(&file.path)) {
        let name = work.name(&file.path);
        work.note(left_alone(&name));
        return Ok(false);
    }
    // Not earlier: the last owner may have committed until it released the stream.
    let state = work.ledger()?.refresh()?;
    let known = state.streams.get(&stream);
    let committed = state.committed(stream);
    let journals = match read_journals(work, state.store, stream) {
        Ok(journals) => journals,
        Err(error) if error.kind() == ErrorKind::NewerFormat => {
            work.note(error.to_string());
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    if unknown.is_empty() && is_sound(&journals, state.store, stream, committed) {
        work.note(format!("the journal of stream {stream} is sound now, and was left alone"));
        return Ok(false);
    }
    for journal in journals.iter().filter(|journal| !journal.foreign) {
        if journal.ending != Ending::Clean {
            work.keep_damaged(&journal.path)?;
        }
    }
    // Files that were kept aside count, too: a number that one of them has is not lost.
    let kept = read_kept(work, state.store, stream)?;
    let remains = Remains::of(journals.iter().chain(&kept), committed);
    for path in remains.conflicting.iter().filter(|path| path.starts_with(&claim.folder)) {
        work.keep_lost(path)?;
        let name = work.name(path);
        work.note(format!(
            "{name} has facts whose numbers other facts of stream {stream} have, because two processes have \
             owned the stream at the same time; the first fact of each number is kept in the store, and the \
             file aside"
        ));
    }
    let found = UncommittedRows::look(work, &state, stream, unknown, taken(stream, &remains))?;
    let last = remains.frames.keys().next_back().copied().max(found.last).unwrap_or(committed);
    let range = StreamRange { stream, first_seq: committed.next(), last_seq: last };
    let segments = write(work, &state, range, &remains, &found)?;
    let mut saved = found.passed.clone();
    remains.frames.keys().for_each(|seq| saved.insert(stream, *seq));
    let gaps = saved.gaps(range);
    if !gaps.is_empty() {
        let damaged = journals.iter().filter(|journal| !journal.foreign && journal.ending != Ending::Clean);
        damaged.map(|journal| &journal.path).try_for_each(|path| work.keep_lost(path))?;
    }
    // Together with those of other streams: an input's parts may be in several.
    found.parts.iter().for_each(|(label, saved)| work.inputs.add(label, saved));
    let imports = work.inputs.reached(&state.imports);
    let last_recorded_at =
        remains.last_recorded_at.max(found.last_recorded_at).max(newest_known(&state, stream));
    if last > committed || !known.is_some_and(|known| known.ended) {
        let result = work.ledger()?.commit(|state| {
            if state.committed(stream) != committed {
                let why = format!(
                    "another process has flushed stream {stream}, although this process holds its lock"
                );
                return Err(Error::new(ErrorKind::Damaged, why));
            }
            Ok(Some(Action::Salvage {
                range,
                last_recorded_at,
                ends_stream: true,
                add: segments.clone(),
                lost: gaps.clone(),
                imports: imports.clone(),
                unverified: found.doubts(),
            }))
        });
        if let Err(error) = result {
            // Unless the commit was published all the same, no commit names these files.
            if work.ledger()?.refresh().is_ok_and(|state| state.committed(stream) == committed) {
                segment::discard(work.disk, work.root, &segments);
            }
            return Err(error);
        }
    }
    tell(work, &journals, stream, last, &gaps, found.doubts(), unknown);
    for range in found.refused.ranges() {
        let (first, last) = (range.first_seq, range.last_seq);
        work.note(format!(
            "the ledger has facts {first} to {last} of stream {stream} already, perhaps others: facts with \
             these numbers in segments that no commit names were not restored, but are kept aside"
        ));
    }
    for input in &found.giving_way {
        work.note(format!(
            "a part that an import of {input:?} had committed was not restored, because other facts have \
             some of its numbers; it is kept aside, and importing the input again restores it"
        ));
    }
    remove_files(work, &claim.folder, &journals)?;
    Ok(true)
}

fn taken(stream: StreamId, remains: &Remains<'_>) -> Coverage {
    let mut taken = Coverage::default();
    remains.frames.keys().for_each(|seq| taken.insert(stream, *seq));
    taken
}

fn write(
    work: &Work<'_>,
    state: &State,
    range: StreamRange,
    remains: &Remains<'_>,
    found: &UncommittedRows,
) -> Result<Vec<Segment>> {
    let mut buffer = Buffer::new(range.stream);
    remains.frames.iter().for_each(|(seq, raw)| buffer.push(*seq, raw));
    let chunks = buffer.seal();
    let mut segments = segment::write_all(work.disk, work.root, state.store, range, Origin::Store, |kind| {
        Box::new(chunks.iter().filter_map(move |chunk| chunk.rows(kind)))
    })?;
    let mut taken = taken(range.stream, remains);
    let places = beyond(range.stream, state.committed(range.stream));
    for wreck in &found.wrecks {
        let newest = newest_known(state, range.stream);
        let mut gate = Gate::new(wreck.kind(), &places, None, &taken).not_before(newest);
        match write_passed(work, state.store, wreck, &mut gate, |_| range) {
            Ok(written) => {
                segments.extend(written);
                let passed = gate.passed;
                taken.add_all(&passed.ranges());
            }
            Err(error) => {
                segment::discard(work.disk, work.root, &segments);
                return Err(error);
            }
        }
    }
    Ok(segments)
}

fn tell(
    work: &mut Work<'_>,
    journals: &[JournalRead],
    stream: StreamId,
    last: Seq,
    gaps: &[StreamRange],
    doubts: Vec<Unverified>,
    unknown: &BTreeSet<String>,
) {
    let facts: u64 = gaps.iter().filter_map(|range| range.facts()).sum();
    if facts > 0 {
        work.report.lost.push(LostFacts {
            path: format!("journal/{stream}"),
            kind: None,
            facts,
            bytes: None,
            spans: spans(gaps),
        });
    }
    let newest = journals.iter().rev().find(|journal| !journal.is_unused());
    if newest.is_some_and(|journal| journal.ending != Ending::Clean) {
        work.note(format!(
            "it is unknown whether stream {stream} had facts after {last}; their numbers are not given out \
             again"
        ));
    }
    for doubt in doubts {
        let paths: Vec<_> = unknown.iter().filter(|path| path.starts_with(doubt.kind.folder())).collect();
        work.report.unverified.push(UnverifiedFacts {
            path: paths.first().map(|path| (*path).clone()).unwrap_or_default(),
            kind: doubt.kind,
            facts: doubt.facts,
            spans: spans(&doubt.within),
        });
    }
}

/// Removes the files: the ledger covers their facts.
fn remove_files(work: &mut Work<'_>, folder: &Path, journals: &[JournalRead]) -> Result<()> {
    // The commit that covers them may be of a recovery that died before it synced it.
    let ledger = work.root.join("ledger");
    work.ledger()?.sync().map_err(|error| Error::io("sync the ledger", &ledger, error))?;
    for journal in journals {
        if journal.foreign && folder.is_symlink() {
            work.note(format!(
                "{} belongs to another stream or store, and is reached through a link; it was left alone: \
                 remove the link",
                work.name(&journal.path)
            ));
            continue;
        }
        if journal.foreign {
            work.move_unknown_file(&journal.path)?;
            continue;
        }
        let name = work.name(&journal.path);
        if journal.unread {
            let place = work.aside.take(&journal.path)?;
            work.put_aside(place);
            work.repaired(&name);
            continue;
        }
        let attempt = |error| Error::io("remove the journal file", &journal.path, error);
        work.disk.remove(&journal.path).map_err(attempt)?;
        work.repaired(&name);
    }
    work.disk.sync_dir(folder).map_err(|error| Error::io("sync the folder", folder, error))
}
