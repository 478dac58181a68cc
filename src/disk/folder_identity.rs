//! The folder that a disk's files belong in, recognised by its identity and not by its path.
//!
//! A store is reached by a path, and the path may come to name another folder: a user renames the store
//! and makes a new one in its place, a volume is unmounted, a link gets another target. A file that was
//! begun before is still in the old folder. The next file would be put into the other store, where it
//! does harm and is not looked for. So the folder is held open, which keeps the system from giving its
//! inode number to another folder. Before each change of a name, the folder at the path is compared with
//! the open one by device and inode.
//!
//! The anchor is `ledger/` in the store's folder. So one check also detects a store that was emptied and
//! made anew in the same folder.
//!
//! # Remaining races
//!
//! Between the check and the change of a name there is a moment that the standard library cannot close. A
//! commit or a segment is linked from a temporary name that exists only in the right folder, so in the
//! wrong folder the link fails. A file that is created is checked once more, and removed if the folder
//! was exchanged in between.

use std::error::Error;
use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// A folder that is held open, and the path that leads to it.
#[derive(Debug)]
pub(super) struct Anchor {
    root: PathBuf,
    watched: PathBuf,
    id: FolderId,
    open: File,
    /// Held open, so that no other folder gets its inode number.
    _ledger: Option<File>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FolderId {
    device: u64,
    inode: u64,
}

impl FolderId {
    #[cfg(unix)]
    fn of(found: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: found.dev(), inode: found.ino() }
    }

    /// Where folders have no inode numbers, any folder at the path counts as the right one.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}

impl Anchor {
    /// Holds the folder of a store.
    pub(super) fn hold(root: &Path) -> io::Result<Self> {
        let open = File::open(root)?;
        let watched = root.join("ledger");
        let ledger = match File::open(&watched) {
            Ok(ledger) => Some(ledger),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let id = FolderId::of(&ledger.as_ref().unwrap_or(&open).metadata()?);
        let watched = if ledger.is_some() { watched } else { root.to_path_buf() };
        Ok(Self { root: root.to_path_buf(), watched, id, open, _ledger: ledger })
    }

    /// Whether a path is within the folder.
    pub(super) fn holds(&self, path: &Path) -> bool {
        path != self.root && path.starts_with(&self.root)
    }

    /// Fails with [`Moved`] if the path leads to another folder now, or to no folder.
    pub(super) fn check(&self) -> io::Result<()> {
        match fs::metadata(&self.watched) {
            Ok(found) if FolderId::of(&found) == self.id => Ok(()),
            Ok(_) => Err(self.moved(true)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(self.moved(false))
            }
            Err(error) => Err(error),
        }
    }

    #[cold]
    fn moved(&self, is_replaced: bool) -> io::Error {
        io::Error::other(Moved { path: self.root.clone(), is_replaced, now: self.whereabouts() })
    }

    /// The path that the open folder has now, if the system can say it.
    fn whereabouts(&self) -> Option<PathBuf> {
        #[cfg(unix)]
        let link = std::os::fd::AsRawFd::as_raw_fd(&self.open);
        #[cfg(not(unix))]
        let link = {
            let _ = &self.open;
            0
        };
        let now = fs::read_link(format!("/proc/self/fd/{link}")).ok()?;
        (now != self.root && now.is_dir()).then_some(now)
    }
}

/// The reason why an operation was not attempted: the store's path no longer leads to the folder that was
/// opened.
#[derive(Debug)]
pub(super) struct Moved {
    path: PathBuf,
    is_replaced: bool,
    now: Option<PathBuf>,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if self.is_replaced {
            write!(f, "another folder is at {path} since the store was opened there")?;
        } else {
            write!(f, "the store at {path} is gone since it was opened")?;
        }
        f.write_str(": it was renamed, replaced, removed or unmounted")?;
        if let Some(now) = &self.now {
            write!(f, " (it is now {})", now.display())?;
        }
        f.write_str(
            "; acknowledged facts are in the folder that was opened, and nothing was written into another \
             folder: open the store where it is now",
        )
    }
}

impl Error for Moved {}
