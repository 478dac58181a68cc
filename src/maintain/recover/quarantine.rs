//! Moves files aside, so that no file is deleted that a user may need.
//!
//! A file gets a second name in the quarantine folder, below a folder as in the store. That name is on
//! the disk before the first one is removed. If the folder is on another file system, the file is copied.
//! If the process is killed in between, a file has both names: the next move finds the second one, and
//! continues.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};

/// The most files with one name that are kept.
const MOST_NAMESAKES: u32 = 1000;

/// The folder for files that are moved aside.
pub(super) struct Quarantine {
    disk: Disk,
    root: PathBuf,
    folder: PathBuf,
}

impl Quarantine {
    /// A quarantine for the store at `root`: this folder, or the store's own.
    pub(super) fn new(disk: &Disk, root: &Path, folder: Option<&Path>) -> Result<Self> {
        let own = root.join("quarantine");
        let folder = folder.map_or_else(|| own.clone(), Path::to_path_buf);
        let absolute = |path: &Path| {
            let found = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
            found.map_err(|error| Error::io("use the folder", path, error))
        };
        let (inside, place) = (absolute(root)?, absolute(&folder)?);
        if place.starts_with(&inside) && !place.starts_with(inside.join("quarantine")) {
            return Err(Error::new(
                ErrorKind::Settings,
                format!(
                    "{} is within the store, where only {} may hold files that are moved aside",
                    folder.display(),
                    own.display()
                ),
            ));
        }
        Ok(Self { disk: disk.clone(), root: root.to_path_buf(), folder })
    }

    /// The folders where files that were moved aside may be, now or by an earlier recovery.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let own = self.root.join("quarantine");
        let other = Some(&self.folder).filter(|folder| !folder.starts_with(&own));
        std::iter::once(own.clone()).chain(other.cloned()).collect()
    }

    /// Gives a file of the store a further name in the folder, and syncs it. For a link, its target is
    /// kept.
    pub(super) fn keep(&self, path: &Path) -> Result<PathBuf> {
        let source = fs::canonicalize(path).map_err(|error| Error::io("keep aside", path, error))?;
        self.keep_as(&source, path)
    }

    /// Gives `source` the name in quarantine that belongs to `path`.
    fn keep_as(&self, source: &Path, path: &Path) -> Result<PathBuf> {
        let target = self.keep_name(source, path)?;
        let parent = target.parent().unwrap_or(&self.folder);
        self.disk.sync_dir(parent).map_err(|error| Error::io("keep a file aside as", &target, error))?;
        Ok(target)
    }

    fn keep_name(&self, source: &Path, path: &Path) -> Result<PathBuf> {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        let wanted = self.folder.join(below);
        let parent = wanted.parent().unwrap_or(&self.folder).to_path_buf();
        self.make_folder(&parent)?;
        let attempt = |error| Error::io("keep a file aside as", &wanted, error);
        let seen = fs::symlink_metadata(source).map_err(attempt)?;
        for namesake in 0..MOST_NAMESAKES {
            let target = match namesake {
                0 => wanted.clone(),
                n => with_number(&wanted, n),
            };
            match self.link(source, &seen, &target) {
                Ok(()) => return Ok(target),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if is_same(source, &seen, &target) {
                        return Ok(target);
                    }
                }
                Err(error) => return Err(attempt(error)),
            }
        }
        let many = format!("{} and {MOST_NAMESAKES} more files of that name exist already", wanted.display());
        Err(Error::new(ErrorKind::Io, many))
    }

    /// Moves a file, or any other entry with this name, out of the store.
    pub(super) fn take(&self, path: &Path) -> Result<PathBuf> {
        let attempt = |error| Error::io("move aside", path, error);
        let seen = fs::symlink_metadata(path).map_err(attempt)?;
        let parent = path.parent().unwrap_or(&self.root);
        let target = if seen.is_dir() {
            let below = path.strip_prefix(&self.root).unwrap_or(path);
            let target = self.folder.join(below);
            self.make_folder(&target)?;
            for entry in fs::read_dir(path).map_err(attempt)? {
                self.take(&entry.map_err(attempt)?.path())?;
            }
            self.disk.remove_dir(path).map_err(attempt)?;
            target
        } else {
            let target = self.keep_as(path, path)?;
            self.disk.remove(path).map_err(attempt)?;
            target
        };
        self.disk.sync_dir(parent).map_err(attempt)?;
        Ok(target)
    }

    /// Moves files of one folder out of the store, with few syncs.
    pub(super) fn take_all(&self, folder: &Path, paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let attempt = |error| Error::io("move files aside from", folder, error);
        let targets = paths.iter().map(|path| self.keep_name(path, path)).collect::<Result<Vec<_>>>()?;
        if let Some(parent) = targets.first().and_then(|target| target.parent()) {
            self.disk.sync_dir(parent).map_err(attempt)?;
            for path in paths {
                self.disk.remove(path).map_err(attempt)?;
            }
            self.disk.sync_dir(folder).map_err(attempt)?;
        }
        Ok(targets)
    }

    /// Makes a folder and its parents, and syncs their names.
    fn make_folder(&self, folder: &Path) -> Result<()> {
        let attempt = |error| Error::io("make the folder", folder, error);
        let mut missing = Vec::new();
        let mut at = Some(folder);
        while let Some(path) = at.filter(|path| !path.as_os_str().is_empty() && !path.is_dir()) {
            missing.push(path);
            at = path.parent();
        }
        // Also folders that exist: the process that made them may not have synced them.
        let own = folder.ancestors().take_while(|path| path.starts_with(&self.folder));
        let known: Vec<_> = own.filter(|path| !missing.contains(path)).collect();
        for path in known.iter().rev().chain(missing.iter().rev()) {
            self.disk.create_dir(path).map_err(attempt)?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            self.disk.sync_dir(parent.unwrap_or(Path::new("."))).map_err(attempt)?;
        }
        Ok(())
    }

    /// Gives a file that was moved aside, or a copy of it, a name in the store again.
    pub(super) fn link_or_copy(&self, path: &Path, target: &Path) -> io::Result<()> {
        self.link(path, &fs::symlink_metadata(path)?, target)
    }

    fn link(&self, path: &Path, seen: &Metadata, target: &Path) -> io::Result<()> {
        match self.disk.publish_link(path, target) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices && seen.is_file() => {
                self.copy(path, target)
            }
            result => result,
        }
    }

    fn copy(&self, path: &Path, target: &Path) -> io::Result<()> {
        if target.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let temp = target.with_file_name(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
        let mut from = File::open(path)?;
        let mut copy = self.disk.create_new(&temp)?;
        let mut piece = vec![0; 1 << 20];
        let copied = loop {
            match from.read(&mut piece) {
                Ok(0) => break copy.sync_data().and_then(|()| self.disk.publish_link(&temp, target)),
                Ok(read) => {
                    if let Err(error) = copy.append(piece.get(..read).unwrap_or_default()) {
                        break Err(error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        // A temporary name that remains does no harm.
        let _ = self.disk.remove(&temp);
        copied
    }
}

/// Turns `name.parquet` into `name.parquet.2`.
fn with_number(path: &Path, n: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", n + 1));
    path.with_file_name(name)
}

/// Whether the target is this very file, or a copy of it.
fn is_same(path: &Path, seen: &Metadata, target: &Path) -> bool {
    let Ok(found) = fs::symlink_metadata(target) else { return false };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if (seen.dev(), seen.ino()) == (found.dev(), found.ino()) {
            return true;
        }
    }
    let digest = |path: &Path| super::path_state::digest(path).ok();
    seen.is_file() && found.is_file() && seen.len() == found.len() && digest(path) == digest(target)
}
