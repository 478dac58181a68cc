//! The file that answers go to instead of the screen. Each answer is written in full, one after another.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The file of `\o`.
pub(super) struct Out {
    path: PathBuf,
    file: File,
}

impl Out {
    /// Creates the file, or empties it.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Adds the path to an error of writing.
    pub(super) fn with_path<T>(&self, done: anyhow::Result<T>) -> anyhow::Result<T> {
        match done {
            // An error of the library is about the statement, and not about the file.
            Err(error) if error.is::<ostracon::Error>() => Err(error),
            done => done.with_context(|| format!("cannot write {}", self.path.display())),
        }
    }

    /// The position up to which the file is written.
    pub(super) fn end(&mut self) -> io::Result<u64> {
        // A terminal or a pipe has no position.
        if self.file.metadata()?.is_file() { self.file.stream_position() } else { Ok(0) }
    }

    /// Removes the text after this position: an answer that failed or was stopped must not stay.
    pub(super) fn take_back(&mut self, end: u64) -> io::Result<()> {
        if self.file.metadata()?.is_file() {
            self.file.set_len(end)?;
            self.file.seek(SeekFrom::Start(end))?;
        }
        Ok(())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
