//! Follows a store: reads every fact after a cursor, in the store's order.
//!
//! A [`Cursor`] is a position in every stream. Within a stream, facts come in the order of their `seq`.
//! So a consumer that keeps the cursor of the facts it has handled, and continues from there, gets every
//! fact at least once, whichever process is killed. The facts of one call, of all streams, come in the
//! store's order (`recorded_at`, `stream`, `seq`). A stream that is flushed or found later adds its facts
//! later.
//!
//! It returns only facts that retention keeps at the beginning of a call. A consumer that ships facts
//! elsewhere must be faster than the retention rules: facts that are dropped before they were shipped are
//! skipped silently. The ledger counts them, and `retention STORE explain` shows them.

mod cursor;
mod hidden;
mod source;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::Arc;

use crate::context::Context;
use crate::disk::Disk;
use crate::error::Result;
use crate::fact::Kind;
use crate::ledger::{Place, Segment, StreamRange};
use crate::retention::Verdict;
use crate::snapshot::Snapshot;
pub use cursor::Cursor;
pub(crate) use cursor::Wanted;
use hidden::Hidden;
pub(crate) use source::Found;
use source::{ChunkRows, Reading, Rest, SegmentReader, Source};

/// Reads all current facts of some kinds that `wanted` selects, in the store's order.
pub(crate) fn facts(
    context: &Context,
    kinds: &[Kind],
    wanted: Wanted,
    kept: RetentionFilter,
) -> Result<After> {
    let snapshot = Arc::new(context.snapshot()?);
    if let Wanted::After(cursor) = &wanted {
        cursor.check(context.ledger.folder(), &snapshot)?;
    }
    let selection = match kept {
        RetentionFilter::ByRules | RetentionFilter::Noted => {
            let selected = context.selection(&snapshot, context.now());
            Some(selected.map_err(|error| context.disk.explain(error))?)
        }
        RetentionFilter::All => None,
    };
    let mut waiting = Vec::new();
    let mut hidden = Hidden::new(kept == RetentionFilter::Noted);
    for kind in kinds {
        for segment in snapshot.state.segments(*kind) {
            if !segment.streams.iter().any(|range| wanted.may_be_in(range)) {
                continue;
            }
            let verdict = selection.as_ref().map(|selection| selection.segment(segment));
            if matches!(verdict, Some(Verdict::DropAll(_))) {
                segment.streams.iter().for_each(|range| hidden.add(*range));
            } else {
                waiting.push((segment.first_place(), Waiting::Segment(Arc::clone(segment))));
            }
        }
    }
    for chunk in snapshot.tail()? {
        for kind in kinds {
            let Some(rows) = chunk.rows(*kind) else { continue };
            if let Some(rows) = ChunkRows::of(*kind, &rows.batch, &wanted)? {
                waiting.push((rows.first_place(), Waiting::Chunk(rows)));
            }
        }
    }
    waiting.sort_by_key(|(first, _)| Reverse(*first));
    let reading = Reading { root: context.root.clone(), selection, wanted, hidden };
    Ok(After { reading, waiting, open: BinaryHeap::new(), snapshot, disk: context.disk.clone() })
}

/// The treatment of facts that retention does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetentionFilter {
    /// Returns only facts that retention rules keep.
    ByRules,
    /// Returns only facts that retention rules keep, and notes the ranges of the hidden ones.
    Noted,
    All,
}

/// The iterator of [`Store::after`](crate::Store::after): facts in the store's order.
pub struct After {
    reading: Reading,
    /// Sources that begin later than all open ones, the earliest last.
    waiting: Vec<(Place, Waiting)>,
    open: BinaryHeap<Reverse<Source>>,
    snapshot: Arc<Snapshot>,
    disk: Disk,
}

enum Waiting {
    Segment(Arc<Segment>),
    Chunk(ChunkRows),
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("After").field("wanted", &self.reading.wanted).finish_non_exhaustive()
    }
}

impl Iterator for After {
    type Item = Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.step().map_err(|error| self.disk.explain(error));
        if next.is_err() {
            self.waiting.clear();
            self.open.clear();
        }
        next.transpose()
    }
}

impl After {
    /// Adds the identity of the facts' store to a cursor. Every other store then refuses the
    /// cursor, and so does an older copy of this store.
    pub fn sign(&self, cursor: &mut Cursor) {
        cursor.sign(&self.snapshot.state);
    }

    /// The ranges of requested facts that were skipped because retention does not keep them: up to here,
    /// and perhaps a little further.
    pub(crate) fn into_hidden(self) -> Vec<StreamRange> {
        self.reading.hidden.into_ranges()
    }

    fn step(&mut self) -> Result<Option<Found>> {
        while let Some((first, _)) = self.waiting.last() {
            if self.open.peek().is_some_and(|Reverse(source)| source.key() < *first) {
                break;
            }
            let rest = match self.waiting.pop() {
                Some((_, Waiting::Segment(segment))) => {
                    Rest::Segment(SegmentReader::open(&self.reading, &segment)?)
                }
                Some((_, Waiting::Chunk(rows))) => Rest::Chunk(rows),
                None => break,
            };
            self.add(Vec::new().into_iter(), rest)?;
        }
        let Some(Reverse(source)) = self.open.pop() else { return Ok(None) };
        self.add(source.facts, source.rest)?;
        Ok(Some(source.next))
    }

    /// Adds a source to the open ones, unless it is at its end.
    fn add(&mut self, mut facts: std::vec::IntoIter<Found>, mut rest: Rest) -> Result<()> {
        loop {
            if let Some(next) = facts.next() {
                self.open.push(Reverse(Source { next, facts, rest }));
                return Ok(());
            }
            match rest.read(&mut self.reading)? {
                Some(more) => facts = more.into_iter(),
                None => return Ok(()),
            }
        }
    }
}
