//! Counts the facts that a compaction drops before a group has acknowledged them, for its report.

use arrow::array::RecordBatch;

use super::file;
use super::state::GroupState;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, columns};
use crate::ledger::{Segment, StreamRange};

/// All groups at the beginning of a compaction.
pub(crate) struct Watch {
    groups: Vec<Group>,
}

pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    state: GroupState,
}

/// The knowledge about a segment's facts and a group without reading the facts.
enum Known {
    None,
    All,
    Some,
}

impl Watch {
    /// Reads the newest state of every group. A damaged state is an error, because the unacknowledged
    /// facts of its group would be unknown.
    pub(crate) fn begin(context: &Context) -> Result<Self> {
        let store = context.ledger.known().store;
        let mut groups = Vec::new();
        for name in file::newest(file::list(&context.root)?) {
            if let Some(state) = file::load(&context.root, store, name.kind, &name.group)? {
                groups.push(Group { kind: name.kind, name: name.group, state });
            }
        }
        Ok(Self { groups })
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The number of facts of a segment, if it is dropped as a whole, that each group has not
    /// acknowledged; `None` if the facts' names must be read.
    pub(crate) fn of_all(&self, segment: &Segment) -> Option<Vec<u64>> {
        let of = |group: &Group| match group.knows(segment) {
            Known::None => Some(0),
            Known::All => Some(segment.rows),
            Known::Some => None,
        };
        self.groups.iter().map(of).collect()
    }

    /// Whether a group may not have acknowledged some of a segment's facts.
    pub(crate) fn watches(&self, segment: &Segment) -> bool {
        self.groups.iter().any(|group| !matches!(group.knows(segment), Known::None))
    }

    /// Counts, for each group, the rows of a batch that are dropped and not acknowledged.
    pub(crate) fn count(
        &self,
        kind: Kind,
        rows: &RecordBatch,
        is_dropped: impl Fn(usize) -> bool,
        counts: &mut Vec<u64>,
    ) -> Result<()> {
        counts.resize(self.groups.len(), 0);
        if !self.groups.iter().any(|group| group.kind == kind) {
            return Ok(());
        }
        let ids = columns::ids(rows)
            .ok_or_else(|| Error::new(ErrorKind::Damaged, format!("rows of {kind} lack required columns")))?;
        for (_, id) in ids.enumerate().filter(|(row, _)| is_dropped(*row)) {
            for (group, count) in self.groups.iter().zip(counts.iter_mut()) {
                *count += u64::from(group.kind == kind && group.state.is_open(id));
            }
        }
        Ok(())
    }
}

impl Group {
    /// Whether no fact of this range, which is before the delivered position, is unacknowledged.
    fn is_done_in(&self, range: StreamRange) -> bool {
        !self.state.has_pending_in(range) && !self.state.has_passed_over_in(range)
    }

    fn knows(&self, segment: &Segment) -> Known {
        if self.kind != segment.kind {
            return Known::None;
        }
        let delivered = self.state.delivered();
        let is_delivered = |range: &StreamRange| range.last_seq <= delivered.seq(range.stream);
        let before = |range: &StreamRange| range.first_seq > delivered.seq(range.stream);
        if segment.streams.iter().all(before) {
            Known::All
        } else if segment.streams.iter().all(|range| is_delivered(range) && self.is_done_in(*range)) {
            Known::None
        } else {
            Known::Some
        }
    }
}
