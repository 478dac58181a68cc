//! What the journal files of a dead process have that the ledger does not cover.

use std::path::PathBuf;
use std::sync::Arc;

use crate::buffer::Chunk;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::fact::{Seq, StreamId, UnixNanos};
use crate::journal::begin;
use crate::journal::claim::{self, JournalFile};
use crate::journal::source;
use crate::journal::tail::TailReader;
use crate::ledger::State;

/// The facts of a stream's journal files that the ledger does not cover.
pub(super) struct Leftovers {
    pub(super) chunks: Vec<Arc<Chunk>>,
    pub(super) last: Seq,
    pub(super) last_recorded_at: UnixNanos,
    /// Numbers may have been given out that are in no file.
    pub(super) numbers_lost: bool,
    /// Files with bytes that could not be read.
    pub(super) keep_aside: Vec<PathBuf>,
}

pub(super) fn leftovers(
    disk: &Disk,
    state: &State,
    stream: StreamId,
    files: &[JournalFile],
) -> Result<Leftovers> {
    let known = state.streams.get(&stream);
    let mut tail = TailReader::new(state.store, stream, known.map_or(Seq(0), |known| known.committed));
    for file in files {
        let attempt = |error| Error::io("read the journal", &file.path, error);
        let (open, size) =
            source::open(&file.path)?.ok_or_else(|| attempt(std::io::ErrorKind::NotFound.into()))?;
        let metadata = open.metadata().map_err(attempt)?;
        let bytes = source::read(&open, &file.path, size)?;
        let before = tail.may_lack_facts;
        tail.add(&file.path, &bytes, claim::same_boot(disk, file))?;
        if begin::is_unused(&metadata) {
            tail.may_lack_facts = before;
        }
    }
    let recorded_at = known.map_or_else(UnixNanos::default, |known| known.last_recorded_at);
    Ok(Leftovers {
        last: tail.last,
        last_recorded_at: tail.last_recorded_at.max(recorded_at),
        numbers_lost: tail.may_lack_facts || files.iter().any(|file| file.may_lack_numbers(disk)),
        keep_aside: std::mem::take(&mut tail.keep_aside),
        chunks: tail.finish(),
    })
}

/// Reads a journal file.
pub(super) fn read_journal(file: &JournalFile) -> Result<Vec<u8>> {
    let gone = || Error::io("read the journal", &file.path, std::io::ErrorKind::NotFound.into());
    let (open, size) = source::open(&file.path)?.ok_or_else(gone)?;
    source::read(&open, &file.path, size)
}
