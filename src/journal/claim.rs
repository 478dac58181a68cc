//! Streams and their owners: who may append where.
//!
//! `journal/<stream>/lock` is locked by the stream's owner for as long as its process lives; the
//! operating system frees it when that ends, however it ends. The file is never removed, so that
//! two processes can never hold locks on two files of that name.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::fact::StreamId;

/// The right to append to a stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) stream: StreamId,
    pub(crate) folder: PathBuf,
    _lock: File,
}

/// One journal file of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalFile {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    /// Which run of the machine it was begun in.
    pub(crate) tag: String,
    /// Its facts were acknowledged before it had them.
    pub(crate) buffered: bool,
}

/// The name of a journal file: `00000007-1b2c3d4e.journal`, with `-buffered` behind the tag of one
/// whose facts are acknowledged before it has them.
pub(crate) fn journal_name(number: u64, tag: &str, buffered: bool) -> String {
    let buffered = if buffered { BUFFERED } else { "" };
    format!("{number:08}-{tag}{buffered}.journal")
}

const BUFFERED: &str = "-buffered";

/// What the name of a journal file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalName {
    pub(crate) number: u64,
    /// Which run of the machine it was begun in.
    pub(crate) tag: String,
    /// Its facts were acknowledged before it had them.
    pub(crate) buffered: bool,
}

impl JournalName {
    /// `None` if it is not the name of a journal file.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (number, rest) = name.strip_suffix(".journal")?.split_once('-')?;
        let (tag, buffered) = rest.strip_suffix(BUFFERED).map_or((rest, false), |tag| (tag, true));
        Some(Self { number: number.parse().ok()?, tag: tag.to_owned(), buffered })
    }
}

/// The folder of a stream's journal.
pub(crate) fn folder(root: &Path, stream: StreamId) -> PathBuf {
    root.join("journal").join(stream.to_string())
}

/// The streams that have a folder, in order.
pub(crate) fn streams(root: &Path) -> Result<Vec<StreamId>> {
    let mut streams: Vec<StreamId> = names(&root.join("journal"))?
        .iter()
        .filter_map(|name| name.parse().ok().filter(|n: &u32| n.to_string() == *name))
        .map(StreamId)
        .collect();
    streams.sort_unstable();
    Ok(streams)
}

/// The journal files in a stream's folder, oldest first. Strangers are left out.
///
/// Who looks at the files of a writer that lives takes note of their ends in the opposite order,
/// the newest file's first. A file may follow another from one moment to the next: were the older
/// one's end noted first, facts that were appended to both in between would be missing before
/// others that are there.
pub(crate) fn files(folder: &Path) -> Result<Vec<JournalFile>> {
    let mut files: Vec<JournalFile> = names(folder)?
        .into_iter()
        .filter_map(|name| {
            let JournalName { number, tag, buffered } = JournalName::parse(&name)?;
            Some(JournalFile { number, tag, buffered, path: folder.join(&name) })
        })
        .collect();
    files.sort_unstable_by_key(|file| file.number);
    Ok(files)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let attempt = |error| Error::io("list the folder", folder, error);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(attempt(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry.map_err(attempt)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Claims this stream, unless another process has it.
pub(crate) fn try_claim(disk: &Disk, root: &Path, stream: StreamId) -> Result<Option<Claim>> {
    let folder = folder(root, stream);
    let lock = folder.join("lock");
    let claim = || {
        // Also for a folder that is there: who made it may not have come as far as to sync it.
        disk.create_dir(&folder)?;
        disk.sync_dir(&root.join("journal"))?;
        disk.lock_file(&lock)
    };
    let file = claim().map_err(|error| Error::io("claim the stream with", &lock, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Claim { stream, folder, _lock: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &lock, error)),
    }
}

/// Names this run of the machine in the names of journal files.
pub(crate) fn boot_tag(disk: &Disk) -> String {
    disk.boot_id().chars().filter(char::is_ascii_alphanumeric).take(8).collect()
}

/// Whether a file was begun in this run of the machine. Where that cannot be known, it is taken
/// for so: then damage is never taken for the trace of a power failure.
pub(crate) fn same_boot(disk: &Disk, file: &JournalFile) -> bool {
    let now = boot_tag(disk);
    now.is_empty() || file.tag.is_empty() || file.tag == now
}
