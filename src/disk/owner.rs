//! Whose files a store has: who made them must not keep others of the folder's people out.
//!
//! A store belongs to a service, and now and then root runs one command on it. What root made would be
//! root's: the service could not open it. So what is made in a store takes after its folder, in group
//! and mode, and, where the process may give files away, in owner. Only the right of all others to write
//! is not taken over. Where that did not happen, an error says whose a file is, and which `chown` helps
//! ([`rights`]).

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Lets a new file or directory take after the folder that it stands in. What is not permitted is left.
pub(super) fn take_after_folder(path: &Path, made: &File) -> io::Result<()> {
    match path.parent() {
        Some(folder) => take_after(&std::fs::metadata(folder)?, made),
        None => Ok(()),
    }
}

/// Lets a new file or directory take after a folder. What is not permitted is left.
#[cfg(unix)]
pub(super) fn take_after(folder: &Metadata, made: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let own = made.metadata()?;
    if (own.uid(), own.gid()) != (folder.uid(), folder.gid()) {
        let both = fchown(made, Some(folder.uid()), Some(folder.gid()));
        if both.is_err() && own.gid() != folder.gid() {
            // Who is in the group may give it the group.
            let _ = fchown(made, None, Some(folder.gid()));
        }
    }
    let allowed = folder.mode() & if own.is_dir() { 0o7775 } else { 0o664 };
    if own.mode() & 0o7777 != allowed {
        let _ = made.set_permissions(std::fs::Permissions::from_mode(allowed));
    }
    Ok(())
}

/// Files have no owners here.
#[cfg(not(unix))]
pub(super) fn take_after(_: &Metadata, _: &File) -> io::Result<()> {
    Ok(())
}

/// Whether a file and its folder have different owners.
#[cfg(unix)]
pub(crate) fn is_of_another(folder: &Metadata, found: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    folder.uid() != found.uid()
}

/// Files have no owners here.
#[cfg(not(unix))]
pub(crate) fn is_of_another(_: &Metadata, _: &Metadata) -> bool {
    false
}

/// `uid:gid`.
#[cfg(unix)]
pub(crate) fn owner(found: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    format!("{}:{}", found.uid(), found.gid())
}

/// Files have no owners here.
#[cfg(not(unix))]
pub(crate) fn owner(_: &Metadata) -> String {
    String::new()
}

/// Why a path may not be opened, and what helps: a sentence to go on with after the error.
#[cfg(unix)]
pub(crate) fn rights(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self").ok()?.uid();
    // The outermost thing on the way that is another's: within it nothing is to be had.
    let mut found = None;
    for part in path.ancestors() {
        match std::fs::metadata(part) {
            Ok(metadata) if metadata.uid() == own => break,
            Ok(metadata) => {
                if part.parent().is_none_or(|parent| parent.as_os_str().is_empty() || is_system(parent)) {
                    found.get_or_insert((part, metadata));
                    break;
                }
                found = Some((part, metadata));
            }
            Err(_) => {}
        }
    }
    let (part, metadata) = found?;
    let part = part.display();
    Some(format!(
        "{part} belongs to user {}, and this process is user {own}: run it as that user, or `chown -R {own} {part}`",
        metadata.uid()
    ))
}

/// Whether everybody's things are in this folder: its owner says nothing of theirs.
#[cfg(unix)]
fn is_system(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    folder.parent().is_none() || std::fs::metadata(folder).is_ok_and(|found| found.uid() == 0)
}

/// Files have no owners here.
#[cfg(not(unix))]
pub(crate) fn rights(_: &Path) -> Option<String> {
    None
}
