//! What the rules say, as people write them in `ostracon.toml` or in code.
//!
//! A fact belongs to exactly one rule: the first named rule, in the file's order, whose kind and
//! predicate match it; else its kind's own limits, if there are any; else the whole store's. If
//! there are none of these, it is kept. A rule without limits keeps what belongs to it.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::age;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;

/// How far the clock may be ahead of the newest fact before dropping for good is refused: 400 days.
pub(super) const MAX_CLOCK_LEAD: Duration = Duration::from_secs(400 * 86_400);

/// Which facts a store keeps: limits for the whole store, for its kinds, and for facts that a
/// predicate picks.
///
/// A policy given in code takes the place of the one in `ostracon.toml`. Facts that it does not
/// keep are hidden from every read, and go for good when the store is compacted.
///
/// ```
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
#[serde(try_from = "PolicyInFile")]
#[must_use]
pub struct RetentionPolicy {
    pub(super) store: Option<RetentionLimits>,
    pub(super) kinds: [Option<RetentionLimits>; 3],
    pub(super) rules: Vec<RetentionRule>,
    pub(super) max_clock_lead: Option<Duration>,
    pub(super) source: PolicySource,
}

/// Where a policy came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PolicySource {
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
    pub(super) const fn is_unlimited(&self) -> bool {
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
            self.max_age.map(|age| format!("max_age {} by {by}", age::print(age))),
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
    /// start. So is one without a usable timestamp.
    #[default]
    Timestamp,
    /// When the store took the fact. This is what users of Papyra's default clock need.
    RecordedAt,
}

/// A rule with a name, for the facts that its kind and its predicate pick.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RetentionRule {
    pub(super) name: String,
    pub(super) kind: Option<Kind>,
    pub(super) predicate: Option<String>,
    pub(super) limits: RetentionLimits,
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

/// `[retention]` as it is in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyInFile {
    max_age: Option<Age>,
    max_records: Option<u64>,
    max_bytes: Option<u64>,
    keep_at_least: Option<u64>,
    age_by: Option<AgeBy>,
    max_clock_lead: Option<Age>,
    events: Option<LimitsInFile>,
    audits: Option<LimitsInFile>,
    dead_letters: Option<LimitsInFile>,
    #[serde(default)]
    rule: Vec<RuleInFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsInFile {
    max_age: Option<Age>,
    max_records: Option<u64>,
    max_bytes: Option<u64>,
    keep_at_least: Option<u64>,
    age_by: Option<AgeBy>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleInFile {
    name: String,
    kind: Option<KindInFile>,
    #[serde(rename = "where")]
    predicate: Option<String>,
    max_age: Option<Age>,
    max_records: Option<u64>,
    max_bytes: Option<u64>,
    keep_at_least: Option<u64>,
    age_by: Option<AgeBy>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindInFile {
    Events,
    Audits,
    DeadLetters,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Age(Duration);

impl TryFrom<String> for Age {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        age::parse(&text).map(Self)
    }
}

impl LimitsInFile {
    /// `age_by` of the whole store counts where a part of it says nothing.
    fn limits(&self, age_by: Option<AgeBy>) -> RetentionLimits {
        RetentionLimits {
            max_age: self.max_age.map(|age| age.0),
            max_records: self.max_records,
            max_bytes: self.max_bytes,
            keep_at_least: self.keep_at_least.unwrap_or_default(),
            age_by: self.age_by.or(age_by).unwrap_or_default(),
        }
    }
}

impl TryFrom<PolicyInFile> for RetentionPolicy {
    type Error = Error;

    fn try_from(file: PolicyInFile) -> Result<Self> {
        let age_by = file.age_by;
        let store = LimitsInFile {
            max_age: file.max_age,
            max_records: file.max_records,
            max_bytes: file.max_bytes,
            keep_at_least: file.keep_at_least,
            age_by,
        }
        .limits(None);
        if store.is_unlimited() && store.keep_at_least > 0 {
            return Err(Error::new(
                ErrorKind::Settings,
                "keep_at_least in [retention] undercuts no limit, for there is none",
            ));
        }
        let kinds = [file.events, file.audits, file.dead_letters];
        let rules = file.rule.into_iter().map(|rule| RetentionRule {
            name: rule.name,
            kind: rule.kind.map(|kind| match kind {
                KindInFile::Events => Kind::Event,
                KindInFile::Audits => Kind::Audit,
                KindInFile::DeadLetters => Kind::DeadLetter,
            }),
            predicate: rule.predicate,
            limits: LimitsInFile {
                max_age: rule.max_age,
                max_records: rule.max_records,
                max_bytes: rule.max_bytes,
                keep_at_least: rule.keep_at_least,
                age_by: rule.age_by,
            }
            .limits(age_by),
        });
        Ok(Self {
            rules: rules.collect(),
            store: (!store.is_unlimited()).then_some(store),
            kinds: kinds.map(|limits| limits.map(|limits| limits.limits(age_by))),
            max_clock_lead: file.max_clock_lead.map(|age| age.0),
            source: PolicySource::File,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Settings {
        retention: RetentionPolicy,
    }

    fn read(text: &str) -> RetentionPolicy {
        toml::from_str::<Settings>(text).unwrap().retention
    }

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_file_says_what_code_says() {
        let policy = read(
            "[retention]\nmax_age = '90d'\nkeep_at_least = 5\nmax_clock_lead = '2y'\n\
             [retention.dead_letters]\nmax_records = 10\nage_by = 'recorded_at'\n\
             [[retention.rule]]\nname = 'crashes'\nkind = 'events'\nwhere = \"event_type = 'ActorCrashed'\"\n\
             max_age = '7y'\nmax_bytes = 0\n",
        );
        let crashes = RetentionLimits::new().max_age(DAY * 365 * 7).max_bytes(0);
        let code = RetentionPolicy::new()
            .store(RetentionLimits::new().max_age(DAY * 90).keep_at_least(5))
            .kind(Kind::DeadLetter, RetentionLimits::new().max_records(10).age_by(AgeBy::RecordedAt))
            .rule(
                RetentionRule::new("crashes", crashes)
                    .kind(Kind::Event)
                    .predicate("event_type = 'ActorCrashed'"),
            )
            .max_clock_lead(DAY * 730);
        assert_eq!(policy, RetentionPolicy { source: PolicySource::File, ..code });
    }

    #[test]
    fn the_stores_clock_is_everybodys_unless_they_say_otherwise() {
        let policy = read(
            "[retention]\nage_by = 'recorded_at'\n[retention.events]\nmax_age = '1d'\n\
             [retention.audits]\nmax_age = '1d'\nage_by = 'timestamp'\n\
             [[retention.rule]]\nname = 'r'\nmax_age = '2d'\n",
        );
        let of = |kind: Kind| policy.kinds[kind.index()].as_ref().unwrap().age_by;
        assert_eq!((of(Kind::Event), of(Kind::Audit)), (AgeBy::RecordedAt, AgeBy::Timestamp));
        assert_eq!(policy.rules[0].limits.age_by, AgeBy::RecordedAt);
        assert!(policy.store.is_none());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, named) in [
            ("[retention]\nmax_ages = '1d'\n", "max_ages"),
            ("[retention]\nmax_age = '1 month'\n", "1 month"),
            ("[retention]\nmax_age = 30\n", "30"),
            ("[retention]\nmax_records = -1\n", "-1"),
            ("[retention]\nage_by = 'at'\n", "recorded_at"),
            ("[retention]\nkeep_at_least = 1\n", "keep_at_least"),
            ("[retention.event]\nmax_age = '1d'\n", "event"),
            ("[retention.events]\nwhere = 'true'\n", "where"),
            ("[[retention.rule]]\nkind = 'events'\n", "name"),
            ("[[retention.rule]]\nname = 'r'\nkind = 'event'\n", "event"),
            ("[[retention.rule]]\nname = 'r'\npredicate = 'true'\n", "predicate"),
        ] {
            let error = toml::from_str::<Settings>(text).err().unwrap().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
