//! Reads the two files of a commit: the ledger's own file and the copy in `ledger-copy/`.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Commit, CommitNumber, Side, read_commit_file};
use crate::maintain::inventory::{self, is_file, look_at};

/// The number of threads that read commits.
const READERS: usize = 2;

/// A commit's two files.
pub(super) struct CommitFiles {
    pub(super) own: CommitFile,
    pub(super) copy: CommitFile,
}

impl CommitFiles {
    /// Compares the two again: the copy may have been published after the first comparison.
    fn compared(self) -> Self {
        match (&self.own, &self.copy) {
            (CommitFile::Commit { digest: own, .. }, CommitFile::Commit { digest: copy, bytes, .. })
                if own == copy =>
            {
                Self { copy: CommitFile::Same { bytes: *bytes }, ..self }
            }
            _ => self,
        }
    }

    /// The digest of the commit before, in this commit.
    pub(super) fn parent(&self) -> Option<String> {
        let of = |found: &CommitFile| match found {
            CommitFile::Commit { commit, .. } => Some(commit.parent.clone()),
            _ => None,
        };
        match (of(&self.own), of(&self.copy)) {
            (Some(own), Some(copy)) => Some(own).filter(|own| *own == copy),
            (own, copy) => own.or(copy),
        }
    }
}

/// One of the two files of a commit.
pub(super) enum CommitFile {
    Commit {
        commit: Box<Commit>,
        digest: String,
        bytes: u64,
    },
    /// A copy with the bytes of the ledger's own file.
    Same {
        bytes: u64,
    },
    Nothing,
    /// Another content, or damage, as text.
    Unsound(String),
}

impl CommitFile {
    /// The file's content as text for people.
    pub(super) fn words(&self, number: CommitNumber) -> String {
        match self {
            Self::Commit { commit, .. } if commit.number != number => format!("commit {}", commit.number),
            Self::Commit { commit, .. } => {
                format!(
                    "another commit of that number, of store {}, whose parent is {}",
                    commit.store, commit.parent
                )
            }
            Self::Same { .. } => "an equal file".to_owned(),
            Self::Nothing => "nothing".to_owned(),
            Self::Unsound(what) => what.clone(),
        }
    }
}

pub(super) fn read_all(folder: &Path, numbers: &[CommitNumber]) -> Vec<Result<CommitFiles>> {
    let each = numbers.len().div_ceil(READERS).max(64);
    let read = |numbers: &[CommitNumber]| -> Vec<_> { numbers.iter().map(|n| read(folder, *n)).collect() };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            numbers.chunks(each).map(|part| (part, scope.spawn(move || read(part)))).collect();
        let parts = threads.into_iter().map(|(part, thread)| thread.join().unwrap_or_else(|_| read(part)));
        parts.flatten().collect()
    })
}

/// Reads both files of a commit.
pub(super) fn read(folder: &Path, number: CommitNumber) -> Result<CommitFiles> {
    let own = read_file(folder, Side::Ledger, number);
    if let Ok(CommitFile::Commit { digest, .. }) = &own {
        let path = Side::Copy.path(folder, number);
        if is_file(&path).unwrap_or_default()
            && let Ok(bytes) = std::fs::read(&path)
            && blake3::hash(&bytes).to_hex().as_str() == digest
        {
            return Ok(CommitFiles { own: own?, copy: CommitFile::Same { bytes: bytes.len() as u64 } });
        }
    }
    let copy = match read_file(folder, Side::Copy, number) {
        // A folder that this process may not read is ignored.
        Err(error) if error.is_denied() => CommitFile::Same { bytes: 0 },
        Err(error) if own.is_ok() && error.kind() == ErrorKind::NewerFormat => {
            CommitFile::Unsound(reason(&error))
        }
        copy => copy?,
    };
    if let (Ok(CommitFile::Nothing), CommitFile::Commit { .. }) = (&own, &copy) {
        // It may have been published between the two reads.
        return Ok(CommitFiles { own: read_file(folder, Side::Ledger, number)?, copy }.compared());
    }
    let own = match own {
        // A flipped bit may have changed the version to a higher one.
        Err(error) if error.kind() == ErrorKind::NewerFormat && matches!(copy, CommitFile::Commit { .. }) => {
            CommitFile::Unsound(reason(&error))
        }
        own => own?,
    };
    Ok(CommitFiles { own, copy }.compared())
}

fn read_file(folder: &Path, side: Side, number: CommitNumber) -> Result<CommitFile> {
    let path = side.path(folder, number);
    let bytes = match look_at(&path)? {
        Some(found) if found.is_file() => found.len(),
        Some(found) => return Ok(CommitFile::Unsound(inventory::Form::of(&found).words().to_owned())),
        None => return Ok(CommitFile::Nothing),
    };
    match read_commit_file(folder, side, number) {
        Ok(Some((commit, digest))) => Ok(CommitFile::Commit { commit: Box::new(commit), digest, bytes }),
        Ok(None) => Ok(CommitFile::Nothing),
        Err(error) if error.kind() == ErrorKind::NewerFormat || error.is_of_environment() => Err(error),
        Err(error) => Ok(CommitFile::Unsound(reason(&error))),
    }
}

/// The reason in an error about a file, without the file's name.
pub(in crate::maintain) fn reason(error: &Error) -> String {
    let text = error.to_string();
    text.split_once(" is damaged: ").map_or(text.as_str(), |(_, reason)| reason).to_owned()
}
