//! Counts the contents of a store.

use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::TimestampNanosecondType;

use crate::context::Context;
use crate::error::Result;
use crate::fact::{Kind, PerKind, StreamId, UnixNanos, wall_time};
use crate::journal::claim;
use crate::maintain::inventory::is_owned;
use crate::retention::hidden;
use crate::snapshot::Snapshot;

/// Counts of a store's contents, over all processes and all time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    kinds: PerKind<KindSummary>,
    /// Facts that are not in a segment yet.
    pub unflushed: u64,
    /// Streams that ever had a fact.
    pub streams: u64,
    /// Commits in the ledger.
    pub commits: u64,
}

/// Counts of one table's contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KindSummary {
    /// Facts in the table, flushed and unflushed.
    pub facts: u64,
    /// Facts that retention rules hide from every query until a compaction drops them; `None` if that
    /// could not be found out.
    pub hidden: Option<u64>,
    /// Live segments of the table.
    pub segments: u64,
    /// Bytes of the table's live segments.
    pub segment_bytes: u64,
    /// Bytes of the table's flushed facts as JSON lines.
    pub fact_bytes: u64,
    /// The earliest `at` of a fact in the table.
    pub first_at: Option<UnixNanos>,
    /// The latest `at` of a fact in the table.
    pub last_at: Option<UnixNanos>,
}

impl KindSummary {
    fn happened(&mut self, first: UnixNanos, last: UnixNanos) {
        self.first_at = Some(self.first_at.map_or(first, |known| known.min(first)));
        self.last_at = Some(self.last_at.map_or(last, |known| known.max(last)));
    }
}

impl Summary {
    /// The counts of one kind.
    pub fn of(&self, kind: Kind) -> KindSummary {
        self.kinds[kind]
    }

    /// Facts of all kinds that retention rules hide; `None` if that could not be found out.
    pub fn hidden(&self) -> Option<u64> {
        self.kinds.iter().map(|kind| kind.hidden).sum()
    }

    /// Facts of all kinds.
    pub fn facts(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.facts).sum()
    }
}

/// Counts the facts that are there now, from the ledger and the unflushed tail.
pub(crate) fn summarize(context: &Context) -> Result<Summary> {
    let snapshot = context.snapshot()?;
    let tail = snapshot.tail()?;
    let mut summary = Summary {
        unflushed: tail.iter().map(|chunk| chunk.facts()).sum(),
        streams: snapshot.newest()?.len() as u64,
        commits: snapshot.state.head.number.0 + 1,
        ..Summary::default()
    };
    let hidden = hidden_now(context, &snapshot).ok();
    for (kind, of) in summary.kinds.pairs_mut() {
        of.hidden = hidden.map(|hidden| hidden[kind]);
        for segment in snapshot.state.segments(kind) {
            of.facts += segment.rows;
            of.segments += 1;
            of.segment_bytes += segment.bytes;
            of.fact_bytes += segment.fact_bytes;
            of.happened(segment.at.min, segment.at.max);
        }
        for rows in tail.iter().filter_map(|chunk| chunk.rows(kind)) {
            of.facts += rows.batch.num_rows() as u64;
            let times = times(&rows.batch);
            if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
                of.happened(UnixNanos(*first), UnixNanos(*last));
            }
        }
    }
    Ok(summary)
}

fn hidden_now(context: &Context, snapshot: &Snapshot) -> Result<PerKind<u64>> {
    hidden(&context.root, &context.selection(snapshot, context.now())?, snapshot)
}

/// The streams that a process has open for writing now, if they have a journal.
pub(crate) fn live_streams(root: &Path) -> Result<Vec<StreamId>> {
    let mut live = Vec::new();
    for stream in claim::streams(root)? {
        if !claim::files(&claim::folder(root, stream))?.is_empty() && is_owned(root, stream)? {
            live.push(stream);
        }
    }
    Ok(live)
}

/// The wall times of rows, in nanoseconds.
fn times(rows: &RecordBatch) -> Vec<i64> {
    let column = |name| {
        rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>())
    };
    let (given, timestamp, recorded) = (column("wall_time"), column("timestamp"), column("recorded_at"));
    let value = |column: Option<&TimestampNanosecondArray>, row| {
        column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
    };
    (0..rows.num_rows())
        .filter_map(|row| wall_time(value(given, row), value(timestamp, row), value(recorded, row)))
        .collect()
}
