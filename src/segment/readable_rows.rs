//! Reads the rows of a damaged segment that are readable.
//!
//! Row groups are read one by one. If a page does not decode, the rows around it are read in smaller and
//! smaller windows, so that only the page's own rows are given up.
//!
//! Only damage is skipped here. If a file cannot be read for another reason, such as a process without
//! file descriptors, that is an error: its rows are not lost.

use std::ops::Range;

use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection, RowSelector};

use super::SegmentFile;
use crate::error::{ErrorKind, Result};
use crate::fact::Kind;
use crate::fact::columns::{HOT_KEYS, with_hot_keys};

/// Rows that are in memory at once.
const BATCH_ROWS: usize = 8192;
/// Rows of a window around damage.
const WINDOW_ROWS: usize = 1024;

impl SegmentFile {
    /// How many rows each row group has.
    pub(crate) fn group_rows(&self) -> Vec<usize> {
        let groups = self.metadata().row_groups();
        groups.iter().map(|group| usize::try_from(group.num_rows()).unwrap_or_default()).collect()
    }

    /// Visits every row of a row group that can be read, in order.
    pub(crate) fn read_undamaged(
        &self,
        group: usize,
        rows: usize,
        visit: &mut dyn FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let mut at = 0;
        // As far as the rows can be read in one piece.
        if let Some(mut reader) = self.group_reader(group, 0..rows, BATCH_ROWS, ProjectionMask::all())? {
            while let Some(batch) = self.next_rows(&mut reader)?.filter(|batch| at + batch.num_rows() <= rows)
            {
                at += batch.num_rows();
                visit(&batch)?;
            }
        }
        while at < rows {
            let end = rows.min(at + WINDOW_ROWS);
            self.read_window(group, at..end, visit)?;
            at = end;
        }
        Ok(())
    }

    /// Visits the readable rows of a small range: all of them, or those before and after a bad page.
    fn read_window(
        &self,
        group: usize,
        rows: Range<usize>,
        visit: &mut dyn FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        if let Some(batch) = self.window(group, rows.clone())? {
            return visit(&batch);
        }
        let (begin, end) = (rows.start, rows.end);
        let before = most(end - begin, |rows| Ok(self.window(group, begin..begin + rows)?.is_some()))?;
        if before > 0
            && let Some(batch) = self.window(group, begin..begin + before)?
        {
            visit(&batch)?;
        }
        let rest = end - begin - before;
        let after = most(rest, |rows| Ok(self.window(group, end - rows..end)?.is_some()))?;
        if after > 0
            && let Some(batch) = self.window(group, end - after..end)?
        {
            visit(&batch)?;
        }
        Ok(())
    }

    /// Reads exactly these rows of a row group, if all of them can be read.
    ///
    /// A damaged page of a hot key does no harm: the payload has the value.
    fn window(&self, group: usize, rows: Range<usize>) -> Result<Option<RecordBatch>> {
        if let Some(batch) = self.exactly(group, rows.clone(), ProjectionMask::all())? {
            return Ok(Some(batch));
        }
        if self.kind() != Kind::Event {
            return Ok(None);
        }
        let schema = self.metadata().file_metadata().schema_descr();
        let own = (0..schema.num_columns())
            .filter(|leaf| !HOT_KEYS.contains(&schema.column(*leaf).path().string().as_str()));
        let own = ProjectionMask::leaves(schema, own);
        Ok(self.exactly(group, rows, own)?.and_then(|batch| with_hot_keys(&batch)))
    }

    /// Reads these columns of exactly these rows of a row group, if all of them can be read.
    fn exactly(
        &self,
        group: usize,
        rows: Range<usize>,
        columns: ProjectionMask,
    ) -> Result<Option<RecordBatch>> {
        let wanted = rows.len();
        let Some(mut reader) = self.group_reader(group, rows, wanted, columns)? else { return Ok(None) };
        Ok(self.next_rows(&mut reader)?.filter(|batch| batch.num_rows() == wanted))
    }

    fn group_reader(
        &self,
        group: usize,
        rows: Range<usize>,
        batch_rows: usize,
        columns: ProjectionMask,
    ) -> Result<Option<ParquetRecordBatchReader>> {
        let selection =
            RowSelection::from(vec![RowSelector::skip(rows.start), RowSelector::select(rows.len())]);
        let reader = self
            .rows()
            .with_row_groups(vec![group])
            .with_row_selection(selection)
            .with_projection(columns)
            .with_batch_size(batch_rows.max(1));
        unless_damaged(self.decode(|| reader.build()))
    }

    /// Reads the next rows, unless they cannot be decoded.
    pub(crate) fn next_rows(&self, reader: &mut ParquetRecordBatchReader) -> Result<Option<RecordBatch>> {
        unless_damaged(self.decode(|| reader.next().transpose())).map(Option::flatten)
    }
}

/// The result of a read, or `None` if it failed because of damage.
pub(crate) fn unless_damaged<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == ErrorKind::Damaged => Ok(None),
        Err(error) => Err(error),
    }
}

/// The largest number up to `limit` that works, if every smaller one works as well.
fn most(limit: usize, works: impl Fn(usize) -> Result<bool>) -> Result<usize> {
    let (mut good, mut bad) = (0, limit + 1);
    while good + 1 < bad {
        let middle = good.midpoint(bad);
        if works(middle)? { good = middle } else { bad = middle }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_works() {
        for limit in 0..40 {
            for works in 0..=limit {
                assert_eq!(most(limit, |n| Ok(n <= works)).unwrap(), works);
            }
        }
    }
}
