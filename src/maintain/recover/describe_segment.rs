//! Makes the ledger's description of a segment from its file alone.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::TimestampNanosecondType;

use crate::error::Result;
use crate::fact::{Seq, UnixNanos, columns, wall_time};
use crate::ledger::{Segment, StreamRange, TimeRange};
use crate::maintain::coverage::Coverage;
use crate::maintain::damaged_segment::DamagedSegment;

/// Reads a whole file, and describes it. `None` unless every row can be read.
pub(super) fn describe(
    wreck: &DamagedSegment,
    path: &str,
    bytes: u64,
    blake3: &str,
) -> Result<Option<Segment>> {
    let mut seen = RowStatistics::default();
    wreck.read(&mut |batch| {
        seen.add(wreck, batch);
        Ok(())
    })?;
    let (Some(recorded_at), Some(at)) = (seen.recorded_at, seen.at) else { return Ok(None) };
    if seen.rows != wreck.rows() {
        return Ok(None);
    }
    let mut streams: Vec<StreamRange> = Vec::new();
    for range in seen.places.ranges() {
        match streams.last_mut().filter(|last| last.stream == range.stream) {
            Some(last) => last.last_seq = range.last_seq,
            None => streams.push(range),
        }
    }
    Ok(Some(Segment {
        path: path.to_owned(),
        kind: wreck.kind(),
        rows: seen.rows,
        bytes,
        blake3: blake3.to_owned(),
        fact_bytes: seen.fact_bytes,
        streams,
        recorded_at,
        timestamp: seen.timestamp,
        timestamp_nulls: seen.timestamp_nulls,
        at,
    }))
}

#[derive(Default)]
struct RowStatistics {
    rows: u64,
    fact_bytes: u64,
    places: Coverage,
    recorded_at: Option<TimeRange>,
    timestamp: Option<TimeRange>,
    timestamp_nulls: u64,
    at: Option<TimeRange>,
}

impl RowStatistics {
    fn add(&mut self, wreck: &DamagedSegment, batch: &RecordBatch) {
        let Some(facts) = columns::facts(wreck.kind(), batch) else { return };
        self.rows += facts.len() as u64;
        for found in &facts {
            self.fact_bytes += found.fact.line_len();
            self.places.insert(found.position.stream, Seq(found.position.seq.0));
        }
        let instants = |name| batch.column_by_name(name)?.as_primitive_opt::<TimestampNanosecondType>();
        let (Some(recorded_at), Some(timestamp), Some(wall)) =
            (instants("recorded_at"), instants("timestamp"), instants("wall_time"))
        else {
            return;
        };
        for (known, column) in [(&mut self.recorded_at, recorded_at), (&mut self.timestamp, timestamp)] {
            if let (Some(min), Some(max)) = (min(column), max(column)) {
                TimeRange::cover(known, TimeRange { min: UnixNanos(min), max: UnixNanos(max) });
            }
        }
        self.timestamp_nulls += timestamp.null_count() as u64;
        for ((recorded, timestamp), wall) in recorded_at.iter().zip(timestamp).zip(wall) {
            if let Some(at) = wall_time(wall, timestamp, recorded) {
                TimeRange::cover(&mut self.at, TimeRange { min: UnixNanos(at), max: UnixNanos(at) });
            }
        }
    }
}
