//! The journal files of a stream, read as they are.

use std::fs;
use std::path::PathBuf;

use super::{Work, frames};
use crate::adopt::{MAX_JOURNAL_BYTES, TailReader};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Seq, StreamId};
use crate::journal::claim;
use crate::journal::frame::{FileHeader, Frame, HeaderError};
use crate::journal::replay::{self, Ending};
use crate::ledger::StoreId;

/// A journal file, read.
pub(super) struct JournalRead {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) same_boot: bool,
    pub(super) ending: Ending,
    /// It belongs to another stream or store.
    pub(super) foreign: bool,
}

impl JournalRead {
    /// Nothing was ever appended to it, as far as it tells.
    pub(super) fn is_unused(&self) -> bool {
        self.ending == Ending::Clean && self.frames().is_empty()
    }

    /// Its facts, as far as their frames are sound.
    pub(super) fn frames(&self) -> Vec<Frame<'_>> {
        if self.foreign { Vec::new() } else { frames::sound(&self.bytes).facts }
    }
}

/// Reads a stream's journal files. They may go while they are read, if the stream is owned.
pub(super) fn read_journals(work: &Work<'_>, store: StoreId, stream: StreamId) -> Result<Vec<JournalRead>> {
    let expected = FileHeader { stream, store };
    let mut journals = Vec::new();
    for file in claim::files(&claim::folder(work.root, stream))?.into_iter().rev() {
        let attempt = |error| Error::io("read the journal", &file.path, error);
        let bytes = match fs::symlink_metadata(&file.path) {
            Ok(metadata) if !metadata.is_file() => continue,
            Ok(metadata) if metadata.len() > MAX_JOURNAL_BYTES => {
                let much = format_args!("it has {} bytes, and nobody writes such a journal", metadata.len());
                return Err(Error::damaged(&file.path, much));
            }
            Ok(_) => fs::read(&file.path).map_err(attempt)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(attempt(error)),
        };
        let foreign = match FileHeader::decode(&bytes) {
            Ok(header) => header != expected,
            Err(HeaderError::NewerFormat(version)) => {
                return Err(Error::new(
                    ErrorKind::NewerFormat,
                    format!("{} has format {version}; use a newer ostracon", file.path.display()),
                ));
            }
            // By its place it is the stream's.
            Err(HeaderError::Unsound) => false,
        };
        let same_boot = claim::same_boot(work.disk, &file);
        let ending = replay::read(&bytes, &expected, same_boot).ending;
        journals.push(JournalRead { path: file.path, bytes, same_boot, ending, foreign });
    }
    journals.reverse();
    Ok(journals)
}

/// Whether whoever opens the store next finds nothing wrong with these files.
pub(super) fn is_sound(journals: &[JournalRead], store: StoreId, stream: StreamId, committed: Seq) -> bool {
    let mut tail = TailReader::new(store, stream, committed);
    journals.iter().all(|journal| {
        journal.ending == Ending::Clean && tail.add(&journal.path, &journal.bytes, journal.same_boot).is_ok()
    })
}
