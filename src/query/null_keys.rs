//! Keeps equalities out of the keys of joins that take two NULLs for equal.
//!
//! A join by `a.x IS NOT DISTINCT FROM b.x` takes two NULLs for equal, and so does the join that gives each row outside
//! its own rows of a subquery. DataFusion 55.2 has one such setting for all keys of a join. Two of its rules add the
//! equality `a.y = b.y` to the keys of such a join, or merge it with others: then rows with two NULLs match.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::{Join, JoinType, Limit, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

const EXTRACT: &str = "extract_equijoin_predicate";
const ELIMINATE: &str = "eliminate_cross_join";

/// One of the two rules, which passes over joins whose keys may be NULL.
#[derive(Debug)]
pub(super) struct NullKeys(Arc<dyn OptimizerRule + Send + Sync>);

impl NullKeys {
    /// The rule itself, or the rule with care.
    pub(super) fn guard(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
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
                // The setting has no effect without keys, but would have one on the keys that are added.
                LogicalPlan::Join(join) => self.0.rewrite(LogicalPlan::Join(without_setting(join)), config),
                plan => self.0.rewrite(plan, config),
            };
        }
        let apart = plan.transform_up_with_subqueries(|node| Ok(set_apart(node)))?;
        if !apart.transformed {
            return self.0.rewrite(apart.data, config);
        }
        let rewritten = self.0.rewrite(apart.data, config)?;
        let together = rewritten.data.transform_up_with_subqueries(|node| Ok(put_together(node)))?;
        Ok(Transformed::new(together.data, rewritten.transformed, rewritten.tnr))
    }
}

fn matches_nulls(join: &Join) -> bool {
    join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty()
}

/// Sets inner joins whose keys may be NULL apart from joins above and below: behind nodes that do nothing.
fn set_apart(plan: LogicalPlan) -> Transformed<LogicalPlan> {
    let is_inner =
        |plan: &LogicalPlan| matches!(plan, LogicalPlan::Join(join) if join.join_type == JoinType::Inner);
    match plan {
        LogicalPlan::Join(mut join) if join.join_type == JoinType::Inner && matches_nulls(&join) => {
            for side in [&mut join.left, &mut join.right] {
                if is_inner(side) {
                    *side = Arc::new(apart(Arc::unwrap_or_clone(Arc::clone(side))));
                }
            }
            Transformed::yes(apart(LogicalPlan::Join(join)))
        }
        LogicalPlan::Join(join)
            if join.on.is_empty() && join.null_equality == NullEquality::NullEqualsNull =>
        {
            Transformed::yes(LogicalPlan::Join(without_setting(join)))
        }
        plan => Transformed::no(plan),
    }
}

/// A join without keys, which has no NULLs to compare.
fn without_setting(mut join: Join) -> Join {
    if join.on.is_empty() {
        join.null_equality = NullEquality::NullEqualsNothing;
    }
    join
}

fn apart(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Limit(Limit { skip: None, fetch: None, input: Arc::new(plan) })
}

fn put_together(plan: LogicalPlan) -> Transformed<LogicalPlan> {
    match plan {
        LogicalPlan::Limit(Limit { skip: None, fetch: None, input }) => {
            Transformed::yes(Arc::unwrap_or_clone(input))
        }
        plan => Transformed::no(plan),
    }
}
