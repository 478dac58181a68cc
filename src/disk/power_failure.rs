//! The power failure: makes a tree as the disk might hold it, from the record of a plan.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::operation_record::{Content, Directory, Entry, FileId, Record, apply};
use super::random::SplitMix64;

/// The bytes that a disk writes at once: the unit in which unsynced content survives or is lost.
const SECTOR: usize = 512;

/// The state that a power failure leaves. Synced content and names are in all of the states; they differ
/// in the unsynced ones.
///
/// If a name is lost, everything below it is lost, too. If a removal is lost, the name comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PowerFailure {
    /// Nothing unsynced has survived, neither content nor names.
    DropUnsynced,
    /// All changes of names have survived, but no unsynced content: files that are empty, or too
    /// short.
    KeepNames,
    /// All content has survived, but no unsynced change of a name.
    KeepAllData,
    /// Each change of a name has survived or not. The unsynced part of each file is cut anywhere, and of
    /// each 512 bytes of it the disk has the content, zeros or, rarely, garbage. The seed decides; equal
    /// seeds give equal results.
    Random(u64),
}

impl PowerFailure {
    /// Makes the tree of `root` after the power failure in `into`.
    pub(super) fn apply(self, record: &Record, root: &Path, into: &Path) -> io::Result<()> {
        let root = record.relative(root)?;
        if fs::read_dir(into)?.next().is_some() {
            let full = format!("{} is not empty", into.display());
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, full));
        }
        let seed = if let Self::Random(seed) = self { seed } else { 0 };
        let random = SplitMix64::new(seed);
        Aftermath { record, choice: self, random, laid_out: HashMap::new() }.lay_out(&root, into)
    }
}

struct Aftermath<'a> {
    record: &'a Record,
    choice: PowerFailure,
    random: SplitMix64,
    /// Where a file was made already, so that its further names show the same content.
    laid_out: HashMap<FileId, PathBuf>,
}

impl Aftermath<'_> {
    fn lay_out(&mut self, directory: &Path, into: &Path) -> io::Result<()> {
        let Some(names) = self.record.directory(directory).map(|found| self.names(found)) else {
            return Ok(());
        };
        for (name, entry) in names {
            let path = into.join(&name);
            match entry {
                Entry::Directory => {
                    fs::create_dir(&path)?;
                    self.lay_out(&directory.join(&name), &path)?;
                }
                Entry::File(id) => self.lay_out_file(id, path)?,
            }
        }
        Ok(())
    }

    fn lay_out_file(&mut self, id: FileId, path: PathBuf) -> io::Result<()> {
        if let Some(first) = self.laid_out.get(&id) {
            return fs::hard_link(first, path);
        }
        if let Some(content) = self.record.content(id) {
            fs::write(&path, self.bytes(content))?;
        }
        self.laid_out.insert(id, path);
        Ok(())
    }

    fn names(&mut self, directory: &Directory) -> BTreeMap<OsString, Entry> {
        let mut names = directory.synced.clone();
        for change in &directory.since {
            let survives = match self.choice {
                PowerFailure::DropUnsynced | PowerFailure::KeepAllData => false,
                PowerFailure::KeepNames => true,
                PowerFailure::Random(_) => self.random.coin(),
            };
            if survives {
                apply(&mut names, change.name.clone(), change.entry);
            }
        }
        names
    }

    fn bytes(&mut self, content: &Content) -> Vec<u8> {
        let mut bytes = content.bytes.clone();
        match self.choice {
            PowerFailure::DropUnsynced | PowerFailure::KeepNames => bytes.truncate(content.synced),
            PowerFailure::KeepAllData => {}
            PowerFailure::Random(_) => self.tear(&mut bytes, content.synced),
        }
        bytes
    }

    /// Cuts `bytes` somewhere after the first `synced` bytes, and damages the rest after them.
    fn tear(&mut self, bytes: &mut Vec<u8>, synced: usize) {
        // Both ends get a larger share, because errors in code are most likely there.
        let unsynced = bytes.len() - synced;
        let len = match self.random.below(4) {
            0 => synced,
            1 => bytes.len(),
            _ => synced + self.random.below(unsynced + 1),
        };
        bytes.truncate(len);
        // Some files are only cut: damage everywhere would hide the effect of a clean cut.
        if self.random.below(4) == 0 {
            return;
        }
        let mut start = synced;
        while start < len {
            let end = len.min((start / SECTOR + 1) * SECTOR);
            let sector = bytes.get_mut(start..end).unwrap_or_default();
            match self.random.below(16) {
                0 => sector.fill_with(|| self.random.next() as u8),
                1..6 => sector.fill(0),
                _ => {}
            }
            start = end;
        }
    }
}
