//! What the rules say, as people write them in `ostracon.toml` or in code.
//!
//! A fact belongs to exactly one rule: the first named rule, in the file's order, whose kind and
//! predicate match it; else its kind's own limits, if there are any; else the whole store's. If
//! there are none of these, it is kept. A rule without limits keeps what belongs to it.

mod in_file;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::duration;
use crate::fact::Kind;

/// How far the clock may be ahead of the newest fact before dropping for good is refused: 400 days.
pub(crate) const MAX_CLOCK_LEAD: Duration = Duration::from_hours(400 * 24);

/// Which facts a store keeps: limits for the whole store, for its kinds, and for facts that a
/// predicate picks.
///
/// A policy given in code takes the place of the one in `ostracon.toml`. Facts that it does not
/// keep are hidden from every read, and go for good when the store is compacted.
///
#[cfg_attr(feature = "sql", doc = "```")]
#[cfg_attr(not(feature = "sql"), doc = "```ignore")]
/// use std::time::Duration;
/// use ostracon::{Kind, RetentionLimits, RetentionPolicy, RetentionRule};
///
/// const DAY: Duration = Duration::from_secs(86_400);
/// let policy = RetentionPolicy::new()
///     .store(RetentionLimits::new().max_age(DAY * 30))
///     .rule(
///         RetentionRule::new("crashes", RetentionLimits::new().max_age(DAY * 365 * 7))
///             .kind(Kind::Event)
///             .predicate("event_type = 'ActorCrashed'"),
///     );
/// # let folder = tempfile::tempdir()?;
/// let store = ostracon::Store::builder().retention(policy).open(folder.path().join("facts"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "in_file::PolicyInFile")]
#[must_use]
pub struct RetentionPolicy {
    pub(crate) store: Option<RetentionLimits>,
    pub(crate) kinds: [Option<RetentionLimits>; 3],
    pub(crate) rules: Vec<RetentionRule>,
    pub(crate) max_clock_lead: Option<Duration>,
    pub(crate) source: PolicySource,
}

/// Where a policy came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PolicySource {
    /// From `ostracon.toml`.
    File,
    #[default]
    Code,
    /// From code, although `ostracon.toml` has one, too.
    CodeInsteadOfFile,
}

impl RetentionPolicy {
    /// A policy that keeps everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits for all facts of the store together that belong to no other rule, as Papyra's policy.
    pub const fn store(mut self, limits: RetentionLimits) -> Self {
        self.store = Some(limits);
        self
    }

    /// Limits for the facts of one kind that belong to no rule with a name. They take the place
    /// of the store's.
    pub fn kind(mut self, kind: Kind, limits: RetentionLimits) -> Self {
        if let Some(of_kind) = self.kinds.get_mut(kind.index()) {
            *of_kind = Some(limits);
        }
        self
    }

    /// A rule with a name. A fact belongs to the first that matches it.
    pub fn rule(mut self, rule: RetentionRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// How far the clock may be ahead of the newest fact; beyond that, compaction refuses to drop
    /// facts for their age. 400 days unless given.
    pub const fn max_clock_lead(mut self, lead: Duration) -> Self {
        self.max_clock_lead = Some(lead);
        self
    }

    /// Whether it has no rule.
    pub fn is_empty(&self) -> bool {
        self.store.is_none() && self.kinds.iter().all(Option::is_none) && self.rules.is_empty()
    }

    /// This policy, given in code, in place of the file's.
    pub(crate) fn instead_of(mut self, file: &Self) -> Self {
        self.source = if file.is_empty() { PolicySource::Code } else { PolicySource::CodeInsteadOfFile };
        self
    }
}

/// How many facts a rule keeps, how large and how old. Of several limits all hold: first the age,
/// then the number of those that are not too old, then the bytes of what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct RetentionLimits {
    /// Facts older than that go; one that is exactly so old stays.
    pub max_age: Option<Duration>,
    /// No more than so many facts, the newest. Zero keeps none.
    pub max_records: Option<u64>,
    /// No more than so many bytes, counted as JSON lines from the newest fact back, up to the first
    /// that does not fit. Zero keeps none.
    pub max_bytes: Option<u64>,
    /// The newest facts of the rule stay, so many of them, whatever the limits say.
    pub keep_at_least: u64,
    /// What the age is measured by.
    pub age_by: AgeBy,
}

impl RetentionLimits {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Facts older than that go.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// No more than so many facts.
    pub const fn max_records(mut self, records: u64) -> Self {
        self.max_records = Some(records);
        self
    }

    /// No more than so many bytes.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The newest so many facts stay.
    pub const fn keep_at_least(mut self, facts: u64) -> Self {
        self.keep_at_least = facts;
        self
    }

    /// Measures the age by this.
    pub const fn age_by(mut self, age_by: AgeBy) -> Self {
        self.age_by = age_by;
        self
    }

    /// Whether it can drop nothing.
    pub(crate) const fn is_unlimited(&self) -> bool {
        self.max_age.is_none() && self.max_records.is_none() && self.max_bytes.is_none()
    }
}

impl fmt::Display for RetentionLimits {
    /// `max_age 30d by timestamp, max_records 5`, or `no limit`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.age_by {
            AgeBy::Timestamp => "timestamp",
            AgeBy::RecordedAt => "recorded_at",
        };
        let said = [
            self.max_age.map(|age| format!("max_age {} by {by}", duration::print(age))),
            self.max_records.map(|records| format!("max_records {records}")),
            self.max_bytes.map(|bytes| format!("max_bytes {bytes}")),
            (self.keep_at_least > 0).then(|| format!("keep_at_least {}", self.keep_at_least)),
        ];
        let said: Vec<_> = said.into_iter().flatten().collect();
        f.write_str(if said.is_empty() { "no limit" } else { "" })?;
        f.write_str(&said.join(", "))
    }
}

/// What the age of a fact is measured by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AgeBy {
    /// The fact's own timestamp, as Papyra does. One that is no time since 1970, as those of
    /// Papyra's default clock are not, is very old: measured so, such a fact is expired from the
    /// start. So is one whose timestamp is no number; one that is beyond all time is never too old.
    #[default]
    Timestamp,
    /// When the store took the fact. This is what users of Papyra's default clock need.
    RecordedAt,
}

/// A rule with a name, for the facts that its kind and its predicate pick.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RetentionRule {
    pub(crate) name: String,
    pub(crate) kind: Option<Kind>,
    pub(crate) predicate: Option<String>,
    pub(crate) limits: RetentionLimits,
}

impl RetentionRule {
    /// A rule for all facts.
    pub fn new(name: impl Into<String>, limits: RetentionLimits) -> Self {
        Self { name: name.into(), kind: None, predicate: None, limits }
    }

    /// Only for facts of this kind.
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only for facts of which this is true: SQL over the columns of the kind, or, without a
    /// kind, over columns that all kinds have.
    pub fn predicate(mut self, sql: impl Into<String>) -> Self {
        self.predicate = Some(sql.into());
        self
    }
}
