//! The store: everything wired together.

mod builder;
mod foreign;
mod partial;
mod place;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::buffer::Chunk;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, Position, UnixNanos};
use crate::flush;
use crate::ledger::{FORMAT, Ledger};
use crate::maintain::retention::Retention;
use crate::metrics::{Metrics, MetricsSnapshot, count};
use crate::query::Engine;
use crate::recorder::{Clock, Recorder};
use crate::settings::{Durability, Settings};
use crate::snapshot::Snapshot;

pub use builder::StoreBuilder;
pub(crate) use foreign::is_foreign;
pub(crate) use partial::is_unreadable;
#[cfg(feature = "cli")]
pub(crate) use place::keep_paths_as_given;
pub(crate) use place::{FOLDERS, absolute, has_files};

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
    shared: Arc<Shared>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

/// What a store's threads, snapshots and queries share.
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) disk: Disk,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) retention: Retention,
    pub(crate) clock: Clock,
    pub(crate) access: Access,
    /// Only in a store that is open for writing.
    pub(crate) recorder: Option<Recorder>,
    /// Held by the flush that is going on.
    pub(crate) flushing: Mutex<flush::Attempts>,
    /// Made when the first query comes.
    pub(crate) engine: OnceLock<Result<Engine, String>>,
}

/// What a store was opened for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    /// Recording, and all that follows from it.
    #[default]
    Write,
    /// Looking after what is there: commits are made, but no stream is claimed.
    Maintain,
    /// Reading only.
    Read,
}

impl Shared {
    /// The wall time.
    pub(crate) fn now(&self) -> UnixNanos {
        (self.clock)()
    }

    /// Refuses an act that makes a commit, where the store is open for reading only.
    pub(crate) fn check_commits(&self, act: &str) -> Result<()> {
        if self.access == Access::Read {
            return Err(Error::new(
                ErrorKind::Closed,
                format!("the store is open for reading only; cannot {act}"),
            ));
        }
        Ok(())
    }

    /// Facts of this process that are in no segment yet. After closing, what could not be flushed
    /// is read from the journal, like everybody else's.
    pub(crate) fn own_chunks(&self) -> Vec<Arc<Chunk>> {
        self.recorder
            .as_ref()
            .filter(|recorder| !recorder.lock().closed)
            .map(Recorder::chunks)
            .unwrap_or_default()
    }
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
        let Some(recorder) = &self.shared.recorder else {
            count(&self.shared.metrics.write_errors, facts.count() as u64);
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
        let Some(recorder) = &self.shared.recorder else {
            count(&self.shared.metrics.write_errors, 1);
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
        let Some(recorder) = &self.shared.recorder else {
            count(&self.shared.metrics.write_errors, 1);
            return Err(not_for_writing());
        };
        let position = recorder.append_within(fact.into(), most)?;
        position.ok_or_else(|| Error::new(ErrorKind::InvalidFact, "no fact was given"))
    }

    /// How long recording waits for room in the buffer before a fact is refused.
    pub fn max_wait(&self) -> Duration {
        Duration::from_millis(self.shared.settings.buffer.max_wait_ms)
    }

    /// Returns when a fact that this store [appended](Self::append) is as safe as the store's
    /// [`Durability`] promises.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], or the error of the sync that failed: whether the fact is there
    /// will be known when the store is opened again. [`ErrorKind::Refused`] for the fact of another
    /// stream.
    pub fn wait(&self, position: Position) -> Result<()> {
        let recorder = self.shared.recorder.as_ref().filter(|own| own.has(position.stream));
        let Some(recorder) = recorder else {
            let why =
                format!("stream {} is not this store's own; its facts are not awaited", position.stream);
            return Err(Error::new(ErrorKind::Refused, why));
        };
        let waited = recorder.wait(position.stream, position.seq);
        if waited.is_err() {
            count(&self.shared.metrics.write_errors, 1);
        }
        waited
    }

    /// Puts everything recorded so far into segments, and commits it.
    ///
    /// # Errors
    /// Whatever kept it from being written. The facts then stay in the journal, and the flush is
    /// tried again.
    pub fn flush(&self) -> Result<()> {
        let Some(recorder) = &self.shared.recorder else { return Ok(()) };
        recorder.seal()?;
        flush::flush_sealed(&self.shared, recorder)
    }

    /// Flushes, takes no more facts and gives the stream back. Reading still works. To close
    /// again does nothing.
    ///
    /// # Errors
    /// Those of [`Store::flush`]; the store is closed all the same, and the facts are in the
    /// journal, from which the next store to be opened for writing flushes them.
    pub fn close(&self) -> Result<()> {
        let Some(recorder) = &self.shared.recorder else { return Ok(()) };
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
        &self.shared.root
    }

    /// How safe a fact is when [`Store::record`] returns, as the builder or `ostracon.toml` says.
    pub fn durability(&self) -> Durability {
        self.shared.settings.durability
    }

    /// What this process did with the store so far. Never fails.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.shared.metrics.snapshot()
    }

    /// Sets all counters to zero.
    pub fn reset_metrics(&self) {
        self.shared.metrics.reset();
    }

    /// A stable view of the store as it is now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(&self.shared)
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
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
            .field("path", &self.shared.root)
            .field("format", &FORMAT)
            .finish_non_exhaustive()
    }
}
