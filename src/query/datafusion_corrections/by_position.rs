//! Stops filters at plan nodes where they would be applied to the wrong column.
//!
//! DataFusion 55.2 passes a filter from a node to its input by the *names* of the columns (DataFusion issue
//! 21246). If two columns have one name, a filter on one of them can be applied to the other, and rows are
//! lost. Example: `SELECT * FROM events a JOIN events b ON a.seq = b.seq + 1 WHERE b.seq = 5`, where the
//! filter on `b.seq` can become one on `a.seq`. The rule is right where names are unambiguous and do not
//! change.
//!
//! So our rule runs DataFusion's rule, and before it puts a barrier on each node whose names mislead. A
//! filter from above does not pass the barrier. A filter that begins below it is not affected.
//!
//! Delete this module when DataFusion's `FilterRemapper` maps columns by position.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::JoinType;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::super::single_input::single_input;

/// DataFusion's rule that moves filters down a physical plan, with barriers.
#[derive(Debug)]
pub(in crate::query) struct ByPosition(pub(in crate::query) Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for ByPosition {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            Ok(if misleading(&node) {
                Transformed::yes(Arc::new(BarrierExec { input: node }) as _)
            } else {
                Transformed::no(node)
            })
        })?;
        let plan = self.0.optimize(plan.data, config)?;
        let plan = plan.transform_up(|node| {
            Ok(match node.downcast_ref::<BarrierExec>() {
                Some(barrier) => Transformed::yes(Arc::clone(&barrier.input)),
                None => Transformed::no(node),
            })
        })?;
        Ok(plan.data)
    }
}

/// Whether a filter above this node could be applied to other columns below it.
fn misleading(node: &Arc<dyn ExecutionPlan>) -> bool {
    if ambiguous(node) {
        return true;
    }
    if let Some(filter) = node.downcast_ref::<FilterExec>() {
        return filter.projection().is_some() && ambiguous(filter.input());
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        // A filter on a key of one side is applied to the other side, too.
        let semi = matches!(join.join_type(), JoinType::LeftSemi | JoinType::RightSemi);
        return semi && !join.on().iter().all(|(left, right)| name(left) == name(right));
    }
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        let mut groups = aggregate.group_expr().expr().iter();
        return !groups.all(|(group, alias)| name(group) == Some(alias));
    }
    if node.is::<UnionExec>() || node.is::<super::super::facts_union::FactsUnionExec>() {
        let names = |plan: &Arc<dyn ExecutionPlan>| {
            plan.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
        };
        let own = names(node);
        return node.children().into_iter().any(|child| names(child) != own);
    }
    false
}

fn name(expr: &Arc<dyn PhysicalExpr>) -> Option<&str> {
    expr.downcast_ref::<Column>().map(Column::name)
}

/// Whether two columns have one name.
fn ambiguous(node: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = node.schema();
    let mut names = HashSet::new();
    !schema.fields().iter().all(|field| names.insert(field.name().as_str()))
}

/// A node that no filter from above passes. It is removed before a plan is executed.
#[derive(Debug)]
struct BarrierExec {
    input: Arc<dyn ExecutionPlan>,
}

impl BarrierExec {
    fn with_input(_: &Self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input }
    }
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BarrierExec")
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &'static str {
        "BarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    single_input!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
