//! Opening for writing: claiming a stream, and taking over what dead processes left.
//!
//! A stream whose lock is free and whose folder has journal files belonged to a process that
//! died. Its facts are read and handed to the flush; its journal files go when the ledger covers
//! them. The opener goes on with the stream, unless facts may be gone, and with them numbers that
//! somebody has seen: because the machine has restarted, and they were never synced, or because
//! they were acknowledged before the journal had them. So that no number names two facts, such a
//! stream ends.
//!
//! An opener that promises the disk goes on with no stream that has facts left to flush: its own
//! would come behind these, and if the power failed, theirs might be there and these not.
//!
//! A stream with a damaged journal is left alone, for `recover`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::buffer::{Buffer, Chunk};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Seq, StreamId, UnixNanos};
use crate::flush;
use crate::journal::append::Journal;
use crate::journal::claim::{self, Claim, JournalFile};
use crate::journal::frame::{FileHeader, verified_frames};
use crate::journal::replay::{self, Contents, Ending};
use crate::ledger::{Ledger, State, StoreId};
use crate::metrics::count;
use crate::recorder::Sealed;
use crate::settings::Durability;
use crate::store::Shared;

/// More bytes in one journal file are not read: no writer makes such a file.
pub(crate) const MAX_JOURNAL_BYTES: u64 = 8 << 30;
/// In nanoseconds.
const A_DAY: i64 = 86_400_000_000_000;

/// A stream to append to, and what has to be flushed first.
pub(crate) struct Opened {
    pub(crate) claim: Claim,
    pub(crate) journal: Journal,
    /// The newest fact of the stream.
    pub(crate) last: Seq,
    pub(crate) last_recorded_at: UnixNanos,
    pub(crate) sealed: VecDeque<Arc<Sealed>>,
}

/// Claims a free stream and takes over what was left.
pub(crate) fn open_stream(
    disk: &Disk,
    root: &Path,
    ledger: &Ledger,
    durability: Durability,
    replayed: &AtomicU64,
) -> Result<Opened> {
    // What others have published, and perhaps not lived to sync, is built upon from here on.
    for folder in [ledger.folder(), &root.join("journal")] {
        disk.sync_dir(folder).map_err(|error| Error::io("open the store with", folder, error))?;
    }
    let mut sealed = VecDeque::new();
    let mut own = None;
    let mut newest = ledger.known().streams.keys().next_back().map_or(0, |stream| stream.0);
    for stream in claim::streams(root)? {
        newest = newest.max(stream.0);
        let files = claim::files(&claim::folder(root, stream))?;
        if own.is_some() && files.is_empty() {
            continue;
        }
        let Some(claim) = claim::try_claim(disk, root, stream)? else { continue };
        // Only now: the last owner may have committed, and removed files, until it let go.
        let state = ledger.refresh()?;
        let files = claim::files(&claim.folder)?;
        let left = match leftovers(disk, &state, stream, &files) {
            Ok(left) => left,
            Err(error) if error.kind() == ErrorKind::Damaged => {
                tracing::warn!(%error, %stream, "the stream is left for recover");
                continue;
            }
            Err(error) => return Err(error),
        };
        count(replayed, left.chunks.iter().map(|chunk| chunk.facts()).sum());
        let ended = state.streams.get(&stream).is_some_and(|stream| stream.ended);
        // A clock that was far ahead would keep this stream's time from going on.
        let timely = left.last_recorded_at.get() <= UnixNanos::now().get().saturating_add(A_DAY);
        // Facts that are synced must not come behind others that a power failure may take; and a
        // sync of these proves nothing, if one has failed before.
        let on_disk = durability != Durability::Synced || left.chunks.is_empty();
        let usable = own.is_none() && !ended && timely && on_disk && !left.numbers_lost;
        let (last, last_recorded_at) = (left.last, left.last_recorded_at);
        let mut remains = Sealed {
            stream,
            chunks: left.chunks,
            journals: files.iter().map(|file| file.path.clone()).collect(),
            last_recorded_at,
            ends_stream: left.numbers_lost && !ended,
            keep_aside: left.keep_aside,
            claim: None,
        };
        if usable {
            let next_number = files.last().map_or(1, |file| file.number + 1);
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
    Ok(Opened { claim, journal, last, last_recorded_at, sealed })
}

fn new_stream(
    disk: &Disk,
    root: &Path,
    ledger: &Ledger,
    mut newest: u32,
) -> Result<(Claim, Journal, Seq, UnixNanos)> {
    loop {
        newest = newest.checked_add(1).filter(|n| i32::try_from(*n).is_ok()).ok_or_else(|| {
            Error::new(
                ErrorKind::Damaged,
                "the store has no stream numbers left; its journal folder is not sound",
            )
        })?;
        let stream = StreamId(newest);
        let Some(claim) = claim::try_claim(disk, root, stream)? else { continue };
        // Another process may have had it, and left, between the listing and the claim.
        let state = ledger.refresh()?;
        if state.streams.contains_key(&stream) || !claim::files(&claim.folder)?.is_empty() {
            continue;
        }
        let header = FileHeader { stream, store: state.store };
        let journal = Journal::new(disk.clone(), claim.folder.clone(), header, 1);
        return Ok((claim, journal, Seq(0), UnixNanos::default()));
    }
}

/// Removes the journal files of a dead process's stream whose facts the ledger covers. Returns how
/// many, and how many bytes.
///
/// If it covers all of them, the stream is left as an opener would that goes on with another: where
/// numbers may have been given out that are in no file, it ends. If not, the files that are left must
/// tell that still; so a file goes only where they have nothing to tell.
pub(crate) fn retire_covered(shared: &Shared, stream: StreamId) -> Result<(u64, u64)> {
    let Some(claim) = claim::try_claim(&shared.disk, &shared.root, stream)? else { return Ok((0, 0)) };
    let state = shared.ledger.refresh()?;
    let files = claim::files(&claim.folder)?;
    let left = match leftovers(&shared.disk, &state, stream, &files) {
        Ok(left) => left,
        // It is left for recover.
        Err(error) if error.kind() == ErrorKind::Damaged => return Ok((0, 0)),
        Err(error) => return Err(error),
    };
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let sizes: Vec<_> = files.iter().map(|file| (file.path.clone(), size(&file.path))).collect();
    let folder = claim.folder.clone();
    if left.chunks.is_empty() {
        let ended = state.streams.get(&stream).is_some_and(|stream| stream.ended);
        let sealed = Sealed {
            stream,
            chunks: Vec::new(),
            journals: files.into_iter().map(|file| file.path).collect(),
            last_recorded_at: left.last_recorded_at,
            ends_stream: left.numbers_lost && !ended,
            keep_aside: left.keep_aside,
            claim: Some(claim),
        };
        flush::flush_left(shared, &Arc::new(sealed))?;
    } else if !left.numbers_lost {
        let header = FileHeader { stream, store: state.store };
        let committed = state.committed(stream);
        for file in &files {
            let bytes = std::fs::read(&file.path)
                .map_err(|error| Error::io("read the journal", &file.path, error))?;
            let contents = replay::read(&bytes, &header, true);
            let covered = contents.facts.is_some_and(|facts| facts.last <= committed);
            if covered && contents.ending == Ending::Clean {
                shared.disk.remove(&file.path).map_err(|error| Error::io("remove", &file.path, error))?;
            }
        }
    }
    let gone: Vec<u64> = sizes.into_iter().filter(|(path, _)| !path.exists()).map(|(_, size)| size).collect();
    if !gone.is_empty() {
        shared.disk.sync_dir(&folder).map_err(|error| Error::io("sync the folder", &folder, error))?;
    }
    Ok((gone.len() as u64, gone.iter().sum()))
}

/// What a stream's journal files hold beyond the ledger.
struct Leftovers {
    chunks: Vec<Arc<Chunk>>,
    last: Seq,
    last_recorded_at: UnixNanos,
    /// Numbers may have been given out that are in no file.
    numbers_lost: bool,
    /// Files that hold more than could be read.
    keep_aside: Vec<PathBuf>,
}

fn leftovers(disk: &Disk, state: &State, stream: StreamId, files: &[JournalFile]) -> Result<Leftovers> {
    let known = state.streams.get(&stream);
    let mut tail = TailReader::new(state.store, stream, known.map_or(Seq(0), |known| known.committed));
    for file in files {
        let attempt = |error| Error::io("read the journal", &file.path, error);
        let size = std::fs::metadata(&file.path).map_err(attempt)?.len();
        let bytes = if size > MAX_JOURNAL_BYTES {
            return Err(Error::damaged(&file.path, format_args!("it has {size} bytes")));
        } else {
            std::fs::read(&file.path).map_err(attempt)?
        };
        tail.add(&file.path, &bytes, claim::same_boot(disk, file))?;
    }
    let recorded_at = known.map_or_else(UnixNanos::default, |known| known.last_recorded_at);
    Ok(Leftovers {
        last: tail.last,
        last_recorded_at: tail.last_recorded_at.max(recorded_at),
        numbers_lost: files.iter().any(|file| file.buffered || !claim::same_boot(disk, file)),
        keep_aside: std::mem::take(&mut tail.keep_aside),
        chunks: tail.finish(),
    })
}

/// Puts a stream's tail together from its journal files, oldest first.
pub(crate) struct TailReader {
    header: FileHeader,
    buffer: Buffer,
    pub(crate) last: Seq,
    pub(crate) last_recorded_at: UnixNanos,
    /// A power failure took what came before the files that are left.
    cut: bool,
    /// Files that hold more than could be read.
    keep_aside: Vec<PathBuf>,
}

impl TailReader {
    /// A tail that begins behind what the ledger covers.
    pub(crate) fn new(store: StoreId, stream: StreamId, committed: Seq) -> Self {
        Self {
            header: FileHeader { stream, store },
            buffer: Buffer::new(stream),
            last: committed,
            last_recorded_at: UnixNanos::default(),
            cut: false,
            keep_aside: Vec::new(),
        }
    }

    /// Adds the facts of a file. Damage, and a gap before its first fact, are errors.
    pub(crate) fn add(&mut self, path: &Path, bytes: &[u8], same_boot: bool) -> Result<()> {
        let Contents { sound, facts, synced, ending } = replay::read(bytes, &self.header, same_boot);
        if matches!(ending, Ending::Torn { sound_behind: true, .. }) {
            self.keep_aside.push(path.to_path_buf());
        }
        if let Ending::Damaged { offset, reason } = ending {
            return Err(Error::damaged(
                path,
                format_args!(
                    "{reason} (at offset {offset}); facts of stream {} after {} may be affected, and `ostracon recover` will deal with it",
                    self.header.stream,
                    self.last.max(facts.map_or(Seq(0), |facts| facts.last))
                ),
            ));
        }
        let Some(facts) = facts.filter(|facts| facts.last > self.last) else { return Ok(()) };
        if self.cut || (facts.first > self.last.next() && !same_boot && synced <= self.last) {
            // The disk kept a later file and not an earlier one. Nobody was promised more.
            self.cut = true;
            self.keep_aside.push(path.to_path_buf());
            return Ok(());
        }
        if facts.first > self.last.next() {
            return Err(Error::damaged(
                path,
                format_args!(
                    "it begins with fact {} of stream {}, and the facts after {} are nowhere",
                    facts.first, self.header.stream, self.last
                ),
            ));
        }
        for frame in verified_frames(bytes.get(sound).unwrap_or_default()) {
            if frame.seq > self.last {
                self.buffer.push(frame.seq, frame.raw);
                self.last = frame.seq;
            }
        }
        self.last_recorded_at = facts.last_recorded_at;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Vec<Arc<Chunk>> {
        self.buffer.seal()
    }
}
