//! The store: everything wired together.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::adopt;
use crate::buffer::Chunk;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, Kind, Position, UnixNanos};
use crate::flush;
use crate::ledger::{FORMAT, Ledger};
use crate::maintain::retention::{Retention, RetentionPolicy, Rules};
use crate::maintain::{StartupMode, check_startup};
use crate::metrics::{Metrics, MetricsSnapshot, count};
use crate::query::Engine;
use crate::recorder::{Clock, Recorder};
use crate::settings::{self, Durability, Settings};
use crate::snapshot::Snapshot;

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
    pub(crate) ledger: Ledger,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) retention: Retention,
    pub(crate) clock: Clock,
    pub(crate) access: Access,
    /// Only in a store that is open for writing.
    pub(crate) recorder: Option<Recorder>,
    /// Held by the flush that is going on.
    pub(crate) flushing: Mutex<()>,
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

/// How a store is opened.
#[derive(Clone, Default)]
#[must_use]
pub struct StoreBuilder {
    access: Access,
    durability: Option<Durability>,
    flush_rows: Option<u64>,
    flush_bytes: Option<usize>,
    flush_age: Option<Duration>,
    max_buffer_bytes: Option<usize>,
    max_wait: Option<Duration>,
    query_memory_bytes: Option<usize>,
    query_timeout: Option<Duration>,
    retention: Option<RetentionPolicy>,
    startup: StartupMode,
    disk: Disk,
    clock: Option<Clock>,
}

impl StoreBuilder {
    /// Opens for reading only: nothing is created, locked or flushed.
    pub const fn read_only(mut self, read_only: bool) -> Self {
        self.access = if read_only { Access::Read } else { Access::Write };
        self
    }

    /// Opens for looking after what is there: nothing can be recorded and nothing is created or
    /// flushed, but holds, compaction and recovery may commit.
    pub const fn maintenance(mut self) -> Self {
        self.access = Access::Maintain;
        self
    }

    /// How safe a fact is when `record` returns; overrides `ostracon.toml`.
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Flush when so many facts are buffered; overrides `ostracon.toml`.
    pub const fn flush_rows(mut self, rows: u64) -> Self {
        self.flush_rows = Some(rows);
        self
    }

    /// Flush when so many bytes are buffered; overrides `ostracon.toml`.
    pub const fn flush_bytes(mut self, bytes: usize) -> Self {
        self.flush_bytes = Some(bytes);
        self
    }

    /// Flush when the oldest buffered fact is so old, to the second; overrides `ostracon.toml`.
    pub const fn flush_age(mut self, age: Duration) -> Self {
        self.flush_age = Some(age);
        self
    }

    /// Refuse facts while so many bytes wait to be flushed; overrides `ostracon.toml`.
    pub const fn max_buffer_bytes(mut self, bytes: usize) -> Self {
        self.max_buffer_bytes = Some(bytes);
        self
    }

    /// Wait so long for room in the buffer before refusing a fact; overrides `ostracon.toml`.
    pub const fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = Some(wait);
        self
    }

    /// What one query may keep in memory; overrides `ostracon.toml`.
    pub const fn query_memory_bytes(mut self, bytes: usize) -> Self {
        self.query_memory_bytes = Some(bytes);
        self
    }

    /// When a query is stopped, to the millisecond; overrides `ostracon.toml`.
    pub const fn query_timeout(mut self, timeout: Duration) -> Self {
        self.query_timeout = Some(timeout);
        self
    }

    /// Which facts are kept; takes the place of what `ostracon.toml` says of it.
    pub fn retention(mut self, policy: RetentionPolicy) -> Self {
        self.retention = Some(policy);
        self
    }

    /// What is looked at, and perhaps recovered, before the store is opened.
    pub fn startup(mut self, mode: StartupMode) -> Self {
        self.startup = mode;
        self
    }

    /// The disk to use: a test passes one that fails.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disk = disk;
        self
    }

    /// The wall clock to use: a test passes one that it moves.
    pub fn clock(mut self, clock: impl Fn() -> UnixNanos + Send + Sync + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    fn settings(&self, mut settings: Settings) -> Result<Settings> {
        let over = |setting: &mut u64, duration: Option<Duration>, unit: Duration| {
            if let Some(duration) = duration {
                *setting = duration.as_nanos().div_ceil(unit.as_nanos()).try_into().unwrap_or(u64::MAX);
            }
        };
        over(&mut settings.flush.age_seconds, self.flush_age, Duration::from_secs(1));
        over(&mut settings.buffer.max_wait_ms, self.max_wait, Duration::from_millis(1));
        settings.durability = self.durability.unwrap_or(settings.durability);
        settings.flush.rows = self.flush_rows.unwrap_or(settings.flush.rows);
        settings.flush.bytes = self.flush_bytes.unwrap_or(settings.flush.bytes);
        settings.buffer.max_bytes = self.max_buffer_bytes.unwrap_or(settings.buffer.max_bytes);
        settings.query.memory_bytes = self.query_memory_bytes.unwrap_or(settings.query.memory_bytes);
        settings.query.timeout = self.query_timeout.or(settings.query.timeout);
        if let Some(policy) = &self.retention {
            settings.retention = policy.clone().instead_of(&settings.retention);
        }
        settings.check()?;
        Ok(settings)
    }

    /// Opens the store at this path. Unless it is opened for reading only, a store is created
    /// where there is none yet.
    ///
    /// Opening repairs nothing, unless [`StoreBuilder::startup`] asks for it. Facts that a dead process left in a journal are flushed.
    ///
    /// # Errors
    /// [`ErrorKind::NotAStore`] if something else is at that path, [`ErrorKind::NewerFormat`],
    /// [`ErrorKind::Settings`], [`ErrorKind::Damaged`] if the ledger is, and the operating
    /// system's errors. Nothing is touched then.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        let root = path.as_ref();
        let startup = check_startup(&self.startup, &self.disk, root)?;
        let found = look(root)?;
        if self.access != Access::Write && found != Found::Store {
            return Err(not_a_store(root, "there is no store"));
        }
        let settings = self.settings(Settings::load(root)?)?;
        let retention = Retention::new(Rules::new(&settings.retention)?);
        if found != Found::Store {
            create(&self.disk, root).map_err(|error| {
                error.context(format_args!("cannot create a store at {}", root.display()))
            })?;
        }
        let ledger = Ledger::open(self.disk.clone(), root)?;
        let metrics = Arc::new(Metrics::default());
        count(&metrics.scans, startup.scans);
        count(&metrics.anomalies_detected, startup.anomalies);
        count(&metrics.recoveries, startup.recoveries);
        let clock = self.clock.unwrap_or_else(|| Arc::new(UnixNanos::now));
        let recorder = if self.access == Access::Write {
            let opened =
                adopt::open_stream(&self.disk, root, &ledger, settings.durability, &metrics.replayed)?;
            let journal = opened.journal.buffered(settings.durability == Durability::Buffered);
            Some(Recorder::new(
                settings.clone(),
                Arc::clone(&clock),
                Arc::clone(&metrics),
                opened.claim,
                journal,
                opened.last,
                opened.last_recorded_at,
                opened.sealed,
            ))
        } else {
            None
        };
        let shared = Arc::new(Shared {
            root: root.to_path_buf(),
            disk: self.disk,
            ledger,
            settings,
            metrics,
            retention,
            clock,
            access: self.access,
            recorder,
            flushing: Mutex::new(()),
            engine: OnceLock::new(),
        });
        let flusher = match shared.recorder {
            None => None,
            Some(_) => Some(spawn_flusher(&shared)?),
        };
        Ok(Store { shared, flusher: Mutex::new(flusher) })
    }
}

fn spawn_flusher(shared: &Arc<Shared>) -> Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name("ostracon-flush".to_owned())
        .spawn(move || {
            if let Some(recorder) = &shared.recorder {
                flush::run(&shared, recorder);
            }
        })
        .map_err(|error| Error::with_source(ErrorKind::Io, "cannot start the flush's thread", error))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Store,
    /// Nothing, an empty folder, or a store whose creation was cut short.
    Nothing,
}

/// The folders of a store.
pub(crate) const FOLDERS: [&str; 6] = ["ledger", "journal", "events", "audits", "dead_letters", "quarantine"];

/// What is at this path, without touching it.
fn look(root: &Path) -> Result<Found> {
    let attempt = |error| Error::io("look into", root, error);
    match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(not_a_store(root, "a store is a folder, and that is none")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(attempt(error)),
    }
    let ledger = root.join("ledger");
    let committed = match fs::read_dir(&ledger) {
        Ok(mut entries) => entries.any(|entry| {
            entry.is_ok_and(|entry| Path::new(&entry.file_name()).extension().is_some_and(|e| e == "json"))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(Error::io("look into", &ledger, error)),
    };
    if committed {
        return Ok(Found::Store);
    }
    for entry in fs::read_dir(root).map_err(attempt)? {
        let name = entry.map_err(attempt)?.file_name();
        let ours = name.to_str().is_some_and(|name| {
            FOLDERS.contains(&name) || name.starts_with(settings::FILE) || name.starts_with('.')
        });
        if !ours {
            return Err(not_a_store(
                root,
                &format!("the folder holds other things, such as {}", name.display()),
            ));
        }
    }
    // Facts without a ledger are a store that lost it, not a new one.
    let segments = Kind::ALL.iter().map(|kind| root.join(kind.table()));
    for folder in segments.chain([root.join("journal")]) {
        if fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!("{} has files, and the ledger in {} is gone", folder.display(), ledger.display()),
            ));
        }
    }
    Ok(Found::Nothing)
}

fn not_for_writing() -> Error {
    Error::new(ErrorKind::Closed, "the store is not open for writing; nothing was recorded")
}

fn not_a_store(root: &Path, why: &str) -> Error {
    Error::new(ErrorKind::NotAStore, format!("{} is not an Ostracon store: {why}", root.display()))
}

/// Creates the folders, the settings' file, and last the first commit, which makes it a store.
/// Several processes may do so at once.
fn create(disk: &Disk, root: &Path) -> Result<()> {
    let attempt = |path: &Path| {
        let path = path.to_path_buf();
        move |error| Error::io("create", &path, error)
    };
    disk.create_dir(root).map_err(attempt(root))?;
    if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk.sync_dir(parent).map_err(attempt(root))?;
    }
    for folder in FOLDERS {
        let folder = root.join(folder);
        disk.create_dir(&folder).map_err(attempt(&folder))?;
    }
    let path = root.join(settings::FILE);
    if !path.exists() {
        let temp = root.join(format!("{}.{}.tmp", settings::FILE, uuid::Uuid::new_v4().simple()));
        match disk.publish(&temp, &path, settings::TEMPLATE.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(attempt(&path)(error));
            }
            _ => {}
        }
    }
    disk.sync_dir(root).map_err(attempt(root))?;
    Ledger::create(disk, root)
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
    /// recorded. [`ErrorKind::Poisoned`], or the error of the sync that failed: whether it is
    /// there will be known when the store is opened again.
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

    /// Records a fact from a thread that must not wait, such as an event loop's: it is appended to
    /// the journal, but neither room in the buffer nor a sync is waited for.
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

    /// Returns when a fact that this store [appended](Self::append) is as safe as the store's
    /// [`Durability`] promises.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], or the error of the sync that failed: whether the fact is there
    /// will be known when the store is opened again.
    pub fn wait(&self, position: Position) -> Result<()> {
        self.shared.recorder.as_ref().map_or(Ok(()), |recorder| {
            let waited = recorder.wait(position.seq);
            if waited.is_err() {
                count(&self.shared.metrics.write_errors, 1);
            }
            waited
        })
    }

    /// Puts everything recorded so far into segments, and commits it.
    ///
    /// # Errors
    /// Whatever kept it from being written. The facts then stay in the journal, and the flush is
    /// tried again.
    pub fn flush(&self) -> Result<()> {
        let Some(recorder) = &self.shared.recorder else { return Ok(()) };
        recorder.seal(&mut recorder.lock())?;
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
        recorder.lock().claim = None;
        result.and(stopped)
    }

    /// The folder of the store.
    pub fn path(&self) -> &Path {
        &self.shared.root
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
