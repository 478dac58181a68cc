//! Adds sorts that DataFusion 55.2 omits.
//!
//! For `SELECT seq AS a, seq AS b … UNION ALL … ORDER BY a, b` it sorts the first input by `a` only, because
//! `a` and `b` are equal there. Then its own check finds that the union is not sorted by `b`, and refuses the
//! query. Our rule adds the missing sort. Delete it when DataFusion answers this query.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::OrderingRequirements;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary};

/// Adds a sort below each node whose input lacks the order that the node requires.
#[derive(Debug)]
pub(in crate::query) struct EnsureSorted;

impl PhysicalOptimizerRule for EnsureSorted {
    fn name(&self) -> &'static str {
        "ensure_sorted"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            let mut sorted = false;
            let mut inputs = Vec::new();
            for (input, order) in node.children().into_iter().zip(node.required_input_ordering()) {
                let order = order.map(OrderingRequirements::into_single);
                let known = input.equivalence_properties();
                let missing = match order {
                    Some(order) => (!known.ordering_satisfy_requirement(order.clone())?).then_some(order),
                    None => None,
                };
                let input = Arc::clone(input);
                inputs.push(match missing {
                    Some(order) => {
                        sorted = true;
                        Arc::new(SortExec::new(order.into(), input).with_preserve_partitioning(true))
                    }
                    None => input,
                });
            }
            if !sorted {
                return Ok(Transformed::no(node));
            }
            replace_children_if_necessary(node, inputs).map(Transformed::yes)
        })?;
        Ok(plan.data)
    }
}
