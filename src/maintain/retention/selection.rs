//! Which facts the rules keep, as of one snapshot and one instant.
//!
//! Reads hide what a [`Selection`] drops, and compaction removes just that.

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::fact::{Kind, UnixNanos};
use crate::ledger::Segment;
use crate::snapshot::Snapshot;
use crate::store::Shared;

/// A rule and one of its limits: what dropped a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RuleId(u16);

/// What the ledger's numbers say about a whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every row is kept.
    KeepAll,
    /// No row is kept. By one limit of one rule, if that is known; else the rows tell
    /// ([`Selection::dropped`]) by which.
    DropAll(Option<RuleId>),
    /// Only the rows tell.
    Mixed,
}

/// Which facts the rules keep, as of one snapshot and one instant.
#[derive(Debug)]
pub(crate) struct Selection {}

impl Selection {
    /// What the rules and holds in force select of this snapshot, if it is `now`.
    pub(crate) fn of(_shared: &Shared, _snapshot: &Snapshot, _now: UnixNanos) -> Result<Self> {
        Ok(Self {})
    }

    /// Whether there is no rule that could drop anything.
    pub(crate) const fn keeps_everything(&self) -> bool {
        true
    }

    /// What is known of a segment without opening it.
    pub(crate) fn segment(&self, _segment: &Segment) -> Verdict {
        Verdict::KeepAll
    }

    /// For each row of a batch with (at least) [`Self::columns`], by what it is dropped; `None` is kept.
    pub(crate) fn dropped(&self, _kind: Kind, batch: &RecordBatch) -> Result<Vec<Option<RuleId>>> {
        Ok(vec![None; batch.num_rows()])
    }

    /// The stored columns that [`Self::dropped`] looks at.
    pub(crate) fn columns(&self, _kind: Kind) -> &[&'static str] {
        &[]
    }

    /// The rule and its limit as the ledger and reports name them: `starts.max_age`, `store.max_records`.
    pub(crate) fn rule_name(&self, _id: RuleId) -> &str {
        ""
    }

    /// Refuses to drop for good when the clock seems to have jumped ahead.
    pub(crate) const fn check_clock(&self) -> Result<()> {
        Ok(())
    }
}
