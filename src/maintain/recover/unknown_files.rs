//! Moves files aside that do not belong into a store. They are never deleted, because they belong to the
//! user.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::recovery_state::Work;
use crate::disk::is_broken_link;
use crate::error::{Error, Result};
use crate::journal::claim::{JournalName, stream_of};
use crate::maintain::ScanReport;
use crate::maintain::inventory::list;

/// The state of a path when it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    bytes: u64,
    modified: Option<SystemTime>,
    is_file: bool,
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), is_file: metadata.is_file() }
    }
}

/// Notes the state of all paths that a scan reported.
pub(super) fn see(root: &Path, found: &ScanReport) -> BTreeMap<PathBuf, FileStamp> {
    let paths = found.anomalies.iter().flat_map(|anomaly| places(root, &anomaly.path));
    paths
        .filter_map(|path| fs::symlink_metadata(&path).ok().map(|found| (path, FileStamp::of(&found))))
        .collect()
}

/// The paths for a name in a report. Reports replace characters that are not text with a mark.
pub(super) fn places(root: &Path, name: &str) -> Vec<PathBuf> {
    if !name.contains(char::REPLACEMENT_CHARACTER) {
        return vec![root.join(name)];
    }
    let entries = list(root).unwrap_or_default().into_iter();
    entries.filter(|entry| entry.name() == name).map(|entry| root.join(entry.path)).collect()
}

impl Work<'_> {
    /// Moves an unknown file aside, if it has not changed since the scan.
    pub(super) fn move_unknown_file(&mut self, path: &Path) -> Result<()> {
        let name = self.name(path);
        if self.ledger()?.refresh()?.segments.iter().flatten().any(|segment| segment.path == name) {
            self.note(format!("{name} has become part of the store, and was left alone"));
            return Ok(());
        }
        if is_broken_link(path) && self.is_of_stream(path) {
            self.note(left_alone(&name));
            return Ok(());
        }
        match fs::symlink_metadata(path) {
            Ok(found) if self.seen.get(path).is_some_and(|seen| *seen != FileStamp::of(&found)) => {
                self.note(format!("{name} has changed since the scan, and was left alone"));
            }
            Ok(_) => {
                let place = self.aside.take(path)?;
                self.put_aside(place);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("access", path, error)),
        }
        Ok(())
    }

    /// Whether a path has the name of a stream's folder, or of a journal file in one.
    fn is_of_stream(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(self.root.join("journal")) else { return false };
        let names: Vec<_> = below.iter().filter_map(|name| name.to_str()).collect();
        match names.as_slice() {
            [stream] => stream_of(stream).is_some(),
            [stream, file] => stream_of(stream).is_some() && JournalName::parse(file).is_some(),
            _ => false,
        }
    }
}

/// The note about a broken symbolic link in a stream.
pub(super) fn left_alone(name: &str) -> String {
    format!(
        "{name} is a link that leads to nothing; it was left alone, because the facts of the stream may be \
         there. Restore the target of the link (is it mounted?), or, if it is gone for ever, remove the \
         link"
    )
}
