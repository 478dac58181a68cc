//! How safe a fact is when recording it returns.

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// How safe a fact is when `record` returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// In memory. The fact reaches the journal within about a second; a crash of the process may lose it.
    Buffered,
    /// In the operating system: the fact survives the death of the process, also by `kill -9`, but not a
    /// power failure.
    #[default]
    Journaled,
    /// On the disk: the fact survives a power failure. Recorders that wait at the same time share one
    /// `fdatasync`.
    Synced,
}

impl std::str::FromStr for Durability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "buffered" => Ok(Self::Buffered),
            "journaled" => Ok(Self::Journaled),
            "synced" => Ok(Self::Synced),
            _ => Err(Error::new(
                ErrorKind::Settings,
                format!("durability {text:?} is not one of buffered, journaled, synced"),
            )),
        }
    }
}
