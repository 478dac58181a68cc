//! How a store is opened.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::place::{Found, create, look, not_a_store};
use super::{Access, Shared, Store};
use crate::adopt;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;
use crate::flush;
use crate::ledger::Ledger;
use crate::maintain::retention::{Retention, RetentionPolicy, Rules};
use crate::maintain::{StartupMode, check_startup};
use crate::metrics::{Metrics, count};
use crate::recorder::{Clock, Recorder};
use crate::settings::{Durability, Settings};

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
            let journal = opened.journal.durability(settings.durability);
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
