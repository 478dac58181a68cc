//! What a scan can find, as types.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::fact::{Kind, Seq, StreamId, UnixNanos};
use crate::ledger::{Segment, StreamRange};

/// What is wrong, by what it is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnomalyKind {
    /// A commit between the first and the newest is not there.
    CommitMissing,
    /// A commit's file is not what was written.
    CommitDamaged,
    /// The second copy of a commit is not what was written.
    CommitCopyDamaged,
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
    /// A journal with facts that an earlier repair lost.
    JournalUnknown,
    /// Facts that a power failure, or the disk, tore out of a journal.
    JournalTorn,
    /// A journal's bytes are not what was written.
    JournalDamaged,
    /// Facts between the ledger and a journal, or between two journals, are nowhere.
    JournalGap,
    /// The newest state of a consumer group is not what was written.
    ConsumerGroupDamaged,
    /// `ostracon.toml` cannot be read or used: the store cannot be opened with it.
    SettingsUnusable,
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
            Self::SegmentUnknown | Self::JournalUnknown => "ORPHANED_ROTATED_FILE",
            Self::Unexpected => "UNEXPECTED_FILE",
            _ => "CORRUPTED_LINE",
        }
    }

    /// What `recover` does about it in mode repair.
    const fn remedy(self) -> &'static str {
        match self {
            Self::CommitMissing | Self::CommitDamaged | Self::ChainBroken | Self::Imbalance => {
                "nothing that can be vouched for, as the commit's copy is of no use either; mode rebuild makes a new ledger from the segments, the \
                 journals and the commits that can be read"
            }
            Self::CommitCopyDamaged => "writes the copy again, from the commit's own file",
            Self::CheckpointDamaged => "removes the checkpoint: the commits tell the same",
            Self::SegmentMissing => {
                "looks for the facts elsewhere in the store, and commits as lost what is not found"
            }
            Self::SegmentDamaged => {
                "puts a single flipped bit right (in files of up to 1 MiB); else looks for the facts elsewhere in \
                 the store, reads all rows that can be read, proves them by the digest where it can, and commits as \
                 lost only what is not found"
            }
            Self::SegmentSize | Self::SegmentForeign => {
                "looks for the facts elsewhere in the store, writes the rows that can still be read into a \
                 new segment, and commits the others as lost"
            }
            Self::SegmentUnknown => {
                "commits its facts that are nowhere else, and moves the file to quarantine"
            }
            Self::JournalUnknown => "makes these facts part of the store again",
            Self::JournalTorn | Self::JournalDamaged | Self::JournalGap => {
                "commits the facts that can still be read and the others as lost, and ends the stream"
            }
            Self::ConsumerGroupDamaged => {
                "moves it to quarantine; the group goes on from the state before it, and is given again what was \
                 delivered or acknowledged last; without one, it begins anew when it is made again"
            }
            Self::SettingsUnusable => "nothing: settings are people's; correct the file",
            Self::Unexpected => "moves it to quarantine",
        }
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Facts of one stream that follow each other, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Span {
    /// The stream.
    pub stream: StreamId,
    /// The first fact.
    pub first: Seq,
    /// The last fact.
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

    /// These facts of a stream, of whatever kind.
    pub(crate) fn facts(stream: StreamId, first: Seq, last: Seq) -> Self {
        let range = StreamRange { stream, first_seq: first, last_seq: last };
        Self { facts: range.facts(), spans: vec![range.into()], ..Self::default() }
    }
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

impl Anomaly {
    /// An anomaly of which is not known that it touches any facts.
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

/// What is worth knowing of a store, and is neither damage nor debris.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Note {
    /// Where, below the store's folder.
    pub path: String,
    /// What it is, and what to do about it.
    pub what: String,
}

impl Note {
    pub(crate) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScanReport {
    /// What is wrong.
    pub anomalies: Vec<Anomaly>,
    /// What was left behind, and does no harm.
    pub debris: Vec<Debris>,
    /// What is worth knowing: other users' files, facts stamped ahead of the clock, a file system
    /// without locks.
    pub notes: Vec<Note>,
    /// Commits that were looked at.
    pub commits: u64,
    /// Segments that were looked at.
    pub segments: u64,
    /// Journal files that were looked at.
    pub journals: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// How long it took.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(elapsed.as_secs_f64())
}

impl ScanReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.anomalies.is_empty()
    }
}
