//! The origin of a segment's facts, as its name and its footer describe it.
//!
//! The footer of a segment of an import names the part of the input that it holds (`ostracon.import`).
//! The segment keeps its temporary name beside its own until its commit is published:
//!
//! ```text
//! import-7-1-90-0a0b0c0d.tmp       goes when a commit names the segment
//! import-7-1-90-0a0b0c0d.parquet
//! ```
//!
//! So segments of an import that was cut short differ from those that it had committed, if the ledger
//! names neither. An import that was cut short did not report the facts as imported, and importing the
//! input again restores them. A committed segment may be the only place of its facts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::fact::{Seq, StreamId};
use crate::ledger::{EntryId, ImportMark, Segment, State, StreamRange};

/// The prefix of a temporary file of a segment whose facts were in segments before.
pub(crate) const AGAIN: &str = "again-";

/// The prefix of a segment whose facts are imported from an input.
pub(crate) const IMPORTED: &str = "import-";

/// The key in a footer that names the part of an input.
pub(crate) const IMPORT_KEY: &str = "ostracon.import";

/// The place of a new segment's facts before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// In a journal, or in a damaged store.
    Store,
    /// In this part of an input that is imported.
    Import(&'a ImportPart),
}

/// A part of an input, which one commit adds to the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportPart {
    /// Where the commit before it ended, in bytes of the input.
    pub(crate) begins: u64,
    /// BLAKE3 of the input's bytes before this part: it shows which part comes before. Older programs did
    /// not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<String>,
    /// The input was known, but was imported again on request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) again: bool,
    /// The input, and how far its commit reaches.
    #[serde(flatten)]
    pub(crate) mark: ImportMark,
}

impl ImportPart {
    /// Where the part begins in its input. In this order, a part comes after all parts that it follows.
    pub(crate) fn begins(&self) -> (Option<EntryId>, u64) {
        (self.mark.entries.and_then(|entries| entries.after), self.begins)
    }

    /// Parses the value in a footer.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether the input was imported up to the end of this part, according to these marks. Then its
    /// facts are in the store, perhaps by another import. The facts of a repeated import are there once
    /// more only by that import itself.
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

    /// Whether the part begins where a mark ends, or at the beginning of its input.
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

/// A segment's name, without its ending: the inventory reads the range of its facts from it. Of several
/// streams it names the first.
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

/// Whether a segment's path is that of an import.
pub(crate) fn is_imported(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(IMPORTED))
}

/// The second name of an import's segment, which it has until a commit names it.
pub(crate) fn unconfirmed(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

/// Removes the second names of the segments, because a commit names them. For a name that remains,
/// there is [`confirm_live`].
pub(crate) fn confirm(disk: &Disk, root: &Path, segments: &[Segment]) {
    for segment in segments.iter().map(|segment| root.join(&segment.path)) {
        if is_imported(&segment) {
            let _ = disk.remove(&unconfirmed(&segment));
        }
    }
}

/// Durably removes the second names of all live segments: of an import that was killed after its commit,
/// or if a power failure undid the removal. After an import is reported as done, the user may delete its
/// input. From then on no file may say that the import was not committed.
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
