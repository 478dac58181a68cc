//! A statement that is being computed: in the background, so that it can be watched and stopped.
//!
//! The query runs as a task of the runtime, and its rows come through a channel of little room. Ctrl-C
//! is waited for on this side, on a thread that is never busy; the task is then dropped, and with it
//! the plan, the snapshot and the files that it held.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{QueryOptions, Store};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::interrupt::Interrupt;

/// What is kept of the last answer, to draw it.
const MOST_KEPT_ROWS: usize = 100_000;
const MOST_KEPT_BYTES: usize = 64 << 20;

/// Somebody pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub(super) struct Stopped;

/// The runtimes, and who may stop what runs on them.
#[derive(Clone)]
pub(super) struct Runner {
    /// Where queries run.
    pub(super) back: Arc<tokio::runtime::Runtime>,
    /// Where this thread waits for them.
    front: Arc<tokio::runtime::Runtime>,
    pub(super) interrupt: Interrupt,
}

impl Runner {
    pub(super) fn new(interrupt: Interrupt) -> anyhow::Result<Self> {
        let front = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(Self { back: Arc::new(super::super::runtime()?), front: Arc::new(front), interrupt })
    }

    /// Waits for it, unless Ctrl-C comes first.
    pub(super) fn wait<T>(&self, done: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let mut interrupt = self.interrupt.clone();
        self.front.block_on(async {
            tokio::select! {
                biased;
                () = interrupt.wait() => Err(Stopped.into()),
                done = done => done,
            }
        })
    }

    /// Waits so long, unless Ctrl-C comes first.
    pub(super) fn sleep(&self, time: std::time::Duration) -> anyhow::Result<()> {
        self.wait(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
    }

    /// Plans and begins a query.
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
            let begun = async {
                let frame = store.sql_with(&sql, options).await?;
                let context = Arc::new(frame.task_ctx());
                let plan = frame.create_physical_plan().await.map_err(crate::query_error)?;
                let stream = execute_stream(Arc::clone(&plan), context).map_err(crate::query_error)?;
                Ok::<_, crate::Error>((plan, stream))
            };
            match begun.await {
                Err(error) => drop(planned.send(Err(error))),
                Ok((plan, mut stream)) => {
                    if planned.send(Ok(plan)).is_err() {
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
        let task = Task(task);
        let plan = self.wait(async {
            let planned = plan.await.map_err(|_| anyhow::anyhow!("the query ended while it was planned"))?;
            Ok(planned?)
        })?;
        Ok(Running { plan, rows, task })
    }

    /// All rows of a short answer.
    pub(super) fn collect(
        &self,
        store: &Arc<Store>,
        sql: &str,
        options: QueryOptions,
    ) -> anyhow::Result<(SchemaRef, Vec<RecordBatch>)> {
        let running = self.begin(store, sql.to_owned(), options)?;
        let schema = running.plan.schema();
        let mut stream = running.stream(None);
        let batches = self.wait(async {
            let mut batches = Vec::new();
            while let Some(batch) = stream.next().await {
                batches.push(batch.map_err(crate::query_error)?);
            }
            Ok(batches)
        })?;
        Ok((schema, batches))
    }
}

/// Stops with its value.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A query that runs.
pub(super) struct Running {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    rows: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    task: Task,
}

impl Running {
    /// Its rows, of which the first are kept there.
    pub(super) fn stream(self, keep: Option<Kept>) -> SendableRecordBatchStream {
        let schema = self.plan.schema();
        let rows = futures::stream::unfold((self.rows, self.task, keep), |(mut rows, task, keep)| async {
            let batch = rows.recv().await?;
            if let (Ok(batch), Some(keep)) = (&batch, &keep) {
                keep.add(batch);
            }
            Some((batch, (rows, task, keep)))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }
}

/// The first rows of the last answer.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<First>>);

#[derive(Default)]
struct First {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// There were more.
    is_cut: bool,
}

impl Kept {
    fn add(&self, batch: &RecordBatch) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = first.bytes.saturating_add(batch.get_array_memory_size());
        let rows = batch.num_rows().min(MOST_KEPT_ROWS - first.rows);
        first.is_cut |= rows < batch.num_rows() || bytes > MOST_KEPT_BYTES;
        if bytes <= MOST_KEPT_BYTES {
            first.rows += rows;
            first.bytes = bytes;
            first.batches.push(batch.slice(0, rows));
        }
    }

    /// What is kept, and whether there was more.
    pub(super) fn rows(&self) -> (Vec<RecordBatch>, bool) {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (first.batches.clone(), first.is_cut)
    }
}
