//! Files that appear when they are complete, and not before.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;

/// The files that are being written now; they are removed if the process ends.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes unfinished files, because the process ends now.
pub(super) fn abandon() {
    for temporary in unfinished().iter() {
        // The process ends: the error cannot be reported any more.
        let _ = std::fs::remove_file(temporary);
    }
}

/// A file while it is written. It gets the requested name only when it is complete.
pub(super) struct Partial<'a> {
    file: File,
    temporary: PathBuf,
    path: &'a Path,
    is_complete: bool,
}

impl<'a> Partial<'a> {
    pub(super) fn create(path: &'a Path) -> anyhow::Result<Self> {
        let mut temporary = path.to_path_buf().into_os_string();
        temporary.push(format!(".{}.partial", uuid::Uuid::new_v4().simple()));
        let temporary = PathBuf::from(temporary);
        unfinished().insert(temporary.clone());
        let created = File::create_new(&temporary);
        let file = created.with_context(|| format!("cannot write {}", path.display())).inspect_err(|_| {
            unfinished().remove(&temporary);
        })?;
        Ok(Self { file, temporary, path, is_complete: false })
    }

    /// The file that takes the content.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives the file its name if all of it was written. A file with a name but without content would be
    /// worse than no file, so it is synced first.
    pub(super) fn end(mut self, written: anyhow::Result<()>) -> anyhow::Result<()> {
        // An error of the library is about the query, and not about the file.
        let written = match written {
            Err(error) if error.is::<ostracon::Error>() => return Err(error),
            written => written,
        };
        written
            .and_then(|()| Ok(self.file.sync_all()?))
            .and_then(|()| Ok(std::fs::rename(&self.temporary, self.path)?))
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.is_complete = true;
        Ok(())
    }
}

impl Drop for Partial<'_> {
    /// Removes the unfinished file, also if the writing was stopped.
    fn drop(&mut self) {
        if !self.is_complete {
            let _ = std::fs::remove_file(&self.temporary);
        }
        unfinished().remove(&self.temporary);
    }
}

/// Writes a file whose content is known.
pub(super) fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut partial = Partial::create(path)?;
    let written = partial.file.write_all(bytes).map_err(anyhow::Error::from);
    partial.end(written)
}
