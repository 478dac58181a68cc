//! Holds: facts that must be kept, whatever the rules say.
//!
//! Adding a hold and releasing it are commits, with author and reason. So it can be shown years later
//! which facts were kept for which case, and for how long. A hold that can no longer be parsed covers
//! every fact of its kind, and a hold whose condition fails on a fact covers that fact: facts that were
//! kept by mistake can be dropped later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use arrow::array::RecordBatch;

use super::Retention;
use super::condition::{Condition, ConditionParser};
use super::rules::condition;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, PerKind, UnixNanos};
use crate::ledger::{self, Action, CommitNumber, Ledger, Segment, read_commit};

/// The most bytes of a hold's name.
const MAX_NAME_BYTES: usize = 200;

/// The facts that a hold covers, and the reason.
///
#[cfg_attr(feature = "sql", doc = "```")]
#[cfg_attr(not(feature = "sql"), doc = "```ignore")]
/// # use ostracon::{Event, Hold, Json, Kind, Store};
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::open(folder.path().join("facts"))?;
/// let hold = Hold::new("claim 4711").kind(Kind::Event).predicate("actor_address = 'shop:5'").by("legal");
/// store.hold("case-4711", hold)?;
/// assert_eq!(store.holds()?[0].hold.reason, "claim 4711");
/// store.release("case-4711", "legal", "settled")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Hold {
    /// The kind of facts that the hold covers; `None` covers all kinds.
    pub kind: Option<Kind>,
    /// The condition for facts that the hold covers, in SQL over the columns of the kind, or, without a
    /// kind, over the columns that all kinds have. `None` covers all facts.
    pub predicate: Option<String>,
    /// The reason for the hold.
    pub reason: String,
    /// The person or office that holds the facts.
    pub by: String,
}

impl Hold {
    /// Makes a hold on every fact.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { kind: None, predicate: None, reason: reason.into(), by: String::new() }
    }

    /// Limits the hold to facts of this kind.
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Limits the hold to facts for which this SQL condition is true.
    pub fn predicate(mut self, sql: impl Into<String>) -> Self {
        self.predicate = Some(sql.into());
        self
    }

    /// Sets the person or office that holds the facts.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.by = who.into();
        self
    }
}

/// A hold that was added and is not released.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoldInForce {
    /// The hold's name.
    pub name: String,
    /// The facts that the hold covers, and the reason.
    pub hold: Hold,
    /// When the hold was added; `None` if the ledger was rebuilt since.
    pub since: Option<UnixNanos>,
}

/// Adds a hold: the facts that it covers are neither hidden nor dropped until it is released.
pub(crate) fn add_hold(ledger: &Ledger, parser: ConditionParser, name: &str, hold: Hold) -> Result<()> {
    let refuse =
        |why: &str| Err(Error::new(ErrorKind::Refused, format!("cannot add the hold {name:?}: {why}")));
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return refuse("a name must be one line of 1 to 200 bytes");
    }
    if hold.reason.trim().is_empty() {
        return refuse("a hold needs a reason");
    }
    for kind in Kind::ALL.into_iter().filter(|kind| hold.kind.is_none_or(|of| of == *kind)) {
        if let Some(text) = &hold.predicate {
            condition(parser, kind, hold.kind, text)
                .and_then(|condition| condition.check_computable())
                .map_err(|error| error.context(format_args!("cannot add the hold {name:?}")))?;
        }
    }
    let Hold { kind, predicate, reason, by } = hold;
    let hold = ledger::Hold { kind, predicate, reason, by };
    ledger.commit(|state| {
        if state.holds.contains_key(name) {
            let why = format!("a hold {name:?} exists already; release it first, or choose another name");
            return Err(Error::new(ErrorKind::Refused, why));
        }
        Ok(Some(Action::Hold { name: name.to_owned(), hold: hold.clone() }))
    })?;
    Ok(())
}

/// Releases a hold: the retention rules apply again to the facts that it covered.
pub(crate) fn release_hold(ledger: &Ledger, name: &str, by: &str, reason: &str) -> Result<()> {
    let (by, reason) = (by.to_owned(), reason.to_owned());
    ledger.commit(|state| {
        if !state.holds.contains_key(name) {
            let known: Vec<_> = state.holds.keys().map(|name| format!("{name:?}")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let why = format!("cannot release the hold {name:?}: it does not exist; in force: {known}");
            return Err(Error::new(ErrorKind::Refused, why));
        }
        Ok(Some(Action::Release { name: name.to_owned(), by: by.clone(), reason: reason.clone() }))
    })?;
    Ok(())
}

/// The holds in force, by name.
pub(crate) fn holds_in_force(ledger: &Ledger) -> Result<Vec<HoldInForce>> {
    let state = ledger.refresh()?;
    let mut unknown: BTreeSet<&str> = state.holds.keys().map(String::as_str).collect();
    let mut since = BTreeMap::new();
    let mut number = state.head.number;
    while !unknown.is_empty() && number >= state.root {
        let Some((commit, _)) = read_commit(ledger.folder(), number)? else { break };
        if let Action::Hold { name, .. } = &commit.action
            && unknown.remove(name.as_str())
        {
            since.insert(name.clone(), commit.at);
        }
        let Some(before) = number.0.checked_sub(1) else { break };
        number = CommitNumber(before);
    }
    let in_force = state.holds.iter().map(|(name, hold)| {
        let ledger::Hold { kind, predicate, reason, by } = hold.clone();
        HoldInForce {
            name: name.clone(),
            hold: Hold { kind, predicate, reason, by },
            since: since.get(name).copied(),
        }
    });
    Ok(in_force.collect())
}

/// The key of a parsed hold: a kind, the hold's own kind, and its condition.
pub(super) type Asked = (Kind, Option<Kind>, Option<String>);

/// The facts of one kind that a hold covers.
#[derive(Debug)]
pub(super) struct HoldCondition {
    /// The condition of the hold; `None` covers every fact of the kind.
    condition: Option<Box<dyn Condition>>,
}

impl HoldCondition {
    pub(super) const fn is_everything(&self) -> bool {
        self.condition.is_none()
    }

    /// Marks the covered rows. A row on which the condition fails is covered.
    pub(super) fn mark(&self, batch: &RecordBatch, held: &mut [bool]) {
        let Some(Ok(asked)) = self.condition.as_ref().map(|condition| condition.evaluate(batch)) else {
            held.fill(true);
            return;
        };
        for (held, covered) in held.iter_mut().zip(asked.matching.values()) {
            *held |= covered;
        }
        for row in asked.doubtful {
            if let Some(held) = held.get_mut(row) {
                *held = true;
            }
        }
    }

    pub(super) fn condition(&self) -> Option<&dyn Condition> {
        self.condition.as_deref()
    }

    /// For each segment, whether the hold may cover some of its rows.
    pub(super) fn may_cover(&self, segments: &[Arc<Segment>]) -> Vec<bool> {
        match &self.condition {
            Some(condition) => condition.may_match(segments),
            None => vec![true; segments.len()],
        }
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.condition.iter().flat_map(|condition| condition.columns())
    }
}

impl Retention {
    /// The conditions of the holds of a ledger, by kind.
    pub(super) fn holds(&self, holds: &BTreeMap<String, ledger::Hold>) -> PerKind<Vec<Arc<HoldCondition>>> {
        PerKind::from_fn(|kind| {
            let of_kind = holds.iter().filter(|(_, hold)| hold.kind.is_none_or(|of| of == kind));
            of_kind.map(|(name, hold)| self.held(kind, name, hold)).collect()
        })
    }

    pub(super) fn held(&self, kind: Kind, name: &str, hold: &ledger::Hold) -> Arc<HoldCondition> {
        let asked = (kind, hold.kind, hold.predicate.clone());
        let mut known = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let covers = known.entry(asked).or_insert_with(|| {
            let parsed = hold
                .predicate
                .as_deref()
                .map(|text| condition(self.parser, kind, hold.kind, text))
                .transpose();
            Arc::new(HoldCondition {
                condition: parsed.unwrap_or_else(|error| {
                    tracing::warn!(%error, hold = name, %kind, "the condition of a hold cannot be parsed; \
                                                                the hold covers every fact of its kind");
                    None
                }),
            })
        });
        Arc::clone(covers)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::Rules;
    use super::*;
    use crate::settings::retention::RetentionPolicy;

    #[test]
    fn a_hold_whose_condition_cannot_be_read_covers_everything_of_its_kind() {
        let unreadable: ConditionParser =
            |_, _| Err(Error::new(ErrorKind::Query, "it is in another language"));
        let policy = RetentionPolicy::new();
        let rules = Rules::new(&policy, unreadable).unwrap();
        let retention = Retention::new(&policy, rules, None, unreadable);
        let hold = |predicate: &str| ledger::Hold {
            kind: Some(Kind::Event),
            predicate: Some(predicate.to_owned()),
            reason: "case 4711".to_owned(),
            by: "legal".to_owned(),
        };
        let holds = BTreeMap::from([("a".to_owned(), hold("seq = 1"))]);
        let of = retention.holds(&holds);
        let events = &of[Kind::Event];
        assert!(events.iter().all(|held| held.is_everything()) && events.len() == 1);
        assert!(of[Kind::Audit].is_empty() && of[Kind::DeadLetter].is_empty());
    }
}
