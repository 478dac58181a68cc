//! Finds the columns of a segment without a footer.
//!
//! Parquet describes the whole file at its end: without its last byte, it cannot be read in the usual
//! way. But the layout of a segment is known. After the four magic bytes come the row groups. Each has
//! column after column, as in the kind's schema. Each column has an optional page with its dictionary,
//! then pages of values. After a row group come the Bloom filters. Every page begins with a header that
//! has the page's length and its number of values:
//!
//! ```text
//! PAR1 | recorded_at pages | stream dictionary, pages | seq pages | … | bloom filters | …
//! ```
//!
//! So a footer can be made by reading header after header. The first column, which has no dictionary,
//! ends where the next column's dictionary begins: its values give the number of rows of the row group.
//! Every other column ends when it has a value for each row. A column of lists, which has more values
//! than rows, ends where the next dictionary begins. If the file is cut within the last column of a row
//! group, the row group has as many rows as this column has values left.

use std::fs::File;
use std::sync::Arc;

use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::{ColumnDescPtr, SchemaDescPtr};

use super::file::read_exact_at;
use super::page::{MOST_HEADER_BYTES, PageHeader, bloom_filter_bytes};
use crate::fact::Kind;
use crate::fact::columns::schema;

/// The bytes that are read first: most headers are shorter.
const HEADER_BYTES: usize = 1 << 10;

/// The metadata of the whole row groups in a file of this kind with `rows` rows.
pub(crate) fn walk(file: &File, kind: Kind, rows: u64) -> Option<ParquetMetaData> {
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
        let mut columns = vec![self.column(first, None, false)?];
        let rows = columns.first()?.num_values().unsigned_abs();
        for (left, column) in (0..others.len()).rev().zip(others) {
            columns.push(self.column(column, Some(rows), left == 0)?);
        }
        let rows = columns.last()?.num_values().unsigned_abs();
        let bytes = columns.iter().map(ColumnChunkMetaData::uncompressed_size).sum();
        RowGroupMetaData::builder(Arc::clone(schema))
            .set_num_rows(rows as i64)
            .set_total_byte_size(bytes)
            .set_column_metadata(columns)
            .build()
            .ok()
    }

    /// The column that begins here, with this number of rows, or up to a dictionary if the number is
    /// unknown. A column that may be cut has as many rows as values are left.
    fn column(
        &mut self,
        column: &ColumnDescPtr,
        rows: Option<u64>,
        may_be_cut: bool,
    ) -> Option<ColumnChunkMetaData> {
        let flat = rows.filter(|_| column.max_rep_level() == 0);
        let begin = self.at;
        let (mut dictionary, mut first_data) = (None, None);
        let (mut values, mut uncompressed) = (0_u64, 0_u64);
        loop {
            let page = match self.page() {
                Some(page) if page.is_dictionary() && self.at == begin => {
                    dictionary = Some(begin as i64);
                    page
                }
                // The dictionary of the next column.
                Some(page) if page.is_dictionary() => break,
                Some(page) => {
                    first_data.get_or_insert(self.at as i64);
                    values += page.values;
                    page
                }
                None if may_be_cut && values > 0 => break,
                None => return None,
            };
            uncompressed = uncompressed.checked_add(page.uncompressed + page.header_bytes)?;
            self.at = page.end(self.at);
            if flat.is_some_and(|rows| values >= rows) {
                break;
            }
        }
        let is_short = rows.is_some_and(|rows| values < rows) && !(may_be_cut && flat.is_some());
        if values == 0 || is_short || flat.is_some_and(|rows| values > rows) {
            return None;
        }
        ColumnChunkMetaData::builder(Arc::clone(column))
            .set_compression(compression(column.path().string().as_str()))
            .set_num_values(values as i64)
            .set_total_compressed_size((self.at - begin) as i64)
            .set_total_uncompressed_size(i64::try_from(uncompressed).ok()?)
            .set_dictionary_page_offset(dictionary)
            .set_data_page_offset(first_data?)
            .build()
            .ok()
    }

    /// The header of the page that begins here, if the whole page is within the file.
    fn page(&self) -> Option<PageHeader> {
        let mut most = HEADER_BYTES;
        loop {
            let bytes = self.bytes(most)?;
            match PageHeader::read(&bytes) {
                Some(page) => return (page.end(self.at) <= self.length).then_some(page),
                None if bytes.len() < most || most >= MOST_HEADER_BYTES => return None,
                None => most = MOST_HEADER_BYTES,
            }
        }
    }

    /// Moves past Bloom filters, if some are here.
    fn skip_bloom_filters(&mut self) {
        while self.page().is_none_or(|page| page.values == 0) {
            let Some(length) = self.bytes(HEADER_BYTES).and_then(|bytes| bloom_filter_bytes(&bytes)) else {
                return;
            };
            let end = self.at.saturating_add(length);
            if end > self.length {
                return;
            }
            self.at = end;
        }
    }

    fn bytes(&self, most: usize) -> Option<Vec<u8>> {
        let length = self.length.checked_sub(self.at)?.min(most as u64);
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        read_exact_at(self.file, &mut bytes, self.at).ok()?;
        Some(bytes)
    }
}

/// The compression of a column, as the segment's writer sets it.
fn compression(column: &str) -> Compression {
    match column {
        "payload" | "error" | "reason" | "extra" => {
            Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default())
        }
        _ => Compression::UNCOMPRESSED,
    }
}
