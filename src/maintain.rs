//! Maintenance of a store over years: compaction, scan, verification and recovery.
//!
//! - `compact`: merges small segments into large ones, and drops the facts that retention does not keep.
//!   Only the user starts it.
//! - `scan`: checks whether everything that the ledger promises is there. It never changes a byte.
//!   `inventory` classifies every file, `footer` reads a segment's own description, and `commit_chain` adds up
//!   the commits.
//! - `verify`: accounts for every fact, and checks whether the history still contains a head that was
//!   kept elsewhere.
//! - `recover`: repairs a damaged store, and accounts for the lost facts.
//!
//! One process at a time maintains a store ([`Maintenance`]), beside any number of writers and readers.

mod anomaly;
mod commit_chain;
mod changes;
mod compact;
mod coverage;
mod damaged_segment;
mod estimate;
mod gaps;
pub(crate) mod inventory;
mod lock;
mod lossy_repair;
mod recover;
pub(crate) mod scan;
mod startup;
mod verify;

pub use anomaly::{Affected, Anomaly, AnomalyKind, Debris, Note, ScanReport, Span};
pub use changes::{Changes, KindChanges};
pub(crate) use compact::compact;
pub use compact::{
    CompactOptions, CompactProgress, CompactReport, CompactionReport, DroppedFacts, Holding,
    UnacknowledgedFacts,
};
pub(crate) use estimate::{guess_state, highest_stream};
pub(crate) use lock::Maintenance;
pub(crate) use recover::recover;
pub use recover::{LostFacts, RecoveryConfig, RecoveryMode, RecoveryReport, UnverifiedFacts};
pub(crate) use scan::scan;
pub use scan::{ScanDepth, ScanOptions, ScanProgress};
pub use startup::StartupMode;
pub(crate) use startup::check as check_startup;
pub use verify::{Against, BalanceSheet, KindBalance, LedgerHead};
pub(crate) use verify::{head_of, verify};
