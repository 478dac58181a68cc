//! What the commits add up to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::commit::{Action, Commit, CommitNumber, ImportMark, Segment, StoreId};
use crate::fact::{Kind, Seq, StreamId, UnixNanos};

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
    pub(crate) head: Head,
    /// When the newest commit was made.
    pub(crate) at: UnixNanos,
    /// The live segments of each kind, in the order in which they were committed.
    pub(crate) segments: [Vec<Arc<Segment>>; 3],
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    /// Facts ever recorded, of each kind, and the sum of their sizes.
    pub(crate) recorded: [Total; 3],
    pub(crate) imports: Vec<ImportMark>,
}

/// How far the ledger covers a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stream {
    /// Everything up to here is in segments.
    pub(crate) committed: Seq,
    pub(crate) last_recorded_at: UnixNanos,
    /// Nobody will append to it any more.
    pub(crate) ended: bool,
}

/// So many facts, and so many bytes as JSON lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) facts: u64,
    pub(crate) bytes: u64,
}

impl State {
    /// The state after the first commit.
    pub(crate) fn begin(commit: &Commit, digest: String) -> Result<Self, String> {
        if commit.number != CommitNumber(0) || !commit.parent.is_empty() || commit.action != Action::Create {
            return Err("it is not a first commit".to_owned());
        }
        Ok(Self {
            store: commit.store,
            head: Head { number: commit.number, blake3: digest },
            at: commit.at,
            segments: Default::default(),
            streams: BTreeMap::new(),
            recorded: Default::default(),
            imports: Vec::new(),
        })
    }

    /// Everything up to here is in segments, of this stream.
    pub(crate) fn committed(&self, stream: StreamId) -> Seq {
        self.streams.get(&stream).map_or(Seq(0), |stream| stream.committed)
    }

    /// How many bytes were imported of an input with this beginning.
    pub(crate) fn imported(&self, head_blake3: &str) -> Option<u64> {
        let marks = self.imports.iter().filter(|mark| mark.head_blake3 == head_blake3);
        marks.map(|mark| mark.bytes).max()
    }

    /// The live segments of a kind.
    pub(crate) fn segments(&self, kind: Kind) -> &[Arc<Segment>] {
        self.segments.get(kind.index()).map_or(&[], Vec::as_slice)
    }

    /// Adds a commit. An error says why it cannot follow.
    pub(crate) fn apply(&mut self, commit: &Commit, digest: String) -> Result<(), String> {
        if commit.store != self.store {
            return Err(format!("it belongs to store {}, not {}", commit.store, self.store));
        }
        if commit.number != self.head.number.next() {
            return Err(format!("it calls itself commit {}", commit.number));
        }
        if commit.parent != self.head.blake3 {
            return Err(format!(
                "the commit before it has digest {}, and it names {}",
                self.head.blake3, commit.parent
            ));
        }
        match &commit.action {
            Action::Create => return Err("it begins the store again".to_owned()),
            Action::Flush { range, last_recorded_at, ends_stream, import, add } => {
                let before = self.committed(range.stream);
                let sound = i64::try_from(range.last_seq.0).is_ok();
                let count = range.last_seq.next().0.checked_sub(range.first_seq.0).filter(|_| sound);
                // A stream may end without further facts: then its range is empty.
                let Some(count) = count.filter(|_| range.first_seq == before.next()) else {
                    return Err(format!(
                        "it covers facts {} to {} of stream {}, which is at {before}",
                        range.first_seq, range.last_seq, range.stream
                    ));
                };
                let rows = add.iter().try_fold(0_u64, |rows, segment| rows.checked_add(segment.rows));
                if rows != Some(count) {
                    return Err(format!("it covers {count} facts, and its segments have other rows"));
                }
                if let Some(segment) = add.iter().find(|segment| !segment.is_in_place()) {
                    return Err(format!("{:?} is no place for a segment", segment.path));
                }
                for segment in add {
                    let at = segment.kind.index();
                    if let (Some(total), Some(live)) = (self.recorded.get_mut(at), self.segments.get_mut(at))
                    {
                        total.facts = total.facts.saturating_add(segment.rows);
                        total.bytes = total.bytes.saturating_add(segment.fact_bytes);
                        live.push(Arc::new(segment.clone()));
                    }
                }
                let stream = Stream {
                    committed: range.last_seq,
                    last_recorded_at: *last_recorded_at,
                    ended: *ends_stream,
                };
                self.streams.insert(range.stream, stream);
                if let Some(mark) = import {
                    // A further part of the same file takes the place of the part before.
                    self.imports.retain(|known| {
                        known.head_blake3 != mark.head_blake3
                            || known.bytes > mark.bytes
                            || known.name != mark.name
                    });
                    self.imports.push(mark.clone());
                }
            }
        }
        self.head = Head { number: commit.number, blake3: digest };
        self.at = commit.at;
        Ok(())
    }
}
