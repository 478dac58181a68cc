//! Reads a damaged segment as far as possible.
//!
//! Rows around a page that does not decode are read (`SegmentFile::read_undamaged`). If the footer cannot
//! be used, one is made from the pages ([`find_columns`](crate::segment::find_columns)).
//!
//! Only damage is skipped here. If a file cannot be read for another reason, such as a process without
//! file descriptors, the recovery ends: the rows are not lost.

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use parquet::arrow::ProjectionMask;

use crate::error::Result;
use crate::fact::{Kind, Position, Seq, StreamId, UnixNanos};
use crate::ledger::{Segment, StreamRange};
use crate::segment::{ImportPart, SegmentFile, unless_damaged};

/// Rows that are in memory at once.
const BATCH_ROWS: usize = 8192;

/// A file of a kind, and the known places of its rows.
pub(super) struct DamagedSegment {
    file: SegmentFile,
}

/// The description in a footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) store: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) rows: u64,
    /// The ranges that contain its facts.
    pub(super) streams: Vec<StreamRange>,
    /// The part of an input, if its facts were imported.
    pub(super) import: Option<ImportPart>,
}

impl DamagedSegment {
    /// The ways to read the file of this segment: by its footer, and by its pages.
    pub(super) fn ways(path: &Path, segment: &Segment) -> Result<Vec<Self>> {
        let mut ways: Vec<_> = Self::by_footer(path, segment.kind)?.into_iter().collect();
        ways.retain(|wreck| wreck.rows() <= segment.rows);
        ways.extend(Self::by_pages(path, segment)?);
        Ok(ways)
    }

    /// Reads it by its footer, if that can be used.
    pub(super) fn by_footer(path: &Path, kind: Kind) -> Result<Option<Self>> {
        let file = unless_damaged(SegmentFile::open_unnamed(path, kind))?;
        Ok(file.map(|file| Self { file }))
    }

    /// Reads it by its pages, as far as they are whole.
    fn by_pages(path: &Path, segment: &Segment) -> Result<Option<Self>> {
        let file = unless_damaged(SegmentFile::open_without_footer(path, segment))?;
        Ok(file.map(|file| Self { file }))
    }

    pub(super) const fn kind(&self) -> Kind {
        self.file.kind()
    }

    fn groups(&self) -> Vec<usize> {
        self.file.group_rows()
    }

    /// The number of rows that should be there.
    pub(super) fn rows(&self) -> u64 {
        self.groups().into_iter().map(|rows| rows as u64).sum()
    }

    pub(super) fn label(&self) -> Label {
        let says = self.file.says();
        Label {
            store: says.and_then(|says| says.store).map(|store| store.to_string()),
            kind: says.and_then(|says| says.kind).map(|kind| kind.tag().to_owned()),
            rows: self.rows(),
            streams: says.map(|says| says.streams.clone()).unwrap_or_default(),
            import: says.and_then(|says| says.import.clone()),
        }
    }

    /// The number of rows that can be read.
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
        let mut groups = self.groups().into_iter().enumerate();
        groups.try_for_each(|(group, rows)| self.file.read_undamaged(group, rows, visit))
    }

    /// Visits the place of every row, and reads nothing else.
    pub(super) fn read_places(&self, visit: &mut dyn FnMut(Position)) -> Result<()> {
        let schema = self.file.metadata().file_metadata().schema_descr();
        let columns = ProjectionMask::columns(schema, ["stream", "seq", "recorded_at"]);
        let build = || self.file.rows().with_projection(columns).with_batch_size(BATCH_ROWS).build();
        let Some(mut reader) = unless_damaged(self.file.decode(build))? else { return Ok(()) };
        while let Some(batch) = self.file.next_rows(&mut reader)? {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::fact::columns::{HOT_KEYS, RowsBuilder};
    use crate::fact::{Audit, DeadLetter, Event, Fact, Json, Seq, StreamId, UnixNanos};
    use crate::ledger::{Segment, StoreId, StreamRange};
    use crate::segment::find_columns::walk;
    use crate::segment::{Origin, SegmentWriter};
    use arrow::array::RecordBatch;
    use std::fs::File;
    use std::path::PathBuf;

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

    fn segment(folder: &Path, kind: Kind, rows: u64) -> (PathBuf, Segment) {
        std::fs::create_dir_all(folder.join(kind.folder())).unwrap();
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
        let segment = writer.finish().unwrap();
        (folder.join(&segment.path), segment)
    }

    fn rows(wreck: &DamagedSegment) -> Vec<RecordBatch> {
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
            let (path, segment) = segment(folder.path(), kind, count);
            let whole = rows(&DamagedSegment::by_footer(&path, kind).unwrap().unwrap());
            let file = File::open(&path).unwrap();
            let walked = walk(&file, kind, count).unwrap();
            assert_eq!(walked.file_metadata().num_rows() as u64, count, "{kind}");
            // Without the footer there is only one way.
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - 8]).unwrap();
            let ways = DamagedSegment::ways(&path, &segment).unwrap();
            assert_eq!(ways.len(), 1);
            assert!(rows(ways.first().unwrap()) == whole, "{kind}");
        }
    }

    #[test]
    fn of_a_segment_that_is_cut_anywhere_nothing_else_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for kind in Kind::ALL {
            let (path, segment) = segment(folder.path(), kind, 300);
            let whole = rows(&DamagedSegment::by_footer(&path, kind).unwrap().unwrap());
            let bytes = std::fs::read(&path).unwrap();
            let mut read = 0;
            for length in (0..bytes.len()).step_by(5) {
                std::fs::write(&path, &bytes[..length]).unwrap();
                for way in DamagedSegment::ways(&path, &segment).unwrap() {
                    assert!(rows(&way) == whole, "{kind}, cut at {length}");
                    read += 1;
                }
            }
            assert!(read > 10, "{kind}: {read}");
        }
    }

    #[test]
    fn of_a_last_column_that_is_cut_the_rows_before_the_cut_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, segment) = segment(folder.path(), Kind::Event, 50_000);
        let file = File::open(&path).unwrap();
        let whole = walk(&file, Kind::Event, 50_000).unwrap();
        let last = whole.row_group(0).columns().last().unwrap();
        let (begin, length) = last.byte_range();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..usize::try_from(begin + length - 1).unwrap()]).unwrap();
        let ways = DamagedSegment::ways(&path, &segment).unwrap();
        let found: usize = rows(ways.first().unwrap()).iter().map(RecordBatch::num_rows).sum();
        // Pages of 20,000 rows.
        assert_eq!((ways.len(), found), (1, 40_000));
    }

    #[test]
    fn a_damaged_page_of_a_hot_key_costs_no_fact() {
        let folder = tempfile::tempdir().unwrap();
        let (path, segment) = segment(folder.path(), Kind::Event, 50_000);
        let whole = DamagedSegment::by_footer(&path, Kind::Event).unwrap().unwrap();
        let good = rows(&whole);
        let good = arrow::compute::concat_batches(&good[0].schema(), &good).unwrap();
        let group = whole.file.metadata().row_group(0);
        let bytes = std::fs::read(&path).unwrap();
        for name in HOT_KEYS {
            let column = group.columns().iter().find(|column| column.column_path().string() == name);
            let (begin, length) = column.unwrap().byte_range();
            // The second half of the column: its last pages do not decode.
            let (begin, end) = ((begin + length / 2) as usize, (begin + length) as usize);
            let mut bad = bytes.clone();
            bad[begin..end].fill(0x5a);
            std::fs::write(&path, &bad).unwrap();
            let ways = DamagedSegment::ways(&path, &segment).unwrap();
            let found = rows(ways.first().unwrap());
            let found = arrow::compute::concat_batches(&good.schema(), &found).unwrap();
            assert!(found == good, "{name}: {} rows", found.num_rows());
        }
    }

    #[test]
    fn large_facts_are_in_small_row_groups_and_those_before_a_cut_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("events")).unwrap();
        let range = StreamRange { stream: StreamId(1), first_seq: Seq(1), last_seq: Seq(12) };
        let (disk, store) = (Disk::new(), StoreId::from_bytes([1; 16]));
        let mut writer =
            SegmentWriter::begin(&disk, folder.path(), Kind::Event, store, range, Origin::Store).unwrap();
        let mut builder = RowsBuilder::new(Kind::Event);
        let text = "x".repeat(3 << 19);
        for n in 1..=12 {
            // One text is larger than a row group should be.
            let text = text.repeat(if n == 7 { 7 } else { 1 });
            let fact =
                Event::new("s", "s:1", "Filed", Json::parse(format!("\"{text}\"")).unwrap(), 1.0).into();
            builder.push(Seq(n), UnixNanos::new(n as i64), &fact, None);
        }
        writer.write(&builder.finish(StreamId(1), Seq(0))).unwrap();
        let segment = writer.finish().unwrap();
        let path = folder.path().join(&segment.path);
        let whole = DamagedSegment::by_footer(&path, Kind::Event).unwrap().unwrap();
        assert_eq!(whole.groups(), [5, 1, 1, 5]);
        // Within the first column of the last row group.
        let (begin, _) = whole.file.metadata().row_group(3).column(0).byte_range();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..usize::try_from(begin).unwrap() + 20]).unwrap();
        let ways = DamagedSegment::ways(&path, &segment).unwrap();
        assert_eq!(ways.iter().map(|way| way.count().unwrap()).collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn arbitrary_bytes_are_no_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for byte in [0_u8, 1, 0x15, 0x7f, 0xff] {
            for kind in Kind::ALL {
                let (_, segment) = segment(folder.path(), kind, 10);
                std::fs::write(&path, vec![byte; 5000]).unwrap();
                let ways = DamagedSegment::ways(&path, &Segment { rows: 1000, ..segment }).unwrap();
                assert!(ways.iter().all(|way| rows(way).is_empty()), "{byte}");
            }
        }
    }
}
