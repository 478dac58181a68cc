//! Repairs that lost facts of a segment, or could not prove the facts that they saved.

use serde::{Deserialize, Serialize};

use super::action::{Action, Lost, Unverified};
use super::commit::{Commit, CommitNumber, Segment};

/// A repair that lost facts of a segment, or could not prove them. The segment's file may be restored
/// later, from a backup or from a disk that was not mounted. Then its facts can be restored, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LossyRepair {
    pub(crate) segment: Segment,
    /// The lost facts. If a saved fact was altered, a loss may have bytes and no facts.
    pub(crate) lost: Vec<Lost>,
    /// The facts that the repair saved without proof.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unverified: Vec<Unverified>,
    /// The segments that replaced the damaged segment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) heirs: Vec<Segment>,
    /// The repair's commit.
    pub(crate) by: CommitNumber,
}

impl LossyRepair {
    /// The repair in a commit; `None` if the commit is not such a repair.
    pub(crate) fn from_commit(commit: &Commit) -> Option<Self> {
        let Action::Repair { remove, add, lost, unverified, .. } = &commit.action else { return None };
        let [segment] = remove.as_slice() else { return None };
        (!lost.is_empty() || !unverified.is_empty()).then(|| Self {
            segment: segment.clone(),
            lost: lost.clone(),
            unverified: unverified.clone(),
            heirs: add.clone(),
            by: commit.number,
        })
    }

    /// Adds a commit's repair to a list, and removes repairs whose facts the commit restores.
    pub(crate) fn add_commit(known: &mut Vec<Self>, commit: &Commit) {
        match &commit.action {
            Action::Repair { add, found, .. } => {
                let is_back = |repair: &Self| {
                    let whole = add.iter().any(|added| added.blake3 == repair.segment.blake3);
                    // A loss is restored as a whole; its bytes may differ.
                    let is_same = |one: &Lost, other: &Lost| {
                        one.kind == other.kind
                            && one.total.facts == other.total.facts
                            && one.within == other.within
                    };
                    let is_found = |lost: &Lost| found.iter().any(|found| is_same(found, lost));
                    whole || (!repair.lost.is_empty() && repair.lost.iter().all(is_found))
                };
                known.retain(|repair| !is_back(repair));
                known.extend(Self::from_commit(commit));
            }
            Action::Rebuild(rebuilt) => known.clone_from(&rebuilt.lossy_repairs),
            _ => {}
        }
    }

    /// The number of lost facts.
    pub(crate) fn lost_facts(&self) -> u64 {
        self.lost.iter().map(|lost| lost.total.facts).sum()
    }
}
