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
use crate::maintain::lossy_repair::is_file_of;
use crate::segment::digest;

/// The known results for the live segments of a state; each segment is read at most once.
pub(super) struct Soundness<'a> {
    context: &'a Context,
    state: &'a State,
    /// Whether a segment is sound, by path.
    segments: BTreeMap<&'a str, bool>,
    /// Whether the segments that replaced those of a commit are sound.
    commits: BTreeMap<CommitNumber, bool>,
    /// Repairs that lost facts, by the commits that list them.
    lossy_repairs: BTreeMap<CommitNumber, Vec<LossyRepair>>,
}

impl<'a> Soundness<'a> {
    pub(super) const fn new(context: &'a Context, state: &'a State) -> Self {
        Self {
            context,
            state,
            segments: BTreeMap::new(),
            commits: BTreeMap::new(),
            lossy_repairs: BTreeMap::new(),
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

    /// Whether the file of a removed segment has facts that its repair lost: then it was restored after
    /// the repair, and `recover` needs it.
    pub(super) fn is_wanted(&mut self, removed: &Tombstone) -> bool {
        let folder = self.context.ledger.folder();
        // For repairs before the ledger began again, its first commit lists them.
        let listed_by = removed.by.max(self.state.root);
        let repairs = self.lossy_repairs.entry(listed_by).or_insert_with(|| {
            let mut known = Vec::new();
            if let Ok(Some((commit, _))) = read_commit(folder, listed_by) {
                LossyRepair::add_commit(&mut known, &commit);
            }
            known
        });
        let Some(repair) = repairs.iter().find(|it| it.segment.path == removed.path) else { return false };
        is_file_of(repair, &self.context.root.join(&removed.path)).unwrap_or(true)
    }

    /// Whether every live segment that may have these facts is sound; of all kinds, if `kind` is `None`.
    pub(super) fn hold(&mut self, kind: Option<Kind>, ranges: &[StreamRange]) -> bool {
        let state = self.state;
        let touches = |segment: &&'a Segment| {
            segment.streams.iter().any(|own| {
                ranges.iter().any(|range| {
                    own.stream == range.stream
                        && own.first_seq <= range.last_seq
                        && range.first_seq <= own.last_seq
                })
            })
        };
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
