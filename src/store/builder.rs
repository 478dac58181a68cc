//! Options for opening a store.

use std::path::Path;
#[cfg(feature = "sql")]
use std::sync::OnceLock;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::partial::open_ledger;
use super::{CONDITIONS, Store};
use crate::context::{Access, Context};
use crate::counters::{Metrics, count};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;
use crate::flush;
use crate::maintain::{StartupMode, check_startup, highest_stream};
use crate::recorder::{Clock, Recorder};
use crate::retention::{Retention, Rules};
use crate::settings::retention::RetentionPolicy;
use crate::settings::{Durability, Settings};
use crate::store_folder::{PlaceState, absolute, create, look, make_missing_folders, not_a_store};
use crate::takeover;

/// Options for opening a store.
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
    /// Sets what the store is opened for. The default is [`Access::Write`].
    pub const fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Sets how safe a fact is when `record` returns. Overrides `ostracon.toml`.
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Sets the number of buffered facts that starts a flush. Overrides `ostracon.toml`.
    pub const fn flush_rows(mut self, rows: u64) -> Self {
        self.flush_rows = Some(rows);
        self
    }

    /// Sets the number of buffered bytes that starts a flush. Overrides `ostracon.toml`.
    pub const fn flush_bytes(mut self, bytes: usize) -> Self {
        self.flush_bytes = Some(bytes);
        self
    }

    /// Sets the age of the oldest buffered fact that starts a flush, in whole seconds. Overrides
    /// `ostracon.toml`.
    pub const fn flush_age(mut self, age: Duration) -> Self {
        self.flush_age = Some(age);
        self
    }

    /// Sets the number of unflushed bytes at which facts are refused. Overrides `ostracon.toml`.
    pub const fn max_buffer_bytes(mut self, bytes: usize) -> Self {
        self.max_buffer_bytes = Some(bytes);
        self
    }

    /// Sets how long a recorder waits for room in the buffer before a fact is refused. Overrides
    /// `ostracon.toml`.
    pub const fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = Some(wait);
        self
    }

    /// Sets the most memory that one query may use, in bytes. Overrides `ostracon.toml`.
    pub const fn query_memory_bytes(mut self, bytes: usize) -> Self {
        self.query_memory_bytes = Some(bytes);
        self
    }

    /// Sets the time after which a query is stopped, in whole milliseconds. Overrides `ostracon.toml`.
    pub const fn query_timeout(mut self, timeout: Duration) -> Self {
        self.query_timeout = Some(timeout);
        self
    }

    /// Sets the retention policy. It replaces the policy of `ostracon.toml`.
    pub fn retention(mut self, policy: RetentionPolicy) -> Self {
        self.retention = Some(policy);
        self
    }

    /// Sets whether the store is scanned, and perhaps recovered, before it is opened.
    pub fn startup(mut self, mode: StartupMode) -> Self {
        self.startup = mode;
        self
    }

    /// Sets the disk: a test passes one that fails.
    #[cfg(any(test, feature = "testing"))]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disk = disk;
        self
    }

    /// Sets the wall clock: a test passes one that it moves.
    #[cfg(any(test, feature = "testing"))]
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

    /// Checks whether these settings, and the settings in the store's `ostracon.toml`, fit together. This
    /// makes, opens and locks nothing, so it can be called long before the first fact.
    ///
    /// ```
    /// # use ostracon::{ErrorKind, Store};
    /// # let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("facts");
    /// let wrong = Store::builder().flush_rows(0).check(&path).unwrap_err();
    /// assert_eq!(wrong.kind(), ErrorKind::Settings);
    /// assert!(!path.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], and the operating system's errors.
    pub fn check(&self, path: impl AsRef<Path>) -> Result<()> {
        self.usable(&absolute(path.as_ref())?).map(drop)
    }

    /// The settings and rules to use at this path.
    fn usable(&self, root: &Path) -> Result<(Settings, Rules)> {
        let settings = self.settings(Settings::load(root)?)?;
        let rules = Rules::new(&settings.retention, CONDITIONS)?;
        Ok((settings, rules))
    }

    /// Opens the store at this path. Creates it if there is none, unless it is opened for reading only.
    ///
    /// Opening repairs nothing, unless [`StoreBuilder::startup`] asks for it. Facts that a dead process
    /// left in a journal are flushed.
    ///
    /// If both files of a commit are damaged, the store opens all the same. Facts are journaled in a
    /// stream of their own, and flushed after the ledger has been recovered. [`Store::list_readable`]
    /// returns the facts that can be read; queries fail.
    ///
    /// # Errors
    /// [`ErrorKind::NotAStore`] if something else is at the path; [`ErrorKind::NewerFormat`];
    /// [`ErrorKind::Settings`]; [`ErrorKind::Damaged`] if nothing of the ledger can be read, or if the
    /// ledger is damaged and the store is opened for [maintenance](Access::Maintain); and the operating
    /// system's errors. After an error nothing has changed.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        // Made absolute now: the process may change its working directory later.
        let root = &absolute(path.as_ref())?;
        let startup = check_startup(&self.startup, &self.disk, root, CONDITIONS)?;
        let found = look(root)?;
        if self.access != Access::Write && found != PlaceState::Store {
            return Err(not_a_store(root, "no store is there"));
        }
        let (settings, rules) = self.usable(root)?;
        let from_file = self.retention.is_none().then_some(root.as_path());
        let retention = Retention::new(&settings.retention, rules, from_file, CONDITIONS);
        if found != PlaceState::Store {
            create(&self.disk, root).map_err(|error| {
                error.context(format_args!("cannot create a store at {}", root.display()))
            })?;
        }
        let disk = self.disk.anchored(root).map_err(|error| Error::io("open the store at", root, error))?;
        let ledger = Arc::new(open_ledger(&disk, root, self.access)?);
        let metrics = Arc::new(Metrics::default());
        count(&metrics.scans, startup.scans);
        count(&metrics.anomalies_detected, startup.anomalies);
        count(&metrics.recoveries, startup.recoveries);
        let clock = self.clock.unwrap_or_else(|| Arc::new(UnixNanos::now));
        let recorder = if self.access == Access::Write {
            make_missing_folders(&disk, root)?;
            let opened = if ledger.is_unreadable() {
                takeover::open_apart(&disk, root, &ledger, highest_stream(root)?)?
            } else {
                takeover::open_stream(&disk, root, &ledger, settings.durability, clock(), &metrics.replayed)?
            };
            let next_stream = {
                let (disk, root, ledger) = (disk.clone(), root.clone(), Arc::clone(&ledger));
                Box::new(move || takeover::begin_stream(&disk, &root, &ledger))
            };
            let journal = opened.journal.durability(settings.durability);
            Some(Recorder::new(
                settings.clone(),
                Arc::clone(&clock),
                Arc::clone(&metrics),
                disk.clone(),
                next_stream,
                opened.claim,
                journal,
                opened.last,
                opened.last_recorded_at,
                opened.sealed,
            ))
        } else {
            None
        };
        let context = Arc::new(Context {
            root: root.clone(),
            disk,
            ledger,
            settings,
            metrics,
            retention,
            clock,
            access: self.access,
            recorder,
        });
        let flusher = match context.recorder {
            None => None,
            Some(_) => Some(spawn_flusher(&context)?),
        };
        Ok(Store {
            context,
            flusher: Mutex::new(flusher),
            #[cfg(feature = "sql")]
            engine: OnceLock::new(),
        })
    }
}

fn spawn_flusher(context: &Arc<Context>) -> Result<JoinHandle<()>> {
    let context = Arc::clone(context);
    std::thread::Builder::new()
        .name("ostracon-flush".to_owned())
        .spawn(move || {
            if let Some(recorder) = &context.recorder {
                flush::run(&context, recorder);
            }
        })
        .map_err(|error| Error::with_source(ErrorKind::Io, "cannot start the thread of the flush", error))
}
