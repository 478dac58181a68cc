//! What a commit does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::commit::{CommitNumber, ImportMark, Segment, StreamRange};
use super::lossy_repair::LossyRepair;
use super::state::{Stream, Total};
use crate::fact::{Kind, StreamId, UnixNanos};

/// What a commit does. [`State::apply`](super::State::apply) says what must add up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(crate) enum Action {
    /// The store begins.
    Create,
    /// The facts of a gapless range of one stream are now in segments.
    Flush {
        range: StreamRange,
        /// When the last of them was recorded.
        last_recorded_at: UnixNanos,
        /// The stream will not go on: after a power failure some of its numbers may have been
        /// given out that nobody finds again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ends_stream: bool,
        /// Where a file was imported up to, if that is where the facts came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        import: Option<ImportMark>,
        add: Vec<Segment>,
    },
    /// Segments take the place of others, without the facts that retention does not keep.
    Compact {
        /// The tombstones: what was live until now, with its digests.
        remove: Vec<Segment>,
        add: Vec<Segment>,
        dropped: Vec<Dropped>,
        /// The files of all segments that commits up to this one removed are gone from the disk.
        #[serde(default)]
        swept: CommitNumber,
    },
    /// Segments with the readable rows of a damaged segment replace it, or segments are added with facts that an
    /// earlier repair lost.
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
    /// What could still be read of a stream's damaged journal is now in segments. A gapless range
    /// of the stream, as in a flush, but for the facts that are lost.
    Salvage {
        range: StreamRange,
        last_recorded_at: UnixNanos,
        ends_stream: bool,
        add: Vec<Segment>,
        /// Facts of the range that nobody can read any more, not even their kinds.
        lost: Vec<StreamRange>,
        /// Where inputs were imported up to, of whose commits only the segments were left.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        imports: Vec<ImportMark>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unverified: Vec<Unverified>,
    },
    /// Facts whose numbers a salvage lost are in segments again.
    Restore {
        /// The numbers of the restored facts.
        numbers: Vec<StreamRange>,
        add: Vec<Segment>,
    },
    /// A new beginning, from what segments and readable commits say: the ledger before it was
    /// beyond help, and is no longer part of the store.
    Rebuild(Box<Rebuilt>),
    /// What a hold covers is kept, whatever other rules say.
    Hold {
        name: String,
        #[serde(flatten)]
        hold: Hold,
    },
    /// A hold is no more.
    Release {
        name: String,
        /// Who released it.
        #[serde(rename = "released_by")]
        by: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
}

impl Action {
    /// Its name, as in the file.
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

    /// Facts that rules of retention did not keep.
    pub(crate) fn dropped(&self) -> &[Dropped] {
        match self {
            Self::Compact { dropped, .. } => dropped,
            Self::Rebuild(rebuilt) => &rebuilt.dropped,
            _ => &[],
        }
    }
}

/// Facts that a rule of retention did not keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) rule: String,
    pub(crate) kind: Kind,
    #[serde(flatten)]
    pub(crate) total: Total,
}

/// Facts of a segment that nobody can read any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub(crate) kind: Kind,
    #[serde(flatten)]
    pub(crate) total: Total,
    /// Where they were: the lost facts are among these.
    pub(crate) within: Vec<StreamRange>,
}

/// Live facts that were read from a file of which nobody could say that it is as it was written:
/// they may not be what was recorded. Their places name them, whatever segments they are in later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unverified {
    pub(crate) kind: Kind,
    pub(crate) facts: u64,
    /// Where they are: the facts of the kind among these.
    pub(crate) within: Vec<StreamRange>,
}

/// Keeps facts of one kind, or of all, from being hidden or dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    /// Of this kind only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<Kind>,
    /// Which facts: SQL over the kind's columns. None for all.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub(crate) predicate: Option<String>,
    pub(crate) reason: String,
    /// Who added it.
    #[serde(rename = "held_by")]
    pub(crate) by: String,
}

/// What a rebuilt ledger begins with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rebuilt {
    pub(crate) add: Vec<Segment>,
    /// How far each stream is covered.
    pub(crate) streams: Vec<(StreamId, Stream)>,
    /// What readable commits tell of facts that are in no segment any more.
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) lost: Vec<Lost>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unverified: Vec<Unverified>,
    pub(crate) holds: BTreeMap<String, Hold>,
    pub(crate) imports: Vec<ImportMark>,
    /// What readable commits had removed: the proof of it is not lost with the ledger.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) removed: Vec<Removed>,
    /// Repairs whose facts can still be restored: their segments' files may come back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lossy_repairs: Vec<LossyRepair>,
    /// Numbers whose facts can still be restored: their journals may come back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lost_numbers: Vec<StreamRange>,
    /// What could not be known, for people.
    pub(crate) unknown: Vec<String>,
}

/// A segment that a commit of a ledger that began again since has removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removed {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// The commit that removed it.
    pub(crate) by: CommitNumber,
    /// What that commit says of it, if it could be read.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<Proof>,
}

/// What tells a removed segment from any other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) rows: u64,
    pub(crate) blake3: String,
    pub(crate) streams: Vec<StreamRange>,
}

impl Removed {
    /// As the commit tells that removed it.
    pub(crate) fn of(segment: &Segment, by: CommitNumber) -> Self {
        let Segment { rows, blake3, streams, .. } = segment.clone();
        let proof = Some(Proof { rows, blake3, streams });
        Self { path: segment.path.clone(), bytes: segment.bytes, by, proof }
    }
}
