//! Finds files with facts of a segment that a repair lost.
//!
//! Such a file may be restored later, from a backup or from a disk that was not mounted: the segment's own file, a
//! segment that it was merged from, or a journal. Scan then reports it, compaction keeps it, and recover restores
//! its facts.

use std::cell::OnceCell;
use std::fs::File;
use std::path::Path;

use super::coverage::Coverage;
use super::damaged_segment::DamagedSegment;
use crate::disk::open_regular;
use crate::error::{Error, Result};
use crate::fact::{Kind, Seq, StreamId};
use crate::ledger::{LossyRepair, State, StreamRange};
use crate::segment::{digest, is_damage};

/// Whether a file has the digest of the segment that was repaired.
pub(crate) fn is_file_of(repair: &LossyRepair, path: &Path) -> Result<bool> {
    let read = open_regular(path).and_then(|mut file: File| digest(&mut file));
    match read {
        Ok((_, digest)) => Ok(repair.segment.blake3 == digest),
        Err(error) if is_damage(&error) || error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// Finds the repair whose segment is in the file at `path`, which has `bytes` bytes.
pub(crate) fn find_by_file<'a>(
    known: &'a [LossyRepair],
    path: &Path,
    bytes: u64,
) -> Result<Option<&'a LossyRepair>> {
    for repair in known.iter().filter(|repair| repair.segment.bytes == bytes) {
        if is_file_of(repair, path)? {
            return Ok(Some(repair));
        }
    }
    Ok(None)
}

/// The places of facts that repairs lost, and that no live segment has.
pub(crate) struct LostPlaces<'a> {
    /// Also repairs that lost nothing, but kept facts in doubt.
    pub(crate) repairs: &'a [LossyRepair],
    root: &'a Path,
    state: &'a State,
    losses: Vec<Loss<'a>>,
}

/// One repair that lost facts.
struct Loss<'a> {
    repair: &'a LossyRepair,
    within: Vec<StreamRange>,
    /// Found when they are first needed.
    places: OnceCell<Coverage>,
}

impl<'a> LostPlaces<'a> {
    pub(crate) fn new(root: &'a Path, state: &'a State, repairs: &'a [LossyRepair]) -> Self {
        let lossy = repairs.iter().filter(|repair| repair.lost_facts() > 0);
        let loss =
            |repair: &'a LossyRepair| Loss { repair, within: repair.lost_within(), places: OnceCell::new() };
        Self { repairs, root, state, losses: lossy.map(loss).collect() }
    }

    /// Whether no repair lost facts.
    pub(crate) const fn is_empty(&self) -> bool {
        self.losses.is_empty()
    }

    /// Whether a repair lost the fact of this kind with this place.
    pub(crate) fn contains(&self, kind: Kind, stream: StreamId, seq: Seq) -> Result<bool> {
        let place = StreamRange { stream, first_seq: seq, last_seq: seq };
        for loss in self.losses.iter().filter(|loss| loss.may_have(kind, &[place])) {
            if self.lost_by(loss)?.contains(stream, seq) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the file of a removed segment may have lost facts: it has some, or is damaged.
    pub(crate) fn may_be_in(&self, path: &Path, kind: Kind) -> Result<bool> {
        let is_of_kind = |loss: &Loss<'_>| loss.repair.segment.kind == kind;
        if !self.losses.iter().any(is_of_kind) || path.symlink_metadata().is_err() {
            return Ok(false);
        }
        Ok(open(path, kind)?.is_none() || self.in_segment(path, kind)?.is_some())
    }

    /// The lost facts in the file of a segment, with the repair that lost them.
    pub(crate) fn in_segment(
        &self,
        path: &Path,
        kind: Kind,
    ) -> Result<Option<(&'a LossyRepair, Vec<StreamRange>)>> {
        if self.is_empty() {
            return Ok(None);
        }
        let Some(segment) = open(path, kind)? else { return Ok(None) };
        let label = segment.label();
        if label.store != Some(self.state.store.to_string()) {
            return Ok(None);
        }
        for loss in self.losses.iter().filter(|loss| loss.may_have(kind, &label.streams)) {
            let (lost, mut found) = (self.lost_by(loss)?, Coverage::default());
            segment.read_places(&mut |place| {
                if lost.contains(place.stream, place.seq) {
                    found.insert(place.stream, place.seq);
                }
            })?;
            if !found.is_empty() {
                return Ok(Some((loss.repair, found.ranges())));
            }
        }
        Ok(None)
    }

    fn lost_by<'l>(&self, loss: &'l Loss<'_>) -> Result<&'l Coverage> {
        if let Some(known) = loss.places.get() {
            return Ok(known);
        }
        let mut live = Coverage::default();
        for segment in self.state.segments.iter().flatten() {
            if StreamRange::any_touch(&segment.streams, &loss.within)
                && let Some(sound) = open(&self.root.join(&segment.path), segment.kind)?
            {
                sound.read_places(&mut |place| live.insert(place.stream, place.seq))?;
            }
        }
        let mut places = Coverage::default();
        loss.within.iter().for_each(|range| places.add_all(&live.gaps(*range)));
        Ok(loss.places.get_or_init(|| places))
    }
}

impl Loss<'_> {
    /// Returns whether this repair lost facts of this kind in one of these ranges.
    fn may_have(&self, kind: Kind, ranges: &[StreamRange]) -> bool {
        self.repair.segment.kind == kind && StreamRange::any_touch(&self.within, ranges)
    }
}

/// Opens a file, unless it is damaged or gone.
fn open(path: &Path, kind: Kind) -> Result<Option<DamagedSegment>> {
    match DamagedSegment::by_footer(path, kind) {
        Err(_) if path.symlink_metadata().is_err() => Ok(None),
        found => found,
    }
}
