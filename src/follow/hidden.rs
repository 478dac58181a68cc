//! The ranges of facts that were skipped because retention does not keep them.

use crate::fact::{FactId, StreamId};
use crate::ledger::StreamRange;

/// Ranges of facts of one kind in which all facts of the kind are hidden. Nothing is noted unless a
/// caller needs it.
#[derive(Debug)]
pub(super) struct Hidden {
    ranges: Option<Vec<StreamRange>>,
    /// The last fact that was hidden belongs to this stream, and no fact was kept since.
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

    /// Notes a fact that is not kept.
    pub(super) fn hide(&mut self, id: FactId) {
        let Some(ranges) = &mut self.ranges else { return };
        match ranges.last_mut().filter(|_| self.open == Some(id.stream)) {
            Some(range) => range.last_seq = range.last_seq.max(id.seq),
            None => ranges.push(StreamRange::of(id)),
        }
        self.open = Some(id.stream);
    }

    /// Ends the current range: between it and the next hidden fact, a fact may be kept.
    pub(super) const fn end_range(&mut self) {
        self.open = None;
    }

    pub(super) fn into_ranges(self) -> Vec<StreamRange> {
        self.ranges.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_no_fact_that_may_be_kept() {
        let id = |text: &str| text.parse::<FactId>().unwrap();
        let mut hidden = Hidden::new(true);
        for fact in ["1:1", "1:3", "2:7", "1:5"] {
            hidden.hide(id(fact));
        }
        hidden.end_range();
        hidden.hide(id("1:9"));
        let ranges = hidden.into_ranges();
        let ranges: Vec<_> =
            ranges.iter().map(|range| (range.stream.0, range.first_seq.0, range.last_seq.0)).collect();
        assert_eq!(ranges, [(1, 1, 3), (2, 7, 7), (1, 5, 5), (1, 9, 9)]);
        let mut unasked = Hidden::new(false);
        unasked.hide(id("1:1"));
        assert!(unasked.into_ranges().is_empty());
    }
}
