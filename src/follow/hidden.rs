//! Where facts are that were passed over, because retention does not keep them.

use crate::fact::{FactId, StreamId};
use crate::ledger::StreamRange;

/// Facts of one kind, in ranges in which all of that kind are hidden. Nothing is noted unless
/// somebody wants to know.
#[derive(Debug)]
pub(super) struct Hidden {
    ranges: Option<Vec<StreamRange>>,
    /// A fact of this stream was hidden last, and none was kept since.
    open: Option<StreamId>,
}

impl Hidden {
    pub(super) fn new(is_noted: bool) -> Self {
        Self { ranges: is_noted.then(Vec::new), open: None }
    }

    pub(super) fn add(&mut self, range: StreamRange) {
        self.ranges.iter_mut().for_each(|ranges| ranges.push(range));
        self.open = None;
    }

    /// A fact that is not kept.
    pub(super) fn hide(&mut self, id: FactId) {
        let Some(ranges) = &mut self.ranges else { return };
        match ranges.last_mut().filter(|_| self.open == Some(id.stream)) {
            Some(range) => range.last_seq = range.last_seq.max(id.seq),
            None => ranges.push(StreamRange::of(id)),
        }
        self.open = Some(id.stream);
    }

    /// A fact that is.
    pub(super) const fn keep(&mut self) {
        self.open = None;
    }

    pub(super) fn into_ranges(self) -> Vec<StreamRange> {
        self.ranges.unwrap_or_default()
    }
}
