//! The findings of a scan, as types.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::fact::{Kind, Seq, StreamId, UnixNanos};
use crate::ledger::{Segment, StreamRange};

/// The kinds of anomalies, by the damaged part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnomalyKind {
    /// A commit between the first and the newest is missing.
    CommitMissing,
    /// A commit's file differs from the one that was written.
    CommitDamaged,
    /// The second copy of a commit differs from the one that was written.
    CommitCopyDamaged,
    /// A commit does not follow from the one before.
    ChainBroken,
    /// A checkpoint differs from the one that was written, or from the sum of the commits.
    CheckpointDamaged,
    /// The recorded facts are not the sum of the live, dropped and lost ones.
    Imbalance,
    /// The ledger names a segment, but its file is missing.
    SegmentMissing,
    /// A segment's file is longer or shorter than the ledger says.
    SegmentSize,
    /// A segment's bytes differ from those that were written.
    SegmentDamaged,
    /// The file is a sound segment, but not the one that the ledger names.
    SegmentForeign,
    /// A segment that no commit names, with facts that are nowhere else.
    SegmentUnknown,
    /// A journal with facts that an earlier repair lost.
    JournalUnknown,
    /// A power failure, or the disk, removed facts from a journal.
    JournalTorn,
    /// A journal's bytes differ from those that were written.
    JournalDamaged,
    /// Facts between the ledger and a journal, or between two journals, are missing.
    JournalGap,
    /// The newest state of a consumer group differs from the one that was written.
    ConsumerGroupDamaged,
    /// `ostracon.toml` cannot be read or used: the store cannot be opened with it.
    SettingsUnusable,
    /// An entry that does not belong into a store.
    Unexpected,
}

impl AnomalyKind {
    /// Papyra's name for this kind of anomaly.
    pub const fn papyra(self) -> &'static str {
        match self {
            Self::SegmentSize => "TRUNCATED_LINE",
            Self::JournalTorn | Self::JournalGap | Self::CommitMissing | Self::SegmentMissing => {
                "PARTIAL_WRITE"
            }
            Self::SegmentUnknown | Self::JournalUnknown => "ORPHANED_ROTATED_FILE",
            Self::Unexpected => "UNEXPECTED_FILE",
            _ => "CORRUPTED_LINE",
        }
    }

    /// The action of `recover` in mode repair against this anomaly.
    const fn remedy(self) -> &'static str {
        match self {
            Self::CommitMissing | Self::CommitDamaged | Self::ChainBroken | Self::Imbalance => {
                "nothing that can be proven, as the commit's copy cannot be used either; mode rebuild makes \
                 a new ledger from the segments, the journals and the commits that can be read"
            }
            Self::CommitCopyDamaged => "writes the copy again, from the commit's own file",
            Self::CheckpointDamaged => "removes the checkpoint: its state follows from the commits",
            Self::SegmentMissing => {
                "searches the store for the facts, and commits as lost those that it does not find"
            }
            Self::SegmentDamaged => {
                "corrects a single flipped bit (in files of up to 1 MiB); else searches the store for the \
                 facts, reads all rows that can be read, proves them by the digest if it can, and commits as \
                 lost only the facts that it does not find"
            }
            Self::SegmentSize | Self::SegmentForeign => {
                "searches the store for the facts, writes the rows that can still be read into a new \
                 segment, and commits the others as lost"
            }
            Self::SegmentUnknown => {
                "commits its facts that are nowhere else, and moves the file to quarantine"
            }
            Self::JournalUnknown => "makes these facts part of the store again",
            Self::JournalTorn | Self::JournalDamaged | Self::JournalGap => {
                "commits the facts that can still be read and the others as lost, and ends the stream"
            }
            Self::ConsumerGroupDamaged => {
                "moves it to quarantine; the group continues from the state before it, and the facts that \
                 were delivered or acknowledged last are delivered again; without such a state, the group \
                 begins anew when it is created again"
            }
            Self::SettingsUnusable => "nothing: the settings belong to the user; correct the file",
            Self::Unexpected => "moves it to quarantine",
        }
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Consecutive facts of one stream, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Span {
    /// The stream of the facts.
    pub stream: StreamId,
    /// The number of the first fact.
    pub first: Seq,
    /// The number of the last fact.
    pub last: Seq,
}

impl From<StreamRange> for Span {
    fn from(range: StreamRange) -> Self {
        Self { stream: range.stream, first: range.first_seq, last: range.last_seq }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, first, last } = self;
        if first == last {
            write!(f, "fact {first} of stream {stream}")
        } else {
            write!(f, "facts {first} to {last} of stream {stream}")
        }
    }
}

/// The facts that an anomaly affects, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Affected {
    /// The kind of the affected facts; `None` if they may be of any kind.
    pub kind: Option<Kind>,
    /// The largest number of affected facts; `None` if it is unknown.
    pub facts: Option<u64>,
    /// Ranges that contain the affected facts.
    pub spans: Vec<Span>,
    /// The times at which the first and the last of the affected facts were recorded.
    pub recorded_at: Option<(UnixNanos, UnixNanos)>,
}

impl Affected {
    /// All facts of a segment.
    pub(crate) fn of(segment: &Segment) -> Self {
        Self {
            kind: Some(segment.kind),
            facts: Some(segment.rows),
            spans: segment.streams.iter().copied().map(Span::from).collect(),
            recorded_at: Some((segment.recorded_at.min, segment.recorded_at.max)),
        }
    }

    /// These facts of a stream, of any kind.
    pub(crate) fn facts(stream: StreamId, first: Seq, last: Seq) -> Self {
        let range = StreamRange { stream, first_seq: first, last_seq: last };
        Self { facts: range.facts(), spans: vec![range.into()], ..Self::default() }
    }
}

/// One finding: a part of the store that is damaged or wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Anomaly {
    /// The kind of the anomaly.
    pub kind: AnomalyKind,
    /// The path of the part, relative to the store's folder.
    pub path: String,
    /// The expected content.
    pub expected: String,
    /// The content that was found.
    pub found: String,
    /// The facts that the anomaly affects.
    pub affected: Affected,
    /// The action of `recover` in mode repair.
    pub remedy: String,
}

impl Anomaly {
    /// Makes an anomaly that affects no facts, as far as is known.
    pub(crate) fn new(
        kind: AnomalyKind,
        path: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            path: path.into(),
            expected: expected.into(),
            found: found.into(),
            affected: Affected::default(),
            remedy: kind.remedy().to_owned(),
        }
    }

    pub(crate) fn touching(mut self, affected: Affected) -> Self {
        self.affected = affected;
        self
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

/// A file that a crash left, or that does no harm: no fact depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Debris {
    /// The path of the file, relative to the store's folder.
    pub path: String,
    /// The description of the file, and why it does no harm.
    pub what: String,
    /// The size of the file.
    pub bytes: u64,
}

/// Information about a store that is neither damage nor debris.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Note {
    /// The path that the note is about, relative to the store's folder.
    pub path: String,
    /// The text of the note, and what to do about it.
    pub what: String,
}

impl Note {
    pub(crate) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }
}

/// The findings of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScanReport {
    /// The anomalies: damaged or wrong parts of the store.
    pub anomalies: Vec<Anomaly>,
    /// Files that were left and do no harm.
    pub debris: Vec<Debris>,
    /// Notes: other users' files, facts stamped ahead of the clock, a file system without locks.
    pub notes: Vec<Note>,
    /// Commits that were checked.
    pub commits: u64,
    /// Segments that were checked.
    pub segments: u64,
    /// Journal files that were checked.
    pub journals: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// The duration of the scan.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(elapsed.as_secs_f64())
}

impl ScanReport {
    /// Whether there is no anomaly.
    pub fn is_clean(&self) -> bool {
        self.anomalies.is_empty()
    }
}
