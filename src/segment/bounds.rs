//! The description of a segment's rows for the ledger: their number, streams and times.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};

use crate::fact::{Seq, StreamId, UnixNanos};
use crate::ledger::{StreamRange, TimeRange};

/// The bounds of the rows that were added so far.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) rows: u64,
    seqs: BTreeMap<i32, (i64, i64)>,
    pub(crate) recorded_at: Option<TimeRange>,
    pub(crate) timestamp: Option<TimeRange>,
    pub(crate) timestamp_nulls: u64,
    pub(crate) at: Option<TimeRange>,
}

impl Bounds {
    /// Adds the rows of a batch with the columns of a segment.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        let instants = |name| batch.column_by_name(name)?.as_primitive_opt::<TimestampNanosecondType>();
        let (Some(recorded_at), Some(timestamp), Some(wall_time)) =
            (instants("recorded_at"), instants("timestamp"), instants("wall_time"))
        else {
            return;
        };
        let range = |array| Some(TimeRange { min: UnixNanos(min(array)?), max: UnixNanos(max(array)?) });
        for (known, found) in
            [(&mut self.recorded_at, range(recorded_at)), (&mut self.timestamp, range(timestamp))]
        {
            if let Some(found) = found {
                TimeRange::cover(known, found);
            }
        }
        self.timestamp_nulls += timestamp.null_count() as u64;
        for ((recorded, timestamp), wall) in recorded_at.iter().zip(timestamp).zip(wall_time) {
            if let Some(at) = crate::fact::wall_time(wall, timestamp, recorded) {
                TimeRange::cover(&mut self.at, TimeRange { min: UnixNanos(at), max: UnixNanos(at) });
            }
        }
        let column = |name| batch.column_by_name(name);
        if let Some(streams) = column("stream").and_then(|streams| streams.as_primitive_opt::<Int32Type>())
            && let Some(seqs) = column("seq").and_then(|seqs| seqs.as_primitive_opt::<Int64Type>())
        {
            self.add_places(streams, seqs);
        }
    }

    fn add_places(&mut self, streams: &PrimitiveArray<Int32Type>, seqs: &PrimitiveArray<Int64Type>) {
        let mut seqs = seqs.values().as_ref();
        for run in streams.values().chunk_by(|one, next| one == next) {
            let (of_run, rest) = seqs.split_at_checked(run.len()).unwrap_or((seqs, &[]));
            seqs = rest;
            let (Some(stream), Some(low), Some(high)) =
                (run.first(), of_run.iter().min(), of_run.iter().max())
            else {
                return;
            };
            let (first, last) = self.seqs.entry(*stream).or_insert((*low, *high));
            *first = *low.min(first);
            *last = *high.max(last);
        }
    }

    /// The smallest and largest `seq` of each stream.
    pub(crate) fn streams(&self) -> Vec<StreamRange> {
        let ranges = self.seqs.iter().map(|(stream, (first, last))| StreamRange {
            stream: StreamId(*stream as u32),
            first_seq: Seq(*first as u64),
            last_seq: Seq(*last as u64),
        });
        ranges.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::columns::RowsBuilder;
    use crate::fact::{Event, Json, Kind};

    #[test]
    fn each_stream_has_its_own_range() {
        let mut bounds = Bounds::default();
        for (stream, seq, recorded_at) in [(2, 7, 30), (1, 4, 10), (2, 9, 40), (1, 3, 20)] {
            let mut rows = RowsBuilder::new(Kind::Event);
            let fact = Event::new("s", "s:1", "ActorStarted", Json::empty_object(), 1.0).into();
            rows.push(Seq(seq), UnixNanos(recorded_at), &fact, None);
            bounds.add(&rows.finish(StreamId(stream), Seq(0)).batch);
        }
        let range = |stream, first, last| StreamRange {
            stream: StreamId(stream),
            first_seq: Seq(first),
            last_seq: Seq(last),
        };
        assert_eq!(bounds.streams(), [range(1, 3, 4), range(2, 7, 9)]);
        assert_eq!(bounds.rows, 4);
        assert_eq!(bounds.recorded_at, Some(TimeRange { min: UnixNanos(10), max: UnixNanos(40) }));
        // One second is not a wall time: so `at` is the time of recording.
        assert_eq!(bounds.at, bounds.recorded_at);
    }
}
