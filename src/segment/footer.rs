//! Reads a segment's own description from its footer, without trusting a byte of it.
//!
//! ```text
//! …  FileMetaData in Thrift's compact protocol | its length, 4 bytes | "PAR1"
//! ```
//!
//! This is for files whose digest was not or cannot be compared: one small read from the end, no pages,
//! and no memory beyond the bytes that were read. [`SegmentFile`](super::SegmentFile) opens a file for
//! its rows, and begins with this.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::LazyLock;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;

use super::file::read_exact_at;
use super::metadata_types;
use super::thrift::Value;
use super::{IMPORT_KEY, ImportPart};
use crate::fact::columns::schema;
use crate::fact::{Kind, PerKind, Seq, StreamId};
use crate::ledger::{FORMAT, StoreId, StreamRange};

/// The bytes that are read first: most footers are shorter.
const TAIL_BYTES: u64 = 16 << 10;
/// The most bytes of a footer: for a hundred million rows it has less than two million bytes.
const MOST_FOOTER_BYTES: u64 = 256 << 20;
const END: &[u8; 4] = b"PAR1";

/// A segment's footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) rows: u64,
    /// The version of Ostracon's format; `None` if another program wrote the file.
    pub(crate) format: Option<u32>,
    pub(crate) store: Option<StoreId>,
    pub(crate) kind: Option<Kind>,
    /// The ranges that contain its facts.
    pub(crate) streams: Vec<StreamRange>,
    /// The part of an input, if its facts were imported.
    pub(crate) import: Option<ImportPart>,
    columns: Vec<Column>,
}

/// The name and form of a column or of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    physical: Option<i64>,
    repetition: Option<i64>,
    children: Option<i64>,
}

/// The end of a file: the bytes of its footer, and those that were read before it.
pub(crate) struct Tail {
    bytes: Vec<u8>,
    /// The place in the file where the footer begins.
    pub(crate) footer_begins: u64,
    length: usize,
}

impl Tail {
    /// Reads the end of a file of this size; the inner error says why it is not a segment.
    pub(crate) fn read(file: &File, size: u64) -> io::Result<Result<Self, &'static str>> {
        let tail = size.min(TAIL_BYTES);
        let mut bytes = from_end(file, size, tail)?;
        let length = match length(&bytes) {
            Ok(length) => length,
            Err(why) => return Ok(Err(why)),
        };
        // Four bytes are the beginning of a file, eight its end.
        if length.saturating_add(12) > size || length > MOST_FOOTER_BYTES {
            return Ok(Err("its footer is longer than the file"));
        }
        if length + 8 > tail {
            bytes = from_end(file, size, length + 8)?;
        }
        let footer_begins = size - 8 - length;
        Ok(Ok(Self { bytes, footer_begins, length: length as usize }))
    }

    /// The footer's bytes.
    pub(crate) fn footer(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(8);
        self.bytes.get(end.saturating_sub(self.length)..end).unwrap_or_default()
    }

    /// Parses the footer.
    pub(crate) fn parse(&self) -> Result<(Value<'_>, Footer), &'static str> {
        parse(self.footer())
    }

    /// Bytes of the file that were read with the footer.
    pub(crate) fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        let begins = self.footer_begins + self.length as u64 + 8 - self.bytes.len() as u64;
        let at = |place: u64| usize::try_from(place.checked_sub(begins)?).ok();
        self.bytes.get(at(range.start)?..at(range.end)?)
    }
}

/// Parses a footer from its bytes. The value has the types that decoders expect.
fn parse(bytes: &[u8]) -> Result<(Value<'_>, Footer), &'static str> {
    let value = Value::parse(bytes).ok_or("its footer cannot be read")?;
    let footer = Footer::of(&value).ok_or("its footer lacks required values")?;
    if !metadata_types::FILE_METADATA.fits(&value) {
        return Err("its footer has wrong values");
    }
    Ok((value, footer))
}

impl Footer {
    /// Reads the footer of a file of this size; the inner error says why there is none.
    pub(crate) fn read(file: &File, size: u64) -> io::Result<Result<Self, &'static str>> {
        let tail = Tail::read(file, size)?;
        Ok(tail.and_then(|tail| tail.parse().map(|(_, footer)| footer)))
    }

    /// Reads a footer from bytes that end with it.
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let length = usize::try_from(length(bytes)?).unwrap_or(usize::MAX);
        let end = bytes.len().saturating_sub(8);
        let begin = end.checked_sub(length).ok_or("its footer is longer than the file")?;
        parse(bytes.get(begin..end).unwrap_or_default()).map(|(_, footer)| footer)
    }

    fn of(footer: &Value<'_>) -> Option<Self> {
        let rows = u64::try_from(footer.integer(3)?).ok()?;
        let mut grouped = 0_u64;
        for group in footer.list(4)? {
            grouped = grouped.checked_add(u64::try_from(group.integer(3)?).ok()?)?;
        }
        if grouped != rows {
            return None;
        }
        let columns = footer.list(2)?.iter().map(|element| {
            Some(Column {
                name: element.text(4)?.to_owned(),
                physical: element.integer(1),
                repetition: element.integer(3),
                children: element.integer(5),
            })
        });
        let said = |key: &str| {
            let entries = footer.list(5).unwrap_or_default();
            entries.iter().find(|entry| entry.text(1) == Some(key))?.text(2)
        };
        Some(Self {
            rows,
            format: said("ostracon.format").and_then(|format| format.parse().ok()),
            store: said("ostracon.store").and_then(|store| StoreId::try_from(store.to_owned()).ok()),
            kind: said("ostracon.kind").and_then(|tag| Kind::ALL.into_iter().find(|kind| kind.tag() == tag)),
            streams: said("ostracon.streams").and_then(ranges).unwrap_or_default(),
            import: said(IMPORT_KEY).and_then(ImportPart::parse),
            columns: columns.collect::<Option<_>>()?,
        })
    }

    /// Whether the columns are those of this kind.
    pub(crate) fn has_columns_of(&self, kind: Kind) -> bool {
        self.columns == *columns(kind)
    }

    /// Checks whether it is a segment of this kind and store; the error says why not.
    pub(crate) fn check(&self, store: StoreId, kind: Kind) -> Result<(), String> {
        match (self.format, self.store, self.kind) {
            (Some(format), ..) if format > FORMAT => Err(format!("a segment of format {format}")),
            (Some(_), Some(found), _) if found != store => Err(format!("a segment of store {found}")),
            (Some(_), Some(_), Some(found)) if found != kind => Err(format!("a segment of {found}")),
            (Some(_), Some(_), Some(_)) if self.has_columns_of(kind) => Ok(()),
            (Some(_), Some(_), Some(_)) => Err(format!("a segment that does not have the columns of {kind}")),
            _ => Err("a Parquet file that Ostracon did not write".to_owned()),
        }
    }
}

/// The length of the footer at the end of the bytes.
fn length(bytes: &[u8]) -> Result<u64, &'static str> {
    let end = bytes.last_chunk::<8>().ok_or("it is too short for a segment")?;
    let (length, magic) = end.split_at(4);
    if magic != END {
        return Err("it does not end as a Parquet file does");
    }
    Ok(u64::from(u32::from_le_bytes(length.try_into().unwrap_or_default())))
}

fn from_end(file: &File, size: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    read_exact_at(file, &mut bytes, size - len)?;
    Ok(bytes)
}

/// Ranges as a footer writes them: `1:120-340,2:7-9`.
pub(crate) fn ranges(text: &str) -> Option<Vec<StreamRange>> {
    let range = |part: &str| {
        let (stream, range) = part.trim().split_once(':')?;
        let (first, last) = range.split_once('-')?;
        Some(StreamRange {
            stream: StreamId(stream.parse().ok()?),
            first_seq: Seq(first.parse().ok()?),
            last_seq: Seq(last.parse().ok()?),
        })
    };
    text.split(',').map(range).collect()
}

/// The columns of a segment of this kind, as this program writes them.
fn columns(kind: Kind) -> &'static [Column] {
    static COLUMNS: LazyLock<PerKind<Vec<Column>>> = LazyLock::new(|| {
        PerKind::from_fn(|kind| {
            let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true);
            let empty = ArrowWriter::try_new_with_options(Vec::new(), schema(kind), options)
                .and_then(ArrowWriter::into_inner);
            empty
                .ok()
                .and_then(|file| Footer::parse(&file).ok())
                .map_or_else(Vec::new, |footer| footer.columns)
        })
    });
    &COLUMNS[kind]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Event, Json, Store};

    /// The bytes of a segment of five events, and its store.
    fn segment() -> (Vec<u8>, StoreId) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("facts")).unwrap();
        for n in 0..5 {
            store
                .record(Event::new("s", format!("s:{n}"), "ActorStarted", Json::empty_object(), 1.0))
                .unwrap();
        }
        store.flush().unwrap();
        let state = store.context().ledger.known();
        (fs::read(store.path().join(&state.segments(Kind::Event)[0].path)).unwrap(), state.store)
    }

    #[test]
    fn a_segment_says_what_it_is() {
        let (bytes, store) = segment();
        let footer = Footer::parse(&bytes).unwrap();
        assert_eq!((footer.rows, footer.format, footer.kind), (5, Some(FORMAT), Some(Kind::Event)));
        assert_eq!(footer.streams, ranges("1:1-5").unwrap());
        footer.check(store, Kind::Event).unwrap();
        assert!(footer.check(StoreId::from_bytes([1; 16]), Kind::Event).unwrap_err().contains("of store"));
        assert_eq!(footer.check(store, Kind::Audit).unwrap_err(), "a segment of events");
    }

    #[test]
    fn a_file_is_read_from_its_end() {
        let (bytes, _) = segment();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        let read = Footer::read(file.as_file(), bytes.len() as u64).unwrap().unwrap();
        assert_eq!(read, Footer::parse(&bytes).unwrap());
        for wrong in [&b""[..], b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1", b"\0\0\0\0\0\0\0\0PAR2"] {
            fs::write(file.path(), wrong).unwrap();
            Footer::read(file.as_file(), wrong.len() as u64).unwrap().unwrap_err();
        }
    }

    #[test]
    fn a_flipped_footer_is_none_or_another() {
        let (bytes, _) = segment();
        let sound = Footer::parse(&bytes).unwrap();
        let mut same = 0;
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                same += usize::from(Footer::parse(&flipped).as_ref() == Ok(&sound));
            }
        }
        // Pages, their statistics and offsets are not read.
        assert!(same > 0 && same < bytes.len() * 8);
    }

    #[test]
    fn ranges_of_several_streams() {
        assert_eq!(ranges("1:2-3,7:8-9").unwrap().len(), 2);
        for wrong in ["", "1", "1:2", "1:2-3,", "a:1-2"] {
            assert_eq!(ranges(wrong), None, "{wrong:?}");
        }
    }
}
