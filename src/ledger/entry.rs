//! Entries of a source that gives each entry an increasing name: a Redis stream.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of an entry: milliseconds since 1970, and a number among the entries of one millisecond. As
/// text it is `1700000000000-5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct EntryId(u64, u64);

impl EntryId {
    /// The lowest name that an entry after this one can have; `None` after the highest name.
    #[cfg(feature = "redis")]
    pub(crate) fn next(self) -> Option<Self> {
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
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "the name of an entry looks like 1700000000000-5";
        let (milliseconds, number) = text.split_once('-').ok_or(wrong)?;
        Ok(Self(milliseconds.parse().map_err(|_| wrong)?, number.parse().map_err(|_| wrong)?))
    }
}

impl TryFrom<String> for EntryId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EntryId> for String {
    fn from(id: EntryId) -> Self {
        id.to_string()
    }
}

/// Entries that were imported together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryRange {
    /// The entry before them; `None` if they are the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<EntryId>,
    /// The last entry of them.
    pub(crate) last: EntryId,
}

#[cfg(test)]
#[cfg(feature = "redis")]
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
