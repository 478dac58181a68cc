//! An operation on the disk that failed: what was attempted, where, and why.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Op;
use super::folder_identity::Moved;

/// The error inside every [`io::Error`] of [`Disk`](super::Disk): the operation, its path, and the
/// operating system's reason.
///
/// The surrounding error has the reason's [`io::ErrorKind`] (a full disk is
/// [`io::ErrorKind::StorageFull`]), but not its number: [`DiskError::raw_os_error`] returns that. The
/// message includes the reason, so [`source`](Error::source) continues with the cause *after* the reason,
/// and a printed chain does not repeat it.
#[derive(Debug)]
pub struct DiskError {
    op: Op,
    path: PathBuf,
    offset: Option<u64>,
    reason: io::Error,
}

impl DiskError {
    /// The `DiskError` inside `error`, if it came from a [`Disk`](super::Disk).
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// The operation that was attempted.
    pub fn op(&self) -> Op {
        self.op
    }

    /// The path of the operation; for a link, the new name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The operating system's error number, where there is one.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.reason.raw_os_error()
    }

    /// Whether nothing was attempted because [`FaultPlan::halt_at`](super::FaultPlan::halt_at) had
    /// stopped the disk.
    pub fn is_halted(&self) -> bool {
        matches!(self.reason.get_ref(), Some(inner) if inner.is::<Halted>())
    }

    /// Whether nothing was attempted because the store's path leads to another folder now.
    pub(crate) fn is_moved(&self) -> bool {
        matches!(self.reason.get_ref(), Some(inner) if inner.is::<Moved>())
    }

    pub(super) fn wrap(op: Op, path: &Path, reason: io::Error) -> io::Error {
        Self::wrap_as(reason.kind(), op, path, None, reason)
    }

    pub(super) fn wrap_at(op: Op, path: &Path, offset: u64, reason: io::Error) -> io::Error {
        Self::wrap_as(reason.kind(), op, path, Some(offset), reason)
    }

    /// `error` under the kind [`io::ErrorKind::Other`]: for callers that would draw a wrong conclusion
    /// from its own kind.
    pub(super) fn without_kind(error: io::Error) -> io::Error {
        match error.downcast::<Self>() {
            Ok(inner) => io::Error::other(inner),
            Err(error) => io::Error::other(error),
        }
    }

    fn wrap_as(
        kind: io::ErrorKind,
        op: Op,
        path: &Path,
        offset: Option<u64>,
        reason: io::Error,
    ) -> io::Error {
        io::Error::new(kind, Self { op, path: path.to_path_buf(), offset, reason })
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.op.verb(), self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl Error for DiskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

/// The reason of an operation on a halted disk. It has its own type, so that it cannot be confused with a
/// real failure.
#[derive(Debug)]
pub(super) struct Halted;

impl fmt::Display for Halted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("disk halted")
    }
}

impl Error for Halted {}
