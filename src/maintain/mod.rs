//! Looking after a store over years: what is kept, what may go, and the proof.
//!
//! - `retention`: which facts the rules keep. The same pure selection hides facts from reads and
//!   lets compaction drop them.
//! - `compact`: small segments become large ones, and what is not kept goes. Nobody but the user
//!   calls it.
//! - `scan`: whether everything that the ledger promises is there. It never changes a byte.
//! - `recover`: makes a damaged store whole again, and accounts for what is lost.
//!
//! One process at a time maintains a store ([`Maintenance`]), beside any number that write and read.

mod anomaly;
pub(crate) mod inventory;
mod lock;
mod recover;
mod scan;
mod startup;

pub use anomaly::{Affected, Anomaly, AnomalyKind, Debris, ScanReport, Span};
pub(crate) use lock::Maintenance;
pub use recover::{LostFacts, RecoveryConfig, RecoveryMode, RecoveryReport, UnverifiedFacts, recover};
pub use startup::StartupMode;
pub(crate) use startup::check as check_startup;
