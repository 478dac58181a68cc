//! The root of every plan: it stops the query at its deadline, turns panics into errors, and pins the
//! snapshot.
//!
//! The [`workers`](super::workers) compute the plan below the root, and the root waits for them. When the
//! caller no longer waits for the root, the root makes everything below it [`stop`](super::stop).

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::decode_panics::SegmentDigests;
use super::failure;
use super::single_input::single_input;
use super::stop::{Stop, Wanted, stoppable};
use crate::error::{Error, ErrorKind};
use crate::snapshot::Snapshot;
use crate::system_failures;

/// The rule that adds a [`DeadlineExec`] as the root of a plan.
pub(super) struct Deadline {
    timeout: Option<Duration>,
    snapshot: Arc<Snapshot>,
    segments: Arc<SegmentDigests>,
}

impl Deadline {
    pub(super) fn new(timeout: Option<Duration>, root: &Path, snapshot: Arc<Snapshot>) -> Self {
        let segments = Arc::new(SegmentDigests::new(root.to_owned(), Arc::clone(&snapshot)));
        Self { timeout, snapshot, segments }
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl PhysicalOptimizerRule for Deadline {
    fn name(&self) -> &'static str {
        "deadline"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let stop = Arc::new(Stop::new(Arc::clone(&self.segments)));
        let plan = stoppable(plan, &stop)?;
        // The caller drops a single stream to stop the query.
        let input = match plan.output_partitioning().partition_count() {
            1 => plan,
            _ => Arc::new(CoalescePartitionsExec::new(plan)),
        };
        Ok(Arc::new(DeadlineExec {
            input,
            timeout: self.timeout,
            stop,
            snapshot: Arc::clone(&self.snapshot),
        }))
    }
}

/// Returns the rows of its input until the deadline. It keeps the snapshot pinned until it is dropped.
struct DeadlineExec {
    input: Arc<dyn ExecutionPlan>,
    timeout: Option<Duration>,
    stop: Arc<Stop>,
    snapshot: Arc<Snapshot>,
}

impl fmt::Debug for DeadlineExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineExec").field("input", &self.input).finish_non_exhaustive()
    }
}

/// Returns the input of a [`DeadlineExec`]; `None` for other nodes.
pub(super) fn watched(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    plan.downcast_ref::<DeadlineExec>().map(|watch| &watch.input)
}

impl DeadlineExec {
    fn with_input(node: &Self, input: Arc<dyn ExecutionPlan>) -> Self {
        let (stop, snapshot) = (Arc::clone(&node.stop), Arc::clone(&node.snapshot));
        Self { input, timeout: node.timeout, stop, snapshot }
    }
}

impl DisplayAs for DeadlineExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeout {
            Some(timeout) => write!(f, "DeadlineExec: timeout={timeout:?}"),
            None => write!(f, "DeadlineExec"),
        }
    }
}

impl ExecutionPlan for DeadlineExec {
    fn name(&self) -> &'static str {
        "DeadlineExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    single_input!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (input, snapshot) = (Arc::clone(&self.input), Arc::clone(&self.snapshot));
        let part = self.stop.part();
        let compute = move |send: Sender<Result<RecordBatch>>| async move {
            let (_pinned, _part) = (snapshot, part);
            let mut batches = match input.execute(partition, context) {
                Ok(batches) => batches,
                Err(error) => return drop(send.send(Err(error)).await),
            };
            loop {
                let next = AssertUnwindSafe(batches.next()).catch_unwind().await;
                let Some(batch) = next.unwrap_or_else(|panic| Some(Err(panicked(panic.as_ref())))) else {
                    return;
                };
                // An error ends the stream, because a stream that panicked must not be polled again.
                let over = batch.is_err();
                if send.send(batch).await.is_err() || over {
                    return;
                }
            }
        };
        let (stop, snapshot) = (Arc::clone(&self.stop), Arc::clone(&self.snapshot));
        let state = Watched::Asleep { compute, timeout: self.timeout, stop, snapshot };
        let batches = futures::stream::unfold(state, |state| async move {
            let mut state = match state.wake() {
                Ok(state) => state,
                Err(error) => return Some((Err(error), Watched::Over)),
            };
            let batch = state.next().await?;
            let state = if batch.is_err() { Watched::Over } else { state };
            Some((batch, state))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// A query, before and after its first row is requested.
enum Watched<C> {
    Asleep { compute: C, timeout: Option<Duration>, stop: Arc<Stop>, snapshot: Arc<Snapshot> },
    Awake(Computing),
    Over,
}

struct Computing {
    batches: Receiver<Result<RecordBatch>>,
    deadline: Option<(Instant, Duration)>,
    task: JoinHandle<()>,
    wanted: Option<Wanted>,
    _pinned: Arc<Snapshot>,
}

impl Computing {
    /// Stops the computation, and waits a moment until it has closed its files.
    async fn stop(&mut self) {
        self.wanted = None;
        self.task.abort();
        let _ = tokio::time::timeout(Duration::from_millis(200), &mut self.task).await;
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<C, F> Watched<C>
where
    C: FnOnce(Sender<Result<RecordBatch>>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    /// Starts the computation, and the clock, when the first row is requested.
    fn wake(self) -> Result<Self> {
        let Self::Asleep { compute, timeout, stop, snapshot } = self else { return Ok(self) };
        let (send, batches) = mpsc::channel(1);
        let (wanted, threads) = (stop.begin(timeout), stop.workers()?);
        // A deadline that does not fit the clock counts as none.
        let deadline = timeout.and_then(|timeout| Some((Instant::now().checked_add(timeout)?, timeout)));
        let task = threads.spawn(compute(send));
        Ok(Self::Awake(Computing { batches, deadline, task, wanted: Some(wanted), _pinned: snapshot }))
    }

    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        let Self::Awake(computing) = self else { return None };
        let Some((deadline, timeout)) = computing.deadline else { return computing.batches.recv().await };
        // A batch that is ready is returned even if the timer is ready, too.
        if Instant::now() < deadline
            && let Ok(next) = tokio::time::timeout_at(deadline, computing.batches.recv()).await
        {
            return next;
        }
        computing.stop().await;
        Some(Err(late(timeout)))
    }
}

/// Returns the error for a query that has reached its timeout.
pub(super) fn late(timeout: Duration) -> DataFusionError {
    let message = format!(
        "the query was stopped after {timeout:?}, its timeout; ask for less, or set a longer timeout"
    );
    DataFusionError::External(Box::new(Error::new(ErrorKind::TimedOut, message)))
}

/// Turns a panic into an error.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> DataFusionError {
    if let Some(refused) = system_failures::named_in_panic(panic) {
        let hint = system_failures::advice(&refused, Path::new(""));
        let error = Error::with_source(ErrorKind::Io, "failed to answer the query", refused).hinting(hint);
        return DataFusionError::External(Box::new(error));
    }
    let why = system_failures::panic_text(panic).unwrap_or("no reason given");
    DataFusionError::External(Box::new(failure::panicked(why)))
}
