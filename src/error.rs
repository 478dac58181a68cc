//! One error type, sorted by what its receiver should do about it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::path::Path;
use std::{fmt, io};

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
    /// The query ran out of the memory it was given.
    OutOfMemory,
    /// The query ran out of the time it was given.
    TimedOut,
    /// Another process kept committing; the attempt was given up. Try again.
    Contended,
    /// It was stopped because somebody asked for that. The store is as it was.
    Cancelled,
    /// What was asked for cannot be meant, or not without saying so once more. Nothing was done;
    /// the message says how to insist, or what to ask instead.
    Refused,
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: None }))
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: Some(source.into()) }))
    }

    /// An operating system's error: what was attempted, on which path.
    pub(crate) fn io(attempt: impl Into<Cow<'static, str>>, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            _ => ErrorKind::Io,
        };
        let attempt = attempt.into();
        Self::with_source(kind, format!("cannot {attempt} {}", path.display()), source)
    }

    pub(crate) fn damaged(path: &Path, what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Damaged, format!("{} is damaged: {what}", path.display()))
    }

    /// The same error, told from one step further out.
    pub(crate) fn context(mut self, attempt: impl fmt::Display) -> Self {
        self.0.message = format!("{attempt}: {}", self.0.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        f.write_str(&told)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {}
