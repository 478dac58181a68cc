//! Hides the columns that are another constant in each branch of a union.
//!
//! In `SELECT false AS a, x AS b … UNION ALL SELECT true, y …` the column `a` is a constant of each branch. For
//! `ORDER BY a, b LIMIT 1` DataFusion 55.2 therefore sorts each branch by `b` alone, and lets the branches share the
//! limit of `b` that the rows have so far. So the row of one branch removes the equal rows of another one, which may
//! come first by `a`. Our rule hides such constants, and each branch is sorted by both columns. Delete it when DataFusion
//! keeps the limits of such branches apart.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::equivalence::AcrossPartitions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::super::facts_union::FactsUnionExec;
use super::hide_properties::{Hidden, HidePropertiesExec};

/// Puts a [`HidePropertiesExec`] on each union with such constants.
#[derive(Debug)]
pub(in crate::query) struct HideUnionConstants;

impl PhysicalOptimizerRule for HideUnionConstants {
    fn name(&self) -> &'static str {
        "hide_union_constants"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            Ok(if has_constants_of_branches(&node) {
                Transformed::yes(Arc::new(HidePropertiesExec::new(Hidden::Constants, node)) as _)
            } else {
                Transformed::no(node)
            })
        })?;
        Ok(plan.data)
    }
}

fn has_constants_of_branches(node: &Arc<dyn ExecutionPlan>) -> bool {
    let is_union = node.is::<UnionExec>() || node.is::<FactsUnionExec>();
    let constants = || node.equivalence_properties().constants();
    is_union
        && constants().iter().any(|constant| constant.across_partitions == AcrossPartitions::Heterogeneous)
}
