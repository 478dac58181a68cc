//! How a backup is made, and what came of it.

use std::time::Duration;

use serde::Serialize;

/// How a backup is made. By default it is a new one, of the store as it is now.
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
    /// A new backup.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to the backup that is there already, if there is one: only what it lacks is copied.
    pub const fn incremental(mut self, incremental: bool) -> Self {
        self.incremental = incremental;
        self
    }

    /// Of the store as it was after this commit, with the facts that were in segments then. A backup
    /// has the files of each commit that it was made of; a store, those of the commits since the last
    /// compaction.
    pub const fn at_commit(mut self, commit: u64) -> Self {
        self.at_commit = Some(commit);
        self
    }

    /// Copies segments also where they could be linked. A link takes no space and no time, but is the
    /// same file: a disk that damages one has damaged both.
    pub const fn copy(mut self, copy: bool) -> Self {
        self.copy = copy;
        self
    }

    /// Also reads what is in the backup already: the segments and commits of the newest commit are compared
    /// with the store's, and those that differ are moved to the backup's `quarantine/` and put there again.
    /// Without it, segments that are there are known by their size.
    pub const fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }
}

/// What a backup did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// The newest commit in it.
    pub commit: u64,
    /// Files that were copied.
    pub copied: u64,
    /// The bytes of the copied files.
    pub copied_bytes: u64,
    /// Segments that were linked.
    pub linked: u64,
    /// Files that were there already.
    pub kept: u64,
    /// Whether files that were there already were read and compared ([`BackupOptions::verify`]).
    pub verified: bool,
    /// Damaged files of the backup that were moved to its `quarantine/`.
    pub replaced: u64,
    /// Damaged states of consumer groups in the store, which the backup has not.
    pub left_out: Vec<String>,
    /// Files of the backup with facts that the store has lost since. Put into the same places of the store, `recover`
    /// makes their facts part of it again.
    pub lost_by_store: Vec<String>,
    /// Facts that were in no segment yet, and are in the backup's journals.
    pub unflushed: u64,
    /// How long it took.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(elapsed.as_secs_f64())
}
