//! The store: everything wired together.

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
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, Position};
use crate::flush;
use crate::ledger::FORMAT;
use crate::metrics::{MetricsSnapshot, count};
#[cfg(feature = "sql")]
use crate::query::{Engine, parse_condition};
use crate::retention::ConditionParser;
use crate::settings::Durability;
use crate::snapshot::Snapshot;

pub use builder::StoreBuilder;
pub use maintenance::{backup, recover, scan, verify, verify_at};

/// How conditions of rules and holds are read.
#[cfg(feature = "sql")]
const CONDITIONS: ConditionParser = parse_condition;
#[cfg(not(feature = "sql"))]
const CONDITIONS: ConditionParser = |_, _| {
    let why = "conditions need SQL, and this program was built without the feature `sql`";
    Err(Error::new(ErrorKind::Query, why))
};

/// A store of facts, open in this process.
///
/// Any number of stores, in any number of processes, may be open on one path at the same time,
/// for writing and for reading. Dropping a store closes it.
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
    /// Made when the first query comes.
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

    /// Records a fact. When this returns its position, the fact is as safe as the store's
    /// [`Durability`] promises.
    ///
    /// It waits for the flush only when the buffer is at its bound, and then only for a bounded
    /// time.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`] and [`ErrorKind::Io`] from the journal, [`ErrorKind::Overloaded`],
    /// [`ErrorKind::Closed`], [`ErrorKind::InvalidFact`] for a fact over 17 MiB: the fact was not
    /// recorded. [`ErrorKind::Moved`]: the store's folder is no longer in its place; the fact may be in the folder that
    /// was opened, where what was acknowledged before is. [`ErrorKind::Poisoned`], or the error of the sync
    /// that failed: whether it is there will be known when the store is opened again.
    pub fn record<'f>(&self, fact: impl Into<Fact<'f>>) -> Result<Position> {
        let last = self.record_all([fact])?;
        last.ok_or_else(|| Error::new(ErrorKind::InvalidFact, "no fact was given"))
    }

    /// Records facts that belong together or came together: all of them or none, with one write.
    /// They follow each other in the stream, at one `recorded_at`; the position returned is the
    /// last one's, and `None` if there was no fact.
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

    /// Records a fact from a thread that must not wait for others, such as an event loop's: it is
    /// appended to the journal, but neither room in the buffer nor its own sync is waited for.
    ///
    /// Of all syncs it waits for two alone, with the first fact, which begins the journal's first file; the
    /// next ones are begun by the flush, before they are needed. Where the flush could not, because the disk
    /// was full, or did not know, because an append failed half-way, the append that needs a file begins it.
    /// So does the first append after the clock was set back by more than a minute, which begins a stream.
    ///
    /// With [`Durability::Synced`] it is only as safe as a journaled fact until [`Store::wait`] has
    /// returned, in whatever thread.
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
    /// Those of [`Store::record`]. [`ErrorKind::Overloaded`] comes at once: whoever can wait may
    /// then call [`Store::record`].
    pub fn append<'f>(&self, fact: impl Into<Fact<'f>>) -> Result<Position> {
        let Some(recorder) = &self.context.recorder else {
            count(&self.context.metrics.write_errors, 1);
            return Err(not_for_writing());
        };
        let position = recorder.append_now(fact.into())?;
        position.ok_or_else(|| Error::new(ErrorKind::InvalidFact, "no fact was given"))
    }

    /// [`Store::append`] that waits for room in the buffer, for at most this long, but not for the fact's own
    /// sync. [`Store::max_wait`] is how long [`Store::record`] waits.
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

    /// How long recording waits for room in the buffer before a fact is refused.
    pub fn max_wait(&self) -> Duration {
        Duration::from_millis(self.context.settings.buffer.max_wait_ms)
    }

    /// Returns when a fact that this store [appended](Self::append) is as safe as the store's
    /// [`Durability`] promises.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], or the error of the sync that failed: whether the fact is there
    /// will be known when the store is opened again. [`ErrorKind::Refused`] for the fact of another
    /// stream.
    pub fn wait(&self, position: Position) -> Result<()> {
        let recorder = self.context.recorder.as_ref().filter(|own| own.has(position.stream));
        let Some(recorder) = recorder else {
            let why =
                format!("stream {} is not this store's own; its facts are not awaited", position.stream);
            return Err(Error::new(ErrorKind::Refused, why));
        };
        let waited = recorder.wait(position.stream, position.seq);
        if waited.is_err() {
            count(&self.context.metrics.write_errors, 1);
        }
        waited
    }

    /// Puts everything recorded so far into segments, and commits it.
    ///
    /// # Errors
    /// Whatever kept it from being written. The facts then stay in the journal, and the flush is
    /// tried again.
    pub fn flush(&self) -> Result<()> {
        let Some(recorder) = &self.context.recorder else { return Ok(()) };
        recorder.seal()?;
        flush::flush_sealed(&self.context, recorder)
    }

    /// Flushes, takes no more facts and gives the stream back. Reading still works. To close
    /// again does nothing.
    ///
    /// # Errors
    /// Those of [`Store::flush`]; the store is closed all the same, and the facts are in the
    /// journal, from which the next store to be opened for writing flushes them.
    pub fn close(&self) -> Result<()> {
        let Some(recorder) = &self.context.recorder else { return Ok(()) };
        recorder.close();
        // Held to the end: who closes at the same time returns when it is closed.
        let mut flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = flusher.take() else { return Ok(()) };
        let stopped = thread.join().map_err(|_| Error::new(ErrorKind::Io, "the flush's thread panicked"));
        let result = self.flush();
        recorder.give_back();
        result.and(stopped)
    }

    /// The folder of the store.
    pub fn path(&self) -> &Path {
        &self.context.root
    }

    /// How safe a fact is when [`Store::record`] returns, as the builder or `ostracon.toml` says.
    pub fn durability(&self) -> Durability {
        self.context.settings.durability
    }

    /// What this process did with the store so far. Never fails.
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
