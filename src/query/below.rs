//! Expressions that become columns of the rows below, so that what is over them can name them.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

/// The columns that a node's rows are to have besides their own.
pub(super) struct Below<'n> {
    prefix: &'static str,
    /// How many names were given, in the whole plan.
    names: &'n mut usize,
    columns: Vec<Expr>,
}

impl Below<'_> {
    /// Makes a column of an expression.
    pub(super) fn column(&mut self, expr: Expr) -> Expr {
        *self.names += 1;
        let name = format!("{}{}", self.prefix, self.names);
        self.columns.push(expr.alias(&name));
        Expr::Column(Column::from_name(name))
    }
}

/// A node over the projection that computes parts of its expressions, and the same columns as before.
///
/// `replace` puts columns in place of these parts. The projection is what `finish` makes of it. Joins stay as
/// they are: their expressions are over two inputs.
pub(super) fn put_below(
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
