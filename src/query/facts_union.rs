//! The union of segments and tail. It keeps projections above itself.
//!
//! DataFusion 55.2 moves a projection below a union. There it no longer knows that two of its columns are
//! equal. The plan above may be sorted by one of them and merged by the other, as in
//! `SELECT error AS a, error AS b … ORDER BY b`. Then the plan is not valid any more, and the query fails. So
//! this node wraps DataFusion's union, and does not let projections with two equal columns pass. Replace it
//! by `UnionExec` when DataFusion answers this query.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// A plan node with the rows of segments and the rows of the unflushed tail.
#[derive(Debug)]
pub(super) struct FactsUnionExec {
    union: Arc<dyn ExecutionPlan>,
}

impl FactsUnionExec {
    /// Makes a node over at least two inputs with one schema.
    pub(super) fn over(inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self { union: UnionExec::try_new(inputs)? }))
    }
}

impl DisplayAs for FactsUnionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FactsUnionExec")
    }
}

impl ExecutionPlan for FactsUnionExec {
    fn name(&self) -> &'static str {
        "FactsUnionExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.union.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.union.maintains_input_order()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        self.union.benefits_from_input_partitioning()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.union.children()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Self::over(children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.union.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.union.metrics()
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.union.child_stats_requests(partition)
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.union.statistics_from_inputs(inputs, arguments)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        self.union.cardinality_effect()
    }

    fn supports_limit_pushdown(&self) -> bool {
        self.union.supports_limit_pushdown()
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let mut columns = HashSet::new();
        if !projection.expr().iter().all(|column| columns.insert(Arc::clone(&column.expr))) {
            return Ok(None);
        }
        let Some(union) = self.union.try_swapping_with_projection(projection)? else { return Ok(None) };
        Ok(Some(Arc::new(Self { union })))
    }

    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        self.union.gather_filters_for_pushdown(phase, filters, config)
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        children: ChildPushdownResult,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let mut result = self.union.handle_child_pushdown_result(phase, children, config)?;
        result.updated_node =
            result.updated_node.map(|union| Arc::new(Self { union }) as Arc<dyn ExecutionPlan>);
        Ok(result)
    }
}
