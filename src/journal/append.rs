//! Appending to a stream's journal, one file at a time.

use std::path::{Path, PathBuf};

use super::claim::{boot_tag, journal_name};
use super::frame::FileHeader;
use crate::disk::{Disk, DiskFile, Syncer};
use crate::error::{Error, Result};
use crate::fact::Seq;

/// The journal of a stream that this process owns.
pub(crate) struct Journal {
    disk: Disk,
    folder: PathBuf,
    header: FileHeader,
    next_number: u64,
    open: Option<OpenFile>,
    /// Finished files whose facts are not in the ledger yet.
    finished: Vec<PathBuf>,
    /// Those of them that were finished without being synced, by number.
    unsynced: Vec<(u64, Syncer)>,
    /// Facts are acknowledged before the journal has them.
    buffered: bool,
}

struct OpenFile {
    path: PathBuf,
    number: u64,
    file: DiskFile,
    /// A mark that goes before the next frame.
    mark: Option<Vec<u8>>,
}

impl Journal {
    /// Nothing is created before the first fact comes. File numbers begin at `next_number`.
    pub(crate) const fn new(disk: Disk, folder: PathBuf, header: FileHeader, next_number: u64) -> Self {
        Self {
            disk,
            folder,
            header,
            next_number,
            open: None,
            finished: Vec::new(),
            unsynced: Vec::new(),
            buffered: false,
        }
    }

    /// Facts will be acknowledged before the journal has them. Its files say so: whoever finds one
    /// knows that numbers may have been given out that are nowhere.
    pub(crate) const fn buffered(mut self, buffered: bool) -> Self {
        self.buffered = buffered;
        self
    }

    /// Makes sure that there is a file to append to.
    pub(crate) fn begin(&mut self) -> Result<()> {
        if self.open.is_none() {
            self.open = Some(self.begin_file()?);
        }
        Ok(())
    }

    /// Hands frames to the operating system. On an error none of them counts as written, and
    /// nothing is appended behind what may have been left of them.
    pub(crate) fn append(&mut self, frames: &[u8]) -> Result<()> {
        self.begin()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let result = match open.mark.take() {
            None => open.file.append(frames),
            Some(mut mark) => {
                mark.extend_from_slice(frames);
                open.file.append(&mark)
            }
        };
        let Err(error) = result else { return Ok(()) };
        let error = Error::io("append to the journal", &open.path, error);
        if open.file.torn() {
            self.unsynced.push((open.number, open.file.syncer()));
            self.finish_file();
        }
        Err(error)
    }

    /// Begins a file whose header and name the disk has: after a power failure there is a trace
    /// of the stream having been in use, and its numbers are not given out twice.
    fn begin_file(&mut self) -> Result<OpenFile> {
        let name = journal_name(self.next_number, &boot_tag(&self.disk), self.buffered);
        let path = self.folder.join(name);
        let number = self.next_number;
        self.next_number += 1;
        let begin = |path: &Path| {
            let mut file = self.disk.create_new(path)?;
            let begun = file
                .append(&self.header.encode())
                .and_then(|()| file.sync_data())
                .and_then(|()| self.disk.sync_dir(&self.folder));
            if let Err(error) = begun {
                // It holds no fact; if it cannot be removed either, it does no harm.
                let _ = self.disk.remove(path);
                return Err(error);
            }
            Ok(file)
        };
        let file = begin(&path).map_err(|error| Error::io("begin the journal file", &path, error))?;
        Ok(OpenFile { path, number, file, mark: None })
    }

    /// How to sync what was appended so far.
    pub(crate) fn sync_point(&self) -> SyncPoint {
        SyncPoint {
            older: self.unsynced.clone(),
            newest: self.open.as_ref().map(|open| (open.number, open.file.len(), open.file.syncer())),
        }
    }

    /// Notes that everything up to this point, and so up to this fact, was synced.
    pub(crate) fn mark_synced(&mut self, point: &SyncPoint, seq: Seq) {
        self.unsynced.retain(|(number, _)| point.older.iter().all(|(synced, _)| synced != number));
        let Some((number, bytes, _)) = &point.newest else { return };
        if let Some(open) = self.open.as_mut().filter(|open| open.number == *number) {
            open.mark = Some(super::frame::mark(seq, *bytes));
        }
    }

    /// The next fact goes into a new file.
    pub(crate) fn finish_file(&mut self) {
        if let Some(open) = self.open.take() {
            self.finished.push(open.path);
        }
    }

    /// The finished files; from now on they are the caller's.
    pub(crate) fn take_finished(&mut self) -> Vec<PathBuf> {
        self.unsynced.clear();
        std::mem::take(&mut self.finished)
    }
}

/// A position in a journal, and the handles that make the disk keep all before it.
pub(crate) struct SyncPoint {
    older: Vec<(u64, Syncer)>,
    newest: Option<(u64, u64, Syncer)>,
}

impl SyncPoint {
    /// Has the disk keep everything before this point.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        let newest = self.newest.iter().map(|(.., syncer)| syncer);
        self.older.iter().map(|(_, syncer)| syncer).chain(newest).try_for_each(Syncer::sync_data)
    }
}
