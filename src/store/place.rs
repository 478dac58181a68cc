//! The place of a store: what is at a path, and the folders of a new one.

use std::fs;
use std::path::Path;

use crate::consume;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::ledger::Ledger;
use crate::settings;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Store,
    /// Nothing, an empty folder, or a store whose creation was cut short.
    Nothing,
}

/// The folders of a store.
pub(crate) const FOLDERS: [&str; 6] = ["ledger", "journal", "events", "audits", "dead_letters", "quarantine"];

/// What is at this path, without touching it.
pub(super) fn look(root: &Path) -> Result<Found> {
    let attempt = |error| Error::io("look into", root, error);
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(not_a_store(root, "a store is a folder, and that is none")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(attempt(error)),
    }
    let ledger = root.join("ledger");
    let committed = match fs::read_dir(&ledger) {
        Ok(mut entries) => entries.any(|entry| {
            entry.is_ok_and(|entry| Path::new(&entry.file_name()).extension().is_some_and(|e| e == "json"))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(Error::io("look into", &ledger, error)),
    };
    if committed {
        return Ok(Found::Store);
    }
    for entry in fs::read_dir(root).map_err(attempt)? {
        let name = entry.map_err(attempt)?.file_name();
        let ours = name.to_str().is_some_and(|name| {
            FOLDERS.contains(&name)
                || name == consume::FOLDER
                || name.starts_with(settings::FILE)
                || name.starts_with('.')
        });
        if !ours {
            return Err(not_a_store(
                root,
                &format!("the folder holds other things, such as {}", name.display()),
            ));
        }
    }
    // Facts without a ledger are a store that lost it, not a new one.
    let segments = Kind::ALL.iter().map(|kind| root.join(kind.table()));
    for folder in segments.chain([root.join("journal")]) {
        if fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!("{} has files, and the ledger in {} is gone", folder.display(), ledger.display()),
            ));
        }
    }
    Ok(Found::Nothing)
}

pub(super) fn not_a_store(root: &Path, why: &str) -> Error {
    Error::new(ErrorKind::NotAStore, format!("{} is not an Ostracon store: {why}", root.display()))
}

/// Creates the folders, the settings' file, and last the first commit, which makes it a store.
/// Several processes may do so at once.
pub(super) fn create(disk: &Disk, root: &Path) -> Result<()> {
    let attempt = |path: &Path| {
        let path = path.to_path_buf();
        move |error| Error::io("create", &path, error)
    };
    disk.create_dir(root).map_err(attempt(root))?;
    if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk.sync_dir(parent).map_err(attempt(root))?;
    }
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
