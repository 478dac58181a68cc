//! Streams and their owners: a process appends only to a stream that it owns.
//!
//! `journal/<stream>/lock` is locked by the stream's owner as long as its process lives; the operating
//! system releases the lock when the process ends for any reason. The file is never removed, so that two
//! processes can never hold locks on two files of that name.

use std::fs::{File, Metadata, TryLockError};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, is_broken_link};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::StreamId;
use crate::system_failures::has_no_locks;

/// The right to append to a stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) stream: StreamId,
    pub(crate) folder: PathBuf,
    lock: File,
    /// How many names (hard links) the lock file had.
    names: u64,
}

impl Claim {
    /// Fails if the lock file was removed: then another process can lock a new file of its name, and own
    /// the stream, too.
    pub(crate) fn check(&self) -> Result<()> {
        if self.names == 0 || !self.lock.metadata().is_ok_and(|found| names_of(&found) == 0) {
            return Ok(());
        }
        let lock = self.folder.join("lock");
        Err(Error::new(
            ErrorKind::Contended,
            format!(
                "{} was removed while this process held its lock, so another process may own stream {}, too; \
                 nothing more is recorded, and the unflushed facts are also kept in quarantine/: open the \
                 store again",
                lock.display(),
                self.stream
            ),
        ))
    }
}

#[cfg(unix)]
fn names_of(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(found)
}

#[cfg(not(unix))]
const fn names_of(_: &Metadata) -> u64 {
    1
}

/// One journal file of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalFile {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    /// The boot of the machine in which it was begun.
    pub(crate) tag: String,
    /// Its facts were acknowledged before they were in the file.
    pub(crate) buffered: bool,
}

/// The boot in the names of a backup's journal files: no machine has it.
pub(crate) const BACKUP_TAG: &str = "backup";

impl JournalFile {
    /// Whether a backup has put it here: the stream continues in another store.
    pub(crate) fn is_of_backup(&self) -> bool {
        self.tag == BACKUP_TAG
    }

    /// Whether numbers may have been given out that are in no file.
    pub(crate) fn may_lack_numbers(&self, disk: &Disk) -> bool {
        self.buffered || self.is_of_backup() || !same_boot(disk, self)
    }
}

/// The name of a journal file: `00000007-1b2c3d4e.journal`. If its facts are acknowledged before they are
/// in the file, `-buffered` follows the boot's tag.
pub(crate) fn journal_name(number: u64, tag: &str, buffered: bool) -> String {
    let buffered = if buffered { BUFFERED } else { "" };
    format!("{number:08}-{tag}{buffered}.journal")
}

const BUFFERED: &str = "-buffered";
/// The highest number of a journal file: no writer gets so far.
const MOST_NUMBER: u64 = i64::MAX as u64;

/// The parts of a journal file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalName {
    pub(crate) number: u64,
    /// The boot of the machine in which it was begun.
    pub(crate) tag: String,
    /// Its facts were acknowledged before they were in the file.
    pub(crate) buffered: bool,
}

impl JournalName {
    /// Parses a name; `None` if it is not the name of a journal file.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (number, rest) = name.strip_suffix(".journal")?.split_once('-')?;
        let (tag, buffered) = rest.strip_suffix(BUFFERED).map_or((rest, false), |tag| (tag, true));
        let number = number.parse().ok().filter(|number| *number <= MOST_NUMBER)?;
        Some(Self { number, tag: tag.to_owned(), buffered })
    }
}

/// The folder of a stream's journal.
pub(crate) fn folder(root: &Path, stream: StreamId) -> PathBuf {
    root.join("journal").join(stream.to_string())
}

/// The streams that have a folder, in order.
pub(crate) fn streams(root: &Path) -> Result<Vec<StreamId>> {
    let mut streams: Vec<StreamId> =
        names(&root.join("journal"))?.iter().filter_map(|name| stream_of(name)).collect();
    streams.sort_unstable();
    Ok(streams)
}

/// The stream whose journal is in the folder of this name. Stream numbers have 31 bits, so that they fit
/// the column in segments.
pub(crate) fn stream_of(name: &str) -> Option<StreamId> {
    let number: u32 = name.parse().ok().filter(|number: &u32| number.to_string() == name)?;
    i32::try_from(number).is_ok().then_some(StreamId(number))
}

/// The number of the next file; `None` if too few numbers are left.
pub(crate) fn next_number(files: &[JournalFile]) -> Option<u64> {
    let newest = files.last().map_or(0, |file| file.number);
    (newest < MOST_NUMBER / 2).then_some(newest + 1)
}

/// The journal files in a stream's folder, oldest first, without other files.
///
/// A reader of a live writer's files must note their ends in the opposite order, the newest file's first.
/// The writer may begin the next file at any time. If the reader noted the older file's end first, it
/// could miss facts that were appended to the older file, but see later facts in the newer one.
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
        Err(_) if is_broken_link(folder) => {
            return Err(Error::damaged(folder, "it is a link that leads to nothing"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(Error::damaged(folder, "it is not a folder"));
        }
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

/// Claims this stream, unless another process owns it. A stream that another user made, and that this
/// process may not write, is skipped.
pub(crate) fn try_claim(disk: &Disk, root: &Path, stream: StreamId) -> Result<Option<Claim>> {
    let folder = folder(root, stream);
    let lock = folder.join("lock");
    let claim = || {
        // Also if the folder exists: the process that made it may have died before it synced the folder's
        // name.
        disk.create_dir(&folder)?;
        disk.sync_dir(&root.join("journal"))?;
        disk.lock_file(&lock)
    };
    let file = match claim() {
        Ok(file) => file,
        Err(_) if is_broken_link(&folder) || folder.is_file() => {
            return Err(Error::damaged(&folder, "it is not a folder"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && folder.exists() => {
            let error = Error::io("claim the stream with", &lock, error);
            tracing::warn!(%error, "a stream that belongs to another user is skipped; its unflushed facts \
                                    wait for that user");
            return Ok(None);
        }
        Err(error) => return Err(Error::io("claim the stream with", &lock, error)),
    };
    match file.try_lock() {
        Ok(()) => {
            let names = file.metadata().map_or(0, |found| names_of(&found));
            Ok(Some(Claim { stream, folder, lock: file, names }))
        }
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            let hint = has_no_locks(&error).then(|| {
                "the file system has no locks: a store on it can be read, but facts can be recorded only \
                 where files can be locked (NFS needs lockd, and a mount without `nolock`)"
                    .to_owned()
            });
            Err(Error::io("lock", &lock, error).hinting(hint))
        }
    }
}

/// Claims every stream, so that nothing is recorded or flushed meanwhile. If a stream cannot be claimed,
/// because another process owns it or it belongs to another user, returns its number.
pub(crate) fn claim_all(disk: &Disk, root: &Path) -> Result<Result<Vec<Claim>, StreamId>> {
    let mut claims = Vec::new();
    for stream in streams(root)? {
        match try_claim(disk, root, stream)? {
            Some(claim) => claims.push(claim),
            None => return Ok(Err(stream)),
        }
    }
    Ok(Ok(claims))
}

/// The tag of this boot in the names of journal files.
pub(crate) fn boot_tag(disk: &Disk) -> String {
    disk.boot_id().chars().filter(char::is_ascii_alphanumeric).take(8).collect()
}

/// Whether a file was begun in this boot of the machine. If that cannot be known, the answer is yes: then
/// damage is never taken for the trace of a power failure. It is also yes for a backup's file, which was
/// completely on the disk before it had its name.
pub(crate) fn same_boot(disk: &Disk, file: &JournalFile) -> bool {
    let now = boot_tag(disk);
    now.is_empty() || file.tag.is_empty() || file.tag == now || file.is_of_backup()
}
