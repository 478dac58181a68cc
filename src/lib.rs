//! Ostracon is an embedded columnar store for the observable facts of an actor system, with SQL
//! over them.
//!
//! An actor system hands it events, audits and dead letters; it keeps them in a journal, then in
//! Parquet files, and answers questions about them. It is a persistence backend in the sense of
//! Papyra. It is not a place for actors' state or mailboxes, not a server, and not a general
//! database: nothing recorded is ever changed, and SQL only reads.
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
//! The modules are named for the stations, and declared below in their order.
//!
//! 1. A [`Fact`] is made, or read from its JSON line by [`Fact::from_line`] (`fact/`).
//! 2. [`Store::record`] hands it to `Recorder::record` (`recorder.rs`), which makes a journal
//!    frame of it, gives it its place ([`Position`]: the stream of this process, the next `seq`, and
//!    `recorded_at`) and appends the frame to the stream's journal: `Journal::append` (`journal/`).
//!    Now it is as safe as [`Durability`] says; with `Synced` after `GroupCommit::wait`, which
//!    many recorders share.
//! 3. The frame is copied into the `Buffer` (`buffer.rs`), in chunks that become Arrow rows when
//!    somebody first asks: `Chunk::rows`. The fact can be queried from now on.
//! 4. When the buffer is full or old, the background thread (`flush.rs`) begins the next journal
//!    file, has `Recorder::seal` set the buffer aside with the one before, and writes one Parquet
//!    file per kind: `SegmentWriter::finish` (`segment.rs`) syncs it, opens it again, compares it,
//!    and links it into place.
//! 5. `Ledger::commit` (`ledger/`) publishes a numbered, hash-chained commit that names the
//!    segments and the range of the stream that they cover. That is the one moment in which the fact
//!    moves. A copy of the commit is written to `ledger-copy/`, then the journal file is removed.
//! 6. A reader takes a `Snapshot` (`snapshot.rs`): the tails of all streams, then the ledger's
//!    head, and of the tails only what lies behind the head. So it sees the fact once, wherever it
//!    is, in this process or any other.
//! 7. [`Store::sql`] (`query/`) plans over the snapshot, [`Store::list`] reads the newest facts from
//!    the segments' ends, [`Store::after`] (`follow.rs`) streams everything behind a [`Cursor`]. All
//!    three give only what the rules of retention keep, which `Selection::of` finds
//!    (`retention/`).
//!
//! Several processes that share the work of dealing with facts are a consumer group
//! ([`Store::consumer_group`], `consume.rs`): a cursor that the store keeps, and the list of what was
//! delivered and not acknowledged yet.
//!
//! Facts in bulk come by a shorter way: [`Store::import`] (`import/`) parses lines straight into
//! rows, and goes on with step 4. What a process that died has left in its journal is taken up by
//! the next one that opens the store for writing (`takeover.rs`), and goes on with step 4, too.
//!
//! Over years, `maintain/` looks after what has come so far. Rules of retention hide what they do not
//! keep from every read, and [`Store::compact`] drops it for good; [`scan()`] tells whether the store is
//! what the ledger says, [`verify()`] whether every fact is accounted for, and [`recover()`] makes a damaged
//! store whole again. [`Store::backup`] makes a second store with the same facts. A commit says what each of them changed.
//!
//! The methods of [`Store`] are in `store/`, the layer above all of these. The layers share one `Context`
//! (`context.rs`) for each open store.
//!
//! # Features
//!
//! - `sql`, which is on unless it is turned off: [`Store::sql`], and conditions of rules and holds. Without it, DataFusion
//!   is not built; a store with rules that have conditions is not opened, and a hold with a condition covers everything
//!   of its kind.
//! - `datafusion`: DataFusion's own types, as `Answer::into_dataframe`. They change with DataFusion's versions.
//! - `redis`: importing from Papyra's Redis backend.
//!
//! The command line is the crate `ostracon-cli`, over this one.
//!
//! Everything that touches the disk goes through [`disk`], which can be told to fail.

// The order of the layers: a module uses only modules that are declared before it. A test checks this.
pub mod disk;
mod environment;
mod error;
mod metrics;
mod log_limiter;

mod fact;
mod settings;
mod ledger;
mod place;
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
mod list;
mod consume;
mod maintain;
mod summary;
mod backup;
#[cfg(feature = "sql")]
mod query;

mod store;
mod backend;

pub use arrow;
pub use backend::PersistenceBackend;
pub use backup::{BackupOptions, BackupReport};
pub use consume::{ConsumerGroup, ConsumerSummary, GroupSummary, StartAt};
pub use context::Access;
pub use error::{Error, ErrorKind, Result};
pub use fact::{
    Audit, DeadLetter, Event, Fact, FactId, Json, Kind, LineError, Position, Recorded, Seq, StreamId,
    Timestamp, UnixNanos,
};
pub use follow::{After, Cursor};
#[cfg(feature = "redis")]
pub use import::RedisStreams;
pub use import::{Import, ImportReport, Reject};
pub use list::Listed;
pub use maintain::{
    Affected, Against, Anomaly, AnomalyKind, BalanceSheet, Changes, CompactOptions, CompactProgress,
    CompactReport, CompactionReport, Debris, DroppedFacts, Holding, KindBalance, KindChanges, LedgerHead,
    LostFacts, Note, RecoveryConfig, RecoveryMode, RecoveryReport, ScanDepth, ScanOptions, ScanProgress,
    ScanReport, Span, StartupMode, UnacknowledgedFacts, UnverifiedFacts,
};
pub use metrics::MetricsSnapshot;
pub use place::keep_paths_as_given;
#[cfg(feature = "sql")]
pub use query::{
    Answer, AnswerStream, Canceller, Column, FromValue, Monitor, Parameter, QueryOptions, Row, SavedQuery,
    Step, Value, Zone, nearest,
};
pub use retention::{Explanation, Fate, Hold, HoldInForce, Outcome, RetentionDoubt, RuleInForce};
pub use settings::Durability;
pub use settings::retention::{AgeBy, RetentionLimits, RetentionPolicy, RetentionRule};
pub use store::{Store, StoreBuilder, backup, recover, scan, verify, verify_at};
pub use summary::{KindSummary, Summary};

/// Text from outside, before it is imported: what it is packed with, the files of a rotated log, and its lines.
pub mod input {
    pub use crate::fact::{MAX_LINE_BYTES, is_blank};
    pub use crate::import::encoding::{confirm, is_damage, text};
    pub use crate::import::{rotated_files, unknown_rotated_files, without_packing};
}
