//! Inputs that are entries of something else, which gives each a name that grows: a Redis stream.
//!
//! Such a source is trimmed at its beginning, so it is not known again by its content as a file is.
//! Instead the mark of a commit says, in its name, up to which entry the source was imported: as
//! `redis://localhost:6379/0 papyra:local:events 1700000000000-5`. Entries come in batches, and each
//! batch is one commit.

use std::fmt;
use std::str::FromStr;

use super::Entries;
use crate::ledger::{ImportMark, State};

/// The name of an entry: milliseconds since 1970, and a number among those of the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryId(u64, u64);

impl EntryId {
    /// The first name that an entry behind this one may have; `None` behind the last.
    #[cfg(feature = "redis")]
    pub(super) fn next(self) -> Option<Self> {
        match self.1.checked_add(1) {
            Some(number) => Some(Self(self.0, number)),
            None => Some(Self(self.0.checked_add(1)?, 0)),
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for EntryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (milliseconds, number) = text.split_once('-').ok_or(())?;
        Ok(Self(milliseconds.parse().map_err(|_| ())?, number.parse().map_err(|_| ())?))
    }
}

impl Entries {
    /// Why the line of this number, from 1, is refused, with the name of its entry.
    pub(super) fn reason(&self, line: u64, reason: &str) -> String {
        let at = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
        match at.and_then(|at| self.names.get(at)) {
            Some(name) => format!("entry {name} of {}: {reason}", self.source),
            None => format!("an entry of {}: {reason}", self.source),
        }
    }
}

/// The entry that a mark reaches to, if it is of this source.
pub(super) fn of_mark(mark: &ImportMark, source: &str) -> Option<EntryId> {
    mark.name.strip_prefix(source)?.strip_prefix(' ')?.parse().ok()
}

/// The last entry of a source that was imported.
pub(super) fn newest(state: &State, source: &str) -> Option<EntryId> {
    state.imports.iter().filter_map(|mark| of_mark(mark, source)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_entries_are_ordered_by_their_numbers() {
        let id = |text: &str| text.parse::<EntryId>().unwrap();
        assert!(id("9-1") < id("10-0") && id("10-9") < id("10-10"));
        assert_eq!(id("10-18446744073709551615").next(), Some(id("11-0")));
        assert_eq!(id("18446744073709551615-18446744073709551615").next(), None);
        for wrong in ["", "10", "10-", "a-1", "1-2-3"] {
            assert!(wrong.parse::<EntryId>().is_err(), "{wrong}");
        }
    }
}
