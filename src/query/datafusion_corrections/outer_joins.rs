//! Hides constant columns below outer joins.
//!
//! A column that is constant on the nullable side of an outer join is not constant in the join, because it is
//! NULL in unmatched rows. DataFusion 55.2 treats it as a constant, and so removes the sort from
//! `dead_letters LEFT JOIN crashes … ORDER BY event_type`. Our rule hides the constants of nullable sides.
//! Delete it when DataFusion sorts the rows of this query.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinType, Result};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::hide_properties::{Hidden, HidePropertiesExec};

/// Puts a [`HidePropertiesExec`] on each nullable side of each outer join.
#[derive(Debug)]
pub(in crate::query) struct HideJoinConstants;

impl PhysicalOptimizerRule for HideJoinConstants {
    fn name(&self) -> &'static str {
        "hide_join_constants"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            let Some(kind) = join_type(&node) else { return Ok(Transformed::no(node)) };
            let may_be_missing = match kind {
                JoinType::Left => [false, true],
                JoinType::Right => [true, false],
                JoinType::Full => [true, true],
                _ => return Ok(Transformed::no(node)),
            };
            let sides = node.children().into_iter().zip(may_be_missing).map(|(side, may_be_missing)| {
                let side = Arc::clone(side);
                if may_be_missing {
                    Arc::new(HidePropertiesExec::new(Hidden::Constants, side)) as _
                } else {
                    side
                }
            });
            let sides = sides.collect();
            replace_children_if_necessary(node, sides).map(Transformed::yes)
        })?;
        Ok(plan.data)
    }
}

fn join_type(node: &Arc<dyn ExecutionPlan>) -> Option<JoinType> {
    let hash = node.downcast_ref::<HashJoinExec>().map(|join| *join.join_type());
    let nested = node.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type());
    let merge = node.downcast_ref::<SortMergeJoinExec>().map(SortMergeJoinExec::join_type);
    hash.or(nested).or(merge)
}
