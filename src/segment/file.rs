//! The only way to open a segment's file for its rows.
//!
//! Every byte that a Parquet decoder uses was checked before. [`SegmentFile::open`] compares the file
//! with the ledger, reads the footer within bounds ([`footer`](super::footer)), and only then lets the
//! Parquet reader decode it. The page index, the headers of pages and Bloom filters are checked before
//! they are decoded ([`page_layout`](super::page_layout)). So damaged bytes are an error, and never an allocation
//! whose size comes from a flipped bit.
//!
//! A file that cannot be read for another reason is not damaged: if a process has no file descriptors
//! left, or no access rights, the store is sound.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::find_columns::walk;
use super::footer::{Footer, Tail};
use super::metadata_types::{COLUMN_INDEX, OFFSET_INDEX};
use super::page::{HEADER_BYTES, MOST_HEADER_BYTES};
use super::page_layout::{Layout, Limits};
use super::reader_options;
use super::thrift::{Shape, Value};
use crate::disk::{is_unreadable, open_regular};
use crate::error::{Error, Result};
use crate::fact::Kind;
use crate::ledger::Segment;

/// The most bytes of all page indexes together.
const MOST_INDEX_BYTES: u64 = 256 << 20;
/// Whether an error is about the file, and not about its environment: the disk has lost bytes, or the
/// file is shorter than it was, or is not a regular file. All other errors (no access rights, no
/// descriptors, no memory, a server that cannot be reached) may be temporary, and the file may be sound.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    let of_file = [io::ErrorKind::UnexpectedEof, io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    of_file.contains(&error.kind()) || is_unreadable(error)
}

/// Reads bytes at a place in a file, independent of other readers.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

/// Reads bytes at a place in a file, independent of other readers.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = bytes.get_mut(read..).unwrap_or_default();
                at += read as u64;
            }
        }
    }
    Ok(())
}

/// A footer that was compared with its file, and with the ledger if the ledger names the file.
#[derive(Debug)]
pub(crate) struct CheckedFooter {
    pub(crate) metadata: Arc<ParquetMetaData>,
    pub(crate) layout: Layout,
    /// The parsed footer; `None` if the file has no footer, and this one was made from its pages.
    pub(crate) says: Option<Footer>,
}

/// A segment's file, open.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    kind: Kind,
    bytes: SegmentBytes,
    metadata: ArrowReaderMetadata,
}

impl SegmentFile {
    /// Opens the file of a live segment.
    pub(crate) fn open(path: &Path, segment: &Segment, index: PageIndexPolicy) -> Result<Self> {
        Self::of(super::open(path)?, path, segment.kind, Some(segment), index)
    }

    /// Opens a file that the ledger does not name.
    pub(crate) fn open_unnamed(path: &Path, kind: Kind) -> Result<Self> {
        let file = open_regular(path).map_err(|error| read_error("open", path, error))?;
        Self::of(file, path, kind, None, PageIndexPolicy::Skip)
    }

    /// Reads and checks the footer of an open file.
    pub(crate) fn of(
        file: File,
        path: &Path,
        kind: Kind,
        segment: Option<&Segment>,
        index: PageIndexPolicy,
    ) -> Result<Self> {
        let bytes = SegmentBytes::new(file, path, segment)?;
        let footer = bytes.read_footer(kind, segment.map(Limits::of).unwrap_or_default(), index)?;
        Self::with(kind, bytes, footer)
    }

    /// Opens the file of a segment whose footer cannot be used. A footer is made from its pages instead,
    /// as far as they are whole.
    pub(crate) fn open_without_footer(path: &Path, segment: &Segment) -> Result<Self> {
        let file = super::open(path)?;
        let walked = walk(&file, segment.kind, segment.rows);
        let metadata = walked.ok_or_else(|| Error::damaged(path, "no page of it can be read"))?;
        let bytes = SegmentBytes::new(file, path, None)?;
        let limits = Limits { end: bytes.length, rows: None, ..Limits::of(segment) };
        let layout = Layout::of(&metadata, &limits).map_err(|why| Error::damaged(path, why))?;
        let footer = CheckedFooter { metadata: Arc::new(metadata), layout, says: None };
        Self::with(segment.kind, bytes, Arc::new(footer))
    }

    fn with(kind: Kind, mut bytes: SegmentBytes, footer: Arc<CheckedFooter>) -> Result<Self> {
        let metadata = Arc::clone(&footer.metadata);
        bytes.footer = Some(footer);
        let make = || ArrowReaderMetadata::try_new(metadata, reader_options(kind));
        let metadata = bytes.guard("its footer cannot be decoded", make)?;
        Ok(Self { kind, bytes, metadata })
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    pub(crate) const fn arrow_metadata(&self) -> &ArrowReaderMetadata {
        &self.metadata
    }

    /// The parsed footer of the segment.
    pub(crate) fn says(&self) -> Option<&Footer> {
        self.bytes.footer.as_ref()?.says.as_ref()
    }

    /// A reader of the rows, not yet limited to some of them.
    pub(crate) fn rows(&self) -> ParquetRecordBatchReaderBuilder<SegmentBytes> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone())
    }

    /// Runs a decoder of the segment's pages, which may panic on damaged bytes.
    pub(crate) fn decode<T, E: Display>(&self, decode: impl FnOnce() -> Result<T, E>) -> Result<T> {
        self.bytes.guard("its pages cannot be decoded", decode)
    }
}

/// The bytes of a segment's file. Reads beyond its end, and pages whose header does not fit their column,
/// are errors.
#[derive(Clone, Debug)]
pub(crate) struct SegmentBytes {
    file: Arc<File>,
    path: Arc<PathBuf>,
    length: u64,
    footer: Option<Arc<CheckedFooter>>,
    /// The first error of the file: decoders turn it into text.
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl SegmentBytes {
    /// The bytes of an open file, whose length must be that in the ledger.
    fn new(file: File, path: &Path, segment: Option<&Segment>) -> Result<Self> {
        let metadata = file.metadata().map_err(|error| read_error("access", path, error))?;
        let length = metadata.len();
        if !metadata.is_file() {
            return Err(Error::damaged(path, "it is not a regular file"));
        }
        if let Some(segment) = segment.filter(|segment| segment.bytes != length) {
            let why = format_args!("it has {length} bytes, but the ledger says {}", segment.bytes);
            return Err(Error::damaged(path, why));
        }
        let (file, path) = (Arc::new(file), Arc::new(path.to_path_buf()));
        Ok(Self { file, path, length, footer: None, failure: Arc::default() })
    }

    /// Opens the file of a live segment whose footer was checked before.
    #[cfg(feature = "sql")]
    pub(crate) fn open(path: &Path, segment: &Segment, footer: Option<Arc<CheckedFooter>>) -> Result<Self> {
        let mut bytes = Self::new(super::open(path)?, path, Some(segment))?;
        bytes.footer = footer;
        Ok(bytes)
    }

    /// Reads and checks the footer of a live segment, with its page index.
    #[cfg(feature = "sql")]
    pub(crate) fn footer_of(&mut self, segment: &Segment) -> Result<Arc<CheckedFooter>> {
        let footer = self.read_footer(segment.kind, Limits::of(segment), PageIndexPolicy::Optional)?;
        self.footer = Some(Arc::clone(&footer));
        Ok(footer)
    }

    fn read_footer(
        &self,
        kind: Kind,
        mut limits: Limits,
        index: PageIndexPolicy,
    ) -> Result<Arc<CheckedFooter>> {
        let damaged = |why: &str| Error::damaged(&self.path, why);
        let tail = Tail::read(&self.file, self.length)
            .map_err(|error| read_error("read the footer of", &self.path, error))?
            .map_err(damaged)?;
        let (_, says) = tail.parse().map_err(damaged)?;
        if !says.has_columns_of(kind) {
            return Err(damaged(&format!("it does not have the columns of {kind}")));
        }
        limits.end = tail.footer_begins;
        let decode = || ParquetMetaDataReader::decode_metadata(tail.footer());
        let mut metadata = self.guard("its footer cannot be decoded", decode)?;
        let mut layout = Layout::of(&metadata, &limits).map_err(damaged)?;
        if index != PageIndexPolicy::Skip {
            metadata = self.read_page_index(metadata, &tail)?;
            layout = Layout::of(&metadata, &limits).map_err(damaged)?;
        }
        Ok(Arc::new(CheckedFooter { metadata: Arc::new(metadata), layout, says: Some(says) }))
    }

    /// Adds the page index, if the file has one. All its places are checked to be in the file.
    fn read_page_index(&self, metadata: ParquetMetaData, tail: &Tail) -> Result<ParquetMetaData> {
        let mut parts: Vec<(Range<u64>, &Shape)> = Vec::new();
        for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
            for (offset, length, shape) in [
                (column.column_index_offset(), column.column_index_length(), &COLUMN_INDEX),
                (column.offset_index_offset(), column.offset_index_length(), &OFFSET_INDEX),
            ] {
                let (Some(offset), Some(length)) = (offset, length) else { continue };
                let begin = u64::try_from(offset).unwrap_or_default();
                parts.push((begin..begin + u64::from(length.unsigned_abs()), shape));
            }
        }
        let begin = parts.iter().map(|(part, _)| part.start).min();
        let end = parts.iter().map(|(part, _)| part.end).max();
        let (Some(begin), Some(end)) = (begin, end) else { return Ok(metadata) };
        let all = match tail.get(begin..end) {
            Some(bytes) => Bytes::copy_from_slice(bytes),
            None if end - begin > MOST_INDEX_BYTES => {
                return Err(Error::damaged(&self.path, "its page index is too long"));
            }
            None => self
                .read(begin..end)
                .map_err(|error| read_error("read the page index of", &self.path, error))?,
        };
        for (part, shape) in &parts {
            let at = |place: u64| usize::try_from(place - begin).unwrap_or(usize::MAX);
            let value = all.get(at(part.start)..at(part.end)).and_then(Value::parse);
            if !value.is_some_and(|value| shape.fits(&value)) {
                return Err(Error::damaged(&self.path, "its page index cannot be read"));
            }
        }
        let index = IndexBytes { begin, length: self.length, bytes: all };
        self.guard("its page index cannot be decoded", || {
            let mut reader = ParquetMetaDataReader::new_with_metadata(metadata)
                .with_page_index_policy(PageIndexPolicy::Optional);
            reader.read_page_indexes_sized(&index, index.length)?;
            reader.finish()
        })
    }

    /// Reads bytes that the file must have.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = range.end.checked_sub(range.start).filter(|_| range.end <= self.length);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let mut bytes = vec![0; length.ok_or(io::ErrorKind::UnexpectedEof)?];
        read_exact_at(&self.file, &mut bytes, range.start)?;
        Ok(bytes.into())
    }

    /// Reads bytes of the file. The headers of pages in them are checked.
    pub(crate) fn read_checked(&self, range: Range<u64>) -> parquet::errors::Result<Bytes> {
        let start = range.start;
        let bytes = self.read(range).map_err(|error| self.note(error))?;
        if let Some(footer) = &self.footer {
            footer.layout.check(start, &bytes).map_err(|why| ParquetError::General(why.to_owned()))?;
        }
        Ok(bytes)
    }

    /// Remembers why the file could not be read.
    fn note(&self, error: io::Error) -> ParquetError {
        let as_text = ParquetError::General(error.to_string());
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        as_text
    }

    /// The error of a failed decoder: the file could not be read, or it is damaged.
    pub(crate) fn error(&self, error: impl Display) -> Error {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => read_error("read", &self.path, failure),
            None => Error::damaged(&self.path, error),
        }
    }

    /// Runs a decoder, which may panic on damaged bytes.
    fn guard<T, E: Display>(&self, what: &str, decode: impl FnOnce() -> Result<T, E>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(decode))
            .map_err(|_| self.error(what))?
            .map_err(|error| self.error(error))
    }
}

/// Why a segment's file could not be read.
fn read_error(attempt: &'static str, path: &Path, error: io::Error) -> Error {
    if is_damage(&error) { Error::damaged(path, error) } else { Error::io(attempt, path, error) }
}

impl Length for SegmentBytes {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for SegmentBytes {
    type T = PageHeaderRead;

    /// For a page's header. A decoder that knows the header also makes a reader, but reads nothing.
    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(PageHeaderRead { bytes: self.clone(), start, header: None })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.read_checked(start..start.saturating_add(length as u64))
    }
}

/// Reads the header of a page, which is checked before its first byte is passed on.
#[derive(Debug)]
pub(crate) struct PageHeaderRead {
    bytes: SegmentBytes,
    start: u64,
    header: Option<Cursor<Bytes>>,
}

impl PageHeaderRead {
    fn load(&self) -> io::Result<Bytes> {
        let damaged = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut most = HEADER_BYTES;
        loop {
            let end = self.bytes.length.min(self.start.saturating_add(most as u64));
            let bytes = self.bytes.read(self.start..end).map_err(|error| {
                let kind = error.kind();
                drop(self.bytes.note(error));
                io::Error::from(kind)
            })?;
            let layout = self.bytes.footer.as_ref().map(|footer| &footer.layout);
            match layout.map_or(Some(Ok(())), |layout| layout.check_header(self.start, &bytes)) {
                Some(checked) => return checked.map(|()| bytes).map_err(damaged),
                None if most < MOST_HEADER_BYTES && end < self.bytes.length => most *= 16,
                None => return Err(damaged("the header of a page cannot be read")),
            }
        }
    }
}

impl Read for PageHeaderRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.header.is_none() {
            self.header = Some(Cursor::new(self.load()?));
        }
        self.header.as_mut().map_or(Ok(0), |header| header.read(into))
    }
}

/// The bytes of the page index, as a decoder reads them.
struct IndexBytes {
    begin: u64,
    length: u64,
    bytes: Bytes,
}

impl Length for IndexBytes {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for IndexBytes {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let length = (self.begin + self.bytes.len() as u64).saturating_sub(start);
        self.get_bytes(start, usize::try_from(length).unwrap_or_default()).map(Cursor::new)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let begin = start.checked_sub(self.begin).and_then(|begin| usize::try_from(begin).ok());
        let range = begin.and_then(|begin| Some(begin..begin.checked_add(length)?));
        let range = range.filter(|range| range.end <= self.bytes.len());
        range
            .map(|range| self.bytes.slice(range))
            .ok_or_else(|| ParquetError::EOF("the page index is cut short".to_owned()))
    }
}
