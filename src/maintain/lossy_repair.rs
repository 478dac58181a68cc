//! Finds the files of segments whose facts a repair lost.
//!
//! Such a file may be restored later, from a backup or from a disk that was not mounted. Scan then reports it,
//! compaction keeps it, and recover restores its facts.

use std::fs::File;
use std::path::Path;

use crate::disk::open_regular;
use crate::error::{Error, Result};
use crate::ledger::LossyRepair;
use crate::segment::{digest, is_damage};

/// Whether a file has the digest of the segment that was repaired.
pub(crate) fn is_file_of(repair: &LossyRepair, path: &Path) -> Result<bool> {
    let read = open_regular(path).and_then(|mut file: File| digest(&mut file));
    match read {
        Ok((_, digest)) => Ok(repair.segment.blake3 == digest),
        Err(error) if is_damage(&error) || error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// Finds the repair whose segment is in the file at `path`, which has `bytes` bytes.
pub(crate) fn find_by_file<'a>(
    known: &'a [LossyRepair],
    path: &Path,
    bytes: u64,
) -> Result<Option<&'a LossyRepair>> {
    for repair in known.iter().filter(|repair| repair.segment.bytes == bytes) {
        if is_file_of(repair, path)? {
            return Ok(Some(repair));
        }
    }
    Ok(None)
}
