//! Checkpoints: the state written beside the commits that lead to it.
//!
//! `ledger/00000000000000000128.checkpoint` holds the BLAKE3 digest of the rest in hex, a line
//! break, and the state after commit 128 as JSON.

use std::path::{Path, PathBuf};

use super::commit::{self, CommitNumber, commit_path, read_file};
use super::state::State;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};

/// A checkpoint is written at every so many commits.
const EVERY: u64 = 128;
/// How many checkpoints are kept.
const KEPT: u64 = 2;
const MAX_CHECKPOINT_BYTES: u64 = 4 << 30;

/// The file of a checkpoint.
pub(crate) fn checkpoint_path(folder: &Path, number: CommitNumber) -> PathBuf {
    folder.join(format!("{:020}.checkpoint", number.0))
}

/// Writes a checkpoint if one is due. That it fails is no reason to fail a commit which is
/// already published: the next opening only takes longer.
pub(super) fn maybe_write(disk: &Disk, folder: &Path, state: &State) {
    let number = state.head.number;
    if number.0 == 0 || !number.0.is_multiple_of(EVERY) {
        return;
    }
    let write = || -> std::io::Result<()> {
        let json = serde_json::to_string(state)?;
        let bytes = format!("{}\n{json}\n", commit::digest(json.as_bytes()));
        super::publish(disk, folder, &checkpoint_path(folder, number), bytes.as_bytes())
    };
    match write() {
        Ok(()) => {
            if let Some(old) = number.0.checked_sub(KEPT * EVERY) {
                let _ = disk.remove(&checkpoint_path(folder, CommitNumber(old)));
            }
        }
        Err(error) => tracing::warn!(commit = number.0, %error, "cannot write a checkpoint of the ledger"),
    }
}

/// The state at the head: from the newest sound checkpoint, and the commits after it.
pub(super) fn load_newest(folder: &Path) -> Result<State> {
    let Listing { root, head, mut checkpoints } = list(folder)?;
    checkpoints.sort_unstable();
    let mut state = None;
    while let Some(number) = checkpoints.pop() {
        match read(folder, number) {
            Ok(found) => {
                state = Some(found);
                break;
            }
            Err(error) => tracing::warn!(%error, "a checkpoint of the ledger is not used"),
        }
    }
    let mut state = match state {
        Some(state) => state,
        None => first(folder, root)?,
    };
    while state.head.number < head {
        let path = commit_path(folder, state.head.number.next());
        let Some((commit, digest)) = commit::read(&path)? else {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!("the ledger is damaged: {} is missing, and commit {head} is there", path.display()),
            ));
        };
        state.apply(&commit, digest).map_err(|why| Error::damaged(&path, why))?;
    }
    Ok(state)
}

/// The state after the commit that the ledger begins with: 0, unless it was rebuilt.
fn first(folder: &Path, root: CommitNumber) -> Result<State> {
    let path = commit_path(folder, root);
    let Some((commit, digest)) = commit::read(&path)? else {
        return Err(Error::new(
            ErrorKind::Damaged,
            format!("the ledger is damaged: its first commit, {}, is missing", path.display()),
        ));
    };
    State::begin(&commit, digest).map_err(|why| match root.0 {
        0 => Error::damaged(&path, why),
        _ => Error::new(
            ErrorKind::Damaged,
            format!(
                "the ledger is damaged: it begins with {}, and {} is missing",
                path.display(),
                commit_path(folder, CommitNumber(0)).display()
            ),
        ),
    })
}

struct Listing {
    /// The lowest number of a commit.
    root: CommitNumber,
    head: CommitNumber,
    checkpoints: Vec<CommitNumber>,
}

fn list(folder: &Path) -> Result<Listing> {
    let attempt = |error| Error::io("list the ledger", folder, error);
    let mut listing =
        Listing { root: CommitNumber(u64::MAX), head: CommitNumber(0), checkpoints: Vec::new() };
    for entry in std::fs::read_dir(folder).map_err(attempt)? {
        let name = entry.map_err(attempt)?.file_name();
        let Some((stem, extension)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let Some(number) = stem.parse().ok().filter(|_| stem.len() == 20).map(CommitNumber) else { continue };
        match extension {
            "json" => {
                listing.root = listing.root.min(number);
                listing.head = listing.head.max(number);
            }
            "checkpoint" => listing.checkpoints.push(number),
            _ => {}
        }
    }
    if listing.root > listing.head {
        listing.root = CommitNumber(0);
    }
    Ok(listing)
}

/// Reads a checkpoint, and makes sure that it stands on the commit of its number.
pub(crate) fn read(folder: &Path, number: CommitNumber) -> Result<State> {
    let path = checkpoint_path(folder, number);
    let state = read_alone(&path)?;
    let commit = commit::read(&commit_path(folder, number))?;
    if state.head.number != number || commit.is_none_or(|(_, digest)| digest != state.head.blake3) {
        return Err(Error::damaged(&path, "it does not stand on the commit of its number"));
    }
    Ok(state)
}

/// Reads a checkpoint that may have outlived the commit it stands on.
pub(crate) fn read_alone(path: &Path) -> Result<State> {
    let unsound = |why: &str| Error::damaged(path, why);
    let bytes = read_file(path, MAX_CHECKPOINT_BYTES)?.ok_or_else(|| unsound("it is gone"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unsound("it is not text"))?;
    let (digest, json) = text.split_once('\n').ok_or_else(|| unsound("it is cut short"))?;
    let json = json.strip_suffix('\n').ok_or_else(|| unsound("it is cut short"))?;
    if commit::digest(json.as_bytes()) != digest {
        return Err(unsound("its digest does not match"));
    }
    let state: State = serde_json::from_str(json).map_err(|_| unsound("it holds no state"))?;
    match state.path_out_of_place() {
        Some(path) => Err(unsound(&format!("{path:?} is no place for a segment"))),
        None => Ok(state),
    }
}
