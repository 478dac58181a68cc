//! Where answers go instead of the screen: into a file, one behind the other, each of them whole.

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
    /// A file that is empty now, whatever was in it.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// An error of writing there.
    pub(super) fn told<T>(&self, done: anyhow::Result<T>) -> anyhow::Result<T> {
        done.with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// How far it is written.
    pub(super) fn end(&mut self) -> io::Result<u64> {
        // A terminal or a pipe has no such place.
        if self.file.metadata()?.is_file() { self.file.stream_position() } else { Ok(0) }
    }

    /// Takes back what was written behind that: an answer that failed or was stopped is none.
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
