//! Following a store: every fact in the store's order, from a cursor on.
//!
//! A [`Cursor`] is a position in every stream. Within a stream facts come in the order of their
//! `seq`, so whoever keeps the cursor of what it has dealt with, and goes on from there, gets
//! every fact at least once, whatever is killed. Across streams facts of one call come in the
//! store's order (`recorded_at`, `stream`, `seq`); a stream that is flushed or found later adds
//! its facts later.
//!
//! Only facts that retention keeps are given, as of the moment in which a call begins. Whoever ships
//! facts elsewhere should be quicker than the rules are strict: what is dropped before it was
//! shipped is passed over without a word. It is counted in the ledger, and `retention STORE explain` tells.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, Kind, Recorded, Seq, StreamId, columns};
use crate::ledger::{Place, Segment};
use crate::maintain::retention::{Selection, Verdict};
use crate::segment::{open as open_segment, reader_options};
use crate::snapshot::Snapshot;
use crate::store::Store;

type Found = Recorded<Fact<'static>>;

/// Rows of a segment that are in memory at once.
const BATCH_ROWS: usize = 1024;

/// A position in every stream: what has been dealt with.
///
/// Its text form is short, and for keeping: `1:120,2:77` is fact 120 of stream 1 and fact 77 of
/// stream 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(BTreeMap<StreamId, Seq>);

impl Cursor {
    /// The position before everything.
    pub fn start() -> Self {
        Self::default()
    }

    /// Moves behind this fact.
    pub fn advance<T>(&mut self, fact: &Recorded<T>) {
        let seq = self.0.entry(fact.position.stream).or_default();
        *seq = fact.position.seq.max(*seq);
    }

    fn seq(&self, stream: StreamId) -> Seq {
        self.0.get(&stream).copied().unwrap_or_default()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (stream, seq)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{stream}:{seq}")?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::new(ErrorKind::Query, format!("{text:?} is not a cursor; one looks like 1:120,2:77"));
        let mut cursor = BTreeMap::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (stream, seq) = part.split_once(':').ok_or_else(wrong)?;
            let stream = stream.trim().parse().map_err(|_| wrong())?;
            let seq = seq.trim().parse().map_err(|_| wrong())?;
            cursor.insert(StreamId(stream), Seq(seq));
        }
        Ok(Self(cursor))
    }
}

impl Store {
    /// Every fact that is there now, that retention keeps and that the cursor has not passed, in the
    /// store's order.
    ///
    /// ```
    /// # use ostracon::{Cursor, Event, Json, Store};
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Store::open(folder.path().join("facts"))?;
    /// # store.record(Event::new("shop", "shop:1", "ActorStarted", Json::empty_object(), 1.0))?;
    /// let mut cursor = Cursor::start();
    /// for fact in store.after(&cursor)? {
    ///     let fact = fact?;
    ///     println!("{}", fact.to_line());
    ///     cursor.advance(&fact);
    /// }
    /// assert!(store.after(&cursor)?.next().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the operating system's errors, here or from the iterator.
    pub fn after(&self, cursor: &Cursor) -> Result<After> {
        let snapshot = Arc::new(self.snapshot()?);
        let selection = Arc::new(Selection::of(self.shared(), &snapshot, self.shared().now())?);
        let mut after = After {
            cursor: cursor.clone(),
            root: self.path().to_path_buf(),
            selection: Arc::clone(&selection),
            waiting: Vec::new(),
            open: BinaryHeap::new(),
            _snapshot: Arc::clone(&snapshot),
        };
        for kind in Kind::ALL {
            for segment in snapshot.state.segments(kind) {
                if matches!(selection.segment(segment), Verdict::DropAll(_)) {
                    continue;
                }
                if segment.streams.iter().any(|range| range.last_seq > cursor.seq(range.stream)) {
                    after.waiting.push(Arc::clone(segment));
                }
            }
        }
        after.waiting.sort_by_key(|segment| Reverse(segment.first_place()));
        for chunk in snapshot.tail()? {
            for kind in Kind::ALL {
                if let Some(rows) = chunk.rows(kind) {
                    after.add(owned(&selection, kind, &rows.batch)?.into_iter(), None)?;
                }
            }
        }
        Ok(after)
    }
}

/// What [`Store::after`] returns: facts in the store's order.
pub struct After {
    cursor: Cursor,
    root: PathBuf,
    selection: Arc<Selection>,
    /// Segments that begin later than all that is open, the earliest last.
    waiting: Vec<Arc<Segment>>,
    open: BinaryHeap<Reverse<Source>>,
    _snapshot: Arc<Snapshot>,
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("After").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Iterator for After {
    type Item = Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(Some(fact)) if fact.position.seq <= self.cursor.seq(fact.position.stream) => {}
                Ok(Some(fact)) => return Some(Ok(fact)),
                Ok(None) => return None,
                Err(error) => {
                    self.waiting.clear();
                    self.open.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl After {
    fn step(&mut self) -> Result<Option<Found>> {
        while let Some(segment) = self.waiting.last() {
            let next = self.open.peek().map(|Reverse(source)| source.key());
            if next.is_some_and(|next| next < segment.first_place()) {
                break;
            }
            let rest = SegmentReader::open(&self.root.join(&segment.path), segment, &self.selection)?;
            self.waiting.pop();
            self.add(Vec::new().into_iter(), Some(rest))?;
        }
        let Some(Reverse(source)) = self.open.pop() else { return Ok(None) };
        self.add(source.facts, source.rest)?;
        Ok(Some(source.next))
    }

    /// Puts a source among the open ones, unless it has come to its end.
    fn add(&mut self, mut facts: std::vec::IntoIter<Found>, mut rest: Option<SegmentReader>) -> Result<()> {
        loop {
            if let Some(next) = facts.next() {
                self.open.push(Reverse(Source { next, facts, rest }));
                return Ok(());
            }
            match rest.as_mut().map(SegmentReader::read).transpose()?.flatten() {
                Some(more) => facts = more.into_iter(),
                None => return Ok(()),
            }
        }
    }
}

/// The rest of a segment, read a batch at a time.
struct SegmentReader {
    kind: Kind,
    path: PathBuf,
    selection: Arc<Selection>,
    reader: ParquetRecordBatchReader,
}

impl SegmentReader {
    fn open(path: &Path, segment: &Segment, selection: &Arc<Selection>) -> Result<Self> {
        let file = open_segment(path)?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new_with_options(file, reader_options(segment.kind))
                .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
                .map_err(|error| Error::damaged(path, error))?;
        let (path, selection) = (path.to_path_buf(), Arc::clone(selection));
        Ok(Self { kind: segment.kind, path, selection, reader })
    }

    fn read(&mut self) -> Result<Option<Vec<Found>>> {
        // A decoder may panic on damaged bytes.
        let batch = catch_unwind(AssertUnwindSafe(|| self.reader.next()))
            .map_err(|_| Error::damaged(&self.path, "its pages cannot be decoded"))?;
        let Some(batch) = batch else { return Ok(None) };
        let batch = batch.map_err(|error| Error::damaged(&self.path, error))?;
        owned(&self.selection, self.kind, &batch).map(Some)
    }
}

/// The facts in a batch that are kept.
fn owned(selection: &Selection, kind: Kind, batch: &RecordBatch) -> Result<Vec<Found>> {
    let dropped = selection.dropped(kind, batch)?;
    let facts = columns::facts(kind, batch).ok_or_else(|| {
        Error::new(ErrorKind::Damaged, format!("rows of {kind} lack columns that belong there"))
    })?;
    let kept = facts.into_iter().zip(dropped).filter(|(_, dropped)| dropped.is_none());
    Ok(kept.map(|(f, _)| Recorded { position: f.position, fact: f.fact.into_owned() }).collect())
}

/// Facts in the store's order, of which one is next.
struct Source {
    next: Found,
    facts: std::vec::IntoIter<Found>,
    rest: Option<SegmentReader>,
}

impl Source {
    const fn key(&self) -> Place {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_short_text() {
        let cursor: Cursor = "2:77,1:120".parse().unwrap();
        assert_eq!(cursor.to_string(), "1:120,2:77");
        assert_eq!("".parse::<Cursor>().unwrap(), Cursor::start());
        for wrong in ["1", "1:x", "a:1", "1:2:3"] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }
}
