//! A file that is only appended to.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::operation_record::FileId;
use super::{DiskError, FaultPlan, Op};

/// A file that is being written: one thread at a time appends to it.
///
/// Dropping it closes the file, but neither syncs nor removes it.
#[derive(Debug)]
pub struct DiskFile {
    handle: Syncer,
    len: u64,
    torn: bool,
}

impl DiskFile {
    /// A handle on the empty file that was just created at `path`.
    pub(super) fn new(file: File, path: &Path, plan: Option<FaultPlan>, id: FileId) -> Self {
        let handle = Syncer { file: Arc::new(file), path: path.into(), plan, id };
        Self { handle, len: 0, torn: false }
    }

    /// The file was linked as `path`: errors use that name from now on.
    pub(crate) fn named(mut self, path: &Path) -> Self {
        self.handle.path = path.into();
        self
    }

    /// Appends all of `bytes`: when this returns, the operating system has them (not yet the disk).
    ///
    /// # Errors
    ///
    /// The file then holds [`len`](Self::len) bytes of complete appends, and if it is
    /// [`torn`](Self::torn) also a part of this one. A torn file takes no more appends: they would stand
    /// after bytes that no reader can skip. A file that is not torn takes another try, for example once
    /// there is space.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.torn {
            return Err(self.refuse());
        }
        let result = match &self.handle.plan {
            None => (&*self.handle.file).write_all(bytes),
            Some(plan) => plan.append(self.handle.id, &self.handle.path, &self.handle.file, self.len, bytes),
        };
        match result {
            Ok(()) => {
                self.len += bytes.len() as u64;
                Ok(())
            }
            Err(reason) => Err(self.fail(reason)),
        }
    }

    /// The number of bytes in appends that succeeded.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether a failed append may have left a part of its bytes after [`len`](Self::len).
    pub(crate) fn torn(&self) -> bool {
        self.torn
    }

    /// Waits until the disk has all bytes that were appended before this call (`fdatasync`). This does
    /// not cover the file's name: [`Disk::sync_dir`](super::Disk::sync_dir) does.
    ///
    /// After an error, the state of the disk is unknown, and a second call that succeeds proves nothing:
    /// do not retry.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.handle.sync_data()
    }

    /// Sets the file's time of modification, which the next append changes. A failure is not an error: no
    /// caller may rely on this time.
    pub(crate) fn set_modified(&self, at: SystemTime) {
        if let Err(error) = self.handle.file.set_modified(at) {
            tracing::debug!(path = %self.handle.path.display(), %error, "cannot set the modification time of \
                                                                         a file");
        }
    }

    /// A handle that another thread can sync the file with, while this one goes on appending.
    pub(crate) fn syncer(&self) -> Syncer {
        self.handle.clone()
    }

    #[cold]
    fn fail(&mut self, reason: io::Error) -> io::Error {
        // The file's own length shows best how much has reached it. If the length cannot be read, assume
        // a torn file.
        self.torn = !self.handle.file.metadata().is_ok_and(|found| found.len() == self.len);
        DiskError::wrap_at(Op::Append, &self.handle.path, self.len, reason)
    }

    #[cold]
    fn refuse(&self) -> io::Error {
        let reason = io::Error::other("an earlier append was written only in part");
        DiskError::wrap_at(Op::Append, &self.handle.path, self.len, reason)
    }
}

/// Each `write` is one `append`: of all the bytes or, by the returned count, of none. `flush` has nothing
/// to do.
impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Syncs a [`DiskFile`] from any thread. It is cheap to clone, and works after the file itself was
/// dropped.
#[derive(Clone, Debug)]
pub(crate) struct Syncer {
    file: Arc<File>,
    path: Arc<Path>,
    plan: Option<FaultPlan>,
    id: FileId,
}

impl Syncer {
    /// Works as [`DiskFile::sync_data`]: covers the bytes that were appended before this call began.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        let result = match &self.plan {
            None => self.file.sync_data(),
            Some(plan) => plan.sync(
                Op::SyncData,
                &self.path,
                |record| record.file_len(self.id, &self.path),
                || self.file.sync_data(),
                |record, len, done| record.file_synced(self.id, &self.path, len, done),
            ),
        };
        result.map_err(|reason| DiskError::wrap(Op::SyncData, &self.path, reason))
    }
}
