//! The file in which `import` and `record` keep refused lines.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter};
use std::path::Path;

use anyhow::Context;

use super::import::Identity;

/// Refuses to keep malformed lines in the input itself: each would be one more to read.
#[cfg(unix)]
pub(super) fn keep_apart(rejects: &Path, input: Option<&Metadata>) -> anyhow::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kept = std::fs::metadata(rejects).ok();
    let both = kept.zip(input);
    // What goes to a terminal, or to /dev/null, does not come back.
    let is_same = both.is_some_and(|(kept, input)| {
        !kept.file_type().is_char_device() && Identity::of(&kept) == Identity::of(input)
    });
    anyhow::ensure!(
        !is_same,
        "{} is the input itself; keep its malformed lines in another file",
        rejects.display()
    );
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn keep_apart(_: &Path, _: Option<&Metadata>) -> anyhow::Result<()> {
    Ok(())
}

/// What standard input is.
#[cfg(unix)]
pub(super) fn stdin_metadata() -> Option<Metadata> {
    use std::os::fd::AsFd;
    let stdin = io::stdin().as_fd().try_clone_to_owned().ok()?;
    File::from(stdin).metadata().ok()
}

#[cfg(not(unix))]
pub(super) const fn stdin_metadata() -> Option<Metadata> {
    None
}

/// What an earlier run has kept aside stays: an import that goes on does not meet those lines again.
pub(super) fn open_rejects(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::options().create(true).append(true).open(path);
    Ok(BufWriter::new(file.with_context(|| format!("cannot keep malformed lines in {}", path.display()))?))
}
