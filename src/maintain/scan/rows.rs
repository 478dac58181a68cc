//! Decodes every row of a segment, and sums up the rows.
//!
//! Only bytes whose digest was compared may be given to this decoder.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::fact_set::FactSet;
use super::segments::spans;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, Seq, StreamId, UnixNanos, columns, wall_time};
use crate::ledger::{Segment, StreamRange, TimeRange};
use crate::segment::SegmentFile;

/// Rows that are decoded at once, unless they are large.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: u64 = 16 << 20;

/// A fact's place: stream, number, time of recording.
pub(super) type Place = (StreamId, Seq, UnixNanos);

/// A summary of the rows of a segment.
#[derive(Debug, Default)]
pub(super) struct Described {
    rows: u64,
    streams: BTreeMap<StreamId, (Seq, Seq)>,
    pub(super) fact_bytes: u64,
    pub(super) recorded_at: Option<TimeRange>,
    pub(super) timestamp: Option<TimeRange>,
    pub(super) timestamp_nulls: u64,
    pub(super) at: Option<TimeRange>,
    /// The first two facts of one stream that are in the wrong order.
    pub(super) disorder: Option<(Place, Place)>,
    /// Facts that are in this segment and in another, or twice in this one.
    pub(super) again: Vec<StreamRange>,
    /// The newest fact of each stream so far.
    newest: BTreeMap<StreamId, Place>,
}

impl Described {
    /// Decodes every page, and adds the facts to the set of seen facts. The inner error says why they
    /// cannot be decoded.
    pub(super) fn read(
        file: &File,
        path: &Path,
        segment: &Segment,
        seen: &Mutex<FactSet>,
    ) -> Result<Result<Self, String>> {
        match Self::read_rows(file, path, segment, seen) {
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(Err(error.to_string())),
            read => read.map(Ok),
        }
    }

    fn read_rows(file: &File, path: &Path, segment: &Segment, seen: &Mutex<FactSet>) -> Result<Self> {
        let file = file.try_clone().map_err(|error| Error::io("open again", path, error))?;
        let file = SegmentFile::of(file, path, segment.kind, Some(segment), PageIndexPolicy::Skip)?;
        let batch_rows = batch_rows(file.metadata());
        let mut reader = file.decode(|| file.rows().with_batch_size(batch_rows).build())?;
        let mut described = Self::default();
        while let Some(batch) = file.decode(|| reader.next().transpose())? {
            let lacks = || Error::damaged(path, "the rows lack required columns");
            described.add(segment.kind, &batch, seen).ok_or_else(lacks)?;
        }
        Ok(described)
    }

    fn add(&mut self, kind: Kind, batch: &RecordBatch, seen: &Mutex<FactSet>) -> Option<()> {
        let instants = |name| batch.column_by_name(name)?.as_primitive_opt::<TimestampNanosecondType>();
        let (recorded_at, timestamp) = (instants("recorded_at")?, instants("timestamp")?);
        let wall = instants("wall_time")?;
        let stream = batch.column_by_name("stream")?.as_primitive_opt::<Int32Type>()?;
        let seq = batch.column_by_name("seq")?.as_primitive_opt::<Int64Type>()?;

        self.rows += batch.num_rows() as u64;
        cover(&mut self.recorded_at, recorded_at);
        cover(&mut self.timestamp, timestamp);
        self.timestamp_nulls += timestamp.null_count() as u64;
        for ((recorded, timestamp), wall) in recorded_at.iter().zip(timestamp).zip(wall) {
            if let Some(at) = wall_time(wall, timestamp, recorded).map(UnixNanos) {
                TimeRange::cover(&mut self.at, TimeRange { min: at, max: at });
            }
        }
        self.fact_bytes += columns::each_fact(kind, batch)?.map(|fact| fact.fact.line_len()).sum::<u64>();
        self.place(stream, seq, recorded_at, seen);
        Some(())
    }

    /// Adds the facts of a batch to each stream.
    fn place(
        &mut self,
        stream: &PrimitiveArray<Int32Type>,
        seq: &PrimitiveArray<Int64Type>,
        recorded_at: &PrimitiveArray<TimestampNanosecondType>,
        seen: &Mutex<FactSet>,
    ) {
        let places = stream.values().iter().zip(seq.values()).zip(recorded_at.values());
        let places: Vec<Place> = places
            .map(|((stream, seq), at)| (StreamId(*stream as u32), Seq(*seq as u64), UnixNanos(*at)))
            .collect();
        // A merged segment has the facts of several streams in mixed order.
        let mut by_stream: BTreeMap<StreamId, Vec<Place>> = BTreeMap::new();
        for run in places.chunk_by(|(one, ..), (next, ..)| one == next) {
            if let Some((stream, ..)) = run.first() {
                by_stream.entry(*stream).or_default().extend_from_slice(run);
            }
        }
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (stream, places) in by_stream {
            let again = seen.add(stream, places.iter().map(|(_, seq, _)| seq.0));
            for seq in again {
                self.note_again(stream, seq);
            }
            self.follow(stream, &places);
        }
    }

    /// Follows the facts of one stream, and notes the first that is out of order.
    fn follow(&mut self, stream: StreamId, places: &[Place]) {
        let (Some(first), Some(last)) = (places.first(), places.last()) else { return };
        let in_order = |one: &Place, next: &Place| one.1 < next.1 && one.2 <= next.2;
        let across = self.newest.insert(stream, *last).map(|before| (before, *first));
        let within = places.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?)));
        let wrong = across.into_iter().chain(within).find(|(one, next)| !in_order(one, next));
        self.disorder = self.disorder.or(wrong);
        let (low, high) = self.streams.entry(stream).or_insert((first.1, first.1));
        for (_, seq, _) in places {
            *low = (*low).min(*seq);
            *high = (*high).max(*seq);
        }
    }

    fn note_again(&mut self, stream: StreamId, seq: Seq) {
        match self.again.last_mut() {
            Some(range) if range.stream == stream && range.last_seq.next() == seq => range.last_seq = seq,
            _ => self.again.push(StreamRange { stream, first_seq: seq, last_seq: seq }),
        }
    }

    /// Describes the segment's facts, in the words that are used for the ledger's facts.
    pub(super) fn says(&self, kind: Kind) -> String {
        let ranges = self.streams.iter().map(|(stream, (first_seq, last_seq))| StreamRange {
            stream: *stream,
            first_seq: *first_seq,
            last_seq: *last_seq,
        });
        format!("a segment of {} {kind}, {}", self.rows, spans(&ranges.collect::<Vec<_>>()))
    }
}

fn cover(range: &mut Option<TimeRange>, found: &PrimitiveArray<TimestampNanosecondType>) {
    if let (Some(min), Some(max)) = (min(found), max(found)) {
        TimeRange::cover(range, TimeRange { min: UnixNanos(min), max: UnixNanos(max) });
    }
}

/// How many rows are decoded at once, so that memory stays bounded.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let row_bytes = metadata.row_groups().iter().map(|group| {
        let (bytes, rows) = (group.total_byte_size().max(0) as u64, group.num_rows().max(1) as u64);
        (bytes / rows).max(1)
    });
    let most = row_bytes.max().map_or(BATCH_BYTES, |bytes| BATCH_BYTES / bytes);
    usize::try_from(most).unwrap_or(BATCH_ROWS).clamp(16, BATCH_ROWS)
}
