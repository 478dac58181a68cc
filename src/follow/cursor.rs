//! Positions: the name of one fact, what has been dealt with, and what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::{FactId, Recorded, Seq, StreamId};
use crate::ledger::StreamRange;

/// A position in every stream: what has been dealt with.
///
/// Its text form is short, and for keeping: `1:120,2:77` is fact 120 of stream 1 and fact 77 of
/// stream 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<StreamId, Seq>);

impl Cursor {
    /// The position before everything.
    pub fn start() -> Self {
        Self::default()
    }

    /// Moves behind this fact.
    pub fn advance<T>(&mut self, fact: &Recorded<T>) {
        self.pass(fact.position.stream, fact.position.seq);
    }

    /// Moves behind a fact, unless it is behind it already.
    pub(crate) fn pass(&mut self, stream: StreamId, seq: Seq) {
        let passed = self.0.entry(stream).or_default();
        *passed = seq.max(*passed);
    }

    /// Whether this fact has been dealt with.
    pub(crate) fn has_passed(&self, id: FactId) -> bool {
        id.seq <= self.seq(id.stream)
    }

    /// The last fact of a stream that has been dealt with.
    pub(crate) fn seq(&self, stream: StreamId) -> Seq {
        self.0.get(&stream).copied().unwrap_or_default()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (stream, seq)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{stream}:{seq}")?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::new(ErrorKind::Query, format!("{text:?} is not a cursor; one looks like 1:120,2:77"));
        let mut cursor = BTreeMap::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (stream, seq) = part.split_once(':').ok_or_else(wrong)?;
            let stream = stream.trim().parse().map_err(|_| wrong())?;
            let seq = seq.trim().parse().map_err(|_| wrong())?;
            cursor.insert(StreamId(stream), Seq(seq));
        }
        Ok(Self(cursor))
    }
}

/// Which facts somebody asks for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// Those behind a cursor.
    After(Cursor),
    /// Those of these names.
    These(BTreeSet<FactId>),
}

impl Wanted {
    /// Whether it is this one.
    pub(crate) fn is(&self, id: FactId) -> bool {
        match self {
            Self::After(cursor) => !cursor.has_passed(id),
            Self::These(ids) => ids.contains(&id),
        }
    }

    /// Whether all in this range of a stream are.
    pub(crate) fn are_all_of(&self, range: &StreamRange) -> bool {
        match self {
            Self::After(cursor) => range.first_seq > cursor.seq(range.stream),
            Self::These(_) => false,
        }
    }

    /// Whether there may be one in this range of a stream.
    pub(crate) fn may_be_in(&self, range: &StreamRange) -> bool {
        match self {
            Self::After(cursor) => range.last_seq > cursor.seq(range.stream),
            Self::These(ids) => {
                let id = |seq| FactId { stream: range.stream, seq };
                range.first_seq <= range.last_seq
                    && ids.range(id(range.first_seq)..=id(range.last_seq)).next().is_some()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_short_text() {
        let cursor: Cursor = "2:77,1:120".parse().unwrap();
        assert_eq!(cursor.to_string(), "1:120,2:77");
        assert_eq!("".parse::<Cursor>().unwrap(), Cursor::start());
        for wrong in ["1", "1:x", "a:1", "1:2:3"] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wanted_is_looked_for_where_it_may_be() {
        let range = |stream, first, last| StreamRange {
            stream: StreamId(stream),
            first_seq: Seq(first),
            last_seq: Seq(last),
        };
        let id = |text: &str| text.parse::<FactId>().unwrap();
        let after = Wanted::After("1:10".parse().unwrap());
        assert!(after.may_be_in(&range(1, 5, 11)) && !after.may_be_in(&range(1, 5, 10)));
        assert!(after.may_be_in(&range(2, 1, 1)));
        assert!(after.are_all_of(&range(1, 11, 12)) && !after.are_all_of(&range(1, 10, 12)));
        assert!(after.is(id("1:11")) && !after.is(id("1:10")) && after.is(id("3:1")));
        let these = Wanted::These([id("1:10"), id("2:7")].into());
        assert!(these.may_be_in(&range(1, 10, 12)) && !these.may_be_in(&range(1, 11, 12)));
        assert!(!these.may_be_in(&range(3, 1, 100)) && !these.may_be_in(&range(1, 12, 9)));
        assert!(!these.are_all_of(&range(2, 7, 7)));
        assert!(these.is(id("2:7")) && !these.is(id("2:8")));
    }
}
