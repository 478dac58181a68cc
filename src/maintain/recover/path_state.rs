//! The state of a path: whether there is a file, its length, and its digest.

use std::fs::Metadata;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::disk::{EIO, open_regular};
use crate::error::{Error, Result};
use crate::ledger::Segment;
use crate::maintain::inventory::{is_absent, look_at};

/// The state of a path where a file should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    Nothing,
    /// A folder or a pipe: it may not be opened.
    NoFile,
    /// A link that leads to nothing: perhaps the target is not mounted.
    BrokenLink,
    /// A file of this number of bytes with this digest; without digest if the disk cannot read the file.
    File {
        bytes: u64,
        blake3: Option<String>,
    },
}

impl FileState {
    /// Reads the state of a path. If a file cannot be read for another reason than that the disk has lost
    /// it, that is an error, not damage.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let attempt = |error| Error::io("access", path, error);
        let Some(metadata) = look_at(path)? else { return Ok(Self::Nothing) };
        if metadata.is_symlink() {
            return Ok(Self::BrokenLink);
        }
        if !metadata.is_file() {
            return Ok(Self::NoFile);
        }
        // A disk that fails once may succeed when it is read again.
        match digest(path).or_else(|_| digest(path)) {
            Ok(blake3) => Ok(Self::File { bytes: metadata.len(), blake3: Some(blake3) }),
            Err(error) if error.raw_os_error() == Some(EIO) => {
                Ok(Self::File { bytes: metadata.len(), blake3: None })
            }
            Err(error) => Err(attempt(error)),
        }
    }

    /// Whether the disk cannot read the file, or its link leads to nothing now: then the facts in it are
    /// not known to be lost.
    pub(super) const fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::BrokenLink | Self::File { blake3: None, .. })
    }

    /// Whether it is the file that the ledger describes.
    pub(super) fn is(&self, segment: &Segment) -> bool {
        matches!(self, Self::File { bytes, blake3 }
            if *bytes == segment.bytes && blake3.as_deref() == Some(segment.blake3.as_str()))
    }
}

/// The entries of a folder; symbolic links are followed. Empty if the folder does not exist.
pub(super) fn entries(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let attempt = |error| Error::io("search for copies in", folder, error);
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
