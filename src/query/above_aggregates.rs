//! A condition without columns stays above an aggregate that has a row for no rows.
//!
//! `SELECT … FROM (SELECT count(*) FROM t) WHERE c` has no row where `c` is false. DataFusion 55.2 moves a
//! condition below an aggregate if it names nothing but the groups. One that names nothing at all, such as a
//! comparison of two subqueries or of `now()`, then leaves no rows to the aggregate, which counts 0 and gives
//! its row.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// The rule that moves conditions down, but for those.
#[derive(Debug)]
pub(super) struct AboveAggregates(pub(super) Arc<dyn OptimizerRule + Send + Sync>);

/// Whether an aggregate has a row where it is given none: it has a group of all rows.
fn has_row_of_none(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.is_empty() || matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)])
}

impl OptimizerRule for AboveAggregates {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Filter(filter) = &plan
            && let LogicalPlan::Aggregate(aggregate) = filter.input.as_ref()
            && has_row_of_none(aggregate)
            && split_conjunction(&filter.predicate).iter().any(|part| part.column_refs().is_empty())
        {
            return Ok(Transformed::no(plan));
        }
        self.0.rewrite(plan, config)
    }
}
