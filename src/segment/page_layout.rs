//! The places of a segment's columns and pages, compared with the file and the ledger before a decoder
//! uses them.
//!
//! A Parquet decoder reserves memory according to a page's header: its size when it is not compressed,
//! and its number of values. Both are limited here by the footer's data about the column, and those by
//! the ledger's data about the segment's facts.

use std::ops::Range;

use parquet::basic::Type;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use super::page::{PageHeader, PageLimits, bloom_filter_bytes};
use crate::ledger::Segment;

/// The most rows of a row group that a reader accepts. The writer stays far below.
const MOST_GROUP_ROWS: u64 = 4 << 20;
const _: () = assert!(MOST_GROUP_ROWS >= super::writer::ROW_GROUP_ROWS as u64);
/// The most bytes of a segment's facts, if their size is not known.
const MOST_FACT_BYTES: u64 = 1 << 30;
/// The bytes that a column of few rows may have besides its values: dictionaries, headers, levels.
const COLUMN_OVERHEAD_BYTES: u64 = 1 << 20;
/// Bytes of a row in a column besides its text: a number, its levels, its share of headers.
const ROW_OVERHEAD_BYTES: u64 = 64;

/// Limits for a segment's file, from other sources than the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// Pages and indexes end before this place in the file.
    pub(super) end: u64,
    /// The number of rows.
    pub(super) rows: Option<u64>,
    /// The sum of the sizes of the facts' JSON lines.
    pub(super) fact_bytes: Option<u64>,
}

impl Limits {
    /// The limits that the ledger gives. It has no size of the facts for a segment that is just being
    /// written.
    pub(super) fn of(segment: &Segment) -> Self {
        let fact_bytes = Some(segment.fact_bytes).filter(|bytes| *bytes > 0);
        Self { end: 0, rows: Some(segment.rows), fact_bytes }
    }

    fn fact_bytes(&self) -> u64 {
        self.fact_bytes.unwrap_or(MOST_FACT_BYTES)
    }

    /// The most bytes that a column of a row group may have when it is not compressed. A text is never
    /// longer than in its fact's line; a header may repeat the smallest and the largest.
    pub(super) fn column_bytes(&self, rows: u64) -> u64 {
        let texts = self.fact_bytes().saturating_mul(4);
        let rest = rows.saturating_mul(ROW_OVERHEAD_BYTES).saturating_add(COLUMN_OVERHEAD_BYTES);
        texts.saturating_add(rest)
    }

    /// The most values that a column of lists may have in a row group.
    pub(super) fn list_values(&self, rows: u64) -> u64 {
        rows.saturating_add(self.fact_bytes())
    }
}

/// The layout of a segment's file.
#[derive(Debug)]
pub(crate) struct Layout {
    /// In the order of the file.
    columns: Vec<Column>,
    /// The places where pages are known to begin, in order.
    pages: Vec<u64>,
    /// Bloom filters, in order.
    filters: Vec<Range<u64>>,
}

/// A column of a row group.
#[derive(Debug)]
struct Column {
    range: Range<u64>,
    most: PageLimits,
}

impl Layout {
    /// The layout in the metadata, if all of it is within the file and the limits.
    pub(super) fn of(metadata: &ParquetMetaData, limits: &Limits) -> Result<Self, &'static str> {
        let mut layout = Self { columns: Vec::new(), pages: Vec::new(), filters: Vec::new() };
        let mut rows = 0_u64;
        for group in metadata.row_groups() {
            let of_group = u64::try_from(group.num_rows()).ok().filter(|rows| *rows <= MOST_GROUP_ROWS);
            let of_group = of_group.ok_or("a row group has more rows than allowed")?;
            rows = rows.saturating_add(of_group);
            layout.add(group, of_group, limits).ok_or("its footer names places outside the file")?;
        }
        if limits.rows.is_some_and(|known| known != rows) {
            return Err("its footer has another number of rows than the ledger");
        }
        if !layout.add_pages(metadata) {
            return Err("its page index does not fit its footer");
        }
        layout.columns.sort_unstable_by_key(|column| column.range.start);
        layout.filters.sort_unstable_by_key(|filter| filter.start);
        layout.pages.sort_unstable();
        Ok(layout)
    }

    fn add(&mut self, group: &RowGroupMetaData, rows: u64, limits: &Limits) -> Option<()> {
        if group.columns().len() != group.schema_descr().num_columns() {
            return None;
        }
        for column in group.columns() {
            let range = column_range(column).filter(|range| range.end <= limits.end)?;
            let values = u64::try_from(column.num_values()).ok()?;
            let is_list = column.column_descr().max_rep_level() > 0;
            let most = if is_list { limits.list_values(rows) } else { MOST_GROUP_ROWS };
            // A row group that was made from the remaining pages may have columns with more values than
            // rows.
            let fits = if is_list || limits.rows.is_none() {
                (rows..=most).contains(&values)
            } else {
                values == rows
            };
            let bytes = u64::try_from(column.uncompressed_size()).ok()?;
            if !fits || bytes > limits.column_bytes(rows) {
                return None;
            }
            let numbers = matches!(column.column_type(), Type::INT32 | Type::INT64);
            self.pages.push(range.start);
            self.columns.push(Column { range, most: PageLimits { bytes, values, numbers } });
            if let Some(offset) = column.bloom_filter_offset() {
                self.filters.push(part(offset, column.bloom_filter_length()?, limits.end)?);
            }
            for (offset, length) in [
                (column.column_index_offset(), column.column_index_length()),
                (column.offset_index_offset(), column.offset_index_length()),
            ] {
                let is_in_file = match (offset, length) {
                    (Some(offset), Some(length)) => part(offset, length, limits.end).is_some(),
                    (None, None) => true,
                    _ => false,
                };
                if !is_in_file {
                    return None;
                }
            }
        }
        Some(())
    }

    /// Adds the places of pages that an offset index names. Returns `false` if it contradicts the
    /// columns.
    fn add_pages(&mut self, metadata: &ParquetMetaData) -> bool {
        let Some(index) = metadata.offset_index() else { return true };
        if index.len() != metadata.num_row_groups() {
            return false;
        }
        for (group, columns) in metadata.row_groups().iter().zip(index) {
            if columns.len() != group.columns().len() {
                return false;
            }
            for (column, index) in group.columns().iter().zip(columns) {
                let Some(range) = column_range(column) else { return false };
                let (mut place, mut row) = (range.start, -1_i64);
                for page in index.page_locations() {
                    let begin = u64::try_from(page.offset).unwrap_or_default();
                    let length = u64::try_from(page.compressed_page_size).unwrap_or(u64::MAX);
                    let end = begin.saturating_add(length);
                    if begin < place || end > range.end || page.first_row_index <= row {
                        return false;
                    }
                    (place, row) = (end, page.first_row_index);
                    self.pages.push(begin);
                }
                let first = index.page_locations().first().map_or(0, |page| page.first_row_index);
                if row >= group.num_rows() || first != 0 {
                    return false;
                }
            }
        }
        true
    }

    /// Checks the headers of the pages in these bytes, if they begin with a page, or the header of a
    /// Bloom filter, if they begin with one.
    pub(crate) fn check(&self, start: u64, bytes: &[u8]) -> Result<(), &'static str> {
        if let Ok(at) = self.filters.binary_search_by_key(&start, |filter| filter.start) {
            let length = self.filters.get(at).map(|filter| filter.end - filter.start);
            let is_whole = length.is_none_or(|length| bloom_filter_bytes(bytes) == Some(length));
            let why = "the header of a Bloom filter has a wrong size";
            return if is_whole { Ok(()) } else { Err(why) };
        }
        if self.pages.binary_search(&start).is_err() {
            return Ok(());
        }
        let Some(column) = self.column_at(start) else { return Ok(()) };
        let end = column.range.end.min(start.saturating_add(bytes.len() as u64));
        let mut at = start;
        while at < end {
            let rest =
                usize::try_from(at - start).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
            at = column.check_page(at, rest)?;
        }
        Ok(())
    }

    /// Checks the header of the page that begins here; `None` if it may continue after these bytes.
    pub(super) fn check_header(&self, start: u64, bytes: &[u8]) -> Option<Result<(), &'static str>> {
        let Some(column) = self.column_at(start) else { return Some(Err("a page lies outside its column")) };
        match column.check_page(start, bytes) {
            Err(_) if PageHeader::read(bytes).is_none() => None,
            checked => Some(checked.map(|_| ())),
        }
    }

    fn column_at(&self, place: u64) -> Option<&Column> {
        let after = self.columns.partition_point(|column| column.range.start <= place);
        self.columns.get(after.checked_sub(1)?).filter(|column| place < column.range.end)
    }

    /// The approximate memory that it takes, in bytes.
    #[cfg(feature = "sql")]
    pub(crate) fn memory(&self) -> usize {
        self.columns.len() * size_of::<Column>() + self.pages.len() * 8 + self.filters.len() * 16
    }
}

impl Column {
    /// Checks the header of the page here. Returns the place where the page ends.
    fn check_page(&self, at: u64, bytes: &[u8]) -> Result<u64, &'static str> {
        let header = PageHeader::read(bytes).ok_or("the header of a page cannot be read")?;
        let end = header.end(at);
        if end > self.range.end || !header.is_within(&self.most) {
            return Err("the header of a page has other sizes than its column");
        }
        Ok(end)
    }
}

/// The bytes of a column of a row group; `None` if the places are invalid.
fn column_range(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let data = u64::try_from(column.data_page_offset()).ok()?;
    let begin = match column.dictionary_page_offset() {
        Some(dictionary) => u64::try_from(dictionary).ok().filter(|dictionary| *dictionary <= data)?,
        None => data,
    };
    let end = begin.checked_add(u64::try_from(column.compressed_size()).ok()?)?;
    (begin >= 4 && data <= end).then_some(begin..end)
}

/// A part of the file before this end.
fn part(offset: i64, length: i32, end: u64) -> Option<Range<u64>> {
    let begin = u64::try_from(offset).ok()?;
    let part = begin..begin.checked_add(u64::try_from(length).ok()?)?;
    (begin >= 4 && part.end <= end && !part.is_empty()).then_some(part)
}
