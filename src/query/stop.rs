//! Stops a query while it computes.
//!
//! A task can be cancelled only where it waits. A join whose condition is never true compares all pairs of
//! rows without waiting. After a dropped stream, a timeout or Ctrl-C, the caller would have to wait for it,
//! perhaps for hours. So the plan itself checks whether the caller still waits: [`StopExec`] checks it for
//! every batch that an operator returns, and [`StopExpr`] for every batch of pairs in a join with a
//! condition.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::{CooperativeExec, cooperative};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use tokio::runtime::Handle;

use super::datafusion_corrections::hide_properties::HidePropertiesExec;
use super::deadline::{late, panicked};
use super::decode_panics::SegmentDigests;
use super::facts_union::FactsUnionExec;
use super::retained_rows::RetainedExec;
use super::single_input::{same_rows, single_input};
use super::window_memory::WindowMemoryExec;
use super::workers::{Part, Work, workers};
use crate::error::{Error, ErrorKind};

/// Holds whether one plan has to stop.
#[derive(Debug)]
pub(super) struct Stop {
    work: Arc<Work>,
    wanted: AtomicUsize,
    stopped: AtomicBool,
    deadline: Mutex<Option<(Instant, Duration)>>,
    segments: Arc<SegmentDigests>,
}

impl Stop {
    pub(super) fn new(segments: Arc<SegmentDigests>) -> Self {
        Self {
            work: Work::new(),
            wanted: AtomicUsize::default(),
            stopped: AtomicBool::default(),
            deadline: Mutex::default(),
            segments,
        }
    }

    /// Returns the runtime that computes the plan.
    pub(super) fn workers(&self) -> Result<Handle> {
        workers(&self.work)
    }

    /// Begins a part of the computation; see [`Work::part`].
    pub(super) fn part(&self) -> Part {
        self.work.part()
    }

    /// Returns a guard. A caller waits for rows until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>, timeout: Option<Duration>) -> Wanted {
        if self.wanted.fetch_add(1, Ordering::Relaxed) == 0 {
            self.stopped.store(false, Ordering::Relaxed);
            self.work.set_wanted(true);
            // A deadline that does not fit the clock counts as none.
            let deadline = timeout.and_then(|timeout| Some((Instant::now().checked_add(timeout)?, timeout)));
            *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
        }
        Wanted(Arc::clone(self))
    }

    /// Fails if no caller waits for the answer, or if the deadline has passed.
    fn check(&self) -> Result<()> {
        if self.stopped.load(Ordering::Relaxed) {
            let error = Error::new(
                ErrorKind::Query,
                "the query was stopped, because its caller no longer waits for it",
            );
            return Err(DataFusionError::External(Box::new(error)));
        }
        match *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((deadline, timeout)) if Instant::now() >= deadline => Err(late(timeout)),
            _ => Ok(()),
        }
    }
}

/// The guard of [`Stop::begin`].
#[derive(Debug)]
pub(super) struct Wanted(Arc<Stop>);

impl Drop for Wanted {
    fn drop(&mut self) {
        if self.0.wanted.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.stopped.store(true, Ordering::Relaxed);
            self.0.work.set_wanted(false);
        }
    }
}

/// Adds checks to a plan, so that it stops when it has to.
pub(super) fn stoppable(plan: Arc<dyn ExecutionPlan>, stop: &Arc<Stop>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        let node = with_condition(node, stop)?;
        Ok(if passes_on(&node) {
            Transformed::no(node)
        } else {
            Transformed::yes(Arc::new(StopExec::over(node, Arc::clone(stop))) as _)
        })
    })?;
    Ok(plan.data)
}

/// Whether a node returns a batch for each batch of its input, or returns only a few rows. It needs no check.
fn passes_on(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<ProjectionExec>()
        || node.is::<FilterExec>()
        || node.is::<RetainedExec>()
        || node.is::<HidePropertiesExec>()
        || node.is::<WindowMemoryExec>()
        || node.is::<CooperativeExec>()
        || node.is::<CoalescePartitionsExec>()
        || node.is::<RepartitionExec>()
        || node.is::<UnionExec>()
        || node.is::<FactsUnionExec>()
        || node.is::<EmptyExec>()
        || node.is::<PlaceholderRowExec>()
}

/// Adds a check to the condition of a join. Other nodes stay as they are.
fn with_condition(node: Arc<dyn ExecutionPlan>, stop: &Arc<Stop>) -> Result<Arc<dyn ExecutionPlan>> {
    let looking = |filter: &JoinFilter| {
        let condition = Arc::new(StopExpr { inner: Arc::clone(filter.expression()), stop: Arc::clone(stop) });
        Some(JoinFilter::new(condition, filter.column_indices().to_vec(), Arc::clone(filter.schema())))
    };
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        return Ok(Arc::new(NestedLoopJoinExec::try_new(
            Arc::clone(join.left()),
            Arc::clone(join.right()),
            looking(filter),
            join.join_type(),
            join.projection().as_ref().map(|columns| columns.to_vec()),
        )?));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        return join.builder().with_filter(looking(filter)).build_exec();
    }
    Ok(node)
}

/// A node that returns the rows of its input until the query has to stop.
#[derive(Debug)]
struct StopExec {
    input: Arc<dyn ExecutionPlan>,
    stop: Arc<Stop>,
    properties: Arc<PlanProperties>,
}

impl StopExec {
    fn over(input: Arc<dyn ExecutionPlan>, stop: Arc<Stop>) -> Self {
        let properties = PlanProperties::clone(input.properties());
        let properties = properties.with_scheduling_type(SchedulingType::Cooperative);
        Self { input, stop, properties: Arc::new(properties) }
    }

    fn with_input(node: &Self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::over(input, Arc::clone(&node.stop))
    }
}

impl DisplayAs for StopExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StopExec")
    }
}

impl ExecutionPlan for StopExec {
    fn name(&self) -> &'static str {
        "StopExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    single_input!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.stop.check()?;
        let mut input = self.input.execute(partition, context)?;
        let (schema, stop) = (input.schema(), Arc::clone(&self.stop));
        if self.input.is::<DataSourceExec>() {
            let (scan, segments) = (Arc::clone(&self.input), Arc::clone(&self.stop.segments));
            let read = AssertUnwindSafe(input).catch_unwind();
            let read = read.map(move |batch| {
                batch.unwrap_or_else(|panic| match scan.downcast_ref::<DataSourceExec>() {
                    Some(scan) => Err(segments.explain_panic(scan, panic.as_ref())),
                    None => Err(panicked(panic.as_ref())),
                })
            });
            input = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), read));
        }
        let part = stop.part();
        let batches = input.map(move |batch| {
            let _ = &part;
            stop.check()?;
            batch
        });
        // A stream that is always ready yields to other tasks from time to time.
        Ok(Box::pin(cooperative(RecordBatchStreamAdapter::new(schema, batches))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        None
    }

    same_rows!();
}

/// A condition that is computed until the query has to stop.
#[derive(Debug)]
struct StopExpr {
    inner: Arc<dyn PhysicalExpr>,
    stop: Arc<Stop>,
}

impl PartialEq for StopExpr {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for StopExpr {}

impl Hash for StopExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for StopExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for StopExpr {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.stop.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { inner, stop: Arc::clone(&self.stop) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
