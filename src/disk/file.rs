//! A file that only grows.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::record::FileId;
use super::{DiskError, FaultPlan, Op};

/// A file being written: it is only ever appended to, by one thread at a time.
///
/// Dropping it closes it, and neither syncs nor removes it.
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

    /// The file is linked as `path`: errors tell of it by that name from now on.
    pub(crate) fn named(mut self, path: &Path) -> Self {
        self.handle.path = path.into();
        self
    }

    /// Appends all of `bytes`: when this returns, the operating system has them (not yet the disk).
    ///
    /// # Errors
    ///
    /// The file then holds [`len`](Self::len) bytes of complete appends, and if
    /// [`torn`](Self::torn) also a part of this one. A torn file takes no more appends: they would
    /// stand behind bytes that no reader can skip. One that is not torn may be tried again, say
    /// once there is space.
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

    /// How many bytes were appended, counting only appends that succeeded.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether an append failed that may have left a part of its bytes behind [`len`](Self::len).
    pub(crate) fn torn(&self) -> bool {
        self.torn
    }

    /// Waits until the disk has all that was appended before this call (`fdatasync`). Says nothing
    /// about the file's name: that takes [`Disk::sync_dir`](super::Disk::sync_dir).
    ///
    /// After an error, nobody knows what the disk has, and a second call that succeeds proves
    /// nothing: do not retry.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.handle.sync_data()
    }

    /// Says when the file was modified, which the next append changes. That it cannot be said is no error:
    /// no caller may rely on it.
    pub(crate) fn set_modified(&self, at: SystemTime) {
        if let Err(error) = self.handle.file.set_modified(at) {
            tracing::debug!(path = %self.handle.path.display(), %error, "the time of a file cannot be set");
        }
    }

    /// A handle that another thread can sync the file with, while this one goes on appending.
    pub(crate) fn syncer(&self) -> Syncer {
        self.handle.clone()
    }

    #[cold]
    fn fail(&mut self, reason: io::Error) -> io::Error {
        // The file's own length knows best what has reached it; if even that cannot be told, expect
        // the worst.
        self.torn = !self.handle.file.metadata().is_ok_and(|found| found.len() == self.len);
        DiskError::wrap_at(Op::Append, &self.handle.path, self.len, reason)
    }

    #[cold]
    fn refuse(&self) -> io::Error {
        let reason = io::Error::other("an earlier append was written only in part");
        DiskError::wrap_at(Op::Append, &self.handle.path, self.len, reason)
    }
}

/// Each `write` is one `append`, of all the bytes or, as far as the count tells, of none; `flush`
/// has nothing to do.
impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Syncs a [`DiskFile`] from any thread; cheap to clone, and good after the file itself was
/// dropped.
#[derive(Clone, Debug)]
pub(crate) struct Syncer {
    file: Arc<File>,
    path: Arc<Path>,
    plan: Option<FaultPlan>,
    id: FileId,
}

impl Syncer {
    /// As [`DiskFile::sync_data`]: covers what was appended before this call began.
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
