//! Turns expressions of a node into columns of the node's input, so that the node can refer to them by name.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

/// The columns that are added to the rows of a node's input.
pub(in crate::query) struct Below<'n> {
    prefix: &'static str,
    /// The number of names that were made so far, in the whole plan.
    names: &'n mut usize,
    columns: Vec<Expr>,
}

impl Below<'_> {
    /// Adds an expression as a column, and returns the reference to that column.
    pub(in crate::query) fn column(&mut self, expr: Expr) -> Expr {
        *self.names += 1;
        let name = format!("{}{}", self.prefix, self.names);
        self.columns.push(expr.alias(&name));
        Expr::Column(Column::from_name(name))
    }
}

/// Puts a projection below a node. The projection computes parts of the node's expressions. The node returns
/// its old columns.
///
/// `replace` replaces these parts by columns. `finish` may change the projection. Joins stay as they are,
/// because their expressions use two inputs.
pub(in crate::query) fn put_below(
    node: LogicalPlan,
    prefix: &'static str,
    names: &mut usize,
    mut replace: impl FnMut(Expr, &mut Below<'_>) -> Result<Transformed<Expr>>,
    finish: impl FnOnce(LogicalPlan, &mut usize) -> Result<LogicalPlan>,
) -> Result<Transformed<LogicalPlan>> {
    let inputs = node.inputs();
    let ([input], true) = (inputs.as_slice(), is_over_rows(&node)) else { return Ok(Transformed::no(node)) };
    let saved = NamePreserver::new(&node);
    let mut below = Below { prefix, names, columns: Vec::new() };
    let over = node.clone().map_expressions(|expr| {
        let name = saved.save(&expr);
        Ok(replace(expr, &mut below)?.update_data(|expr| name.restore(expr)))
    })?;
    let Below { columns, names, .. } = below;
    if columns.is_empty() {
        return Ok(Transformed::no(node));
    }
    let own = input.schema().columns().into_iter().map(Expr::Column);
    let rows = LogicalPlanBuilder::from((*input).clone()).project(own.chain(columns))?.build()?;
    let plan = over.data.with_new_exprs(over.data.expressions(), vec![finish(rows, names)?])?;
    if plan.schema().fields().len() == node.schema().fields().len() {
        return Ok(Transformed::yes(plan));
    }
    let shown = node.schema().columns().into_iter().map(Expr::Column);
    Ok(Transformed::yes(LogicalPlanBuilder::from(plan).project(shown)?.build()?))
}

fn is_over_rows(node: &LogicalPlan) -> bool {
    matches!(
        node,
        LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Sort(_)
    )
}
