//! Facts on which the condition of a rule or a hold fails.
//!
//! `CAST(payload->>'attempt' AS BIGINT) > 5` fails on the fact `{"attempt": "n/a"}`. Such a fact is kept,
//! because it may be a fact that the rule keeps or the hold covers. But this is not the intent of the
//! condition's author, so these facts are counted here.

use std::path::Path;

use arrow::array::RecordBatch;

use super::condition::Condition;
use super::in_force::Retention;
use super::rows::read;
use super::tally::indices;
use crate::error::Result;
use crate::fact::Kind;
use crate::snapshot::Snapshot;

/// A retention rule or a hold whose condition fails on facts, which are therefore kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionDoubt {
    /// The name of the rule or of the hold.
    pub name: String,
    /// Whether it is a hold.
    pub is_hold: bool,
    /// The kind of the facts.
    pub kind: Kind,
    /// The number of facts on which the condition fails.
    pub facts: u64,
    /// The reason why the condition fails on the first such fact.
    pub why: String,
}

impl std::fmt::Display for RetentionDoubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.is_hold { "hold" } else { "retention rule" };
        let (facts, are) = if self.facts == 1 { ("fact", "which is") } else { ("facts", "which are") };
        let Self { name, kind, facts: number, why, .. } = self;
        write!(f, "the {what} {name:?} fails on {number} {facts} of {kind}, {are} kept: {why}")
    }
}

/// Finds the rules and holds in force whose conditions fail on facts of a snapshot, and counts these facts.
///
/// Facts are read only where a condition can fail at all.
pub(crate) fn doubts(root: &Path, retention: &Retention, snapshot: &Snapshot) -> Result<Vec<RetentionDoubt>> {
    let rules = retention.in_force().rules;
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let of_rules = rules.candidates(kind).iter().filter_map(|candidate| {
            let name = rules.get(candidate.rule).map(|rule| rule.name.clone())?;
            Some((name, false, candidate.condition.as_deref()?))
        });
        let holds = snapshot.state.holds.iter().filter(|(_, hold)| hold.kind.is_none_or(|of| of == kind));
        let holds: Vec<_> =
            holds.map(|(name, hold)| (name.clone(), retention.held(kind, name, hold))).collect();
        let of_holds = holds.iter().filter_map(|(name, held)| Some((name.clone(), true, held.condition()?)));
        for (name, is_hold, condition) in of_rules.chain(of_holds) {
            if !condition.may_fail() {
                continue;
            }
            let mut doubts = Doubts::default();
            for segment in snapshot.state.segments(kind) {
                let columns = indices(kind, condition.columns().into_iter());
                read(root, segment, &columns, None, |_, batch| doubts.add(condition, batch))?;
            }
            for chunk in snapshot.tail()? {
                if let Some(rows) = chunk.rows(kind) {
                    doubts.add(condition, &rows.batch)?;
                }
            }
            if let Doubts { facts: facts @ 1.., why } = doubts {
                found.push(RetentionDoubt { name, is_hold, kind, facts, why });
            }
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Doubts {
    facts: u64,
    why: String,
}

impl Doubts {
    fn add(&mut self, condition: &dyn Condition, batch: &RecordBatch) -> Result<()> {
        let asked = condition.evaluate(batch)?;
        self.facts += asked.doubtful.len() as u64;
        if let Some(why) = asked.why.filter(|_| self.why.is_empty()) {
            self.why = why.to_string();
        }
        Ok(())
    }
}
