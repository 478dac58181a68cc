//! Repairs that lost facts of a segment, or could not prove the facts that they saved.

use serde::{Deserialize, Serialize};

use super::action::{Action, Lost, Unverified};
use super::commit::{Commit, CommitNumber, Segment, StreamRange};

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
                let mut found = found.clone();
                let is_whole = |repair: &Self| add.iter().any(|added| added.blake3 == repair.segment.blake3);
                // A segment that is back as a whole has its own losses, not those of others with equal ranges.
                for repair in known.iter_mut().filter(|repair| is_whole(repair)) {
                    repair.is_restored_by(&mut found);
                }
                known.retain_mut(|repair| !is_whole(repair) && !repair.is_restored_by(&mut found));
                known.extend(Self::from_commit(commit));
            }
            Action::Rebuild(rebuilt) => known.clone_from(&rebuilt.lossy_repairs),
            _ => {}
        }
    }

    /// Takes found facts from the losses: each is found for one loss, the oldest of its ranges. Returns whether there
    /// were losses, and none is left.
    fn is_restored_by(&mut self, found: &mut Vec<Lost>) -> bool {
        let had_losses = !self.lost.is_empty();
        self.lost.retain_mut(|lost| {
            let is_same = |found: &Lost| {
                let enough = found.total.facts <= lost.total.facts;
                found.kind == lost.kind && found.within == lost.within && enough
            };
            let Some(at) = found.iter().position(is_same) else { return true };
            let found = found.remove(at);
            lost.total.facts -= found.total.facts;
            lost.total.bytes = lost.total.bytes.saturating_sub(found.total.bytes);
            // The bytes of a restored fact may differ from those that the damaged file had.
            lost.total.facts > 0
        });
        had_losses && self.lost.is_empty()
    }

    /// The ranges of the lost facts.
    pub(crate) fn lost_within(&self) -> Vec<StreamRange> {
        let lost = self.lost.iter().filter(|lost| lost.total.facts > 0);
        lost.flat_map(|lost| lost.within.iter().copied()).collect()
    }

    /// The number of lost facts.
    pub(crate) fn lost_facts(&self) -> u64 {
        self.lost.iter().map(|lost| lost.total.facts).sum()
    }
}
