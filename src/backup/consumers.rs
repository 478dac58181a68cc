//! The states of consumer groups in a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::files::{Files, names};
use crate::consume::{self, StateName};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::StoreId;
use crate::store_folder::CONSUMERS;

/// How often the states are listed again because groups changed meanwhile.
const MOST_ATTEMPTS: usize = 1000;

/// The newest sound state of each group.
pub(super) struct Groups {
    /// The content of their files, by name.
    states: BTreeMap<String, Vec<u8>>,
    /// The files of damaged states.
    left_out: Vec<String>,
}

/// Reads the states of a store's groups.
///
/// A damaged state is left out, and named in the report: it must not prevent a backup of the facts.
pub(super) fn read(from: &Path, store: StoreId) -> Result<Groups> {
    for _ in 0..MOST_ATTEMPTS {
        let (names, left_out) = newest_sound(from, store)?;
        if let Some(states) = read_all(from, names)? {
            return Ok(Groups { states, left_out });
        }
    }
    Err(Error::new(ErrorKind::Contended, "the consumer groups change all the time; try again"))
}

/// Reads these states; `None` if a group has changed since they were listed, or is gone.
fn read_all(from: &Path, names: BTreeSet<String>) -> Result<Option<BTreeMap<String, Vec<u8>>>> {
    let mut states = BTreeMap::new();
    for name in names {
        let path = from.join(CONSUMERS).join(&name);
        match fs::read(&path) {
            Ok(bytes) => drop(states.insert(name, bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, error)),
        }
    }
    Ok(Some(states))
}

/// Writes the states into the backup. Groups that are gone from the store are removed from the backup,
/// too.
pub(super) fn put(files: &mut Files<'_>, groups: &Groups) -> Result<()> {
    files.report.left_out.clone_from(&groups.left_out);
    let to = files.to.join(CONSUMERS);
    if groups.states.is_empty() && !to.exists() {
        return Ok(());
    }
    files.disk.create_dir(&to).map_err(|error| Error::io("make the folder", &to, error))?;
    for (name, bytes) in &groups.states {
        // Not by its name: a group that was created again counts from one again.
        files.replace_with(&to.join(name), bytes)?;
    }
    for old in names(&to)? {
        let path = to.join(&old);
        if !groups.states.contains_key(&old)
            && Path::new(&old).extension().is_some_and(|found| found == "json")
        {
            files.disk.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
    }
    files.sync(&to)
}

/// The names of the files with the newest sound states, and of those that are damaged.
fn newest_sound(from: &Path, store: StoreId) -> Result<(BTreeSet<String>, Vec<String>)> {
    let mut names = BTreeSet::new();
    let mut left_out = Vec::new();
    for states in consume::states(from)? {
        for name in states {
            match consume::check_state(from, Some(store), &name) {
                Err(error) if error.kind() == ErrorKind::Damaged => left_out.push(name.path()),
                // A state that a newer Ostracon wrote is copied unchanged.
                Err(error) if error.kind() != ErrorKind::NewerFormat => return Err(error),
                _ => {
                    names.insert(file_name(&name));
                    break;
                }
            }
        }
    }
    Ok((names, left_out))
}

fn file_name(name: &StateName) -> String {
    let path = name.path();
    path.rsplit('/').next().unwrap_or(&path).to_owned()
}
