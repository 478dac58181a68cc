//! The first fact of a new group.

use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::follow::Cursor;

/// The position at which a new group begins.
///
/// The text form is that of Redis: `0` is the beginning, `$` is after the facts that are there now. A
/// cursor, such as `1:120,2:77`, is after the facts that it has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// Begins with the first fact that is there.
    #[default]
    Beginning,
    /// Begins with the first fact that is recorded from now on.
    Now,
    /// Begins after a cursor.
    After(Cursor),
}

impl FromStr for StartAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "0" | "0-0" => Ok(Self::Beginning),
            "$" => Ok(Self::Now),
            text => text.parse().map(Self::After).map_err(|_| {
                Error::new(
                    ErrorKind::Query,
                    format!(
                        "{text:?} is not a position to start at: 0 is the beginning, $ is now, and a cursor \
                         looks like 1:120,2:77"
                    ),
                )
            }),
        }
    }
}
