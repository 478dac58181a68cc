//! Opening for writing: claims a stream, and takes over the facts of dead processes.
//!
//! If the lock of a stream is free and its folder has journal files, its process died. Its facts are read
//! and passed to the flush; its journal files are removed when the ledger covers them. The new writer
//! continues with the stream, unless facts may be lost whose numbers were seen. That is possible if the
//! machine has restarted and the facts were never synced; if they were acknowledged before the journal
//! had them; if the journal ends within a frame, or may have been cut; or if segments have higher numbers
//! than the ledger, as in a copy whose ledger is older than its segments. Such a stream ends, so that no
//! number names two facts.
//!
//! A new writer with durability `Synced` does not continue with a stream that has facts left to flush.
//! Its own facts would come after these, and after a power failure its facts might be there and the
//! earlier ones not.
//!
//! A stream with a damaged journal is left alone, for `recover`.
//!
//! # Recording into a backup
//!
//! A backup and its original may both be recorded into, and both begin streams. So that neither gives out
//! the other's numbers, the first writer of a backup ends the streams that it finds there, and begins its
//! own far above the highest one ([`stream_apart`]). No other store gets near: the original, and other
//! copies of the backup, would have to begin tens of thousands of streams. A backup that was not recorded
//! into is recognised by its journal files: only a writer removes them, after its own stream has a
//! folder.

mod leftovers;
mod lost_facts;
mod retire;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::counters::count;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Seq, StreamId, UnixNanos};
use crate::frame::FileHeader;
use crate::journal::append::Journal;
use crate::journal::claim::{self, Claim, JournalFile};
use crate::ledger::Ledger;
use crate::recorder::{Sealed, is_ahead};
use crate::segment;
use crate::settings::Durability;
use leftovers::leftovers;
use lost_facts::{LostFacts, kept_aside};
pub(crate) use retire::retire_covered;

/// A stream to append to, and the facts that must be flushed first.
pub(crate) struct OpenedStream {
    pub(crate) claim: Claim,
    pub(crate) journal: Journal,
    /// The newest fact of the stream.
    pub(crate) last: Seq,
    pub(crate) last_recorded_at: UnixNanos,
    pub(crate) sealed: VecDeque<Arc<Sealed>>,
}

/// Claims a free stream and takes over the files of dead processes.
pub(crate) fn open_stream(
    disk: &Disk,
    root: &Path,
    ledger: &Ledger,
    durability: Durability,
    now: UnixNanos,
    replayed: &AtomicU64,
) -> Result<OpenedStream> {
    // From here on, this process builds on commits that others may have published but not synced.
    let attempt = |folder: &Path, error| Error::io("open the store with", folder, error);
    ledger.sync().map_err(|error| attempt(ledger.folder(), error))?;
    let journal = root.join("journal");
    disk.sync_dir(&journal).map_err(|error| attempt(&journal, error))?;
    let mut sealed = VecDeque::new();
    let mut own = None;
    let mut newest = ledger.known().streams.keys().next_back().map_or(0, |stream| stream.0);
    for stream in claim::streams(root)? {
        newest = newest.max(stream.0);
        let files = match claim::files(&claim::folder(root, stream)) {
            Ok(files) => files,
            Err(error) if is_left_for_recover(&error, stream) => continue,
            // It belongs to another user, and is skipped below.
            Err(_) if claim::try_claim(disk, root, stream)?.is_none() => continue,
            Err(error) => return Err(error),
        };
        if own.is_some() && files.is_empty() {
            continue;
        }
        let Some(claim) = claim::try_claim(disk, root, stream)? else { continue };
        // Not earlier: the last owner may have committed, and removed files, until it released the
        // stream.
        let state = ledger.refresh()?;
        let files = claim::files(&claim.folder)?;
        let left = match leftovers(disk, &state, stream, &files) {
            Ok(left) => left,
            Err(error) if is_left_for_recover(&error, stream) => continue,
            Err(error) => return Err(error),
        };
        count(replayed, left.chunks.iter().map(|chunk| chunk.facts()).sum());
        let ended = state.streams.get(&stream).is_some_and(|stream| stream.ended);
        let gave_up = LostFacts::in_files(ledger, &state, stream, &files);
        if gave_up == LostFacts::Known {
            tracing::warn!(%stream,
                "journal files of a stream have facts that an earlier recovery gave up as lost; they are \
                 left alone, and `ostracon recover` makes the facts part of the store again");
            continue;
        }
        let unnamed = if ended { Seq(0) } else { segment::highest_unnamed(root, &state, stream)? };
        if unnamed > left.last {
            tracing::warn!(%stream, newest = %left.last, %unnamed,
                "segments that no commit names have facts of a stream after the newest one in the ledger; \
                 the stream is not continued, and `ostracon recover` restores the facts");
        }
        let numbers_lost = left.numbers_lost || unnamed > left.last;
        // If the clock was far ahead, the time of this stream would stand still.
        let timely = !is_ahead(left.last_recorded_at, now);
        if !timely && !ended {
            // A scan reports it, too.
            tracing::debug!(%stream, newest = %left.last_recorded_at, %now,
                "the newest fact of a stream was recorded later than now: the clock was ahead then, or is \
                 late now; the stream is not continued");
        }
        // Synced facts must not come after facts that a power failure may take. And a sync of the earlier
        // facts proves nothing, if one has failed before.
        let on_disk = durability != Durability::Synced || left.chunks.is_empty();
        let next_number = claim::next_number(&files);
        let usable = own.is_none() && !ended && timely && on_disk && !numbers_lost;
        let (last, last_recorded_at) = (left.last, left.last_recorded_at);
        let mut remains = Sealed {
            stream,
            chunks: left.chunks,
            journals: files.iter().map(|file| file.path.clone()).collect(),
            last_recorded_at,
            ends_stream: numbers_lost && !ended,
            keep_aside: kept_aside(left.keep_aside, gave_up, &files),
            claim: None,
        };
        if let Some(next_number) = next_number.filter(|_| usable) {
            let header = FileHeader { stream, store: state.store };
            let journal = Journal::new(disk.clone(), claim.folder.clone(), header, next_number);
            own = Some((claim, journal, last, last_recorded_at));
        } else {
            remains.claim = Some(claim);
        }
        if !remains.journals.is_empty() {
            sealed.push_back(Arc::new(remains));
        }
    }
    let (claim, journal, last, last_recorded_at) = match own {
        Some(own) => own,
        None => new_stream(disk, root, ledger, newest)?,
    };
    Ok(OpenedStream { claim, journal, last, last_recorded_at, sealed })
}

/// Whether an error concerns only this stream's files. The other streams are opened all the same.
fn is_left_for_recover(error: &Error, stream: StreamId) -> bool {
    let is_damaged = error.kind() == ErrorKind::Damaged;
    if is_damaged {
        tracing::warn!(%error, %stream, "the stream is left for `ostracon recover`");
    }
    is_damaged
}

/// Claims a stream that has no facts yet.
pub(crate) fn begin_stream(disk: &Disk, root: &Path, ledger: &Ledger) -> Result<(Claim, Journal)> {
    let in_ledger = ledger.known().streams.keys().next_back().map_or(0, |stream| stream.0);
    let newest = claim::streams(root)?.last().map_or(0, |stream| stream.0).max(in_ledger);
    let (claim, journal, ..) = new_stream(disk, root, ledger, newest)?;
    Ok((claim, journal))
}

/// Claims a stream that no readable part of the store names, if the ledger cannot be read. The files of
/// other streams are not touched.
pub(crate) fn open_apart(disk: &Disk, root: &Path, ledger: &Ledger, highest: u32) -> Result<OpenedStream> {
    let folders = claim::streams(root)?;
    let newest = folders.last().map_or(0, |stream| stream.0).max(highest);
    let (claim, journal, last, last_recorded_at) = new_stream(disk, root, ledger, newest)?;
    Ok(OpenedStream { claim, journal, last, last_recorded_at, sealed: VecDeque::new() })
}

fn new_stream(
    disk: &Disk,
    root: &Path,
    ledger: &Ledger,
    mut newest: u32,
) -> Result<(Claim, Journal, Seq, UnixNanos)> {
    if is_unused_backup(root)? {
        newest = stream_apart(newest, uuid::Uuid::new_v4().as_u128());
    }
    let mut from_the_lowest = false;
    loop {
        newest = match newest.checked_add(1).filter(|n| i32::try_from(*n).is_ok()) {
            Some(next) => next,
            // The highest number is used: take the lowest free one.
            None if !from_the_lowest => {
                from_the_lowest = true;
                1
            }
            None => {
                let why = "the store has no stream numbers left; its journal folder is damaged";
                return Err(Error::new(ErrorKind::Damaged, why));
            }
        };
        let stream = StreamId(newest);
        if from_the_lowest && claim::folder(root, stream).symlink_metadata().is_ok() {
            continue;
        }
        let Some(claim) = claim::try_claim(disk, root, stream)? else { continue };
        // Another process may have owned and released the stream between the listing and the claim.
        let state = if ledger.is_unreadable() { ledger.known() } else { ledger.refresh()? };
        let is_used = state.streams.contains_key(&stream)
            || !claim::files(&claim.folder)?.is_empty()
            || segment::highest_unnamed(root, &state, stream)? > Seq(0);
        if is_used {
            continue;
        }
        let header = FileHeader { stream, store: state.store };
        let journal = Journal::new(disk.clone(), claim.folder.clone(), header, 1);
        return Ok((claim, journal, Seq(0), UnixNanos::default()));
    }
}

/// Whether the store is a backup without facts of its own.
fn is_unused_backup(root: &Path) -> Result<bool> {
    for stream in claim::streams(root)? {
        match claim::files(&claim::folder(root, stream)) {
            Ok(files) if files.iter().any(JournalFile::is_of_backup) => return Ok(true),
            // Another user's folder, or a link to a folder that is not mounted.
            Err(error) if error.is_denied() || error.kind() == ErrorKind::Damaged => {}
            files => drop(files?),
        }
    }
    Ok(false)
}

/// The least number of stream numbers that are left for the original of a backup.
const LEFT_TO_THE_ORIGINAL: u32 = 1 << 16;
/// The number of candidates for the first stream of a backup. It is large, so that two copies of one backup are unlikely
/// to choose the same stream.
const CHOICES: u128 = 1 << 21;

/// A number far above this one; this one, if there is no such number.
fn stream_apart(newest: u32, random: u128) -> u32 {
    let choice = u32::try_from(random % CHOICES).unwrap_or_default();
    let apart = newest.saturating_add(LEFT_TO_THE_ORIGINAL).saturating_add(choice);
    // A stream is a 32-bit integer in SQL, and more streams may follow.
    if apart < i32::MAX.unsigned_abs() - LEFT_TO_THE_ORIGINAL { apart } else { newest }
}

#[cfg(test)]
mod tests {
    use super::{CHOICES, LEFT_TO_THE_ORIGINAL, stream_apart};

    #[test]
    fn a_stream_apart_is_far_above_those_of_the_original_while_there_are_numbers() {
        assert_eq!(stream_apart(3, 0), 3 + LEFT_TO_THE_ORIGINAL);
        assert_eq!(stream_apart(3, CHOICES + 5), 8 + LEFT_TO_THE_ORIGINAL);
        let mut newest = 1;
        for generation in 0..900 {
            let apart = stream_apart(newest, CHOICES - 1);
            assert!(apart >= newest + LEFT_TO_THE_ORIGINAL, "{generation}");
            newest = apart;
        }
        let most = i32::MAX.unsigned_abs();
        assert_eq!(stream_apart(most - 1, 0), most - 1);
        assert_eq!(stream_apart(u32::MAX, u128::MAX), u32::MAX);
    }
}
