//! The configuration of a recovery, and its report.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::ledger::StreamRange;
use crate::maintain::{ScanReport, Span};
use crate::store_folder::absolute;

/// How far a recovery may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecoveryMode {
    /// Scans, and changes nothing.
    #[default]
    Ignore,
    /// Saves the readable facts, accounts for the others, and removes the damaged bytes. A file is kept
    /// aside if facts of it are lost.
    Repair,
    /// Works as `Repair`, but moves every damaged file aside first.
    Quarantine,
    /// Works as `Quarantine`, and also begins the ledger again if it cannot be repaired.
    Rebuild,
}

impl RecoveryMode {
    /// The mode's name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Repair => "repair",
            Self::Quarantine => "quarantine",
            Self::Rebuild => "rebuild",
        }
    }
}

impl fmt::Display for RecoveryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RecoveryMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Ignore, Self::Repair, Self::Quarantine, Self::Rebuild]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Settings,
                    format!("{text:?} is not one of ignore, repair, quarantine, rebuild"),
                )
            })
    }
}

/// What to do about a damaged store. Without a mode, a recovery only scans.
///
/// ```
/// use ostracon::{RecoveryConfig, RecoveryMode};
///
/// let gentle = RecoveryConfig::new(RecoveryMode::Quarantine).quarantine_dir("/var/lib/facts-aside");
/// # let _ = gentle;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RecoveryConfig {
    pub(super) mode: RecoveryMode,
    pub(super) quarantine_dir: Option<PathBuf>,
    pub(super) lose_unverified: bool,
    pub(super) quick: Option<bool>,
    pub(super) disk: Disk,
}

impl RecoveryConfig {
    /// Makes a configuration for a recovery in this mode.
    pub fn new(mode: RecoveryMode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Sets the folder to which damaged and unknown files are moved: a folder outside the store, or the
    /// store's own `quarantine`, which is the default. Mode quarantine requires a folder.
    pub fn quarantine_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        // Made absolute now: the process may change its working directory later.
        let folder = folder.into();
        self.quarantine_dir = Some(absolute(&folder).unwrap_or(folder));
        self
    }

    /// Whether the recovery changes nothing.
    pub(crate) fn only_looks(&self) -> bool {
        self.mode == RecoveryMode::Ignore
    }

    /// Uses the store's own `quarantine` in mode quarantine, unless a folder was given: an actor system
    /// gives none.
    pub(crate) fn own_quarantine(mut self, root: &Path) -> Self {
        if self.mode == RecoveryMode::Quarantine && self.quarantine_dir.is_none() {
            self.quarantine_dir = Some(root.join("quarantine"));
        }
        self
    }

    /// Gives up facts that cannot be proven, instead of keeping them with a note in the ledger.
    pub const fn lose_unverified(mut self, lose: bool) -> Self {
        self.lose_unverified = lose;
        self
    }

    /// Scans quickly: sizes, footers and numbers, but not every byte.
    pub const fn quick(mut self, quick: bool) -> Self {
        self.quick = Some(quick);
        self
    }

    /// Whether the scans are quick, if that was set.
    pub(crate) const fn is_quick(&self) -> Option<bool> {
        self.quick
    }

    /// Sets the disk: a test passes one that fails.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disk = disk;
        self
    }

    /// Refuses an invalid configuration.
    pub(super) fn check(&self) -> Result<()> {
        if self.mode == RecoveryMode::Quarantine && self.quarantine_dir.is_none() {
            return Err(Error::new(
                ErrorKind::Settings,
                "mode quarantine needs a folder for damaged files, such as the quarantine folder of the store: add \
                 --quarantine-dir STORE/quarantine",
            ));
        }
        Ok(())
    }
}

/// Recorded facts that can no longer be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LostFacts {
    /// The file that held the facts, relative to the store's folder.
    pub path: String,
    /// The kind of the lost facts; `None` if it is unknown.
    pub kind: Option<Kind>,
    /// The number of lost facts.
    pub facts: u64,
    /// Bytes of the lost facts' JSON lines, if they were counted.
    pub bytes: Option<u64>,
    /// Ranges that contain the lost facts.
    pub spans: Vec<Span>,
}

/// Facts that were saved from a damaged file, and that may differ from the recorded ones. The ledger
/// notes them, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnverifiedFacts {
    /// The file that the facts were saved from, relative to the store's folder.
    pub path: String,
    /// The kind of the unverified facts.
    pub kind: Kind,
    /// The number of unverified facts.
    pub facts: u64,
    /// Ranges that contain the unverified facts.
    pub spans: Vec<Span>,
}

/// The result of a recovery: what it found, did, and could not do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The mode of the recovery.
    pub mode: RecoveryMode,
    /// The findings of the scan before the recovery.
    pub scan: ScanReport,
    /// Files that were repaired, replaced, salvaged or removed, relative to the store's folder.
    pub repaired_files: Vec<String>,
    /// Files that were moved aside, with their new paths.
    pub quarantined_files: Vec<PathBuf>,
    /// Facts that were lost.
    pub lost: Vec<LostFacts>,
    /// Facts that were saved, but that may differ from the recorded ones.
    pub unverified: Vec<UnverifiedFacts>,
    /// Files that were left alone, and facts that could not be found out, as sentences for people.
    pub notes: Vec<String>,
    /// The findings of the scan after the recovery.
    pub after: ScanReport,
}

impl RecoveryReport {
    /// Whether the store has no anomaly after the recovery.
    pub fn is_clean(&self) -> bool {
        self.after.is_clean()
    }

    /// The number of lost facts.
    pub fn facts_lost(&self) -> u64 {
        self.lost.iter().map(|lost| lost.facts).sum()
    }

    /// The number of saved facts that may differ from the recorded ones.
    pub fn facts_unverified(&self) -> u64 {
        self.unverified.iter().map(|unverified| unverified.facts).sum()
    }
}

/// Ranges of the ledger, in the form of reports.
pub(super) fn spans(ranges: &[StreamRange]) -> Vec<Span> {
    ranges
        .iter()
        .map(|range| Span { stream: range.stream, first: range.first_seq, last: range.last_seq })
        .collect()
}
