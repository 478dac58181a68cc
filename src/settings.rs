//! Settings: what `ostracon.toml` and the builder decide.

mod cgroup;
pub(crate) mod duration;
pub(crate) mod retention;

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde::Deserialize;

use crate::disk::{is_broken_link, read_regular};
use crate::error::{Error, ErrorKind, Result};

/// The name of the settings' file in a store.
pub(crate) const FILE: &str = "ostracon.toml";
/// A longer file holds no settings.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// What a new store's settings file says: every setting, at its default, to be changed by people.
pub(crate) const TEMPLATE: &str = "\
# Settings of this Ostracon store. Every process that opens the store reads them.

# How safe a fact is when recording it returns:
#   \"buffered\"   in memory; a crash of the process may lose the last second
#   \"journaled\"  the operating system has it; it survives kill -9
#   \"synced\"     the disk has it; it survives a power failure
#durability = \"journaled\"

[flush]
# Facts go from the journal into Parquet files when there are so many of them,
#rows = 500_000
# so many bytes of them,
#bytes = 67_108_864
# or when the oldest has waited so long.
#age_seconds = 300

[buffer]
# Recording is refused while so much waits to be flushed,
#max_bytes = 268_435_456
# after waiting so long for it to become less.
#max_wait_ms = 100

[query]
# What one query may use; more goes to temporary files, or fails. Unless it is said here, it is no more
# than half of the memory that the system lets the process have (a container's limit).
#memory_bytes = 2_147_483_648
#spill_bytes = 10_737_418_240
# When a query is stopped; 0 for never.
#timeout_seconds = 0

# Which facts are kept. What is not is hidden from every query at once, and goes for good when
# somebody runs `ostracon compact`. Without rules everything is kept. `ostracon retention STORE explain`
# tells what the rules would do.
#
# Limits of the whole store, its kinds together. The age first, then the number of those that are
# left, from the newest back, then their bytes as JSON lines.
#
#[retention]
#max_age = \"90d\"                # s, min, h, d, w, y (365 days)
#max_records = 10_000_000
#max_bytes = 10_000_000_000
#keep_at_least = 1_000            # the newest are kept, whatever the limits say
#
# What age is measured by: a fact's own \"timestamp\", or \"recorded_at\", when the store took it.
# Papyra's default clock counts from the machine's start, so by their timestamps all its facts are
# decades old: whoever uses it needs \"recorded_at\".
#age_by = \"timestamp\"
#
# `compact` drops nothing for its age when the clock is so far ahead of the newest fact.
#max_clock_lead = \"400d\"
#
# Limits of one kind (events, audits, dead_letters), in place of the store's.
#[retention.audits]
#max_age = \"30d\"
#
# Facts that a condition picks: SQL over the columns of the kind. A fact belongs to the first
# rule that matches it, and to no other. One without limits keeps all its facts.
#[[retention.rule]]
#name = \"crashes\"
#kind = \"events\"
#where = \"event_type = 'ActorCrashed'\"
#max_age = \"7y\"
";

/// How safe a fact is when `record` returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// In memory. It reaches the journal within about a second; a crash of the process may lose
    /// it.
    Buffered,
    /// With the operating system: it survives the death of the process, also by `kill -9`, but
    /// not a power failure.
    #[default]
    Journaled,
    /// On the disk. Recorders that wait at the same time share one `fdatasync`.
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
                format!("durability {text:?} is none of buffered, journaled, synced"),
            )),
        }
    }
}

/// All settings of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) durability: Durability,
    pub(crate) flush: FlushSettings,
    pub(crate) buffer: BufferSettings,
    pub(crate) query: QuerySettings,
    pub(crate) retention: retention::RetentionPolicy,
}

/// When the buffer is flushed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FlushSettings {
    pub(crate) rows: u64,
    pub(crate) bytes: usize,
    pub(crate) age_seconds: u64,
}

impl Default for FlushSettings {
    fn default() -> Self {
        Self { rows: 500_000, bytes: 64 << 20, age_seconds: 300 }
    }
}

/// How much may wait to be flushed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BufferSettings {
    pub(crate) max_bytes: usize,
    pub(crate) max_wait_ms: u64,
}

impl Default for BufferSettings {
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_wait_ms: 100 }
    }
}

/// What a query may use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QuerySettings {
    pub(crate) memory_bytes: usize,
    pub(crate) spill_bytes: u64,
    /// When a query is stopped, if ever.
    #[serde(rename = "timeout_seconds", deserialize_with = "seconds")]
    pub(crate) timeout: Option<Duration>,
}

fn seconds<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    let seconds = u64::deserialize(input)?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self { memory_bytes: default_memory_bytes(), spill_bytes: 10 << 30, timeout: None }
    }
}

/// The most memory for one query, unless the settings say otherwise.
const MOST_MEMORY_BYTES: usize = 2 << 30;
/// The smallest batch of a query, in facts.
pub(crate) const LEAST_ROWS_AT_ONCE: u64 = 16;
/// A query that may use less cannot do anything.
const LEAST_MEMORY_BYTES: usize = 1 << 20;

/// Looked up once: the limit is the process's.
fn default_memory_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let limit = cgroup::memory_limit(|path| std::fs::read_to_string(path).ok());
        share_of(limit)
    })
}

/// Half of a limit: the buffer, the segments that are being written and the program need the rest.
fn share_of(limit: Option<u64>) -> usize {
    let half = limit.and_then(|limit| usize::try_from(limit / 2).ok()).unwrap_or(MOST_MEMORY_BYTES);
    half.clamp(LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES)
}

impl Settings {
    /// Reads a store's settings; a store without the file has the defaults.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let path = root.join(FILE);
        let read = read_regular(&path, MAX_BYTES).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text"))
        });
        let text = match read {
            Ok(text) => text,
            Err(error) if is_broken_link(&path) => {
                return Err(Error::io("read the settings in", &path, error));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::io("read the settings in", &path, error)),
        };
        let settings: Self = toml::from_str(&text).map_err(|error| {
            Error::new(
                ErrorKind::Settings,
                format!(
                    "the settings in {} are not understood: {}",
                    path.display(),
                    error.to_string().trim_end()
                ),
            )
        })?;
        settings
            .check()
            .map_err(|error| error.context(format_args!("the settings in {}", path.display())))?;
        Ok(settings)
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(ErrorKind::Settings, what.to_owned()));
        if self.flush.rows == 0 || self.flush.bytes == 0 || self.flush.age_seconds == 0 {
            return wrong("flush.rows, flush.bytes and flush.age_seconds must be at least 1");
        }
        if self.buffer.max_bytes < self.flush.bytes {
            return wrong(
                "buffer.max_bytes must not be less than flush.bytes: recording would stop before a flush",
            );
        }
        if self.query.memory_bytes < LEAST_MEMORY_BYTES {
            return wrong("query.memory_bytes must be at least 1048576");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_says_the_defaults() {
        let settings = toml::from_str::<Settings>(&uncommented()).unwrap();
        let query = QuerySettings { memory_bytes: settings.query.memory_bytes, ..QuerySettings::default() };
        assert_eq!(settings.query.memory_bytes, MOST_MEMORY_BYTES);
        let defaults = Settings { query, ..Settings::default() };
        assert_eq!(Settings { retention: retention::RetentionPolicy::default(), ..settings }, defaults);
        assert_eq!(toml::from_str::<Settings>(TEMPLATE).unwrap(), Settings::default());
    }

    /// The template with all its settings and sections switched on.
    fn uncommented() -> String {
        let is_section = |rest: &str| rest.starts_with('[') && rest.ends_with(']');
        let text: String = TEMPLATE
            .lines()
            .map(|line| {
                let rest = line.strip_prefix('#').filter(|rest| rest.contains(" = ") || is_section(rest));
                rest.unwrap_or(line)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        assert!(text.contains("\nmax_wait_ms = 100\n") && text.contains("\n[[retention.rule]]\n"));
        text
    }

    #[cfg(feature = "sql")]
    #[test]
    fn the_templates_examples_of_retention_are_understood() {
        let policy = toml::from_str::<Settings>(&uncommented()).unwrap().retention;
        assert!(!policy.is_empty());
        crate::retention::Rules::new(&policy, crate::query::parse_condition).unwrap();
    }

    #[test]
    fn a_query_uses_half_of_what_the_process_may_have() {
        assert_eq!(share_of(None), 2 << 30);
        assert_eq!(share_of(Some(64 << 30)), 2 << 30);
        assert_eq!(share_of(Some(256 << 20)), 128 << 20);
        assert_eq!(share_of(Some(0)), 1 << 20);
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let error = toml::from_str::<Settings>("[flush]\nrowz = 1\n").unwrap_err().to_string();
        assert!(error.contains("rowz") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_bound_below_the_flush_is_refused() {
        let mut settings = Settings::default();
        settings.buffer.max_bytes = 1;
        assert_eq!(settings.check().unwrap_err().kind(), ErrorKind::Settings);
    }
}
