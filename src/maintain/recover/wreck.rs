//! Reading a damaged segment as far as it goes.
//!
//! Row groups are read one by one. Where a page does not decode, the rows around it are read in
//! ever smaller windows, so that only the page's own rows are given up. Where the footer cannot be
//! used, one is made up from the pages ([`pages`]).
//!
//! A decoder may panic on damaged bytes, and would believe any length: places and lengths in a
//! footer are compared with the file first, and panics are caught.

use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::ParquetMetaData;

use super::pages;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, Position, Seq, StreamId, UnixNanos};
use crate::ledger::StreamRange;
use crate::maintain::footer::ranges;
use crate::segment::{IMPORT_KEY, ImportPart, reader_options};

/// Rows that are in memory at once.
const BATCH_ROWS: usize = 8192;
/// Rows of a window around damage.
const WINDOW_ROWS: usize = 1024;

/// A file of a kind, and what is known of where its rows are.
pub(super) struct Wreck {
    kind: Kind,
    file: File,
    metadata: ArrowReaderMetadata,
}

/// What a footer says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) store: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) rows: u64,
    /// The facts that it holds are among these.
    pub(super) streams: Vec<StreamRange>,
    /// The part of an input that was imported, if that is what it holds.
    pub(super) import: Option<ImportPart>,
}

impl Wreck {
    /// The ways to read this file, which has so many rows at most: by its footer, and by its
    /// pages.
    pub(super) fn ways(path: &Path, kind: Kind, rows: u64) -> Vec<Self> {
        let walked = File::open(path).ok().and_then(|file| {
            let metadata = catch_unwind(AssertUnwindSafe(|| pages::walk(&file, kind, rows))).ok()??;
            Self::with(kind, file, metadata)
        });
        let mut ways: Vec<_> = Self::by_footer(path, kind).into_iter().collect();
        ways.retain(|wreck| wreck.rows() <= rows);
        ways.extend(walked);
        ways
    }

    /// Reads it by its footer, if that can be used.
    pub(super) fn by_footer(path: &Path, kind: Kind) -> Option<Self> {
        let file = File::open(path).ok()?;
        let load = || ArrowReaderMetadata::load(&file, reader_options(kind));
        let metadata = catch_unwind(AssertUnwindSafe(load)).ok()?.ok()?;
        let length = file.metadata().ok()?.len();
        is_within(metadata.metadata(), length).then_some(Self { kind, file, metadata })
    }

    fn with(kind: Kind, file: File, metadata: ParquetMetaData) -> Option<Self> {
        let make = || ArrowReaderMetadata::try_new(Arc::new(metadata), reader_options(kind));
        let metadata = catch_unwind(AssertUnwindSafe(make)).ok()?.ok()?;
        Some(Self { kind, file, metadata })
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    fn groups(&self) -> Vec<usize> {
        let groups = self.metadata.metadata().row_groups();
        groups.iter().map(|group| usize::try_from(group.num_rows()).unwrap_or_default()).collect()
    }

    /// Rows that should be there.
    pub(super) fn rows(&self) -> u64 {
        self.groups().into_iter().map(|rows| rows as u64).sum()
    }

    pub(super) fn label(&self) -> Label {
        let footer = self.metadata.metadata().file_metadata();
        let said = |key: &str| {
            let mut entries = footer.key_value_metadata()?.iter();
            entries.find(|entry| entry.key == key).and_then(|entry| entry.value.clone())
        };
        Label {
            store: said("ostracon.store"),
            kind: said("ostracon.kind"),
            rows: self.rows(),
            streams: said("ostracon.streams").and_then(|text| ranges(&text)).unwrap_or_default(),
            import: said(IMPORT_KEY).and_then(|text| ImportPart::parse(&text)),
        }
    }

    /// How many rows can be read.
    pub(super) fn count(&self) -> Result<u64> {
        let mut rows = 0;
        self.read(&mut |batch| {
            rows += batch.num_rows() as u64;
            Ok(())
        })?;
        Ok(rows)
    }

    /// Visits every row that can be read, in order.
    pub(super) fn read(&self, visit: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        for (group, rows) in self.groups().into_iter().enumerate() {
            let mut at = 0;
            // As far as it goes in one piece.
            if let Some(mut reader) = self.reader(group, 0..rows, BATCH_ROWS) {
                while let Some(batch) = next(&mut reader).filter(|batch| at + batch.num_rows() <= rows) {
                    at += batch.num_rows();
                    visit(&batch)?;
                }
            }
            while at < rows {
                let end = rows.min(at + WINDOW_ROWS);
                self.read_window(group, at..end, visit)?;
                at = end;
            }
        }
        Ok(())
    }

    /// Visits the place of every row, reading nothing else.
    pub(super) fn read_places(&self, visit: &mut dyn FnMut(Position)) -> Result<()> {
        let file = self
            .file
            .try_clone()
            .map_err(|error| Error::with_source(ErrorKind::Io, "cannot open a segment again", error))?;
        let schema = self.metadata.metadata().file_metadata().schema_descr();
        let columns = ProjectionMask::columns(schema, ["stream", "seq", "recorded_at"]);
        let build = AssertUnwindSafe(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_projection(columns)
                .with_batch_size(BATCH_ROWS)
                .build()
        });
        let Some(mut reader) = catch_unwind(build).ok().and_then(Result::ok) else { return Ok(()) };
        while let Some(batch) = next(&mut reader) {
            let stream = batch.column_by_name("stream").and_then(|c| c.as_primitive_opt::<Int32Type>());
            let seq = batch.column_by_name("seq").and_then(|c| c.as_primitive_opt::<Int64Type>());
            let recorded_at = batch.column_by_name("recorded_at");
            let recorded_at = recorded_at.and_then(|c| c.as_primitive_opt::<TimestampNanosecondType>());
            let (Some(stream), Some(seq), Some(recorded_at)) = (stream, seq, recorded_at) else {
                return Ok(());
            };
            for ((stream, seq), at) in stream.iter().zip(seq).zip(recorded_at) {
                let (Some(stream), Some(seq), Some(at)) = (stream, seq, at) else { continue };
                visit(Position {
                    stream: StreamId(stream as u32),
                    seq: Seq(seq as u64),
                    recorded_at: UnixNanos::new(at),
                });
            }
        }
        Ok(())
    }

    /// Visits what can be read of a few rows: all, or what is before and behind a bad page.
    fn read_window(
        &self,
        group: usize,
        rows: Range<usize>,
        visit: &mut dyn FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        if let Some(batch) = self.window(group, rows.clone()) {
            return visit(&batch);
        }
        let (begin, end) = (rows.start, rows.end);
        let before = most(end - begin, |rows| self.window(group, begin..begin + rows).is_some());
        if before > 0
            && let Some(batch) = self.window(group, begin..begin + before)
        {
            visit(&batch)?;
        }
        let rest = end - begin - before;
        let behind = most(rest, |rows| self.window(group, end - rows..end).is_some());
        if behind > 0
            && let Some(batch) = self.window(group, end - behind..end)
        {
            visit(&batch)?;
        }
        Ok(())
    }

    /// Exactly these rows of a row group, if all of them can be read.
    fn window(&self, group: usize, rows: Range<usize>) -> Option<RecordBatch> {
        let wanted = rows.len();
        let batch = next(&mut self.reader(group, rows, wanted)?)?;
        (batch.num_rows() == wanted).then_some(batch)
    }

    fn reader(
        &self,
        group: usize,
        rows: Range<usize>,
        batch_rows: usize,
    ) -> Option<ParquetRecordBatchReader> {
        let file = self.file.try_clone().ok()?;
        let metadata = self.metadata.clone();
        let selection =
            RowSelection::from(vec![RowSelector::skip(rows.start), RowSelector::select(rows.len())]);
        let build = AssertUnwindSafe(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_row_groups(vec![group])
                .with_row_selection(selection)
                .with_batch_size(batch_rows.max(1))
                .build()
        });
        catch_unwind(build).ok()?.ok()
    }
}

/// The next rows, unless they cannot be decoded.
fn next(reader: &mut ParquetRecordBatchReader) -> Option<RecordBatch> {
    catch_unwind(AssertUnwindSafe(|| reader.next())).ok()??.ok()
}

/// The largest number up to `limit` that works, if every smaller one works as well.
fn most(limit: usize, works: impl Fn(usize) -> bool) -> usize {
    let (mut good, mut bad) = (0, limit + 1);
    while good + 1 < bad {
        let middle = good.midpoint(bad);
        if works(middle) { good = middle } else { bad = middle }
    }
    good
}

/// Whether all that a footer names is within the file.
fn is_within(metadata: &ParquetMetaData, length: u64) -> bool {
    metadata.row_groups().iter().all(|group| {
        group.num_rows() >= 0
            && group.columns().iter().all(|column| {
                let begin = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
                let begin = begin.min(column.data_page_offset());
                let end = begin.checked_add(column.compressed_size());
                begin >= 4
                    && column.compressed_size() >= 0
                    && column.num_values() >= 0
                    && end.is_some_and(|end| end.unsigned_abs() <= length)
            })
    })
}

#[cfg(test)]
mod tests {
    use super::most;

    #[test]
    fn the_most_that_works() {
        for limit in 0..40 {
            for works in 0..=limit {
                assert_eq!(most(limit, |n| n <= works), works);
            }
        }
    }
}
