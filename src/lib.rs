//! Ostracon is an embedded columnar store for the observable facts of an actor system, with SQL
//! over them.
//!
//! An actor system hands it events, audits and dead letters. The store keeps them in a journal, then in
//! Parquet files, and answers questions about them. It is a persistence backend in the sense of Papyra.
//! It is not a place for actors' state or mailboxes, not a server, and not a general database: a recorded
//! fact never changes, and SQL only reads.
//!
#![cfg_attr(feature = "sql", doc = "```")]
#![cfg_attr(not(feature = "sql"), doc = "```ignore")]
//! use ostracon::{Event, Json, Store};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("facts");
//! let store = Store::open(path)?;
//! let crash = Json::parse(r#"{"error": "KeyError: 'sku'", "reason": "KeyError: 'sku'"}"#)?;
//! store.record(Event::new("shop", "shop:5", "ActorCrashed", crash, 1_795_404_290.4))?;
//!
//! let crashes = store.sql("SELECT actor_address, error FROM crashes ORDER BY at").await?;
//! for crash in crashes.rows().await? {
//!     println!("{}: {}", crash.get::<String>("actor_address")?, crash.get::<String>("error")?);
//! }
//! # Ok(()) }
//! ```
//!
//! # The path of a fact
//!
//! The modules are named after the stations of this path, and are declared below in their order.
//!
//! 1. The caller makes a [`Fact`], or reads it from its JSON line with [`Fact::from_line`] (`fact/`).
//! 2. [`Store::record`] passes it to `Recorder::record` (`recorder.rs`), which makes a journal frame of
//!    it, gives it its place ([`Position`]: the stream of this process, the next `seq`, and
//!    `recorded_at`) and appends the frame to the stream's journal: `Journal::append` (`journal/`). Now
//!    the fact is as safe as [`Durability`] says. With `Synced`, that is after `GroupCommit::wait`, which
//!    many recorders share.
//! 3. The frame is copied into the `Buffer` (`buffer.rs`), in chunks that become Arrow rows when a reader
//!    first needs them: `Chunk::rows`. From now on queries find the fact.
//! 4. When the buffer is full or old, the background thread (`flush.rs`) begins the next journal file,
//!    calls `Recorder::seal` to set the buffer and its journal file aside, and writes one Parquet file
//!    per kind. `SegmentWriter::finish` (`segment/writer.rs`) syncs the file, opens it again, compares
//!    it, and links it into place.
//! 5. `Ledger::commit` (`ledger/`) publishes a numbered, hash-chained commit that names the segments and
//!    the range of the stream that they cover. At this one moment the fact moves from the journal into a
//!    segment. A copy of the commit is written to `ledger-copy/`, then the journal file is removed.
//! 6. A reader takes a `Snapshot` (`snapshot.rs`): first the tails of all streams, then the ledger's
//!    head. Of the tails it uses only the facts after the head. So it sees each fact once, in this
//!    process and in every other.
//! 7. [`Store::sql`] (`query/`) plans over the snapshot. [`Store::list`] reads the newest facts from the
//!    ends of the segments. [`Store::after`] (`follow.rs`) streams every fact after a [`Cursor`]. All
//!    three return only facts that the retention rules keep; `Selection::of` (`retention/`) finds them.
//!
//! Several processes that share the work of handling facts are a consumer group
//! ([`Store::consumer_group`], `consume.rs`). The store keeps the group's cursor, and the list of facts
//! that were delivered and are not acknowledged yet.
//!
//! Bulk input takes a shorter path: [`Store::import`] (`import/`) parses lines straight into rows, and
//! continues with step 4. When a process dies, the next process that opens the store for writing takes
//! over its journal (`takeover.rs`), and continues with step 4, too.
//!
//! `maintain/` looks after a store over the years. Retention rules hide facts from every read, and
//! [`Store::compact`] drops the hidden facts for good. [`scan()`] checks whether the store matches its
//! ledger. [`verify()`] checks whether every fact is accounted for. [`recover()`] repairs a damaged
//! store. [`Store::backup`] makes a second store with the same facts. The ledger records every change
//! that one of them makes as a commit.
//!
//! The methods of [`Store`] are in `store/`, the layer above all the other modules. The layers share one
//! `Context` (`context.rs`) for each open store.
//!
//! # Features
//!
//! - `sql`, which is on by default: [`Store::sql`], and conditions of rules and holds. Without it,
//!   DataFusion is not built, a store whose rules have conditions cannot be opened, and a hold with a
//!   condition covers every fact of its kind.
//! - `datafusion`: DataFusion's own types, such as `Answer::into_dataframe`. They change with
//!   DataFusion's versions.
//! - `redis`: importing from Papyra's Redis backend.
//! - `testing`: the module `disk`, with disks that fail by plan, and clocks that a test moves.
//!
//! The command line is the crate `ostracon-cli`, which uses this one.
//!
//! Everything that touches the disk goes through `disk/`.

// The order of the layers: a module uses only modules that are declared before it. A test checks this.
#[cfg(feature = "testing")]
pub mod disk;
#[cfg(not(feature = "testing"))]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "fault plans are made by tests")]
mod disk;
mod system_failures;
mod error;
mod counters;
mod log_limiter;

mod fact;
mod settings;
mod ledger;
mod store_folder;
mod frame;
mod buffer;
mod journal;
mod recorder;
mod segment;
mod snapshot;
mod retention;
mod context;
mod flush;
mod takeover;
mod import;

mod follow;
mod newest_facts;
mod consume;
mod maintain;
mod store_summary;
mod backup;
#[cfg(feature = "sql")]
mod query;

mod store;
mod persistence_backend;

pub use arrow;
pub use backup::{BackupOptions, BackupReport};
pub use consume::{ConsumerGroup, ConsumerSummary, GroupSummary, StartAt};
pub use context::Access;
pub use counters::MetricsSnapshot;
pub use error::{Error, ErrorKind, Result};
pub use fact::{
    Audit, DeadLetter, Event, Fact, FactId, Json, Kind, LineError, Position, Recorded, Seq, StreamId,
    Timestamp, UnixNanos,
};
pub use follow::{After, Cursor};
#[cfg(feature = "redis")]
pub use import::RedisStreams;
pub use import::{Import, ImportReport, Reject};
pub use maintain::{
    Affected, Against, Anomaly, AnomalyKind, BalanceSheet, Changes, CompactOptions, CompactProgress,
    CompactReport, CompactionReport, Debris, DroppedFacts, Holding, KindBalance, KindChanges, LedgerHead,
    LostFacts, Note, RecoveryConfig, RecoveryMode, RecoveryReport, ScanDepth, ScanOptions, ScanProgress,
    ScanReport, Span, StartupMode, UnacknowledgedFacts, UnverifiedFacts,
};
pub use newest_facts::Listed;
pub use persistence_backend::PersistenceBackend;
#[cfg(feature = "sql")]
pub use query::{
    Answer, AnswerStream, Canceller, Column, FromValue, Monitor, Parameter, QueryOptions, Row, SavedQuery,
    Step, Value, Zone, nearest,
};
pub use retention::{Explanation, Fate, Hold, HoldInForce, Outcome, RetentionDoubt, RuleInForce};
pub use settings::Durability;
pub use settings::retention::{AgeBy, RetentionLimits, RetentionPolicy, RetentionRule};
pub use store::{Store, StoreBuilder, backup, recover, scan, verify, verify_at};
pub use store_folder::keep_paths_as_given;
pub use store_summary::{KindSummary, Summary};

/// Text from outside, before it is imported: its packing, the files of a rotated log, and its lines.
pub mod input {
    pub use crate::fact::{MAX_LINE_BYTES, is_blank};
    pub use crate::import::encoding::{confirm, is_damage, text};
    pub use crate::import::{rotated_files, unknown_rotated_files, without_packing};
}
