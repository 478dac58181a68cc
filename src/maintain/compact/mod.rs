//! Compaction: small segments become large ones, and what retention does not keep goes.
//!
//! Nobody but the user calls it: a store that is never compacted only has more files than it needs,
//! and keeps facts that nobody sees any more. It runs beside live writers and readers, in whatever
//! process; one process at a time maintains a store.
//!
//! - [`plan`]: what to merge, from the ledger's numbers;
//! - [`examine`]: what retention drops of each segment;
//! - [`source`], [`merge`], [`account`]: segments in, segments out, and the sums of both;
//! - [`run`]: the steps in their order, and the commit;
//! - [`rehearse`]: a dry run;
//! - [`sweep`]: the files that nobody needs any more.
//!
//! What it does not do: it leaves alone what other processes have in their journals; it does not
//! split segments that are too large; and where more segments overlap than may be open at once,
//! the large ones that come of them overlap, too.

mod account;
mod beside;
mod examine;
mod merge;
mod plan;
mod rehearse;
mod report;
mod run;
mod soundness;
mod source;
mod sweep;

pub use report::{
    CompactOptions, CompactProgress, CompactReport, CompactionReport, DroppedFacts, Holding,
    UnacknowledgedFacts,
};
pub(super) use sweep::oldest_pinned;

use crate::error::Result;
use crate::metrics::count;
use crate::store::{Shared, Store};

impl Store {
    /// Merges small segments into large ones, and drops for good what retention does not keep.
    ///
    /// One commit changes the store, at the end. A store that has nothing to merge and nothing to
    /// drop gets none. What this process has recorded is flushed first; what other processes have
    /// in their journals is left to them. The store may be open for writing, or for
    /// [maintenance](crate::StoreBuilder::maintenance); for a dry run also for reading only.
    ///
    /// ```
    /// # use ostracon::{CompactOptions, Event, Json, Store};
    /// # let folder = tempfile::tempdir()?;
    /// let store = Store::open(folder.path().join("facts"))?;
    /// for n in 0..3 {
    ///     store.record(Event::new("shop", "shop:5", "ActorStarted", Json::empty_object(), f64::from(n)))?;
    ///     store.flush()?;
    /// }
    /// let report = store.compact(CompactOptions::new())?;
    /// assert_eq!((report.before.segments, report.after.segments), (3, 1));
    /// assert_eq!((report.before.facts, report.after.facts), (3, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Contended`](crate::ErrorKind::Contended) if another process maintains the store,
    /// or holds keep changing; [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) if a segment is not
    /// what was committed; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled); those of retention
    /// and of the operating system. The store is as it was then, unless the error says that the
    /// commit was published.
    pub fn compact(&self, options: CompactOptions<'_>) -> Result<CompactReport> {
        compact(self.shared(), options)
    }
}

/// [`Store::compact`], for whoever has no store at hand.
pub(crate) fn compact(shared: &Shared, options: CompactOptions<'_>) -> Result<CompactReport> {
    if options.dry_run {
        return run::run(shared, options);
    }
    count(&shared.metrics.compactions, 1);
    run::run(shared, options).inspect_err(|_| count(&shared.metrics.compaction_errors, 1))
}
