//! What a scan can find, as types.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::fact::{Kind, Seq, StreamId, UnixNanos};

/// What is wrong, by what it is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnomalyKind {
    /// A commit between the first and the newest is not there.
    CommitMissing,
    /// A commit's file is not what was written.
    CommitDamaged,
    /// A commit does not follow from the one before.
    ChainBroken,
    /// A checkpoint is not what was written, or not what the commits add up to.
    CheckpointDamaged,
    /// The facts recorded are not those live, dropped and lost.
    Imbalance,
    /// The ledger names a segment, and there is no such file.
    SegmentMissing,
    /// A segment's file is longer or shorter than the ledger says.
    SegmentSize,
    /// A segment's bytes are not what was written.
    SegmentDamaged,
    /// A sound segment, but not the one that the ledger names.
    SegmentForeign,
    /// A segment that no commit names, with facts that are nowhere else.
    SegmentUnknown,
    /// Facts that a power failure, or the disk, tore out of a journal.
    JournalTorn,
    /// A journal's bytes are not what was written.
    JournalDamaged,
    /// Facts between the ledger and a journal, or between two journals, are nowhere.
    JournalGap,
    /// Something that does not belong into a store.
    Unexpected,
}

impl AnomalyKind {
    /// What Papyra calls it.
    pub const fn papyra(self) -> &'static str {
        match self {
            Self::SegmentSize => "TRUNCATED_LINE",
            Self::JournalTorn | Self::JournalGap | Self::CommitMissing | Self::SegmentMissing => {
                "PARTIAL_WRITE"
            }
            Self::SegmentUnknown => "ORPHANED_ROTATED_FILE",
            Self::Unexpected => "UNEXPECTED_FILE",
            _ => "CORRUPTED_LINE",
        }
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Facts of one stream that follow each other, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Span {
    /// The stream.
    pub stream: StreamId,
    /// The first fact.
    pub first: Seq,
    /// The last fact.
    pub last: Seq,
}

/// Which facts an anomaly touches, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Affected {
    /// Of this kind only.
    pub kind: Option<Kind>,
    /// At most so many facts; `None` if nobody knows.
    pub facts: Option<u64>,
    /// They are among these.
    pub spans: Vec<Span>,
    /// When the first and the last of them was recorded.
    pub recorded_at: Option<(UnixNanos, UnixNanos)>,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Anomaly {
    /// What is wrong.
    pub kind: AnomalyKind,
    /// Where, below the store's folder.
    pub path: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// The facts that it touches.
    pub affected: Affected,
    /// What `recover` would do in mode repair.
    pub remedy: String,
}

/// What a crash left behind, and what does no harm: no fact depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Debris {
    /// Where, below the store's folder.
    pub path: String,
    /// What it is, and why it does no harm.
    pub what: String,
    /// The size of the file.
    pub bytes: u64,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScanReport {
    /// What is wrong.
    pub anomalies: Vec<Anomaly>,
    /// What was left behind, and does no harm.
    pub debris: Vec<Debris>,
    /// Commits, segments and journal files that were looked at.
    pub commits: u64,
    /// Segments that were looked at.
    pub segments: u64,
    /// Journal files that were looked at.
    pub journals: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl ScanReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.anomalies.is_empty()
    }
}
