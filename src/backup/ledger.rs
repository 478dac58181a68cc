//! The ledger of a backup: all commits up to one; a reader sees all of them or none.
//!
//! Commits are added to a backup that may be read meanwhile. Segments that an older commit names may have
//! been compacted away, and exist nowhere. So a reader must not find a commit between the old head of the
//! backup and the new one:
//!
//! 1. All missing commits are prepared beside their places.
//! 2. The state at the new head is written as a checkpoint. It counts once its commit is there.
//! 3. The new head gets its name. From here on a reader begins with that checkpoint, and not with the
//!    commits before.
//! 4. The other commits get their names, the newest first: so a reader that follows the chain finds no
//!    next commit until all are there.
//! 5. The checkpoint is removed, unless every store has one at this commit.
//!
//! If the process is killed between 3 and 5, commits are missing, but all facts are there; the next run
//! adds the commits.

use std::path::{Path, PathBuf};

use super::files::{Files, names};
use crate::error::{Error, Result};
use crate::ledger::{
    CommitNumber, State, checkpoint_bytes, checkpoint_path, commit_path, copy_folder, is_checkpoint_due,
    list_commits, read_commit_bytes,
};

/// Adds all commits up to this state's.
pub(super) fn put(files: &mut Files<'_>, state: &State) -> Result<()> {
    let (from, to) = (files.from.join("ledger"), files.to.join("ledger"));
    let missing = stage(files, &from, &to, state.head.number)?;
    publish(files, &to, state, &missing)?;
    put_copies(files, &to, state.head.number)?;
    put_checkpoints(files, &from, &to, state.head.number)
}

/// A prepared commit file, and the number of the commit.
type Staged = (CommitNumber, PathBuf);

/// Prepares the commits that the backup lacks.
fn stage(files: &mut Files<'_>, from: &Path, to: &Path, head: CommitNumber) -> Result<Vec<Staged>> {
    let mut numbers = list_commits(from)?;
    numbers.extend(list_commits(&copy_folder(from))?);
    let mut staged = Vec::new();
    for number in numbers.into_iter().filter(|number| *number <= head) {
        // Not linked: a lock on a commit's file pins the commit, and each store has readers of its own.
        if has_commit(files, from, to, number)? {
            files.report.kept += 1;
            continue;
        }
        let temp = to.join(format!("backup-{number}.tmp"));
        let bytes = read_commit_bytes(from, number)?
            .ok_or_else(|| Error::damaged(from, format_args!("commit {number} is gone")))?;
        files.prepare(&temp, &bytes)?;
        staged.push((number, temp));
    }
    Ok(staged)
}

/// Whether a folder has a commit; with verification, it must be equal to the store's.
fn has_commit(files: &Files<'_>, from: &Path, folder: &Path, number: CommitNumber) -> Result<bool> {
    let path = commit_path(folder, number);
    if !path.try_exists().map_err(|error| Error::io("access", &path, error))? {
        return Ok(false);
    }
    let read = || std::fs::read(&path).map_err(|error| Error::io("read", &path, error));
    Ok(!files.verify || Some(read()?) == read_commit_bytes(from, number)?)
}

fn publish(files: &mut Files<'_>, to: &Path, state: &State, missing: &[Staged]) -> Result<()> {
    let head = state.head.number;
    let has_hole = missing.iter().any(|(number, _)| *number < head);
    let checkpoint = checkpoint_path(to, head);
    if has_hole && !checkpoint.exists() {
        files.put(&checkpoint, &checkpoint_bytes(state)?)?;
        files.sync(to)?;
    }
    for (number, temp) in missing.iter().rev() {
        files.put_in_place(temp, &commit_path(to, *number))?;
        if *number == head {
            files.sync(to)?;
        }
    }
    files.sync(to)
}

/// Writes the second file of each commit, as in every store.
fn put_copies(files: &mut Files<'_>, ledger: &Path, head: CommitNumber) -> Result<()> {
    let to = copy_folder(ledger);
    files.disk.create_dir(&to).map_err(|error| Error::io("make the folder", &to, error))?;
    for number in numbers(ledger, "json", head)? {
        if has_commit(files, ledger, &to, number)? {
            files.report.kept += 1;
        } else if let Some(bytes) = read_commit_bytes(ledger, number)? {
            let temp = to.join(format!("backup-{number}.tmp"));
            files.prepare(&temp, &bytes)?;
            files.put_in_place(&temp, &commit_path(&to, number))?;
        }
    }
    files.sync(&to)
}

fn put_checkpoints(files: &mut Files<'_>, from: &Path, to: &Path, head: CommitNumber) -> Result<()> {
    for number in numbers(from, "checkpoint", head)?.into_iter().filter(|number| is_checkpoint_due(*number)) {
        let (from, to) = (checkpoint_path(from, number), checkpoint_path(to, number));
        match files.has(&from, &to) {
            Ok(true) => {
                files.report.kept += 1;
                continue;
            }
            Ok(false) if to.exists() => files.set_aside(&to)?,
            // Old checkpoints are removed when newer ones are written.
            Err(_) if !from.exists() => continue,
            has => drop(has?),
        }
        match files.copy(&from, &to) {
            Err(_) if !from.exists() => {}
            result => result?,
        }
    }
    remove_bridges(files, to, head)
}

/// Removes the checkpoints that replaced commits which were not there yet. They stay if the store itself
/// does not have all commits, because it is a backup that was cut short.
fn remove_bridges(files: &Files<'_>, to: &Path, head: CommitNumber) -> Result<()> {
    let commits = list_commits(to)?;
    let expected = commits.first().map_or(0, |first| head.0.saturating_sub(first.0).saturating_add(1));
    if commits.len() as u64 != expected {
        return Ok(());
    }
    for number in numbers(to, "checkpoint", head)?.into_iter().filter(|number| !is_checkpoint_due(*number)) {
        let path = checkpoint_path(to, number);
        files.disk.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
    }
    files.sync(to)
}

/// The numbers of files with this extension, up to one.
fn numbers(folder: &Path, extension: &str, head: CommitNumber) -> Result<Vec<CommitNumber>> {
    let number = |name: String| {
        let (stem, found) = name.split_once('.')?;
        let number: u64 = stem.parse().ok().filter(|_| stem.len() == 20 && found == extension)?;
        (number <= head.0).then_some(CommitNumber(number))
    };
    let mut numbers: Vec<_> = names(folder)?.into_iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
