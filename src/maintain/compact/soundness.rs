//! Checks whether live segments are undamaged: while one is damaged, the segments that it was merged from
//! are the only place of its facts.
//!
//! A damaged file may have the right size. So before the file of a removed segment is deleted, the
//! segments that replaced it are read once, and their digests compared.

use std::collections::BTreeMap;
use std::fs::File;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::fact::Kind;
use crate::ledger::{CommitNumber, LossyRepair, Segment, State, StreamRange, Tombstone, read_commit};
use crate::maintain::lossy_repair::{LostPlaces, is_file_of};
use crate::segment::digest;

/// The known results for the live segments of a state; each segment is read at most once.
pub(super) struct Soundness<'a> {
    context: &'a Context,
    state: &'a State,
    /// Whether a segment is sound, by path.
    segments: BTreeMap<&'a str, bool>,
    /// Whether the segments that replaced those of a commit are sound.
    commits: BTreeMap<CommitNumber, bool>,
    /// The repairs that lost facts.
    lossy_repairs: &'a [LossyRepair],
    lost_places: LostPlaces<'a>,
}

impl<'a> Soundness<'a> {
    pub(super) fn new(context: &'a Context, state: &'a State, lossy_repairs: &'a [LossyRepair]) -> Self {
        Self {
            context,
            state,
            segments: BTreeMap::new(),
            commits: BTreeMap::new(),
            lossy_repairs,
            lost_places: LostPlaces::new(&context.root, state, lossy_repairs),
        }
    }

    /// Whether every segment that replaced the segments which this commit removed is sound: those that
    /// the commit added, or those that replaced them since.
    pub(super) fn is_replaced(&mut self, by: CommitNumber) -> bool {
        if let Some(known) = self.commits.get(&by) {
            return *known;
        }
        let sound = self.replaced_by(by);
        self.commits.insert(by, sound);
        sound
    }

    fn replaced_by(&mut self, by: CommitNumber) -> bool {
        let mut pending = vec![by];
        let mut seen = Vec::new();
        while let Some(number) = pending.pop() {
            if seen.contains(&number) {
                continue;
            }
            seen.push(number);
            // Segments that were removed before the ledger began again: their facts are in its first
            // segments.
            let number = number.max(self.state.root);
            let Ok(Some((commit, _))) = read_commit(self.context.ledger.folder(), number) else {
                tracing::warn!(
                    commit = number.0,
                    "cannot read a commit; the files of the segments that it removed are kept"
                );
                return false;
            };
            for added in commit.action.added() {
                let live = self.state.segments(added.kind).iter().find(|live| live.path == added.path);
                let since = self.state.removed.iter().find(|removed| removed.path == added.path);
                match (live, since) {
                    (Some(live), _) if !self.is_sound(live) => return false,
                    (Some(_), _) => {}
                    (None, Some(since)) => pending.push(since.by),
                    (None, None) => return false,
                }
            }
        }
        true
    }

    /// Whether the file of a removed segment has facts that a repair lost: then it was put back after the
    /// repair, and `recover` needs it.
    pub(super) fn is_wanted(&self, removed: &Tombstone) -> bool {
        let path = self.context.root.join(&removed.path);
        let mut own = self.lossy_repairs.iter().filter(|repair| repair.segment.path == removed.path);
        let is_own = own.any(|repair| is_file_of(repair, &path).unwrap_or(true));
        let has_lost = |kind| self.lost_places.may_be_in(&path, kind).unwrap_or(true);
        is_own || Kind::of_segment(&removed.path).is_some_and(has_lost)
    }

    /// Whether every live segment that may have these facts is sound; of all kinds, if `kind` is `None`.
    pub(super) fn hold(&mut self, kind: Option<Kind>, ranges: &[StreamRange]) -> bool {
        let state = self.state;
        let touches = |segment: &&'a Segment| StreamRange::any_touch(&segment.streams, ranges);
        let of_kind = |segment: &&Segment| kind.is_none_or(|kind| segment.kind == kind);
        let mut segments = state.segments.iter().flatten().map(AsRef::as_ref).filter(of_kind).filter(touches);
        segments.all(|segment| self.is_sound(segment))
    }

    /// Whether the file of a live segment has the digest that the ledger names.
    fn is_sound(&mut self, segment: &'a Segment) -> bool {
        if let Some(known) = self.segments.get(segment.path.as_str()) {
            return *known;
        }
        let sound = match self.digest(segment) {
            Ok(found) => found == segment.blake3,
            Err(error) => {
                tracing::warn!(%error, "cannot read a segment");
                false
            }
        };
        if !sound {
            tracing::warn!(segment = %segment.path, "a segment differs from the one that was written; the \
                                                     segments that it was merged from are kept for `ostracon \
                                                     recover`");
        }
        self.segments.insert(&segment.path, sound);
        sound
    }

    fn digest(&self, segment: &Segment) -> Result<String> {
        let path = self.context.root.join(&segment.path);
        let found = File::open(&path).and_then(|mut file| digest(&mut file));
        found.map(|(_, digest)| digest).map_err(|error| Error::io("read", &path, error))
    }
}
