//! How a store is recovered, and what came of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::ledger::StreamRange;
use crate::maintain::{ScanReport, Span};
use crate::place::absolute;

/// How far recovering may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecoveryMode {
    /// Scan, and change nothing.
    #[default]
    Ignore,
    /// Save what can be read, account for what cannot, and let the damaged bytes go. A file of which facts are lost is
    /// kept aside.
    Repair,
    /// The same, but every damaged byte is moved aside first.
    Quarantine,
    /// The same, and where the ledger itself is beyond help, begin it again.
    Rebuild,
}

impl RecoveryMode {
    /// Its name on the command line.
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
                    format!("{text:?} is none of ignore, repair, quarantine, rebuild"),
                )
            })
    }
}

/// What to do about a damaged store. Without a mode: look, and leave it alone.
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
    /// Recovers in this mode.
    pub fn new(mode: RecoveryMode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Where damaged and strange files are moved to: a folder outside of the store, or its own
    /// `quarantine`, which is used when none is named. Mode quarantine wants it named.
    pub fn quarantine_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        // Bound now: the process may change its folder later.
        let folder = folder.into();
        self.quarantine_dir = Some(absolute(&folder).unwrap_or(folder));
        self
    }

    /// Whether nothing is changed.
    pub(crate) fn only_looks(&self) -> bool {
        self.mode == RecoveryMode::Ignore
    }

    /// Mode quarantine moves damaged files to the store's own `quarantine`, unless a folder was named: what an
    /// actor system expects, which names none.
    pub(crate) fn own_quarantine(mut self, root: &Path) -> Self {
        if self.mode == RecoveryMode::Quarantine && self.quarantine_dir.is_none() {
            self.quarantine_dir = Some(root.join("quarantine"));
        }
        self
    }

    /// Gives facts up of which nobody can say that they are what was recorded, instead of keeping
    /// them with a note in the ledger.
    pub const fn lose_unverified(mut self, lose: bool) -> Self {
        self.lose_unverified = lose;
        self
    }

    /// Scans quickly: sizes, footers and numbers, but not every byte.
    pub const fn quick(mut self, quick: bool) -> Self {
        self.quick = Some(quick);
        self
    }

    /// Whether its scans are quick, if that was decided.
    pub(crate) const fn is_quick(&self) -> Option<bool> {
        self.quick
    }

    /// The disk to use: a test passes one that fails.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disk = disk;
        self
    }

    /// Refuses what makes no sense.
    pub(super) fn check(&self) -> Result<()> {
        if self.mode == RecoveryMode::Quarantine && self.quarantine_dir.is_none() {
            return Err(Error::new(
                ErrorKind::Settings,
                "mode quarantine needs a folder to move damaged files to; name one, such as the store's own quarantine folder",
            ));
        }
        Ok(())
    }
}

/// Facts that were recorded, and that nobody can read any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LostFacts {
    /// The file that held them, below the store's folder.
    pub path: String,
    /// Of this kind; of any, if nobody knows.
    pub kind: Option<Kind>,
    /// How many.
    pub facts: u64,
    /// Bytes of their JSON lines, if they were counted.
    pub bytes: Option<u64>,
    /// They are among these.
    pub spans: Vec<Span>,
}

/// Facts that were saved from a damaged file, and of which nobody can say that they are what was
/// recorded. The ledger notes it, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnverifiedFacts {
    /// The file that they were saved from, below the store's folder.
    pub path: String,
    /// Of this kind.
    pub kind: Kind,
    /// How many.
    pub facts: u64,
    /// They are among these.
    pub spans: Vec<Span>,
}

/// What a recovery found, did, and could not do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// In which mode.
    pub mode: RecoveryMode,
    /// What the scan found before.
    pub scan: ScanReport,
    /// Files that were repaired, replaced, salvaged or removed, below the store's folder.
    pub repaired_files: Vec<String>,
    /// Files that were moved aside, by where they are now.
    pub quarantined_files: Vec<PathBuf>,
    /// What was lost.
    pub lost: Vec<LostFacts>,
    /// What was saved, but may not be what was recorded.
    pub unverified: Vec<UnverifiedFacts>,
    /// What was left alone, and what could not be known: sentences for people.
    pub notes: Vec<String>,
    /// What a scan finds now.
    pub after: ScanReport,
}

impl RecoveryReport {
    /// Whether nothing is wrong now.
    pub fn is_clean(&self) -> bool {
        self.after.is_clean()
    }

    /// How many facts were lost.
    pub fn facts_lost(&self) -> u64 {
        self.lost.iter().map(|lost| lost.facts).sum()
    }

    /// How many facts were saved that may not be what was recorded.
    pub fn facts_unverified(&self) -> u64 {
        self.unverified.iter().map(|unverified| unverified.facts).sum()
    }
}

/// Ranges of the ledger, as reports tell them.
pub(super) fn spans(ranges: &[StreamRange]) -> Vec<Span> {
    ranges
        .iter()
        .map(|range| Span { stream: range.stream, first: range.first_seq, last: range.last_seq })
        .collect()
}
