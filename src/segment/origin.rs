//! Where a segment's facts come from, as its name and its footer have it.
//!
//! A segment of an import says in its footer which part of which input it holds
//! (`ostracon.import`), and keeps its temporary name beside its own until its commit is published:
//!
//! ```text
//! import-7-1-90-0a0b0c0d.tmp       goes when a commit names the segment
//! import-7-1-90-0a0b0c0d.parquet
//! ```
//!
//! So what an import has left that was cut short can be told from what it had committed, when the
//! ledger knows of neither: of the first nobody was told, and importing the input again brings it;
//! the second is perhaps the only place of its facts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::fact::{Seq, StreamId};
use crate::ledger::{EntryId, ImportMark, Segment, State, StreamRange};

/// What the temporary file of a segment begins with whose facts were in segments before.
pub(crate) const AGAIN: &str = "again-";

/// What the name of a segment begins with whose facts come from an input that is imported.
pub(crate) const IMPORTED: &str = "import-";

/// The member of a footer that names the part of an input.
pub(crate) const IMPORT_KEY: &str = "ostracon.import";

/// Where the facts of a new segment were before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// In a journal, or a damaged store.
    Store,
    /// In this part of an input that is imported.
    Import(&'a ImportPart),
}

/// A part of an input, which one commit makes part of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportPart {
    /// Where the commit before it ended, in bytes of the input.
    pub(crate) begins: u64,
    /// BLAKE3 of the bytes before that, by which the part follows on from another. Older programs
    /// did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<String>,
    /// It was known, and imported all the same, because that was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) again: bool,
    /// The input, and how far its commit reaches.
    #[serde(flatten)]
    pub(crate) mark: ImportMark,
}

impl ImportPart {
    /// Where it begins in its input: by this order none is before one that it follows.
    pub(crate) fn begins(&self) -> (Option<EntryId>, u64) {
        (self.mark.entries.and_then(|entries| entries.after), self.begins)
    }

    /// As a footer has it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether an input was imported as far as this part reaches, as these marks say: so its facts are in
    /// the store, if not by this import. What was imported again is there once more only by itself.
    pub(crate) fn is_imported(&self, marks: &[ImportMark]) -> bool {
        let mark = &self.mark;
        let reaches = |known: &ImportMark| {
            if mark.entries.is_some() || known.entries.is_some() {
                return known.has_entries_of(mark);
            }
            known.head_blake3 == mark.head_blake3
                && (known.bytes > mark.bytes || (known.bytes == mark.bytes && known.blake3 == mark.blake3))
        };
        !self.again && marks.iter().any(reaches)
    }

    /// Whether the part begins where one of these marks ends, or where its input begins.
    pub(crate) fn follows(&self, marks: &[ImportMark]) -> bool {
        if let Some(entries) = self.mark.entries {
            let ends_there = |known: &ImportMark| {
                known.name == self.mark.name && known.entries.map(|known| known.last) == entries.after
            };
            return entries.after.is_none() || marks.iter().any(ends_there);
        }
        let ends_there = |known: &ImportMark| match &self.before {
            _ if known.entries.is_some() => false,
            Some(before) => known.bytes == self.begins && known.blake3 == *before,
            None => known.bytes >= self.begins && known.head_blake3 == self.mark.head_blake3,
        };
        self.begins == 0 || marks.iter().any(ends_there)
    }
}

/// A segment's name, without its ending: what inventory tells its facts by. Of several streams it
/// names the first.
pub(super) fn name(range: StreamRange, origin: Origin<'_>, unique: &str) -> String {
    let origin = if matches!(origin, Origin::Import(_)) { IMPORTED } else { "" };
    format!("{origin}{}-{}-{}-{unique}", range.stream, range.first_seq, range.last_seq)
}

/// The facts of a segment with this name: `<stream>-<first>-<last>-<unique>`, with or without `import-` before it.
pub(crate) fn range_of(stem: &str) -> Option<StreamRange> {
    let mut parts = stem.strip_prefix(IMPORTED).unwrap_or(stem).split('-');
    let stream = StreamId(parts.next()?.parse().ok()?);
    let first_seq = Seq(parts.next()?.parse().ok()?);
    let last_seq = Seq(parts.next()?.parse().ok()?);
    let unique = parts.next().is_some() && parts.next().is_none();
    let range = StreamRange { stream, first_seq, last_seq };
    range.facts().filter(|facts| unique && *facts > 0 && first_seq.0 > 0).map(|_| range)
}

/// Whether a segment's path is that of an import's.
pub(crate) fn is_imported(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(IMPORTED))
}

/// The name that an import's segment has besides its own until a commit names it.
pub(crate) fn unconfirmed(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

/// A commit names these segments: their second names go. For one that stays, there is
/// [`confirm_live`].
pub(crate) fn confirm(disk: &Disk, root: &Path, segments: &[Segment]) {
    for segment in segments.iter().map(|segment| root.join(&segment.path)) {
        if is_imported(&segment) {
            let _ = disk.remove(&unconfirmed(&segment));
        }
    }
}

/// Takes away the second names of all live segments for good: of an import that was killed between
/// its commit and that, and of one whose removal a power failure undid. Whoever is told that an input
/// is in the store may delete it, so from then on nothing may say that nobody was told.
pub(crate) fn confirm_live(disk: &Disk, root: &Path, state: &State) -> Result<()> {
    let live = state.segments.iter().flatten().map(|segment| root.join(&segment.path));
    let mut folders = BTreeSet::new();
    for second in live.filter(|path| is_imported(path)).map(|path| unconfirmed(&path)) {
        if second.symlink_metadata().is_ok() {
            disk.remove(&second).map_err(|error| Error::io("remove", &second, error))?;
        }
        folders.extend(second.parent().map(Path::to_path_buf));
    }
    for folder in folders {
        disk.sync_dir(&folder).map_err(|error| Error::io("sync the folder", &folder, error))?;
    }
    Ok(())
}
