//! The changes by commits since a head that was kept elsewhere.
//!
//! An unbroken history from the head to today shows that no commit was changed. It does not show that no
//! fact was removed: commits also name the facts that compactions dropped and that recovery gave up. This
//! module counts them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::fact::Kind;
use crate::ledger::{Action, Commit};

/// The changes to facts in the commits since a head that was kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Changes {
    /// The changes of each kind, in the order of [`Kind::ALL`].
    pub kinds: Vec<KindChanges>,
    /// Facts that were lost from a damaged journal before they were in a segment. Their kinds are
    /// unknown.
    pub lost_from_journals: u64,
    /// Live facts that were read from damaged files, and may differ from the recorded facts.
    pub unverified: u64,
    /// The number of compactions.
    pub compactions: u64,
    /// The number of commits by `recover`.
    pub repairs: u64,
    /// Names of holds that were added.
    pub held: Vec<String>,
    /// Names of holds that were released.
    pub released: Vec<String>,
}

/// The changes to facts of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KindChanges {
    /// The kind of the facts.
    pub kind: Kind,
    /// Facts that were added.
    pub recorded: u64,
    /// Facts that compactions dropped, by the name of the rule.
    pub dropped: BTreeMap<String, u64>,
    /// Facts that were unreadable when their segment was repaired.
    pub lost: u64,
    /// Facts that one repair lost and a later repair restored.
    pub found: u64,
}

impl Default for Changes {
    fn default() -> Self {
        let kinds = Kind::ALL.map(|kind| KindChanges {
            kind,
            recorded: 0,
            dropped: BTreeMap::new(),
            lost: 0,
            found: 0,
        });
        Self {
            kinds: kinds.to_vec(),
            lost_from_journals: 0,
            unverified: 0,
            compactions: 0,
            repairs: 0,
            held: Vec::new(),
            released: Vec::new(),
        }
    }
}

impl Changes {
    /// Facts that were added, of all kinds.
    pub fn recorded(&self) -> u64 {
        sum(self.kinds.iter().map(|of| of.recorded))
    }

    /// Facts that rules dropped, of all kinds.
    pub fn dropped(&self) -> u64 {
        sum(self.kinds.iter().flat_map(|of| of.dropped.values().copied()))
    }

    /// Facts that were lost, from segments and journals.
    pub fn lost(&self) -> u64 {
        sum(self.kinds.iter().map(|of| of.lost)).saturating_add(self.lost_from_journals)
    }

    /// Whether facts are no longer there, or may not be what was recorded.
    pub fn took_facts(&self) -> bool {
        self.dropped() > 0 || self.lost() > 0 || self.unverified > 0
    }

    /// Adds the changes of one more commit.
    pub(super) fn add(&mut self, commit: &Commit) {
        match &commit.action {
            Action::Flush { add, .. } => {
                self.add_recorded(add.iter().map(|segment| (segment.kind, segment.rows)));
            }
            Action::Salvage { add, lost, unverified, .. } => {
                self.repairs += 1;
                self.add_recorded(add.iter().map(|segment| (segment.kind, segment.rows)));
                let lost = sum(lost.iter().filter_map(|range| range.facts()));
                self.lost_from_journals = self.lost_from_journals.saturating_add(lost);
                self.add_unverified(unverified.iter().map(|unverified| unverified.facts));
            }
            Action::Compact { dropped, .. } => {
                self.compactions += 1;
                for dropped in dropped {
                    if let Some(of) = self.of(dropped.kind) {
                        let facts = of.dropped.entry(dropped.rule.clone()).or_default();
                        *facts = facts.saturating_add(dropped.total.facts);
                    }
                }
            }
            Action::Repair { lost, found, unverified, .. } => {
                self.repairs += 1;
                for lost in lost {
                    if let Some(of) = self.of(lost.kind) {
                        of.lost = of.lost.saturating_add(lost.total.facts);
                    }
                }
                for found in found {
                    if let Some(of) = self.of(found.kind) {
                        of.found = of.found.saturating_add(found.total.facts);
                    }
                }
                self.add_unverified(unverified.iter().map(|unverified| unverified.facts));
            }
            Action::Restore { add, .. } => {
                self.repairs += 1;
                for segment in add {
                    if let Some(of) = self.of(segment.kind) {
                        of.found = of.found.saturating_add(segment.rows);
                    }
                }
            }
            Action::Hold { name, .. } => self.held.push(name.clone()),
            Action::Release { name, .. } => self.released.push(name.clone()),
            // These begin a ledger; no commit comes before them.
            Action::Create | Action::Rebuild(_) => {}
        }
    }

    fn of(&mut self, kind: Kind) -> Option<&mut KindChanges> {
        self.kinds.iter_mut().find(|of| of.kind == kind)
    }

    fn add_recorded(&mut self, added: impl Iterator<Item = (Kind, u64)>) {
        for (kind, rows) in added {
            if let Some(of) = self.of(kind) {
                of.recorded = of.recorded.saturating_add(rows);
            }
        }
    }

    fn add_unverified(&mut self, facts: impl Iterator<Item = u64>) {
        self.unverified = self.unverified.saturating_add(sum(facts));
    }
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}
