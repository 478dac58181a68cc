//! Where a group begins.

use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::follow::Cursor;

/// Where a new group begins.
///
/// As text it is Redis': `0` is the beginning, `$` is behind what is there now. A cursor, as
/// `1:120,2:77`, is behind what it has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// With the first fact that is there.
    #[default]
    Beginning,
    /// With the first fact that is recorded from now on.
    Now,
    /// Behind a cursor.
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
                    format!("{text:?} is no place to start at: 0 is the beginning, $ is now, and a cursor looks like 1:120,2:77"),
                )
            }),
        }
    }
}
