//! The options of a backup, and its report.

use std::time::Duration;

use serde::Serialize;

/// Options of a backup. By default it is a new one, of the store's current state.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use]
pub struct BackupOptions {
    pub(super) incremental: bool,
    pub(super) at_commit: Option<u64>,
    pub(super) copy: bool,
    pub(super) verify: bool,
}

impl BackupOptions {
    /// Options for a new backup.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to an existing backup, if there is one: only missing files are copied.
    pub const fn incremental(mut self, incremental: bool) -> Self {
        self.incremental = incremental;
        self
    }

    /// Backs up the store at this commit, with the facts that were in segments then. A backup has the
    /// files of each commit that was backed up into it; a store has those of the commits since the last
    /// compaction.
    pub const fn at_commit(mut self, commit: u64) -> Self {
        self.at_commit = Some(commit);
        self
    }

    /// Copies segments even if they could be linked. A link takes no space and no time, but it is the
    /// same file: if a disk damages it, both stores are damaged.
    pub const fn copy(mut self, copy: bool) -> Self {
        self.copy = copy;
        self
    }

    /// Also reads the files that the backup has already: the segments and commits of the newest commit
    /// are compared with the store's. Files that differ are moved to the backup's `quarantine/` and
    /// replaced. Without this option, existing segments are checked only by their size.
    pub const fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }
}

/// The result of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// The newest commit in the backup.
    pub commit: u64,
    /// Files that were copied.
    pub copied: u64,
    /// The bytes of the copied files.
    pub copied_bytes: u64,
    /// Segments that were linked.
    pub linked: u64,
    /// Files that existed in the backup already.
    pub kept: u64,
    /// Whether existing files were read and compared ([`BackupOptions::verify`]).
    pub verified: bool,
    /// Damaged files of the backup that were moved to its `quarantine/`.
    pub replaced: u64,
    /// Damaged states of consumer groups in the store that were not backed up.
    pub left_out: Vec<String>,
    /// Files of the backup with facts that the store has lost since. If they are copied into the
    /// corresponding places of the store, `recover` restores their facts.
    pub lost_by_store: Vec<String>,
    /// Unflushed facts, which are in the backup's journals.
    pub unflushed: u64,
    /// The duration of the backup.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(elapsed.as_secs_f64())
}
