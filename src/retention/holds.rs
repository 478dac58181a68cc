//! Holds: what somebody must keep, whatever the rules say.
//!
//! Adding a hold and releasing it are commits, with who and why: so it can be shown years later
//! what was kept for which case, and from when to when. A hold that cannot be understood any more
//! covers everything of its kind, and one whose condition fails on a fact covers that fact: too
//! much kept can be dropped later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use arrow::array::RecordBatch;

use super::Retention;
use super::condition::{Condition, ConditionParser};
use super::rules::condition;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, UnixNanos};
use crate::ledger::{self, Action, CommitNumber, Ledger, Segment, read_commit};

/// A hold's name is not longer, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// What a hold covers, and why.
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
    /// Only facts of this kind.
    pub kind: Option<Kind>,
    /// Only facts of which this is true: SQL over the columns of the kind, or, without a kind,
    /// over columns that all kinds have.
    pub predicate: Option<String>,
    /// Why they are held.
    pub reason: String,
    /// Who holds them.
    pub by: String,
}

impl Hold {
    /// A hold on everything.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { kind: None, predicate: None, reason: reason.into(), by: String::new() }
    }

    /// Only on facts of this kind.
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only on facts of which this is true.
    pub fn predicate(mut self, sql: impl Into<String>) -> Self {
        self.predicate = Some(sql.into());
        self
    }

    /// Held by this person, or office.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.by = who.into();
        self
    }
}

/// A hold that was added and not released.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoldInForce {
    /// Its name.
    pub name: String,
    /// What it covers, and why.
    pub hold: Hold,
    /// When it was added; unknown after the ledger was rebuilt.
    pub since: Option<UnixNanos>,
}

/// Adds a hold: what it covers is neither hidden nor dropped until it is released.
pub(crate) fn add_hold(ledger: &Ledger, parser: ConditionParser, name: &str, hold: Hold) -> Result<()> {
    let refuse =
        |why: &str| Err(Error::new(ErrorKind::Refused, format!("the hold {name:?} is not added: {why}")));
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return refuse("a name is one line, not empty, of at most 200 bytes");
    }
    if hold.reason.trim().is_empty() {
        return refuse("a hold needs a reason");
    }
    for kind in Kind::ALL.into_iter().filter(|kind| hold.kind.is_none_or(|of| of == *kind)) {
        if let Some(text) = &hold.predicate {
            condition(parser, kind, hold.kind, text)
                .and_then(|condition| condition.check_computable())
                .map_err(|error| error.context(format_args!("the hold {name:?} is not added")))?;
        }
    }
    let Hold { kind, predicate, reason, by } = hold;
    let hold = ledger::Hold { kind, predicate, reason, by };
    ledger.commit(|state| {
        if state.holds.contains_key(name) {
            let why =
                format!("there is a hold {name:?} already; release it first, or give this another name");
            return Err(Error::new(ErrorKind::Refused, why));
        }
        Ok(Some(Action::Hold { name: name.to_owned(), hold: hold.clone() }))
    })?;
    Ok(())
}

/// Releases a hold: the rules of retention apply to what it covered.
pub(crate) fn release_hold(ledger: &Ledger, name: &str, by: &str, reason: &str) -> Result<()> {
    let (by, reason) = (by.to_owned(), reason.to_owned());
    ledger.commit(|state| {
        if !state.holds.contains_key(name) {
            let known: Vec<_> = state.holds.keys().map(|name| format!("{name:?}")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let why = format!("there is no hold {name:?}; in force: {known}");
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

/// What a hold was asked to cover: a kind, the hold's own kind, and its condition.
pub(super) type Asked = (Kind, Option<Kind>, Option<String>);

/// What a hold covers of one kind.
#[derive(Debug)]
pub(super) struct HoldCondition {
    /// `None` for everything.
    condition: Option<Box<dyn Condition>>,
}

impl HoldCondition {
    pub(super) const fn is_everything(&self) -> bool {
        self.condition.is_none()
    }

    /// Marks the rows that are covered. One of which the condition cannot be asked is.
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

    /// For each segment, whether rows of it may be covered.
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
    /// What the holds of a ledger cover, by kind.
    pub(super) fn holds(&self, holds: &BTreeMap<String, ledger::Hold>) -> [Vec<Arc<HoldCondition>>; 3] {
        Kind::ALL.map(|kind| {
            let of_kind = holds.iter().filter(|(_, hold)| hold.kind.is_none_or(|of| of == kind));
            of_kind.map(|(name, hold)| self.held(kind, name, hold)).collect()
        })
    }

    pub(super) fn held(&self, kind: Kind, name: &str, hold: &ledger::Hold) -> Arc<HoldCondition> {
        let asked = (kind, hold.kind, hold.predicate.clone());
        let mut known = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let covers = known.entry(asked).or_insert_with(|| {
            let parsed = hold.predicate.as_deref().map(|text| condition(self.parser, kind, hold.kind, text)).transpose();
            Arc::new(HoldCondition {
                condition: parsed.unwrap_or_else(|error| {
                    tracing::warn!(%error, hold = name, %kind, "a hold is not understood, and covers everything of its kind");
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
        let [events, audits, letters] = retention.holds(&holds);
        assert!(events.iter().all(|held| held.is_everything()) && events.len() == 1);
        assert!(audits.is_empty() && letters.is_empty());
    }
}
