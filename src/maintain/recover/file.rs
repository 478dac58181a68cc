//! What is at a path: whether there is a file, how long it is, and its digest.

use std::fs::Metadata;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::disk::{EIO, open_regular};
use crate::error::{Error, Result};
use crate::ledger::Segment;
use crate::maintain::inventory::{is_absent, look_at};

/// What is at a path where a file should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    Nothing,
    /// A folder, a pipe: nothing that may be opened.
    NoFile,
    /// A link to where nothing is: perhaps it is not mounted.
    BrokenLink,
    /// A file of so many bytes with this digest; without one if the disk cannot read it.
    File {
        bytes: u64,
        blake3: Option<String>,
    },
}

impl FileState {
    /// Looks. A file that could not be read for another reason than that the disk has lost it is
    /// an error, and no damage.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let attempt = |error| Error::io("look at", path, error);
        let Some(metadata) = look_at(path)? else { return Ok(Self::Nothing) };
        if metadata.is_symlink() {
            return Ok(Self::BrokenLink);
        }
        if !metadata.is_file() {
            return Ok(Self::NoFile);
        }
        // A disk that fails once may answer when it is asked again.
        match digest(path).or_else(|_| digest(path)) {
            Ok(blake3) => Ok(Self::File { bytes: metadata.len(), blake3: Some(blake3) }),
            Err(error) if error.raw_os_error() == Some(EIO) => {
                Ok(Self::File { bytes: metadata.len(), blake3: None })
            }
            Err(error) => Err(attempt(error)),
        }
    }

    /// Whether the disk fails to read it, or it is somewhere else, and not there now: whatever is not found is not
    /// known to be lost.
    pub(super) const fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::BrokenLink | Self::File { blake3: None, .. })
    }

    /// Whether it is what the ledger says.
    pub(super) fn is(&self, segment: &Segment) -> bool {
        matches!(self, Self::File { bytes, blake3 }
            if *bytes == segment.bytes && blake3.as_deref() == Some(segment.blake3.as_str()))
    }
}

/// The entries of a folder; symbolic links are followed. Empty if there is no folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let attempt = |error| Error::io("look for copies in", folder, error);
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(attempt(error)),
    };
    let mut entries = Vec::new();
    for entry in listed {
        let path = entry.map_err(attempt)?.path();
        if let Some(found) = look_at(&path)? {
            entries.push((path, found));
        }
    }
    Ok(entries)
}

/// The digest of a file.
pub(super) fn digest(path: &Path) -> io::Result<String> {
    let mut file = open_regular(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            read => hasher.update(piece.get(..read).unwrap_or_default()),
        };
    }
}
