//! Rewrites correlated subqueries that have an aggregate without GROUP BY.
//!
//! Such a subquery gives exactly one row, also where no row matches: `(SELECT count(*) … WHERE c.seq = e.seq)` is 0
//! then. DataFusion 55.2 makes a join of it, which gives no row where nothing matches. So `EXISTS (SELECT count(*) …)`
//! was false, `0 IN (SELECT count(*) …)` was false, and HAVING was tested on groups that do not exist:
//! `(SELECT 'none' … HAVING count(*) = 0)` was NULL where it should be `'none'`.
//!
//! DataFusion answers such a subquery as a scalar value, with an expression over its aggregates. So this module writes
//!
//! ```text
//! EXISTS (SELECT agg …)                  true
//! EXISTS (SELECT v … HAVING p)           (SELECT p …) IS TRUE
//! x IN (SELECT agg …)                    x = (SELECT agg …)
//! x IN (SELECT v … HAVING p)             CASE WHEN (SELECT p …) IS TRUE THEN x = (SELECT v …) ELSE false END
//! (SELECT v … HAVING p)                  (SELECT CASE WHEN p THEN v END …)
//! ```
//!
//! and ANY and ALL as IN. Delete this module when DataFusion keeps the row of an aggregate without groups.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, Result};
use datafusion::logical_expr::expr::{Case, Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Distinct, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery, binary_expr, lit, not,
};

use super::super::guard::subquery_of;
use super::super::lateral::outside_of;
use super::super::subqueries::{in_subquery, is_at_least_one};
use crate::error::{Error, ErrorKind};

/// Rewrites such subqueries in all expressions of a plan.
pub(in crate::query) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let rewritten = node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(part)?.update_data(|expr| name.restore(expr)))
        })?;
        if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
    })?;
    Ok(plan.data)
}

/// A subquery with one row at most: that of an aggregate without GROUP BY.
struct OneRow {
    query: Subquery,
    aggregate: Arc<LogicalPlan>,
    /// The columns of the row, as expressions over those of the aggregate; `None` for a column that cannot be written
    /// so.
    values: Vec<Option<Expr>>,
    /// The condition under which the row is there, over the columns of the aggregate; `None` if it always is.
    having: Option<Expr>,
}

impl OneRow {
    /// `None` for subqueries that are not correlated, or that may have more rows.
    fn of(query: &Subquery) -> Result<Option<Self>> {
        if outside_of(&query.subquery)?.is_empty() {
            return Ok(None);
        }
        let Some((aggregate, values, having)) = row_of(&query.subquery)? else { return Ok(None) };
        Ok(Some(Self { query: query.clone(), aggregate, values, having }))
    }

    /// The subquery with this value instead of its own.
    fn with(&self, value: Expr) -> Result<Expr> {
        let projection = Projection::try_new(vec![value], Arc::clone(&self.aggregate))?;
        let plan = LogicalPlanBuilder::from(LogicalPlan::Projection(projection)).build()?;
        let outer_ref_columns = plan.all_out_ref_exprs();
        let spans = self.query.spans.clone();
        Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans }))
    }

    /// The value of the subquery; NULL if HAVING is not true.
    fn scalar(&self) -> Result<Expr> {
        let name = self.query.subquery.schema().field(0).name().clone();
        let Some(Some(value)) = self.values.first().cloned() else { return Err(refused()) };
        let value = match &self.having {
            None => value,
            Some(having) => case(having.clone(), value, None),
        };
        self.with(value.alias(name))
    }

    /// Whether the subquery has its row; `None` if it always has it.
    fn has_row(&self) -> Result<Option<Expr>> {
        let having = self.having.as_ref().map(|having| self.with(having.clone()));
        Ok(having.transpose()?.map(Expr::is_true))
    }

    /// A comparison with the row; `empty` without a row.
    fn compared(&self, operand: Expr, operator: Operator, empty: bool) -> Result<Expr> {
        let compared = binary_expr(operand, operator, self.scalar()?);
        Ok(match self.has_row()? {
            None => compared,
            Some(has_row) => case(has_row, compared, Some(lit(empty))),
        })
    }
}

/// An aggregate, the columns of its row, and the condition of that row.
type Row = (Arc<LogicalPlan>, Vec<Option<Expr>>, Option<Expr>);

/// DataFusion would answer wrongly.
fn refused() -> DataFusionError {
    let why = "the SQL is refused: a subquery that uses columns of the outer query, and has an aggregate without GROUP BY, \
               contains another subquery or random(); compute that part in a WITH query";
    DataFusionError::External(Box::new(Error::new(ErrorKind::Query, why)))
}

/// Finds the aggregate without GROUP BY that gives the only row of a plan.
fn row_of(plan: &Arc<LogicalPlan>) -> Result<Option<Row>> {
    let input = match plan.as_ref() {
        LogicalPlan::Aggregate(of) if of.group_expr.is_empty() => {
            let columns = of.schema.columns().into_iter().map(|column| Some(Expr::Column(column))).collect();
            return Ok(Some((Arc::clone(plan), columns, None)));
        }
        LogicalPlan::Projection(node) => &node.input,
        LogicalPlan::Filter(node) => &node.input,
        LogicalPlan::SubqueryAlias(node) => &node.input,
        LogicalPlan::Sort(node) if node.fetch.is_none() => &node.input,
        LogicalPlan::Distinct(Distinct::All(input)) => input,
        LogicalPlan::Limit(node) if is_at_least_one(node) => &node.input,
        _ => return Ok(None),
    };
    let Some((aggregate, values, having)) = row_of(input)? else { return Ok(None) };
    let schema = input.schema();
    Ok(match plan.as_ref() {
        LogicalPlan::Projection(node) => {
            let columns = node.expr.iter().map(|column| over_aggregate(column, schema, &values));
            Some((aggregate, columns.collect::<Result<_>>()?, having))
        }
        LogicalPlan::Filter(node) => {
            let condition = over_aggregate(&node.predicate, schema, &values)?.ok_or_else(refused)?;
            Some((aggregate, values, conjunction(having.into_iter().chain([condition]))))
        }
        _ => Some((aggregate, values, having)),
    })
}

/// An expression with the columns of the aggregate instead of those of `schema`. `None` if it has to be computed once
/// only, or has a subquery, in which columns have other places.
fn over_aggregate(expr: &Expr, schema: &DFSchema, values: &[Option<Expr>]) -> Result<Option<Expr>> {
    if expr.is_volatile() || expr.exists(|part| Ok(subquery_of(part).is_some()))? {
        return Ok(None);
    }
    let value_of = |column: &Column| schema.maybe_index_of_column(column).and_then(|at| values.get(at));
    if expr.column_refs().into_iter().any(|column| value_of(column).is_some_and(Option::is_none)) {
        return Ok(None);
    }
    let replaced = expr.clone().unalias().transform_up(|part| {
        let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
        let value = value_of(column).and_then(Option::as_ref);
        Ok(value.map_or_else(|| Transformed::no(part.clone()), |value| Transformed::yes(value.clone())))
    })?;
    Ok(Some(replaced.data))
}

fn case(when: Expr, then: Expr, otherwise: Option<Expr>) -> Expr {
    Expr::Case(Case::new(None, vec![(Box::new(when), Box::new(then))], otherwise.map(Box::new)))
}

fn part(expr: Expr) -> Result<Transformed<Expr>> {
    let expr = match in_subquery(expr) {
        Ok(found) => {
            let Some(row) = OneRow::of(&found.subquery)? else {
                return Ok(Transformed::no(Expr::InSubquery(found)));
            };
            let InSubquery { expr, negated, .. } = found;
            let equal = row.compared(*expr, Operator::Eq, false)?;
            return Ok(Transformed::yes(if negated { not(equal) } else { equal }));
        }
        Err(expr) => expr,
    };
    match &expr {
        Expr::ScalarSubquery(query) => match OneRow::of(query)?.filter(|row| row.having.is_some()) {
            Some(row) => row.scalar().map(Transformed::yes),
            None => Ok(Transformed::no(expr)),
        },
        Expr::Exists(Exists { subquery, negated }) => match OneRow::of(subquery)? {
            Some(row) => {
                let has_row = row.has_row()?.unwrap_or_else(|| lit(true));
                Ok(Transformed::yes(if *negated { not(has_row) } else { has_row }))
            }
            None => Ok(Transformed::no(expr)),
        },
        Expr::SetComparison(SetComparison { expr: operand, subquery, op, quantifier }) => {
            match OneRow::of(subquery)? {
                Some(row) => {
                    let empty = *quantifier == SetQuantifier::All;
                    row.compared(operand.as_ref().clone(), *op, empty).map(Transformed::yes)
                }
                None => Ok(Transformed::no(expr)),
            }
        }
        _ => Ok(Transformed::no(expr)),
    }
}
