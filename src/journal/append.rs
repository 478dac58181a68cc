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
    /// Everything up to here, in files before the one that is open, was synced.
    kept: Option<Seq>,
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
            kept: None,
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

    /// Hands frames to the operating system. On an error none of them counts as written. If a
    /// part of them was left in the file, it is [torn](Self::torn), and has to be finished.
    pub(crate) fn append(&mut self, frames: &[u8]) -> Result<()> {
        self.begin()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let result = match &open.mark {
            None => open.file.append(frames),
            Some(mark) => open.file.append(&[mark, frames].concat()),
        };
        result.map_err(|error| Error::io("append to the journal", &open.path, error))?;
        open.mark = None;
        Ok(())
    }

    /// Whether the open file ends within a frame, and takes no more of them.
    pub(crate) fn torn(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.file.torn())
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
        let mark = self.kept.take().map(|seq| super::frame::mark(seq, file.len()));
        Ok(OpenFile { path, number, file, mark })
    }

    /// How to sync what was appended so far.
    pub(crate) fn sync_point(&self) -> Option<SyncPoint> {
        let open = self.open.as_ref()?;
        Some(SyncPoint { number: open.number, bytes: open.file.len(), syncer: open.file.syncer() })
    }

    /// Notes that everything up to this point, and so up to this fact, was synced.
    pub(crate) fn mark_synced(&mut self, point: &SyncPoint, seq: Seq) {
        if let Some(open) = self.open.as_mut().filter(|open| open.number == point.number) {
            open.mark = Some(super::frame::mark(seq, point.bytes));
        }
    }

    /// The next fact goes into a new file. If everything up to `kept` was synced, that file will
    /// say so: whoever finds it after a power failure knows that nothing before it may be missing.
    pub(crate) fn finish_file(&mut self, kept: Option<Seq>) {
        if let Some(open) = self.open.take() {
            self.finished.push(open.path);
            self.kept = kept;
        }
    }

    /// The finished files; from now on they are the caller's.
    pub(crate) fn take_finished(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.finished)
    }
}

/// A position in a journal file, and the handle that makes the disk keep all before it.
pub(crate) struct SyncPoint {
    number: u64,
    bytes: u64,
    pub(crate) syncer: Syncer,
}
