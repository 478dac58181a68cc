//! Options of a scan.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};

/// How closely a scan looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScanDepth {
    /// Reads every commit and journal in full, and of each segment the size and the footer.
    #[default]
    Quick,
    /// Also reads every byte of every segment, decodes every page, and follows every fact.
    Deep,
}

/// The progress of a deep scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanProgress {
    /// Bytes of segments that were read so far.
    pub bytes: u64,
    /// Bytes of all segments.
    pub of: u64,
}

/// Options of a scan. A [`ScanDepth`] alone converts into them.
#[must_use]
pub struct ScanOptions<'a> {
    pub(super) depth: ScanDepth,
    pub(super) disk: Disk,
    pub(super) threads: usize,
    pub(super) on_progress: Option<Box<dyn Fn(ScanProgress) + 'a>>,
    cancel: Option<Arc<AtomicBool>>,
}

impl<'a> ScanOptions<'a> {
    /// A scan of this depth, with as many threads as the machine has cores.
    pub fn new(depth: ScanDepth) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { depth, disk: Disk::new(), threads, on_progress: None, cancel: None }
    }

    /// Calls this a few times a second with the progress of a deep scan.
    pub fn on_progress(mut self, call: impl Fn(ScanProgress) + 'a) -> Self {
        self.on_progress = Some(Box::new(call));
        self
    }

    /// Once this flag is true, the scan ends with [`ErrorKind::Cancelled`](crate::ErrorKind), before it
    /// reads the next segment.
    pub fn cancel(mut self, cancel: Arc<AtomicBool>) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// Fails once the scan is cancelled.
    pub(super) fn check(&self) -> Result<()> {
        if self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(Error::new(ErrorKind::Cancelled, "the scan was stopped before its end"));
        }
        Ok(())
    }

    /// Scans with this number of threads.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Uses this disk, which says whether the machine was restarted: for tests.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disk = disk;
        self
    }
}

impl From<ScanDepth> for ScanOptions<'_> {
    fn from(depth: ScanDepth) -> Self {
        Self::new(depth)
    }
}

impl fmt::Debug for ScanOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanOptions")
            .field("depth", &self.depth)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
