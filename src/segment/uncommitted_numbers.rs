//! Numbers of facts in segments that no commit names.
//!
//! A ledger may be older than the segments beside it: the folders of a store were copied one after
//! another, or both files of its newest commits are lost. The numbers of the facts in such segments were
//! given out, and must not be given out again.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use super::footer::Footer;
use super::{is_damage, is_imported, range_of, unconfirmed};
use crate::disk::open_regular;
use crate::error::{Error, Result};
use crate::fact::{Kind, Seq, StreamId};
use crate::ledger::{State, StreamRange};

/// The highest number of a stream in segments that no commit names; 0 if there is none. Segments of an
/// import that was cut short do not count: their numbers were given to no caller.
pub(crate) fn highest_unnamed(root: &Path, state: &State, stream: StreamId) -> Result<Seq> {
    let live = state.segments.iter().flatten().map(|segment| segment.path.as_str());
    let removed = state.removed.iter().map(|tombstone| tombstone.path.as_str());
    let named: HashSet<&str> = live.chain(removed).collect();
    let mut highest = Seq(0);
    for kind in Kind::ALL {
        let folder = root.join(kind.folder());
        let attempt = |error| Error::io("list the segments in", &folder, error);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(attempt(error)),
        };
        for entry in entries {
            let name = entry.map_err(attempt)?.file_name();
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".parquet")) else { continue };
            if named.contains(format!("{}/{stem}.parquet", kind.folder()).as_str()) {
                continue;
            }
            let path = folder.join(&name);
            if is_imported(&path) && unconfirmed(&path).symlink_metadata().is_ok() {
                continue;
            }
            let of_stream =
                ranges(&path, stem, state, kind)?.into_iter().filter(|range| range.stream == stream);
            highest = of_stream.map(|range| range.last_seq).fold(highest, Seq::max);
        }
    }
    Ok(highest)
}

/// The ranges of facts of a segment of the store, from its name and its footer.
fn ranges(path: &Path, stem: &str, state: &State, kind: Kind) -> Result<Vec<StreamRange>> {
    let mut ranges: Vec<_> = range_of(stem).into_iter().collect();
    // Opening a pipe would block. Symbolic links are followed.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Ok(Vec::new());
    }
    let read = || {
        let file = open_regular(path)?;
        let bytes = file.metadata()?.len();
        Footer::read(&file, bytes)
    };
    match read() {
        Ok(Ok(footer)) if footer.check(state.store, kind).is_err() => ranges.clear(),
        Ok(footer) => ranges.extend(footer.into_iter().flat_map(|footer| footer.streams)),
        // The name still has the numbers. A file of another user must not stop this user's recorder.
        Err(error) if is_damage(&error) || error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(Error::io("read the footer of", path, error)),
    }
    Ok(ranges)
}
