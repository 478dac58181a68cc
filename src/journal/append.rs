//! Appending to a stream's journal, one file at a time.

use std::path::PathBuf;

use super::begin::{BegunFile, NextFile};
use crate::disk::{Disk, DiskFile, Syncer};
use crate::error::{Error, Result};
use crate::fact::Seq;
use crate::frame::{FileHeader, mark};
use crate::settings::Durability;

/// A file that is so long is finished, whoever waits for the flush: what nobody can hold in memory,
/// nobody reads.
const LONGEST: u64 = 1 << 30;
/// Facts that are recorded together have no more bytes.
pub(crate) const MOST_BATCH_BYTES: usize = 1 << 30;
/// Files with more bytes are not read: no writer makes such a file.
pub(crate) const MAX_JOURNAL_BYTES: u64 = LONGEST + MOST_BATCH_BYTES as u64 + (1 << 20);

/// The journal of a stream that this process owns.
pub(crate) struct Journal {
    disk: Disk,
    folder: PathBuf,
    header: FileHeader,
    next_number: u64,
    open: Option<OpenFile>,
    /// The file that follows the open one. No higher number was given out since.
    spare: Option<BegunFile>,
    /// Finished files whose facts are not in the ledger yet.
    finished: Vec<PathBuf>,
    /// Finished files that have facts which were not synced, oldest first; only where facts are
    /// promised the disk.
    unsynced: Vec<FileEnd>,
    /// Everything up to here, in files before the one that is open, was synced.
    kept: Option<Seq>,
    durability: Durability,
}

struct OpenFile {
    path: PathBuf,
    number: u64,
    file: DiskFile,
    /// So many of its bytes were synced.
    synced: u64,
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
            spare: None,
            finished: Vec::new(),
            unsynced: Vec::new(),
            kept: None,
            durability: Durability::Journaled,
        }
    }

    /// What its facts are promised. The names of files whose facts are acknowledged before they
    /// have them say so: whoever finds one knows that numbers may have been given out that are
    /// nowhere.
    pub(crate) const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Makes sure that there is a file to append to: the spare, or else one that is begun now.
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

    /// Whether there is a file that was begun, and takes frames.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the open file ends within a frame, and takes no more of them.
    pub(crate) fn torn(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.file.torn())
    }

    /// Whether the open file should not grow any further.
    pub(crate) fn long(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.file.len() >= LONGEST)
    }

    /// The file to be begun for a spare; `None` if there is one.
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

    /// Takes a spare. Files follow each other by their numbers, so if another one was begun in the
    /// meantime, this one comes too late and is given back.
    pub(crate) fn keep_spare(&mut self, begun: BegunFile) -> Option<BegunFile> {
        if self.spare.is_some() || begun.number + 1 != self.next_number {
            return Some(begun);
        }
        self.spare = Some(begun);
        None
    }

    /// The spare, which from now on is the caller's.
    pub(crate) fn take_spare(&mut self) -> Option<BegunFile> {
        self.spare.take()
    }

    /// How to sync what was appended so far and may not have been synced.
    pub(crate) fn sync_point(&self) -> SyncPoint {
        let mut files = self.unsynced.clone();
        files.extend(self.open.as_ref().and_then(OpenFile::unsynced));
        SyncPoint { files }
    }

    /// Notes that everything up to this point, and so up to this fact, was synced.
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

    /// The next fact goes into a new file; the last one was `last`. If everything up to it was
    /// synced, that file will say so: whoever finds it after a power failure knows that nothing
    /// before it may be missing.
    pub(crate) fn finish_file(&mut self, last: Seq) {
        let Some(open) = self.open.take() else { return };
        if self.durability == Durability::Synced {
            self.unsynced.extend(open.unsynced());
            self.kept = self.unsynced.is_empty().then_some(last);
        }
        self.finished.push(open.path);
    }

    /// Replaces an error by its cause, if the store's folder was moved.
    pub(crate) fn explain(&self, error: Error) -> Error {
        self.disk.explain(error)
    }

    /// Gives its files, and these, further names in `quarantine/`, where no process removes them. That one cannot
    /// be kept is no error: it stays where it is for now.
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

    /// The finished files; from now on they are the caller's.
    pub(crate) fn take_finished(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.finished)
    }
}

impl OpenFile {
    /// Its end, if not all before it was synced.
    fn unsynced(&self) -> Option<FileEnd> {
        let bytes = self.file.len();
        (self.synced < bytes).then(|| FileEnd { number: self.number, bytes, syncer: self.file.syncer() })
    }
}

/// A position in a journal file, and the handle that makes the disk keep all before it.
#[derive(Clone)]
struct FileEnd {
    number: u64,
    bytes: u64,
    syncer: Syncer,
}

/// A position in a journal: all that was appended before it and may not have been synced.
pub(crate) struct SyncPoint {
    /// Oldest first.
    files: Vec<FileEnd>,
}

impl SyncPoint {
    /// Whether everything before it was synced.
    pub(crate) fn is_synced(&self) -> bool {
        self.files.is_empty()
    }

    /// Has the disk keep all before it: the older facts first. One at a time: the system tells of a
    /// failed write-back only once.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.files.iter().try_for_each(|end| end.syncer.sync_data())
    }

    fn bytes_of(&self, number: u64) -> Option<u64> {
        self.files.iter().find(|end| end.number == number).map(|end| end.bytes)
    }
}

#[cfg(test)]
mod tests;
