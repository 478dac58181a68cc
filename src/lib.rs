//! An embedded columnar store for the facts of an actor system.

pub mod disk;
mod error;
pub(crate) mod fact;
mod adopt;
mod backend;
mod buffer;
mod flush;
mod follow;
mod import;
mod journal;
mod ledger;
mod metrics;
mod recorder;
mod segment;
mod settings;
mod snapshot;
mod query;
mod store;
mod summary;

pub use backend::PersistenceBackend;
pub use error::{Error, ErrorKind, Result};
pub use fact::{Audit, DeadLetter, Event, Fact, Json, Kind, LineError, Position, Recorded, Seq, StreamId, Timestamp, UnixNanos};
pub use follow::{After, Cursor};
pub use import::{Import, ImportReport, Reject};
pub use metrics::MetricsSnapshot;
pub use query::{Parameter, QueryOptions, SavedQuery, query_error};
pub use settings::Durability;
pub use store::{Store, StoreBuilder};
pub use summary::{KindSummary, Summary};
