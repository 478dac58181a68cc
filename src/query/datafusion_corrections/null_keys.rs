//! Does not let DataFusion add equalities to joins whose keys match NULL with NULL.
//!
//! A join by `a.x IS NOT DISTINCT FROM b.x` matches NULL with NULL. So do the joins that replace correlated
//! subqueries. DataFusion 55.2 has one setting for all keys of a join. Two of its rules add an equality such
//! as `a.y = b.y` to the keys of such a join, or merge the join with others. Then rows in which both `a.y`
//! and `b.y` are NULL match, which is wrong. Example:
//! `… FROM a JOIN b ON a.x IS NOT DISTINCT FROM b.x AND a.y = b.y`.
//!
//! Our rules wrap these two, and hide such joins from them. Delete them when DataFusion has the setting per
//! key.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::{Join, JoinType, Limit, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

const EXTRACT: &str = "extract_equijoin_predicate";
const ELIMINATE: &str = "eliminate_cross_join";

/// One of the two rules. It does not change joins that match NULL with NULL.
#[derive(Debug)]
pub(in crate::query) struct NullKeys(Arc<dyn OptimizerRule + Send + Sync>);

impl NullKeys {
    /// Wraps the two rules, and returns any other rule as it is.
    pub(in crate::query) fn guard(
        rule: Arc<dyn OptimizerRule + Send + Sync>,
    ) -> Arc<dyn OptimizerRule + Send + Sync> {
        if matches!(rule.name(), EXTRACT | ELIMINATE) { Arc::new(Self(rule)) } else { rule }
    }
}

impl OptimizerRule for NullKeys {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if self.name() == EXTRACT {
            return match plan {
                LogicalPlan::Join(join) if matches_nulls(&join) => {
                    Ok(Transformed::no(LogicalPlan::Join(join)))
                }
                // Without keys the setting has no effect. But it would apply to the keys that the rule adds.
                LogicalPlan::Join(join) => self.0.rewrite(LogicalPlan::Join(without_setting(join)), config),
                plan => self.0.rewrite(plan, config),
            };
        }
        let separated = plan.transform_up_with_subqueries(|node| Ok(separate_joins(node)))?;
        if !separated.transformed {
            return self.0.rewrite(separated.data, config);
        }
        let rewritten = self.0.rewrite(separated.data, config)?;
        let rejoined = rewritten.data.transform_up_with_subqueries(|node| Ok(rejoin(node)))?;
        Ok(Transformed::new(rejoined.data, rewritten.transformed, rewritten.tnr))
    }
}

fn matches_nulls(join: &Join) -> bool {
    join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty()
}

/// Separates inner joins that match NULL with NULL from the joins above and below them, by nodes that do
/// nothing.
fn separate_joins(plan: LogicalPlan) -> Transformed<LogicalPlan> {
    let is_inner =
        |plan: &LogicalPlan| matches!(plan, LogicalPlan::Join(join) if join.join_type == JoinType::Inner);
    match plan {
        LogicalPlan::Join(mut join) if join.join_type == JoinType::Inner && matches_nulls(&join) => {
            for side in [&mut join.left, &mut join.right] {
                if is_inner(side) {
                    *side = Arc::new(below_limit(Arc::unwrap_or_clone(Arc::clone(side))));
                }
            }
            Transformed::yes(below_limit(LogicalPlan::Join(join)))
        }
        LogicalPlan::Join(join)
            if join.on.is_empty() && join.null_equality == NullEquality::NullEqualsNull =>
        {
            Transformed::yes(LogicalPlan::Join(without_setting(join)))
        }
        plan => Transformed::no(plan),
    }
}

/// Resets the setting of a join without keys.
fn without_setting(mut join: Join) -> Join {
    if join.on.is_empty() {
        join.null_equality = NullEquality::NullEqualsNothing;
    }
    join
}

/// Puts a plan below a LIMIT without a number, which does nothing.
fn below_limit(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Limit(Limit { skip: None, fetch: None, input: Arc::new(plan) })
}

/// Removes the LIMITs that [`below_limit`] has added.
fn rejoin(plan: LogicalPlan) -> Transformed<LogicalPlan> {
    match plan {
        LogicalPlan::Limit(Limit { skip: None, fetch: None, input }) => {
            Transformed::yes(Arc::unwrap_or_clone(input))
        }
        plan => Transformed::no(plan),
    }
}
