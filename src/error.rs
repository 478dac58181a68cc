//! One error type, whose kinds say what the caller should do.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::path::Path;
use std::{fmt, io};

use crate::disk::{Disk, DiskError, Misplaced};
use crate::system_failures;

/// `Result` with Ostracon's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: what was attempted, where, why it failed, and often what to do next.
///
/// The message is for people. Programs branch on [`Error::kind`].
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    hint: Option<String>,
}

/// The kinds of errors, by what the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The disk is full. The fact was not acknowledged. Make room and record it again.
    NoSpace,
    /// The operating system refused an operation, or the operation failed.
    Io,
    /// The buffer is full and the flush did not make room in time. Nothing was recorded. Try again later,
    /// or drop the fact.
    Overloaded,
    /// The store was closed, or was opened for reading only.
    Closed,
    /// An earlier sync failed, so the store can no longer promise that facts are safe. Open the store
    /// again: it replays the journal that is on the disk.
    Poisoned,
    /// The store's path no longer leads to the folder that was opened: the folder was renamed, replaced,
    /// removed or unmounted. Or files of another store are in the folder. Acknowledged facts are in the
    /// folder that was opened, and nothing was written into another folder. Open the store where it is
    /// now.
    Moved,
    /// Bytes in the store differ from the bytes that were written.
    Damaged,
    /// There is no store at the path, or something else is there.
    NotAStore,
    /// A newer Ostracon wrote this store.
    NewerFormat,
    /// `ostracon.toml` or the builder has a setting that is not possible.
    Settings,
    /// The input is not a fact: a malformed line, or a value out of range.
    InvalidFact,
    /// The SQL is wrong or not allowed, or the query failed while it ran.
    Query,
    /// The program asked for something impossible: a column that the answer does not have, or a value as
    /// a type that does not fit.
    InvalidArgument,
    /// The query needed more memory than its limit.
    OutOfMemory,
    /// The query took longer than its time limit.
    TimedOut,
    /// Other processes kept committing, and the operation gave up. Try again.
    Contended,
    /// The caller cancelled the operation. The store is unchanged.
    Cancelled,
    /// A bug in Ostracon. The store is unchanged. Please report it.
    Internal,
    /// The request makes no sense, or is dangerous and needs a confirmation. Nothing was done. The
    /// message says how to confirm it, or what to ask for instead.
    Refused,
}

impl Error {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What to do about the error, if that is known. The error's text includes it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    pub(crate) fn hinting(mut self, hint: Option<String>) -> Self {
        self.0.hint = hint.or(self.0.hint);
        self
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: None, hint: None }))
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: Some(source.into()), hint: None }))
    }

    /// An error of the operating system: what was attempted, on which path.
    pub(crate) fn io(attempt: impl Into<Cow<'static, str>>, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            _ if DiskError::of(&source).is_some_and(DiskError::is_moved) => ErrorKind::Moved,
            _ => ErrorKind::Io,
        };
        let attempt = attempt.into();
        let hint = system_failures::advice(&source, path);
        Self::with_source(kind, format!("cannot {attempt} {}", path.display()), source).hinting(hint)
    }

    /// A file's bytes are wrong. If `what` is an error of the operating system that kept it from being
    /// read, the error is that one.
    pub(crate) fn damaged(path: &Path, what: impl fmt::Display) -> Self {
        let what = what.to_string();
        if let Some(error) = system_failures::named_in(&what) {
            return Self::io("read", path, error);
        }
        Self::new(ErrorKind::Damaged, format!("{} is damaged: {what}", path.display()))
    }

    /// Turns a caught panic into an error.
    ///
    /// The async runtime panics if the operating system gives it no thread or no file descriptor: this
    /// becomes an error of kind [`ErrorKind::Io`], with a hint. Any other panic is a bug in Ostracon.
    pub fn from_panic(panic: &(dyn Any + Send)) -> Self {
        if let Some(refused) = system_failures::named_in_panic(panic) {
            let hint = system_failures::advice(&refused, Path::new(""));
            let message = "the operating system refused a resource";
            return Self::with_source(ErrorKind::Io, message, refused).hinting(hint);
        }
        let message = "a bug in ostracon stopped the operation";
        let hint = "run it again with RUST_LOG=debug to see where, and please report it";
        Self::new(ErrorKind::Internal, message).hinting(Some(hint.to_owned()))
    }

    /// The error's class from the operating system, if it comes from there.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        self.io_error().map(io::Error::kind)
    }

    fn io_error(&self) -> Option<&io::Error> {
        self.0.source.as_deref().and_then(|source| source.downcast_ref())
    }

    /// The text without the hint: what was attempted, and why it failed.
    pub(crate) fn without_hint(&self) -> String {
        let mut whole = self.0.message.clone();
        let mut cause = self.0.source.as_deref().map(|s| s as &dyn StdError);
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors repeat the text of their cause.
            if !whole.contains(&text) {
                whole += ": ";
                whole += &text;
            }
            cause = error.source();
        }
        whole
    }

    /// Whether the operating system refused access.
    pub(crate) fn is_denied(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::PermissionDenied)
    }

    /// Whether the cause is the environment of the process and not the data: no access rights, no file
    /// descriptors, no memory.
    pub(crate) fn is_of_environment(&self) -> bool {
        self.io_error().is_some_and(system_failures::is_of_environment)
    }

    /// Adds what the caller attempted before the text of this error.
    pub(crate) fn context(mut self, attempt: impl fmt::Display) -> Self {
        self.0.message = format!("{attempt}: {}", self.0.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_hint())?;
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

/// The source is the error of the operating system or of a library. The text of the error includes it.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl Disk {
    /// Fails if the store's path no longer leads to the folder that was opened.
    pub(crate) fn check_place(&self) -> Result<()> {
        self.check_anchor().map_err(|misplaced| match misplaced {
            Misplaced::Moved(why) => Error::new(ErrorKind::Moved, why),
            Misplaced::Unknown(error) => {
                let attempt = "cannot check whether the store is still in its place";
                Error::with_source(ErrorKind::Io, attempt, error)
            }
        })
    }

    /// Replaces an error with [`ErrorKind::Moved`] if the store is no longer in its place.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match self.check_place() {
            Err(moved) if moved.kind() == ErrorKind::Moved => moved,
            _ => error,
        }
    }
}
