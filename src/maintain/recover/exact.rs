//! A damaged segment exactly as it was: another file with its digest, or the file itself with one bit
//! put right.

use std::path::{Path, PathBuf};

use super::bits;
use super::file::FileState;
use super::removed::FilesBySize;
use super::work::Work;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Segment;
use crate::segment;

/// Another file of the store, or of its quarantine, that is what this one should be.
pub(super) fn elsewhere(work: &Work<'_>, segment: &Segment) -> Result<Option<PathBuf>> {
    FilesBySize::list(work)?.find(&work.root.join(&segment.path), segment.bytes, &segment.blake3)
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
    work.aside.link_or_copy(copy, &place).map_err(attempt)?;
    work.disk.sync_dir(parent).map_err(attempt)?;
    if FileState::at(&place)?.is(segment) {
        return Ok(heir);
    }
    segment::discard(work.disk, work.root, std::slice::from_ref(&heir));
    Err(Error::new(ErrorKind::Contended, format!("{} changes while it is read; try again", copy.display())))
}

/// The file itself, with one bit put right.
pub(super) fn put_right(
    work: &mut Work<'_>,
    segment: &Segment,
    found: &FileState,
) -> Result<Option<Segment>> {
    let FileState::File { bytes, blake3: Some(_) } = found else { return Ok(None) };
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
