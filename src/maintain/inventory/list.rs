//! What is there, without opening anything.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::is_broken_link;
use crate::error::{Error, Result};
use crate::fact::Kind;
use crate::journal::claim::{JournalName, stream_of};
use crate::ledger::COPY_FOLDER;
use crate::place::CONSUMERS;

/// What kind of thing stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    File,
    Folder,
    /// Named by these words.
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

    /// For people.
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

/// Something that has a name in a store's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Below the store's root.
    pub(crate) path: PathBuf,
    pub(crate) form: Form,
    /// Of a file.
    pub(crate) bytes: u64,
}

impl Entry {
    /// The path as the ledger and reports write it.
    pub(crate) fn name(&self) -> String {
        name(&self.path)
    }
}

/// A path below the root, as the ledger and reports write it.
pub(crate) fn name(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Everything in a store's folders, in the order of the names. Nothing is opened, and folders that are not a
/// store's are not looked into, nor is `quarantine`. What a link in one of the folders leads to is listed in its
/// place, as readers and writers follow it; a link in the place of such a folder is listed as itself.
pub(crate) fn list(root: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = vec![(PathBuf::new(), false)];
    while let Some((folder, is_linked)) = folders.pop() {
        let path = root.join(&folder);
        let attempt = |error| Error::io("list the folder", &path, error);
        let listed = match std::fs::read_dir(&path) {
            Ok(listed) => listed,
            // Gone since it was listed itself.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder != Path::new("") => continue,
            Err(error) => return Err(attempt(error)),
        };
        for entry in listed {
            let entry = entry.map_err(attempt)?;
            // What else is where a link leads to is none of the store's: it is neither reported nor moved.
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
        (Some(name), None, None) => Kind::ALL.iter().any(|kind| kind.table() == name),
        (Some("journal"), Some(name), None) => stream_of(name).is_some(),
        _ => false,
    }
}

/// What a path leads to. A link that leads nowhere is itself; `None` if nothing has the name. That it may not be
/// looked at is an error: it does not mean that there is nothing.
pub(in crate::maintain) fn look_at(path: &Path) -> Result<Option<Metadata>> {
    let found = if is_broken_link(path) { std::fs::symlink_metadata(path) } else { std::fs::metadata(path) };
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Error::io("look at", path, error)),
    }
}

/// Whether a path leads to a file. That it may not be looked at is an error: it does not mean that there is none.
pub(in crate::maintain) fn is_file(path: &Path) -> Result<bool> {
    Ok(look_at(path)?.is_some_and(|found| found.is_file()))
}

/// Whether an error says that nothing has a name, and not that it may not be looked at.
pub(in crate::maintain) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
