//! Segments: immutable Parquet files of one kind.
//!
//! A segment is written under a temporary name, synced, opened again and checked, and linked into place.
//! It becomes part of the store only when a commit names it. Any program that reads Parquet can open it.
//! Its footer says what it is: `ostracon.format`, `.store`, `.kind`, `.streams`; and, if it was imported,
//! the input ([`origin`]).
//!
//! Parquet has no checksums here, and its readers trust its lengths. So the ledger keeps a BLAKE3 digest
//! of every segment ([`digest`]), and [`SegmentFile`] is the only way to open a segment for its rows. It
//! checks lengths and places before a Parquet reader uses them.

mod bounds;
mod file;
pub(crate) mod find_columns;
pub(crate) mod footer;
mod metadata_types;
mod origin;
pub(crate) mod page;
pub(crate) mod page_layout;
mod readable_rows;
mod thrift;
mod uncommitted_numbers;
mod writer;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use parquet::arrow::arrow_reader::ArrowReaderOptions;

use crate::disk::{Disk, open_regular};
use crate::error::{Error, Result};
use crate::fact::Kind;
use crate::fact::columns::schema;
use crate::ledger::Segment;
#[cfg(feature = "sql")]
pub(crate) use file::{CheckedFooter, SegmentBytes};
pub(crate) use file::{SegmentFile, is_damage, read_exact_at};
pub(crate) use origin::{
    AGAIN, IMPORT_KEY, IMPORTED, ImportPart, Origin, confirm, confirm_live, is_imported, range_of,
    unconfirmed,
};
pub(crate) use readable_rows::unless_damaged;
pub(crate) use uncommitted_numbers::highest_unnamed;
pub(crate) use writer::{SegmentWriter, write_all};

/// The size and the BLAKE3 digest, in hex, of a file's content.
pub(crate) fn digest(file: &mut File) -> io::Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 256 << 10];
    let mut bytes = 0;
    file.rewind()?;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((bytes, hasher.finalize().to_hex().to_string()));
        }
        bytes += read as u64;
        hasher.update(piece.get(..read).unwrap_or_default());
    }
}

/// Removes segments that no commit names. One that cannot be removed does no harm.
pub(crate) fn discard(disk: &Disk, root: &Path, segments: &[Segment]) {
    for segment in segments {
        let _ = disk.remove(&root.join(&segment.path));
    }
    confirm(disk, root, segments);
}

/// Opens the file of a segment that the ledger names. A missing file is damage.
pub(crate) fn open(path: &Path) -> Result<File> {
    open_regular(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::damaged(path, "the ledger names it, but it is gone"),
        io::ErrorKind::InvalidData => Error::damaged(path, error),
        _ => Error::io("open the segment", path, error),
    })
}

/// Opens a segment for reading with the columns of its kind.
fn reader_options(kind: Kind) -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_schema(Arc::clone(&schema(kind)))
}
