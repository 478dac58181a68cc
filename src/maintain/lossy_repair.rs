//! Repairs that lost facts of a segment, or could not prove the facts that they saved.
//!
//! The segment's file may be restored later, from a backup or from a disk that was not mounted. Scan then reports it,
//! compaction keeps it, and recover restores its facts.

use std::fs::File;
use std::path::Path;

use crate::disk::open_regular;
use crate::error::{Error, Result};
use crate::ledger::{Action, Commit, CommitNumber, Lost, Segment, Unverified};
use crate::segment::{digest, is_damage};

/// A repair that lost facts of a segment, or could not prove them.
#[derive(Clone, Debug)]
pub(crate) struct LossyRepair {
    pub(crate) segment: Segment,
    /// The lost facts. Where a saved fact was altered, a loss may have bytes and no facts.
    pub(crate) lost: Vec<Lost>,
    /// The facts that it saved without proof.
    pub(crate) unverified: Vec<Unverified>,
    /// The segments that replaced it.
    pub(crate) heirs: Vec<Segment>,
    /// The repair's commit.
    pub(crate) by: CommitNumber,
}

impl LossyRepair {
    /// Reads a commit; `None` if it is no such repair.
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
                    whole || (!repair.lost.is_empty() && repair.lost.iter().all(|lost| found.contains(lost)))
                };
                known.retain(|repair| !is_back(repair));
                known.extend(Self::from_commit(commit));
            }
            Action::Rebuild(rebuilt) => {
                known.retain(|repair| repair.lost.iter().any(|lost| rebuilt.lost.contains(lost)));
            }
            _ => {}
        }
    }

    /// The number of lost facts.
    pub(crate) fn lost_facts(&self) -> u64 {
        self.lost.iter().map(|lost| lost.total.facts).sum()
    }

    /// Whether a file has the digest of the segment.
    pub(crate) fn matches_file(&self, path: &Path) -> Result<bool> {
        let read = open_regular(path).and_then(|mut file: File| digest(&mut file));
        match read {
            Ok((_, digest)) => Ok(self.segment.blake3 == digest),
            Err(error) if is_damage(&error) || error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("read", path, error)),
        }
    }

    /// Finds the repair whose segment is in the file at `path`, which has `bytes` bytes.
    pub(crate) fn find_at<'a>(known: &'a [Self], path: &Path, bytes: u64) -> Result<Option<&'a Self>> {
        for repair in known.iter().filter(|repair| repair.segment.bytes == bytes) {
            if repair.matches_file(path)? {
                return Ok(Some(repair));
            }
        }
        Ok(None)
    }
}
