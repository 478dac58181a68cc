//! Appending to a stream's journal, one file at a time.

use std::path::PathBuf;

use super::begin::{BegunFile, NextFile};
use crate::disk::{Disk, DiskFile, Syncer};
use crate::error::{Error, Result};
use crate::fact::Seq;
use crate::frame::{FileHeader, mark};
use crate::settings::Durability;

/// The size at which a file is finished, even if the flush is late: a longer file could not be read into
/// memory.
const LONGEST: u64 = 1 << 30;
/// The most bytes of facts that are recorded together.
pub(crate) const MOST_BATCH_BYTES: usize = 1 << 30;
/// The most bytes of a journal file. No writer makes a longer file, and none is read.
pub(crate) const MAX_JOURNAL_BYTES: u64 = LONGEST + MOST_BATCH_BYTES as u64 + (1 << 20);

/// The journal of a stream that this process owns.
pub(crate) struct Journal {
    disk: Disk,
    folder: PathBuf,
    header: FileHeader,
    next_number: u64,
    open: Option<OpenFile>,
    /// The file that follows the open one. No higher file number was given out since.
    spare: Option<BegunFile>,
    /// Finished files whose facts are not in the ledger yet.
    finished: Vec<PathBuf>,
    /// Finished files with facts that were not synced, oldest first. Used only if durability promises the
    /// disk.
    unsynced: Vec<FileEnd>,
    /// All facts up to this one, in files before the open one, were synced.
    kept: Option<Seq>,
    durability: Durability,
}

struct OpenFile {
    path: PathBuf,
    number: u64,
    file: DiskFile,
    /// The number of its bytes that were synced.
    synced: u64,
    /// A mark to write before the next frame.
    mark: Option<Vec<u8>>,
}

impl Journal {
    /// A journal without files: the first fact creates one. File numbers begin at `next_number`.
    pub(crate) const fn new(disk: Disk, folder: PathBuf, header: FileHeader, next_number: u64) -> Self {
        Self {
            disk,
            folder,
            header,
            next_number,
            open: None,
            spare: None,
            finished: Vec::new(),
            unsynced: Vec::new(),
            kept: None,
            durability: Durability::Journaled,
        }
    }

    /// Sets the durability of its facts. If facts are acknowledged before they are in a file, the file's
    /// name says so: then numbers may have been given out that are in no file.
    pub(crate) const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Makes sure that there is a file to append to: the spare, or a file that is begun now.
    pub(crate) fn begin(&mut self) -> Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        let BegunFile { path, number, file, .. } = match self.spare.take() {
            Some(spare) => spare,
            None => self.next_file().begin()?,
        };
        let synced = file.len();
        let mark = self.kept.take().map(|seq| mark(seq, synced));
        self.open = Some(OpenFile { path, number, file, synced, mark });
        Ok(())
    }

    /// Passes frames to the operating system. On an error none of them counts as written. If a part of
    /// them was left in the file, it is [torn](Self::torn), and must be finished.
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

    /// Whether a file was begun that takes frames.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the open file ends within a frame, and takes no more frames.
    pub(crate) fn torn(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.file.torn())
    }

    /// Whether the open file should not grow any further.
    pub(crate) fn long(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.file.len() >= LONGEST)
    }

    /// The file to begin as a spare; `None` if there is a spare.
    pub(crate) fn missing_spare(&mut self) -> Option<NextFile> {
        self.spare.is_none().then(|| self.next_file())
    }

    fn next_file(&mut self) -> NextFile {
        let number = self.next_number;
        self.next_number += 1;
        NextFile {
            disk: self.disk.clone(),
            folder: self.folder.clone(),
            header: self.header,
            number,
            buffered: self.durability == Durability::Buffered,
        }
    }

    /// Takes a spare. Files follow each other by their numbers. So if another file was begun in the
    /// meantime, this one is too late and is returned.
    pub(crate) fn keep_spare(&mut self, begun: BegunFile) -> Option<BegunFile> {
        if self.spare.is_some() || begun.number + 1 != self.next_number {
            return Some(begun);
        }
        self.spare = Some(begun);
        None
    }

    /// Takes the spare out of the journal.
    pub(crate) fn take_spare(&mut self) -> Option<BegunFile> {
        self.spare.take()
    }

    /// The point up to which to sync: all that was appended so far and may not have been synced.
    pub(crate) fn sync_point(&self) -> SyncPoint {
        let mut files = self.unsynced.clone();
        files.extend(self.open.as_ref().and_then(OpenFile::unsynced));
        SyncPoint { files }
    }

    /// Notes that the journal was synced up to this point, and so up to this fact.
    pub(crate) fn mark_synced(&mut self, point: &SyncPoint, seq: Seq) {
        self.unsynced.retain(|end| point.bytes_of(end.number) != Some(end.bytes));
        if let Some(open) = &mut self.open
            && let Some(bytes) = point.bytes_of(open.number)
        {
            open.synced = open.synced.max(bytes);
        }
        if !self.unsynced.is_empty() {
            return;
        }
        match &mut self.open {
            Some(open) => open.mark = Some(mark(seq, open.synced)),
            None => self.kept = self.kept.max(Some(seq)),
        }
    }

    /// Ends the open file, whose last fact is `last`: the next fact goes into a new file. If everything
    /// up to `last` was synced, the new file says so. Then a reader knows after a power failure that
    /// nothing before it may be missing.
    pub(crate) fn finish_file(&mut self, last: Seq) {
        let Some(open) = self.open.take() else { return };
        if self.durability == Durability::Synced {
            self.unsynced.extend(open.unsynced());
            self.kept = self.unsynced.is_empty().then_some(last);
        }
        self.finished.push(open.path);
    }

    /// Replaces an error with its cause, if the store's folder was moved.
    pub(crate) fn explain(&self, error: Error) -> Error {
        self.disk.explain(error)
    }

    /// Links its files, and these, into `quarantine/`, where no process removes them. A failure is not an
    /// error: the file stays in its place for now.
    pub(crate) fn keep_aside<'p>(&'p self, more: impl IntoIterator<Item = &'p PathBuf>) {
        let Some(root) = self.folder.ancestors().nth(2) else { return };
        let own = self.finished.iter().chain(self.open.as_ref().map(|open| &open.path));
        for path in own.chain(more) {
            let name = format!("{}.journal", uuid::Uuid::new_v4().simple());
            let aside = root.join("quarantine").join(name);
            match self.disk.publish_link(path, &aside) {
                Ok(()) => {
                    tracing::warn!(journal = %path.display(), aside = %aside.display(), "a journal file is kept aside");
                }
                Err(error) => tracing::warn!(%error, "a journal file could not be kept aside"),
            }
        }
    }

    /// Takes the finished files out of the journal.
    pub(crate) fn take_finished(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.finished)
    }
}

impl OpenFile {
    /// The end of the file, unless everything before it was synced.
    fn unsynced(&self) -> Option<FileEnd> {
        let bytes = self.file.len();
        (self.synced < bytes).then(|| FileEnd { number: self.number, bytes, syncer: self.file.syncer() })
    }
}

/// A position in a journal file, and the handle that syncs everything before it.
#[derive(Clone)]
struct FileEnd {
    number: u64,
    bytes: u64,
    syncer: Syncer,
}

/// A position in a journal: everything that was appended before it and may not have been synced.
pub(crate) struct SyncPoint {
    /// The files to sync, oldest first.
    files: Vec<FileEnd>,
}

impl SyncPoint {
    /// Whether everything before it was synced.
    pub(crate) fn is_synced(&self) -> bool {
        self.files.is_empty()
    }

    /// Syncs everything before it, older facts first. Files are synced one at a time: the system reports
    /// a failed write-back only once.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.files.iter().try_for_each(|end| end.syncer.sync_data())
    }

    fn bytes_of(&self, number: u64) -> Option<u64> {
        self.files.iter().find(|end| end.number == number).map(|end| end.bytes)
    }
}

#[cfg(test)]
mod tests;
