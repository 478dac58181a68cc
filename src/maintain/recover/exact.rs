//! What can be had of a damaged segment exactly as it was: another file with its digest, the file
//! itself with one bit put right, and the frames of journals that are not retired yet, which have
//! checksums of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::coverage::Coverage;
use super::file::{self, Found};
use super::segments::Heirs;
use super::{Work, bits, journals};
use crate::buffer::Buffer;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, Seq, codec};
use crate::ledger::{Segment, State, Total};
use crate::segment::{self, Origin};

/// Another file of the store that is what this one should be.
pub(super) fn elsewhere(work: &Work<'_>, segment: &Segment) -> Result<Option<PathBuf>> {
    for kind in Kind::ALL {
        let folder = work.root.join(kind.table());
        let attempt = |error| Error::io("look for copies in", &folder, error);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(attempt(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry.map_err(attempt)?;
            let is_it = |entry: &std::fs::DirEntry| {
                entry.metadata().is_ok_and(|found| found.is_file() && found.len() == segment.bytes)
            };
            if is_it(&entry) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        let copy =
            paths.into_iter().find(|path| file::digest(path).is_ok_and(|found| found == segment.blake3));
        if copy.is_some() {
            return Ok(copy);
        }
    }
    Ok(None)
}

/// A name that nothing has yet, for facts of this segment.
fn heir_path(segment: &Segment) -> String {
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let name = segment.path.rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".parquet").unwrap_or(name);
    let stem = stem.rsplit_once('-').map_or(stem, |(range, _)| range);
    format!("{}/{stem}-{}.parquet", segment.kind.table(), unique.get(..8).unwrap_or_default())
}

/// The same file under a new name: the old one may be taken by another file.
pub(super) fn adopt_copy(work: &Work<'_>, segment: &Segment, copy: &Path) -> Result<Segment> {
    let heir = Segment { path: heir_path(segment), ..segment.clone() };
    let place = work.root.join(&heir.path);
    let parent = place.parent().unwrap_or(work.root);
    let attempt = |error| Error::io("put a segment back as", &place, error);
    // Whoever made the copy may not have waited for the disk.
    std::fs::File::open(copy).and_then(|copy| copy.sync_data()).map_err(attempt)?;
    work.disk.publish_link(copy, &place).map_err(attempt)?;
    work.disk.sync_dir(parent).map_err(attempt)?;
    if Found::at(&place)?.is(segment) {
        return Ok(heir);
    }
    segment::discard(work.disk, work.root, std::slice::from_ref(&heir));
    Err(Error::new(ErrorKind::Contended, format!("{} changes while it is read; try again", copy.display())))
}

/// The file itself, with one bit put right.
pub(super) fn put_right(work: &mut Work<'_>, segment: &Segment, found: &Found) -> Result<Option<Segment>> {
    let Found::File { bytes, blake3: Some(_) } = found else { return Ok(None) };
    if *bytes != segment.bytes || *bytes > work.bits_budget.min(bits::MOST_BYTES) {
        return Ok(None);
    }
    let path = work.root.join(&segment.path);
    let damaged = std::fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
    work.bits_budget -= *bytes;
    let Some(whole) = bits::put_right(&damaged, &segment.blake3) else { return Ok(None) };
    let heir = Segment { path: heir_path(segment), ..segment.clone() };
    let place = work.root.join(&heir.path);
    let temp = place.with_extension("tmp");
    work.disk
        .publish(&temp, &place, &whole)
        .map_err(|error| Error::io("publish a segment put right as", &place, error))?;
    work.note(format!("one flipped bit in {} was put right: the file has its digest again", segment.path));
    Ok(Some(heir))
}

/// Facts of the segment whose frames are still in journals.
///
/// A frame does not tell whether a rule has dropped its fact since. So where facts of the kind were
/// dropped, the journals count only if they have just as many as the segment.
pub(super) fn from_journal(
    work: &Work<'_>,
    state: &State,
    segment: &Segment,
    heirs: &mut Heirs,
) -> Result<()> {
    let dropped = |of: &[Total; 3]| of.get(segment.kind.index()).is_some_and(|of| of.facts > 0);
    if state.dropped.values().any(dropped) && journaled(work, state, segment)? != segment.rows {
        return Ok(());
    }
    for range in &segment.streams {
        let journals = journals::read_journals(work, state.store, range.stream)?;
        let mut frames: BTreeMap<Seq, &[u8]> = BTreeMap::new();
        for frame in journals.iter().flat_map(super::journals::JournalRead::frames) {
            let here = range.first_seq <= frame.seq && frame.seq <= range.last_seq;
            if here && codec::kind_of(frame.body) == Some(segment.kind) {
                frames.entry(frame.seq).or_insert(frame.raw);
            }
        }
        if frames.is_empty() {
            continue;
        }
        let mut buffer = Buffer::new(range.stream);
        for (seq, raw) in frames {
            buffer.push(seq, raw);
            heirs.saved.insert(range.stream, seq);
        }
        let chunks = buffer.seal();
        heirs.add.extend(segment::write_all(
            work.disk,
            work.root,
            state.store,
            *range,
            Origin::Store,
            |kind| Box::new(chunks.iter().filter_map(move |chunk| chunk.rows(kind))),
        )?);
    }
    Ok(())
}

/// How many facts in journals may be the segment's.
fn journaled(work: &Work<'_>, state: &State, segment: &Segment) -> Result<u64> {
    let mut places = Coverage::default();
    for range in &segment.streams {
        let journals = journals::read_journals(work, state.store, range.stream)?;
        for frame in journals.iter().flat_map(super::journals::JournalRead::frames) {
            let here = range.first_seq <= frame.seq && frame.seq <= range.last_seq;
            if here && codec::kind_of(frame.body) == Some(segment.kind) {
                places.insert(range.stream, frame.seq);
            }
        }
    }
    Ok(places.ranges().iter().filter_map(|range| range.facts()).sum())
}
