//! Unions of which all branches but one are empty.
//!
//! DataFusion 55.2 puts a projection in the place of such a union, which names the columns of the branch that is left
//! without their tables. For `SELECT b.seq FROM a JOIN b … UNION ALL SELECT 1 WHERE false` it names `seq`, and takes a
//! filter on that for one on `a.seq`. Here the projection names the columns of the branch.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The rule that removes empty inputs.
const PROPAGATE: &str = "propagate_empty_relation";

/// That rule, with the right columns for what is left of a union.
#[derive(Debug)]
pub(super) struct EmptyBranches(Arc<dyn OptimizerRule + Send + Sync>);

impl EmptyBranches {
    /// The rule itself, or the rule with care.
    pub(super) fn guard(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
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
        let is_union = matches!(plan, LogicalPlan::Union(_));
        let rewritten = self.0.rewrite(plan, config)?;
        match rewritten.data {
            LogicalPlan::Projection(branch) if is_union => {
                let columns = branch.input.schema().columns();
                let named = columns.into_iter().zip(branch.schema.iter()).map(|(column, (table, field))| {
                    Expr::Column(column).alias_qualified(table.cloned(), field.name())
                });
                let projection =
                    Projection::try_new_with_schema(named.collect(), branch.input, branch.schema)?;
                Ok(Transformed::new(
                    LogicalPlan::Projection(projection),
                    rewritten.transformed,
                    rewritten.tnr,
                ))
            }
            data => Ok(Transformed::new(data, rewritten.transformed, rewritten.tnr)),
        }
    }
}
