//! The section `[retention]` in `ostracon.toml`.

use std::time::Duration;

use serde::Deserialize;

use super::{AgeBy, PolicySource, RetentionLimits, RetentionPolicy, RetentionRule};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, PerKind};
use crate::settings::duration;

/// The section `[retention]` in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyInFile {
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
        duration::parse(&text).map(Self)
    }
}

impl LimitsInFile {
    /// The limits of this section. The store's `age_by` applies if the section has none.
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
                "keep_at_least in [retention] has no effect, because [retention] has no limit",
            ));
        }
        let kinds = PerKind::of(file.events, file.audits, file.dead_letters);
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

    const DAY: Duration = Duration::from_hours(24);

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
        let of = |kind: Kind| policy.kinds[kind].as_ref().unwrap().age_by;
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
