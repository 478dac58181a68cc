//! The sources of facts: segments, read by row groups, and chunks of the tail.
//!
//! A reader that follows a store asks for few facts, often, and from the middle of a segment that may be
//! large. So row groups without requested facts are not read. Of the others the two columns that name the
//! facts are read first, and then the other columns of the requested rows only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ParquetRecordBatchReader, RowFilter,
};
use parquet::file::metadata::{PageIndexPolicy, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::cursor::Wanted;
use super::hidden::Hidden;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, FactId, Kind, Position, Recorded, Seq, StreamId, columns};
use crate::ledger::{Place, Segment, StreamRange};
use crate::retention::Selection;
use crate::segment::SegmentFile;

pub(crate) type Found = Recorded<Fact<'static>>;

/// Rows that are turned into facts at once.
const BATCH_ROWS: usize = 1024;

/// The parameters of a read, and its store.
pub(super) struct Reading {
    pub(super) root: PathBuf,
    /// The facts that retention keeps; `None` for all facts.
    pub(super) selection: Option<Selection>,
    pub(super) wanted: Wanted,
    pub(super) hidden: Hidden,
}

impl Reading {
    /// The facts in a batch that are kept.
    fn kept(&mut self, kind: Kind, batch: &RecordBatch) -> Result<Vec<Found>> {
        let dropped = self.selection.as_ref().map(|selection| selection.dropped(kind, batch)).transpose()?;
        let facts = columns::facts(kind, batch).ok_or_else(|| lacking(kind))?;
        // Facts between these rows and those of another batch may be kept, and be read later.
        self.hidden.end_range();
        let mut kept = Vec::with_capacity(facts.len());
        for (row, Recorded { position, fact }) in facts.into_iter().enumerate() {
            let is_dropped = dropped.as_ref().is_some_and(|rows| rows.get(row).is_some_and(Option::is_some));
            if is_dropped {
                self.hidden.hide(position.id());
            } else {
                self.hidden.end_range();
                kept.push(Recorded { position, fact: fact.into_owned() });
            }
        }
        Ok(kept)
    }
}

fn lacking(kind: Kind) -> Error {
    Error::new(ErrorKind::Damaged, format!("rows of {kind} lack required columns"))
}

/// The rows that have not become facts yet.
pub(super) enum Rest {
    Segment(SegmentReader),
    Chunk(ChunkRows),
}

impl Rest {
    /// The next facts; the list may be empty because all are dropped. `None` at the end.
    pub(super) fn read(&mut self, reading: &mut Reading) -> Result<Option<Vec<Found>>> {
        match self {
            Self::Segment(segment) => segment.read(reading),
            Self::Chunk(rows) => rows.read(reading),
        }
    }
}

/// The requested rows of a chunk.
pub(super) struct ChunkRows {
    kind: Kind,
    rows: RecordBatch,
    first: Place,
    at: usize,
}

impl ChunkRows {
    /// The requested rows; `None` if there are none.
    pub(super) fn of(kind: Kind, batch: &RecordBatch, wanted: &Wanted) -> Result<Option<Self>> {
        let positions: Vec<Position> = columns::positions(batch).ok_or_else(|| lacking(kind))?.collect();
        let mask: BooleanArray = positions.iter().map(|position| Some(wanted.is(position.id()))).collect();
        let Some(first) = positions.iter().find(|position| wanted.is(position.id())) else { return Ok(None) };
        let first = (first.recorded_at, first.stream, first.seq);
        let rows = if mask.true_count() == mask.len() {
            batch.clone()
        } else {
            filter_record_batch(batch, &mask)
                .map_err(|error| Error::with_source(ErrorKind::Internal, "rows cannot be selected", error))?
        };
        Ok(Some(Self { kind, rows, first, at: 0 }))
    }

    pub(super) const fn first_place(&self) -> Place {
        self.first
    }

    fn read(&mut self, reading: &mut Reading) -> Result<Option<Vec<Found>>> {
        let rows = BATCH_ROWS.min(self.rows.num_rows() - self.at);
        if rows == 0 {
            return Ok(None);
        }
        let batch = self.rows.slice(self.at, rows);
        self.at += rows;
        reading.kept(self.kind, &batch).map(Some)
    }
}

/// The remaining rows of a segment.
pub(super) struct SegmentReader {
    kind: Kind,
    path: PathBuf,
    file: SegmentFile,
    /// Whether only some of its rows are requested.
    is_filtered: bool,
    facts: Facts,
    /// Row groups that are not open yet, the first one last.
    groups: Vec<usize>,
    reader: Option<ParquetRecordBatchReader>,
}

impl SegmentReader {
    pub(super) fn open(reading: &Reading, segment: &Segment) -> Result<Self> {
        let path = reading.root.join(&segment.path);
        let file = SegmentFile::open(&path, segment, PageIndexPolicy::Skip)?;
        // This uses the ledger, which is checked, and not the file: if all rows are requested, none is
        // skipped.
        let is_filtered = !segment.streams.iter().all(|range| reading.wanted.are_all_of(range));
        let groups = file.metadata().row_groups().iter().enumerate().rev();
        let groups = groups.filter(|(_, group)| !is_filtered || may_have(group, segment, &reading.wanted));
        let groups = groups.map(|(number, _)| number).collect();
        let facts = Facts { ranges: segment.streams.clone(), newest: BTreeMap::new() };
        Ok(Self { kind: segment.kind, path, file, is_filtered, facts, groups, reader: None })
    }

    fn read(&mut self, reading: &mut Reading) -> Result<Option<Vec<Found>>> {
        loop {
            if let Some(reader) = &mut self.reader {
                let batch = self.file.decode(|| reader.next().transpose())?;
                if let Some(batch) = batch {
                    if !self.is_filtered && !self.facts.are_in(&batch) {
                        return Err(Error::damaged(&self.path, NOT_ITS_FACTS));
                    }
                    return reading.kept(self.kind, &batch).map(Some);
                }
            }
            let Some(group) = self.groups.pop() else { return Ok(None) };
            let mut rows = self.file.rows().with_row_groups(vec![group]).with_batch_size(BATCH_ROWS);
            if self.is_filtered {
                let metadata = self.file.arrow_metadata();
                rows = rows.with_row_filter(filter(metadata, reading.wanted.clone(), self.facts.clone()));
            }
            self.reader = Some(self.file.decode(|| rows.build())?);
        }
    }
}

const NOT_ITS_FACTS: &str = "it has other facts than the ledger says";

/// The facts of a segment, according to the ledger. Pages have no checksums: a wrong number must not
/// become the position of a cursor.
#[derive(Clone)]
struct Facts {
    ranges: Vec<StreamRange>,
    newest: BTreeMap<StreamId, Seq>,
}

impl Facts {
    /// Whether the next rows have such facts, in the order of their numbers.
    fn are_in(&mut self, rows: &RecordBatch) -> bool {
        columns::ids(rows).is_some_and(|mut ids| ids.all(|id| self.has(id)))
    }

    fn has(&mut self, FactId { stream, seq }: FactId) -> bool {
        let mut of_stream = self.ranges.iter().filter(|range| range.stream == stream);
        let follows = self.newest.insert(stream, seq).is_none_or(|before| before < seq);
        follows && of_stream.any(|range| (range.first_seq..=range.last_seq).contains(&seq))
    }
}

/// Selects the requested rows by the two columns that name the facts.
fn filter(metadata: &ArrowReaderMetadata, wanted: Wanted, mut facts: Facts) -> RowFilter {
    let names = ProjectionMask::columns(metadata.parquet_schema(), ["stream", "seq"]);
    let predicate = ArrowPredicateFn::new(names, move |batch: RecordBatch| {
        let ids = columns::ids(&batch).filter(|_| facts.are_in(&batch));
        let ids = ids.ok_or_else(|| ArrowError::SchemaError(NOT_ITS_FACTS.to_owned()))?;
        Ok(ids.map(|id| Some(wanted.is(id))).collect())
    });
    RowFilter::new(vec![Box::new(predicate)])
}

/// Whether a row group may have a requested row, according to its statistics.
fn may_have(group: &RowGroupMetaData, segment: &Segment, wanted: &Wanted) -> bool {
    let of = |name: &str| {
        let column = group.columns().iter().find(|column| column.column_path().string() == name)?;
        column.statistics()
    };
    let bounds = || {
        let (Statistics::Int32(streams), Statistics::Int64(seqs)) = (of("stream")?, of("seq")?) else {
            return None;
        };
        Some(((*streams.min_opt()?, *streams.max_opt()?), (*seqs.min_opt()?, *seqs.max_opt()?)))
    };
    let Some(((first_stream, last_stream), (first_seq, last_seq))) = bounds() else { return true };
    segment.streams.iter().any(|range| {
        let stream = i64::from(range.stream.get());
        let within = StreamRange {
            stream: range.stream,
            first_seq: range.first_seq.max(Seq(u64::try_from(first_seq).unwrap_or_default())),
            last_seq: range.last_seq.min(Seq(u64::try_from(last_seq).unwrap_or_default())),
        };
        (i64::from(first_stream)..=i64::from(last_stream)).contains(&stream) && wanted.may_be_in(&within)
    })
}

/// Facts in the store's order, with the next one at the front.
pub(super) struct Source {
    pub(super) next: Found,
    pub(super) facts: std::vec::IntoIter<Found>,
    pub(super) rest: Rest,
}

impl Source {
    pub(super) const fn key(&self) -> Place {
        (self.next.position.recorded_at, self.next.position.stream, self.next.position.seq)
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Source {}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Source {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}
