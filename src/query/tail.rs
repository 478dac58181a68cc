//! The unflushed tail as an input of a plan: rows in memory, with exact statistics.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef, TimestampNanosecondType};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};

/// A plan node with the rows of one kind that are not in a segment.
#[derive(Debug)]
pub(super) struct TailExec {
    batches: Vec<RecordBatch>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TailExec {
    /// Makes a node over batches of one schema.
    pub(super) fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self { batches, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

impl DisplayAs for TailExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TailExec: rows={}", self.rows())
    }
}

impl ExecutionPlan for TailExec {
    fn name(&self) -> &'static str {
        "TailExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = MetricBuilder::new(&self.metrics).output_rows(partition);
        let batches = self.batches.clone().into_iter().inspect(move |batch| rows.add(batch.num_rows()));
        let batches = futures::stream::iter(batches.map(Ok));
        let stream = RecordBatchStreamAdapter::new(self.schema(), batches);
        Ok(Box::pin(datafusion::physical_plan::coop::cooperative(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let columns = 0..self.schema().fields().len();
        Ok(Arc::new(Statistics {
            num_rows: Precision::Exact(self.rows()),
            total_byte_size: Precision::Absent,
            column_statistics: columns.map(|column| self.describe(column)).collect(),
        }))
    }
}

impl TailExec {
    fn describe(&self, column: usize) -> ColumnStatistics {
        let arrays = || self.batches.iter().map(|batch| batch.column(column));
        let nulls = arrays().map(Array::null_count).sum();
        let mut known = ColumnStatistics::new_unknown().with_null_count(Precision::Exact(nulls));
        let (mut least, mut most): (Option<ScalarValue>, Option<ScalarValue>) = (None, None);
        for array in arrays() {
            let Some((low, high)) = bounds(array.as_ref()) else { continue };
            least = Some(least.filter(|least| *least <= low).unwrap_or(low));
            most = Some(most.filter(|most| *most >= high).unwrap_or(high));
        }
        if let (Some(least), Some(most)) = (least, most) {
            known = known.with_min_value(Precision::Exact(least)).with_max_value(Precision::Exact(most));
        }
        known
    }
}

/// Returns the smallest and the largest value, for the types whose bounds the ledger keeps.
fn bounds(array: &dyn Array) -> Option<(ScalarValue, ScalarValue)> {
    match array.data_type() {
        DataType::Timestamp(_, zone) => {
            let values = array.as_primitive_opt::<TimestampNanosecondType>()?;
            let scalar = |nanos| ScalarValue::TimestampNanosecond(Some(nanos), zone.clone());
            Some((scalar(min(values)?), scalar(max(values)?)))
        }
        DataType::Int64 => {
            let values = array.as_primitive_opt::<Int64Type>()?;
            Some((ScalarValue::Int64(min(values)), ScalarValue::Int64(max(values))))
                .filter(|_| !values.is_empty())
        }
        DataType::Int32 => {
            let values = array.as_primitive_opt::<Int32Type>()?;
            Some((ScalarValue::Int32(min(values)), ScalarValue::Int32(max(values))))
                .filter(|_| !values.is_empty())
        }
        _ => None,
    }
}
