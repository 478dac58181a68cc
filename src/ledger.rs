//! The ledger: which segments are live, which were removed, and why.
//!
//! `ledger/00000000000000000042.json` is one commit: immutable, numbered without gaps, with the BLAKE3
//! digest of the commit before. The head is the highest number. A commit is published whole or not at
//! all, and never over another. If two processes commit at once, one wins; the other reads the new commit
//! and tries again ([`Ledger::commit`]).
//!
//! Every commit's file is kept twice ([`two_copies`]): this module's rules for reading a commit's file hold
//! for both files.
//!
//! Every 128 commits, their sum is written beside them as a checkpoint, so that opening reads one file
//! and at most a few commits. A checkpoint is a copy: if it is missing or wrong, the commits give the
//! same state.

mod action;
mod apply;
mod checkpoint;
mod commit;
mod entry;
mod lossy_repair;
mod lost_numbers;
mod state;
mod two_copies;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use action::{Action, Dropped, Hold, Lost, Rebuilt, Removed, Unverified};
pub(crate) use checkpoint::{
    checkpoint_path, is_due as is_checkpoint_due, read as read_checkpoint,
    read_alone as read_lone_checkpoint, to_bytes as checkpoint_bytes,
};
pub(crate) use commit::{
    Commit, CommitNumber, FORMAT, ImportMark, Place, Segment, StoreId, StreamRange, TimeRange, commit_path,
    is_segment_path,
};
pub(crate) use entry::{EntryId, EntryRange};
pub(crate) use lossy_repair::LossyRepair;
pub(crate) use lost_numbers::LostNumbers;
pub(crate) use state::{Head, State, Stream, Tombstone, Total};
pub(crate) use two_copies::{
    COPY_FOLDER, Side, complete as complete_copies, copy_folder, list as list_commits, pin as pin_commit,
    read_bytes as read_commit_bytes,
};

use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;

/// How often a commit is tried against other processes before it fails.
const MOST_ATTEMPTS: usize = 1000;
/// The most missing copies that are written at an opening, or after a commit.
const COPIES_AT_ONCE: usize = 64;

/// A store's ledger, as far as this process has read it.
pub(crate) struct Ledger {
    disk: Disk,
    folder: PathBuf,
    state: Mutex<Arc<State>>,
    /// The ledger could not be read so far.
    unreadable: AtomicBool,
    /// Copies of commits are missing, as far as this process knows.
    uncopied: AtomicBool,
}

impl Ledger {
    /// Writes the first commit, unless another process was quicker.
    pub(crate) fn create(disk: &Disk, root: &Path) -> Result<()> {
        let folder = root.join("ledger");
        let commit = Commit::first();
        let path = commit_path(&folder, commit.number);
        match publish_twice(disk, &folder, commit.number, &commit.to_bytes()?).map(drop) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            result => result.map_err(|error| Error::io("write the first commit", &path, error)),
        }
    }

    /// Publishes a commit with which the ledger begins again. Returns `false` if a commit of that number
    /// exists.
    pub(crate) fn begin_again(disk: &Disk, root: &Path, commit: &Commit) -> Result<bool> {
        let folder = root.join("ledger");
        let path = commit_path(&folder, commit.number);
        let bytes = commit.to_bytes()?;
        // This cannot be undone: the old ledger will be moved aside.
        if serde_json::from_slice::<Commit>(&bytes).ok().as_ref() != Some(commit) {
            return Err(Error::new(ErrorKind::Damaged, "the rebuilt ledger would not be readable"));
        }
        match publish_twice(disk, &folder, commit.number, &bytes).map(drop) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            result => {
                result.map(|()| true).map_err(|error| Error::io("publish the rebuilt ledger", &path, error))
            }
        }
    }

    /// Reads the ledger below this root.
    pub(crate) fn open(disk: Disk, root: &Path) -> Result<Self> {
        let folder = root.join("ledger");
        let (state, is_copied) = checkpoint::load_newest(&folder)?;
        let state = Mutex::new(Arc::new(state));
        let uncopied = AtomicBool::new(!is_copied);
        Ok(Self { disk, folder, state, unreadable: AtomicBool::new(false), uncopied })
    }

    /// Syncs all commits so far, and their copies: another process may have died after it published a
    /// commit, before it synced the commit's name or wrote its copy. A copy that cannot be written is
    /// only a warning.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        self.disk.sync_dir(&self.folder)?;
        let known = self.known();
        let uncopied = self.uncopied.load(Ordering::Relaxed);
        if uncopied || !two_copies::is_complete(&self.folder, known.root, known.head.number) {
            self.complete_copies();
        }
        Ok(())
    }

    /// Writes some of the missing copies.
    fn complete_copies(&self) {
        let left = two_copies::complete(&self.disk, &self.folder, COPIES_AT_ONCE);
        self.uncopied.store(!matches!(left, Ok(0)), Ordering::Relaxed);
        if let Err(error) = left {
            tracing::warn!(%error, "copies of commits are missing");
        }
    }

    /// A ledger that cannot be read now, with an estimate from its readable part. Nothing is committed on
    /// an estimate.
    pub(crate) fn unreadable(disk: Disk, root: &Path, guess: State) -> Self {
        let (folder, state) = (root.join("ledger"), Mutex::new(Arc::new(guess)));
        Self { disk, folder, state, unreadable: AtomicBool::new(true), uncopied: AtomicBool::new(false) }
    }

    /// Whether the ledger could not be read so far, so that its state is an estimate.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Acquire)
    }

    /// The state after the commits up to this one; `None` if the ledger does not have that commit.
    pub(crate) fn state_at(&self, number: CommitNumber) -> Result<Option<State>> {
        let known = self.refresh()?;
        if number < known.root || number > known.head.number {
            return Ok(None);
        }
        checkpoint::load_up_to(&self.folder, number).map(Some)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The facts that commits up to a state gave up as lost: the numbers of those that salvages lost, and the
    /// repairs that lost facts of segments.
    pub(crate) fn lost_facts(&self, state: &State) -> Result<(LostNumbers, Vec<LossyRepair>)> {
        let (mut numbers, mut repairs) = (LostNumbers::default(), Vec::new());
        for number in (state.root.0..=state.head.number.0).map(CommitNumber) {
            let found = read_commit(&self.folder, number)?;
            let gone = || Error::damaged(&self.folder, format_args!("commit {number} is gone"));
            let (commit, _) = found.ok_or_else(gone)?;
            numbers.add_commit(&commit);
            LossyRepair::add_commit(&mut repairs, &commit);
        }
        Ok((numbers, repairs))
    }

    /// The state that this process knows, without reading new commits.
    pub(crate) fn known(&self) -> Arc<State> {
        Arc::clone(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The state at the head, including all commits of other processes.
    pub(crate) fn refresh(&self) -> Result<Arc<State>> {
        let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_unreadable() {
            // Another process may have repaired it.
            let (state, is_copied) = checkpoint::load_newest(&self.folder)?;
            *known = Arc::new(state);
            self.uncopied.fetch_or(!is_copied, Ordering::Relaxed);
            self.unreadable.store(false, Ordering::Release);
        }
        if let Some(newer) = self.read_on(&known).map_err(|error| self.disk.explain(error))? {
            *known = Arc::new(newer);
        }
        Ok(Arc::clone(&known))
    }

    /// Follows the chain from a state; `None` if there is no newer commit.
    fn read_on(&self, from: &State) -> Result<Option<State>> {
        let mut newer: Option<State> = None;
        loop {
            let state = newer.as_ref().unwrap_or(from);
            let number = state.head.number.next();
            match two_copies::read_side(&self.folder, number, |commit, _| state.precedes(commit))? {
                Some((commit, digest, side)) if !is_stray(state, &commit, side) => {
                    let mut state = newer.unwrap_or_else(|| from.clone());
                    follow(&mut state, &commit, digest, &side.path(&self.folder, number))?;
                    newer = Some(state);
                }
                _ => return Ok(newer),
            }
        }
    }

    /// Publishes the commit that `build` makes for the state at the head, and returns the state after it.
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
            // A commit that cannot be read again would make the ledger unreadable.
            commit::check_readable(&commit, &bytes)?;
            let mut next = (*state).clone();
            let path = commit_path(&self.folder, commit.number);
            next.apply(&commit, commit::digest(&bytes)).map_err(|why| {
                Error::new(ErrorKind::Damaged, format!("the commit would break the ledger: {why}"))
            })?;
            match publish_twice(&self.disk, &self.folder, commit.number, &bytes) {
                Ok(copied) => {
                    let next = Arc::new(next);
                    let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    if known.head.number < next.head.number {
                        *known = Arc::clone(&next);
                    }
                    drop(known);
                    self.uncopied.fetch_or(!copied, Ordering::Relaxed);
                    if copied && self.uncopied.load(Ordering::Relaxed) {
                        self.complete_copies();
                    }
                    checkpoint::maybe_write(&self.disk, &self.folder, &next);
                    return Ok(Some(next));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("publish the commit", &path, error)),
            }
        }
        let attempt = format!("cannot commit to {}: other processes keep committing", self.folder.display());
        Err(Error::new(ErrorKind::Contended, attempt))
    }
}

/// Whether an error says that the content of the ledger's files cannot be used: they are damaged, or of
/// another store.
pub(crate) fn is_ledger_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Moved)
}

/// Whether a commit after the head is another store's, and exists only as a copy: then it is not part of
/// this ledger, and does not block its next commit.
fn is_stray(state: &State, commit: &Commit, side: Side) -> bool {
    side == Side::Copy && commit.store != state.store
}

/// Adds a commit to a state. A commit of another store is not damage: the files of two stores are in one
/// folder.
fn follow(state: &mut State, commit: &Commit, digest: String, path: &Path) -> Result<()> {
    let own = state.store;
    state.apply(commit, digest).map_err(|why| {
        if commit.store == own {
            return Error::damaged(path, why);
        }
        let why = format!(
            "{} belongs to another store: {why}; a process that had the other store open has written it \
             here: move the file out of the store's folder",
            path.display()
        );
        Error::new(ErrorKind::Moved, why)
    })
}

/// Reads a commit and its digest; `None` if no commit has that number.
pub(crate) fn read_commit(folder: &Path, number: CommitNumber) -> Result<Option<(Commit, String)>> {
    two_copies::read(folder, number, |_, _| true)
}

/// Reads one of a commit's two files.
pub(crate) fn read_commit_file(
    folder: &Path,
    side: Side,
    number: CommitNumber,
) -> Result<Option<(Commit, String)>> {
    commit::read(&side.path(folder, number))
}

/// Publishes a commit and then its copy. Returns `false` if the copy could not be written.
fn publish_twice(disk: &Disk, folder: &Path, number: CommitNumber, bytes: &[u8]) -> std::io::Result<bool> {
    publish(disk, folder, &commit_path(folder, number), bytes)?;
    let copied = two_copies::write(disk, folder, number, bytes);
    if let Err(error) = &copied {
        tracing::warn!(commit = number.0, %error, "the commit is published, but its copy could not be \
                                                   written");
    }
    Ok(copied.is_ok())
}

fn publish(disk: &Disk, folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temp = folder.join(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    disk.publish(&temp, path, bytes)
}

#[cfg(test)]
mod tests;
