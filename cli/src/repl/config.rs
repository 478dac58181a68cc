//! `~/.config/ostracon/config.toml`: the settings with which the prompt starts.
//!
//! ```toml
//! format = "table"     # table, csv, tsv, json, ndjson, markdown; OSTRACON_FORMAT has priority
//! expanded = "auto"    # off, on, auto
//! null = "NULL"        # the text for NULL in tables
//! timing = true        # show how long each statement took
//! timezone = "UTC"     # or Europe/Athens, or system
//! pager = "less -SRFX" # a command, or "" for none; has priority over $PAGER
//! history = 10000      # the number of entries kept
//! ```

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use serde::Deserialize;

use super::super::output::Format;
use super::super::print::{chain, say};
use super::super::table::Expanded;
use ostracon::Zone;

/// The settings of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    pub(super) format: Format,
    pub(super) expanded: Expanded,
    pub(super) null: String,
    pub(super) timing: bool,
    pub(super) timezone: String,
    pub(super) pager: Option<String>,
    pub(super) history: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            format: Format::Table,
            expanded: Expanded::Off,
            null: super::super::table::NULL.to_owned(),
            timing: true,
            timezone: "UTC".to_owned(),
            pager: None,
            history: 10_000,
        }
    }
}

impl Config {
    /// The settings of the user's file, and of the environment, which has priority. A file that cannot be
    /// read is only reported. A mistake in the file is an error for a script, because its answers would look
    /// different; the prompt starts without the file.
    pub(super) fn load(interactive: bool) -> anyhow::Result<Self> {
        let read = match folder("XDG_CONFIG_HOME", ".config") {
            Some(folder) => Self::read(&folder.join("config.toml")),
            None => Ok(Self::default()),
        };
        let mut config = match read {
            Err(error) if interactive => {
                say(&format!("{}; the prompt starts without this file", chain(&error)));
                Self::default()
            }
            read => read?,
        };
        if let Ok(format) = std::env::var("OSTRACON_FORMAT")
            && !format.is_empty()
        {
            config.format = Format::from_str(&format, true).map_err(|_| {
                anyhow::anyhow!("unknown format in OSTRACON_FORMAT: {format:?}; use {}", choices::<Format>())
            })?;
        }
        Ok(config)
    }

    fn read(path: &std::path::Path) -> anyhow::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let attempt = || format!("cannot use the settings in {}", path.display());
                let config: Self = toml::from_str(&text).with_context(attempt)?;
                zone(&config.timezone).with_context(attempt)?;
                Ok(config)
            }
            Err(error) => {
                use std::io::ErrorKind::{NotADirectory, NotFound};
                if !matches!(error.kind(), NotFound | NotADirectory) {
                    say(&format!("cannot read {}: {error}; its settings are not used", path.display()));
                }
                Ok(Self::default())
            }
        }
    }
}

/// The zone with this name.
pub(super) fn zone(name: &str) -> anyhow::Result<Zone> {
    match name.to_ascii_lowercase().as_str() {
        "system" | "local" => Ok(Zone::system()),
        _ => Ok(Zone::named(name)?),
    }
}

/// The names of all values, for a message.
pub(super) fn choices<T: ValueEnum>() -> String {
    let names = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    names.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

/// Ostracon's folder below the folder that this variable names, or below the user's home.
pub(super) fn folder(variable: &str, otherwise: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = named.or_else(|| Some(std::env::home_dir()?.join(otherwise)));
    base.map(|base| base.join("ostracon"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_is_read() {
        let text = "format = \"ndjson\"\nexpanded = \"auto\"\nnull = \"∅\"\ntiming = false\ntimezone = \"UTC\"\npager = \"\"\nhistory = 5\n";
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!((config.format, config.expanded, config.history), (Format::Ndjson, Expanded::Auto, 5));
        let error = toml::from_str::<Config>("colour = 1").unwrap_err().to_string();
        assert!(error.contains("unknown field `colour`"), "{error}");
    }

    #[test]
    fn zones_have_names() {
        assert!(zone("utc").is_ok() && zone("europe/athens").is_ok() && zone("Olympus").is_err());
    }
}
