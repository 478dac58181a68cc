//! Checkpoints: the state of the ledger, written beside its commits.
//!
//! `ledger/00000000000000000128.checkpoint` holds the BLAKE3 digest of the rest in hex, a line
//! break, and the state after commit 128 as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::commit::{self, CommitNumber, commit_path, read_file};
use super::state::State;
use super::two_copies;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};

/// The number of commits between two checkpoints.
const EVERY: u64 = 128;
/// How many checkpoints are kept.
const KEPT: u64 = 2;
const MAX_CHECKPOINT_BYTES: u64 = 4 << 30;

/// The path of a checkpoint.
pub(crate) fn checkpoint_path(folder: &Path, number: CommitNumber) -> PathBuf {
    folder.join(format!("{:020}.checkpoint", number.0))
}

/// Writes a checkpoint if one is due. A failure does not fail the commit, which is already published:
/// only the next opening takes longer.
pub(super) fn maybe_write(disk: &Disk, folder: &Path, state: &State) {
    let number = state.head.number;
    if !is_due(number) {
        return;
    }
    let write = || {
        let path = checkpoint_path(folder, number);
        super::publish(disk, folder, &path, &to_bytes(state)?)
            .map_err(|error| Error::io("write", &path, error))
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

/// Whether a checkpoint is due at this commit.
pub(crate) const fn is_due(number: CommitNumber) -> bool {
    number.0 > 0 && number.0.is_multiple_of(EVERY)
}

/// The content of the checkpoint's file.
pub(crate) fn to_bytes(state: &State) -> Result<Vec<u8>> {
    let json = serde_json::to_string(state).map_err(|error| {
        Error::with_source(ErrorKind::Internal, "cannot write a checkpoint as JSON", error)
    })?;
    Ok(format!("{}\n{json}\n", commit::digest(json.as_bytes())).into_bytes())
}

/// Reads the state at the head, from the newest sound checkpoint and the commits after it. Also returns
/// whether every commit has its copy.
pub(super) fn load_newest(folder: &Path) -> Result<(State, bool)> {
    let mut known = Digests::new();
    loop {
        let listing = list(folder)?;
        match load(folder, &listing, &known)? {
            Loaded::State(state) => return Ok((*state, listing.is_copied)),
            // The other file of this commit is right, as the next commit shows.
            Loaded::Wrong { number, digest } => drop(known.insert(number, digest)),
        }
    }
}

/// The state after the commit of this number, from the first commit on.
pub(super) fn load_up_to(folder: &Path, number: CommitNumber) -> Result<State> {
    let mut known = Digests::new();
    loop {
        let listing = list(folder)?;
        let begun = begin(folder, &listing, &known)?;
        match go_on(folder, begun, &listing, number, &known)? {
            Loaded::State(state) => return Ok(*state),
            Loaded::Wrong { number, digest } => drop(known.insert(number, digest)),
        }
    }
}

/// For commits whose first file was the wrong one: the digest that the next commit names.
type Digests = BTreeMap<CommitNumber, String>;

enum Loaded {
    State(Box<State>),
    /// The commit that was read is not the one that the next commit names.
    Wrong {
        number: CommitNumber,
        digest: String,
    },
}

fn load(folder: &Path, listing: &Listing, known: &Digests) -> Result<Loaded> {
    let mut checkpoints = listing.checkpoints.clone();
    checkpoints.sort_unstable();
    let mut state = None;
    while let Some(number) = checkpoints.pop() {
        match read(folder, number) {
            Ok(found) => {
                state = Some(found);
                break;
            }
            Err(error) => tracing::warn!(%error, "cannot use a checkpoint of the ledger"),
        }
    }
    let state = match state {
        Some(state) => state,
        None => begin(folder, listing, known)?,
    };
    go_on(folder, state, listing, listing.head, known)
}

/// The state after the first commit of the ledger. Copies that an older program left when it rebuilt the
/// ledger do not count.
fn begin(folder: &Path, listing: &Listing, known: &Digests) -> Result<State> {
    first(folder, listing.root, known).or_else(|error| match listing.copied_root {
        Some(copied) if copied < listing.root => first(folder, copied, known),
        _ => Err(error),
    })
}

/// Follows the chain up to this commit.
fn go_on(
    folder: &Path,
    mut state: State,
    listing: &Listing,
    head: CommitNumber,
    known: &Digests,
) -> Result<Loaded> {
    while state.head.number < head {
        let number = state.head.number.next();
        let is_known = |digest: &str| known.get(&number).is_none_or(|known| known == digest);
        let found = two_copies::read_side(folder, number, |commit, digest| {
            state.precedes(commit) && is_known(digest)
        })?;
        let Some((commit, digest, side)) = found else {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!(
                    "the ledger is damaged: {} is missing, and commit {head} is there",
                    commit_path(folder, number).display()
                ),
            ));
        };
        if number > listing.own_head && are_strays(folder, &state, number, head)? {
            let copies = two_copies::copy_folder(folder);
            tracing::warn!(folder = %copies.display(), from = number.0, "commits of another store are among \
                                                                         the copies; they are ignored, and \
                                                                         `ostracon recover` moves them \
                                                                         aside");
            break;
        }
        if !state.precedes(&commit) && !known.contains_key(&state.head.number) {
            let is_ours = |commit: &commit::Commit, _: &str| commit.store == state.store;
            let named = two_copies::read(folder, number, is_ours)?.map(|(commit, _)| commit);
            if let Some(next) = named.filter(|next| next.store == state.store && next.number == number) {
                return Ok(Loaded::Wrong { number: state.head.number, digest: next.parent });
            }
        }
        super::follow(&mut state, &commit, digest, &side.path(folder, number))?;
    }
    Ok(Loaded::State(Box::new(state)))
}

/// Whether commits of which only the copies exist all belong to another store.
fn are_strays(folder: &Path, state: &State, first: CommitNumber, last: CommitNumber) -> Result<bool> {
    // Checks only files that exist: the last number comes from a file's name and may be huge.
    for number in two_copies::list(&two_copies::copy_folder(folder))?.range(first..=last).copied() {
        let found = two_copies::read_side(folder, number, |commit, _| commit.store == state.store)?;
        if found.is_some_and(|(commit, _, side)| !super::is_stray(state, &commit, side)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The state after the commit that begins the ledger: commit 0, unless the ledger was rebuilt.
fn first(folder: &Path, root: CommitNumber, known: &Digests) -> Result<State> {
    let path = commit_path(folder, root);
    let is_known = |digest: &str| known.get(&root).is_none_or(|known| known == digest);
    let found = two_copies::read(folder, root, |commit, digest| commit.begins_ledger() && is_known(digest))?;
    let Some((commit, digest)) = found else {
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
    /// The lowest number of a commit in `ledger/`; if there is none, the lowest number of a copy.
    root: CommitNumber,
    /// The lowest number of a copy.
    copied_root: Option<CommitNumber>,
    /// The highest number of a commit, or of a copy.
    head: CommitNumber,
    /// The highest number of a commit in `ledger/`.
    own_head: CommitNumber,
    /// Every commit in `ledger/` has a copy, or the folder of copies cannot be read.
    is_copied: bool,
    checkpoints: Vec<CommitNumber>,
}

fn list(folder: &Path) -> Result<Listing> {
    let attempt = |error| Error::io("list the ledger", folder, error);
    let copies = match two_copies::list(&two_copies::copy_folder(folder)) {
        Err(error) if error.is_denied() => None,
        copies => Some(copies?),
    };
    let is_readable = copies.is_some();
    let copies = copies.unwrap_or_default();
    let (mut own, mut checkpoints) = (BTreeSet::new(), Vec::new());
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(attempt)?.file_name();
                let Some(name) = name.to_str() else { continue };
                own.extend(two_copies::number_of(name, "json"));
                checkpoints.extend(two_copies::number_of(name, "checkpoint"));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !copies.is_empty() => {}
        Err(error) => return Err(attempt(error)),
    }
    let copied_root = copies.first().copied();
    Ok(Listing {
        root: own.first().copied().or(copied_root).unwrap_or_default(),
        copied_root,
        head: own.last().copied().max(copies.last().copied()).unwrap_or_default(),
        own_head: own.last().copied().unwrap_or_default(),
        is_copied: !is_readable || own.is_subset(&copies),
        checkpoints,
    })
}

/// Reads a checkpoint, and checks that it belongs to the commit of its number.
pub(crate) fn read(folder: &Path, number: CommitNumber) -> Result<State> {
    let path = checkpoint_path(folder, number);
    let state = read_alone(&path)?;
    let is_it = |_: &commit::Commit, digest: &str| digest == state.head.blake3;
    let commit = two_copies::read(folder, number, is_it)?;
    if state.head.number != number || commit.is_none_or(|(_, digest)| digest != state.head.blake3) {
        return Err(Error::damaged(&path, "it does not belong to the commit of its number"));
    }
    Ok(state)
}

/// Reads a checkpoint whose commit may be gone.
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
        Some(path) => Err(unsound(&format!("{path:?} is not a valid path of a segment"))),
        None => Ok(state),
    }
}
