//! The root of every plan: the deadline, the net below damaged bytes, and the snapshot's life.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::snapshot::Snapshot;

/// The rule that puts a [`WatchExec`] on top.
pub(super) struct Watch {
    timeout: Option<Duration>,
    snapshot: Arc<Snapshot>,
}

impl Watch {
    pub(super) const fn new(timeout: Option<Duration>, snapshot: Arc<Snapshot>) -> Self {
        Self { timeout, snapshot }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl PhysicalOptimizerRule for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(WatchExec { input: plan, timeout: self.timeout, snapshot: Arc::clone(&self.snapshot) }))
    }
}

/// The rule that lets the clock be looked at while a join turns few rows into many.
///
/// A task is stopped only where it waits, and scans see to it that it does now and then. Between
/// two batches of a scan a join may give millions of its own; so it waits for itself, too.
#[derive(Debug)]
pub(super) struct Breathe;

impl PhysicalOptimizerRule for Breathe {
    fn name(&self) -> &'static str {
        "breathe"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|plan| {
            let multiplies = plan.is::<CrossJoinExec>()
                || plan.is::<NestedLoopJoinExec>()
                || plan.is::<HashJoinExec>()
                || plan.is::<SortMergeJoinExec>()
                || plan.is::<PiecewiseMergeJoinExec>()
                || plan.is::<UnnestExec>();
            Ok(if multiplies {
                Transformed::yes(Arc::new(CooperativeExec::new(plan)) as _)
            } else {
                Transformed::no(plan)
            })
        })?;
        Ok(plan.data)
    }
}

/// Passes its input on until the deadline, and keeps the snapshot pinned until it is dropped.
struct WatchExec {
    input: Arc<dyn ExecutionPlan>,
    timeout: Option<Duration>,
    snapshot: Arc<Snapshot>,
}

impl fmt::Debug for WatchExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchExec").field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for WatchExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeout {
            Some(timeout) => write!(f, "WatchExec: timeout={timeout:?}"),
            None => write!(f, "WatchExec"),
        }
    }
}

impl ExecutionPlan for WatchExec {
    fn name(&self) -> &'static str {
        "WatchExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, timeout: self.timeout, snapshot: Arc::clone(&self.snapshot) }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let schema = input.schema();
        let state =
            Watched { input, timeout: self.timeout, deadline: None, _snapshot: Arc::clone(&self.snapshot) };
        let batches = futures::stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            match state.next().await {
                Some(Ok(batch)) => Some((Ok(batch), Some(state))),
                // After an error the stream is over: a stream that panicked is not asked again.
                Some(Err(error)) => Some((Err(error), None)),
                None => None,
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

struct Watched {
    input: SendableRecordBatchStream,
    timeout: Option<Duration>,
    deadline: Option<(Instant, Duration)>,
    _snapshot: Arc<Snapshot>,
}

impl Watched {
    async fn next(&mut self) -> Option<Result<arrow::array::RecordBatch>> {
        let next = AssertUnwindSafe(self.input.next()).catch_unwind();
        // It counts from the first row that is asked for; one beyond all time is none.
        let begin = |timeout| Instant::now().checked_add(timeout).map(|deadline| (deadline, timeout));
        self.deadline = self.deadline.or_else(|| self.timeout.take().and_then(begin));
        let next = match self.deadline {
            None => next.await,
            Some((deadline, timeout)) => {
                // A batch that is ready wins against any timer.
                if Instant::now() >= deadline {
                    return Some(Err(late(timeout)));
                }
                match tokio::time::timeout_at(deadline, next).await {
                    Ok(next) => next,
                    Err(_) => return Some(Err(late(timeout))),
                }
            }
        };
        next.unwrap_or_else(|panic| Some(Err(panicked(panic.as_ref()))))
    }
}

pub(super) fn late(timeout: Duration) -> DataFusionError {
    let message =
        format!("the query was stopped after {timeout:?}, its timeout; ask for less, or give it more time");
    DataFusionError::External(Box::new(Error::new(ErrorKind::TimedOut, message)))
}

fn panicked(panic: &(dyn Any + Send)) -> DataFusionError {
    let why = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given");
    let message = format!(
        "a query failed within; most likely a segment is damaged, and `ostracon scan` will tell: {why}"
    );
    DataFusionError::External(Box::new(Error::new(ErrorKind::Damaged, message)))
}
