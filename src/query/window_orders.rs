//! Orders by `max` and `min` over a window.
//!
//! `max(x) OVER (ORDER BY seq)` never becomes less, so DataFusion 55.2 takes its rows as sorted by it, with NULLs last.
//! But the first rows have NULL, as long as no `x` was there. So it removes the sort from a query that orders by such a
//! column. This rule hides these orders.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, SlidingAggregateWindowExpr, WindowExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use super::hide_properties::{Hidden, HidePropertiesExec};

/// Hides the orders by `max` and `min` over windows.
#[derive(Debug)]
pub(super) struct HideWindowOrders;

impl PhysicalOptimizerRule for HideWindowOrders {
    fn name(&self) -> &'static str {
        "hide_window_orders"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            let extremes = extremes(&node);
            Ok(if extremes.is_empty() {
                Transformed::no(node)
            } else {
                Transformed::yes(Arc::new(HidePropertiesExec::new(Hidden::OrdersBy(extremes), node)) as _)
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

/// The columns of a window's node that are extremes and may be NULL.
fn extremes(node: &Arc<dyn ExecutionPlan>) -> Vec<usize> {
    let windows = windows(node);
    let first = node.schema().fields().len().saturating_sub(windows.len());
    let is_extreme = |window: &Arc<dyn WindowExpr>| {
        let window = window.as_any();
        let plain = window
            .downcast_ref::<PlainAggregateWindowExpr>()
            .map(PlainAggregateWindowExpr::get_aggregate_expr);
        let sliding = || {
            window
                .downcast_ref::<SlidingAggregateWindowExpr>()
                .map(SlidingAggregateWindowExpr::get_aggregate_expr)
        };
        plain.or_else(sliding).is_some_and(|aggregate| matches!(aggregate.fun().name(), "max" | "min"))
    };
    let extremes = windows.iter().enumerate().filter(|(_, window)| is_extreme(window));
    extremes.map(|(at, _)| first + at).collect()
}
