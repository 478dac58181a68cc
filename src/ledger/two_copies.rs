//! Keeps every commit in two files.
//!
//! Every commit's file is written a second time, as a separate file in another folder:
//! `ledger-copy/00000000000000000042.json` has the bytes of `ledger/00000000000000000042.json`. So one
//! bad sector, one lost file or one lost folder costs no commit.
//!
//! 1. A commit is published by its name in `ledger/`. That is the commit point.
//! 2. Its copy is published next, before the committer continues. If the copy cannot be written, that is
//!    only a warning, and the commit is valid. The next commit, the next writer that opens the store, and
//!    `recover` write missing copies ([`complete`]); an opening lists both folders to find them.
//! 3. A reader uses the file in `ledger/` if it is the right commit, otherwise the copy ([`read`]). A
//!    number that only the copy has is taken: nothing is published over it. If only copies follow after
//!    the head, and they belong to another store, they are ignored.
//! 4. `recover` publishes a missing or damaged file again, from the other one.
//!
//! Checkpoints are not written twice: their content follows from the commits.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::commit::{self, Commit, CommitNumber, commit_path};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::system_failures::has_no_locks;

/// The name of the folder with the copies of commits.
pub(crate) const COPY_FOLDER: &str = "ledger-copy";

/// The folder of the copies, which is beside the ledger's own.
pub(crate) fn copy_folder(ledger: &Path) -> PathBuf {
    ledger.with_file_name(COPY_FOLDER)
}

/// One of the two files of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The file in `ledger/`.
    Ledger,
    /// The file in `ledger-copy/`.
    Copy,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Ledger, Self::Copy];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Ledger => Self::Copy,
            Self::Copy => Self::Ledger,
        }
    }

    /// The path of a commit's file, when the ledger is in this folder.
    pub(crate) fn path(self, ledger: &Path, number: CommitNumber) -> PathBuf {
        match self {
            Self::Ledger => commit_path(ledger, number),
            Self::Copy => commit_path(&copy_folder(ledger), number),
        }
    }

    /// The path relative to the store's root, as reports write it.
    pub(crate) fn name(self, number: CommitNumber) -> String {
        let folder = if self == Self::Ledger { "ledger" } else { COPY_FOLDER };
        format!("{folder}/{:020}.json", number.0)
    }
}

/// Reads a commit and its digest: from the ledger's own file if `is_it` accepts it, otherwise from the
/// copy. `None` if there is no file of that number.
///
/// If neither file is the wanted commit, the result is that of the ledger's own file, or of the copy if
/// the ledger has none.
pub(crate) fn read(
    ledger: &Path,
    number: CommitNumber,
    is_it: impl Fn(&Commit, &str) -> bool,
) -> Result<Option<(Commit, String)>> {
    Ok(read_side(ledger, number, is_it)?.map(|(commit, digest, _)| (commit, digest)))
}

/// Works as [`read`], and also returns which of the two files it was.
pub(super) fn read_side(
    ledger: &Path,
    number: CommitNumber,
    is_it: impl Fn(&Commit, &str) -> bool,
) -> Result<Option<(Commit, String, Side)>> {
    let with = |side, found: Option<(Commit, String)>| found.map(|(commit, digest)| (commit, digest, side));
    let is_wanted = |found: &Result<Option<(Commit, String)>>| matches!(found, Ok(Some((commit, digest))) if commit.number == number && is_it(commit, digest));
    let own = commit::read(&Side::Ledger.path(ledger, number));
    if is_wanted(&own) {
        return own.map(|own| with(Side::Ledger, own));
    }
    let copy = match commit::read(&Side::Copy.path(ledger, number)) {
        // A folder that this process may not read is ignored.
        Err(error) if error.is_denied() => Ok(None),
        copy => copy,
    };
    match (&own, &copy) {
        (Ok(None), Ok(None)) => Ok(None),
        (_, copy_found) if is_wanted(copy_found) => {
            // The commit may have been published between the two reads.
            let again = commit::read(&Side::Ledger.path(ledger, number));
            if is_wanted(&again) {
                return again.map(|own| with(Side::Ledger, own));
            }
            warn_of_own(number, again.err());
            copy.map(|copy| with(Side::Copy, copy))
        }
        (Ok(None), _) => copy.map(|copy| with(Side::Copy, copy)),
        _ => own.map(|own| with(Side::Ledger, own)),
    }
}

/// Logs the reason why the commit's own file is not used.
fn warn_of_own(number: CommitNumber, error: Option<Error>) {
    // A file that this process may not read is not damaged: the reason names its owner.
    let is_denied = error.as_ref().is_some_and(Error::is_denied);
    let why = error.map_or_else(|| "it is missing, or is another commit".to_owned(), |why| why.to_string());
    if is_denied {
        tracing::warn!(commit = number.0, %why, "a commit is read from its copy in {COPY_FOLDER}");
    } else {
        tracing::warn!(commit = number.0, %why, "a commit is read from its copy in {COPY_FOLDER}; `ostracon \
                                                 recover` restores its file");
    }
}

/// Reads the bytes of a commit from a sound file of the two.
pub(crate) fn read_bytes(ledger: &Path, number: CommitNumber) -> Result<Option<Vec<u8>>> {
    let Some((_, digest)) = read(ledger, number, |_, _| true)? else { return Ok(None) };
    let mut failure = None;
    for side in Side::BOTH {
        match commit::read_bytes(&side.path(ledger, number)) {
            Ok(Some(bytes)) if commit::digest(&bytes) == digest => return Ok(Some(bytes)),
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(None), Err)
}

/// Writes the copy of a commit with these bytes. Makes the folder if it is missing, because older
/// programs did not make it.
pub(super) fn write(disk: &Disk, ledger: &Path, number: CommitNumber, bytes: &[u8]) -> io::Result<()> {
    let folder = copy_folder(ledger);
    if !folder.is_dir() {
        make_folder(disk, &folder)?;
    }
    let path = commit_path(&folder, number);
    match super::publish(disk, &folder, &path, bytes) {
        // Another process wrote this copy in the meantime.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_same(&path, bytes) => Ok(()),
        result => result,
    }
}

fn make_folder(disk: &Disk, folder: &Path) -> io::Result<()> {
    disk.create_dir(folder)?;
    folder.parent().map_or(Ok(()), |root| disk.sync_dir(root))
}

fn is_same(path: &Path, bytes: &[u8]) -> bool {
    commit::read_bytes(path).is_ok_and(|found| found.as_deref() == Some(bytes))
}

/// The numbers of the commits in a folder of the ledger.
pub(crate) fn list(folder: &Path) -> Result<BTreeSet<CommitNumber>> {
    let attempt = |error| Error::io("list the ledger", folder, error);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(attempt(error)),
    };
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(attempt)?.file_name();
        numbers.extend(name.to_str().and_then(|name| number_of(name, "json")));
    }
    Ok(numbers)
}

/// The number in a name such as `00000000000000000042.json`.
pub(super) fn number_of(name: &str, extension: &str) -> Option<CommitNumber> {
    let stem = name.strip_suffix(extension)?.strip_suffix('.')?;
    let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    stem.parse().ok().filter(|_| digits).map(CommitNumber)
}

/// Whether the first and the last commit of the ledger have their copies.
pub(super) fn is_complete(ledger: &Path, root: CommitNumber, head: CommitNumber) -> bool {
    [head, root].into_iter().all(|number| Side::Copy.path(ledger, number).symlink_metadata().is_ok())
}

/// Writes up to `most` missing copies, the newest first. Returns how many are still missing. A file that
/// is not a sound commit of its number, or belongs to another store, is not copied.
pub(crate) fn complete(disk: &Disk, ledger: &Path, most: usize) -> Result<usize> {
    let folder = copy_folder(ledger);
    let copies = list(&folder)?;
    let numbers = list(ledger)?;
    let missing: Vec<_> = numbers.iter().copied().filter(|number| !copies.contains(number)).collect();
    let mut left = missing.len();
    if left == 0 {
        return Ok(0);
    }
    let attempt = |error| Error::io("complete the copies of the ledger in", &folder, error);
    if !folder.is_dir() {
        make_folder(disk, &folder).map_err(attempt)?;
    }
    let first = numbers.first().and_then(|first| read(ledger, *first, |_, _| true).ok().flatten());
    for number in missing.into_iter().rev().take(most) {
        let own = commit_path(ledger, number);
        let is_ours = |commit: &Commit| first.as_ref().is_none_or(|(first, _)| first.store == commit.store);
        let is_sound = match commit::read(&own) {
            Err(error) if error.is_of_environment() => return Err(error),
            read => matches!(read, Ok(Some((commit, _))) if commit.number == number && is_ours(&commit)),
        };
        if is_sound && let Some(bytes) = commit::read_bytes(&own)? {
            write(disk, ledger, number, &bytes).map_err(attempt)?;
        }
        left -= 1;
    }
    Ok(left)
}

/// Takes a shared lock on the file of a commit. A process that deletes segments first tries the locks of
/// the commits that still name them. If the file in `ledger/` is missing, the copy is locked. If the file
/// system has no locks, its error is returned, too.
pub(crate) fn pin(ledger: &Path, number: CommitNumber) -> Result<(File, Option<io::Error>)> {
    let attempt = |path: &Path, error| Error::io("pin the commit", path, error);
    for side in Side::BOTH {
        let path = side.path(ledger, number);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(attempt(&path, error)),
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(attempt(&path, error)),
        };
        let no_locks = match file.lock_shared() {
            Ok(()) => None,
            Err(error) if has_no_locks(&error) => Some(error),
            Err(error) => return Err(attempt(&path, error)),
        };
        // A lock on a file that a repair has replaced is invisible to other processes.
        if leads_to(&path, &file) {
            return Ok((file, no_locks));
        }
    }
    let path = Side::Ledger.path(ledger, number);
    let attempt =
        format!("cannot pin commit {number}: neither {} nor its copy exists; try again", path.display());
    Err(Error::new(ErrorKind::Damaged, attempt))
}

#[cfg(unix)]
fn leads_to(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |found: std::fs::Metadata| (found.dev(), found.ino());
    let (there, own) = (std::fs::metadata(path).map(place), file.metadata().map(place));
    there.is_ok_and(|there| own.is_ok_and(|own| own == there))
}

#[cfg(not(unix))]
fn leads_to(path: &Path, _: &File) -> bool {
    path.exists()
}
