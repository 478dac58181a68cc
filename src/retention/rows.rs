//! Rows for retention: their places and timestamps, and how to read those of a segment.

use std::ops::Range;
use std::path::Path;

use arrow::array::{Array, AsArray, Int32Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::PageIndexPolicy;

use super::cut::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, Seq, StreamId, UnixNanos, columns};
use crate::ledger::Segment;
use crate::segment::SegmentFile;

/// Rows that are read and counted at once. Few in tests, whose segments are small.
pub(super) const BLOCK_ROWS: usize = if cfg!(test) { 3 } else { 8192 };

/// The columns of a fact's place.
pub(super) const PLACE: [&str; 3] = ["recorded_at", "stream", "seq"];

/// The range of some rows in the store's order, and of their timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first: Place,
    pub(super) last: Place,
    pub(super) rows: u64,
    /// The smallest and the largest timestamp with a nanosecond.
    pub(super) timestamp: Option<(i64, i64)>,
    /// The number of rows whose timestamp has no nanosecond: only the rows show whether it is before or
    /// after all others.
    pub(super) no_timestamp: u64,
}

impl Extent {
    /// The extent of a segment, from the ledger. For a segment of one stream the places are exact, since
    /// `recorded_at` never goes backwards there.
    pub(super) fn of(segment: &Segment) -> Self {
        let place = |(recorded_at, stream, seq)| Place { recorded_at, stream, seq };
        Self {
            first: place(segment.first_place()),
            last: place(segment.last_place()),
            rows: segment.rows,
            timestamp: segment.timestamp.map(|range| (range.min.get(), range.max.get())),
            no_timestamp: segment.timestamp_nulls,
        }
    }

    /// The extent of rows in memory; `None` if there are no rows.
    pub(super) fn of_rows(rows: &Places<'_>) -> Option<Self> {
        let first = rows.get(0)?;
        let mut extent = Self { first, last: first, rows: 0, timestamp: None, no_timestamp: 0 };
        for row in 0..rows.len() {
            let place = rows.get(row)?;
            extent.first = extent.first.min(place);
            extent.last = extent.last.max(place);
            extent.rows += 1;
            match rows.timestamp(row) {
                Some(nanos) => {
                    let (min, max) = extent.timestamp.unwrap_or((nanos, nanos));
                    extent.timestamp = Some((min.min(nanos), max.max(nanos)));
                }
                None => extent.no_timestamp += 1,
            }
        }
        Some(extent)
    }
}

/// The places and timestamps of rows in memory.
pub(super) struct Places<'a> {
    recorded_at: &'a TimestampNanosecondArray,
    stream: &'a Int32Array,
    seq: &'a Int64Array,
    timestamp: Option<&'a TimestampNanosecondArray>,
    timestamp_bits: Option<&'a Int64Array>,
}

impl<'a> Places<'a> {
    pub(super) fn of(batch: &'a RecordBatch) -> Result<Self> {
        let instant = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<TimestampNanosecondType>();
        let places = || {
            Some(Self {
                recorded_at: instant("recorded_at")?,
                stream: batch.column_by_name("stream")?.as_primitive_opt::<Int32Type>()?,
                seq: batch.column_by_name("seq")?.as_primitive_opt::<Int64Type>()?,
                timestamp: instant("timestamp"),
                timestamp_bits: batch
                    .column_by_name("timestamp_bits")
                    .and_then(|bits| bits.as_primitive_opt()),
            })
        };
        places().ok_or_else(|| Error::new(ErrorKind::Damaged, "the rows lack the columns of their place"))
    }

    pub(super) fn len(&self) -> usize {
        self.seq.len()
    }

    pub(super) fn get(&self, row: usize) -> Option<Place> {
        (row < self.len()).then(|| Place {
            recorded_at: UnixNanos(self.recorded_at.value(row)),
            stream: StreamId(self.stream.value(row) as u32),
            seq: Seq(self.seq.value(row) as u64),
        })
    }

    /// The timestamp of a row; `None` if it is not a time, or is before all nanoseconds. A timestamp
    /// after all nanoseconds becomes the last one: far in the future, and so not too old.
    pub(super) fn timestamp(&self, row: usize) -> Option<i64> {
        let timestamp = self.timestamp?;
        if timestamp.is_valid(row) {
            return Some(timestamp.value(row));
        }
        let bits = self.timestamp_bits.filter(|bits| bits.is_valid(row))?;
        (f64::from_bits(bits.value(row) as u64) > 0.0).then_some(i64::MAX)
    }
}

/// The sizes of the facts' JSON lines, of rows with all columns.
pub(super) fn line_sizes(kind: Kind, batch: &RecordBatch) -> Result<Vec<u64>> {
    let facts = columns::facts(kind, batch)
        .ok_or_else(|| Error::new(ErrorKind::Damaged, format!("rows of {kind} lack required columns")))?;
    Ok(facts.iter().map(|recorded| recorded.fact.line_len()).collect())
}

/// Reads columns of a segment, or of some of its rows, a block at a time. `each` also gets the number of
/// a block's first row.
pub(super) fn read(
    root: &Path,
    segment: &Segment,
    columns: &[usize],
    rows: Option<Range<usize>>,
    mut each: impl FnMut(usize, &RecordBatch) -> Result<()>,
) -> Result<()> {
    let path = root.join(&segment.path);
    let file = SegmentFile::open(&path, segment, PageIndexPolicy::Optional)?;
    let schema = file.metadata().file_metadata().schema_descr();
    let mask = ProjectionMask::roots(schema, columns.iter().copied());
    let mut reader = file.rows().with_projection(mask).with_batch_size(BLOCK_ROWS);
    if let Some(rows) = &rows {
        let selection = vec![RowSelector::skip(rows.start), RowSelector::select(rows.len())];
        reader = reader.with_row_selection(RowSelection::from(selection));
    }
    let mut reader = file.decode(|| reader.build())?;
    let mut at = rows.map_or(0, |rows| rows.start);
    while let Some(batch) = file.decode(|| reader.next().transpose())? {
        each(at, &batch)?;
        at += batch.num_rows();
    }
    Ok(())
}
