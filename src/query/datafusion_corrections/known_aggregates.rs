//! Computes aggregates such as `count(*)` of a table from statistics, without reading rows.
//!
//! This rule replaces DataFusion's rule `aggregate_statistics`. The rule of DataFusion 55.2 searches for the
//! partial aggregate below a final one. If the partial aggregate has a FILTER, it continues the search below
//! it. So it can find the aggregate of a subquery, and return its result for the outer query. Example:
//! `SELECT sum(n) FILTER (WHERE n < 5) FROM (SELECT count(*) AS n FROM events)` returns the number of events.
//!
//! Our rule searches only the partial aggregate that belongs to the final one. Delete it when DataFusion does
//! so, too.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::expressions::lit;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::udaf;

/// The name of the DataFusion rule that this rule replaces.
pub(in crate::query) const REPLACES: &str = "aggregate_statistics";

/// Replaces aggregates over all rows by their results, where statistics are exact.
#[derive(Debug)]
pub(in crate::query) struct KnownAggregates;

impl PhysicalOptimizerRule for KnownAggregates {
    fn name(&self) -> &'static str {
        "known_aggregates"
    }

    /// Returns `false`, because results may be nullable even if the aggregates are not.
    fn schema_check(&self) -> bool {
        false
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_down(|node| {
            Ok(match results(&node)? {
                Some(results) => Transformed::yes(results),
                None => Transformed::no(node),
            })
        })?;
        Ok(plan.data)
    }
}

/// Returns a node with the results of an aggregate, if the statistics contain them.
fn results(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(aggregate) = node.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let Some(first) = first_stage(aggregate) else { return Ok(None) };
    let is_plain = |stage: &AggregateExec| {
        stage.group_expr().is_empty() && stage.filter_expr().iter().all(Option::is_none)
    };
    if !is_plain(aggregate) || !is_plain(first) {
        return Ok(None);
    }
    let statistics = StatisticsContext::new().compute(first.input().as_ref(), &StatisticsArgs::new())?;
    let results = first.aggr_expr().iter().map(|function| {
        let arguments = function.expressions();
        let known = function.fun().value_from_stats(&udaf::StatisticsArgs {
            statistics: &statistics,
            return_type: function.field().data_type(),
            is_distinct: function.is_distinct(),
            exprs: &arguments,
        })?;
        Some(ProjectionExpr { expr: lit(known), alias: function.name().to_owned() })
    });
    let Some(results) = results.collect::<Option<Vec<_>>>() else { return Ok(None) };
    let one_row = Arc::new(PlaceholderRowExec::new(node.schema()));
    Ok(Some(Arc::new(ProjectionExec::try_new(results, one_row)?)))
}

/// Finds the stage of an aggregate that reads rows: the aggregate itself, or its partial aggregate below.
fn first_stage(aggregate: &AggregateExec) -> Option<&AggregateExec> {
    let mut stage = aggregate;
    while stage.mode().input_mode() != AggregateInputMode::Raw {
        let mut input = stage.input();
        stage = loop {
            if let Some(stage) = input.downcast_ref::<AggregateExec>() {
                break stage;
            }
            let [only] = input.children().try_into().ok()?;
            input = only;
        };
    }
    Some(stage)
}
