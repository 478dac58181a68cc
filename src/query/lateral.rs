//! Rewrites correlated subqueries, which depend on the row of the outer query, as joins.
//!
//! DataFusion 55.2 answers a correlated subquery only if it uses outer columns in equations only, and has no
//! LIMIT. But investigations often ask for the last event before each crash:
//! `(SELECT … WHERE e.at < c.at ORDER BY e.at DESC LIMIT 1)`. So this module rewrites such a subquery as
//! joins:
//!
//! 1. The *domain* is the set of distinct values that the outer rows have in the columns that the subquery
//!    uses.
//! 2. The subquery is computed once for the whole domain. The domain joins the subquery's tables, and its
//!    columns are added to each node of the subquery. Groups and LIMITs become groups and LIMITs per row of
//!    the domain.
//! 3. The result joins the outer rows by these columns.
//!
//! So the outer rows are computed twice, and must be the same both times. A LIMIT in the outer query gets an
//! order that determines the rows. Outer rows that `random()` selects are refused.
//!
//! If the subquery has a node that this module does not know, the plan stays as it is, and is refused later.
//! Delete this module when DataFusion answers correlated subqueries with inequalities and with LIMIT.

mod domain;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result, plan_err};
use datafusion::logical_expr::utils::{merge_schema, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, FetchType, Join, JoinType, Limit, LogicalPlan, LogicalPlanBuilder, Operator,
    Projection, Subquery, SubqueryAlias, binary_expr,
};
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;

use super::datafusion_corrections::computed_columns::{Below, put_below};
use super::subqueries;
pub(super) use domain::outside_of;
use domain::{Domain, key_column};

/// Replaces the correlated subqueries that DataFusion cannot answer by joins.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut names = Names { last: 0, all: false };
    let plan = plan.transform_up_with_subqueries(|node| rewrite_node(node, &mut names))?;
    Ok(plan.data)
}

/// The state of a rewrite: the names that it makes, and the subqueries that it replaces.
struct Names {
    last: usize,
    /// Whether every correlated subquery becomes a join, also one that DataFusion can answer. This is so
    /// within a subquery that DataFusion cannot answer.
    all: bool,
}

fn rewrite_node(node: LogicalPlan, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let node = if names.all { subqueries::counted(node, &mut names.last)? } else { node };
    match node {
        LogicalPlan::Filter(filter) => {
            let (rows, mut exprs) = with_answers(&filter.input, vec![filter.predicate.clone()], names)?;
            let Some(predicate) = rows.as_ref().and_then(|_| exprs.pop()) else {
                return Ok(Transformed::no(LogicalPlan::Filter(filter)));
            };
            let outside = filter.input.schema().columns().into_iter().map(Expr::Column);
            let rows = rows.unwrap_or_else(|| (*filter.input).clone());
            let plan = LogicalPlanBuilder::from(rows).filter(predicate)?.project(outside)?.build()?;
            Ok(Transformed::yes(plan))
        }
        LogicalPlan::Projection(projection) => {
            let (rows, exprs) = with_answers(&projection.input, projection.expr.clone(), names)?;
            let Some(rows) = rows else { return Ok(Transformed::no(LogicalPlan::Projection(projection))) };
            let shown = exprs.into_iter().zip(projection.schema.iter()).map(|(expr, (table, field))| {
                let same = matches!(&expr, Expr::Column(column) if column.name == *field.name())
                    || matches!(expr, Expr::Alias(_));
                if same { expr } else { expr.alias_qualified(table.cloned(), field.name()) }
            });
            let plan = LogicalPlanBuilder::from(rows).project(shown.collect::<Vec<_>>())?.build()?;
            Ok(Transformed::yes(plan))
        }
        LogicalPlan::Join(join) => lateral_join(join, names),
        LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_) => {
            values_below(node, names)
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Turns subqueries in groups, windows and orders into columns of the node's input.
fn values_below(node: LogicalPlan, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let replace = |expr: Expr, below: &mut Below<'_>| {
        expr.transform_down(|part| match part {
            Expr::ScalarSubquery(query) if !outside_of(&query.subquery)?.is_empty() => {
                let value = below.column(Expr::ScalarSubquery(query));
                Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
            }
            other => Ok(Transformed::no(other)),
        })
    };
    let all = names.all;
    put_below(node, "__value_", &mut names.last, replace, |rows, last| {
        let mut names = Names { last: *last, all };
        let rows = rewrite_node(rows, &mut names)?.data;
        *last = names.last;
        Ok(rows)
    })
}

/// Adds the results of the subqueries within expressions as columns to the rows. Returns these rows, and the
/// expressions with columns in place of the subqueries. `None` if there are no such subqueries.
fn with_answers(
    rows: &Arc<LogicalPlan>,
    exprs: Vec<Expr>,
    names: &mut Names,
) -> Result<(Option<LogicalPlan>, Vec<Expr>)> {
    let mut joined = None;
    let exprs = exprs.into_iter().map(|expr| {
        let expr = expr.transform_down(|part| {
            let Expr::ScalarSubquery(query) = &part else { return Ok(Transformed::no(part)) };
            let known = |query| Ok::<_, DataFusionError>(!names.all && is_known(query)?);
            if outside_of(&query.subquery)?.is_empty() || !one_row(&query.subquery) || known(&query.subquery)?
            {
                return Ok(Transformed::no(part));
            }
            let rows = repeatable(rows)?;
            let Some(answer) = answer(&rows, query, names)? else {
                return Ok(Transformed::no(part));
            };
            let before = joined.take().unwrap_or(rows);
            let columns = query.subquery.schema().columns();
            let value = answer.plan.schema().columns();
            let Some(value) = value.get(answer.keys.len()).filter(|_| columns.len() == 1).cloned() else {
                return Ok(Transformed::no(part));
            };
            joined = Some(answer.join(before, JoinType::Left, None)?);
            Ok(Transformed::new(Expr::Column(value), true, TreeNodeRecursion::Jump))
        })?;
        Ok(expr.data)
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    Ok((joined, exprs))
}

/// Rewrites `FROM crashes c, LATERAL (SELECT …) l`.
fn lateral_join(join: Join, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let unchanged = |join| Ok(Transformed::no(LogicalPlan::Join(join)));
    let query = match join.right.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
        right => right,
    };
    let LogicalPlan::Subquery(query) = query else { return unchanged(join) };
    let query = query.clone();
    let lateral = matches!(join.join_type, JoinType::Inner | JoinType::Left) && join.on.is_empty();
    if !lateral || outside_of(&query.subquery)?.is_empty() || is_known(&query.subquery)? {
        return unchanged(join);
    }
    let left = repeatable(&join.left)?;
    let Some(answer) = answer(&left, &query, names)? else {
        if keeps_conditions_below(&query.subquery)? {
            return plan_err!(
                "a LATERAL subquery with a window, DISTINCT, LIMIT or an outer join uses columns of the \
                 outer query in a way that is not supported; write a join of the tables instead"
            );
        }
        return unchanged(join);
    };
    // Restore the names of the query's columns.
    let keys = answer.keys.len();
    let columns = answer.plan.schema().columns();
    let shown = columns.iter().enumerate().map(|(at, column)| {
        let expr = Expr::Column(column.clone());
        match at.checked_sub(keys) {
            None => expr,
            Some(at) => {
                let (table, field) = join.right.schema().qualified_field(at);
                expr.alias_qualified(table.cloned(), field.name())
            }
        }
    });
    let plan = LogicalPlanBuilder::from(answer.plan.clone()).project(shown.collect::<Vec<_>>())?.build()?;
    let answer = Answer { plan, ..answer };
    let joined = answer.join(left, join.join_type, join.filter.clone())?;
    let asked = join.schema.columns().into_iter().map(Expr::Column);
    Ok(Transformed::yes(LogicalPlanBuilder::from(joined).project(asked)?.build()?))
}

/// Returns a plan that computes the same rows each time.
fn repeatable(rows: &LogicalPlan) -> Result<LogicalPlan> {
    let mut volatile = false;
    rows.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            volatile |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if volatile {
        return plan_err!(
            "a subquery uses rows of an outer query that random() selects; these rows are computed twice, \
             and would differ; select them by a column, such as `seq % 10 = 0`"
        );
    }
    let rows = rows.clone().transform_up(|node| match node {
        LogicalPlan::Limit(limit) => {
            let input = Arc::new(in_one_order(&limit.input)?);
            Ok(Transformed::yes(LogicalPlan::Limit(Limit { input, ..limit })))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rows.data)
}

/// Sorts rows by their own order, and rows that are equal in it by all columns.
fn in_one_order(rows: &LogicalPlan) -> Result<LogicalPlan> {
    let (mut order, input) = match rows {
        LogicalPlan::Sort(sort) => (sort.expr.clone(), &sort.input),
        LogicalPlan::Projection(Projection { input, .. })
        | LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. })
            if input.exists(|node| Ok(matches!(node, LogicalPlan::Sort(_))))? =>
        {
            return rows.with_new_exprs(rows.expressions(), vec![in_one_order(input)?]);
        }
        other => (Vec::new(), &Arc::new(other.clone())),
    };
    let columns = input.schema().iter().filter(|(_, field)| !field.data_type().is_nested());
    order.extend(columns.map(|column| Expr::Column(Column::from(column)).sort(true, false)));
    LogicalPlanBuilder::from(input.as_ref().clone()).sort(order)?.build()
}

/// Whether a query returns at most one row. Otherwise it cannot be used as a value.
fn one_row(query: &LogicalPlan) -> bool {
    match query {
        LogicalPlan::Limit(limit) => {
            matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0 | 1)))) || one_row(&limit.input)
        }
        LogicalPlan::Projection(projection) => one_row(&projection.input),
        LogicalPlan::Filter(filter) => one_row(&filter.input),
        LogicalPlan::Sort(sort) => one_row(&sort.input),
        LogicalPlan::SubqueryAlias(alias) => one_row(&alias.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

/// Whether a query has a node over which DataFusion moves correlated conditions, although that changes the
/// result.
pub(super) fn keeps_conditions_below(query: &LogicalPlan) -> Result<bool> {
    query.exists(|node| {
        Ok(match node {
            LogicalPlan::Limit(_) | LogicalPlan::Window(_) | LogicalPlan::Distinct(_) => true,
            LogicalPlan::Join(join) => join.join_type != JoinType::Inner,
            _ => false,
        })
    })
}

/// Whether DataFusion can answer a correlated subquery.
fn is_known(query: &LogicalPlan) -> Result<bool> {
    let mut pull_up = PullUpCorrelatedExpr::new().with_need_handle_count_bug(true);
    let walked = query.clone().rewrite(&mut pull_up);
    let is_pulled_up = walked.is_ok() && pull_up.can_pull_up;
    Ok(is_pulled_up && !keeps_conditions_below(query)? && compares_with_outside(query)?)
}

/// Whether outer columns are used only in filters, each in a comparison that has outer columns on one side
/// and inner columns on the other. DataFusion cannot plan the joins that it makes of other uses.
pub(super) fn compares_with_outside(query: &LogicalPlan) -> Result<bool> {
    if has_query_about_outside(query)? {
        return Ok(false);
    }
    let elsewhere = query.exists(|node| {
        let mut alone = false;
        node.apply_expressions(|expr| {
            let conditions = match node {
                LogicalPlan::Filter(_) => split_conjunction(expr),
                _ => vec![expr],
            };
            let is_compared = |part: &Expr| {
                let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return false };
                let sides = [left, right].map(|side| (side.any_column_refs(), side.contains_outer()));
                let apart = matches!(sides, [(true, false), (false, true)] | [(false, true), (true, false)]);
                matches!(node, LogicalPlan::Filter(_)) && op.supports_propagation() && apart
            };
            alone |= conditions.iter().any(|part| part.contains_outer() && !is_compared(part));
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(alone)
    })?;
    Ok(!elsewhere)
}

/// Whether a nested subquery uses columns from outside of this query.
fn has_query_about_outside(query: &LogicalPlan) -> Result<bool> {
    query.exists(|node| {
        let within = merge_schema(&node.inputs());
        let mut found = false;
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| {
                let Some(inner) = super::guard::subquery_of(part) else { return Ok(false) };
                Ok(outside_of(&inner.subquery)?.iter().any(|column| !within.has_column(column)))
            })?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    })
}

/// The result of a subquery for a whole domain.
struct Answer {
    plan: LogicalPlan,
    /// The outer columns, and the columns of the result that are equal to them. The result begins with these.
    keys: Vec<(Column, String)>,
}

/// Computes the result of a subquery for all outer rows; `None` if it has an unknown node.
fn answer(rows: &LogicalPlan, query: &Subquery, names: &mut Names) -> Result<Option<Answer>> {
    let within = joined_queries(query.subquery.as_ref().clone(), names)?;
    let Some(domain) = Domain::of(rows, &within, names)? else { return Ok(None) };
    let Some(plan) = domain.ask(&within)? else { return Ok(None) };
    // Nested subqueries that used outer columns now use the columns of the domain.
    let plan = joined_queries(plan, names)?;
    let keys: Vec<_> =
        domain.outside.iter().map(|column| (column.clone(), domain.keys[column].clone())).collect();
    let key_columns = keys.iter().map(|(_, key)| Ok(key_column(plan.schema(), key)?.alias(key)));
    let mut columns = key_columns.collect::<Result<Vec<_>>>()?;
    for (at, column) in query.subquery.schema().columns().into_iter().enumerate() {
        if !plan.schema().has_column(&column) {
            return Ok(None);
        }
        columns.push(Expr::Column(column).alias(format!("{}_v{at}", domain.name)));
    }
    let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
    Ok(Some(Answer { plan, keys }))
}

/// Replaces subqueries that use the plan's rows by joins.
fn joined_queries(plan: LogicalPlan, names: &mut Names) -> Result<LogicalPlan> {
    let nested = plan.exists(|node| {
        let mut nested = false;
        node.apply_expressions(|expr| {
            nested |= expr.exists(|part| {
                let Some(inner) = super::guard::subquery_of(part) else { return Ok(false) };
                Ok(!outside_of(&inner.subquery)?.is_empty())
            })?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(nested)
    })?;
    if !nested {
        return Ok(plan);
    }
    let mut all = Names { last: names.last, all: true };
    let plan = plan.transform_up_with_subqueries(|node| rewrite_node(node, &mut all))?;
    names.last = all.last;
    Ok(plan.data)
}

impl Answer {
    /// Joins the outer rows with the results for them.
    fn join(&self, rows: LogicalPlan, kind: JoinType, filter: Option<Expr>) -> Result<LogicalPlan> {
        let equal = self.keys.iter().map(|(outside, key)| {
            let key = Expr::Column(Column::from_name(key));
            binary_expr(Expr::Column(outside.clone()), Operator::IsNotDistinctFrom, key)
        });
        let on: Vec<Expr> = equal.chain(filter).collect();
        LogicalPlanBuilder::from(rows).join_on(self.plan.clone(), kind, on)?.build()
    }
}
