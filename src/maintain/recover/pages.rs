//! Finding the columns of a segment whose footer is gone.
//!
//! Parquet says where everything is at the end of a file: cut off a byte, and nothing can be read
//! the usual way. But a segment's layout is known. After the four bytes of magic come the row
//! groups; in each, column after column as in the kind's schema; in each column, an optional page
//! with its dictionary, then pages of values; and behind a row group the bloom filters. Every page
//! begins with a header that says how long it is and how many values it has:
//!
//! ```text
//! PAR1 | recorded_at pages | stream dictionary, pages | seq pages | … | bloom filters | …
//! ```
//!
//! So the footer can be made up by walking from header to header. The first column, which has no
//! dictionary, ends where the next one's begins: that tells how many rows the row group has. Every
//! other column ends when it has a value for each of them; one of lists, which has more values than
//! rows, where the next dictionary begins.
//! Headers are in Thrift's compact protocol, of which the few parts that occur here are read below.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::{ColumnDescPtr, SchemaDescPtr};

use crate::fact::Kind;
use crate::fact::columns::schema;

/// A page's header is never longer; statistics of a column of text are bounded, too.
const MOST_HEADER_BYTES: usize = 64 << 10;
/// A page that says it is larger is not believed.
const MOST_PAGE_BYTES: i32 = 1 << 30;

/// The metadata of as many row groups as are whole, of a file of this kind with so many rows.
pub(super) fn walk(file: &File, kind: Kind, rows: u64) -> Option<ParquetMetaData> {
    let schema = Arc::new(ArrowSchemaConverter::new().convert(&schema(kind)).ok()?);
    let mut walker = Walker { length: file.metadata().ok()?.len(), file, at: 4 };
    let mut groups = Vec::new();
    let mut left = rows;
    while left > 0 {
        let Some(group) = walker.row_group(&schema) else { break };
        let Some(rest) = left.checked_sub(group.num_rows().unsigned_abs()) else { break };
        groups.push(group);
        left = rest;
    }
    let found: i64 = groups.iter().map(RowGroupMetaData::num_rows).sum();
    let footer = FileMetaData::new(1, found, None, None, schema, None);
    (!groups.is_empty()).then(|| ParquetMetaData::new(footer, groups))
}

struct Walker<'f> {
    file: &'f File,
    length: u64,
    at: u64,
}

impl Walker<'_> {
    fn row_group(&mut self, schema: &SchemaDescPtr) -> Option<RowGroupMetaData> {
        self.skip_bloom_filters();
        let (first, others) = schema.columns().split_first()?;
        let mut columns = vec![self.column(first, None)?];
        let rows = columns.first()?.num_values().unsigned_abs();
        for column in others {
            columns.push(self.column(column, Some(rows))?);
        }
        let bytes = columns.iter().map(ColumnChunkMetaData::uncompressed_size).sum();
        RowGroupMetaData::builder(Arc::clone(schema))
            .set_num_rows(rows as i64)
            .set_total_byte_size(bytes)
            .set_column_metadata(columns)
            .build()
            .ok()
    }

    /// The column that begins here, for so many rows; if that is not known, up to a dictionary.
    fn column(&mut self, column: &ColumnDescPtr, rows: Option<u64>) -> Option<ColumnChunkMetaData> {
        let flat = rows.filter(|_| column.max_rep_level() == 0);
        let begin = self.at;
        let (mut dictionary, mut first_data) = (None, None);
        let (mut values, mut uncompressed) = (0_u64, 0_i64);
        loop {
            let page = match self.page() {
                Some(page) if page.is_dictionary() && self.at == begin => {
                    dictionary = Some(begin as i64);
                    page
                }
                // The next column's.
                Some(page) if page.is_dictionary() => break,
                Some(page) => {
                    first_data.get_or_insert(self.at as i64);
                    values += u64::from(page.values.unsigned_abs());
                    page
                }
                None => return None,
            };
            uncompressed += i64::from(page.uncompressed) + page.header_bytes as i64;
            self.at += page.header_bytes as u64 + u64::from(page.compressed.unsigned_abs());
            if flat.is_some_and(|rows| values >= rows) {
                break;
            }
        }
        if values == 0 || rows.is_some_and(|rows| values < rows) || flat.is_some_and(|rows| values != rows) {
            return None;
        }
        ColumnChunkMetaData::builder(Arc::clone(column))
            .set_compression(compression(column.path().string().as_str()))
            .set_num_values(values as i64)
            .set_total_compressed_size((self.at - begin) as i64)
            .set_total_uncompressed_size(uncompressed)
            .set_dictionary_page_offset(dictionary)
            .set_data_page_offset(first_data?)
            .build()
            .ok()
    }

    /// The header of the page that begins here; the whole page is within the file.
    fn page(&self) -> Option<Page> {
        let bytes = self.bytes()?;
        let mut reader = Thrift { bytes: &bytes, at: 0 };
        let (mut form, mut compressed, mut uncompressed, mut values) = (None, None, None, None);
        reader.fields(0, &mut |path, value| match path {
            [1] => form = Some(value),
            [2] => uncompressed = Some(value),
            [3] => compressed = Some(value),
            [5 | 7 | 8, 1] => values = Some(value),
            _ => {}
        })?;
        let number = |value: Option<i64>| i32::try_from(value?).ok().filter(|n| *n >= 0);
        let page = Page {
            form: number(form)?,
            compressed: number(compressed)?,
            uncompressed: number(uncompressed).filter(|bytes| *bytes <= MOST_PAGE_BYTES)?,
            values: number(values)?,
            header_bytes: reader.at,
        };
        let end = self.at + page.header_bytes as u64 + u64::from(page.compressed.unsigned_abs());
        (matches!(page.form, 0 | 2 | 3) && end <= self.length).then_some(page)
    }

    /// Moves behind the bloom filters that stand here, if any do.
    fn skip_bloom_filters(&mut self) {
        while self.page().is_none_or(|page| page.values == 0) {
            let Some(bytes) = self.bytes() else { return };
            let mut reader = Thrift { bytes: &bytes, at: 0 };
            let mut length = None;
            let read = reader.fields(0, &mut |path, value| {
                if path == [1] {
                    length = Some(value);
                }
            });
            let length = length.and_then(|length| u64::try_from(length).ok()).filter(|length| *length > 0);
            let Some(length) = read.and(length) else { return };
            let end = self.at.saturating_add(reader.at as u64).saturating_add(length);
            if end > self.length {
                return;
            }
            self.at = end;
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.at)).ok()?;
        let mut bytes = Vec::new();
        file.take(MOST_HEADER_BYTES as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// How a column is compressed: as the segment's writer does it.
fn compression(column: &str) -> Compression {
    match column {
        "payload" | "error" | "reason" | "extra" => {
            Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default())
        }
        _ => Compression::UNCOMPRESSED,
    }
}

/// The header of a page.
#[derive(Debug)]
struct Page {
    /// 0 and 3 are of values, 2 is a dictionary.
    form: i32,
    compressed: i32,
    uncompressed: i32,
    values: i32,
    header_bytes: usize,
}

impl Page {
    const fn is_dictionary(&self) -> bool {
        self.form == 2
    }
}

/// Reads Thrift's compact protocol, as far as integers in structures are wanted.
struct Thrift<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// Structures within structures are not followed deeper.
const MOST_DEPTH: usize = 8;

impl Thrift<'_> {
    /// Reads a structure, and tells of each integer by the numbers of the fields that lead to it.
    fn fields(&mut self, depth: usize, tell: &mut dyn FnMut(&[i16], i64)) -> Option<()> {
        self.structure(&mut Vec::new(), depth, tell)
    }

    fn structure(
        &mut self,
        path: &mut Vec<i16>,
        depth: usize,
        tell: &mut dyn FnMut(&[i16], i64),
    ) -> Option<()> {
        let mut number = 0_i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            number = match head >> 4 {
                0 => i16::try_from(self.integer()?).ok()?,
                delta => number.checked_add(i16::from(delta))?,
            };
            path.push(number);
            self.value(head & 15, path, depth, tell)?;
            path.pop();
        }
    }

    fn value(
        &mut self,
        form: u8,
        path: &mut Vec<i16>,
        depth: usize,
        tell: &mut dyn FnMut(&[i16], i64),
    ) -> Option<()> {
        match form {
            // The value of a truth is in its type.
            1 | 2 => {}
            3 => {
                self.byte()?;
            }
            4..=6 => {
                let value = self.integer()?;
                tell(path, value);
            }
            7 => self.skip(8)?,
            8 => {
                let length = self.varint()?;
                self.skip(usize::try_from(length).ok()?)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.varint()?,
                    count => u64::from(count),
                };
                for _ in 0..count {
                    // In a list, truths have a byte of their own.
                    match head & 15 {
                        1 | 2 => self.skip(1)?,
                        form => self.value(form, path, deeper(depth)?, &mut |_, _| {})?,
                    }
                }
            }
            12 => self.structure(path, deeper(depth)?, tell)?,
            _ => return None,
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.at = self.at.checked_add(bytes).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A number in zigzag form.
    fn integer(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

fn deeper(depth: usize) -> Option<usize> {
    (depth < MOST_DEPTH).then_some(depth + 1)
}

#[cfg(test)]
mod tests {
    use super::super::wreck::Wreck;
    use super::*;
    use crate::disk::Disk;
    use crate::fact::columns::RowsBuilder;
    use crate::fact::{Audit, DeadLetter, Event, Fact, Json, Seq, StreamId, UnixNanos};
    use crate::ledger::{StoreId, StreamRange};
    use crate::segment::{Origin, SegmentWriter};
    use arrow::array::RecordBatch;
    use std::path::{Path, PathBuf};

    fn fact(kind: Kind, n: u64) -> Fact<'static> {
        let json = |text: String| Json::parse(text).unwrap();
        match kind {
            Kind::Event => {
                let payload = json(format!(r#"{{"error": "KeyError: {}", "reason": "n={n}"}}"#, n * 7919));
                Event::new("shop", format!("shop:{}", n % 17), "ActorCrashed", payload, n as f64).into()
            }
            Kind::Audit => {
                let mut audit = Audit::new("shop", n as f64);
                audit.registry_dead = (0..n % 4).map(|dead| format!("shop:{dead}").into()).collect();
                audit.into()
            }
            Kind::DeadLetter => {
                let target = (!n.is_multiple_of(3)).then_some("shop:5");
                DeadLetter::new("shop", target, "Order", json(format!("[{n}]")), n as f64).into()
            }
        }
    }

    fn segment(folder: &Path, kind: Kind, rows: u64) -> PathBuf {
        std::fs::create_dir_all(folder.join(kind.table())).unwrap();
        let range = StreamRange { stream: StreamId(1), first_seq: Seq(1), last_seq: Seq(rows) };
        let disk = Disk::new();
        let mut writer =
            SegmentWriter::begin(&disk, folder, kind, StoreId::from_bytes([1; 16]), range, Origin::Store)
                .unwrap();
        let mut builder = RowsBuilder::new(kind);
        for n in 1..=rows {
            builder.push(Seq(n), UnixNanos::new(n as i64), &fact(kind, n), None);
            if n % 5000 == 0 || n == rows {
                writer.write(&builder.finish(StreamId(1), Seq(0))).unwrap();
            }
        }
        folder.join(writer.finish().unwrap().path)
    }

    fn rows(wreck: &Wreck) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        wreck
            .read(&mut |batch| {
                batches.push(batch.clone());
                Ok(())
            })
            .unwrap();
        batches
    }

    #[test]
    fn a_segment_is_read_without_its_footer_as_with_it() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, count) in Kind::ALL.into_iter().zip([140_000, 3000, 3000]) {
            let path = segment(folder.path(), kind, count);
            let whole = rows(&Wreck::by_footer(&path, kind).unwrap());
            let file = File::open(&path).unwrap();
            let walked = walk(&file, kind, count).unwrap();
            assert_eq!(walked.file_metadata().num_rows() as u64, count, "{kind}");
            // Without the footer there is only one way.
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - 8]).unwrap();
            let ways = Wreck::ways(&path, kind, count);
            assert_eq!(ways.len(), 1);
            assert!(rows(ways.first().unwrap()) == whole, "{kind}");
        }
    }

    #[test]
    fn of_a_segment_that_is_cut_anywhere_nothing_else_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for kind in Kind::ALL {
            let path = segment(folder.path(), kind, 300);
            let whole = rows(&Wreck::by_footer(&path, kind).unwrap());
            let bytes = std::fs::read(&path).unwrap();
            let mut read = 0;
            for length in (0..bytes.len()).step_by(5) {
                std::fs::write(&path, &bytes[..length]).unwrap();
                for way in Wreck::ways(&path, kind, 300) {
                    assert!(rows(&way) == whole, "{kind}, cut at {length}");
                    read += 1;
                }
            }
            assert!(read > 10, "{kind}: {read}");
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for byte in [0_u8, 1, 0x15, 0x7f, 0xff] {
            std::fs::write(&path, vec![byte; 5000]).unwrap();
            for kind in Kind::ALL {
                let ways = Wreck::ways(&path, kind, 1000);
                assert!(ways.iter().all(|way| rows(way).is_empty()), "{byte}");
            }
        }
    }
}
