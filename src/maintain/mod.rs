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
mod compact;
pub(crate) mod inventory;
mod lock;
pub(crate) mod retention;

pub use anomaly::{Affected, Anomaly, AnomalyKind, Debris, ScanReport, Span};
pub(crate) use compact::compact;
pub use compact::{CompactOptions, CompactProgress, CompactReport, CompactionReport, DroppedFacts, Holding};
pub(crate) use lock::Maintenance;
