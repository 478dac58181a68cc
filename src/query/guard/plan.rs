//! Plans that are refused: those that do anything but read, and those that are too large to walk through.

use std::collections::HashMap;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

use super::growth;
use crate::error::{Error, ErrorKind, Result};
use crate::query::{query_error, sizes};

/// Plans of more nodes are refused.
const MAX_NODES: usize = 10_000;

/// Refuses everything that is not a question, and plans that name the same part so often that
/// nobody could walk through them.
pub(in crate::query) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let nodes = count_nodes(plan, &mut HashMap::new());
    if nodes > MAX_NODES {
        return Err(Error::new(
            ErrorKind::Query,
            format!(
                "the SQL is refused: with its WITH and its views written out it has over {MAX_NODES} steps"
            ),
        ));
    }
    growth::check(plan)?;
    sizes::check_types(plan).map_err(query_error)?;
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|error| {
            let why = query_error(error);
            Error::new(ErrorKind::Query, format!("SQL only reads this store: {why}"))
        })
}

/// How many nodes a walk through the plan would meet. What a WITH names is shared, so the plan
/// itself is small; a chain of thirty names, each twice the one before, is a walk of 2³⁰ steps.
/// Every shared part is counted once, and remembered by its address.
fn count_nodes(plan: &LogicalPlan, known: &mut HashMap<*const LogicalPlan, usize>) -> usize {
    let address = std::ptr::from_ref(plan);
    if let Some(nodes) = known.get(&address) {
        return *nodes;
    }
    let mut nodes = 1_usize;
    for input in plan.inputs() {
        nodes = nodes.saturating_add(count_nodes(input, known));
    }
    for expr in plan.expressions() {
        let _ = expr.apply(|expr| {
            if let Some(subquery) = subquery_of(expr) {
                nodes = nodes.saturating_add(count_nodes(&subquery.subquery, known));
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    known.insert(address, nodes);
    nodes
}

/// The query within an expression.
pub(in crate::query) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery)
        | Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. }) => Some(subquery),
        _ => None,
    }
}
