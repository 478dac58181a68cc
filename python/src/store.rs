//! An open store.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ostracon::{
    CompactOptions, Cursor, Durability, Fact, FactId, Import, Kind, QueryOptions, RedisStreams, ScanOptions,
    UnixNanos,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::answer::{self, Answer, Stream};
use crate::consumers::ConsumerGroup;
use crate::error::{misuse, raise};
use crate::facts::{Facts, Listed};
use crate::guard::{Stopped, caught, detached, interruptible, stoppable};
use crate::log;
use crate::maintain::{backup_options, depth, json, recovery, recovery_json, scan_json};
use crate::parameters;
use crate::questions::options;
use crate::runtime::Queries;
use crate::settings::Settings;

/// The largest number of reasons for rejected lines that are kept.
const REASONS: usize = 100;

/// The position of a fact in its store.
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

    /// The number of the fact in its stream.
    #[getter]
    fn seq(&self) -> u64 {
        self.0.seq.get()
    }

    /// Makes a position from its parts.
    #[staticmethod]
    fn of(stream: u32, seq: u64, recorded_at: i64) -> PyResult<Self> {
        let id: FactId = format!("{stream}:{seq}").parse().map_err(raise)?;
        Ok(Self(ostracon::Position::new(id, UnixNanos::new(recorded_at))))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (u32, u64, i64))> {
        let of = py.get_type::<Self>().getattr("of")?;
        Ok((of, (self.stream(), self.seq(), self.recorded_at())))
    }

    /// The time when the fact was recorded, in nanoseconds since 1970.
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
    queries: Queries,
}

impl Drop for Store {
    /// Closes the store. It waits without the interpreter's lock.
    fn drop(&mut self) {
        if Arc::strong_count(&self.store) == 1 {
            Python::try_attach(|py| py.detach(|| self.store.close().map_err(|_| ())));
        }
    }
}

fn kind(name: &str) -> PyResult<Kind> {
    let found = Kind::ALL.into_iter().find(|kind| [kind.table(), kind.tag()].contains(&name));
    found.ok_or_else(|| {
        misuse(format!("there is no kind {name:?}; the kinds are events, audits and dead_letters"))
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
            "read" => builder.access(ostracon::Access::Read),
            "maintain" => builder.access(ostracon::Access::Maintain),
            other => {
                return Err(misuse(format!("the mode must be write, read or maintain, and not {other:?}")));
            }
        };
        log::listen();
        // If Ctrl-C ends the wait, the store is closed as soon as it is open.
        let store = interruptible(py, &Stopped::GoesOn, move || builder.open(path))?;
        Ok(Self { store: Arc::new(store), queries: Queries::default() })
    }

    /// Whether `append` must be followed by `wait` to reach the store's durability.
    #[getter]
    fn is_synced(&self) -> bool {
        self.store.durability() == Durability::Synced
    }

    /// Records a fact from its JSON line, and returns its position.
    fn record(&self, py: Python<'_>, line: &str) -> PyResult<Position> {
        let fact = fact(line)?;
        detached(py, || self.store.record(fact)).map(Position)
    }

    /// Records a fact without waiting for room or a sync.
    fn append(&self, py: Python<'_>, line: &str) -> PyResult<Position> {
        let fact = fact(line)?;
        detached(py, || self.store.append(fact)).map(Position)
    }

    /// Records a fact. It waits for room in the buffer for `1 / parts` of the time that the settings allow.
    fn append_within(&self, py: Python<'_>, line: &str, parts: u32) -> PyResult<Position> {
        let fact = fact(line)?;
        let most = self.store.max_wait() / parts.max(1);
        detached(py, || self.store.append_within(fact, most)).map(Position)
    }

    /// Waits until an appended fact is as safe as the store's durability promises.
    fn wait(&self, py: Python<'_>, position: &Position) -> PyResult<()> {
        detached(py, || self.store.wait(position.0))
    }

    /// Returns the newest facts of a kind.
    #[pyo3(signature = (kind_, limit=None, since=None))]
    fn list(
        &self,
        py: Python<'_>,
        kind_: &str,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> PyResult<Listed> {
        let (kind, store) = (kind(kind_)?, Arc::clone(&self.store));
        stoppable(py, move |stop| store.list_unless(&stop, kind, limit, since)).map(Listed::new)
    }

    /// Returns the newest facts that can be read, the number of facts in segments that cannot be read, and
    /// the damage in those segments.
    fn list_readable(
        &self,
        py: Python<'_>,
        kind_: &str,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> PyResult<(Listed, u64, Vec<String>)> {
        let (kind, store) = (kind(kind_)?, Arc::clone(&self.store));
        let listed = stoppable(py, move |stop| store.list_readable_unless(&stop, kind, limit, since))?;
        let damage = listed.damage.iter().map(ToString::to_string).collect();
        Ok((Listed::new(listed.facts), listed.passed_over, damage))
    }

    /// Returns every fact after a cursor, in the store's order.
    fn after(&self, py: Python<'_>, cursor: &str) -> PyResult<Facts> {
        let mut cursor: Cursor = cursor.parse().map_err(raise)?;
        let after = detached(py, || self.store.after(&cursor))?;
        after.sign(&mut cursor);
        Ok(Facts::new(after, cursor))
    }

    /// Returns the consumer group with this name for facts of a kind. The group may not exist yet.
    fn consumer_group(&self, kind_: &str, name: String) -> PyResult<ConsumerGroup> {
        Ok(ConsumerGroup::new(Arc::clone(&self.store), kind(kind_)?, name))
    }

    /// Returns the kind and the name of every consumer group.
    fn consumer_groups(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, String)>> {
        detached(py, || {
            let groups = self.store.consumer_groups()?;
            Ok(groups.into_iter().map(|group| (group.kind().table(), group.name().to_owned())).collect())
        })
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
        let options = with_params(options(timeout, since, until, as_of)?, params)?;
        let (store, sql) = (Arc::clone(&self.store), sql.to_owned());
        answer::collect(&self.queries, py, async move { store.sql_with(&sql, options).await })
    }

    /// Answers SQL. The rows are computed while they are read.
    #[pyo3(signature = (sql, params=None, *, timeout=None, since=None, until=None, as_of=None))]
    #[expect(clippy::too_many_arguments, reason = "all of them have names in Python")]
    fn stream(
        &self,
        py: Python<'_>,
        sql: &str,
        params: Option<&Bound<'_, PyDict>>,
        timeout: Option<f64>,
        since: Option<i64>,
        until: Option<i64>,
        as_of: Option<i64>,
    ) -> PyResult<Stream> {
        let options = with_params(options(timeout, since, until, as_of)?, params)?;
        let (store, sql) = (Arc::clone(&self.store), sql.to_owned());
        answer::stream(&self.queries, py, async move { store.sql_with(&sql, options).await })
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
        answer::collect(&self.queries, py, async move { store.saved_query(&name, &set, options).await })
    }

    /// Writes all facts recorded so far into segments.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let store = Arc::clone(&self.store);
        interruptible(py, &Stopped::GoesOn, move || store.flush())
    }

    /// Flushes the store, and closes it for recording.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let store = Arc::clone(&self.store);
        interruptible(py, &Stopped::GoesOn, move || store.close())
    }

    /// Leaks the store, so that it is never closed. A forked child does this with its parent's store, because
    /// the child does not have the parent's threads.
    fn forget(slf: Py<Self>) {
        std::mem::forget(slf);
    }

    /// Returns the counters.
    fn metrics(&self) -> Vec<(&'static str, u64)> {
        self.store.metrics().counters().into_iter().map(|(name, _, value)| (name, value)).collect()
    }

    /// Sets the counters to zero.
    fn reset_metrics(&self) {
        self.store.reset_metrics();
    }

    /// Merges segments, and drops facts that retention does not keep. Returns the report as JSON.
    #[pyo3(signature = (*, dry_run=false, kind_=None, target_bytes=None, insist=false))]
    fn compact(
        &self,
        py: Python<'_>,
        dry_run: bool,
        kind_: Option<&str>,
        target_bytes: Option<u64>,
        insist: bool,
    ) -> PyResult<String> {
        let kind = kind_.map(kind).transpose()?;
        let store = Arc::clone(&self.store);
        let report = stoppable(py, move |stop| {
            let mut options = CompactOptions::new().dry_run(dry_run).insist(insist).cancel(stop);
            if let Some(kind) = kind {
                options = options.kind(kind);
            }
            if let Some(bytes) = target_bytes {
                options = options.target_bytes(bytes);
            }
            store.compact(options)
        })?;
        json(&report)
    }

    /// Checks the store for damage. Returns the report as JSON.
    #[pyo3(signature = (*, deep=false))]
    fn scan(&self, py: Python<'_>, deep: bool) -> PyResult<String> {
        let store = Arc::clone(&self.store);
        let report = stoppable(py, move |stop| store.scan(ScanOptions::new(depth(deep)).cancel(stop)))?;
        Ok(scan_json(&report)?.to_string())
    }

    /// Makes a backup: a second store with the same facts. Recording continues. Returns the report as JSON.
    #[pyo3(signature = (target, *, incremental=false, at_commit=None, copy=false, verify=false))]
    fn backup(
        &self,
        py: Python<'_>,
        target: PathBuf,
        incremental: bool,
        at_commit: Option<u64>,
        copy: bool,
        verify: bool,
    ) -> PyResult<String> {
        let options = backup_options(incremental, at_commit, copy, verify);
        let store = Arc::clone(&self.store);
        json(&interruptible(py, &Stopped::GoesOn, move || store.backup(target, options))?)
    }

    /// Recovers the store. Returns the report as JSON.
    #[pyo3(signature = (mode, quarantine_dir=None))]
    fn recover(&self, py: Python<'_>, mode: &str, quarantine_dir: Option<PathBuf>) -> PyResult<String> {
        let config = recovery(mode, quarantine_dir, self.store.path())?;
        let store = Arc::clone(&self.store);
        recovery_json(&interruptible(py, &Stopped::GoesOn, move || store.recover(config))?)
    }

    /// Imports the facts of Papyra's Redis backend. Returns the number of facts, the number of rejected
    /// lines, the number of skipped lines, and the first reasons for rejections.
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
        let store = Arc::clone(&self.store);
        interruptible(py, &Stopped::GoesOn, move || {
            imported("redis".to_owned(), epoch, false, |import| store.import_redis(&streams, import))
        })
    }

    /// Imports a file of JSON lines. Returns the number of facts, the number of rejected lines, the number of
    /// lines that were skipped because they were imported before, and the first reasons for rejections with
    /// their line numbers.
    #[pyo3(signature = (path, *, epoch=None, again=false))]
    fn import_file(
        &self,
        py: Python<'_>,
        path: PathBuf,
        epoch: Option<i64>,
        again: bool,
    ) -> PyResult<Imported> {
        let store = Arc::clone(&self.store);
        let name = path.display().to_string();
        let file = py.detach(|| File::open(path))?;
        stoppable(py, move |stopped| {
            let file = Stoppable { file, stopped };
            imported(name, epoch, again, |import| store.import(file, import))
        })
    }
}

/// The numbers of facts, of rejected lines and of skipped lines, and the reasons for rejections with their
/// line numbers.
type Imported = (u64, u64, u64, Vec<(u64, String)>);

/// Runs an import, and keeps the first reasons for rejections.
fn imported(
    name: String,
    epoch: Option<i64>,
    again: bool,
    run: impl FnOnce(Import<'_>) -> ostracon::Result<ostracon::ImportReport>,
) -> ostracon::Result<Imported> {
    let mut reasons = Vec::new();
    let mut import = Import::named(name).again(again).on_reject(|reject| {
        if reasons.len() < REASONS {
            reasons.push((reject.line, reject.reason.to_owned()));
        }
    });
    if let Some(epoch) = epoch {
        import = import.epoch(UnixNanos::new(epoch));
    }
    let report = run(import)?;
    Ok((report.total(), report.rejected, report.resumed_after, reasons))
}

/// A file whose reads fail after a flag is set.
struct Stoppable {
    file: File,
    stopped: Arc<AtomicBool>,
}

impl Read for Stoppable {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the import was stopped; the facts that were committed stay"));
        }
        self.file.read(into)
    }
}

fn with_params(mut options: QueryOptions, params: Option<&Bound<'_, PyDict>>) -> PyResult<QueryOptions> {
    for (name, value) in params.into_iter().flat_map(PyDictMethods::iter) {
        let name = name.extract::<String>()?;
        let value = caught(|| parameters::value(&name, &value))??;
        options = options.param(name, value);
    }
    Ok(options)
}
