//! Hides equalities of columns and computed values from DataFusion 55.2.
//!
//! For `WHERE a || b = a` DataFusion treats both sides as one key wherever rows are sorted or partitioned by
//! `a`. Then it finds that the rows do not have the order that it requires, and refuses the query. Such an
//! equality does not improve any plan. So our rule turns the condition into `(a || b = a) IS TRUE`, which is
//! true for the same rows. Delete it when DataFusion answers a query with `WHERE a || b = a ORDER BY a`.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Rewrites the conditions of filters.
#[derive(Debug)]
pub(in crate::query) struct HideEqualities;

impl OptimizerRule for HideEqualities {
    fn name(&self) -> &'static str {
        "hide_equalities"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else { return Ok(Transformed::no(plan)) };
        if !split_conjunction(&filter.predicate).into_iter().any(misleads) {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let parts = split_conjunction_owned(filter.predicate).into_iter();
        let parts = parts.map(|part| if misleads(&part) { Expr::IsTrue(Box::new(part)) } else { part });
        let Some(predicate) = conjunction(parts) else { return Ok(Transformed::no((*filter.input).clone())) };
        Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
    }
}

/// Whether a condition is an equality of two sides that contain columns, and at least one side is computed.
fn misleads(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return false };
    let is_column = |side: &Expr| matches!(side, Expr::Column(_));
    left.any_column_refs() && right.any_column_refs() && !(is_column(left) && is_column(right))
}
