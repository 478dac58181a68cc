//! Compaction: merges small segments into large ones, and drops the facts that retention does not keep.
//!
//! Only the user starts a compaction. A store that is never compacted has more files than it needs, and
//! keeps facts that are hidden. A compaction runs beside live writers and readers of any process; one
//! process at a time maintains a store.
//!
//! - [`plan`]: the segments to merge, from the ledger's numbers;
//! - [`examine`]: the facts that retention drops from each segment;
//! - [`source`], [`merge`], [`account`]: reading old segments, writing new ones, and the sums of both;
//! - [`run`]: the steps in their order, and the commit;
//! - [`dry_run`]: a dry run;
//! - [`sweep`]: the removal of files that are no longer needed.
//!
//! It leaves the journals of other processes alone. It does not split segments that are too large. If
//! more segments overlap than may be open at once, the large segments that it makes overlap, too.

mod account;
mod parallel;
mod examine;
mod merge;
mod plan;
mod dry_run;
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

use crate::context::Context;
use crate::counters::count;
use crate::error::Result;

/// Merges small segments into large ones, and drops for good the facts that retention does not keep.
pub(crate) fn compact(context: &Context, options: CompactOptions<'_>) -> Result<CompactReport> {
    if options.dry_run {
        return run::run(context, options);
    }
    count(&context.metrics.compactions, 1);
    run::run(context, options).inspect_err(|_| count(&context.metrics.compaction_errors, 1))
}
