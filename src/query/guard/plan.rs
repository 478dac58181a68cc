//! Refuses plans that do more than read, and plans that are too large to walk through.

use std::collections::HashMap;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

use super::growth;
use crate::error::{Error, ErrorKind, Result};
use crate::query::{query_error, requested_sizes};

/// The largest number of nodes in a plan, with each use of a shared part counted.
const MAX_NODES: usize = 10_000;

/// Refuses statements that do more than read, and plans that use shared parts too often to be walked through.
pub(in crate::query) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let nodes = count_nodes(plan, &mut HashMap::new());
    if nodes > MAX_NODES {
        return Err(Error::new(
            ErrorKind::Query,
            format!(
                "the SQL is refused: with each use of a WITH query or a view replaced by its definition, the \
                 plan has more than {MAX_NODES} steps, which is the limit"
            ),
        ));
    }
    growth::check(plan)?;
    requested_sizes::check_types(plan).map_err(query_error)?;
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|error| {
            let why = query_error(error);
            Error::new(ErrorKind::Query, format!("SQL can only read this store: {why}"))
        })
}

/// Returns the number of nodes that a walk through the plan would visit. The queries of a WITH are shared, so
/// the plan itself is small. But in a chain of thirty queries that each use the query before twice, a walk
/// has 2³⁰ steps. Each shared part is counted once, and remembered by its address.
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

/// Returns the subquery of an expression, if it has one.
pub(in crate::query) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery)
        | Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. }) => Some(subquery),
        _ => None,
    }
}
