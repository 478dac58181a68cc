//! Looking after a store over years: what is kept, what may go, and the proof.
//!
//! - `compact`: small segments become large ones, and what is not kept goes. Nobody but the user
//!   calls it.
//! - `scan`: whether everything that the ledger promises is there. It never changes a byte.
//!   `inventory` says what every file is, `footer` what a segment says of itself, and `chain` what
//!   the commits add up to.
//! - `verify`: what became of every fact, and whether the history is still the one that was kept.
//! - `recover`: makes a damaged store whole again, and accounts for what is lost.
//!
//! One process at a time maintains a store ([`Maintenance`]), beside any number that write and read.

mod anomaly;
mod chain;
mod changes;
mod compact;
mod gaps;
mod guess;
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
pub(crate) use guess::{guess_state, highest_stream};
pub(crate) use lock::Maintenance;
pub(crate) use recover::recover;
pub use recover::{LostFacts, RecoveryConfig, RecoveryMode, RecoveryReport, UnverifiedFacts};
pub(crate) use scan::scan;
pub use scan::{ScanDepth, ScanOptions, ScanProgress};
pub use startup::StartupMode;
pub(crate) use startup::check as check_startup;
pub use verify::{Against, BalanceSheet, KindBalance, LedgerHead};
pub(crate) use verify::{head_of, verify};
