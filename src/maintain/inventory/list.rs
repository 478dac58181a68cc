//! What is there, without opening anything.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::consume;
use crate::error::{Error, Result};
use crate::fact::{Kind, StreamId};

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

/// Everything in a store's folders, in the order of the names. Links are not followed, nothing is
/// opened, and folders that are not a store's are not looked into, nor is `quarantine`.
pub(crate) fn list(root: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
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
            let path = folder.join(entry.file_name());
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(attempt(error)),
            };
            let form = Form::of(&metadata);
            if form == Form::Folder && is_looked_into(&path) {
                folders.push(path.clone());
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
        (Some("ledger" | "journal" | consume::FOLDER), None, None) => true,
        (Some(name), None, None) => Kind::ALL.iter().any(|kind| kind.table() == name),
        (Some("journal"), Some(name), None) => stream_of(name).is_some(),
        _ => false,
    }
}

/// The stream whose journal is in the folder of this name.
pub(super) fn stream_of(name: &str) -> Option<StreamId> {
    name.parse().ok().filter(|n: &u32| n.to_string() == name).map(StreamId)
}
