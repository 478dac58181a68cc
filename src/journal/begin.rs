//! Begins journal files.
//!
//! Before a file takes facts, its header and its name are on the disk. So after a power failure there is
//! a trace that the stream was used, and its numbers are not given out twice. The file gets its name when
//! its header is on the disk, so a file without a header is certainly damaged. Beginning a file takes two
//! syncs, and recorders should not wait for them. So the next file may be begun early, without the lock:
//! it is then the *spare*.
//!
//! A spare that was never used is a file without facts. A reader treats it as the file of a writer that
//! died before its first fact, also if files with lower and with higher numbers have facts.
//!
//! A file that was cut to its header looks like an unused one, but numbers that were given out must not
//! be given out again. So a new file gets a modification time in the year 2000 ([`UNUSED`]), and the
//! first append, or any other change of the file, changes that time. A copy that does not keep times
//! counts as a file that may have had facts: that ends the stream, and costs nothing else.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::claim::{boot_tag, journal_name};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};
use crate::frame::{FILE_HEADER_BYTES, FileHeader};

/// The modification time of a new file that has not changed since it was begun: 2000-01-01 00:00 UTC,
/// 10,957 days after 1970-01-01.
const UNUSED: Duration = Duration::from_hours(10_957 * 24);

/// Whether nothing was appended to a journal file since it was begun, and nothing was cut from it.
/// `false` if that cannot be known.
pub(crate) fn is_unused(file: &Metadata) -> bool {
    file.len() == FILE_HEADER_BYTES as u64
        && file.modified().is_ok_and(|at| at == SystemTime::UNIX_EPOCH + UNUSED)
}

/// A journal file to be begun, under a number that no other file has.
pub(crate) struct NextFile {
    pub(super) disk: Disk,
    pub(super) folder: PathBuf,
    pub(super) header: FileHeader,
    pub(super) number: u64,
    pub(super) buffered: bool,
}

/// A journal file without facts, whose header and name are on the disk.
pub(crate) struct BegunFile {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) file: DiskFile,
    disk: Disk,
}

impl NextFile {
    /// Creates the file, with two syncs. If that fails, it leaves nothing that does harm.
    pub(crate) fn begin(self) -> Result<BegunFile> {
        let Self { disk, folder, header, number, buffered } = self;
        let path = folder.join(journal_name(number, &boot_tag(&disk), buffered));
        let temp = folder.join(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
        let begin = |path: &Path| {
            let mut file = disk.create_new(&temp)?;
            let linked = file
                .append(&header.encode())
                .and_then(|()| file.sync_data())
                .and_then(|()| disk.publish_link(&temp, path));
            // A temporary name that remains does no harm.
            let _ = disk.remove(&temp);
            linked?;
            // Not before: an old temporary file counts as that of a dead process, and is removed.
            file.set_modified(SystemTime::UNIX_EPOCH + UNUSED);
            if let Err(error) = disk.sync_dir(&folder) {
                // It holds no fact; if it cannot be removed either, it does no harm.
                let _ = disk.remove(path);
                return Err(error);
            }
            Ok(file.named(path))
        };
        let file = begin(&path).map_err(|error| Error::io("begin the journal file", &path, error))?;
        Ok(BegunFile { path, number, file, disk })
    }
}

impl BegunFile {
    /// Removes the file: nothing was appended to it.
    pub(crate) fn remove(self) {
        if let Err(error) = self.disk.remove(&self.path) {
            tracing::warn!(%error, "cannot remove a journal file without facts");
        }
    }
}
