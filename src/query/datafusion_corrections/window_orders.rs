//! Hides wrong orders by aggregates over windows.
//!
//! `max(x) OVER (ORDER BY seq)` never decreases. So DataFusion 55.2 assumes that the rows are sorted by this
//! column, with NULLs last, and removes the sort from a query such as
//! `SELECT max(x) OVER (ORDER BY seq) AS m FROM t ORDER BY m`. But the column is NULL in the first rows, up
//! to the first row with an `x`. Our rule hides such orders. Delete it when DataFusion expects NULLs in the
//! first rows.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::SetMonotonicity;
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, SlidingAggregateWindowExpr, WindowExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use super::hide_properties::{Hidden, HidePropertiesExec};

/// Hides the orders by aggregates over windows that may be NULL.
#[derive(Debug)]
pub(in crate::query) struct HideWindowOrders;

impl PhysicalOptimizerRule for HideWindowOrders {
    fn name(&self) -> &'static str {
        "hide_window_orders"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            let columns = sorted_with_nulls(&node);
            Ok(if columns.is_empty() {
                Transformed::no(node)
            } else {
                Transformed::yes(Arc::new(HidePropertiesExec::new(Hidden::OrdersBy(columns), node)) as _)
            })
        })?;
        Ok(plan.data)
    }
}

fn windows(node: &Arc<dyn ExecutionPlan>) -> &[Arc<dyn WindowExpr>] {
    let all = node.downcast_ref::<WindowAggExec>().map(WindowAggExec::window_expr);
    let bounded = || node.downcast_ref::<BoundedWindowAggExec>().map(BoundedWindowAggExec::window_expr);
    all.or_else(bounded).unwrap_or_default()
}

/// Returns the columns of a window node that DataFusion treats as sorted, and that may be NULL.
fn sorted_with_nulls(node: &Arc<dyn ExecutionPlan>) -> Vec<usize> {
    let windows = windows(node);
    let first = node.schema().fields().len().saturating_sub(windows.len());
    let may_begin_with_null = |window: &Arc<dyn WindowExpr>| {
        let window = window.as_any();
        let plain = window
            .downcast_ref::<PlainAggregateWindowExpr>()
            .map(PlainAggregateWindowExpr::get_aggregate_expr);
        let sliding = || {
            window
                .downcast_ref::<SlidingAggregateWindowExpr>()
                .map(SlidingAggregateWindowExpr::get_aggregate_expr)
        };
        plain.or_else(sliding).is_some_and(|aggregate| {
            aggregate.set_monotonicity() != SetMonotonicity::NotMonotonic && aggregate.field().is_nullable()
        })
    };
    let columns = windows.iter().enumerate().filter(|(_, window)| may_begin_with_null(window));
    columns.map(|(at, _)| first + at).collect()
}
