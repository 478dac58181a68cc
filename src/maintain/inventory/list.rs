//! Lists all entries, without opening anything.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::is_broken_link;
use crate::error::{Error, Result};
use crate::fact::Kind;
use crate::journal::claim::{JournalName, stream_of};
use crate::ledger::COPY_FOLDER;
use crate::store_folder::CONSUMERS;

/// The form of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    File,
    Folder,
    /// Another form; the text names it.
    Other(&'static str),
}

pub(super) const LINK: Form = Form::Other("a symbolic link");

impl Form {
    pub(in crate::maintain) fn of(metadata: &Metadata) -> Self {
        let form = metadata.file_type();
        if form.is_file() {
            Self::File
        } else if form.is_dir() {
            Self::Folder
        } else if form.is_symlink() {
            LINK
        } else {
            Self::Other(special(form))
        }
    }

    /// The form as text for people.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Other(words) => words,
        }
    }
}

#[cfg(unix)]
fn special(form: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if form.is_fifo() {
        "a named pipe"
    } else if form.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(_: std::fs::FileType) -> &'static str {
    "neither a file nor a folder"
}

/// An entry in a store's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The path relative to the store's root.
    pub(crate) path: PathBuf,
    pub(crate) form: Form,
    /// The size of a file.
    pub(crate) bytes: u64,
}

impl Entry {
    /// The path in the form of the ledger and of reports.
    pub(crate) fn name(&self) -> String {
        name(&self.path)
    }
}

/// A path relative to the root, in the form of the ledger and of reports.
pub(crate) fn name(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Lists everything in a store's folders, in the order of the names. It opens nothing, and does not list
/// folders that are not the store's, nor `quarantine`. A link inside one of the folders is listed as its
/// target, because readers and writers follow it; a link in the place of such a folder is listed as a
/// link.
pub(crate) fn list(root: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = vec![(PathBuf::new(), false)];
    while let Some((folder, is_linked)) = folders.pop() {
        let path = root.join(&folder);
        let attempt = |error| Error::io("list the folder", &path, error);
        let listed = match std::fs::read_dir(&path) {
            Ok(listed) => listed,
            // It was removed since it was listed itself.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder != Path::new("") => continue,
            Err(error) => return Err(attempt(error)),
        };
        for entry in listed {
            let entry = entry.map_err(attempt)?;
            // Other files that a link leads to are not the store's: they are neither reported nor moved.
            if is_linked && entry.file_name().to_str().and_then(JournalName::parse).is_none() {
                continue;
            }
            let path = folder.join(entry.file_name());
            let mut metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(attempt(error)),
            };
            let is_link = metadata.is_symlink();
            if is_link && folder != Path::new("") {
                let Some(found) = look_at(&entry.path())? else { continue };
                metadata = found;
            }
            let form = Form::of(&metadata);
            if form == Form::Folder && is_looked_into(&path) {
                folders.push((path.clone(), is_link));
            }
            entries.push(Entry { path, form, bytes: if form == Form::File { metadata.len() } else { 0 } });
        }
    }
    entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(entries)
}

fn is_looked_into(path: &Path) -> bool {
    let mut parts = path.iter().map(|part| part.to_str().unwrap_or_default());
    match (parts.next(), parts.next(), parts.next()) {
        (Some("ledger" | COPY_FOLDER | "journal" | CONSUMERS), None, None) => true,
        (Some(name), None, None) => Kind::ALL.iter().any(|kind| kind.folder() == name),
        (Some("journal"), Some(name), None) => stream_of(name).is_some(),
        _ => false,
    }
}

/// The metadata of a path's target. For a link that leads nowhere, of the link itself; `None` if the name
/// does not exist. If access is denied, that is an error: it does not mean that nothing is there.
pub(in crate::maintain) fn look_at(path: &Path) -> Result<Option<Metadata>> {
    let found = if is_broken_link(path) { std::fs::symlink_metadata(path) } else { std::fs::metadata(path) };
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Error::io("access", path, error)),
    }
}

/// Whether a path leads to a file. If access is denied, that is an error: it does not mean that there is
/// no file.
pub(in crate::maintain) fn is_file(path: &Path) -> Result<bool> {
    Ok(look_at(path)?.is_some_and(|found| found.is_file()))
}

/// Whether an error says that a name does not exist, and not that access is denied.
pub(in crate::maintain) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
