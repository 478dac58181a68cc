//! Lists the newest facts of a kind, from the ends of the segments.
//!
//! A backend's `list_events(limit, since)` is always the same query, and it is called often, so it does
//! not use SQL. Segments are read backwards, newest first, one window of rows at a time, and only as far
//! as the answer needs.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::PageIndexPolicy;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, Kind, Position, Recorded, columns};
use crate::ledger::Segment;
use crate::retention::{Selection, Verdict};
use crate::segment::{SegmentFile, unless_damaged};
use crate::snapshot::Snapshot;

/// The smallest window of rows that is read at once.
const WINDOW_ROWS: usize = 1024;

type Found = Recorded<Fact<'static>>;

/// Lists the newest `limit` facts of a kind, or all without a limit, in the order of recording: only
/// facts that retention keeps and whose timestamp is at least `since` seconds. It ends with
/// [`ErrorKind::Cancelled`] once `cancel` is true.
pub(crate) fn newest(
    context: &Context,
    cancel: &AtomicBool,
    kind: Kind,
    limit: Option<usize>,
    since: Option<f64>,
) -> Result<Vec<Found>> {
    let snapshot = context.snapshot()?;
    newest_of(context, &snapshot, kind, limit, since, cancel, Err).map(|listed| listed.facts)
}

/// Lists the newest facts that can be read, and the damage.
pub(crate) fn newest_readable(
    context: &Context,
    cancel: &AtomicBool,
    kind: Kind,
    limit: Option<usize>,
    since: Option<f64>,
) -> Result<Listed> {
    let snapshot = context.readable_snapshot()?;
    let mut listed =
        newest_of(context, &snapshot, kind, limit, since, cancel, |error| snapshot.note_damage(error))?;
    for damage in snapshot.take_damage() {
        // A segment whose facts the rules must count is read twice.
        if !listed.damage.iter().any(|known| known.to_string() == damage.to_string()) {
            listed.damage.push(damage);
        }
    }
    Ok(listed)
}

/// Continues after a damaged segment, unless `on_damage` returns an error.
fn newest_of(
    context: &Context,
    snapshot: &Snapshot,
    kind: Kind,
    limit: Option<usize>,
    since: Option<f64>,
    cancel: &AtomicBool,
    on_damage: impl Fn(Error) -> Result<()>,
) -> Result<Listed> {
    let mut listed = Listed::default();
    if limit == Some(0) {
        return Ok(listed);
    }
    let explain = |error| context.disk.explain(error);
    let selection = context.selection(snapshot, context.now()).map_err(explain)?;
    let mut newest = Newest::of(limit, since, cancel, selection);
    for stream in snapshot.tail()?.chunk_by(|one, next| one.stream == next.stream) {
        let mut given = 0;
        for rows in stream.iter().rev().filter_map(|chunk| chunk.rows(kind)) {
            given += newest.add(kind, &rows.batch)?;
            if given >= newest.limit {
                break;
            }
        }
    }
    let mut segments = snapshot.state.segments(kind).to_vec();
    segments.sort_by_key(|segment| std::cmp::Reverse(segment.last_place()));
    for segment in segments {
        if newest.is_complete_before(&segment) {
            // All later segments in this order end still earlier.
            break;
        }
        newest.check()?;
        let gone = matches!(newest.selection.segment(&segment), Verdict::DropAll(_));
        if !gone && newest.may_match(&segment) {
            let path = context.root.join(&segment.path);
            if let Err(error) = newest.read(kind, &segment, &path) {
                on_damage(explain(error))?;
                listed.passed_over += newest.read_undamaged(kind, &segment, &path)?;
            }
        }
    }
    newest.trim();
    listed.facts = newest.found;
    Ok(listed)
}

/// The result of [`Store::list_readable`](crate::Store::list_readable).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listed {
    /// The facts that could be read.
    pub facts: Vec<Recorded<Fact<'static>>>,
    /// The number of facts in damaged segments that were skipped; some of them may be in the list.
    pub passed_over: u64,
    /// The damage of each segment, of journals and of the ledger.
    pub damage: Vec<Error>,
}

struct Newest<'a> {
    limit: usize,
    since: Option<f64>,
    cancel: &'a AtomicBool,
    selection: Selection,
    found: Vec<Found>,
}

impl<'a> Newest<'a> {
    fn of(limit: Option<usize>, since: Option<f64>, cancel: &'a AtomicBool, selection: Selection) -> Self {
        Self { limit: limit.unwrap_or(usize::MAX), since, cancel, selection, found: Vec::new() }
    }

    /// Fails once the list is cancelled.
    fn check(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "the list was stopped before its end"));
        }
        Ok(())
    }

    /// Keeps the newest of the facts that were found, in order.
    fn trim(&mut self) {
        self.found
            .sort_by_key(|found| (found.position.recorded_at, found.position.stream, found.position.seq));
        // A damaged segment may have been read twice.
        self.found.dedup_by_key(|found| (found.position.stream, found.position.seq));
        let surplus = self.found.len().saturating_sub(self.limit);
        self.found.drain(..surplus);
    }

    /// Adds the matching rows of a batch that are kept, and returns their number.
    fn add(&mut self, kind: Kind, batch: &RecordBatch) -> Result<usize> {
        let dropped = self.selection.dropped(kind, batch)?;
        let facts = columns::facts(kind, batch)
            .ok_or_else(|| Error::new(ErrorKind::Damaged, format!("rows of {kind} lack required columns")))?;
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
        // One second of tolerance for rounding to nanoseconds.
        let newest = segment.timestamp.map(|range| range.max.get() as f64 / 1e9 + 1.0);
        segment.timestamp_nulls > 0 || newest.is_some_and(|newest| newest >= since)
    }

    /// Reads a segment from its end until there are as many facts as requested.
    fn read(&mut self, kind: Kind, segment: &Segment, path: &Path) -> Result<()> {
        let file = SegmentFile::open(path, segment, PageIndexPolicy::Optional)?;
        let groups = file.group_rows();
        let rows = groups.iter().sum::<usize>();
        let mut end = rows;
        let mut window = self.limit.clamp(WINDOW_ROWS, rows.max(WINDOW_ROWS));
        let mut given = 0;
        while end > 0 && given < self.limit {
            self.check()?;
            let begin = end.saturating_sub(window);
            let (groups, selection) = within_groups(&groups, begin..end);
            let batches = file.decode(|| {
                let reader = file.rows().with_row_groups(groups).with_row_selection(selection);
                reader.with_batch_size(end - begin).build()?.collect::<Result<Vec<_>, ArrowError>>()
            })?;
            for batch in batches.iter().rev() {
                given += self.add(kind, batch)?;
            }
            end = begin;
            window = window.saturating_mul(4);
        }
        Ok(())
    }

    /// Reads the readable part of a damaged segment from its end, until there are as many facts as
    /// requested, and returns the number of skipped rows. Rows that the ledger does not have in this
    /// segment are not facts.
    fn read_undamaged(&mut self, kind: Kind, segment: &Segment, path: &Path) -> Result<u64> {
        let opened = SegmentFile::open(path, segment, PageIndexPolicy::Skip);
        let opened = match unless_damaged(opened)? {
            Some(file) => Some(file),
            None => unless_damaged(SegmentFile::open_without_footer(path, segment))?,
        };
        let Some(file) = opened else { return Ok(segment.rows) };
        let groups = file.group_rows();
        let all: u64 = groups.iter().map(|rows| *rows as u64).sum();
        let mut passed_over = segment.rows.saturating_sub(all);
        let mut given = 0;
        for (group, rows) in groups.into_iter().enumerate().rev() {
            if given >= self.limit {
                break;
            }
            let mut batches = Vec::new();
            file.read_undamaged(group, rows, &mut |batch| {
                batches.push(rows_of(segment, batch)?);
                Ok(())
            })?;
            let read: usize = batches.iter().map(RecordBatch::num_rows).sum();
            passed_over += rows.saturating_sub(read) as u64;
            for batch in batches.iter().rev() {
                given += self.add(kind, batch)?;
            }
        }
        Ok(passed_over)
    }
}

/// The row groups of a file that have some of the given rows, and a selection of the rows in them.
fn within_groups(groups: &[usize], rows: Range<usize>) -> (Vec<usize>, RowSelection) {
    let mut chosen = Vec::new();
    let (mut at, mut first) = (0, 0);
    for (group, count) in groups.iter().enumerate() {
        if at < rows.end && rows.start < at + count {
            if chosen.is_empty() {
                first = at;
            }
            chosen.push(group);
        }
        at += count;
    }
    let skipped = RowSelector::skip(rows.start.saturating_sub(first));
    (chosen, RowSelection::from(vec![skipped, RowSelector::select(rows.len())]))
}

/// The rows whose places the ledger gives to the segment.
fn rows_of(segment: &Segment, rows: &RecordBatch) -> Result<RecordBatch> {
    let recorded = segment.recorded_at;
    let is_of = |place: Position| {
        recorded.min <= place.recorded_at
            && place.recorded_at <= recorded.max
            && segment.streams.iter().any(|range| {
                range.stream == place.stream && (range.first_seq..=range.last_seq).contains(&place.seq)
            })
    };
    let places = columns::positions(rows);
    let mask: BooleanArray = match places {
        Some(places) => places.map(|place| Some(is_of(place))).collect(),
        None => vec![false; rows.num_rows()].into(),
    };
    filter_record_batch(rows, &mask)
        .map_err(|error| Error::with_source(ErrorKind::Internal, "rows cannot be selected", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_row_groups_that_they_overlap() {
        let groups = [10, 5, 20];
        let chosen = |rows: Range<usize>| within_groups(&groups, rows).0;
        assert_eq!(chosen(0..35), [0, 1, 2]);
        assert_eq!(chosen(34..35), [2]);
        assert_eq!(chosen(9..15), [0, 1]);
        assert_eq!(chosen(10..15), [1]);
        assert_eq!(chosen(14..16), [1, 2]);
        let (_, selection) = within_groups(&groups, 12..20);
        assert_eq!((selection.skipped_row_count(), selection.row_count()), (2, 8));
    }
}
