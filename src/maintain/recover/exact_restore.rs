//! Restores a damaged segment exactly: from another file with its digest, or by correcting one bit of the
//! file itself.

use std::path::{Path, PathBuf};

use super::bit_flip;
use super::path_state::FileState;
use super::recovery_state::Work;
use super::removed_segments::FilesBySize;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Segment;
use crate::segment;

/// Finds another file in the store, or in its quarantine, with the digest of this segment.
pub(super) fn elsewhere(work: &Work<'_>, segment: &Segment) -> Result<Option<PathBuf>> {
    FilesBySize::list(work)?.find(&work.root.join(&segment.path), segment.bytes, &segment.blake3)
}

/// A new name for facts of this segment.
fn heir_path(segment: &Segment) -> String {
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let name = segment.path.rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".parquet").unwrap_or(name);
    let stem = stem.rsplit_once('-').map_or(stem, |(range, _)| range);
    format!("{}/{stem}-{}.parquet", segment.kind.folder(), unique.get(..8).unwrap_or_default())
}

/// Adds a copy of the file under a new name: another file may have the old name.
pub(super) fn adopt_copy(work: &Work<'_>, segment: &Segment, copy: &Path) -> Result<Segment> {
    let heir = Segment { path: heir_path(segment), ..segment.clone() };
    let place = work.root.join(&heir.path);
    let parent = place.parent().unwrap_or(work.root);
    let attempt = |error| Error::io("restore a segment as", &place, error);
    // The process that made the copy may not have synced it.
    std::fs::File::open(copy).and_then(|copy| copy.sync_data()).map_err(attempt)?;
    work.aside.link_or_copy(copy, &place).map_err(attempt)?;
    work.disk.sync_dir(parent).map_err(attempt)?;
    if FileState::at(&place)?.is(segment) {
        return Ok(heir);
    }
    segment::discard(work.disk, work.root, std::slice::from_ref(&heir));
    Err(Error::new(ErrorKind::Contended, format!("{} changes while it is read; try again", copy.display())))
}

/// Corrects one bit in the file itself.
pub(super) fn put_right(
    work: &mut Work<'_>,
    segment: &Segment,
    found: &FileState,
) -> Result<Option<Segment>> {
    let FileState::File { bytes, blake3: Some(_) } = found else { return Ok(None) };
    if *bytes != segment.bytes || *bytes > work.bits_budget.min(bit_flip::MOST_BYTES) {
        return Ok(None);
    }
    let path = work.root.join(&segment.path);
    let damaged = std::fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
    work.bits_budget -= *bytes;
    let Some(whole) = bit_flip::put_right(&damaged, &segment.blake3) else { return Ok(None) };
    let heir = Segment { path: heir_path(segment), ..segment.clone() };
    let place = work.root.join(&heir.path);
    let temp = place.with_extension("tmp");
    work.disk
        .publish(&temp, &place, &whole)
        .map_err(|error| Error::io("publish a corrected segment as", &place, error))?;
    work.note(format!("one flipped bit in {} was corrected: the file has its digest again", segment.path));
    Ok(Some(heir))
}
