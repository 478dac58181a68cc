//! Beginning a journal file.
//!
//! Before a file takes facts, the disk has its header and its name: after a power failure there is
//! a trace of the stream having been in use, and its numbers are not given out twice. The file gets its
//! name when its header is on the disk, so that one without a header is damaged for certain. That takes
//! two syncs, and who appends is not to wait for them. So the file that will follow the open one
//! may be begun beforehand, beside the lock: it is then the *spare*.
//!
//! A spare that nobody came to use is a file without facts. Whoever finds one takes it for what it
//! has always been, the file of a writer that died before its first fact; also where files with
//! lower and with higher numbers have facts.
//!
//! A file that was cut to its header looks the same, and numbers that were given out are not to be given
//! out again. So a file that is begun is said to have been modified in the year 2000 ([`UNUSED`]), and the
//! first append, or whatever else changes the file, makes that another time. A copy that does not keep times
//! is taken for one that may have had facts: that ends the stream, and costs nothing else.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::claim::{boot_tag, journal_name};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};
use crate::frame::{FILE_HEADER_BYTES, FileHeader};

/// When a file was modified to which nothing was appended since it was begun: 2000-01-01 00:00 UTC, 10,957 days
/// after 1970-01-01.
const UNUSED: Duration = Duration::from_hours(10_957 * 24);

/// Whether nothing was appended to a journal file since it was begun, nor cut from it. `false` if that cannot be
/// known.
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

/// A journal file without facts, of which the disk has the header and the name.
pub(crate) struct BegunFile {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) file: DiskFile,
    disk: Disk,
}

impl NextFile {
    /// Creates the file, with two syncs. If that fails, nothing that matters is left of it.
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
            // A temporary name that stays does no harm.
            let _ = disk.remove(&temp);
            linked?;
            // Not before: a temporary file that is old is taken for a dead one's, and removed.
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
    /// Removes it: nobody will append to it.
    pub(crate) fn remove(self) {
        if let Err(error) = self.disk.remove(&self.path) {
            tracing::warn!(%error, "a journal file without facts stays behind");
        }
    }
}
