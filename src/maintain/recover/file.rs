//! What is at a path: whether there is a file, how long it is, and its digest.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::ledger::Segment;

/// The error of a disk that cannot read what it once wrote.
const EIO: i32 = 5;

/// What is at a path where a file should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// A folder, a link, a pipe: nothing that may be opened.
    NoFile,
    /// A file of so many bytes with this digest; without one if the disk cannot read it.
    File {
        bytes: u64,
        blake3: Option<String>,
    },
}

impl Found {
    /// Looks. A file that could not be read for another reason than that the disk has lost it is
    /// an error, and no damage.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let attempt = |error| Error::io("look at", path, error);
        let metadata = match std::fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            Err(error) => return Err(attempt(error)),
        };
        if !metadata.is_file() {
            return Ok(Self::NoFile);
        }
        match digest(path) {
            Ok(blake3) => Ok(Self::File { bytes: metadata.len(), blake3: Some(blake3) }),
            Err(error) if error.raw_os_error() == Some(EIO) => {
                Ok(Self::File { bytes: metadata.len(), blake3: None })
            }
            Err(error) => Err(attempt(error)),
        }
    }

    /// Whether it is what the ledger says.
    pub(super) fn is(&self, segment: &Segment) -> bool {
        matches!(self, Self::File { bytes, blake3 }
            if *bytes == segment.bytes && blake3.as_deref() == Some(segment.blake3.as_str()))
    }
}

/// The digest of a file.
pub(super) fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            read => hasher.update(piece.get(..read).unwrap_or_default()),
        };
    }
}
