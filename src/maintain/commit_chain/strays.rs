//! Copies of commits that do not belong to this ledger.
//!
//! A commit with only a copy counts: its own file was lost. So a copy after the newest commit in
//! `ledger/` is a stray only if it, and every later copy, is not a commit of this store, and if no
//! checkpoint belongs to such a commit.

use std::collections::BTreeSet;
use std::path::Path;

use super::Chain;
use super::commit_files::{CommitFile, CommitFiles, read};
use crate::error::{ErrorKind, Result};
use crate::ledger::{CommitNumber, Side, StoreId, list_commits, read_commit_file};
use crate::maintain::anomaly::{Anomaly, AnomalyKind};

/// A file in `ledger-copy/` after the newest commit in `ledger/` that is not a commit of this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    pub(crate) number: CommitNumber,
    /// Whether it is damaged, or was never a commit. Otherwise it belongs to another store.
    pub(crate) is_unsound: bool,
}

impl Chain {
    /// Removes the numbers at the end that only copies have, if none of the copies is a commit of this
    /// store. If one is, it and the copies before it are commits whose own files were lost.
    pub(super) fn set_strays_apart(
        &mut self,
        folder: &Path,
        numbers: &mut BTreeSet<CommitNumber>,
    ) -> Result<()> {
        let own = list_commits(folder)?;
        let (Some(first), Some(last)) = (own.first().copied(), own.last().copied()) else { return Ok(()) };
        let beyond: Vec<_> = numbers.range(last.next()..).rev().copied().collect();
        // A checkpoint of a later commit proves that there was one.
        if beyond.is_empty() || self.checkpoints.last().is_some_and(|checkpoint| *checkpoint > last) {
            return Ok(());
        }
        let Some(store) = store_of(folder, first) else { return Ok(()) };
        for number in beyond {
            let CommitFiles { own: CommitFile::Nothing, copy } = read(folder, number)? else { break };
            let is_unsound = match &copy {
                CommitFile::Commit { commit, .. } if commit.store != store => false,
                CommitFile::Unsound(_) if !is_newer(folder, number) => true,
                _ => break,
            };
            let (kind, expected) = if is_unsound {
                (AnomalyKind::CommitCopyDamaged, format!("copies of commits up to {last}"))
            } else {
                (AnomalyKind::Unexpected, format!("copies of commits of store {store}"))
            };
            let anomaly = Anomaly::new(kind, Side::Copy.name(number), expected, copy.words(number));
            self.anomalies.push(anomaly.remedy("moves the file aside"));
            self.strays.push(Stray { number, is_unsound });
            numbers.remove(&number);
        }
        Ok(())
    }
}

/// The store of a commit, from its first file that can be read.
fn store_of(folder: &Path, number: CommitNumber) -> Option<StoreId> {
    let read = |side| read_commit_file(folder, side, number).ok().flatten();
    Side::BOTH.into_iter().find_map(read).map(|(commit, _)| commit.store)
}

/// Whether a newer program wrote the copy of a commit.
fn is_newer(folder: &Path, number: CommitNumber) -> bool {
    let copy = read_commit_file(folder, Side::Copy, number);
    copy.is_err_and(|error| error.kind() == ErrorKind::NewerFormat)
}
