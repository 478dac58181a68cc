//! The file to which `import` and `record` write refused lines.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter};
use std::path::Path;

use anyhow::Context;

use super::import::Identity;

/// Refuses a rejects file that is also the input: each refused line would become one more line of input.
#[cfg(unix)]
pub(super) fn ensure_not_input(rejects: &Path, input: Option<&Metadata>) -> anyhow::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let target = std::fs::metadata(rejects).ok();
    let files = target.zip(input);
    // A terminal or /dev/null does not return what is written to it.
    let is_same = files.is_some_and(|(target, input)| {
        !target.file_type().is_char_device() && Identity::of(&target) == Identity::of(input)
    });
    anyhow::ensure!(
        !is_same,
        "cannot write refused lines to {}: it is the input itself; name another file with --rejects",
        rejects.display()
    );
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn ensure_not_input(_: &Path, _: Option<&Metadata>) -> anyhow::Result<()> {
    Ok(())
}

/// The metadata of standard input.
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

/// Opens the rejects file for appending. The lines of an earlier run stay: an import that continues does not
/// read those lines again.
pub(super) fn open_rejects(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::options().create(true).append(true).open(path);
    Ok(BufWriter::new(file.with_context(|| format!("cannot open {} for refused lines", path.display()))?))
}
