//! The record that a plan keeps for a power failure: which bytes and names were written, and which were
//! synced.
//!
//! The model is the least that POSIX promises. A file has content, a prefix of which is synced. A
//! directory has names as of its last sync, and the changes since then. The two are independent: a file
//! that is synced to its last byte may have no durable name, and a durable name may belong to an empty
//! file.
//!
//! A failed sync is final for the file. Linux reports a failed write-back once and then marks the pages
//! as clean, so the bytes may be lost though the next sync succeeds. So bytes that were unsynced when a
//! sync failed, and all bytes after them, never count as synced again.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::directory_of;

/// One file, independent of its names: as an inode number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId(u64);

impl FileId {
    pub(super) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The record. Paths of directories are relative to `root`, which is the empty path.
pub(super) struct Record {
    root: PathBuf,
    directories: BTreeMap<PathBuf, Directory>,
    files: HashMap<FileId, Content>,
    /// Files that were open when recording began, with the id under which they were found later.
    known_as: HashMap<FileId, FileId>,
    name_changes: u64,
    trouble: Option<String>,
}

#[derive(Default)]
pub(super) struct Directory {
    /// The names as every process sees them now.
    now: BTreeMap<OsString, Entry>,
    /// The names as of the last sync, and the changes since then.
    pub(super) synced: BTreeMap<OsString, Entry>,
    pub(super) since: Vec<Change>,
}

#[derive(Clone, Copy)]
pub(super) enum Entry {
    File(FileId),
    Directory,
}

/// A name that was added or removed.
pub(super) struct Change {
    number: u64,
    pub(super) name: OsString,
    pub(super) entry: Option<Entry>,
}

#[derive(Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// How many of `bytes`, from the first one on, are on the disk in any case.
    pub(super) synced: usize,
    /// A sync failed that should have covered bytes after `synced`.
    doomed: bool,
}

impl Content {
    fn settled(bytes: Vec<u8>) -> Self {
        Self { synced: bytes.len(), bytes, doomed: false }
    }
}

impl Record {
    /// Begins with the tree below `root` as it is, with everything synced.
    pub(super) fn new(root: &Path) -> Self {
        let mut record = Self {
            root: resolve(root),
            directories: BTreeMap::new(),
            files: HashMap::new(),
            known_as: HashMap::new(),
            name_changes: 0,
            trouble: None,
        };
        if let Err(error) = record.take_in(Path::new("")) {
            record.trouble = Some(error.to_string());
        }
        record
    }

    fn take_in(&mut self, directory: &Path) -> io::Result<()> {
        self.directories.entry(directory.to_path_buf()).or_default();
        let here = self.root.join(directory);
        if !here.exists() {
            return Ok(());
        }
        for found in fs::read_dir(here)? {
            let found = found?;
            let kind = found.file_type()?;
            if kind.is_dir() {
                self.settle(directory, found.file_name(), Entry::Directory);
                self.take_in(&directory.join(found.file_name()))?;
            } else if kind.is_file() {
                let id = self.take_in_file(&found.path());
                self.settle(directory, found.file_name(), Entry::File(id));
            }
        }
        Ok(())
    }

    /// Adds a file that was not made through this disk.
    fn take_in_file(&mut self, path: &Path) -> FileId {
        let id = FileId::fresh();
        let bytes = fs::read(path).unwrap_or_else(|error| {
            self.trouble = Some(format!("{}: {error}", path.display()));
            Vec::new()
        });
        self.files.insert(id, Content::settled(bytes));
        id
    }

    // Changes of names.

    pub(super) fn directory_created(&mut self, path: &Path, created: bool) {
        let Some((parent, name)) = self.locate(path) else {
            return;
        };
        if created {
            self.change(&parent, name.clone(), Some(Entry::Directory));
        } else if self.entry(&parent, &name).is_none() {
            self.settle(&parent, name.clone(), Entry::Directory);
        }
        self.directories.entry(parent.join(name)).or_default();
    }

    pub(super) fn file_created(&mut self, path: &Path, id: FileId) {
        let Some((parent, name)) = self.locate(path) else {
            return;
        };
        self.files.insert(id, Content::default());
        self.change(&parent, name, Some(Entry::File(id)));
    }

    pub(super) fn lock_file_opened(&mut self, path: &Path, existed: bool) {
        let Some((parent, name)) = self.locate(path) else {
            return;
        };
        if !existed {
            self.file_created(path, FileId::fresh());
        } else if self.entry(&parent, &name).is_none() {
            let id = self.take_in_file(path);
            self.settle(&parent, name, Entry::File(id));
        }
    }

    pub(super) fn linked(&mut self, from: &Path, to: &Path) {
        let Some((parent, name)) = self.locate(to) else {
            return;
        };
        let known = self.locate(from).and_then(|(parent, name)| self.entry(&parent, &name));
        let entry = known.unwrap_or_else(|| Entry::File(self.take_in_file(to)));
        self.change(&parent, name, Some(entry));
    }

    pub(super) fn removed(&mut self, path: &Path) {
        let Some((parent, name)) = self.locate(path) else {
            return;
        };
        self.change(&parent, name, None);
    }

    /// The number of changes of names so far: a sync of a directory that begins now covers them.
    pub(super) fn name_changes(&self) -> u64 {
        self.name_changes
    }

    /// Notes the end of a sync of the directory `path` that began after the first `before` changes of
    /// names. A failed one changes nothing: unlike a file's content, a directory's changes are in the
    /// file system's own journal, and stay there for the next sync.
    pub(super) fn directory_synced(&mut self, path: &Path, before: u64, done: bool) {
        let path = resolve(path);
        if let Ok(below) = path.strip_prefix(&self.root)
            && done
            && let Some(directory) = self.directories.get_mut(below)
        {
            let covered = directory.since.extract_if(.., |change| change.number < before);
            for Change { name, entry, .. } in covered {
                apply(&mut directory.synced, name, entry);
            }
        }
    }

    // Changes of content.

    pub(super) fn appended(&mut self, id: FileId, path: &Path, bytes: &[u8]) {
        if let Some(content) = self.content_mut(id, path) {
            content.bytes.extend_from_slice(bytes);
        }
    }

    /// The length that a sync of the file covers if it begins now.
    pub(super) fn file_len(&mut self, id: FileId, path: &Path) -> u64 {
        self.content_mut(id, path).map_or(0, |content| content.bytes.len() as u64)
    }

    /// Notes the end of a sync of the file that began when it was `len` bytes long.
    pub(super) fn file_synced(&mut self, id: FileId, path: &Path, len: u64, done: bool) {
        if let Some(content) = self.content_mut(id, path) {
            let len = len as usize;
            if !done {
                content.doomed |= content.synced < len;
            } else if !content.doomed {
                content.synced = content.synced.max(len);
            }
        }
    }

    // Reading the record to make a tree.

    /// The path relative to the record's root, if `path` is the root or below it.
    pub(super) fn relative(&self, path: &Path) -> io::Result<PathBuf> {
        if let Some(trouble) = &self.trouble {
            return Err(io::Error::other(format!("the record is incomplete: {trouble}")));
        }
        let path = resolve(path);
        match path.strip_prefix(&self.root) {
            Ok(below) => Ok(below.to_path_buf()),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not below {}, which was recorded", path.display(), self.root.display()),
            )),
        }
    }

    pub(super) fn directory(&self, path: &Path) -> Option<&Directory> {
        self.directories.get(path)
    }

    pub(super) fn content(&self, id: FileId) -> Option<&Content> {
        self.files.get(&id)
    }

    // Bookkeeping.

    /// The directory and the name of `path`, if that is below the root.
    fn locate(&self, path: &Path) -> Option<(PathBuf, OsString)> {
        let parent = resolve(directory_of(path));
        let parent = parent.strip_prefix(&self.root).ok()?;
        Some((parent.to_path_buf(), path.file_name()?.to_owned()))
    }

    fn entry(&self, parent: &Path, name: &OsString) -> Option<Entry> {
        self.directories.get(parent)?.now.get(name).copied()
    }

    fn change(&mut self, parent: &Path, name: OsString, entry: Option<Entry>) {
        let number = self.name_changes;
        self.name_changes += 1;
        let directory = self.directory_mut(parent);
        apply(&mut directory.now, name.clone(), entry);
        directory.since.push(Change { number, name, entry });
    }

    /// Adds a name that existed before the record.
    fn settle(&mut self, parent: &Path, name: OsString, entry: Entry) {
        let directory = self.directory_mut(parent);
        directory.now.insert(name.clone(), entry);
        directory.synced.insert(name, entry);
    }

    /// The directory at `path`. A directory that was not made through this disk counts as synced, with
    /// all above it.
    fn directory_mut(&mut self, path: &Path) -> &mut Directory {
        if !self.directories.contains_key(path)
            && let Some(parent) = path.parent()
            && let Some(name) = path.file_name()
        {
            self.settle(parent, name.to_owned(), Entry::Directory);
        }
        self.directories.entry(path.to_path_buf()).or_default()
    }

    /// The content of the file `id`, which was created at `path`.
    fn content_mut(&mut self, id: FileId, path: &Path) -> Option<&mut Content> {
        if !self.files.contains_key(&id) && !self.known_as.contains_key(&id) {
            let (parent, name) = self.locate(path)?;
            if let Entry::File(found) = self.entry(&parent, &name)? {
                self.known_as.insert(id, found);
            }
        }
        let id = self.known_as.get(&id).copied().unwrap_or(id);
        self.files.get_mut(&id)
    }
}

/// Gives `name` to `entry`, or removes it. Giving a name that is taken replaces its old entry: the
/// removal in between was lost. Removing a name that does not exist does nothing.
pub(super) fn apply(names: &mut BTreeMap<OsString, Entry>, name: OsString, entry: Option<Entry>) {
    match entry {
        Some(entry) => drop(names.insert(name, entry)),
        None => drop(names.remove(&name)),
    }
}

/// Makes `path` absolute and without symbolic links as far as it exists, so that two spellings of one
/// path are equal.
fn resolve(path: &Path) -> PathBuf {
    if let Ok(found) = path.canonicalize() {
        return found;
    }
    let Ok(path) = std::path::absolute(path) else {
        return path.to_path_buf();
    };
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolve(parent).join(name),
        _ => path,
    }
}
