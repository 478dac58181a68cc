//! Beginning a journal file.
//!
//! Before a file takes facts, the disk has its header and its name: after a power failure there is
//! a trace of the stream having been in use, and its numbers are not given out twice. That takes
//! two syncs, and who appends is not to wait for them. So the file that will follow the open one
//! may be begun beforehand, beside the lock: it is then the *spare*.
//!
//! A spare that nobody came to use is a file without facts. Whoever finds one takes it for what it
//! has always been, the file of a writer that died before its first fact; also where files with
//! lower and with higher numbers have facts.

use std::path::{Path, PathBuf};

use super::claim::{boot_tag, journal_name};
use super::frame::FileHeader;
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};

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
        let begin = |path: &Path| {
            let mut file = disk.create_new(path)?;
            let begun = file
                .append(&header.encode())
                .and_then(|()| file.sync_data())
                .and_then(|()| disk.sync_dir(&folder));
            if let Err(error) = begun {
                // It holds no fact; if it cannot be removed either, it does no harm.
                let _ = disk.remove(path);
                return Err(error);
            }
            Ok(file)
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
