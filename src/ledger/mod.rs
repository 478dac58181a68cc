//! The ledger: what is live, what was removed, and why.
//!
//! `ledger/00000000000000000042.json` is one commit: immutable, numbered without gaps, naming the
//! BLAKE3 digest of the commit before. The head is the highest number. A commit is published
//! whole or not at all, and never over another: of two processes that commit at once one wins,
//! the other reads what came and tries again ([`Ledger::commit`]).
//!
//! Every 128 commits the state they add up to is written beside them as a checkpoint, so that
//! opening reads one file and at most a few commits. A checkpoint is a copy: when it is missing
//! or wrong, the commits tell the same.

mod action;
mod apply;
mod checkpoint;
mod commit;
mod entry;
mod state;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use action::{Action, Dropped, Hold, Lost, Rebuilt, Removed, Unverified};
pub(crate) use checkpoint::{read as read_checkpoint, read_alone as read_lone_checkpoint};
pub(crate) use commit::{
    Commit, CommitNumber, FORMAT, ImportMark, Place, Segment, StoreId, StreamRange, TimeRange, commit_path,
    is_segment_path, read as read_commit,
};
pub(crate) use entry::{EntryId, EntryRange};
pub(crate) use state::{Head, State, Stream, Tombstone, Total};

use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;

/// How often a commit is tried against other processes before it is given up.
const MOST_ATTEMPTS: usize = 1000;

/// A store's ledger, as far as this process has read it.
pub(crate) struct Ledger {
    disk: Disk,
    folder: PathBuf,
    state: Mutex<Arc<State>>,
}

impl Ledger {
    /// Writes the first commit, unless another process was quicker.
    pub(crate) fn create(disk: &Disk, root: &Path) -> Result<()> {
        let folder = root.join("ledger");
        let commit = Commit::first();
        let path = commit_path(&folder, commit.number);
        match publish(disk, &folder, &path, &commit.to_bytes()?) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            result => result.map_err(|error| Error::io("write the first commit", &path, error)),
        }
    }

    /// Publishes a commit with which the ledger begins again. `false` if there is one of that
    /// number already.
    pub(crate) fn begin_again(disk: &Disk, root: &Path, commit: &Commit) -> Result<bool> {
        let folder = root.join("ledger");
        let path = commit_path(&folder, commit.number);
        let bytes = commit.to_bytes()?;
        // There is no way back from it: what was there before will be moved aside.
        if serde_json::from_slice::<Commit>(&bytes).ok().as_ref() != Some(commit) {
            return Err(Error::new(ErrorKind::Damaged, "the rebuilt ledger would not be readable"));
        }
        match publish(disk, &folder, &path, &bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            result => {
                result.map(|()| true).map_err(|error| Error::io("publish the rebuilt ledger", &path, error))
            }
        }
    }

    /// Reads the ledger below this root.
    pub(crate) fn open(disk: Disk, root: &Path) -> Result<Self> {
        let folder = root.join("ledger");
        let state = checkpoint::load_newest(&folder)?;
        Ok(Self { disk, folder, state: Mutex::new(Arc::new(state)) })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What this process knows, without looking for news.
    pub(crate) fn known(&self) -> Arc<State> {
        Arc::clone(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The state at the head, with all that other processes have committed.
    pub(crate) fn refresh(&self) -> Result<Arc<State>> {
        let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newer) = self.read_on(&known)? {
            *known = Arc::new(newer);
        }
        Ok(Arc::clone(&known))
    }

    /// Follows the chain from a state; `None` if there is no news.
    fn read_on(&self, from: &State) -> Result<Option<State>> {
        let mut newer: Option<State> = None;
        loop {
            let state = newer.as_ref().unwrap_or(from);
            let path = commit_path(&self.folder, state.head.number.next());
            match commit::read(&path)? {
                Some((commit, digest)) => {
                    let mut state = newer.unwrap_or_else(|| from.clone());
                    state.apply(&commit, digest).map_err(|why| Error::damaged(&path, why))?;
                    newer = Some(state);
                }
                None => return Ok(newer),
            }
        }
    }

    /// Publishes what `build` makes of the state at the head, and returns the state after it.
    ///
    /// `build` is called again with the newer state when another process commits first. It
    /// returns `None` if there is nothing left to commit.
    pub(crate) fn commit(
        &self,
        mut build: impl FnMut(&State) -> Result<Option<Action>>,
    ) -> Result<Option<Arc<State>>> {
        for _ in 0..MOST_ATTEMPTS {
            let state = self.refresh()?;
            let Some(action) = build(&state)? else { return Ok(None) };
            let commit = Commit::after(&state, action, UnixNanos::now());
            let bytes = commit.to_bytes()?;
            // What could not be read again would be the end of the ledger.
            commit::check_readable(&commit, &bytes)?;
            let mut next = (*state).clone();
            let path = commit_path(&self.folder, commit.number);
            next.apply(&commit, commit::digest(&bytes)).map_err(|why| {
                Error::new(ErrorKind::Damaged, format!("the commit would break the ledger: {why}"))
            })?;
            match publish(&self.disk, &self.folder, &path, &bytes) {
                Ok(()) => {
                    let next = Arc::new(next);
                    let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    if known.head.number < next.head.number {
                        *known = Arc::clone(&next);
                    }
                    drop(known);
                    checkpoint::maybe_write(&self.disk, &self.folder, &next);
                    return Ok(Some(next));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("publish the commit", &path, error)),
            }
        }
        let attempt =
            format!("committing to {} was given up: other processes keep committing", self.folder.display());
        Err(Error::new(ErrorKind::Contended, attempt))
    }
}

fn publish(disk: &Disk, folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temp = folder.join(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    disk.publish(&temp, path, bytes)
}

#[cfg(test)]
mod tests;
