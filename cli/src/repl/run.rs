//! Runs a statement in the background, so that it can be watched and stopped.
//!
//! The query runs as a task of the runtime, and sends its rows through a small channel. This side waits for
//! Ctrl-C, on a thread that is never busy. When Ctrl-C arrives, the task is dropped, with its plan, its
//! snapshot and its open files.

use std::future::Future;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use ostracon::{Monitor, QueryOptions, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::super::answer_batches::Batches;
use super::super::interrupt::Interrupt;
use super::super::output::bytes_of;

/// How much of the last answer is kept, to draw it.
const MOST_KEPT_ROWS: usize = 100_000;
const MOST_KEPT_BYTES: usize = 64 << 20;

/// The user pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub(super) struct Stopped;

/// The runtimes, and the signal that stops their work.
#[derive(Clone)]
pub(super) struct Runner {
    /// The runtime on which queries run.
    pub(super) back: Arc<tokio::runtime::Runtime>,
    /// The runtime on which this thread waits for queries.
    front: Arc<tokio::runtime::Runtime>,
    pub(super) interrupt: Interrupt,
}

impl Runner {
    pub(super) fn new(interrupt: Interrupt) -> anyhow::Result<Self> {
        let front = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(Self { back: Arc::new(super::super::open::runtime()?), front: Arc::new(front), interrupt })
    }

    /// Waits for a future, unless Ctrl-C arrives first.
    pub(super) fn wait<T>(&self, done: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let mut interrupt = self.interrupt.clone();
        let done = self.front.block_on(async {
            tokio::select! {
                biased;
                () = interrupt.wait() => Err(Stopped.into()),
                done = done => done,
            }
        });
        // Work that is stopped while it writes may fail with another error.
        done.map_err(|error| if self.interrupt.is_pressed() { Stopped.into() } else { error })
    }

    /// A writer that fails after Ctrl-C, even if no row has to be waited for.
    pub(super) fn stoppable<W: Write>(&self, to: W) -> Stoppable<W> {
        Stoppable { to, interrupt: self.interrupt.clone() }
    }

    /// Waits for this time, unless Ctrl-C arrives first.
    pub(super) fn sleep(&self, time: std::time::Duration) -> anyhow::Result<()> {
        self.wait(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
    }

    /// Plans a query and starts it.
    pub(super) fn begin(
        &self,
        store: &Arc<Store>,
        sql: String,
        options: QueryOptions,
    ) -> anyhow::Result<Running> {
        let store = Arc::clone(store);
        let (planned, plan) = oneshot::channel();
        let (send, rows) = mpsc::channel(2);
        let task = self.back.spawn(async move {
            let begun = async { store.sql_with(&sql, options).await?.stream().await };
            match begun.await {
                Err(error) => drop(planned.send(Err(error))),
                Ok(mut stream) => {
                    if planned.send(Ok((stream.schema(), stream.monitor()))).is_err() {
                        return;
                    }
                    while let Some(batch) = stream.next().await {
                        if send.send(batch).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        let task = Task(Some(task));
        let (schema, monitor) = self.wait(async {
            let planned = plan.await.map_err(|_| anyhow::anyhow!("the query ended while it was planned"))?;
            Ok(planned?)
        })?;
        Ok(Running { schema, monitor, rows, task, interrupt: self.interrupt.clone() })
    }

    /// Returns all rows of a short answer.
    pub(super) fn collect(
        &self,
        store: &Arc<Store>,
        sql: &str,
        options: QueryOptions,
    ) -> anyhow::Result<(SchemaRef, Vec<RecordBatch>)> {
        let running = self.begin(store, sql.to_owned(), options)?;
        let schema = Arc::clone(&running.schema);
        let mut rows = running.batches(None);
        let batches = self.wait(async {
            let mut batches = Vec::new();
            while let Some(batch) = rows.next().await? {
                batches.push(batch);
            }
            Ok(batches)
        })?;
        Ok((schema, batches))
    }
}

/// See [`Runner::stoppable`].
pub(super) struct Stoppable<W> {
    to: W,
    interrupt: Interrupt,
}

impl<W: Write> Write for Stoppable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.interrupt.is_pressed() {
            return Err(io::Error::other(Stopped));
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A task that is aborted when this is dropped.
struct Task(Option<JoinHandle<()>>);

impl Task {
    /// Waits for the end of the task, and returns its error: a panic must not look like the end of the rows.
    async fn ended(&mut self) -> anyhow::Result<()> {
        match self.0.take() {
            Some(task) => task.await.context("a bug in ostracon stopped the query"),
            None => Ok(()),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// A running query.
pub(super) struct Running {
    schema: SchemaRef,
    pub(super) monitor: Monitor,
    rows: mpsc::Receiver<ostracon::Result<RecordBatch>>,
    task: Task,
    interrupt: Interrupt,
}

impl Running {
    /// The rows of the query. The first rows are also kept in `keep`.
    pub(super) fn batches(self, keep: Option<LastAnswer>) -> Batches {
        let Self { schema, rows, task, interrupt, .. } = self;
        let begun = Some((rows, task, interrupt));
        let rows = futures::stream::unfold((begun, keep), |(running, keep)| async move {
            let (mut rows, mut task, interrupt) = running?;
            // Rows that are always ready would leave no moment in which Ctrl-C is noticed.
            tokio::task::yield_now().await;
            if interrupt.is_pressed() {
                return Some((Err(Stopped.into()), (None, keep)));
            }
            let Some(batch) = rows.recv().await else {
                if let Err(failed) = task.ended().await {
                    return Some((Err(failed), (None, keep)));
                }
                if let Some(keep) = keep {
                    keep.first().has_ended = true;
                }
                return None;
            };
            if let (Ok(batch), Some(keep)) = (&batch, &keep) {
                keep.add(batch);
            }
            Some((batch.map_err(anyhow::Error::from), (Some((rows, task, interrupt)), keep)))
        });
        Batches::new(schema, rows)
    }
}

/// The first rows of the last answer, and its query.
#[derive(Clone, Default)]
pub(super) struct LastAnswer {
    /// The query of this answer: the prompt may hold another statement by now.
    pub(super) sql: String,
    pub(super) options: QueryOptions,
    first: Arc<Mutex<First>>,
}

#[derive(Default)]
struct First {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// Whether there were more rows than are kept.
    is_cut: bool,
    /// Whether all rows arrived: the query was not stopped and did not fail.
    has_ended: bool,
}

impl LastAnswer {
    /// An empty answer to this query.
    pub(super) fn of(sql: &str, options: &QueryOptions) -> Self {
        Self { sql: sql.to_owned(), options: options.clone(), first: Arc::default() }
    }

    fn first(&self) -> MutexGuard<'_, First> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, batch: &RecordBatch) {
        let mut first = self.first();
        first.bytes = first.bytes.saturating_add(bytes_of(batch));
        let room = if first.bytes > MOST_KEPT_BYTES { 0 } else { MOST_KEPT_ROWS - first.rows };
        let rows = if first.is_cut { 0 } else { batch.num_rows().min(room) };
        first.is_cut |= rows < batch.num_rows();
        // A batch without rows is kept if it is the first: it shows the columns.
        if rows > 0 || first.batches.is_empty() {
            first.rows += rows;
            first.batches.push(batch.slice(0, rows));
        }
    }

    /// The rows that are kept, and whether they are the whole answer.
    pub(super) fn rows(&self) -> (Vec<RecordBatch>, bool) {
        let first = self.first();
        (first.batches.clone(), first.has_ended && !first.is_cut)
    }
}
