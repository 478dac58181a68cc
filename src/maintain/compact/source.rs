//! A segment as one input of a merge: checked against the ledger, and read one batch at a time, without
//! the rows that retention does not keep.
//!
//! The digest of the whole file is checked before its first page is decoded. A merge gives its output a
//! new digest, and damaged bytes must not get one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::file::metadata::PageIndexPolicy;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, Seq, StreamId, UnixNanos, columns};
use crate::ledger::{Place, Segment, Total};
use crate::retention::{RuleId, Selection};
use crate::segment::{self, SegmentFile};

/// The facts that rules dropped.
pub(super) type ByRule = BTreeMap<RuleId, Total>;

/// The bytes of facts that are decoded at once.
const BATCH_BYTES: u64 = 2 << 20;
/// The most rows that are decoded at once.
const MOST_BATCH_ROWS: usize = 8192;
/// The bytes of a page, and its dictionary, of the few columns that are large.
const PAGES_BYTES: u64 = 3 << 20;

/// The number of rows of a segment that are decoded at once.
fn batch_rows(segment: &Segment) -> usize {
    let of_a_row = (segment.fact_bytes / segment.rows.max(1)).max(1);
    usize::try_from(BATCH_BYTES / of_a_row).unwrap_or(MOST_BATCH_ROWS).clamp(16, MOST_BATCH_ROWS)
}

/// The memory of an open segment, in bytes: about twice its facts if it is small, otherwise a few pages
/// and batches.
pub(super) fn memory(segment: &Segment) -> u64 {
    segment.fact_bytes.saturating_mul(2).min(PAGES_BYTES + 2 * BATCH_BYTES) + (64 << 10)
}

fn damaged(path: &Path, what: &str) -> Error {
    advise(Error::damaged(path, what))
}

/// Adds advice to an error about damage during maintenance.
fn advise(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Damaged => error.hinting(Some(
            "nothing was changed. Run `ostracon scan --deep STORE` to see what is wrong, and `ostracon recover STORE \
             --mode repair` to repair it"
                .to_owned(),
        )),
        _ => error,
    }
}

/// An open segment.
pub(super) struct Source {
    kind: Kind,
    path: PathBuf,
    file: SegmentFile,
    reader: ParquetRecordBatchReader,
    from: Option<Place>,
    to: Option<Place>,
    ended: bool,
}

/// Rows in the store's order, and their places.
pub(super) struct Batch {
    pub(super) rows: RecordBatch,
    recorded_at: TimestampNanosecondArray,
    stream: Int32Array,
    seq: Int64Array,
}

impl Source {
    /// Opens a segment for its rows from one place up to before another, after a check that it is the
    /// committed one.
    pub(super) fn open(
        root: &Path,
        segment: &Segment,
        from: Option<Place>,
        to: Option<Place>,
    ) -> Result<Self> {
        Self::open_with(root, segment, from, to, None, true)
    }

    /// Opens a segment to read only some of its columns, or all of them.
    pub(super) fn look(root: &Path, segment: &Segment, columns: Option<&[usize]>) -> Result<Self> {
        Self::open_with(root, segment, None, None, columns, false)
    }

    fn open_with(
        root: &Path,
        segment: &Segment,
        from: Option<Place>,
        to: Option<Place>,
        columns: Option<&[usize]>,
        prove: bool,
    ) -> Result<Self> {
        let path = root.join(&segment.path);
        let mut file = segment::open(&path).map_err(advise)?;
        if prove {
            let (bytes, blake3) =
                segment::digest(&mut file).map_err(|error| Error::io("read the segment", &path, error))?;
            if bytes != segment.bytes || blake3 != segment.blake3 {
                return Err(damaged(&path, "its bytes differ from those that were committed"));
            }
        }
        let file = SegmentFile::of(file, &path, segment.kind, Some(segment), PageIndexPolicy::Skip)
            .map_err(advise)?;
        let mask = columns.map_or_else(ProjectionMask::all, |columns| {
            let schema = file.metadata().file_metadata().schema_descr();
            ProjectionMask::roots(schema, columns.iter().copied())
        });
        let rows = file.rows().with_batch_size(batch_rows(segment)).with_projection(mask);
        let reader = file.decode(|| rows.build()).map_err(advise)?;
        Ok(Self { kind: segment.kind, path, file, reader, from, to, ended: false })
    }

    /// The next rows, without applying the rules.
    pub(super) fn read(&mut self) -> Result<Option<RecordBatch>> {
        let reader = &mut self.reader;
        self.file.decode(|| reader.next().transpose()).map_err(advise)
    }

    /// The next rows that are kept. Other rows are counted in `dropped`, if rules are given.
    pub(super) fn next(&mut self, rules: Option<&Selection>, dropped: &mut ByRule) -> Result<Option<Batch>> {
        while !self.ended {
            let Some(batch) = self.read()? else {
                self.ended = true;
                break;
            };
            let Some(places) = Batch::of(batch) else {
                return Err(damaged(&self.path, "it lacks required columns"));
            };
            let begin = self.from.map_or(0, |from| places.first_not_before(from));
            let end = self.to.map_or(places.len(), |to| places.first_not_before(to));
            // The rows after the limit are not judged, either.
            self.ended = end < places.len();
            let mut rows = places.rows.slice(begin, end.saturating_sub(begin));
            if let Some(rules) = rules {
                rows = keep(rules, self.kind, rows, dropped)?;
            }
            if rows.num_rows() > 0 {
                return Ok(Batch::of(rows));
            }
        }
        Ok(None)
    }
}

/// The rows of a batch that the rules keep. The others are counted.
fn keep(rules: &Selection, kind: Kind, rows: RecordBatch, dropped: &mut ByRule) -> Result<RecordBatch> {
    let by = rules.dropped(kind, &rows)?;
    if by.iter().all(Option::is_none) {
        return Ok(rows);
    }
    let kept: BooleanArray = by.iter().map(|rule| Some(rule.is_none())).collect();
    let part = |mask: &BooleanArray| filter_record_batch(&rows, mask);
    let failed = |error| Error::with_source(ErrorKind::Internal, "cannot filter the rows", error);
    let gone = not(&kept).and_then(|gone| part(&gone)).map_err(failed)?;
    for (rule, bytes) in by.iter().flatten().zip(sizes(kind, &gone)?) {
        let total = dropped.entry(*rule).or_default();
        *total = total.plus(Total { facts: 1, bytes }).unwrap_or(*total);
    }
    part(&kept).map_err(failed)
}

/// The size of each fact, as a JSON line.
pub(super) fn sizes(kind: Kind, rows: &RecordBatch) -> Result<Vec<u64>> {
    let facts = columns::facts(kind, rows)
        .ok_or_else(|| Error::new(ErrorKind::Damaged, format!("rows of {kind} lack required columns")))?;
    Ok(facts.iter().map(|found| found.fact.line_len()).collect())
}

impl Batch {
    fn of(rows: RecordBatch) -> Option<Self> {
        let column = |name: &str| rows.column_by_name(name);
        let recorded_at = column("recorded_at")?.as_primitive_opt::<TimestampNanosecondType>()?.clone();
        let stream = column("stream")?.as_primitive_opt::<Int32Type>()?.clone();
        let seq = column("seq")?.as_primitive_opt::<Int64Type>()?.clone();
        Some(Self { rows, recorded_at, stream, seq })
    }

    pub(super) fn len(&self) -> usize {
        self.seq.len()
    }

    pub(super) fn place(&self, row: usize) -> Place {
        let (recorded_at, stream, seq) =
            (self.recorded_at.value(row), self.stream.value(row), self.seq.value(row));
        (UnixNanos(recorded_at), StreamId(stream as u32), Seq(seq as u64))
    }

    /// The first row with this place, or a later one.
    fn first_not_before(&self, place: Place) -> usize {
        self.search(0, self.len(), place)
    }

    fn search(&self, mut low: usize, mut high: usize, place: Place) -> usize {
        while low < high {
            let middle = low + (high - low) / 2;
            if self.place(middle) < place {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The end of the run of rows from `at` on that come before a place; it has at least one row. Most
    /// runs are short or the whole batch, so the search begins near `at` and doubles its steps.
    pub(super) fn run_end(&self, at: usize, limit: Option<Place>) -> usize {
        let Some(limit) = limit else { return self.len() };
        let mut low = at + 1;
        let mut step = 1;
        while low + step <= self.len() && self.place(low + step - 1) < limit {
            low += step;
            step *= 2;
        }
        self.search(low.min(self.len()), (low + step).min(self.len()), limit)
    }
}
