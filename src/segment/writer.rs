//! Writes segments: from rows to a published file and its description for the ledger.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, PageIndexPolicy};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::fact::columns::{Rows, schema};
use crate::ledger::{FORMAT, Segment, StoreId, StreamRange};

use super::bounds::Bounds;
use super::origin::name;
use super::{AGAIN, IMPORT_KEY, Origin, SegmentFile, digest, discard, is_imported};

/// Rows of a row group: the unit that a query can skip or read alone.
pub(super) const ROW_GROUP_ROWS: usize = 128 << 10;
/// The most text of a row group, in bytes. Writers and readers hold a row group in memory.
const ROW_GROUP_BYTES: usize = if cfg!(test) { 8 << 20 } else { 32 << 20 };
/// The number of different values in a row group for which Bloom filters are laid out.
const BLOOM_VALUES: u64 = 16 << 10;

/// The properties of the Parquet file of a segment of this kind.
fn properties(kind: Kind, store: StoreId) -> WriterProperties {
    let column = |name: &str| ColumnPath::from(name);
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("ostracon {}", env!("CARGO_PKG_VERSION")))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Page)
        // Columns with few different values gain nothing from compression, and decode faster without it.
        .set_compression(Compression::UNCOMPRESSED)
        .set_key_value_metadata(Some(vec![
            KeyValue::new("ostracon.format".to_owned(), FORMAT.to_string()),
            KeyValue::new("ostracon.store".to_owned(), store.to_string()),
            KeyValue::new("ostracon.kind".to_owned(), kind.tag().to_owned()),
        ]));
    for name in ["recorded_at", "seq", "timestamp", "wall_time"] {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
    }
    let zstd = Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default());
    for name in ["payload", "error", "reason", "extra"] {
        properties = properties
            .set_column_compression(column(name), zstd)
            .set_column_statistics_enabled(column(name), EnabledStatistics::Chunk);
    }
    for name in ["actor_address", "target"] {
        if schema(kind).field_with_name(name).is_ok() {
            properties = properties
                .set_column_bloom_filter_enabled(column(name), true)
                .set_column_bloom_filter_max_ndv(column(name), BLOOM_VALUES);
        }
    }
    properties.build()
}

/// A segment that is being written.
pub(crate) struct SegmentWriter<'a> {
    disk: &'a Disk,
    root: &'a Path,
    kind: Kind,
    store: StoreId,
    /// The range in its name; `None` to take the range of the facts in it.
    range: Option<StreamRange>,
    origin: Origin<'a>,
    unique: String,
    temp: std::path::PathBuf,
    writer: ArrowWriter<Hashing>,
    failure: Arc<Mutex<Option<io::Error>>>,
    fact_bytes: u64,
    /// Bytes of text in the current row group.
    group_bytes: usize,
    bounds: Bounds,
}

impl<'a> SegmentWriter<'a> {
    /// Begins a segment for the facts of one kind in this range.
    pub(crate) fn begin(
        disk: &'a Disk,
        root: &'a Path,
        kind: Kind,
        store: StoreId,
        range: StreamRange,
        origin: Origin<'a>,
    ) -> Result<Self> {
        Self::begin_for(disk, root, kind, store, Some(range), origin)
    }

    /// Begins a segment for facts of one kind, of any streams, that are already in segments.
    pub(crate) fn begin_again(disk: &'a Disk, root: &'a Path, kind: Kind, store: StoreId) -> Result<Self> {
        Self::begin_for(disk, root, kind, store, None, Origin::Store)
    }

    fn begin_for(
        disk: &'a Disk,
        root: &'a Path,
        kind: Kind,
        store: StoreId,
        range: Option<StreamRange>,
        origin: Origin<'a>,
    ) -> Result<Self> {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let unique = unique.get(..8).unwrap_or_default().to_owned();
        let name = range.map_or_else(|| format!("{AGAIN}{unique}"), |range| name(range, origin, &unique));
        let temp = root.join(kind.folder()).join(format!("{name}.tmp"));
        let file = disk.create_new(&temp).map_err(|error| Error::io("begin the segment", &temp, error))?;
        let failure = Arc::new(Mutex::new(None));
        let options =
            ArrowWriterOptions::new().with_properties(properties(kind, store)).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(
            Hashing::new(file, Arc::clone(&failure)),
            schema(kind),
            options,
        );
        let writer = writer.map_err(|error| {
            let error = write_error("begin the segment", &temp, &failure, error);
            let _ = disk.remove(&temp);
            error
        })?;
        let bounds = Bounds::default();
        Ok(Self {
            disk,
            root,
            kind,
            store,
            range,
            origin,
            unique,
            temp,
            writer,
            failure,
            fact_bytes: 0,
            group_bytes: 0,
            bounds,
        })
    }

    /// Adds rows, in the order of their `seq`.
    pub(crate) fn write(&mut self, rows: &Rows) -> Result<()> {
        self.fact_bytes += rows.fact_bytes;
        self.write_batch(&rows.batch)
    }

    /// Adds rows in the store's order. The caller adds up the sizes of their facts.
    pub(crate) fn write_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.write_groups(batch)
            .map_err(|error| write_error("write the segment", &self.temp, &self.failure, error))?;
        self.bounds.add(batch);
        Ok(())
    }

    /// Writes rows, and ends a row group before it has more text than [`ROW_GROUP_BYTES`], because a
    /// reader may hold a whole row group in memory.
    fn write_groups(&mut self, batch: &RecordBatch) -> Result<(), parquet::errors::ParquetError> {
        let mut rest = batch.clone();
        let all = text_bytes(&rest);
        if self.group_bytes + all > ROW_GROUP_BYTES {
            loop {
                let rows = rows_within(&rest, ROW_GROUP_BYTES.saturating_sub(self.group_bytes));
                if rows >= rest.num_rows() {
                    break;
                }
                // This one row is larger than a row group should be.
                let rows = if rows == 0 && self.group_bytes == 0 { 1 } else { rows };
                self.writer.write(&rest.slice(0, rows))?;
                self.writer.flush()?;
                self.group_bytes = 0;
                rest = rest.slice(rows, rest.num_rows() - rows);
            }
        }
        self.group_bytes += text_bytes(&rest);
        self.writer.write(&rest)?;
        // The writer has ended a row group by its number of rows.
        if self.writer.in_progress_rows() < rest.num_rows() {
            let begun = rest.num_rows() - self.writer.in_progress_rows();
            self.group_bytes = text_bytes(&rest.slice(begun, self.writer.in_progress_rows()));
        }
        Ok(())
    }

    pub(crate) const fn rows(&self) -> u64 {
        self.bounds.rows
    }

    /// The approximate size of the file so far, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Gives the segment up, and removes its file.
    pub(crate) fn abandon(self) {
        // A temporary file that remains does no harm.
        let _ = self.disk.remove(&self.temp);
    }

    /// Completes the file, syncs it, checks it and links it into place.
    pub(crate) fn finish(self) -> Result<Segment> {
        let temp = self.temp.clone();
        let (disk, root) = (self.disk, self.root);
        let result = self.finish_file();
        if result.is_err() {
            let _ = disk.remove(&temp);
            return result;
        }
        let segment = result?;
        let path = root.join(&segment.path);
        let attempt = |error| Error::io("publish the segment", &path, error);
        if let Err(error) = disk.publish_link(&temp, &path) {
            let _ = disk.remove(&temp);
            return Err(attempt(error));
        }
        // A temporary name that remains does no harm. An import's segment keeps it: it says that no
        // commit names the segment yet.
        if !is_imported(&path) {
            let _ = disk.remove(&temp);
        }
        disk.sync_dir(path.parent().unwrap_or(root)).map_err(attempt)?;
        Ok(segment)
    }

    fn finish_file(mut self) -> Result<Segment> {
        let temp = self.temp.as_path();
        let streams = self.bounds.streams();
        let named = self.range.map_or_else(|| streams.clone(), |range| vec![range]);
        let (Some(first), Some(recorded_at), Some(at)) =
            (named.first(), self.bounds.recorded_at, self.bounds.at)
        else {
            return Err(Error::damaged(temp, "it has no rows"));
        };
        let path = format!("{}/{}.parquet", self.kind.folder(), name(*first, self.origin, &self.unique));
        let ranges: Vec<_> = named
            .iter()
            .map(|range| format!("{}:{}-{}", range.stream, range.first_seq, range.last_seq))
            .collect();
        let streams_said = KeyValue::new("ostracon.streams".to_owned(), ranges.join(","));
        self.writer.append_key_value_metadata(streams_said);
        if let Origin::Import(part) = self.origin {
            let part = serde_json::to_string(part).ok();
            self.writer.append_key_value_metadata(KeyValue::new(IMPORT_KEY.to_owned(), part));
        }
        let hashing = self
            .writer
            .into_inner()
            .map_err(|error| write_error("complete the segment", temp, &self.failure, error))?;
        let bytes = hashing.file.len();
        hashing.file.sync_data().map_err(|error| Error::io("sync the segment", temp, error))?;
        let segment = Segment {
            path,
            kind: self.kind,
            rows: self.bounds.rows,
            bytes,
            blake3: hashing.hasher.finalize().to_hex().to_string(),
            fact_bytes: self.fact_bytes,
            streams,
            recorded_at,
            timestamp: self.bounds.timestamp,
            timestamp_nulls: self.bounds.timestamp_nulls,
            at,
        };
        verify(temp, &segment, self.store)?;
        Ok(segment)
    }
}

/// Bytes of text in these rows.
fn text_bytes(rows: &RecordBatch) -> usize {
    let texts = rows.columns().iter().filter_map(|column| column.as_string_view_opt());
    texts.map(|texts| texts.lengths().map(|length| length as usize).sum::<usize>()).sum()
}

/// The number of first rows that have no more text than this.
fn rows_within(rows: &RecordBatch, most: usize) -> usize {
    let texts: Vec<_> = rows.columns().iter().filter_map(|column| column.as_string_view_opt()).collect();
    let mut bytes = 0;
    (0..rows.num_rows())
        .take_while(|row| {
            let lengths = texts.iter().filter_map(|texts| texts.views().get(*row));
            bytes += lengths.map(|view| *view as u32 as usize).sum::<usize>();
            bytes <= most
        })
        .count()
}

/// Reads a segment's file again, and compares size, digest, footer, rows and names with the description
/// for the ledger.
fn verify(path: &Path, segment: &Segment, store: StoreId) -> Result<()> {
    let mut file = File::open(path).map_err(|error| Error::io("open the segment again", path, error))?;
    let (bytes, blake3) =
        digest(&mut file).map_err(|error| Error::io("read the segment again", path, error))?;
    if bytes != segment.bytes || blake3 != segment.blake3 {
        return Err(Error::damaged(path, "the bytes that were read differ from the bytes that were written"));
    }
    let opened = SegmentFile::of(file, path, segment.kind, Some(segment), PageIndexPolicy::Optional)?;
    let is_it = opened.says().is_some_and(|footer| footer.check(store, segment.kind).is_ok());
    if is_it { Ok(()) } else { Err(Error::damaged(path, "its footer differs from the one that was written")) }
}

fn parquet_error(attempt: &'static str, path: &Path, error: parquet::errors::ParquetError) -> Error {
    // An operating system's error keeps its kind: a full disk must not look like a bad file.
    match error {
        parquet::errors::ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => Error::io(attempt, path, *error),
            Err(source) => {
                Error::with_source(ErrorKind::Io, format!("cannot {attempt} {}", path.display()), source)
            }
        },
        error => {
            if let Some(system) = crate::system_failures::named_in(&error.to_string()) {
                return Error::io(attempt, path, system);
            }
            Error::with_source(ErrorKind::Damaged, format!("cannot {attempt} {}", path.display()), error)
        }
    }
}

/// The error of a failed write. The Parquet writer turns some of the file's errors into text, so the
/// file's own error is used first: a full disk must not look like a bad file.
fn write_error(
    attempt: &'static str,
    path: &Path,
    failure: &Mutex<Option<io::Error>>,
    error: parquet::errors::ParquetError,
) -> Error {
    match failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Error::io(attempt, path, error),
        None => parquet_error(attempt, path, error),
    }
}

/// A file whose digest is computed while it is written.
struct Hashing {
    file: DiskFile,
    hasher: blake3::Hasher,
    /// The first error of the file.
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl Hashing {
    fn new(file: DiskFile, failure: Arc<Mutex<Option<io::Error>>>) -> Self {
        Self { file, hasher: blake3::Hasher::new(), failure }
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.file.append(bytes) {
            let kind = error.kind();
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            return Err(kind.into());
        }
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the rows of each kind, in order, as one segment for each kind that has rows.
pub(crate) fn write_all<'r>(
    disk: &Disk,
    root: &Path,
    store: StoreId,
    range: StreamRange,
    origin: Origin<'_>,
    rows: impl Fn(Kind) -> Box<dyn Iterator<Item = &'r Rows> + 'r>,
) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for kind in Kind::ALL {
        match write_kind(disk, root, kind, store, range, origin, rows(kind)) {
            Ok(segment) => segments.extend(segment),
            Err(error) => {
                discard(disk, root, &segments);
                return Err(error);
            }
        }
    }
    Ok(segments)
}

fn write_kind<'r>(
    disk: &Disk,
    root: &Path,
    kind: Kind,
    store: StoreId,
    range: StreamRange,
    origin: Origin<'_>,
    rows: impl Iterator<Item = &'r Rows>,
) -> Result<Option<Segment>> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(None);
    }
    let mut writer = SegmentWriter::begin(disk, root, kind, store, range, origin)?;
    for rows in rows {
        if let Err(error) = writer.write(rows) {
            writer.abandon();
            return Err(error);
        }
    }
    writer.finish().map(Some)
}
