//! The files of a backup: linked or copied as a whole, compared, and never overwritten.
//!
//! A file is first written beside its place and synced, and then gets its name. A wrong file at its
//! place, such as a segment that was cut off, is moved to the backup's `quarantine/` before.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{BackupOptions, BackupReport};
use crate::disk::{Disk, open_regular, read_regular};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Segment;
use crate::segment;
use crate::settings;
use crate::store_folder::FOLDERS;

/// The bytes that are copied at once.
const PIECE: usize = 1 << 20;

/// Puts files of a store into a backup.
pub(super) struct Files<'a> {
    /// The disk that the backup is on.
    pub(super) disk: Disk,
    pub(super) from: &'a Path,
    pub(super) to: PathBuf,
    /// Whether segments are linked if possible.
    links: bool,
    /// Whether the backup is of a commit that is not the newest.
    is_older: bool,
    /// Whether files that exist already are read and compared.
    pub(super) verify: bool,
    /// Segments that are ready beside their places.
    staged: BTreeSet<String>,
    pub(super) report: BackupReport,
}

impl<'a> Files<'a> {
    pub(super) fn new(disk: &Disk, from: &'a Path, to: PathBuf, options: &BackupOptions) -> Self {
        let (links, is_older, verify) = (!options.copy, options.at_commit.is_some(), options.verify);
        let report = BackupReport { verified: verify, ..BackupReport::default() };
        Self { disk: disk.clone(), from, to, links, is_older, verify, staged: BTreeSet::new(), report }
    }

    /// From now on, files are made for the folder that is at the backup's place now: they get its owner,
    /// group and mode, and none is put into another folder.
    pub(super) fn anchor(&mut self) -> Result<()> {
        self.disk = self.disk.anchored(&self.to).map_err(|error| Error::io("open", &self.to, error))?;
        Ok(())
    }

    /// Prepares a segment beside its place, unless it exists already, and compares it with the ledger's
    /// digest.
    pub(super) fn stage(&mut self, segment: &Segment) -> Result<()> {
        let (from, to) = (self.from.join(&segment.path), self.to.join(&segment.path));
        if self.has_segment(&to, segment)? {
            self.report.kept += 1;
            return Ok(());
        }
        if !from.try_exists().map_err(|error| Error::io("access", &from, error))? {
            return Err(if self.is_older {
                let why = "does not exist: a compaction has removed it since that commit; only a backup from \
                           that time may have it";
                Error::new(ErrorKind::Refused, format!("{} {why}", from.display()))
            } else {
                Error::damaged(&from, "the ledger names it, but it is gone; recover the store first")
            });
        }
        let beside = beside(&to);
        self.remove_left(&beside)?;
        self.link_or_copy(&from, &beside)?;
        Self::compare(&beside, segment).inspect_err(|_| drop(self.disk.remove(&beside)))?;
        self.staged.insert(segment.path.clone());
        Ok(())
    }

    /// Whether the backup has this segment: by its size, or, with verification, by its digest.
    fn has_segment(&self, to: &Path, segment: &Segment) -> Result<bool> {
        match fs::metadata(to) {
            Ok(found) if found.len() != segment.bytes => Ok(false),
            // A symbolic link to the store's own file is not a second file.
            Ok(_) if to.is_symlink() && is_same_file(&self.from.join(&segment.path), to) => Ok(false),
            Ok(_) if self.verify => is_sound(to, segment),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("access", to, error)),
        }
    }

    /// Whether the backup has a file of the store; with verification, the bytes must be equal.
    pub(super) fn has(&self, from: &Path, to: &Path) -> Result<bool> {
        if !to.try_exists().map_err(|error| Error::io("access", to, error))? {
            return Ok(false);
        }
        Ok(!self.verify || is_same(from, to)?)
    }

    /// Moves the prepared segments into their places, and syncs their names.
    pub(super) fn place(&mut self) -> Result<()> {
        for path in std::mem::take(&mut self.staged) {
            let to = self.to.join(path);
            self.put_in_place(&beside(&to), &to)?;
        }
        self.sync_folders()
    }

    /// Removes files that a killed backup left.
    fn remove_left(&self, path: &Path) -> Result<()> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
            _ => Ok(()),
        }
    }

    /// Gives a prepared file its final name. Another file with that name is moved aside.
    pub(super) fn put_in_place(&mut self, from: &Path, to: &Path) -> Result<()> {
        if fs::symlink_metadata(to).is_ok() {
            self.set_aside(to)?;
        }
        self.give_name(from, to).map_err(|error| Error::io("put the file at", to, error))
    }

    /// Moves a file of the backup to its quarantine.
    pub(super) fn set_aside(&mut self, path: &Path) -> Result<()> {
        let attempt = |error| Error::io("move the damaged file to quarantine,", path, error);
        let folder = self.to.join("quarantine");
        self.disk.create_dir(&folder).map_err(attempt)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = folder.join(format!("{}-{name}", uuid::Uuid::new_v4().simple()));
        self.give_name(path, &aside).map_err(attempt)?;
        self.disk.sync_dir(&folder).map_err(attempt)?;
        self.report.replaced += 1;
        Ok(())
    }

    /// Links a file if possible: not to another file system, and not everywhere. If a segment is reached
    /// through a symbolic link, the backup gets the file itself: the store and the link may be gone when
    /// the backup is needed.
    fn link_or_copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let is_symlink = from.is_symlink();
        if self.links {
            let file = if is_symlink { fs::canonicalize(from) } else { Ok(from.to_path_buf()) };
            match file.and_then(|file| self.disk.publish_link(&file, to)) {
                Ok(()) => {
                    self.report.linked += 1;
                    return Ok(());
                }
                // The target of a symbolic link may be on another file system than the store.
                Err(error) if is_not_linked(&error) => self.links = is_symlink,
                Err(error) => return Err(Error::io("link the file", to, error)),
            }
        }
        self.copy(from, to)
    }

    /// Gives a whole file its final name, which must be free.
    fn give_name(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self.disk.publish_link(from, to) {
            Ok(()) => {
                // A second name that remains does no harm.
                let _ = self.disk.remove(from);
                Ok(())
            }
            // A file system without links: no other process puts a file of that name here.
            Err(error) if is_not_linked(&error) && !to.exists() => fs::rename(from, to),
            Err(error) => Err(error),
        }
    }

    fn compare(path: &Path, segment: &Segment) -> Result<()> {
        if is_sound(path, segment)? {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Damaged,
            format!(
                "the segment {} of the store is damaged, and is not copied; recover the store first",
                segment.path
            ),
        ))
    }

    /// Copies a file beside its place, syncs it, and then links it into its place.
    pub(super) fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let mut source = open_regular(from).map_err(|error| Error::io("open", from, error))?;
        self.write(to, |piece| source.read(piece))
    }

    /// Writes these bytes as a file in its place.
    pub(super) fn put(&mut self, to: &Path, mut bytes: &[u8]) -> Result<()> {
        self.write(to, |piece| bytes.read(piece))
    }

    /// Writes these bytes as a file that gets its final name later.
    pub(super) fn prepare(&mut self, temp: &Path, mut bytes: &[u8]) -> Result<()> {
        self.remove_left(temp)?;
        let written = self.write_new(temp, |piece| bytes.read(piece));
        self.count(written.map_err(|error| Error::io("write", temp, error))?);
        Ok(())
    }

    fn write(&mut self, to: &Path, read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Result<()> {
        let temp = to.with_file_name(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
        let written = self.write_new(&temp, read).and_then(|bytes| self.give_name(&temp, to).map(|()| bytes));
        if temp.exists() {
            let _ = self.disk.remove(&temp);
        }
        self.count(written.map_err(|error| Error::io("write", to, error))?);
        Ok(())
    }

    fn write_new(
        &self,
        path: &Path,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<u64> {
        let mut file = self.disk.create_new(path)?;
        let mut piece = vec![0; PIECE];
        loop {
            match read(&mut piece)? {
                0 => break,
                bytes => file.append(piece.get(..bytes).unwrap_or_default())?,
            }
        }
        file.sync_data()?;
        Ok(file.len())
    }

    const fn count(&mut self, bytes: u64) {
        self.report.copied += 1;
        self.report.copied_bytes += bytes;
    }

    /// Copies a file of the store's own folder, and replaces an existing one. Does nothing if the store
    /// does not have the file.
    pub(super) fn replace(&mut self, name: &str) -> Result<()> {
        let (from, to) = (self.from.join(name), self.to.join(name));
        let own = match read_regular(&from, settings::MAX_BYTES) {
            Ok(own) => own,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("read", &from, error)),
        };
        self.replace_with(&to, &own)
    }

    /// Writes these bytes as a file, and replaces an existing one.
    pub(super) fn replace_with(&mut self, to: &Path, bytes: &[u8]) -> Result<()> {
        match fs::read(to) {
            Ok(there) if there == bytes => {
                self.report.kept += 1;
                return Ok(());
            }
            Ok(_) => self.disk.remove(to).map_err(|error| Error::io("replace", to, error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("read", to, error)),
        }
        self.put(to, bytes)
    }

    /// Syncs all names.
    pub(super) fn sync_folders(&self) -> Result<()> {
        for folder in FOLDERS {
            self.sync(&self.to.join(folder))?;
        }
        self.sync(&self.to)
    }

    pub(super) fn sync(&self, folder: &Path) -> Result<()> {
        self.disk.sync_dir(folder).map_err(|error| Error::io("sync", folder, error))
    }
}

/// The path of a segment until its commit is there.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("parquet.tmp")
}

/// Whether a file has the bytes that the ledger names.
fn is_sound(path: &Path, segment: &Segment) -> Result<bool> {
    let mut file = open_regular(path).map_err(|error| {
        let is_damage = crate::disk::is_unreadable(&error);
        if is_damage { Error::damaged(path, error) } else { Error::io("open the copy", path, error) }
    })?;
    let (bytes, blake3) =
        segment::digest(&mut file).map_err(|error| Error::io("read the copy", path, error))?;
    Ok(bytes == segment.bytes && blake3 == segment.blake3)
}

fn is_same(one: &Path, other: &Path) -> Result<bool> {
    let read = |path: &Path| fs::read(path).map_err(|error| Error::io("read", path, error));
    Ok(read(one)? == read(other)?)
}

/// Whether two paths lead to one file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(one).is_some_and(|one| real(other) == Some(one))
}

/// The names in a folder; empty if the folder does not exist.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let attempt = |error| Error::io("list the folder", folder, error);
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(attempt(error)),
    };
    let mut names = Vec::new();
    for entry in listed {
        names.extend(entry.map_err(attempt)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Whether a link failed because it is impossible: another file system, a file system without links, or a
/// file with too many links.
fn is_not_linked(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::Unsupported
            | io::ErrorKind::TooManyLinks
            | io::ErrorKind::PermissionDenied
    )
}
