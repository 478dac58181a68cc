//! Settings: `ostracon.toml` and the builder.

mod cgroup;
pub(crate) mod durability;
pub(crate) mod duration;
pub(crate) mod retention;

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde::Deserialize;

pub use durability::Durability;

use crate::disk::{is_broken_link, read_regular};
use crate::error::{Error, ErrorKind, Result};

/// The name of the settings file in a store.
pub(crate) const FILE: &str = "ostracon.toml";
/// The most bytes of a settings file. A longer file is refused.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// The settings file of a new store: every setting at its default, for people to change.
pub(crate) const TEMPLATE: &str = "\
# Settings of this Ostracon store. Every process that opens the store reads them.

# How safe a fact is when recording it returns:
#   \"buffered\"   in memory; a crash of the process may lose the last second
#   \"journaled\"  the operating system has it; it survives kill -9
#   \"synced\"     the disk has it; it survives a power failure
#durability = \"journaled\"

[flush]
# Facts go from the journal into Parquet files when a limit is reached:
# the number of unflushed facts,
#rows = 500_000
# their bytes in the journal,
#bytes = 67_108_864
# or the age of the oldest unflushed fact.
#age_seconds = 300

[buffer]
# The most bytes of unflushed facts. While there are more, recording waits, and then refuses facts.
#max_bytes = 268_435_456
# How long recording waits for the flush before it refuses a fact.
#max_wait_ms = 100

[query]
# The most memory of one query. A query that needs more writes temporary files, or fails. The default is
# at most half of the memory that the system lets the process have (a container's limit).
#memory_bytes = 2_147_483_648
# The most bytes in temporary files.
#spill_bytes = 10_737_418_240
# The time after which a query is stopped; 0 for never.
#timeout_seconds = 0

# Which facts are kept. Facts that no rule keeps are hidden from every query at once, and the next
# `ostracon compact` drops them for good. Without rules every fact is kept. `ostracon retention explain STORE`
# shows what the rules do.
#
# Limits of the whole store, for all kinds together. The age applies first, then the number of the
# remaining facts, from the newest back, then their bytes as JSON lines.
#
#[retention]
#max_age = \"90d\"                # s, min, h, d, w, y (365 days)
#max_records = 10_000_000
#max_bytes = 10_000_000_000
#keep_at_least = 1_000            # the newest facts are kept, whatever the limits say
#
# Where the age is measured from: a fact's own \"timestamp\", or \"recorded_at\", the time when the store
# recorded it. Papyra's default clock counts from the machine's start, so by their timestamps all its facts
# are decades old. With that clock, use \"recorded_at\".
#age_by = \"timestamp\"
#
# If the clock is further ahead of the newest fact than this, `compact` drops no fact for its age.
#max_clock_lead = \"400d\"
#
# Limits of one kind (events, audits, dead_letters). They replace the limits of the store for this kind.
#[retention.audits]
#max_age = \"30d\"
#
# Limits for facts that a condition picks: SQL over the columns of the kind. A fact belongs to the first
# rule that matches it, and to no other. A rule without limits keeps all its facts.
#[[retention.rule]]
#name = \"crashes\"
#kind = \"events\"
#where = \"event_type = 'ActorCrashed'\"
#max_age = \"7y\"
";

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

/// How many bytes may wait to be flushed.
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

/// How much memory, disk and time a query may use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct QuerySettings {
    pub(crate) memory_bytes: usize,
    pub(crate) spill_bytes: u64,
    /// The time after which a query is stopped, if any.
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
/// The smallest limit with which a query can work.
const LEAST_MEMORY_BYTES: usize = 1 << 20;

/// Looked up once: the limit belongs to the process.
fn default_memory_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let limit = cgroup::memory_limit(|path| std::fs::read_to_string(path).ok());
        share_of(limit)
    })
}

/// Half of a limit: the buffer, the segments that are being written and the program need the other half.
fn share_of(limit: Option<u64>) -> usize {
    let half = limit.and_then(|limit| usize::try_from(limit / 2).ok()).unwrap_or(MOST_MEMORY_BYTES);
    half.clamp(LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES)
}

impl Settings {
    /// Reads a store's settings. A store without the file has the defaults.
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
                format!("cannot parse the settings in {}: {}", path.display(), error.to_string().trim_end()),
            )
        })?;
        settings
            .check()
            .map_err(|error| error.context(format_args!("the settings in {}", path.display())))?;
        Ok(settings)
    }

    /// Refuses settings that cannot work.
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

    /// The template with all its settings and sections enabled.
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
