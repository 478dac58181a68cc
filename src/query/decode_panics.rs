//! Explains panics during a scan.
//!
//! Decoders may panic on damaged bytes. Functions that are computed during the scan may panic, too. The
//! digests of the scanned files show the cause.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;

use super::deadline::panicked;
use crate::disk::open_regular;
use crate::error::Error;
use crate::segment::digest;
use crate::snapshot::Snapshot;

/// Compares segments with the digests that a snapshot has for them.
pub(super) struct SegmentDigests {
    root: PathBuf,
    snapshot: Arc<Snapshot>,
}

impl fmt::Debug for SegmentDigests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentDigests").field("root", &self.root).finish_non_exhaustive()
    }
}

impl SegmentDigests {
    pub(super) const fn new(root: PathBuf, snapshot: Arc<Snapshot>) -> Self {
        Self { root, snapshot }
    }

    /// Turns a panic during a scan into an error: damage if a scanned file is damaged, otherwise a bug in
    /// Ostracon.
    pub(super) fn explain_panic(&self, scan: &DataSourceExec, panic: &(dyn Any + Send)) -> DataFusionError {
        self.find_damage(scan)
            .map_or_else(|| panicked(panic), |error| DataFusionError::External(Box::new(error)))
    }

    /// Finds the first scanned file whose digest differs from the ledger's.
    fn find_damage(&self, scan: &DataSourceExec) -> Option<Error> {
        let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
        let files = config.file_groups.iter().flat_map(FileGroup::iter);
        let names: Vec<String> = files.map(|file| file.object_meta.location.to_string()).collect();
        let live = self.snapshot.state.segments.iter().flatten();
        live.filter(|segment| names.contains(&segment.path)).find_map(|segment| {
            let path = self.root.join(&segment.path);
            let (_, found) = open_regular(&path).and_then(|mut file| digest(&mut file)).ok()?;
            (found != segment.blake3)
                .then(|| Error::damaged(&path, "its digest differs from the digest in the ledger"))
        })
    }
}
