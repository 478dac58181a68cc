//! Finds facts that a backup has but its store does not: an incremental backup would remove their only
//! place.
//!
//! Before a journal file of the target is removed, each fact in it must be in the store: in its tail, or
//! in the segments of the new head. A number alone does not prove that, because a store that was put back
//! to an older state gives its numbers to other facts. A fact of the tail is compared by its bytes, and a
//! fact in segments by its time of recording, to the nanosecond. Facts that the store had, and has
//! dropped since, count as covered if a backup has put them there. A file with facts that the store has
//! lost is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::refused;
use crate::context::Context;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::fact::{FactId, Kind, Seq, StreamId, UnixNanos};
use crate::follow::{self, RetentionFilter, Wanted};
use crate::frame::{FileHeader, verified_frames};
use crate::journal::claim::{self, JournalFile};
use crate::journal::replay::{self, Ending};
use crate::journal::source;
use crate::ledger::LostNumbers;
use crate::snapshot::Frozen;

/// The journal files of a target that are not simply removed.
#[derive(Default)]
pub(super) struct OwnFiles {
    /// Damaged files.
    pub(super) damaged: BTreeSet<PathBuf>,
    /// Files with facts that the store has lost.
    pub(super) lost_by_store: BTreeSet<PathBuf>,
}

/// Refuses if there is such a fact.
pub(super) fn check(context: &Context, disk: &Disk, target: &Path, frozen: &Frozen) -> Result<OwnFiles> {
    let lost = if frozen.state.unaccounted == 0 {
        LostNumbers::default()
    } else {
        context.ledger.lost_facts(&frozen.state)?.0
    };
    let mut comparison = Comparison { frozen, lost, covered: BTreeMap::new(), files: OwnFiles::default() };
    for stream in claim::streams(target)? {
        let tail = comparison.tail(stream);
        for file in claim::files(&claim::folder(target, stream))? {
            comparison.add(disk, stream, &file, &tail)?;
        }
    }
    comparison.look_up(context)?;
    Ok(comparison.files)
}

/// The frames of a stream's tail.
type TailFrames<'a> = BTreeMap<Seq, &'a [u8]>;

struct Comparison<'a> {
    frozen: &'a Frozen,
    /// Numbers of facts that the store has lost.
    lost: LostNumbers,
    /// Facts with numbers that the head covers, to be looked up.
    covered: BTreeMap<FactId, Covered>,
    files: OwnFiles,
}

/// A fact in a journal file of the target.
#[derive(Clone, Copy)]
struct Covered {
    recorded_at: UnixNanos,
    /// Whether a backup has put it there, and not a writer.
    is_of_backup: bool,
}

impl<'a> Comparison<'a> {
    fn tail(&self, stream: StreamId) -> TailFrames<'a> {
        let chunks = self.frozen.tails.iter().filter(|(of, _)| *of == stream).flat_map(|(_, chunks)| chunks);
        let frames = chunks.flat_map(|chunk| verified_frames(chunk.frames()));
        frames.map(|frame| (frame.seq, frame.raw)).collect()
    }

    fn add(
        &mut self,
        disk: &Disk,
        stream: StreamId,
        file: &JournalFile,
        tail: &TailFrames<'_>,
    ) -> Result<()> {
        let Some((open, size)) = source::open(&file.path)? else { return Ok(()) };
        let bytes = source::read(&open, &file.path, size)?;
        let state = &self.frozen.state;
        let header = FileHeader { stream, store: state.store };
        let contents = replay::read(&bytes, &header, claim::same_boot(disk, file));
        if contents.ending != Ending::Clean {
            self.files.damaged.insert(file.path.clone());
        }
        for frame in verified_frames(bytes.get(contents.sound).unwrap_or_default()) {
            if tail.get(&frame.seq) == Some(&frame.raw) {
                continue;
            }
            if self.lost.contains(stream, frame.seq) {
                self.files.lost_by_store.insert(file.path.clone());
                continue;
            }
            let id = FactId { stream, seq: frame.seq };
            if frame.seq > state.committed(stream) {
                return Err(own_fact(id));
            }
            let is_of_backup = file.is_of_backup();
            self.covered.insert(id, Covered { recorded_at: frame.recorded_at, is_of_backup });
        }
        Ok(())
    }

    /// Compares the facts that the store has in its segments.
    fn look_up(&mut self, context: &Context) -> Result<()> {
        if self.covered.is_empty() {
            return Ok(());
        }
        let wanted = Wanted::These(self.covered.keys().copied().collect());
        for found in follow::facts(context, &Kind::ALL, wanted, RetentionFilter::All)? {
            let position = found?.position;
            if let Some(there) = self.covered.remove(&position.id())
                && there.recorded_at != position.recorded_at
            {
                return Err(own_fact(position.id()));
            }
        }
        match self.covered.iter().find(|(_, there)| !there.is_of_backup) {
            Some((id, _)) => Err(own_fact(*id)),
            None => Ok(()),
        }
    }
}

fn own_fact(id: FactId) -> Error {
    refused(&format!(
        "the target has facts that this store does not have, such as fact {} of stream {}: they were \
         recorded there, or this store has lost them or was put back to an older state; nothing was changed: \
         keep the target, and back up to another folder",
        id.seq, id.stream
    ))
}
