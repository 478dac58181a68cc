//! Removes files that are no longer needed.
//!
//! *Removed segments.* Their files stay until no reader can be using them. A snapshot holds a shared lock
//! on its commit's file (see [`Pin`](crate::snapshot::Pin)), and reads the segments that were live at
//! that commit. So a segment that commit 7 removed may be deleted when no commit before 7 is locked. To
//! find out, the sweep tries an exclusive lock on each, and releases it at once.
//!
//! 1. A reader reads head 6, and pauses.
//! 2. Commit 7 removes a segment; its maintainer finds commit 6 unlocked, and removes the file.
//! 3. The reader locks commit 6 and, before it reads anything, reads the head again: it is 7. It begins
//!    again with 7.
//!
//! Before the first file is deleted, the ledger's folder is synced: if a power failure can undo a commit,
//! the segments that it removed must still be there. And the segments that replaced the removed ones are
//! read: while one of them is damaged, the removed ones stay for `recover`
//! ([`soundness`](super::soundness)).
//!
//! *Files that crashes left.* Temporary files of processes that are gone; segments that no commit names
//! and whose facts the ledger covers; journal files of dead processes whose facts the ledger covers. All
//! of them hold copies of facts that may have been dropped since. A file that a live writer may need
//! stays, and so do a file whose facts may be nowhere else and a file of another program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::soundness::Soundness;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::fact::{Kind, StreamId};
use crate::ledger::{CommitNumber, LossyRepair, Side, State, StreamRange, Total};
use crate::maintain::inventory::{
    self, Entry, ExpectedFiles, Form, Inventory, Standing, What, is_owned, range_of,
};
use crate::segment::footer::Footer;
use crate::segment::{AGAIN, is_imported, unconfirmed};
use crate::takeover;

/// The age at which a temporary file of a commit or of the settings counts as left by a crash: its name
/// does not say who owns it.
const A_DAY: Duration = Duration::from_hours(24);

/// The result of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Removed segments whose files still exist.
    pub(super) waiting: u64,
    pub(super) waiting_bytes: u64,
    /// The files of all segments that commits up to this one removed are deleted.
    pub(super) through: CommitNumber,
}

/// Removes the files that may be removed. A file that cannot be removed is not an error: it waits for the
/// next sweep.
pub(super) fn sweep(context: &Context) -> Swept {
    let mut swept = Swept::default();
    if let Err(error) = removed_segments(context, &mut swept) {
        tracing::warn!(%error, "removed segments stay until the next maintenance");
        let removed = &context.ledger.known().removed;
        swept.waiting = removed.len() as u64;
        swept.waiting_bytes = removed.iter().map(|tombstone| tombstone.bytes).sum();
    }
    if let Err(error) = leftovers(context, &mut swept) {
        tracing::warn!(%error, "files that crashes left stay until the next maintenance");
    }
    swept
}

fn removed_segments(context: &Context, swept: &mut Swept) -> Result<()> {
    let state = context.ledger.refresh()?;
    let last = state.removed.iter().map(|tombstone| tombstone.by).max();
    let Some(last) = last else {
        swept.through = state.head.number;
        return Ok(());
    };
    let ledger = context.ledger.folder();
    context.ledger.sync().map_err(|error| Error::io("sync the ledger", ledger, error))?;
    let pinned = oldest_pinned(ledger, state.root, last);
    let live: BTreeSet<&str> = state.segments.iter().flatten().map(|segment| segment.path.as_str()).collect();
    // If a segment is missing, the segments that it was merged from are the only place of its facts.
    let whole = is_whole(context, &state);
    let lossy_repairs = lossy_repairs(context, &state)?;
    let mut soundness = Soundness::new(context, &state, &lossy_repairs);
    let mut folders = BTreeSet::new();
    let mut stays: Vec<CommitNumber> = Vec::new();
    for tombstone in &state.removed {
        let path = context.root.join(&tombstone.path);
        let free = whole
            && pinned.is_none_or(|pinned| tombstone.by <= pinned)
            && !live.contains(tombstone.path.as_str());
        let may_go =
            is_gone(&path) || (soundness.is_replaced(tombstone.by) && !soundness.is_wanted(tombstone));
        if free && may_go && remove(context, &path, swept) {
            folders.extend(path.parent().map(Path::to_path_buf));
        } else {
            swept.waiting += 1;
            swept.waiting_bytes += tombstone.bytes;
            stays.push(tombstone.by);
        }
    }
    for folder in folders {
        context.disk.sync_dir(&folder).map_err(|error| Error::io("sync the folder", &folder, error))?;
    }
    let first = stays.into_iter().min();
    swept.through = first.map_or(state.head.number, |first| CommitNumber(first.0.saturating_sub(1)));
    Ok(())
}

/// The repairs that lost facts of segments, or kept them in doubt.
fn lossy_repairs(context: &Context, state: &State) -> Result<Vec<LossyRepair>> {
    let has_some = !state.unverified.is_empty() || state.lost.iter().any(|lost| *lost != Total::default());
    if has_some { Ok(context.ledger.lost_facts(state)?.1) } else { Ok(Vec::new()) }
}

/// Whether the file of every live segment exists, with the length that the ledger says.
fn is_whole(context: &Context, state: &State) -> bool {
    state.segments.iter().flatten().all(|segment| {
        let found = std::fs::metadata(context.root.join(&segment.path));
        let whole = found.is_ok_and(|found| found.is_file() && found.len() == segment.bytes);
        if !whole {
            tracing::warn!(segment = %segment.path, "a segment is missing or damaged; the segments that it \
                                                     was merged from are kept for `ostracon recover`");
        }
        whole
    })
}

fn is_gone(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Removes a file. Returns whether it is gone; also if it did not exist before.
fn remove(context: &Context, path: &Path, swept: &mut Swept) -> bool {
    let bytes = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return true,
        Err(_) => 0,
    };
    match context.disk.remove(path) {
        Ok(()) => {
            swept.files += 1;
            swept.bytes += bytes;
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            tracing::warn!(%error, "cannot remove a file that is no longer needed");
            false
        }
    }
}

/// The oldest commit before this one that a snapshot has locked. A commit whose lock cannot be tried
/// counts as locked.
pub(in crate::maintain) fn oldest_pinned(
    ledger: &Path,
    root: CommitNumber,
    end: CommitNumber,
) -> Option<CommitNumber> {
    let is_held = |number: &CommitNumber| {
        // If the commit's own file was missing, its copy was locked.
        let held = Side::BOTH.map(|side| is_locked(&side.path(ledger, *number)));
        match held {
            [Ok(None), Ok(None)] => true,
            [Ok(own), Ok(copy)] => own == Some(true) || copy == Some(true),
            [Err(error), _] | [_, Err(error)] => {
                tracing::warn!(%error, commit = number.0, "cannot find out whether a query reads this \
                                                           commit");
                true
            }
        }
    };
    (root.0..end.0).map(CommitNumber).find(is_held)
}

/// Whether another process, or a snapshot of this one, has a lock on the file; `None` if the file does
/// not exist.
fn is_locked(path: &Path) -> std::io::Result<Option<bool>> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        // Only files are locked.
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    match File::open(path)?.try_lock() {
        Ok(()) => Ok(Some(false)),
        Err(TryLockError::WouldBlock) => Ok(Some(true)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes files that crashes left.
fn leftovers(context: &Context, swept: &mut Swept) -> Result<()> {
    // If a power failure can undo a commit, the journal with its facts must still be there.
    let ledger = context.ledger.folder();
    context.ledger.sync().map_err(|error| Error::io("sync the ledger", ledger, error))?;
    // This order is needed: a file that was listed and is in no later commit is in no commit.
    let entries = inventory::list(&context.root)?;
    let state = context.ledger.refresh()?;
    let sizes: BTreeMap<String, u64> = entries
        .iter()
        .filter(|entry| entry.form == Form::File)
        .map(|entry| (entry.name(), entry.bytes))
        .collect();
    // If facts are missing, files that are not part of the store may be the only place of them.
    let whole = !state.has_losses()
        && state.segments.iter().flatten().all(|segment| sizes.get(&segment.path) == Some(&segment.bytes));
    let mut journals: BTreeSet<StreamId> = BTreeSet::new();
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    let mut soundness = Soundness::new(context, &state, &[]);
    for item in Inventory::of(entries, &ExpectedFiles::of(&state)).items {
        let path = context.root.join(&item.entry.path);
        let goes = match item.what {
            What::Uncommitted { standing: Standing::Covered, kind, .. } if whole => {
                let covered = covered(&path, &state);
                covered.is_some_and(|ranges| soundness.hold(Some(kind), &ranges))
            }
            What::Temporary { stream } => is_left(context, &state, &item.entry, stream)?,
            What::Journal(stream, _) => {
                journals.insert(stream);
                false
            }
            _ => false,
        };
        if goes && remove(context, &path, swept) {
            folders.extend(path.parent().map(Path::to_path_buf));
        }
    }
    for stream in journals.into_iter().filter(|_| whole) {
        let may_go = |covered: StreamRange| soundness.hold(None, &[covered]);
        let (files, bytes) = takeover::retire_covered(context, stream, may_go)?;
        swept.files += files;
        swept.bytes += bytes;
    }
    for folder in folders {
        context.disk.sync_dir(&folder).map_err(|error| Error::io("sync the folder", &folder, error))?;
    }
    Ok(())
}

/// The facts of a segment that no commit names, if it belongs to this store and all its facts are
/// covered. Its name has the range of one stream only.
fn covered(path: &Path, state: &State) -> Option<Vec<StreamRange>> {
    let read = || {
        let file = File::open(path).ok()?;
        let size = file.metadata().ok()?.len();
        Footer::read(&file, size).ok()?.ok()
    };
    let Footer { store, streams, import: part, .. } = read()?;
    // Other facts may have the numbers of an import whose commit is lost. If the footer does not say
    // which part comes before, it is unknown whether the part was imported again.
    let imported_since = || {
        let part = part.as_ref().filter(|part| part.before.is_some());
        part.is_some_and(|part| part.is_imported(&state.imports))
    };
    let imported = part.is_some() || is_imported(path);
    let is_covered = (!imported || unconfirmed(path).exists() || imported_since())
        && store == Some(state.store)
        && !streams.is_empty()
        && streams.iter().all(|range| state.committed(range.stream) >= range.last_seq);
    is_covered.then_some(streams)
}

/// Whether no process needs a temporary file any more.
fn is_left(context: &Context, state: &State, entry: &Entry, stream: Option<StreamId>) -> Result<bool> {
    let parent = entry.path.parent().and_then(Path::to_str).unwrap_or_default();
    let stem = entry.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    // As long as no commit names its segment, the file shows that none ever did.
    let segment = entry.path.with_extension("parquet");
    let is_live = |name: &str| state.segments.iter().flatten().any(|live| live.path == name);
    if is_imported(&segment) && context.root.join(&segment).exists() && !is_live(&inventory::name(&segment)) {
        return Ok(false);
    }
    if !Kind::ALL.iter().any(|kind| kind.folder() == parent) {
        let modified = std::fs::metadata(context.root.join(&entry.path)).and_then(|found| found.modified());
        let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        return Ok(age.is_some_and(|age| age > A_DAY));
    }
    match (stream, range_of(stem)) {
        // A flush continues after the covered facts: the flush of this file is over.
        (Some(stream), Some(range)) if range.last_seq <= state.committed(stream) => Ok(true),
        (Some(stream), Some(_)) => Ok(!is_owned(&context.root, stream)?),
        // It belongs to a compaction: there is no other compaction than this one.
        _ => Ok(stem.starts_with(AGAIN)),
    }
}
