//! One error type, sorted by what its receiver should do about it.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::path::Path;
use std::{fmt, io};

use crate::disk::{Disk, DiskError, Misplaced};
use crate::environment;

/// `Result` with Ostracon's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: what was attempted, where, why, and often what to do next.
///
/// The message is for people; programs branch on [`Error::kind`].
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    hint: Option<String>,
}

/// The classes of errors, by what the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The disk is full. Nothing was acknowledged; make room and record again.
    NoSpace,
    /// The operating system refused or failed an operation.
    Io,
    /// The buffer is at its bound and the flush did not catch up in time. Nothing was
    /// recorded; try later or shed the fact.
    Overloaded,
    /// The store was closed, or opened for reading only.
    Closed,
    /// A sync failed earlier, so nothing more may be promised. Open the store again: that
    /// replays what the disk has.
    Poisoned,
    /// The store's path no longer leads to the folder that was opened: it was renamed, replaced,
    /// removed or unmounted. What was acknowledged is in the folder that was opened, and nothing was put
    /// into another one. Open the store where it is now. Or files of another store are in its folder.
    Moved,
    /// Bytes in the store are not what was written.
    Damaged,
    /// There is no store at that path, or something else is.
    NotAStore,
    /// A newer Ostracon wrote this store.
    NewerFormat,
    /// `ostracon.toml` or the builder asks for something that is not possible.
    Settings,
    /// What was given is not a fact: a malformed line, a value out of range.
    InvalidFact,
    /// The SQL is wrong, or not allowed, or failed while it ran.
    Query,
    /// The program asked for something that cannot be: a column that an answer has not, a value as a type that it is
    /// not.
    InvalidArgument,
    /// The query ran out of the memory it was given.
    OutOfMemory,
    /// The query ran out of the time it was given.
    TimedOut,
    /// Another process kept committing; the attempt was given up. Try again.
    Contended,
    /// It was stopped because somebody asked for that. The store is as it was.
    Cancelled,
    /// A fault of Ostracon's own. The store is as it was; please report it.
    Internal,
    /// What was asked for cannot be meant, or not without saying so once more. Nothing was done;
    /// the message says how to insist, or what to ask instead.
    Refused,
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What to do about it, where that is known; also a part of the text.
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

    /// An operating system's error: what was attempted, on which path.
    pub(crate) fn io(attempt: impl Into<Cow<'static, str>>, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            _ if DiskError::of(&source).is_some_and(DiskError::is_moved) => ErrorKind::Moved,
            _ => ErrorKind::Io,
        };
        let attempt = attempt.into();
        let hint = environment::advice(&source, path);
        Self::with_source(kind, format!("cannot {attempt} {}", path.display()), source).hinting(hint)
    }

    /// What is wrong with a file's bytes; unless a reader of them says that the system kept it from
    /// reading.
    pub(crate) fn damaged(path: &Path, what: impl fmt::Display) -> Self {
        let what = what.to_string();
        if let Some(error) = environment::named_in(&what) {
            return Self::io("read", path, error);
        }
        Self::new(ErrorKind::Damaged, format!("{} is damaged: {what}", path.display()))
    }

    /// What a panic that was caught says, as an error.
    ///
    /// The runtime of threads panics if the operating system gives it no thread or no descriptor: that is an error of
    /// kind [`ErrorKind::Io`], with a hint. Any other panic is a fault of Ostracon's own.
    pub fn from_panic(panic: &(dyn Any + Send)) -> Self {
        if let Some(refused) = environment::named_in_panic(panic) {
            let hint = environment::advice(&refused, Path::new(""));
            return Self::with_source(ErrorKind::Io, "the system has stopped it", refused).hinting(hint);
        }
        let message = "a mistake within ostracon stopped it";
        let hint = "with RUST_LOG=debug it says where, please report it";
        Self::new(ErrorKind::Internal, message).hinting(Some(hint.to_owned()))
    }

    /// The operating system's class of this error, if it comes from there.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        self.io_error().map(io::Error::kind)
    }

    fn io_error(&self) -> Option<&io::Error> {
        self.0.source.as_deref().and_then(|source| source.downcast_ref())
    }

    /// The text without the hint: what was attempted, and why it failed.
    pub(crate) fn without_hint(&self) -> String {
        let mut told = self.0.message.clone();
        let mut cause = self.0.source.as_deref().map(|s| s as &dyn StdError);
        while let Some(error) = cause {
            let text = error.to_string();
            // Many say again what their cause says.
            if !told.contains(&text) {
                told += ": ";
                told += &text;
            }
            cause = error.source();
        }
        told
    }

    /// Whether the operating system has refused access.
    pub(crate) fn is_denied(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::PermissionDenied)
    }

    /// Whether the process's surroundings are the reason, and not what was read: no rights, no descriptors, no
    /// memory.
    pub(crate) fn is_of_environment(&self) -> bool {
        self.io_error().is_some_and(environment::is_of_environment)
    }

    /// The same error, told from one step further out.
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

/// The source is what the operating system or a library said. The text of the error says it, too.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl Disk {
    /// Fails if the path of the store leads to another folder than when the store was opened, or to none.
    pub(crate) fn check_place(&self) -> Result<()> {
        self.check_anchor().map_err(|misplaced| match misplaced {
            Misplaced::Moved(why) => Error::new(ErrorKind::Moved, why),
            Misplaced::Unknown(error) => {
                let attempt = "cannot look whether the store is still in its place";
                Error::with_source(ErrorKind::Io, attempt, error)
            }
        })
    }

    /// Replaces an error by [`ErrorKind::Moved`] if the store is no longer in its place.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match self.check_place() {
            Err(moved) if moved.kind() == ErrorKind::Moved => moved,
            _ => error,
        }
    }
}
