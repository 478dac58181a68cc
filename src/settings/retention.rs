//! The retention rules, as people write them in `ostracon.toml` or in code.
//!
//! A fact belongs to exactly one rule: the first named rule, in the file's order, whose kind and
//! predicate match it; else the limits of its kind, if there are any; else the limits of the whole store.
//! If the store has no limits either, the fact is kept. A rule without limits keeps all its facts.

mod in_file;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::duration;
use crate::fact::{Kind, PerKind};

/// If the clock is further ahead of the newest fact than this, facts are not dropped for their age: 400
/// days.
pub(crate) const MAX_CLOCK_LEAD: Duration = Duration::from_hours(400 * 24);

/// The facts that a store keeps: limits for the whole store, for its kinds, and for facts that a
/// predicate picks.
///
/// A policy given in code replaces the policy in `ostracon.toml`. Facts that the policy does not keep are
/// hidden from every read. A compaction drops them for good.
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
    pub(crate) kinds: PerKind<Option<RetentionLimits>>,
    pub(crate) rules: Vec<RetentionRule>,
    pub(crate) max_clock_lead: Option<Duration>,
    pub(crate) source: PolicySource,
}

/// The origin of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PolicySource {
    /// From `ostracon.toml`.
    File,
    #[default]
    Code,
    /// From code, although `ostracon.toml` has a policy, too.
    CodeInsteadOfFile,
}

impl RetentionPolicy {
    /// A policy that keeps everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets limits for the facts of the store, of all kinds together, that belong to no other rule, as
    /// Papyra's policy does.
    pub const fn store(mut self, limits: RetentionLimits) -> Self {
        self.store = Some(limits);
        self
    }

    /// Sets limits for the facts of one kind that belong to no named rule. They replace the limits of the
    /// store for this kind.
    pub fn kind(mut self, kind: Kind, limits: RetentionLimits) -> Self {
        self.kinds[kind] = Some(limits);
        self
    }

    /// Adds a named rule. A fact belongs to the first rule that matches it.
    pub fn rule(mut self, rule: RetentionRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sets how far the clock may be ahead of the newest fact. If it is further ahead, a compaction does
    /// not drop facts for their age. The default is 400 days.
    pub const fn max_clock_lead(mut self, lead: Duration) -> Self {
        self.max_clock_lead = Some(lead);
        self
    }

    /// Whether the policy has no rule.
    pub fn is_empty(&self) -> bool {
        self.store.is_none() && self.kinds.iter().all(Option::is_none) && self.rules.is_empty()
    }

    /// This policy, given in code, instead of the file's policy.
    pub(crate) fn instead_of(mut self, file: &Self) -> Self {
        self.source = if file.is_empty() { PolicySource::Code } else { PolicySource::CodeInsteadOfFile };
        self
    }
}

/// How many facts a rule keeps, how large and how old. All limits apply: first the age, then the number
/// of the remaining facts, then the bytes of the remaining facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct RetentionLimits {
    /// The longest age. Older facts go; a fact of exactly this age stays.
    pub max_age: Option<Duration>,
    /// The largest number of facts. The newest facts stay. Zero keeps no facts.
    pub max_records: Option<u64>,
    /// The most bytes, counted as JSON lines from the newest fact back, up to the first fact that does
    /// not fit. Zero keeps no facts.
    pub max_bytes: Option<u64>,
    /// The number of newest facts of the rule that stay, whatever the limits say.
    pub keep_at_least: u64,
    /// The time that the age is measured from.
    pub age_by: AgeBy,
}

impl RetentionLimits {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the longest age. Older facts go.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets the largest number of facts.
    pub const fn max_records(mut self, records: u64) -> Self {
        self.max_records = Some(records);
        self
    }

    /// Sets the most bytes, counted as JSON lines.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets the number of newest facts that stay, whatever the limits say.
    pub const fn keep_at_least(mut self, facts: u64) -> Self {
        self.keep_at_least = facts;
        self
    }

    /// Sets the time that the age is measured from.
    pub const fn age_by(mut self, age_by: AgeBy) -> Self {
        self.age_by = age_by;
        self
    }

    /// Whether the limits can drop no fact.
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

/// The time that the age of a fact is measured from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AgeBy {
    /// The fact's own timestamp, as in Papyra. A timestamp before 1970, such as those of Papyra's default
    /// clock, is very old: its fact is expired from the start. So is a fact whose timestamp is not a
    /// number. A fact whose timestamp is after all representable time is never too old.
    #[default]
    Timestamp,
    /// The time when the store recorded the fact. Users of Papyra's default clock need this.
    RecordedAt,
}

/// A named rule, for the facts that its kind and its predicate pick.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RetentionRule {
    pub(crate) name: String,
    pub(crate) kind: Option<Kind>,
    pub(crate) predicate: Option<String>,
    pub(crate) limits: RetentionLimits,
}

impl RetentionRule {
    /// Makes a rule for all facts.
    pub fn new(name: impl Into<String>, limits: RetentionLimits) -> Self {
        Self { name: name.into(), kind: None, predicate: None, limits }
    }

    /// Limits the rule to facts of this kind.
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Limits the rule to facts for which this condition is true: SQL over the columns of the kind, or,
    /// without a kind, over the columns that all kinds have.
    pub fn predicate(mut self, sql: impl Into<String>) -> Self {
        self.predicate = Some(sql.into());
        self
    }
}
