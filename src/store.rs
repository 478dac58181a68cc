//! The store: connects all the parts.

mod builder;
mod consumers;
mod importing;
mod maintenance;
mod partial;
mod reading;
mod retention;
#[cfg(feature = "sql")]
mod sql;

use std::path::Path;
#[cfg(feature = "sql")]
use std::sync::OnceLock;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::context::Context;
use crate::counters::{MetricsSnapshot, count};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, Position};
use crate::flush;
use crate::ledger::FORMAT;
#[cfg(feature = "sql")]
use crate::query::{Engine, parse_condition};
use crate::retention::ConditionParser;
use crate::settings::Durability;
use crate::snapshot::Snapshot;

pub use builder::StoreBuilder;
pub use maintenance::{backup, recover, scan, verify, verify_at};

/// The parser for conditions of rules and holds.
#[cfg(feature = "sql")]
const CONDITIONS: ConditionParser = parse_condition;
#[cfg(not(feature = "sql"))]
const CONDITIONS: ConditionParser = |_, _| {
    let why = "conditions need SQL, but this program was built without the feature `sql`";
    Err(Error::new(ErrorKind::Query, why))
};

/// A store of facts, open in this process.
///
/// Any number of stores, in any number of processes, may be open on one path at a time, for writing and
/// for reading. Dropping a store closes it.
///
/// ```
/// use ostracon::{Event, Json, Store};
///
/// let folder = tempfile::tempdir()?;
/// let store = Store::open(folder.path().join("facts"))?;
/// let crash = Json::parse(r#"{"error": "KeyError: 'sku'", "reason": "KeyError: 'sku'"}"#)?;
/// let position = store.record(Event::new("shop", "shop:5", "ActorCrashed", crash, 1_795_404_290.4))?;
/// assert_eq!(position.seq.get(), 1);
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Store {
    context: Arc<Context>,
    flusher: Mutex<Option<JoinHandle<()>>>,
    /// Made when the first query is run.
    #[cfg(feature = "sql")]
    engine: OnceLock<Result<Engine, String>>,
}

impl Store {
    /// Opens the store at this path for writing and reading, creating it if there is none. See
    /// [`StoreBuilder::open`].
    ///
    /// # Errors
    /// Those of [`StoreBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path)
    }

    /// Options for opening.
    pub fn builder() -> StoreBuilder {
        StoreBuilder::default()
    }

    /// Records a fact, and returns its position. When this method returns, the fact is as safe as the
    /// store's [`Durability`] promises.
    ///
    /// It waits for the flush only when the buffer is full, and then at most
    /// [`max_wait`](Self::max_wait).
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] and [`ErrorKind::Io`] from the journal, [`ErrorKind::Overloaded`],
    /// [`ErrorKind::Closed`], and [`ErrorKind::InvalidFact`] for a fact over 17 MiB: the fact was not
    /// recorded. [`ErrorKind::Moved`]: the store's folder is no longer in its place; the fact may be in
    /// the folder that was opened, where all acknowledged facts are. [`ErrorKind::Poisoned`], or the
    /// error of the sync that failed: the next opening of the store shows whether the fact is there.
    pub fn record<'f>(&self, fact: impl Into<Fact<'f>>) -> Result<Position> {
        let last = self.record_all([fact])?;
        last.ok_or_else(|| Error::new(ErrorKind::InvalidFact, "no fact was given"))
    }

    /// Records several facts with one write: all of them or none. They follow each other in the stream
    /// and have one `recorded_at`. Returns the position of the last fact, or `None` if there was no fact.
    ///
    /// # Errors
    /// Those of [`Store::record`].
    pub fn record_all<'f>(&self, facts: impl IntoIterator<Item: Into<Fact<'f>>>) -> Result<Option<Position>> {
        let facts = facts.into_iter().map(Into::into);
        let Some(recorder) = &self.context.recorder else {
            count(&self.context.metrics.write_errors, facts.count() as u64);
            return Err(not_for_writing());
        };
        recorder.record(facts)
    }

    /// Records a fact from a thread that must not block, such as an event loop's thread. The fact is
    /// appended to the journal; this method waits neither for room in the buffer nor for the fact's own
    /// sync.
    ///
    /// It waits for a sync only when it must begin a journal file. That happens at the first fact, which
    /// waits for two syncs. Later files are begun by the flush before they are needed. If the flush could
    /// not do that, because the disk was full or an append failed half-way, the append that needs a file
    /// begins it. The first append after the clock was set back by more than a minute also begins a file,
    /// in a new stream.
    ///
    /// With [`Durability::Synced`] the fact is only as safe as a journaled fact until [`Store::wait`] has
    /// returned, in any thread.
    ///
    /// ```
    /// # use ostracon::{Durability, Event, Json, Store};
    /// # let folder = tempfile::tempdir()?;
    /// let store = Store::builder().durability(Durability::Synced).open(folder.path().join("facts"))?;
    /// let position = store.append(Event::new("shop", "shop:5", "ActorStarted", Json::empty_object(), 1.0))?;
    /// std::thread::scope(|scope| scope.spawn(|| store.wait(position)).join().unwrap())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Store::record`]. [`ErrorKind::Overloaded`] comes at once: a caller that can wait may
    /// then call [`Store::record`].
    pub fn append<'f>(&self, fact: impl Into<Fact<'f>>) -> Result<Position> {
        let Some(recorder) = &self.context.recorder else {
            count(&self.context.metrics.write_errors, 1);
            return Err(not_for_writing());
        };
        let position = recorder.append_now(fact.into())?;
        position.ok_or_else(|| Error::new(ErrorKind::InvalidFact, "no fact was given"))
    }

    /// Works as [`Store::append`], but waits up to `most` for room in the buffer. It does not wait for
    /// the fact's own sync. [`Store::max_wait`] is how long [`Store::record`] waits.
    ///
    /// # Errors
    /// Those of [`Store::append`].
    pub fn append_within<'f>(&self, fact: impl Into<Fact<'f>>, most: Duration) -> Result<Position> {
        let Some(recorder) = &self.context.recorder else {
            count(&self.context.metrics.write_errors, 1);
            return Err(not_for_writing());
        };
        let position = recorder.append_within(fact.into(), most)?;
        position.ok_or_else(|| Error::new(ErrorKind::InvalidFact, "no fact was given"))
    }

    /// The longest time that recording waits for room in the buffer before it refuses a fact.
    pub fn max_wait(&self) -> Duration {
        Duration::from_millis(self.context.settings.buffer.max_wait_ms)
    }

    /// Waits until a fact that this store [appended](Self::append) is as safe as the store's
    /// [`Durability`] promises.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], or the error of the sync that failed: the next opening of the store shows
    /// whether the fact is there. [`ErrorKind::Refused`] for a fact of another stream.
    pub fn wait(&self, position: Position) -> Result<()> {
        let recorder = self.context.recorder.as_ref().filter(|own| own.has(position.stream));
        let Some(recorder) = recorder else {
            let why = format!(
                "stream {} is not the stream of this open store: cannot wait for its facts",
                position.stream
            );
            return Err(Error::new(ErrorKind::Refused, why));
        };
        let waited = recorder.wait(position.stream, position.seq);
        if waited.is_err() {
            count(&self.context.metrics.write_errors, 1);
        }
        waited
    }

    /// Writes all facts that were recorded so far into segments, and commits them.
    ///
    /// # Errors
    /// The reason why the facts could not be written. They stay in the journal, and the flush is tried
    /// again.
    pub fn flush(&self) -> Result<()> {
        let Some(recorder) = &self.context.recorder else { return Ok(()) };
        recorder.seal()?;
        flush::flush_sealed(&self.context, recorder)
    }

    /// Flushes, stops recording and releases the stream. Reading still works. Closing a closed store does
    /// nothing.
    ///
    /// # Errors
    /// Those of [`Store::flush`]. The store is closed all the same, and the facts are in the journal: the
    /// next store that is opened for writing flushes them.
    pub fn close(&self) -> Result<()> {
        let Some(recorder) = &self.context.recorder else { return Ok(()) };
        recorder.close();
        // Held to the end: a second call at the same time returns when the store is closed.
        let mut flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = flusher.take() else { return Ok(()) };
        let stopped =
            thread.join().map_err(|_| Error::new(ErrorKind::Io, "the thread of the flush panicked"));
        let result = self.flush();
        recorder.give_back();
        result.and(stopped)
    }

    /// The folder of the store.
    pub fn path(&self) -> &Path {
        &self.context.root
    }

    /// How safe a fact is when [`Store::record`] returns, as set by the builder or `ostracon.toml`.
    pub fn durability(&self) -> Durability {
        self.context.settings.durability
    }

    /// Counters of this process's work with the store so far. Never fails.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.context.metrics.snapshot()
    }

    /// Sets all counters to zero.
    pub fn reset_metrics(&self) {
        self.context.metrics.reset();
    }

    /// A stable view of the store as it is now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        self.context.snapshot()
    }

    pub(crate) const fn context(&self) -> &Arc<Context> {
        &self.context
    }
}

fn not_for_writing() -> Error {
    Error::new(ErrorKind::Closed, "the store is not open for writing; nothing was recorded")
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "closing the store");
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.context.root)
            .field("format", &FORMAT)
            .finish_non_exhaustive()
    }
}
