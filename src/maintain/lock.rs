//! One maintainer at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};

/// The name of the lock file, in the ledger's folder.
pub(crate) const LOCK: &str = "maintenance.lock";

/// The right to remove segments from the ledger, until it is dropped. The operating system releases it
/// when the process ends for any reason.
#[derive(Debug)]
pub(crate) struct Maintenance {
    lock: File,
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        // A child process that was forked meanwhile has the file open, too, and would keep it locked.
        let _ = self.lock.unlock();
    }
}

impl Maintenance {
    /// Takes the lock; an error says that another process has it.
    pub(crate) fn claim(disk: &Disk, root: &Path) -> Result<Self> {
        let path = root.join("ledger").join(LOCK);
        let attempt = |error| Error::io("claim the maintenance of the store with", &path, error);
        let lock = disk.lock_file_of_anyone(&path).map_err(attempt)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { lock }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Contended,
                format!(
                    "another process is compacting or recovering {}; wait until it is done, and try again",
                    root.display()
                ),
            )),
            Err(TryLockError::Error(error)) => Err(attempt(error)),
        }
    }
}
