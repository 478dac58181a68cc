//! What does not belong into a store is moved aside, never deleted: it is not ours.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Work;
use crate::error::{Error, Result};
use crate::maintain::ScanReport;

/// What was at a path when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    bytes: u64,
    modified: Option<SystemTime>,
    is_file: bool,
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), is_file: metadata.is_file() }
    }
}

/// Looks at all that a scan named.
pub(super) fn see(root: &Path, found: &ScanReport) -> BTreeMap<PathBuf, Seen> {
    let paths = found.anomalies.iter().map(|anomaly| root.join(&anomaly.path));
    paths.filter_map(|path| fs::symlink_metadata(&path).ok().map(|found| (path, Seen::of(&found)))).collect()
}

impl Work<'_> {
    /// Moves a stranger aside, if it is still what was seen.
    pub(super) fn move_stranger(&mut self, path: &Path) -> Result<()> {
        let name = self.name(path);
        if self.ledger()?.refresh()?.segments.iter().flatten().any(|segment| segment.path == name) {
            self.note(format!("{name} has become part of the store, and was left alone"));
            return Ok(());
        }
        match fs::symlink_metadata(path) {
            Ok(found) if self.seen.get(path).is_some_and(|seen| *seen != Seen::of(&found)) => {
                self.note(format!("{name} has changed since the scan, and was left alone"));
            }
            Ok(_) => {
                let place = self.aside.take(path)?;
                self.put_aside(place);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("look at", path, error)),
        }
        Ok(())
    }
}
