//! How a compaction is asked for, and what it reports.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::Serialize;

use crate::fact::Kind;
use crate::ledger::Segment;

/// How large a segment is to become: 128 MiB.
const TARGET_BYTES: u64 = 128 << 20;
/// How many segments one merge may have open.
const OPEN_SEGMENTS: usize = 128;

/// How a store is compacted.
#[must_use]
pub struct CompactOptions<'a> {
    pub(super) kind: Option<Kind>,
    pub(super) target_bytes: u64,
    pub(super) open_segments: usize,
    pub(super) dry_run: bool,
    pub(super) insist: bool,
    pub(super) cancel: Option<Arc<AtomicBool>>,
    pub(super) on_progress: Option<OnProgress<'a>>,
}

pub(super) type OnProgress<'a> = Box<dyn FnMut(CompactProgress) + 'a>;

impl Default for CompactOptions<'_> {
    fn default() -> Self {
        Self {
            kind: None,
            target_bytes: TARGET_BYTES,
            open_segments: OPEN_SEGMENTS,
            dry_run: false,
            insist: false,
            cancel: None,
            on_progress: None,
        }
    }
}

impl<'a> CompactOptions<'a> {
    /// All kinds, segments of 128 MiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only this kind.
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// How large segments are to become, in bytes. Those of half that size are left alone.
    pub const fn target_bytes(mut self, bytes: u64) -> Self {
        self.target_bytes = bytes;
        self
    }

    /// How many segments each of the two merges that go on beside each other may have open: 128
    /// unless given. Where more overlap, it takes further rounds.
    pub const fn open_segments(mut self, segments: usize) -> Self {
        self.open_segments = if segments < 2 { 2 } else { segments };
        self
    }

    /// Only tells what would be done. No file is touched, also not a lock; the numbers of segments
    /// and bytes after it are estimates.
    pub const fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Drops facts although the clock seems to have jumped ahead.
    pub const fn insist(mut self, insist: bool) -> Self {
        self.insist = insist;
        self
    }

    /// Once this is true, the compaction ends with [`ErrorKind::Cancelled`](crate::ErrorKind) and
    /// leaves the store as it was, unless it has committed already.
    pub fn cancel(mut self, cancel: Arc<AtomicBool>) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// Called about ten times a second, and at the end of each stage, in the thread that compacts.
    pub fn on_progress(mut self, call: impl FnMut(CompactProgress) + 'a) -> Self {
        self.on_progress = Some(Box::new(call));
        self
    }
}

/// How far a compaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactProgress {
    /// Facts that were read so far, in the stage that is going on,
    pub done: u64,
    /// of about so many.
    pub all: u64,
}

/// What a store's segments hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Holding {
    /// Live segments.
    pub segments: u64,
    /// Facts in them.
    pub facts: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Bytes of the facts as JSON lines.
    pub fact_bytes: u64,
}

impl Holding {
    pub(super) fn count(&mut self, segment: &Segment) {
        self.segments += 1;
        self.facts += segment.rows;
        self.bytes += segment.bytes;
        self.fact_bytes += segment.fact_bytes;
    }

    pub(super) fn with(mut self, segments: &[Arc<Segment>]) -> Self {
        for segment in segments {
            self.count(segment);
        }
        self
    }

    pub(super) fn without(mut self, segments: &[Arc<Segment>]) -> Self {
        let gone = Self::default().with(segments);
        self.segments -= gone.segments.min(self.segments);
        self.facts -= gone.facts.min(self.facts);
        self.bytes -= gone.bytes.min(self.bytes);
        self.fact_bytes -= gone.fact_bytes.min(self.fact_bytes);
        self
    }
}

/// What a compaction did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CompactReport {
    /// Nothing was changed: this is what would be.
    pub dry_run: bool,
    /// The number of its commit; none if there was nothing to do.
    pub commit: Option<u64>,
    /// The segments of the kinds that were compacted, before. What is not flushed is not counted.
    pub before: Holding,
    /// The same after it, without what others have recorded meanwhile.
    pub after: Holding,
    /// Segments that were removed, …
    pub segments_removed: u64,
    /// … and those that took their place.
    pub segments_added: u64,
    /// What rules dropped, for each rule and kind.
    pub dropped: Vec<DroppedFacts>,
    /// Of these, what a consumer group had not acknowledged when the compaction began.
    pub unacknowledged: Vec<UnacknowledgedFacts>,
    /// Files that were removed from the disk: of segments that are no longer live, and what
    /// crashes left behind.
    pub files_removed: u64,
    /// Bytes of these.
    pub bytes_freed: u64,
    /// Files of removed segments that queries may still read, or that could not be removed. The
    /// next maintenance removes them.
    pub files_waiting: u64,
    /// Bytes of these.
    pub bytes_waiting: u64,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(elapsed.as_secs_f64())
}

/// Facts of one kind that a rule did not keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DroppedFacts {
    /// The rule and its limit.
    pub rule: String,
    /// Their kind.
    pub kind: Kind,
    /// How many.
    pub facts: u64,
    /// Bytes of them as JSON lines.
    pub bytes: u64,
}

/// Facts that are dropped although a consumer group had not acknowledged them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnacknowledgedFacts {
    /// The name of the group.
    pub group: String,
    /// The kind of its facts.
    pub kind: Kind,
    /// How many.
    pub facts: u64,
}

impl CompactReport {
    /// Facts that rules dropped.
    pub fn dropped_facts(&self) -> u64 {
        self.dropped.iter().map(|dropped| dropped.facts).sum()
    }
}

/// A compaction in the terms of the backend's contract.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionReport {
    /// The backend's name.
    pub backend: &'static str,
    /// Facts in segments before,
    pub before_records: u64,
    /// and after.
    pub after_records: u64,
    /// Bytes of the segments before,
    pub before_bytes: u64,
    /// and after.
    pub after_bytes: u64,
}

impl From<&CompactReport> for CompactionReport {
    fn from(report: &CompactReport) -> Self {
        Self {
            backend: "ostracon",
            before_records: report.before.facts,
            after_records: report.after.facts,
            before_bytes: report.before.bytes,
            after_bytes: report.after.bytes,
        }
    }
}
