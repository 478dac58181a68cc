//! The operations of a disk, and how they can fail.

use std::io;

/// An operation of [`Disk`](super::Disk) that a plan counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Create a directory (also if it is there already).
    CreateDir,
    /// Create a file that is to be written.
    CreateNew,
    /// Append to a file.
    Append,
    /// Sync a file's content.
    SyncData,
    /// Sync a directory's names.
    SyncDir,
    /// Give a file a further name.
    Link,
    /// Remove a name of a file.
    Remove,
    /// Remove an empty directory.
    RemoveDir,
    /// Open or create a lock file.
    LockFile,
    /// Give a directory its final name.
    RenameDir,
}

impl Op {
    /// The operation in the words of an error message: "cannot … `path`".
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::CreateDir => "create directory",
            Self::CreateNew => "create",
            Self::Append => "append to",
            Self::SyncData => "sync",
            Self::SyncDir => "sync directory",
            Self::Link => "link a file as",
            Self::Remove => "remove",
            Self::RemoveDir => "remove directory",
            Self::LockFile => "open lock file",
            Self::RenameDir => "rename a directory to",
        }
    }
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The disk failed (`EIO`); nothing was done.
    Io,
    /// The disk is full (`ENOSPC`); nothing was done.
    NoSpace,
    /// The disk became full in the middle of an append: some of the bytes, but not all, are in the file.
    /// The number of bytes is equal in every run. Any other operation fails as with [`Fault::Io`].
    ShortWrite,
    /// The operation is done, but it reports that the name exists (`EEXIST`). NFS does this when its
    /// first reply is lost and the client sends the request again. An append or a sync fails as with
    /// [`Fault::Io`].
    DoneBefore,
}

impl Fault {
    pub(super) fn error(self, op: Op) -> io::Error {
        const EIO: i32 = 5;
        const ENOSPC: i32 = 28;
        const EEXIST: i32 = 17;
        io::Error::from_raw_os_error(match (self, op) {
            (Self::DoneBefore, Op::Append | Op::SyncData | Op::SyncDir) => EIO,
            (Self::DoneBefore, _) => EEXIST,
            (Self::NoSpace, _) | (Self::ShortWrite, Op::Append) => ENOSPC,
            (Self::Io | Self::ShortWrite, _) => EIO,
        })
    }
}
