//! The state of the store: the sum of its commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::action::{Hold, Removed, Unverified};
use super::commit::{CommitNumber, ImportMark, Segment, StoreId, is_segment_path};
use super::entry::EntryId;
use crate::fact::{Kind, PerKind, Seq, StreamId, UnixNanos};

/// The newest commit, by number and digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) number: CommitNumber,
    pub(crate) blake3: String,
}

/// The store as of one commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) store: StoreId,
    /// The commit that begins the ledger: 0, or the commit that rebuilt it.
    #[serde(default)]
    pub(crate) root: CommitNumber,
    pub(crate) head: Head,
    /// When the newest commit was made.
    pub(crate) at: UnixNanos,
    /// The live segments of each kind, in the order in which they were committed.
    pub(crate) segments: PerKind<Vec<Arc<Segment>>>,
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    /// All facts that were ever recorded, of each kind, and the sum of their sizes.
    pub(crate) recorded: PerKind<Total>,
    /// Facts that retention rules did not keep and that were dropped, by the rule's name.
    #[serde(default)]
    pub(crate) dropped: BTreeMap<String, PerKind<Total>>,
    /// Facts that could not be read when their segment was repaired, of each kind.
    #[serde(default)]
    pub(crate) lost: PerKind<Total>,
    /// Numbers of facts that are not among the recorded ones: lost from a journal, or from before the
    /// ledger was rebuilt.
    #[serde(default)]
    pub(crate) unaccounted: u64,
    /// Facts, live or dropped since, that may differ from the recorded ones.
    #[serde(default)]
    pub(crate) unverified: Vec<Unverified>,
    /// When the store was last compacted.
    #[serde(default)]
    pub(crate) compacted_at: UnixNanos,
    #[serde(default)]
    pub(crate) holds: BTreeMap<String, Hold>,
    /// Segments that are no longer live, but whose files may still exist.
    #[serde(default)]
    pub(crate) removed: Vec<Tombstone>,
    pub(crate) imports: Vec<ImportMark>,
}

/// A segment that is no longer live. Its digest is in the commit that removed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// The commit that removed it.
    pub(crate) by: CommitNumber,
}

impl Tombstone {
    /// A segment that a rebuilt ledger took over as removed.
    pub(crate) fn of(removed: &Removed) -> Self {
        Self { path: removed.path.clone(), bytes: removed.bytes, by: removed.by }
    }
}

/// How far the ledger covers a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stream {
    /// All facts up to this one are in segments.
    pub(crate) committed: Seq,
    pub(crate) last_recorded_at: UnixNanos,
    /// No process will append to the stream any more.
    pub(crate) ended: bool,
}

/// A number of facts, and their bytes as JSON lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) facts: u64,
    pub(crate) bytes: u64,
}

impl Total {
    /// The total of one segment.
    pub(crate) fn of(segment: &Segment) -> Self {
        Self { facts: segment.rows, bytes: segment.fact_bytes }
    }

    /// Adds two totals; `None` if the sum is larger than any store can be.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        let facts = self.facts.checked_add(other.facts)?;
        Some(Self { facts, bytes: self.bytes.checked_add(other.bytes)? })
    }
}

impl State {
    /// The last fact of this stream up to which all facts are in segments.
    pub(crate) fn committed(&self, stream: StreamId) -> Seq {
        self.streams.get(&stream).map_or(Seq(0), |stream| stream.committed)
    }

    /// The number of imported bytes of an input with this beginning.
    pub(crate) fn imported(&self, head_blake3: &str) -> Option<u64> {
        let marks = self.imports.iter().filter(|mark| mark.entries.is_none());
        let marks = marks.filter(|mark| mark.head_blake3 == head_blake3);
        marks.map(|mark| mark.bytes).max()
    }

    /// The last imported entry of this source.
    pub(crate) fn imported_entry(&self, source: &str) -> Option<EntryId> {
        let marks = self.imports.iter().filter(|mark| mark.name == source);
        marks.filter_map(|mark| mark.entries).map(|entries| entries.last).max()
    }

    /// The path of a segment, live or removed, that is not a valid path of a segment.
    pub(crate) fn path_out_of_place(&self) -> Option<&str> {
        let live = self.segments.iter().flatten().filter(|segment| !segment.is_in_place());
        let removed = self.removed.iter().map(|tombstone| tombstone.path.as_str());
        live.map(|segment| segment.path.as_str()).chain(removed.filter(|path| !is_segment_path(path))).next()
    }

    /// Whether facts are lost, or numbers of facts are unaccounted for.
    pub(crate) fn has_losses(&self) -> bool {
        self.unaccounted > 0 || self.lost.iter().any(|lost| lost.facts > 0)
    }

    /// The facts and bytes of a kind in live segments.
    pub(crate) fn live(&self, kind: Kind) -> Total {
        self.segments(kind).iter().fold(Total::default(), |total, segment| Total {
            facts: total.facts.saturating_add(segment.rows),
            bytes: total.bytes.saturating_add(segment.fact_bytes),
        })
    }

    /// The live segments of a kind.
    pub(crate) fn segments(&self, kind: Kind) -> &[Arc<Segment>] {
        &self.segments[kind]
    }
}
