//! The position of a recorded fact: its stream and its number there, which are its permanent name.

use std::fmt;
use std::str::FromStr;

use super::UnixNanos;
use crate::error::{Error, ErrorKind, Result};

/// The number of a writer's stream within its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct StreamId(pub(crate) u32);

impl StreamId {
    /// The number, as the SQL column `stream` shows it.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A fact's number in its stream: 1, 2, 3, …, over all kinds, without gaps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Seq(pub(crate) u64);

impl Seq {
    /// The number, as the SQL column `seq` shows it.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The permanent name of a recorded fact: its stream, and its number there. As text it is `1:120`.
///
/// ```
/// let id: ostracon::FactId = "1:120".parse()?;
/// assert_eq!((id.stream.get(), id.seq.get()), (1, 120));
/// assert_eq!(id.to_string(), "1:120");
/// # Ok::<(), ostracon::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct FactId {
    /// The stream of the writer that recorded it.
    pub stream: StreamId,
    /// The fact's number in that stream.
    pub seq: Seq,
}

impl fmt::Display for FactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.stream, self.seq)
    }
}

impl FromStr for FactId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (stream, seq) = text.trim().split_once(':').unwrap_or_default();
        match (stream.parse(), seq.parse()) {
            (Ok(stream), Ok(seq)) => Ok(Self { stream: StreamId(stream), seq: Seq(seq) }),
            _ => Err(Error::new(
                ErrorKind::Query,
                format!("{text:?} is not the name of a fact; write one such as 1:120"),
            )),
        }
    }
}

/// The position of a recorded fact: its stream, its number there, and when the store recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Position {
    /// The stream of the writer that recorded it.
    pub stream: StreamId,
    /// The fact's number in that stream.
    pub seq: Seq,
    /// When the store recorded the fact. Within a stream this time never goes backwards.
    pub recorded_at: UnixNanos,
}

impl Position {
    /// The position of the fact with this name, which the store recorded at this time.
    pub const fn new(id: FactId, recorded_at: UnixNanos) -> Self {
        Self { stream: id.stream, seq: id.seq, recorded_at }
    }

    /// The fact's name.
    pub const fn id(self) -> FactId {
        FactId { stream: self.stream, seq: self.seq }
    }
}

/// A recorded fact with its position.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Recorded<T> {
    /// The position of the fact, and when it was recorded.
    pub position: Position,
    /// The recorded fact.
    pub fact: T,
}
