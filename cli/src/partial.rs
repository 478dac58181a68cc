//! Files that are there when they are whole, and not before.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;

/// What is being written, for whoever ends the process while it is.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes away what is not finished: the process ends now.
pub(super) fn abandon() {
    for beside in unfinished().iter() {
        // There is nobody left to tell.
        let _ = std::fs::remove_file(beside);
    }
}

/// A file while it is written: an unfinished one never stands under the name that was asked for.
pub(super) struct Partial<'a> {
    file: File,
    beside: PathBuf,
    path: &'a Path,
    named: bool,
}

impl<'a> Partial<'a> {
    pub(super) fn create(path: &'a Path) -> anyhow::Result<Self> {
        let mut beside = path.to_path_buf().into_os_string();
        beside.push(format!(".{}.partial", uuid::Uuid::new_v4().simple()));
        let beside = PathBuf::from(beside);
        unfinished().insert(beside.clone());
        let created = File::create_new(&beside);
        let file = created.with_context(|| format!("cannot write {}", path.display())).inspect_err(|_| {
            unfinished().remove(&beside);
        })?;
        Ok(Self { file, beside, path, named: false })
    }

    /// Where the content goes.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives the file its name, if all of it was written. A name on a disk that lost its content would be
    /// worse than none.
    pub(super) fn end(mut self, written: anyhow::Result<()>) -> anyhow::Result<()> {
        written
            .and_then(|()| Ok(self.file.sync_all()?))
            .and_then(|()| Ok(std::fs::rename(&self.beside, self.path)?))
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Partial<'_> {
    /// Takes it away, also where somebody stopped the writing.
    fn drop(&mut self) {
        if !self.named {
            let _ = std::fs::remove_file(&self.beside);
        }
        unfinished().remove(&self.beside);
    }
}

/// Writes a file that is complete already.
pub(super) fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut partial = Partial::create(path)?;
    let written = partial.file.write_all(bytes).map_err(anyhow::Error::from);
    partial.end(written)
}
