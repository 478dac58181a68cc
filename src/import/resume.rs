//! Knowing a file again by its content.
//!
//! A commit of an import keeps the digest of the file's first bytes, and that of all bytes up to
//! where the commit reaches. A file that begins with the same bytes may be the same; it is, if the
//! second digest fits as well. Names do not count: log files are renamed and rotated.

use std::io::Read;

use super::Import;
use super::lines::fill;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{EntryRange, ImportMark, State};

/// How many bytes tell whether a file may be known.
const HEAD_BYTES: usize = 64 << 10;

/// How far an input was read, and what it is known by.
pub(super) struct Progress {
    name: String,
    head_bytes: u64,
    head_blake3: String,
    hasher: blake3::Hasher,
    /// How far the ledger says that it was imported.
    pub(super) known: Option<u64>,
    /// The ledger knows its beginning, and it is imported all the same.
    pub(super) again: bool,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) rejected: u64,
    /// Which entries of a source the input is.
    entries: Option<EntryRange>,
}

/// Where to begin with an input.
pub(super) struct Begin {
    pub(super) progress: Progress,
    /// Bytes that were read and are not imported yet.
    pub(super) read: Vec<u8>,
    /// Lines that an earlier import has taken. The last of them may have had no line break; then what
    /// is read next is the rest of that line, and `progress` does not count it yet.
    pub(super) resumed_after: u64,
}

impl Progress {
    /// Adds bytes that are dealt with.
    pub(super) fn add(&mut self, text: &[u8], lines: u64, rejected: u64) {
        self.hasher.update(text);
        self.bytes += text.len() as u64;
        self.lines += lines;
        self.rejected += rejected;
    }

    pub(super) fn mark(&self) -> ImportMark {
        ImportMark {
            name: self.name.clone(),
            head_bytes: self.head_bytes,
            head_blake3: self.head_blake3.clone(),
            bytes: self.bytes,
            blake3: self.hasher.finalize().to_hex().to_string(),
            lines: self.lines,
            rejected: self.rejected,
            entries: self.entries,
        }
    }
}

/// Reads an input's beginning, and skips what the ledger says was imported.
pub(super) fn begin(input: &mut impl Read, state: &State, import: &Import<'_>) -> Result<Begin> {
    let (name, again) = (import.name.clone(), import.again);
    let attempt = |error| Error::with_source(ErrorKind::Io, "cannot read the input", error);
    let mut read = Vec::new();
    while read.len() < HEAD_BYTES && fill(input, &mut read).map_err(attempt)? {}
    let head = read.get(..HEAD_BYTES).unwrap_or(&read);
    let mut progress = Progress {
        name,
        head_bytes: head.len() as u64,
        head_blake3: blake3::hash(head).to_hex().to_string(),
        hasher: blake3::Hasher::new(),
        known: None,
        again: false,
        bytes: 0,
        lines: 0,
        rejected: 0,
        entries: import.entries.as_ref().map(|entries| entries.range),
    };
    if let Some(entries) = &import.entries {
        progress.again = entries.again;
        return Ok(Begin { progress, read, resumed_after: 0 });
    }
    progress.known = state.imported(&progress.head_blake3);
    let may_be = |mark: &&ImportMark| {
        let head = usize::try_from(mark.head_bytes).ok().and_then(|bytes| read.get(..bytes));
        mark.head_bytes > 0
            && mark.entries.is_none()
            && head.is_some_and(|head| blake3::hash(head).to_hex().as_str() == mark.head_blake3)
    };
    let known = state.imports.iter().filter(may_be).max_by_key(|mark| mark.bytes);
    progress.again = again && known.is_some();
    let Some(mark) = known.filter(|_| !again) else { return Ok(Begin { progress, read, resumed_after: 0 }) };

    let mut left = mark.bytes;
    let mut last = b'\n';
    while left > 0 {
        if read.is_empty() && !fill(input, &mut read).map_err(attempt)? {
            return Err(differs(mark, "ends before"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(read.len());
        let rest = read.split_off(most);
        progress.add(&read, 0, 0);
        last = read.last().copied().unwrap_or(last);
        left -= most as u64;
        read = rest;
    }
    if progress.mark().blake3 != mark.blake3 {
        return Err(differs(mark, "differs before"));
    }
    progress.lines = mark.lines - u64::from(last != b'\n').min(mark.lines);
    progress.rejected = mark.rejected;
    Ok(Begin { progress, read, resumed_after: mark.lines })
}

fn differs(mark: &ImportMark, how: &str) -> Error {
    let message = format!(
        "the input begins like {:?}, of which {} bytes were imported, but {how} their end; \
         importing it again, whole, has to be asked for (--again)",
        mark.name, mark.bytes
    );
    Error::new(ErrorKind::InvalidFact, message)
}
