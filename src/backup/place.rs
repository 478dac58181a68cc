//! The place where a backup is made, and how a new one gets to its target.

use std::io;
use std::path::{Path, PathBuf};

use super::refused;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::settings;
use crate::store_folder::{CONSUMERS, FOLDERS, is_foreign};

/// The place where a backup is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// In the target, where something exists already.
    There(&'a Path),
    /// In a folder beside the target, which gets the target's name at the end.
    Beside { target: &'a Path, folder: PathBuf },
    /// In a hidden folder within the target, which is an empty folder. It may be a mounted volume, on a
    /// file system of its own, or a link.
    Within { target: &'a Path, folder: PathBuf },
}

/// A new, unique name.
fn fresh() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl<'a> Place<'a> {
    /// Chooses the place by the state of the target. Files that other programs leave in every folder do
    /// not count.
    pub(super) fn choose(target: &'a Path) -> Result<Self> {
        let attempt = |error| Error::io("list the folder", target, error);
        match std::fs::metadata(target) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if std::fs::symlink_metadata(target).is_ok() {
                    return Err(refused(
                        "the target is a link that leads nowhere; make the folder that it leads to",
                    ));
                }
                let mut name = target.file_name().unwrap_or_default().to_owned();
                name.push(format!(".{}.tmp", fresh()));
                return Ok(Self::Beside { target, folder: target.with_file_name(name) });
            }
            Err(error) => return Err(attempt(error)),
        }
        for entry in std::fs::read_dir(target).map_err(attempt)? {
            let name = entry.map_err(attempt)?.file_name();
            if !name.to_str().is_some_and(is_foreign) {
                return Ok(Self::There(target));
            }
        }
        let folder = target.join(format!(".{}.ostracon-backup.tmp", fresh()));
        Ok(Self::Within { target, folder })
    }

    /// The folder into which files are put.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::There(target) => target,
            Self::Beside { folder, .. } | Self::Within { folder, .. } => folder,
        }
    }

    /// Makes the folder of a new backup. It gets the owner, group and mode of the target's folder if it
    /// is within that folder, and otherwise of the store, which may be private.
    pub(super) fn make_folder(&self, disk: &Disk, store: &Path) -> Result<()> {
        let attempt = |error| Error::io("make the folder", self.folder(), error);
        let after = if let Self::Within { target, .. } = self { target } else { store };
        disk.create_dir_after(self.folder(), after).map_err(attempt)
    }

    /// Removes the unfinished backup. If that fails too, a folder remains whose name says what it is.
    pub(super) fn clear(&self) {
        if let Self::Beside { folder, .. } | Self::Within { folder, .. } = self {
            let _ = std::fs::remove_dir_all(folder);
        }
    }

    /// Publishes a new, complete backup at the target.
    pub(super) fn publish(&self, disk: &Disk) -> Result<()> {
        match self {
            Self::There(_) => Ok(()),
            Self::Beside { target, folder } => {
                let attempt = |error| Error::io("give the backup its name,", target, error);
                disk.rename_dir(folder, target).map_err(attempt)?;
                let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
                disk.sync_dir(parent.unwrap_or(Path::new("."))).map_err(attempt)
            }
            Self::Within { target, folder } => {
                let attempt = |error| Error::io("move the backup into", target, error);
                let mut moved = Vec::new();
                let result = move_into(disk, folder, target, &mut moved).map_err(attempt);
                if result.is_err() {
                    for name in moved.into_iter().rev() {
                        let _ = std::fs::rename(target.join(name), folder.join(name));
                    }
                }
                result
            }
        }
    }
}

/// Moves all parts of a store, the ledger last: without commits it is no store.
fn move_into(disk: &Disk, from: &Path, to: &Path, moved: &mut Vec<&'static str>) -> io::Result<()> {
    let is_ledger = |name: &&str| name.starts_with("ledger");
    let parts = FOLDERS.into_iter().filter(|name| !is_ledger(name)).chain([CONSUMERS]);
    for name in parts.filter(|name| from.join(name).exists()) {
        disk.rename_dir(&from.join(name), &to.join(name))?;
        moved.push(name);
    }
    if from.join(settings::FILE).exists() {
        std::fs::rename(from.join(settings::FILE), to.join(settings::FILE))?;
        moved.push(settings::FILE);
    }
    disk.sync_dir(to)?;
    for name in FOLDERS.into_iter().filter(is_ledger) {
        disk.rename_dir(&from.join(name), &to.join(name))?;
        moved.push(name);
    }
    disk.sync_dir(to)?;
    // It is empty; a folder that remains does no harm.
    let _ = disk.remove_dir(from);
    Ok(())
}
