//! Replaces unions of which only one branch is not empty.
//!
//! DataFusion 55.2 replaces such a union by a projection, which refers to the columns of that branch without
//! their tables. For `SELECT b.seq FROM a JOIN b … UNION ALL SELECT 1 WHERE false` it refers to `seq`, and
//! applies a filter on it to `a.seq`. Our rule makes a projection that refers to the qualified columns.
//! Delete it when DataFusion's rule `propagate_empty_relation` keeps the qualifiers.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Union};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The name of DataFusion's rule that removes empty inputs.
const PROPAGATE: &str = "propagate_empty_relation";

/// The rule `propagate_empty_relation`, with the right columns for the only branch of a union.
#[derive(Debug)]
pub(in crate::query) struct EmptyBranches(Arc<dyn OptimizerRule + Send + Sync>);

impl EmptyBranches {
    /// Wraps the rule `propagate_empty_relation`, and returns any other rule as it is.
    pub(in crate::query) fn guard(
        rule: Arc<dyn OptimizerRule + Send + Sync>,
    ) -> Arc<dyn OptimizerRule + Send + Sync> {
        if rule.name() == PROPAGATE { Arc::new(Self(rule)) } else { rule }
    }
}

impl OptimizerRule for EmptyBranches {
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
        match plan {
            LogicalPlan::Union(union) => match only_branch(&union) {
                Some(branch) => in_place_of(&union, branch).map(Transformed::yes),
                None => self.0.rewrite(LogicalPlan::Union(union), config),
            },
            plan => self.0.rewrite(plan, config),
        }
    }
}

/// Returns the only branch of a union that is not empty, if all other branches are empty.
fn only_branch(union: &Union) -> Option<&Arc<LogicalPlan>> {
    let is_empty = |branch: &LogicalPlan| match branch {
        LogicalPlan::EmptyRelation(empty) => !empty.produce_one_row,
        _ => false,
    };
    let mut left = union.inputs.iter().filter(|branch| !is_empty(branch));
    left.next().filter(|_| left.next().is_none() && union.inputs.len() > 1)
}

/// Makes a projection of a branch that has the columns of the union.
fn in_place_of(union: &Union, branch: &Arc<LogicalPlan>) -> Result<LogicalPlan> {
    let columns = branch.schema().columns().into_iter().zip(union.schema.iter());
    let named = columns
        .map(|(column, (table, field))| Expr::Column(column).alias_qualified(table.cloned(), field.name()));
    let projection =
        Projection::try_new_with_schema(named.collect(), Arc::clone(branch), Arc::clone(&union.schema))?;
    Ok(LogicalPlan::Projection(projection))
}
