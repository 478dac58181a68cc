//! The owner of a store's files: a file must not keep other users of the folder out because of who made
//! it.
//!
//! A store belongs to a service, and sometimes root runs a command on it. A file that root makes would
//! belong to root, and the service could not open it. So a new file or directory gets the group and mode
//! of its folder and, where the process may change owners, also its owner. Only the permission of all
//! others to write is not copied. Where this was not possible, an error names the owner of the file, and
//! the `chown` that helps ([`rights`]).

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Gives a new file or directory the owner, group and mode of its folder. Changes that are not permitted
/// are skipped.
pub(super) fn take_after_folder(path: &Path, made: &File) -> io::Result<()> {
    match path.parent() {
        Some(folder) => take_after(&std::fs::metadata(folder)?, made),
        None => Ok(()),
    }
}

/// Gives a new file or directory the owner, group and mode of a folder. Changes that are not permitted
/// are skipped.
#[cfg(unix)]
pub(super) fn take_after(folder: &Metadata, made: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let own = made.metadata()?;
    if (own.uid(), own.gid()) != (folder.uid(), folder.gid()) {
        let both = fchown(made, Some(folder.uid()), Some(folder.gid()));
        if both.is_err() && own.gid() != folder.gid() {
            // A member of the group may give the file to the group.
            let _ = fchown(made, None, Some(folder.gid()));
        }
    }
    let allowed = folder.mode() & if own.is_dir() { 0o7775 } else { 0o664 };
    if own.mode() & 0o7777 != allowed {
        let _ = made.set_permissions(std::fs::Permissions::from_mode(allowed));
    }
    Ok(())
}

/// Files have no owners on this system.
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

/// Files have no owners on this system.
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

/// Files have no owners on this system.
#[cfg(not(unix))]
pub(crate) fn owner(_: &Metadata) -> String {
    String::new()
}

/// Why a path cannot be opened, and what helps: a sentence to append to the error.
#[cfg(unix)]
pub(crate) fn rights(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self").ok()?.uid();
    // The outermost entry on the path that belongs to another user: nothing within it can be reached.
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
    let (shown, owner) = (part.display(), metadata.uid());
    let begins = format!("{shown} belongs to user {owner}, and this process is user {own}");
    // The advice to change the owner is only for the files of a store, not for folders of the system.
    let is_of_store = part.ancestors().chain(path.ancestors()).any(|folder| folder.join("ledger").is_dir());
    Some(if is_of_store {
        format!("{begins}: run it as that user, or `chown -R {own} {shown}`")
    } else {
        format!("{begins}: run it as that user, or choose a folder of your own")
    })
}

/// Whether any user may put files into this folder: then its owner says nothing about them.
#[cfg(unix)]
fn is_system(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    folder.parent().is_none() || std::fs::metadata(folder).is_ok_and(|found| found.uid() == 0)
}

/// Files have no owners on this system.
#[cfg(not(unix))]
pub(crate) fn rights(_: &Path) -> Option<String> {
    None
}
