//! Reads segments for SQL through [`SegmentFile`](crate::segment::SegmentFile), which compares a footer with
//! the ledger before any data is decoded.
//!
//! Each engine reads and checks the footer of a segment once, with its page index, and keeps it in its cache.
//! A file stays open while a query reads it.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadata, FileMetadataCache};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use tokio::runtime::Handle;

use crate::context::Context;
use crate::disk::Disk;
use crate::error::Error;
use crate::ledger::Segment;
use crate::segment::{CheckedFooter, SegmentBytes};

/// Opens the readers of segments for DataFusion.
pub(super) struct SegmentReaders {
    root: PathBuf,
    disk: Disk,
    segments: HashMap<String, Arc<Segment>>,
    footers: Arc<FileMetadataCache>,
}

impl SegmentReaders {
    pub(super) fn new(context: &Context, segments: &[Arc<Segment>], footers: Arc<FileMetadataCache>) -> Self {
        let (root, disk) = (context.root.clone(), context.disk.clone());
        let segments = segments.iter().map(|segment| (segment.path.clone(), Arc::clone(segment))).collect();
        Self { root, disk, segments, footers }
    }
}

impl fmt::Debug for SegmentReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentReaders").field("segments", &self.segments.len()).finish_non_exhaustive()
    }
}

impl ParquetFileReaderFactory for SegmentReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        _: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let location = &file.object_meta.location;
        let segment = self.segments.get(location.as_ref()).ok_or_else(|| {
            datafusion::common::DataFusionError::Internal(format!("{location} is not a segment of this plan"))
        })?;
        Ok(Box::new(SegmentReader {
            metrics: ParquetFileMetrics::new(partition_index, location.as_ref(), metrics),
            path: self.root.join(&segment.path),
            disk: self.disk.clone(),
            segment: Arc::clone(segment),
            footers: Arc::clone(&self.footers),
            meta: file.object_meta,
            open: None,
        }))
    }
}

/// A footer in the engine's cache.
struct CachedFooter(Arc<CheckedFooter>);

impl FileMetadata for CachedFooter {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn memory_size(&self) -> usize {
        self.0.metadata.memory_size() + self.0.layout.memory()
    }

    fn extra_info(&self) -> datafusion::common::HashMap<String, String> {
        datafusion::common::HashMap::new()
    }
}

/// Reads one segment for one query.
struct SegmentReader {
    metrics: ParquetFileMetrics,
    path: PathBuf,
    disk: Disk,
    segment: Arc<Segment>,
    footers: Arc<FileMetadataCache>,
    meta: ObjectMeta,
    open: Option<(SegmentBytes, Arc<CheckedFooter>)>,
}

impl SegmentReader {
    fn cached(&self) -> Option<Arc<CheckedFooter>> {
        let entry = self.footers.get(&self.meta.location).filter(|entry| entry.is_valid_for(&self.meta))?;
        let footer = entry.file_metadata.as_any().downcast_ref::<CachedFooter>()?;
        Some(Arc::clone(&footer.0))
    }

    /// Returns the footer, from the cache or from the file.
    async fn footer(&mut self) -> parquet::errors::Result<Arc<CheckedFooter>> {
        if let Some((_, footer)) = &self.open {
            return Ok(Arc::clone(footer));
        }
        match self.cached() {
            Some(footer) => Ok(footer),
            None => self.open().await.map(|(_, footer)| footer),
        }
    }

    /// Returns the open file and its footer.
    async fn open(&mut self) -> parquet::errors::Result<(SegmentBytes, Arc<CheckedFooter>)> {
        if let Some((bytes, footer)) = &self.open {
            return Ok((bytes.clone(), Arc::clone(footer)));
        }
        let (path, segment, cached) = (self.path.clone(), Arc::clone(&self.segment), self.cached());
        let is_cached = cached.is_some();
        let opened = run_blocking(move || {
            let mut bytes = SegmentBytes::open(&path, &segment, cached.clone())?;
            let footer = match cached {
                Some(footer) => footer,
                None => bytes.footer_of(&segment)?,
            };
            Ok::<_, Error>((bytes, footer))
        });
        let (bytes, footer) = opened.await?.map_err(|error| self.external(error))?;
        if !is_cached {
            let entry = Arc::new(CachedFooter(Arc::clone(&footer)));
            self.footers.put(&self.meta.location, CachedFileMetadataEntry::new(self.meta.clone(), entry));
        }
        self.open = Some((bytes.clone(), Arc::clone(&footer)));
        Ok((bytes, footer))
    }

    async fn read(&mut self, ranges: Vec<Range<u64>>) -> parquet::errors::Result<Vec<Bytes>> {
        let total: u64 = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        self.metrics.bytes_scanned.add(usize::try_from(total).unwrap_or_default());
        let (bytes, _) = self.open().await?;
        let read = run_blocking(move || {
            let read: parquet::errors::Result<Vec<_>> =
                ranges.into_iter().map(|range| bytes.read_checked(range)).collect();
            read.map_err(|error| bytes.error(error))
        });
        read.await?.map_err(|error| self.external(error))
    }

    /// Wraps an [`Error`] so that it passes through the Parquet reader. If the store's folder has been moved,
    /// the error says so.
    fn external(&self, error: Error) -> ParquetError {
        ParquetError::External(Box::new(self.disk.explain(error)))
    }
}

/// Runs work that waits for the disk on a thread for blocking work.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> parquet::errors::Result<T> {
    match Handle::try_current() {
        Ok(runtime) => {
            runtime.spawn_blocking(work).await.map_err(|error| ParquetError::External(Box::new(error)))
        }
        Err(_) => Ok(work()),
    }
}

impl AsyncFileReader for SegmentReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { Ok(self.read(vec![range]).await?.pop().unwrap_or_default()) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.read(ranges).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        // The footer has its page index, so DataFusion does not load the index itself, unchecked.
        async move { self.footer().await.map(|footer| Arc::clone(&footer.metadata)) }.boxed()
    }
}

impl Drop for SegmentReader {
    fn drop(&mut self) {
        self.metrics.scan_efficiency_ratio.add_part(self.metrics.bytes_scanned.value());
        self.metrics
            .scan_efficiency_ratio
            .set_total(usize::try_from(self.segment.bytes).unwrap_or(usize::MAX));
    }
}
