//! Keeps a condition without columns above an aggregate that returns a row for an empty input.
//!
//! DataFusion 55.2 moves a condition below an aggregate if the condition uses only the columns of the groups.
//! A condition without columns, such as a comparison of two subqueries or of `now()`, is moved as well.
//!
//! Example: `SELECT … FROM (SELECT count(*) FROM t) WHERE c` must return no row if `c` is false. Below the
//! aggregate, `c` leaves an empty input. The aggregate counts 0, and returns a row.
//!
//! Our rule wraps DataFusion's rule, and does not apply it to such a filter. Delete it when DataFusion keeps
//! conditions without columns above aggregates.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// DataFusion's rule that moves conditions down. It does not move conditions without columns below an
/// aggregate.
#[derive(Debug)]
pub(in crate::query) struct AboveAggregates(pub(in crate::query) Arc<dyn OptimizerRule + Send + Sync>);

/// Whether an aggregate returns a row for an empty input, because it has a group of all rows.
fn has_row_of_none(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.is_empty() || matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)])
}

/// Whether a filter must stay above an aggregate. DataFusion's rule combines filters that follow each other, such as
/// WHERE above HAVING, and moves the parts of both.
fn must_stay(plan: &LogicalPlan) -> bool {
    let (mut node, mut has_no_columns) = (plan, false);
    while let LogicalPlan::Filter(filter) = node {
        has_no_columns |=
            split_conjunction(&filter.predicate).iter().any(|part| part.column_refs().is_empty());
        node = filter.input.as_ref();
    }
    has_no_columns && matches!(node, LogicalPlan::Aggregate(aggregate) if has_row_of_none(aggregate))
}

impl OptimizerRule for AboveAggregates {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if must_stay(&plan) { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}
