//! The place of a store: the state of its path, and the folders of a new store.

mod foreign;

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::ledger::{COPY_FOLDER, Ledger, copy_folder};
use crate::settings;
pub(crate) use foreign::is_foreign;

/// Set in the process of the command line: it never changes its working directory, and shows paths as the
/// user gave them.
static IS_COMMAND: AtomicBool = AtomicBool::new(false);

/// Makes errors and reports show the paths of stores as they were given, also relative ones. For a
/// process that never changes its working directory, such as a command. It cannot be undone.
///
/// Otherwise a path is made absolute when it is given, so that it stays the same place.
pub fn keep_paths_as_given() {
    IS_COMMAND.store(true, Ordering::Relaxed);
}

/// Makes a path absolute: a relative path would name another place once the process changes its working
/// directory.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    if IS_COMMAND.load(Ordering::Relaxed) {
        return Ok(path.to_path_buf());
    }
    std::path::absolute(path).map_err(|error| Error::io("get the absolute path of", path, error))
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceState {
    Store,
    /// Nothing, an empty folder, or a store whose creation was cut short.
    Nothing,
}

/// The folders of a store.
pub(crate) const FOLDERS: [&str; 7] = [
    "ledger",
    COPY_FOLDER,
    "journal",
    Kind::Event.folder(),
    Kind::Audit.folder(),
    Kind::DeadLetter.folder(),
    "quarantine",
];

/// The folder of consumer groups, which is made with the first group.
pub(crate) const CONSUMERS: &str = "consumers";

/// Looks at the state of this path, without changing anything.
pub(crate) fn look(root: &Path) -> Result<PlaceState> {
    let attempt = |error| Error::io("list the folder", root, error);
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(not_a_store(root, "a store is a folder, and this is no folder")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(PlaceState::Nothing),
        Err(error) => return Err(attempt(error)),
    }
    let ledger = root.join("ledger");
    if has_commits(&ledger)? || has_commits(&copy_folder(&ledger))? {
        return Ok(PlaceState::Store);
    }
    for entry in fs::read_dir(root).map_err(attempt)? {
        let name = entry.map_err(attempt)?.file_name();
        let ours = name.to_str().is_some_and(|name| {
            FOLDERS.contains(&name)
                || name == CONSUMERS
                || name.starts_with(settings::FILE)
                || is_foreign(name)
        });
        if !ours {
            return Err(not_a_store(
                root,
                &format!("the folder has other files, such as {}", name.display()),
            ));
        }
    }
    // A folder with facts but no ledger is a store that lost its ledger, not a new one.
    let segments = Kind::ALL.iter().map(|kind| root.join(kind.folder()));
    for folder in segments.chain([root.join("journal")]) {
        if has_files(&folder)? {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!("{} has files, but the ledger in {} is gone", folder.display(), ledger.display()),
            ));
        }
    }
    Ok(PlaceState::Nothing)
}

/// Whether a folder has any entry, except those that other programs leave everywhere. A folder that may
/// not be read is an error: a store may be there.
pub(crate) fn has_files(folder: &Path) -> Result<bool> {
    has_any(folder, |name| !name.to_str().is_some_and(is_foreign))
}

fn has_commits(folder: &Path) -> Result<bool> {
    has_any(folder, |name| Path::new(name).extension().is_some_and(|extension| extension == "json"))
}

fn has_any(folder: &Path, is_one: impl Fn(&OsStr) -> bool) -> Result<bool> {
    let attempt = |error| Error::io("list the folder", folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), IoErrorKind::NotFound | IoErrorKind::NotADirectory) => {
            return Ok(false);
        }
        Err(error) => return Err(attempt(error)),
    };
    for entry in entries {
        if is_one(&entry.map_err(attempt)?.file_name()) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn not_a_store(root: &Path, why: &str) -> Error {
    Error::new(ErrorKind::NotAStore, format!("{} is not an Ostracon store: {why}", root.display()))
}

/// Makes the missing folders of a store: older programs did not make all of them.
pub(crate) fn make_missing_folders(disk: &Disk, root: &Path) -> Result<()> {
    let missing: Vec<_> =
        FOLDERS.map(|name| root.join(name)).into_iter().filter(|path| !path.exists()).collect();
    for folder in &missing {
        disk.create_dir(folder).map_err(|error| Error::io("create", folder, error))?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    disk.sync_dir(root).map_err(|error| Error::io("create folders in", root, error))
}

/// Creates the folders, the settings file, and last the first commit, which makes it a store. Several
/// processes may do this at once.
pub(crate) fn create(disk: &Disk, root: &Path) -> Result<()> {
    let attempt = |path: &Path| {
        let path = path.to_path_buf();
        move |error| Error::io("create", &path, error)
    };
    disk.create_dir(root).map_err(attempt(root))?;
    if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk.sync_dir(parent).map_err(attempt(root))?;
    }
    let disk = &disk.anchored(root).map_err(attempt(root))?;
    for folder in FOLDERS {
        let folder = root.join(folder);
        disk.create_dir(&folder).map_err(attempt(&folder))?;
    }
    let path = root.join(settings::FILE);
    if !path.exists() {
        let temp = root.join(format!("{}.{}.tmp", settings::FILE, uuid::Uuid::new_v4().simple()));
        match disk.publish(&temp, &path, settings::TEMPLATE.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(attempt(&path)(error));
            }
            _ => {}
        }
    }
    disk.sync_dir(root).map_err(attempt(root))?;
    Ledger::create(disk, root)
}
