//! Opens a journal file for reading.
//!
//! A writer removes a file once the ledger covers its facts. So if a listed file is gone, all its facts
//! are in the ledger. Any other reason why a file of this name cannot be read, except a failure of the
//! process's environment, is damage of this one file: a link that leads nowhere, a folder, a pipe, bytes
//! that the disk has lost.

use std::fs::File;
use std::io;
use std::path::Path;

use super::append::MAX_JOURNAL_BYTES;
use crate::disk::{is_broken_link, is_unreadable, open_regular, read_bytes};
use crate::error::{Error, Result};

/// Opens a journal file, and returns its length; `None` if the name does not exist.
pub(crate) fn open(path: &Path) -> Result<Option<(File, u64)>> {
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(_) if is_broken_link(path) => {
            return Err(Error::damaged(path, "it is a link that leads to nothing"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open the journal", path, error)),
    };
    let bytes = file.metadata().map_err(|error| failed("open the journal", path, error))?.len();
    if bytes > MAX_JOURNAL_BYTES {
        return Err(Error::damaged(path, format_args!("it has {bytes} bytes, more than any writer makes")));
    }
    Ok(Some((file, bytes)))
}

/// Reads this number of bytes of an open journal file.
pub(crate) fn read(file: &File, path: &Path, bytes: u64) -> Result<Vec<u8>> {
    read_bytes(file, bytes).map_err(|error| failed("read the journal", path, error))
}

fn failed(attempt: &'static str, path: &Path, error: io::Error) -> Error {
    if is_unreadable(&error) { Error::damaged(path, error) } else { Error::io(attempt, path, error) }
}
