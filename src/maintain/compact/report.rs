//! The options of a compaction, and its report.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::Serialize;

use crate::fact::Kind;
use crate::ledger::Segment;

/// The size that a segment should have: 128 MiB.
const TARGET_BYTES: u64 = 128 << 20;
/// The number of segments that one merge may have open.
const OPEN_SEGMENTS: usize = 128;

/// Options of a compaction.
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
    /// Options for all kinds, and segments of 128 MiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compacts only this kind.
    pub const fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Sets the size that segments should have, in bytes. Segments of at least half this size are not
    /// merged.
    pub const fn target_bytes(mut self, bytes: u64) -> Self {
        self.target_bytes = bytes;
        self
    }

    /// Sets how many segments each of the two parallel merges may have open. The default is 128. If more
    /// segments overlap, the compaction takes more rounds.
    pub const fn open_segments(mut self, segments: usize) -> Self {
        self.open_segments = if segments < 2 { 2 } else { segments };
        self
    }

    /// Only reports what a compaction would do. No file is changed, not even a lock. The numbers of
    /// segments and bytes after the compaction are estimates.
    pub const fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Drops facts even if the clock seems to have jumped ahead.
    pub const fn insist(mut self, insist: bool) -> Self {
        self.insist = insist;
        self
    }

    /// Once this flag is true, the compaction ends with [`ErrorKind::Cancelled`](crate::ErrorKind) and
    /// leaves the store unchanged, unless it has committed already.
    pub fn cancel(mut self, cancel: Arc<AtomicBool>) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// Calls this about ten times a second, and at the end of each stage, in the thread that compacts.
    pub fn on_progress(mut self, call: impl FnMut(CompactProgress) + 'a) -> Self {
        self.on_progress = Some(Box::new(call));
        self
    }
}

/// The progress of a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactProgress {
    /// Facts that the current stage has read so far.
    pub done: u64,
    /// The approximate number of facts that the current stage reads.
    pub all: u64,
}

/// The contents of a store's segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Holding {
    /// The number of live segments.
    pub segments: u64,
    /// Facts in live segments.
    pub facts: u64,
    /// Bytes of the live segments' files.
    pub bytes: u64,
    /// Bytes of the facts in live segments, as JSON lines.
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

/// The result of a compaction, or of a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CompactReport {
    /// Whether this was a dry run, which changes nothing.
    pub dry_run: bool,
    /// The number of the compaction's commit; `None` if there was nothing to do.
    pub commit: Option<u64>,
    /// The segments of the compacted kinds before the compaction. Unflushed facts are not counted.
    pub before: Holding,
    /// The segments of the compacted kinds after the compaction, without facts that other processes
    /// recorded meanwhile.
    pub after: Holding,
    /// The number of segments that were removed.
    pub segments_removed: u64,
    /// The number of segments that replaced them.
    pub segments_added: u64,
    /// Facts that rules dropped, for each rule and kind.
    pub dropped: Vec<DroppedFacts>,
    /// Dropped facts that a consumer group had not acknowledged when the compaction began.
    pub unacknowledged: Vec<UnacknowledgedFacts>,
    /// Files that were removed from the disk: of segments that are no longer live, and files that crashes
    /// left.
    pub files_removed: u64,
    /// Bytes of the files that were removed from the disk.
    pub bytes_freed: u64,
    /// Files of removed segments that queries may still read, or that could not be removed. The next
    /// maintenance removes them.
    pub files_waiting: u64,
    /// Bytes of the files that could not be removed yet.
    pub bytes_waiting: u64,
    /// The duration of the compaction.
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
    /// The name of the rule and its limit.
    pub rule: String,
    /// The kind of the facts.
    pub kind: Kind,
    /// The number of the facts.
    pub facts: u64,
    /// Bytes of the facts as JSON lines.
    pub bytes: u64,
}

/// Facts that were dropped although a consumer group had not acknowledged them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnacknowledgedFacts {
    /// The name of the group.
    pub group: String,
    /// The kind of the group's facts.
    pub kind: Kind,
    /// The number of the facts.
    pub facts: u64,
}

impl CompactReport {
    /// The number of facts that rules dropped.
    pub fn dropped_facts(&self) -> u64 {
        self.dropped.iter().map(|dropped| dropped.facts).sum()
    }
}

/// The result of a compaction in the terms of the backend's contract.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionReport {
    /// The backend's name.
    pub backend: &'static str,
    /// Facts in segments before the compaction.
    pub before_records: u64,
    /// Facts in segments after the compaction.
    pub after_records: u64,
    /// Bytes of the segments before the compaction.
    pub before_bytes: u64,
    /// Bytes of the segments after the compaction.
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
