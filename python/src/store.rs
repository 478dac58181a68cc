//! An open store.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ostracon::{CompactOptions, Cursor, Durability, Fact, Import, Kind, RedisStreams, UnixNanos};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::runtime::Runtime;

use crate::answer::Answer;
use crate::consumers::ConsumerGroup;
use crate::error::{misuse, raise};
use crate::facts::Facts;
use crate::maintain::{depth, json, recovery, recovery_json, scan_json};
use crate::questions::{options, param};
use crate::settings::Settings;

/// So many reasons for a rejection are told.
const REASONS: usize = 100;
/// How long a question may go on before Ctrl-C is looked for again.
const SIGNALS: Duration = Duration::from_millis(50);

/// The place of a fact in its store.
#[pyclass(frozen, eq, hash, module = "ostracon")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Position(ostracon::Position);

#[pymethods]
impl Position {
    /// The stream that recorded it.
    #[getter]
    fn stream(&self) -> u32 {
        self.0.stream.get()
    }

    /// Its number in the stream.
    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq.get()
    }

    /// When it was recorded, in nanoseconds since 1970.
    #[getter]
    fn recorded_at(&self) -> i64 {
        self.0.recorded_at.get()
    }

    fn __repr__(&self) -> String {
        format!("Position(stream={}, seq={})", self.stream(), self.seq())
    }
}

/// A store that is open in this process.
#[pyclass(frozen, module = "ostracon._native")]
pub(crate) struct Store {
    store: Arc<ostracon::Store>,
    runtime: OnceLock<Runtime>,
}

fn kind(name: &str) -> PyResult<Kind> {
    let found = Kind::ALL.into_iter().find(|kind| [kind.table(), kind.tag()].contains(&name));
    found.ok_or_else(|| {
        misuse(format!("there is no kind {name:?}; there are events, audits and dead_letters"))
    })
}

fn fact(line: &str) -> PyResult<Fact<'_>> {
    Fact::from_line(line).map_err(raise)
}

#[pymethods]
impl Store {
    /// Opens a store: to "write", to "read", or to "maintain".
    #[new]
    fn new(py: Python<'_>, path: PathBuf, mode: &str, settings: &Settings) -> PyResult<Self> {
        let builder = settings.builder();
        let builder = match mode {
            "write" => builder,
            "read" => builder.read_only(true),
            "maintain" => builder.maintenance(),
            other => {
                return Err(misuse(format!("a store is opened to write, read or maintain, not {other:?}")));
            }
        };
        let store = py.detach(|| builder.open(path)).map_err(raise)?;
        Ok(Self { store: Arc::new(store), runtime: OnceLock::new() })
    }

    /// Whether a fact that was appended has to be waited for, to be as safe as the durability says.
    #[getter]
    fn is_synced(&self) -> bool {
        self.store.durability() == Durability::Synced
    }

    /// Records a fact, given as its JSON line, and returns its place.
    fn record(&self, py: Python<'_>, line: &str) -> PyResult<Position> {
        let fact = fact(line)?;
        py.detach(|| self.store.record(fact)).map(Position).map_err(raise)
    }

    /// Records a fact without waiting for room or a sync.
    fn append(&self, py: Python<'_>, line: &str) -> PyResult<Position> {
        let fact = fact(line)?;
        py.detach(|| self.store.append(fact)).map(Position).map_err(raise)
    }

    /// Returns when a fact that was appended is as safe as the durability says.
    fn wait(&self, py: Python<'_>, position: &Position) -> PyResult<()> {
        py.detach(|| self.store.wait(position.0)).map_err(raise)
    }

    /// The newest facts of a kind, as their JSON lines.
    #[pyo3(signature = (kind_, limit=None, since=None))]
    fn list(
        &self,
        py: Python<'_>,
        kind_: &str,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> PyResult<Vec<String>> {
        let kind = kind(kind_)?;
        py.detach(|| {
            let found = self.store.list(kind, limit, since)?;
            Ok(found.into_iter().map(|found| found.fact.to_line()).collect())
        })
        .map_err(raise)
    }

    /// The same of what can be read, how many facts are in segments that cannot, and what is wrong with these.
    fn list_readable(
        &self,
        py: Python<'_>,
        kind_: &str,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> PyResult<(Vec<String>, u64, Vec<String>)> {
        let kind = kind(kind_)?;
        py.detach(|| {
            let listed = self.store.list_readable(kind, limit, since)?;
            let lines = listed.facts.into_iter().map(|found| found.fact.to_line()).collect();
            let damage = listed.damage.iter().map(ToString::to_string).collect();
            Ok((lines, listed.passed_over, damage))
        })
        .map_err(raise)
    }

    /// Every fact behind a cursor, in the store's order.
    fn after(&self, py: Python<'_>, cursor: &str) -> PyResult<Facts> {
        let cursor: Cursor = cursor.parse().map_err(raise)?;
        let after = py.detach(|| self.store.after(&cursor)).map_err(raise)?;
        Ok(Facts::new(after, cursor))
    }

    /// The consumer group of this name for facts of a kind, whether or not it is there.
    fn consumer_group(&self, kind_: &str, name: String) -> PyResult<ConsumerGroup> {
        Ok(ConsumerGroup::new(Arc::clone(&self.store), kind(kind_)?, name))
    }

    /// The kind and the name of every consumer group.
    fn consumer_groups(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, String)>> {
        let groups = py.detach(|| {
            let groups = self.store.consumer_groups()?;
            Ok(groups.into_iter().map(|group| (group.kind().table(), group.name().to_owned())).collect())
        });
        groups.map_err(raise)
    }

    /// Answers SQL.
    #[pyo3(signature = (sql, params=None, *, timeout=None, since=None, until=None, as_of=None))]
    #[expect(clippy::too_many_arguments, reason = "all of them have names in Python")]
    fn sql(
        &self,
        py: Python<'_>,
        sql: &str,
        params: Option<&Bound<'_, PyDict>>,
        timeout: Option<f64>,
        since: Option<i64>,
        until: Option<i64>,
        as_of: Option<i64>,
    ) -> PyResult<Answer> {
        let mut options = options(timeout, since, until, as_of)?;
        for (name, value) in params.into_iter().flat_map(PyDictMethods::iter) {
            options = param(options, &name.extract::<String>()?, &value)?;
        }
        let store = Arc::clone(&self.store);
        let sql = sql.to_owned();
        self.answer(py, async move { store.sql_with(&sql, options).await })
    }

    /// Answers a saved query.
    #[pyo3(signature = (name, set, *, timeout=None, since=None, until=None, as_of=None))]
    #[expect(clippy::too_many_arguments, reason = "all of them have names in Python")]
    fn query(
        &self,
        py: Python<'_>,
        name: &str,
        set: Vec<(String, String)>,
        timeout: Option<f64>,
        since: Option<i64>,
        until: Option<i64>,
        as_of: Option<i64>,
    ) -> PyResult<Answer> {
        let options = options(timeout, since, until, as_of)?;
        let store = Arc::clone(&self.store);
        let name = name.to_owned();
        self.answer(py, async move { store.saved_query(&name, &set, options).await })
    }

    /// Puts everything recorded so far into segments.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.store.flush()).map_err(raise)
    }

    /// Flushes, and takes no more facts.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.store.close()).map_err(raise)
    }

    /// Never lets go of the store, and so never closes it: what a child has to do with its
    /// parent's, whose threads it has not.
    fn forget(slf: Py<Self>) {
        std::mem::forget(slf);
    }

    /// The counters.
    fn metrics(&self) -> Vec<(&'static str, u64)> {
        self.store.metrics().counters().into_iter().map(|(name, _, value)| (name, value)).collect()
    }

    /// Sets the counters to zero.
    fn reset_metrics(&self) {
        self.store.reset_metrics();
    }

    /// Merges segments and drops what retention does not keep. The report is JSON.
    #[pyo3(signature = (*, dry_run=false, kind_=None, target_bytes=None, insist=false))]
    fn compact(
        &self,
        py: Python<'_>,
        dry_run: bool,
        kind_: Option<&str>,
        target_bytes: Option<u64>,
        insist: bool,
    ) -> PyResult<String> {
        let cancel = Arc::new(AtomicBool::new(false));
        let kind = kind_.map(kind).transpose()?;
        let (store, asked_to_stop) = (Arc::clone(&self.store), Arc::clone(&cancel));
        let report = interruptible(py, &cancel, move || {
            let mut options = CompactOptions::new().dry_run(dry_run).insist(insist).cancel(asked_to_stop);
            if let Some(kind) = kind {
                options = options.kind(kind);
            }
            if let Some(bytes) = target_bytes {
                options = options.target_bytes(bytes);
            }
            store.compact(options)
        })?
        .map_err(raise)?;
        json(&report)
    }

    /// Looks whether the store is whole. The report is JSON.
    #[pyo3(signature = (*, deep=false))]
    fn scan(&self, py: Python<'_>, deep: bool) -> PyResult<String> {
        Ok(scan_json(&py.detach(|| self.store.scan(depth(deep))).map_err(raise)?)?.to_string())
    }

    /// Makes the store whole. The report is JSON.
    #[pyo3(signature = (mode, quarantine_dir=None))]
    fn recover(&self, py: Python<'_>, mode: &str, quarantine_dir: Option<PathBuf>) -> PyResult<String> {
        let config = recovery(mode, quarantine_dir)?;
        recovery_json(&py.detach(|| self.store.recover(config)).map_err(raise)?)
    }

    /// Imports what Papyra's Redis backend has there. Facts, lines that are none, and these with why.
    #[pyo3(signature = (url, prefix, system=None, *, epoch=None))]
    fn import_redis(
        &self,
        py: Python<'_>,
        url: &str,
        prefix: &str,
        system: Option<&str>,
        epoch: Option<i64>,
    ) -> PyResult<Imported> {
        let mut streams = RedisStreams::at(url).prefix(prefix);
        if let Some(system) = system {
            streams = streams.system(system);
        }
        py.detach(|| {
            let mut reasons = Vec::new();
            let mut import = Import::named("redis").on_reject(|reject| {
                if reasons.len() < REASONS {
                    reasons.push((reject.line, reject.reason.to_owned()));
                }
            });
            if let Some(epoch) = epoch {
                import = import.epoch(UnixNanos::new(epoch));
            }
            let report = self.store.import_redis(&streams, import).map_err(raise)?;
            Ok((report.total(), report.rejected, report.resumed_after, reasons))
        })
    }

    /// Imports a file of JSON lines: facts, rejected lines, lines passed over as imported before,
    /// and the first reasons for a rejection with their lines.
    #[pyo3(signature = (path, *, epoch=None, again=false))]
    fn import_file(
        &self,
        py: Python<'_>,
        path: PathBuf,
        epoch: Option<i64>,
        again: bool,
    ) -> PyResult<Imported> {
        let mut reasons = Vec::new();
        let report = py.detach(|| {
            let name = path.display().to_string();
            let file = std::fs::File::open(path)?;
            let mut import = Import::named(name).again(again).on_reject(|reject| {
                if reasons.len() < REASONS {
                    reasons.push((reject.line, reject.reason.to_owned()));
                }
            });
            if let Some(epoch) = epoch {
                import = import.epoch(UnixNanos::new(epoch));
            }
            self.store.import(file, import).map_err(raise)
        })?;
        Ok((report.total(), report.rejected, report.resumed_after, reasons))
    }
}

/// Facts, rejected lines, lines passed over, and reasons with their lines.
type Imported = (u64, u64, u64, Vec<(u64, String)>);

impl Store {
    fn runtime(&self) -> PyResult<&Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let made = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(self.runtime.get_or_init(|| made))
    }

    /// Collects what a question answers. Ctrl-C stops it.
    fn answer(
        &self,
        py: Python<'_>,
        frame: impl Future<Output = ostracon::Result<datafusion::dataframe::DataFrame>> + Send,
    ) -> PyResult<Answer> {
        let runtime = self.runtime()?;
        let mut asked = Box::pin(async move {
            let frame = frame.await?;
            let schema = Arc::clone(frame.schema().inner());
            let batches = frame.collect().await.map_err(ostracon::query_error)?;
            Ok(Answer::new(schema, batches))
        });
        loop {
            let answered =
                py.detach(|| runtime.block_on(async { tokio::time::timeout(SIGNALS, &mut asked).await }));
            match answered {
                Ok(answer) => return answer.map_err(raise),
                Err(_) => py.check_signals()?,
            }
        }
    }
}

/// Runs it in a thread of its own, which Ctrl-C asks to stop.
fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    cancel: &AtomicBool,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let thread = std::thread::spawn(work);
    let mut interrupted = Ok(());
    while !thread.is_finished() {
        py.detach(|| std::thread::sleep(Duration::from_millis(5)));
        if let Err(signal) = py.check_signals() {
            cancel.store(true, Ordering::Relaxed);
            interrupted = Err(signal);
        }
    }
    let done = py.detach(|| thread.join());
    interrupted?;
    done.map_err(|_| misuse("it failed within"))
}
