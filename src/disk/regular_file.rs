//! Opens files for reading, but only regular ones.
//!
//! A file of a store may have been replaced by a pipe, whose reader waits until a process writes into it,
//! or by a device, which has no end. Neither is opened.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// `O_NONBLOCK`: opening a pipe does not wait for a writer.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NON_BLOCKING: i32 = 0o4000;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const NON_BLOCKING: i32 = 0x4;

/// The error of a disk that cannot read what it once wrote.
pub(crate) const EIO: i32 = 5;
/// The error of opening a socket.
const ENXIO: i32 = 6;
/// The error of reading a folder.
const EISDIR: i32 = 21;
/// The error of a symbolic link that leads to itself.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ELOOP: i32 = 40;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ELOOP: i32 = 62;

/// Opens a regular file for reading, also through links. Anything else gives
/// [`io::ErrorKind::InvalidData`] without waiting.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let no_file = || io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file");
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, NON_BLOCKING);
    let file = options.open(path).map_err(|error| match error.raw_os_error() {
        Some(ENXIO | EISDIR) => no_file(),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
}

/// Reads a regular file. A file of more than `most` bytes gives [`io::ErrorKind::InvalidData`].
pub(crate) fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let size = file.metadata()?.len();
    if size > most {
        let why = format!("it has {size} bytes, and at most {most} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    read_bytes(&file, size)
}

/// Reads up to this number of bytes of an open file.
pub(crate) fn read_bytes(file: &File, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let capacity = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.try_reserve_exact(capacity).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether an error says that the name exists but cannot be read: the disk has lost it, it is not a
/// regular file, or it is a link to itself.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
        || matches!(error.raw_os_error(), Some(EIO | ENXIO | EISDIR | ELOOP))
}

/// Whether a path is a link that leads to nothing.
pub(crate) fn is_broken_link(path: &Path) -> bool {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let leads_nowhere = |error: io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            || error.raw_os_error() == Some(ELOOP)
    };
    is_link && std::fs::metadata(path).err().is_some_and(leads_nowhere)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "facts").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        assert_eq!(read_regular(&path("link"), 5).unwrap(), b"facts");
        assert_eq!(read_regular(&path("file"), 4).unwrap_err().kind(), io::ErrorKind::InvalidData);

        std::os::unix::fs::symlink("/dev/zero", path("endless")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for name in ["endless", "socket", "pipe", "."] {
            let error = open_regular(&path(name)).unwrap_err();
            assert!(is_unreadable(&error), "{name}: {error}");
        }
        assert_eq!(open_regular(&path("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_told_from_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("/not/mounted", path("link")).unwrap();
        std::os::unix::fs::symlink("loop", path("loop")).unwrap();
        std::os::unix::fs::symlink(".", path("folder")).unwrap();
        assert!(is_broken_link(&path("link")) && is_broken_link(&path("loop")));
        assert!(!is_broken_link(&path("folder")) && !is_broken_link(&path("nothing")));
    }
}
