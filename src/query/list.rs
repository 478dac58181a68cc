//! The newest facts of a kind, straight from the segments' ends.
//!
//! What a backend's `list_events(limit, since)` asks is always the same question, and it is asked
//! often: so it is answered without SQL. Segments are read backwards, newest first, a window of
//! rows at a time, and no further than the answer reaches.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, Kind, Position, Recorded, columns};
use crate::ledger::Segment;
use crate::maintain::retention::{Selection, Verdict};
use crate::segment::{open as open_segment, reader_options};
use crate::store::Store;

/// The smallest window of rows that is read at once.
const WINDOW_ROWS: usize = 1024;

type Found = Recorded<Fact<'static>>;

impl Store {
    /// The newest `limit` facts of a kind that retention keeps and whose timestamp is at least `since` seconds, in order of
    /// recording; all of them without a limit.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the operating system's errors.
    pub fn list(&self, kind: Kind, limit: Option<usize>, since: Option<f64>) -> Result<Vec<Found>> {
        self.list_until(kind, limit, since, |_, error| Err(error)).map(|listed| listed.facts)
    }

    /// The same of what can be read: damaged segments are passed over, and told. For whoever would rather
    /// have the rest than an error.
    ///
    /// # Errors
    /// The operating system's errors, and [`ErrorKind::Damaged`] where it is not a segment that is.
    pub fn list_readable(&self, kind: Kind, limit: Option<usize>, since: Option<f64>) -> Result<Listed> {
        self.list_until(kind, limit, since, |listed, error| {
            if error.kind() != ErrorKind::Damaged {
                return Err(error);
            }
            listed.damage.push(error);
            Ok(())
        })
    }

    /// Goes on after a damaged segment unless `on_damage` says that this is an error.
    fn list_until(
        &self,
        kind: Kind,
        limit: Option<usize>,
        since: Option<f64>,
        mut on_damage: impl FnMut(&mut Listed, Error) -> Result<()>,
    ) -> Result<Listed> {
        let mut listed = Listed::default();
        let limit = limit.unwrap_or(usize::MAX);
        let snapshot = self.snapshot()?;
        if limit == 0 {
            return Ok(listed);
        }
        let selection = Selection::of(self.shared(), &snapshot, self.shared().now())?;
        let mut newest = Newest { limit, since, selection, found: Vec::new() };
        for stream in snapshot.tail()?.chunk_by(|one, next| one.stream == next.stream) {
            let mut given = 0;
            for rows in stream.iter().rev().filter_map(|chunk| chunk.rows(kind)) {
                given += newest.add(kind, &rows.batch)?;
                if given >= limit {
                    break;
                }
            }
        }
        let mut segments = snapshot.state.segments(kind).to_vec();
        segments.sort_by_key(|segment| std::cmp::Reverse(segment.last_place()));
        for segment in segments {
            if newest.is_complete_before(&segment) {
                // All that follow end earlier still.
                break;
            }
            let gone = matches!(newest.selection.segment(&segment), Verdict::DropAll(_));
            if !gone && newest.may_match(&segment) {
                let path = self.path().join(&segment.path);
                if let Err(error) = newest.read(kind, &segment, &path) {
                    on_damage(&mut listed, error)?;
                    listed.passed_over += segment.rows;
                }
            }
        }
        newest.trim();
        listed.facts = newest.found;
        Ok(listed)
    }
}

/// What [`Store::list_readable`] has found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listed {
    /// The facts.
    pub facts: Vec<Recorded<Fact<'static>>>,
    /// Facts in damaged segments, of which some may be among those found.
    pub passed_over: u64,
    /// What is wrong with each of these segments.
    pub damage: Vec<Error>,
}

struct Newest {
    limit: usize,
    since: Option<f64>,
    selection: Selection,
    found: Vec<Found>,
}

impl Newest {
    /// Keeps the newest of what was found, in order.
    fn trim(&mut self) {
        self.found
            .sort_by_key(|found| (found.position.recorded_at, found.position.stream, found.position.seq));
        let surplus = self.found.len().saturating_sub(self.limit);
        self.found.drain(..surplus);
    }

    /// Adds the matching rows of a batch that are kept, and returns how many that are.
    fn add(&mut self, kind: Kind, batch: &RecordBatch) -> Result<usize> {
        let dropped = self.selection.dropped(kind, batch)?;
        let facts = columns::facts(kind, batch).ok_or_else(|| {
            Error::new(ErrorKind::Damaged, format!("rows of {kind} lack columns that belong there"))
        })?;
        let matching = facts
            .into_iter()
            .zip(dropped)
            .rev()
            .filter_map(|(found, dropped)| dropped.is_none().then_some(found))
            .filter(|found| self.since.is_none_or(|since| found.fact.timestamp().seconds() >= since));
        let before = self.found.len();
        self.found.extend(
            matching
                .take(self.limit)
                .map(|found| Recorded { position: found.position, fact: found.fact.into_owned() }),
        );
        let added = self.found.len() - before;
        if self.found.len() / 2 > self.limit {
            self.trim();
        }
        Ok(added)
    }

    /// Whether there are enough facts, all newer than any in this segment.
    fn is_complete_before(&mut self, segment: &Segment) -> bool {
        if self.found.len() < self.limit {
            return false;
        }
        self.trim();
        let Some(oldest) = self.found.first().filter(|_| self.found.len() == self.limit) else {
            return false;
        };
        let Position { stream, seq, recorded_at } = oldest.position;
        (recorded_at, stream, seq) > segment.last_place()
    }

    fn may_match(&self, segment: &Segment) -> bool {
        let Some(since) = self.since else { return true };
        // A second of grace for what rounding to nanoseconds may do.
        let newest = segment.timestamp.map(|range| range.max.get() as f64 / 1e9 + 1.0);
        segment.timestamp_nulls > 0 || newest.is_some_and(|newest| newest >= since)
    }

    /// Reads a segment from its end until it has given as many facts as are asked for.
    fn read(&mut self, kind: Kind, segment: &Segment, path: &std::path::Path) -> Result<()> {
        let read = AssertUnwindSafe(|| self.read_backwards(kind, segment, path));
        // A decoder may panic on damaged bytes.
        catch_unwind(read).unwrap_or_else(|_| Err(Error::damaged(path, "its pages cannot be decoded")))
    }

    fn read_backwards(&mut self, kind: Kind, segment: &Segment, path: &std::path::Path) -> Result<()> {
        let damaged = |error: &dyn std::fmt::Display| Error::damaged(path, error);
        let file = open_segment(path)?;
        let options = reader_options(kind).with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(|error| damaged(&error))?;
        let rows = usize::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or_default();
        if rows as u64 != segment.rows {
            return Err(damaged(&format_args!("it has {rows} rows, and the ledger says {}", segment.rows)));
        }
        let mut end = rows;
        let mut window = self.limit.clamp(WINDOW_ROWS, rows.max(WINDOW_ROWS));
        let mut given = 0;
        while end > 0 && given < self.limit {
            let begin = end.saturating_sub(window);
            let file = file.try_clone().map_err(|error| Error::io("open the segment", path, error))?;
            let selection =
                RowSelection::from(vec![RowSelector::skip(begin), RowSelector::select(end - begin)]);
            let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
                .with_row_selection(selection)
                .with_batch_size(end - begin)
                .build()
                .map_err(|error| damaged(&error))?;
            let batches = batches.collect::<Result<Vec<_>, _>>().map_err(|error| damaged(&error))?;
            for batch in batches.iter().rev() {
                given += self.add(kind, batch)?;
            }
            end = begin;
            window = window.saturating_mul(4);
        }
        Ok(())
    }
}
