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
//! - [`dry_run`]: a dry run;
//! - [`sweep`]: the files that nobody needs any more.
//!
//! What it does not do: it leaves alone what other processes have in their journals; it does not
//! split segments that are too large; and where more segments overlap than may be open at once,
//! the large ones that come of them overlap, too.

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
use crate::error::Result;
use crate::metrics::count;

/// Merges small segments into large ones, and drops for good what retention does not keep.
pub(crate) fn compact(context: &Context, options: CompactOptions<'_>) -> Result<CompactReport> {
    if options.dry_run {
        return run::run(context, options);
    }
    count(&context.metrics.compactions, 1);
    run::run(context, options).inspect_err(|_| count(&context.metrics.compaction_errors, 1))
}
