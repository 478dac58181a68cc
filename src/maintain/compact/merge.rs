//! The merge: turns sorted segments into large sorted segments, one batch at a time.
//!
//! Of all open inputs, the one with the earliest row is next. It gives all its rows up to the earliest
//! row of the next input. If inputs do not overlap, that is a whole batch, which is passed on unchanged.
//! If they overlap, short runs are gathered and interleaved. Of a single row only the place is read, and
//! no memory is allocated for it.
//!
//! The ledger needs the sum of the facts' sizes for each new segment. It has those of the old segments,
//! so most facts need not be measured: only those that are dropped, and those of an input that ends up in
//! several segments ([`Share`]).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;

use super::plan::{Part, Piece};
use super::source::{Batch, ByRule, Source, sizes};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::ledger::{Place, Segment, StoreId};
use crate::retention::Selection;
use crate::segment::{SegmentWriter, discard};

/// A run of at least this many rows is passed on unchanged.
const LONG_RUN: usize = 1024;
/// The most rows of shorter runs that are gathered.
const MOST_GATHERED_ROWS: usize = 8192;
/// The assumed bytes of a row; fewer rows are gathered if these might make a segment much too large.
const ROW_BYTES: u64 = 256;
/// The most batches that are gathered; they stay in memory meanwhile.
const GATHERED_BATCHES: usize = 256;
/// The most bytes that are gathered.
const GATHERED_BYTES: usize = 64 << 20;

/// The data that all merges of a compaction share.
pub(super) struct Merging<'a> {
    pub(super) context: &'a Context,
    pub(super) store: StoreId,
    pub(super) rules: &'a Selection,
    pub(super) target_bytes: u64,
    /// The number of rows that were read.
    pub(super) done: &'a AtomicU64,
    pub(super) stop: &'a Stop<'a>,
}

/// Conditions to stop before the end.
pub(super) struct Stop<'a> {
    /// The caller asked to stop.
    pub(super) asked: Option<&'a AtomicBool>,
    /// Another thread has failed.
    pub(super) failed: AtomicBool,
}

impl Stop<'_> {
    pub(super) fn check(&self) -> Result<()> {
        let asked = self.asked.is_some_and(|asked| asked.load(Ordering::Relaxed));
        if asked || self.failed.load(Ordering::Relaxed) {
            let why = "the compaction was stopped before its end; the store is unchanged";
            return Err(Error::new(ErrorKind::Cancelled, why));
        }
        Ok(())
    }
}

/// A segment to merge.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) segment: Arc<Segment>,
    pub(super) piece: Piece,
    /// Whether rows of it may be dropped.
    pub(super) judged: bool,
}

/// The result of merging a part.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// The new segments. The sizes of their facts are not known yet.
    pub(super) segments: Vec<Segment>,
    pub(super) shares: Vec<Share>,
}

/// The new segments that have the rows of one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// The index of the input.
    pub(super) input: usize,
    pub(super) kept: u64,
    pub(super) dropped: ByRule,
    /// New segments, by index, with the sizes of the input's facts in them.
    pub(super) measured: Vec<(usize, u64)>,
    /// The new segment that has the other facts of the input.
    pub(super) rest: Option<usize>,
}

/// Merges one part.
pub(super) fn merge(merging: &Merging<'_>, kind: Kind, inputs: &[Input], part: &Part) -> Result<Merged> {
    let mut merge = Merge::new(merging, kind, inputs, part);
    match merge.run().and_then(|()| merge.end_segment()) {
        Ok(()) => Ok(merge.merged),
        Err(error) => {
            merge.give_up();
            Err(error)
        }
    }
}

/// An open input.
struct Cursor {
    share: usize,
    source: Source,
    rules: bool,
    batch: Batch,
    at: usize,
    /// The index of its batch among the gathered ones.
    slot: Option<usize>,
    /// Sums of the sizes of the batch's facts up to each row, if they must be measured.
    sums: Option<Vec<u64>>,
    measured: bool,
}

struct Merge<'a> {
    merging: &'a Merging<'a>,
    kind: Kind,
    inputs: &'a [Input],
    part: &'a Part,
    /// Inputs that begin later than all open ones, the earliest last.
    waiting: Vec<usize>,
    cursors: Vec<Option<Cursor>>,
    next: BinaryHeap<Reverse<(Place, usize)>>,
    gathered: Gathered,
    /// The most rows that are gathered.
    gathered_rows: usize,
    writer: Option<SegmentWriter<'a>>,
    merged: Merged,
    /// The most rows that there can be, and the rows and bytes that were written.
    expected: u64,
    rows: u64,
    bytes: u64,
}

#[derive(Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    /// The runs: batch, first row, end.
    runs: Vec<(usize, usize, usize)>,
    rows: usize,
    /// The bytes of the gathered batches.
    bytes: usize,
    indices: Vec<(usize, usize)>,
}

impl<'a> Merge<'a> {
    fn new(merging: &'a Merging<'a>, kind: Kind, inputs: &'a [Input], part: &'a Part) -> Self {
        let mut waiting = part.pieces.clone();
        let first = |at: &usize| inputs.get(*at).map(|input| input.piece.first);
        waiting.sort_by_key(|at| Reverse(first(at)));
        let rows = |at: &usize| inputs.get(*at).map_or(0, |input| input.segment.rows);
        Self {
            merging,
            kind,
            inputs,
            part,
            expected: waiting.iter().map(rows).sum(),
            waiting,
            cursors: Vec::new(),
            next: BinaryHeap::new(),
            gathered: Gathered::default(),
            gathered_rows: usize::try_from(merging.target_bytes / ROW_BYTES)
                .unwrap_or(MOST_GATHERED_ROWS)
                .clamp(64, MOST_GATHERED_ROWS),
            writer: None,
            merged: Merged::default(),
            rows: 0,
            bytes: 0,
        }
    }

    fn run(&mut self) -> Result<()> {
        loop {
            let limit = self.open_what_begins()?;
            let Some(Reverse((_, at))) = self.next.pop() else { break };
            let limit =
                [limit, self.next.peek().map(|Reverse((place, _))| *place)].into_iter().flatten().min();
            self.take(at, limit)?;
            if self.gathered.rows >= self.gathered_rows || self.gathered.is_full() {
                self.write_gathered()?;
            }
            if self.gathered.rows == 0 && self.is_large_enough() {
                self.end_segment()?;
                self.measure_the_rest()?;
            }
        }
        self.write_gathered()
    }

    /// Opens the inputs that may have the next row. Returns the place where the next closed input begins.
    fn open_what_begins(&mut self) -> Result<Option<Place>> {
        while let Some(at) = self.waiting.last().copied() {
            let Some(input) = self.inputs.get(at) else { break };
            let first = input.piece.first;
            if self.next.peek().is_some_and(|Reverse((place, _))| *place < first) {
                return Ok(Some(first));
            }
            self.waiting.pop();
            self.open(at, input)?;
        }
        Ok(None)
    }

    fn open(&mut self, at: usize, input: &'a Input) -> Result<()> {
        let (from, to) = (self.part.from, self.part.to);
        let mut source = Source::open(&self.merging.context.root, &input.segment, from, to)?;
        let mut share = Share { input: at, ..Share::default() };
        let rules = input.judged.then_some(self.merging.rules);
        let first = source.next(rules, &mut share.dropped)?;
        self.merged.shares.push(share);
        let Some(batch) = first else { return Ok(()) };
        // An input that another part also reads.
        let measured =
            from.is_some_and(|from| input.piece.first < from) || to.is_some_and(|to| input.piece.last >= to);
        let cursor = Cursor {
            share: self.merged.shares.len() - 1,
            source,
            rules: input.judged,
            batch,
            at: 0,
            slot: None,
            sums: None,
            measured,
        };
        let free = self.cursors.iter().position(Option::is_none);
        let number = free.unwrap_or(self.cursors.len());
        if free.is_none() {
            self.cursors.push(None);
        }
        self.put(number, cursor)
    }

    /// Adds a cursor with a new batch to the open ones.
    fn put(&mut self, number: usize, mut cursor: Cursor) -> Result<()> {
        self.merging.stop.check()?;
        self.merging.done.fetch_add(cursor.batch.len() as u64, Ordering::Relaxed);
        cursor.at = 0;
        cursor.slot = None;
        cursor.sums = if cursor.measured { Some(sums(self.kind, &cursor.batch.rows)?) } else { None };
        self.next.push(Reverse((cursor.batch.place(0), number)));
        if let Some(place) = self.cursors.get_mut(number) {
            *place = Some(cursor);
        }
        Ok(())
    }

    /// Takes the rows of an input that come before a place.
    fn take(&mut self, number: usize, limit: Option<Place>) -> Result<()> {
        let Some(cursor) = self.cursors.get_mut(number).and_then(Option::as_mut) else { return Ok(()) };
        let (at, end) = (cursor.at, cursor.batch.run_end(cursor.at, limit));
        cursor.at = end;
        let rows = end - at;
        let long = rows >= LONG_RUN;
        if let Some(share) = self.merged.shares.get_mut(cursor.share) {
            share.kept += rows as u64;
            let segment = self.merged.segments.len();
            match &cursor.sums {
                None => {
                    share.rest.get_or_insert(segment);
                }
                Some(sums) => {
                    let sum = |row: usize| sums.get(row).copied().unwrap_or_default();
                    let bytes = sum(end) - sum(at);
                    match share.measured.last_mut().filter(|(last, _)| *last == segment) {
                        Some((_, known)) => *known += bytes,
                        None => share.measured.push((segment, bytes)),
                    }
                }
            }
        }
        if long {
            let run = cursor.batch.rows.slice(at, rows);
            self.write_gathered()?;
            self.write(&run)?;
        } else {
            self.gathered.add(&cursor.batch.rows, &mut cursor.slot, at, end);
        }
        self.put_back(number)
    }

    /// Puts an input back, with its next batch if the current one is used up.
    fn put_back(&mut self, number: usize) -> Result<()> {
        let Some(place) = self.cursors.get_mut(number) else { return Ok(()) };
        let Some(mut cursor) = place.take() else { return Ok(()) };
        if cursor.at < cursor.batch.len() {
            self.next.push(Reverse((cursor.batch.place(cursor.at), number)));
            *place = Some(cursor);
            return Ok(());
        }
        let Some(share) = self.merged.shares.get_mut(cursor.share) else { return Ok(()) };
        let rules = cursor.rules.then_some(self.merging.rules);
        match cursor.source.next(rules, &mut share.dropped)? {
            Some(batch) => self.put(number, Cursor { batch, ..cursor }),
            None => Ok(()),
        }
    }

    /// Writes the runs that were gathered.
    fn write_gathered(&mut self) -> Result<()> {
        let rows = self.gathered.take()?;
        for cursor in self.cursors.iter_mut().flatten() {
            cursor.slot = None;
        }
        rows.map_or(Ok(()), |rows| self.write(&rows))
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let Merging { context, store, .. } = *self.merging;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(SegmentWriter::begin_again(&context.disk, &context.root, self.kind, store)?),
        };
        writer.write_batch(rows)
    }

    /// Whether a segment ends here: it is large enough, and the remaining rows are enough for another
    /// one.
    fn is_large_enough(&self) -> bool {
        let Some(writer) = &self.writer else { return false };
        let (bytes, target) = (writer.bytes(), self.merging.target_bytes);
        if bytes < target {
            return false;
        }
        let rows = self.rows + writer.rows();
        let left = u128::from(self.expected.saturating_sub(rows));
        left * u128::from(self.bytes + bytes) / u128::from(rows.max(1)) >= u128::from(target / 2)
    }

    fn end_segment(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let segment = writer.finish()?;
        self.rows += segment.rows;
        self.bytes += segment.bytes;
        self.merged.segments.push(segment);
        Ok(())
    }

    /// The open inputs go on into another segment: from here on their facts are measured.
    fn measure_the_rest(&mut self) -> Result<()> {
        for cursor in self.cursors.iter_mut().flatten() {
            let begun = self.merged.shares.get(cursor.share).is_some_and(|share| share.rest.is_some());
            if begun && !cursor.measured {
                cursor.measured = true;
                cursor.sums = Some(sums(self.kind, &cursor.batch.rows)?);
            }
        }
        Ok(())
    }

    /// Removes the new segments. A file that cannot be removed does no harm.
    fn give_up(self) {
        if let Some(writer) = self.writer {
            writer.abandon();
        }
        discard(&self.merging.context.disk, &self.merging.context.root, &self.merged.segments);
    }
}

/// The sums 0, the first fact's size, the size of the first two, ….
fn sums(kind: Kind, rows: &RecordBatch) -> Result<Vec<u64>> {
    let mut sum = 0;
    let sizes = sizes(kind, rows)?;
    let sums = sizes.into_iter().map(|size| {
        sum += size;
        sum
    });
    Ok(std::iter::once(0).chain(sums).collect())
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.batches.len() >= GATHERED_BATCHES || self.bytes >= GATHERED_BYTES
    }

    /// Adds rows of a batch. `slot` holds the batch's index among the gathered ones.
    fn add(&mut self, batch: &RecordBatch, slot: &mut Option<usize>, at: usize, end: usize) {
        let slot = *slot.get_or_insert_with(|| {
            self.batches.push(batch.clone());
            self.bytes += batch.get_array_memory_size();
            self.batches.len() - 1
        });
        self.rows += end - at;
        match self.runs.last_mut() {
            Some((last, _, last_end)) if *last == slot && *last_end == at => *last_end = end,
            _ => self.runs.push((slot, at, end)),
        }
    }

    /// Takes all gathered rows, in order.
    fn take(&mut self) -> Result<Option<RecordBatch>> {
        let batches = std::mem::take(&mut self.batches);
        let rows = match self.runs.as_slice() {
            [] => None,
            [(slot, at, end)] => batches.get(*slot).map(|batch| batch.slice(*at, end - at)),
            runs => {
                self.indices.clear();
                self.indices
                    .extend(runs.iter().flat_map(|(slot, at, end)| (*at..*end).map(|row| (*slot, row))));
                let batches: Vec<&RecordBatch> = batches.iter().collect();
                let rows = interleave_record_batch(&batches, &self.indices).map_err(|error| {
                    Error::with_source(ErrorKind::Internal, "cannot sort the rows", error)
                })?;
                Some(rows)
            }
        };
        self.runs.clear();
        (self.rows, self.bytes) = (0, 0);
        Ok(rows)
    }
}
