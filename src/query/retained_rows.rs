//! Applies retention in queries: the selection of a query, and the plan node that applies it.
//!
//! A segment of which all rows are kept is scanned without a check. A segment of which no row is kept is not
//! scanned. [`RetainedExec`] filters the rows of the other segments. It also leaves out rows outside a
//! query's window in time.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use super::single_input::{passes_filters, single_input};
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::fact::{Kind, UnixNanos};
use crate::retention::Selection;
use crate::snapshot::Snapshot;

/// The facts of one snapshot that retention keeps at one instant. They are computed at the first scan of a
/// table.
pub(super) struct Retained {
    context: Arc<Context>,
    snapshot: Arc<Snapshot>,
    now: UnixNanos,
    selection: OnceLock<std::result::Result<Arc<Selection>, (ErrorKind, String)>>,
}

impl Retained {
    pub(super) const fn new(context: Arc<Context>, snapshot: Arc<Snapshot>, now: UnixNanos) -> Self {
        Self { context, snapshot, now, selection: OnceLock::new() }
    }

    /// Returns the context of the store.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn selection(&self) -> Result<Arc<Selection>> {
        let selection = self.selection.get_or_init(|| {
            let selection = self
                .context
                .selection(&self.snapshot, self.now)
                .map_err(|error| self.context.disk.explain(error));
            selection.map(Arc::new).map_err(|error| (error.kind(), error.to_string()))
        });
        selection.clone().map_err(|(kind, why)| failed(Error::new(kind, why)))
    }
}

fn failed(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Returns the rows of a batch that are kept. The batch must have the columns that the selection uses.
pub(super) fn kept(selection: &Selection, kind: Kind, batch: &RecordBatch) -> Result<RecordBatch> {
    let dropped = selection.dropped(kind, batch).map_err(failed)?;
    if dropped.iter().all(Option::is_none) {
        return Ok(batch.clone());
    }
    let kept: BooleanArray = dropped.iter().map(|by| Some(by.is_none())).collect();
    Ok(filter_record_batch(batch, &kept)?)
}

/// A plan node that returns the rows of its input that are kept.
pub(super) struct RetainedExec {
    keep: Keep,
    input: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

/// The condition by which rows are kept.
#[derive(Clone)]
enum Keep {
    ByRules(Kind, Arc<Selection>),
    /// Rows for which this expression is true are kept.
    If(Arc<dyn PhysicalExpr>),
}

impl Keep {
    fn of(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        match self {
            Self::ByRules(kind, selection) => kept(selection, *kind, batch),
            Self::If(condition) => {
                let keep = condition.evaluate(batch)?.into_array(batch.num_rows())?;
                Ok(filter_record_batch(batch, as_boolean_array(&keep)?)?)
            }
        }
    }
}

impl RetainedExec {
    /// Makes a node that keeps the rows of a selection. The input must have the columns that the selection
    /// uses.
    pub(super) fn new(kind: Kind, selection: Arc<Selection>, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::over(Keep::ByRules(kind, selection), input)
    }

    /// Makes a node that keeps the rows for which the condition is true.
    pub(super) fn rows_if(condition: Arc<dyn PhysicalExpr>, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::over(Keep::If(condition), input)
    }

    fn over(keep: Keep, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { keep, input, metrics: ExecutionPlanMetricsSet::new() }
    }

    fn with_input(node: &Self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::over(node.keep.clone(), input)
    }
}

impl fmt::Debug for RetainedExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetainedExec").field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for RetainedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.keep {
            Keep::ByRules(..) => write!(f, "RetainedExec"),
            Keep::If(condition) => write!(f, "RetainedExec: {condition}"),
        }
    }
}

impl ExecutionPlan for RetainedExec {
    fn name(&self) -> &'static str {
        "RetainedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    single_input!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let keep = self.keep.clone();
        let schema = input.schema();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = input.map(move |batch| {
            let batch = batch?;
            let _timer = metrics.elapsed_compute().timer();
            keep.of(&batch).record_output(&metrics)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    /// Returns the statistics of the input as estimates, because some rows may be left out.
    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let known = inputs.first().map(|input| (**input).clone());
        Ok(Arc::new(known.unwrap_or_else(|| Statistics::new_unknown(&self.schema())).to_inexact()))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }

    // Whether a row is kept depends only on that row, so filters may run first.
    passes_filters!();
}
