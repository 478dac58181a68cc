//! The actions of a commit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::commit::{CommitNumber, ImportMark, Segment, StreamRange};
use super::lossy_repair::LossyRepair;
use super::state::{Stream, Total};
use crate::fact::{Kind, StreamId, UnixNanos};

/// The action of a commit. [`State::apply`](super::State::apply) says what must add up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(crate) enum Action {
    /// Creates the store.
    Create,
    /// The facts of a gapless range of one stream are now in segments.
    Flush {
        range: StreamRange,
        /// When the last fact of the range was recorded.
        last_recorded_at: UnixNanos,
        /// The stream has ended: after a power failure, numbers may have been given out whose facts are
        /// lost.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ends_stream: bool,
        /// How far an input was imported, if the facts came from an input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        import: Option<ImportMark>,
        add: Vec<Segment>,
    },
    /// Segments replace others, without the facts that retention does not keep.
    Compact {
        /// The tombstones: segments that were live until now, with their digests.
        remove: Vec<Segment>,
        add: Vec<Segment>,
        dropped: Vec<Dropped>,
        /// The files of all segments that commits up to this one removed are gone from the disk.
        #[serde(default)]
        swept: CommitNumber,
    },
    /// Segments with the readable rows of a damaged segment replace it, or segments with facts that an
    /// earlier repair lost are added.
    Repair {
        remove: Vec<Segment>,
        add: Vec<Segment>,
        lost: Vec<Lost>,
        /// Losses of earlier repairs that this one restores.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        found: Vec<Lost>,
        /// Facts that earlier repairs could not prove, and that this one proves.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        proven: Vec<Unverified>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unverified: Vec<Unverified>,
    },
    /// The readable facts of a stream's damaged journal are now in segments. They are a gapless range of
    /// the stream, as in a flush, except for the lost facts.
    Salvage {
        range: StreamRange,
        last_recorded_at: UnixNanos,
        ends_stream: bool,
        add: Vec<Segment>,
        /// Facts of the range that can no longer be read; even their kinds are unknown.
        lost: Vec<StreamRange>,
        /// How far inputs were imported, if only the segments of their commits were left.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        imports: Vec<ImportMark>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unverified: Vec<Unverified>,
    },
    /// Facts that a salvage gave up as lost are in segments again.
    Restore {
        /// The numbers of the restored facts.
        numbers: Vec<StreamRange>,
        add: Vec<Segment>,
    },
    /// The ledger begins again, from segments and readable commits. The ledger before it could not be
    /// repaired, and is no longer part of the store.
    Rebuild(Box<Rebuilt>),
    /// Facts that a hold covers are kept, whatever other rules say.
    Hold {
        name: String,
        #[serde(flatten)]
        hold: Hold,
    },
    /// A hold ends.
    Release {
        name: String,
        /// The person or program that released it.
        #[serde(rename = "released_by")]
        by: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
}

impl Action {
    /// The action's name, as in the file.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Flush { .. } => "flush",
            Self::Compact { .. } => "compact",
            Self::Repair { .. } => "repair",
            Self::Salvage { .. } => "salvage",
            Self::Restore { .. } => "restore",
            Self::Rebuild(_) => "rebuild",
            Self::Hold { .. } => "hold",
            Self::Release { .. } => "release",
        }
    }

    /// The range of a stream that it covers.
    pub(crate) const fn range(&self) -> Option<&StreamRange> {
        match self {
            Self::Flush { range, .. } | Self::Salvage { range, .. } => Some(range),
            _ => None,
        }
    }

    /// The segments that are live from this commit on.
    pub(crate) fn added(&self) -> &[Segment] {
        match self {
            Self::Flush { add, .. }
            | Self::Compact { add, .. }
            | Self::Repair { add, .. }
            | Self::Salvage { add, .. }
            | Self::Restore { add, .. } => add,
            Self::Rebuild(rebuilt) => &rebuilt.add,
            _ => &[],
        }
    }

    /// The segments that are no longer live.
    pub(crate) fn removed(&self) -> &[Segment] {
        match self {
            Self::Compact { remove, .. } | Self::Repair { remove, .. } => remove,
            _ => &[],
        }
    }

    /// Facts that retention rules did not keep.
    pub(crate) fn dropped(&self) -> &[Dropped] {
        match self {
            Self::Compact { dropped, .. } => dropped,
            Self::Rebuild(rebuilt) => &rebuilt.dropped,
            _ => &[],
        }
    }
}

/// Facts that a retention rule did not keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) rule: String,
    pub(crate) kind: Kind,
    #[serde(flatten)]
    pub(crate) total: Total,
}

/// Facts of a segment that can no longer be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub(crate) kind: Kind,
    #[serde(flatten)]
    pub(crate) total: Total,
    /// The ranges that contain the lost facts.
    pub(crate) within: Vec<StreamRange>,
}

/// Live facts that were read from a file whose bytes could not be proven: they may differ from the
/// recorded facts. Their places name them, also when a compaction moves them to other segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unverified {
    pub(crate) kind: Kind,
    pub(crate) facts: u64,
    /// The ranges that contain them: all facts of the kind in these ranges.
    pub(crate) within: Vec<StreamRange>,
}

/// Keeps facts of one kind, or of all, from being hidden or dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    /// Holds only facts of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<Kind>,
    /// An SQL condition over the kind's columns that selects the facts. `None` selects all facts.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub(crate) predicate: Option<String>,
    pub(crate) reason: String,
    /// The person or program that added it.
    #[serde(rename = "held_by")]
    pub(crate) by: String,
}

/// The first state of a rebuilt ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rebuilt {
    pub(crate) add: Vec<Segment>,
    /// How far each stream is covered.
    pub(crate) streams: Vec<(StreamId, Stream)>,
    /// Dropped facts, as far as readable commits name them.
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) lost: Vec<Lost>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unverified: Vec<Unverified>,
    pub(crate) holds: BTreeMap<String, Hold>,
    pub(crate) imports: Vec<ImportMark>,
    /// Segments that readable commits had removed: this proof is not lost with the old ledger.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) removed: Vec<Removed>,
    /// Repairs whose facts can still be restored: their segments' files may come back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lossy_repairs: Vec<LossyRepair>,
    /// Numbers whose facts can still be restored: their journals may come back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lost_numbers: Vec<StreamRange>,
    /// The unknown data, as text for people.
    pub(crate) unknown: Vec<String>,
}

/// A segment that a commit of an earlier, replaced ledger removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removed {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// The commit that removed it.
    pub(crate) by: CommitNumber,
    /// The description of the segment in that commit, if it could be read.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<Proof>,
}

/// The identity of a removed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) rows: u64,
    pub(crate) blake3: String,
    pub(crate) streams: Vec<StreamRange>,
}

impl Removed {
    /// The identity of the segment in the commit that removed it.
    pub(crate) fn of(segment: &Segment, by: CommitNumber) -> Self {
        let Segment { rows, blake3, streams, .. } = segment.clone();
        let proof = Some(Proof { rows, blake3, streams });
        Self { path: segment.path.clone(), bytes: segment.bytes, by, proof }
    }
}
