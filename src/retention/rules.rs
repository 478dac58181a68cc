//! The rules in force: a policy that was checked, with parsed conditions.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::condition::{Condition, ConditionParser};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, PerKind};
use crate::settings::retention::{AgeBy, MAX_CLOCK_LEAD, PolicySource, RetentionLimits, RetentionPolicy};

/// The names of rules without a name of their own.
const STORE: &str = "store";

/// One of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Limit {
    Age,
    Records,
    Bytes,
}

impl Limit {
    const ALL: [Self; 3] = [Self::Age, Self::Records, Self::Bytes];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Age => "max_age",
            Self::Records => "max_records",
            Self::Bytes => "max_bytes",
        }
    }
}

/// The index of a rule among the rules in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RuleIndex(pub(super) u16);

/// A rule and one of its limits: the reason why a fact is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RuleId {
    pub(super) rule: RuleIndex,
    pub(super) limit: Limit,
}

/// One rule in force.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    /// The place where the rule was written.
    pub(super) origin: String,
    pub(super) kind: Option<Kind>,
    pub(super) predicate: Option<String>,
    pub(super) limits: RetentionLimits,
    /// The names under which dropped facts are counted, by limit.
    names: [String; 3],
}

/// A rule that facts of a kind may belong to.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) rule: RuleIndex,
    /// The condition; `None` for all facts that belong to no earlier rule.
    pub(super) condition: Option<Box<dyn Condition>>,
    /// Whether a warning about the condition was logged.
    warned: AtomicBool,
}

impl Candidate {
    fn new(rule: RuleIndex, condition: Option<Box<dyn Condition>>) -> Self {
        Self { rule, condition, warned: AtomicBool::new(false) }
    }

    /// Whether the condition can fail on some fact.
    pub(super) fn may_fail(&self) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.may_fail())
    }
}

/// The rules in force.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "they are the rules")]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// The candidates for the facts of each kind, in the order in which they are tried.
    candidates: PerKind<Vec<Candidate>>,
    pub(super) max_clock_lead: Duration,
}

impl Rules {
    /// Checks a policy, and parses its conditions.
    pub(crate) fn new(policy: &RetentionPolicy, parser: ConditionParser) -> Result<Self> {
        let mut rules =
            Self { max_clock_lead: policy.max_clock_lead.unwrap_or(MAX_CLOCK_LEAD), ..Self::default() };
        for rule in &policy.rules {
            rules.check_name(&rule.name)?;
            let index = rules.add(
                &rule.name,
                origin(policy.source, format_args!("[[retention.rule]] {:?}", rule.name)),
                rule.kind,
                rule.predicate.clone(),
                &rule.limits,
            )?;
            for kind in Kind::ALL.into_iter().filter(|kind| rule.kind.is_none_or(|of| of == *kind)) {
                let condition =
                    rule.predicate.as_deref().map(|text| condition(parser, kind, rule.kind, text));
                let condition = condition.transpose().map_err(|error| {
                    Error::new(ErrorKind::Settings, format!("the retention rule {:?}: {error}", rule.name))
                })?;
                rules.add_candidate(kind, Candidate::new(index, condition));
            }
        }
        for (kind, limits) in policy.kinds.pairs() {
            if let Some(limits) = limits {
                let table = kind.table();
                let origin = origin(policy.source, format_args!("[retention.{table}]"));
                let index = rules.add(table, origin, Some(kind), None, limits)?;
                rules.add_candidate(kind, Candidate::new(index, None));
            }
        }
        if let Some(limits) = &policy.store {
            let origin = origin(policy.source, format_args!("[retention]"));
            let index = rules.add(STORE, origin, None, None, limits)?;
            for kind in Kind::ALL {
                rules.add_candidate(kind, Candidate::new(index, None));
            }
        }
        Ok(rules)
    }

    fn check_name(&self, name: &str) -> Result<()> {
        let wrong = |why: &str| {
            Err(Error::new(
                ErrorKind::Settings,
                format!("a retention rule cannot have the name {name:?}: {why}"),
            ))
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return wrong("a name must consist of letters, digits, _ and -");
        }
        if name == STORE || Kind::ALL.iter().any(|kind| kind.table() == name) {
            return wrong("it is the name of the limits of the store or of a kind");
        }
        if self.rules.iter().any(|rule| rule.name == name) {
            return wrong("another rule has that name");
        }
        Ok(())
    }

    fn add(
        &mut self,
        name: &str,
        origin: String,
        kind: Option<Kind>,
        predicate: Option<String>,
        limits: &RetentionLimits,
    ) -> Result<RuleIndex> {
        let index = u16::try_from(self.rules.len())
            .map_err(|_| Error::new(ErrorKind::Settings, "there are too many retention rules"))?;
        let names = Limit::ALL.map(|limit| format!("{name}.{}", limit.name()));
        let limits = limits.clone();
        self.rules.push(Rule { name: name.to_owned(), origin, kind, predicate, limits, names });
        Ok(RuleIndex(index))
    }

    /// Adds a rule to the candidates of a kind, unless an earlier rule takes all facts.
    fn add_candidate(&mut self, kind: Kind, candidate: Candidate) {
        let known = &mut self.candidates[kind];
        if known.last().is_none_or(|last| last.condition.is_some()) {
            known.push(candidate);
        }
    }

    /// The rules that are tried on facts of a kind, in their order.
    pub(super) fn candidates(&self, kind: Kind) -> &[Candidate] {
        &self.candidates[kind]
    }

    /// Logs once that a rule's condition fails on facts.
    pub(super) fn warn(&self, candidate: &Candidate, why: Option<&Error>) {
        if candidate.warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let name = self.get(candidate.rule).map_or("", |rule| rule.name.as_str());
        let why = why.map(Error::to_string).unwrap_or_default();
        tracing::warn!(
            rule = name,
            why,
            "the condition of a retention rule fails on some facts, which are kept; `ostracon retention \
             show STORE` counts them"
        );
    }

    /// The rule that all facts of a kind belong to.
    pub(super) fn only(&self, kind: Kind) -> Option<RuleIndex> {
        let first = self.candidates(kind).first().filter(|first| first.condition.is_none());
        first.map(|first| first.rule)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RuleIndex, &Rule)> {
        self.rules.iter().enumerate().map(|(at, rule)| (RuleIndex(at as u16), rule))
    }

    pub(super) fn get(&self, rule: RuleIndex) -> Option<&Rule> {
        self.rules.get(usize::from(rule.0))
    }

    pub(super) fn limits(&self, rule: RuleIndex) -> Option<&RetentionLimits> {
        self.get(rule).map(|rule| &rule.limits)
    }

    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    /// The name under which dropped facts are counted.
    pub(super) fn name(&self, id: RuleId) -> &str {
        let names = self.get(id.rule).map(|rule| &rule.names);
        names.and_then(|names| names.get(id.limit as usize)).map_or("unknown", String::as_str)
    }

    /// Whether no rule can drop a fact.
    pub(crate) fn keep_everything(&self) -> bool {
        self.rules.iter().all(|rule| rule.limits.is_unlimited())
    }

    /// Whether some rule has a limit on age.
    pub(super) fn have_ages(&self) -> bool {
        self.rules.iter().any(|rule| rule.limits.max_age.is_some())
    }

    /// Whether some rule for facts of a kind has a limit on this age.
    pub(super) fn look_at(&self, kind: Kind, age_by: AgeBy) -> bool {
        let limits = self.candidates(kind).iter().filter_map(|candidate| self.limits(candidate.rule));
        limits.into_iter().any(|limits| limits.max_age.is_some() && limits.age_by == age_by)
    }
}

/// Parses a condition on facts of one kind, of a rule or a hold for the kind `of`, or for all kinds.
pub(super) fn condition(
    parser: ConditionParser,
    kind: Kind,
    of: Option<Kind>,
    text: &str,
) -> Result<Box<dyn Condition>> {
    parser(kind, text).map_err(|error| {
        let error = error.context(format_args!("where = {text:?}, applied to {kind}"));
        if of.is_some() {
            return error;
        }
        Error::new(
            error.kind(),
            format!("{error}; without a kind the condition applies to all kinds, so give it one"),
        )
    })
}

fn origin(source: PolicySource, place: fmt::Arguments<'_>) -> String {
    match source {
        PolicySource::File => format!("ostracon.toml, {place}"),
        PolicySource::Code => "code".to_owned(),
        PolicySource::CodeInsteadOfFile => "code, instead of ostracon.toml".to_owned(),
    }
}

#[cfg(test)]
#[cfg(feature = "sql")]
mod tests {
    use super::*;
    use crate::query::parse_condition;
    use crate::settings::retention::RetentionRule;

    fn limits() -> RetentionLimits {
        RetentionLimits::new().max_records(1)
    }

    fn order(rules: &Rules, kind: Kind) -> Vec<&str> {
        let candidates = rules.candidates(kind).iter();
        candidates.map(|candidate| rules.get(candidate.rule).unwrap().name.as_str()).collect()
    }

    #[test]
    fn facts_are_offered_to_named_rules_then_to_their_kind_then_to_the_store() {
        let policy = RetentionPolicy::new()
            .store(limits())
            .kind(Kind::Audit, limits())
            .rule(RetentionRule::new("old", limits()).predicate("seq < 5"))
            .rule(RetentionRule::new("crashes", limits()).kind(Kind::Event).predicate("error IS NOT NULL"))
            .rule(RetentionRule::new("letters", limits()).kind(Kind::DeadLetter));
        let rules = Rules::new(&policy, parse_condition).unwrap();
        assert_eq!(order(&rules, Kind::Event), ["old", "crashes", "store"]);
        assert_eq!(order(&rules, Kind::Audit), ["old", "audits"]);
        assert_eq!(order(&rules, Kind::DeadLetter), ["old", "letters"]);
        assert!(Rules::new(&RetentionPolicy::new(), parse_condition).unwrap().keep_everything());
    }

    #[test]
    fn a_policy_that_cannot_work_is_refused() {
        let named = |name: &str| RetentionRule::new(name, limits());
        for (policy, why) in [
            (RetentionPolicy::new().rule(named("")), "letters"),
            (RetentionPolicy::new().rule(named("a.b")), "letters"),
            (RetentionPolicy::new().rule(named("events")), "of a kind"),
            (RetentionPolicy::new().rule(named("a")).rule(named("a")), "another"),
            (RetentionPolicy::new().rule(named("a").predicate("event_type = 'x'")), "give it one"),
            (RetentionPolicy::new().rule(named("a").kind(Kind::Audit).predicate("at < now()")), "now()"),
        ] {
            let error = Rules::new(&policy, parse_condition).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
