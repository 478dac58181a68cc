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

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::{Case, Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery, binary_expr, lit, not,
};

use super::lateral::outside_of;
use super::subqueries::in_subquery;

/// Rewrites such subqueries in all expressions of a plan.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
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

/// A subquery with an aggregate without GROUP BY.
struct OneRow {
    query: Subquery,
    /// The rows below the columns of the subquery and its HAVING.
    aggregate: Arc<LogicalPlan>,
    value: Expr,
    having: Option<Expr>,
}

impl OneRow {
    /// `None` for subqueries that are not correlated, or that may have more rows.
    fn of(query: &Subquery) -> Result<Option<Self>> {
        if outside_of(&query.subquery)?.is_empty() {
            return Ok(None);
        }
        let mut plan = query.subquery.as_ref();
        loop {
            plan = match plan {
                LogicalPlan::SubqueryAlias(alias) => &alias.input,
                LogicalPlan::Sort(sort) if sort.fetch.is_none() => &sort.input,
                _ => break,
            };
        }
        let LogicalPlan::Projection(projection) = plan else { return Ok(None) };
        let (aggregate, having) = match projection.input.as_ref() {
            LogicalPlan::Filter(filter) => (&filter.input, Some(filter.predicate.clone())),
            _ => (&projection.input, None),
        };
        let is_one = matches!(aggregate.as_ref(), LogicalPlan::Aggregate(of) if of.group_expr.is_empty());
        let Some(value) = projection.expr.first().filter(|_| is_one) else { return Ok(None) };
        let (value, aggregate) = (value.clone(), Arc::clone(aggregate));
        Ok(Some(Self { query: query.clone(), aggregate, value, having }))
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
        let Some(having) = &self.having else { return self.with(self.value.clone()) };
        let name = self.value.schema_name().to_string();
        let value = self.value.clone().unalias();
        self.with(case(having.clone(), value, None).alias(name))
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
