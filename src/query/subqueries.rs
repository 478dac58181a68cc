//! Rewrites subqueries within expressions, so that they give the right results for NULL.
//!
//! DataFusion 55.2 treats `x IN (SELECT y …)` as true or false, and never as NULL. That is right where only
//! *true* has an effect. Below NOT, next to OR, or in a CASE it gives *false* instead of NULL (DataFusion
//! issues 8241 and 25340). So this module rewrites it with EXISTS, which is never NULL:
//!
//! ```text
//! x IN (SELECT y …)      CASE WHEN EXISTS (… y = x) THEN true
//!                             WHEN x IS NULL AND EXISTS (…) OR EXISTS (… y IS NULL) THEN NULL
//!                             ELSE false END
//! WHERE x NOT IN (…)     NOT EXISTS (… y = x) AND NOT EXISTS (… y IS NULL)
//!                             AND (x IS NOT NULL OR NOT EXISTS (…))
//! ```
//!
//! ANY and ALL are rewritten in the same way, because DataFusion confuses the subquery's column with the
//! operand if both have the same name, as in `seq < ANY (SELECT seq FROM audits)`.
//!
//! DataFusion answers EXISTS only in a WHERE, and only if the subquery uses outer columns in its conditions
//! and nowhere else. In other cases this module rewrites EXISTS as a count, which has a value everywhere
//! ([`lateral`](super::lateral) answers the correlated ones):
//!
//! ```text
//! EXISTS (SELECT …)      (SELECT count(*) FROM (SELECT …)) > 0
//! ```
//!
//! DataFusion also assumes that `(SELECT seq FROM events WHERE …)` is never NULL, because `seq` is never NULL
//! (issue 24513). But a subquery without rows gives NULL. So this module wraps such a subquery in a function
//! whose result may be NULL.
//!
//! Delete this module when DataFusion has fixed these issues.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, ScalarValue};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Case, Exists, InList, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, FetchType, Filter, Limit, LogicalPlan, LogicalPlanBuilder, SkipType, Sort,
    Subquery, Union, binary_expr, lit, not,
};
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;

use super::datafusion_corrections::computed_columns::{Below, put_below};
use super::datafusion_corrections::one_row;
use super::datafusion_corrections::value_or_null::of_unknown_origin;
use super::lateral::{compares_with_outside, keeps_conditions_below, outside_of};

/// Rewrites the subqueries of a plan. This must happen before the names and types of the answer are used.
pub(super) fn rewrite(plan: LogicalPlan, in_where: Where) -> Result<LogicalPlan> {
    let mut queries = 0;
    let plan = one_row::rewrite(plan)?;
    let plan = plan.transform_up_with_subqueries(|node| operands_below(node, &mut queries))?;
    let plan = plan.data.transform_up_with_subqueries(|node| rewrite_node(node, &mut queries, in_where))?;
    Ok(plan.data)
}

/// The way in which EXISTS in a WHERE is rewritten.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// EXISTS stays if DataFusion can turn it into a join.
    Joins,
    /// EXISTS becomes a count, as outside of a WHERE.
    Counts,
}

/// Rewrites a node after [`rewrite`]: every EXISTS that has stayed becomes a count.
pub(super) fn counted(node: LogicalPlan, queries: &mut usize) -> Result<LogicalPlan> {
    Ok(rewrite_node(node, queries, Where::Counts)?.data)
}

fn rewrite_node(node: LogicalPlan, queries: &mut usize, in_where: Where) -> Result<Transformed<LogicalPlan>> {
    let node = as_nullable_as_below(node)?;
    let schema = merge_schema(&node.inputs());
    let mut meaning = Meaning { schema: &schema, queries, is_where: false };
    if let LogicalPlan::Filter(filter) = node {
        if !has_subquery(&filter.predicate) {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        meaning.is_where = in_where == Where::Joins;
        let parts = split_conjunction_owned(filter.predicate).into_iter();
        let parts = parts.map(|part| meaning.in_where(part)).collect::<Result<Vec<_>>>()?;
        let predicate = conjunction(parts).unwrap_or_else(|| lit(true));
        return Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)));
    }
    let names = NamePreserver::new(&node);
    let rewritten = node.map_expressions(|expr| {
        if !has_subquery(&expr) {
            return Ok(Transformed::no(expr));
        }
        let name = names.save(&expr);
        Ok(meaning.of(expr)?.update_data(|expr| name.restore(expr)))
    })?;
    if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
}

/// Turns the operand of an IN into a column of the node's input, if the operand contains a subquery or an
/// outer column of a query farther outside. Otherwise the subquery of the IN could not refer to it.
fn operands_below(node: LogicalPlan, queries: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let replace = |expr: Expr, below: &mut Below<'_>| {
        expr.transform_down(|part| {
            let found = match in_subquery(part) {
                Ok(found) => found,
                Err(part) => return Ok(Transformed::no(part)),
            };
            let found = if has_subquery(&found.expr) || found.expr.contains_outer() {
                InSubquery { expr: Box::new(below.column(*found.expr)), ..found }
            } else {
                found
            };
            Ok(Transformed::new(Expr::InSubquery(found), true, TreeNodeRecursion::Jump))
        })
    };
    put_below(node, "__operand_", queries, replace, |rows, queries| Ok(operands_below(rows, queries)?.data))
}

/// Makes the columns of a node nullable where the columns below it have become nullable. A union keeps its
/// types: its inputs may have other types until the planner has cast them.
fn as_nullable_as_below(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Union(Union { inputs, schema }) = node else { return node.recompute_schema() };
    let is_nullable = |at: usize| {
        inputs.iter().any(|input| input.schema().fields().get(at).is_some_and(|field| field.is_nullable()))
    };
    let fields = schema.iter().enumerate().map(|(at, (table, field))| {
        let nullable = field.is_nullable() || is_nullable(at);
        (table.cloned(), Arc::new(field.as_ref().clone().with_nullable(nullable)))
    });
    let fields = DFSchema::new_with_metadata(fields.collect(), schema.as_arrow().metadata().clone())?;
    Ok(LogicalPlan::Union(Union { inputs, schema: Arc::new(fields) }))
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|part| Ok(super::guard::subquery_of(part).is_some())).unwrap_or(true)
}

/// Rewrites subqueries in the expressions of one node of a plan.
struct Meaning<'a> {
    /// The schema of the node's input.
    schema: &'a DFSchema,
    /// The number of subqueries that have got names so far.
    queries: &'a mut usize,
    /// Whether the expressions are the conditions of a WHERE.
    is_where: bool,
}

impl Meaning<'_> {
    /// Rewrites a part of a WHERE, where NULL has the same effect as false.
    fn in_where(&mut self, part: Expr) -> Result<Expr> {
        match in_subquery(part) {
            Ok(found) if found.negated => {
                let Some(known) = self.split(&found)? else { return Ok(Expr::InSubquery(found)) };
                Ok(conjunction(known.into_outside()).unwrap_or_else(|| lit(true)))
            }
            Ok(found) if self.is_where && pulls_up(&found.subquery.subquery, Some(&found.expr))? => {
                Ok(Expr::InSubquery(found))
            }
            Ok(found) => match self.split(&found)? {
                Some(known) => Ok(known.equal),
                None => Ok(Expr::InSubquery(found)),
            },
            Err(part @ Expr::Exists(_)) => Ok(self.of(part)?.data),
            Err(Expr::Not(part)) if matches!(*part, Expr::Exists(_)) => Ok(self.of(not(*part))?.data),
            // In an OR or a function, DataFusion's joins fail (in the rule `optimize_projections`).
            Err(part) => {
                let is_where = std::mem::take(&mut self.is_where);
                let part = self.of(part)?.data;
                self.is_where = is_where;
                Ok(part)
            }
        }
    }

    /// Rewrites an expression in which true, false and NULL have different effects.
    fn of(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        expr.transform_down(|part| {
            let found = match in_subquery(part) {
                Ok(found) => found,
                Err(Expr::ScalarSubquery(query)) if !query.subquery.schema().field(0).is_nullable() => {
                    return Ok(Transformed::new(value_or_null(query), true, TreeNodeRecursion::Jump));
                }
                Err(Expr::SetComparison(found)) => {
                    return Ok(match self.compared(&found)? {
                        Some(rewritten) => Transformed::new(rewritten, true, TreeNodeRecursion::Jump),
                        None => Transformed::no(Expr::SetComparison(found)),
                    });
                }
                Err(Expr::Exists(found)) => {
                    let found = self.exists(&found.subquery.subquery, found.negated, &found.subquery)?;
                    return Ok(Transformed::new(found, true, TreeNodeRecursion::Jump));
                }
                Err(part) => return Ok(Transformed::no(part)),
            };
            match self.split(&found)? {
                Some(known) => {
                    let rewritten = known.three_valued(found.negated);
                    Ok(Transformed::new(rewritten, true, TreeNodeRecursion::Jump))
                }
                None => Ok(Transformed::no(Expr::InSubquery(found))),
            }
        })
    }

    /// Makes the EXISTS queries for `x IN (SELECT …)`. Returns `None` if `x` contains a subquery.
    fn split(&mut self, found: &InSubquery) -> Result<Option<Membership>> {
        let operand = &*found.expr;
        if operand.exists(|part| Ok(super::guard::subquery_of(part).is_some()))? {
            return Ok(None);
        }
        let outer = self.named_within(operand)?;
        let query = &found.subquery;
        let equal = self.exists_where(query, |value| value.eq(outer.clone()))?;
        // A text that is compared with a number may not be a number. Only the comparison shows whether it is
        // NULL.
        if is_text(&operand.get_type(self.schema)?) != is_text(query.subquery.schema().field(0).data_type()) {
            let unknown = self.exists_where(query, |value| value.eq(outer).is_null())?;
            return Ok(Some(Membership { operand: operand.clone(), equal, null: Some(unknown), any: None }));
        }
        let null = if query.subquery.schema().field(0).is_nullable() {
            Some(self.exists_where(query, Expr::is_null)?)
        } else {
            None
        };
        let nullable = operand.nullable(self.schema)?;
        let any = if nullable { Some(self.exists(&query.subquery, false, query)?) } else { None };
        Ok(Some(Membership { operand: operand.clone(), equal, null, any }))
    }

    /// Rewrites `x < ANY (SELECT …)` or `x >= ALL (SELECT …)`. ANY is true, and ALL false, as soon as one row
    /// decides it; otherwise the result is NULL if one comparison is NULL. Returns `None` if `x` contains a
    /// subquery.
    fn compared(&mut self, found: &SetComparison) -> Result<Option<Expr>> {
        if has_subquery(&found.expr) {
            return Ok(None);
        }
        let outer = self.named_within(&found.expr)?;
        let compared = |value: Expr| binary_expr(outer.clone(), found.op, value);
        let of_all = found.quantifier == SetQuantifier::All;
        let hit = |value: Expr| if of_all { not(compared(value)) } else { compared(value) };
        let decided = self.exists_where(&found.subquery, hit)?;
        let unknown = self.exists_where(&found.subquery, |value| compared(value).is_null())?;
        let null = lit(ScalarValue::Boolean(None));
        let whens = [(decided, lit(!of_all)), (unknown, null)];
        let whens = whens.map(|(when, then)| (Box::new(when), Box::new(then)));
        Ok(Some(Expr::Case(Case::new(None, whens.to_vec(), Some(Box::new(lit(of_all)))))))
    }

    /// Converts an expression over the outer rows into an expression that a subquery can use.
    fn named_within(&self, expr: &Expr) -> Result<Expr> {
        let outer = expr.clone().transform_up(|part| {
            Ok(match part {
                Expr::Column(column) => {
                    let field = Arc::clone(self.schema.field_from_column(&column)?);
                    Transformed::yes(Expr::OuterReferenceColumn(field, column))
                }
                other => Transformed::no(other),
            })
        })?;
        Ok(outer.data)
    }

    /// Makes a condition that is true if a query has a row whose only column meets `condition`.
    fn exists_where(&mut self, query: &Subquery, condition: impl FnOnce(Expr) -> Expr) -> Result<Expr> {
        let (rows, value) = self.values(query)?;
        let rows = LogicalPlanBuilder::from(rows).filter(condition(value))?.build()?;
        self.exists(&rows, false, query)
    }

    /// Returns the rows of a query with one column, and that column.
    fn values(&mut self, query: &Subquery) -> Result<(LogicalPlan, Expr)> {
        // An outer column may be used in a condition, but not in a column.
        if let LogicalPlan::Projection(projection) = without_duplicates(&query.subquery)
            && let [value] = projection.expr.as_slice()
            && value.contains_outer()
        {
            return Ok((projection.input.as_ref().clone(), value.clone().unalias()));
        }
        // The column gets a new name, because the subquery may use the table of the outer query.
        *self.queries += 1;
        let name = format!("__in_{}", self.queries);
        let value = Expr::Column(Column::from(query.subquery.schema().qualified_field(0)));
        let plan =
            LogicalPlanBuilder::from(Arc::clone(&query.subquery)).project([value.alias(&name)])?.build()?;
        Ok((plan, Expr::Column(Column::from_name(name))))
    }

    /// Makes a condition that is true if a query has a row. The condition is an EXISTS or a count.
    fn exists(&self, rows: &LogicalPlan, negated: bool, like: &Subquery) -> Result<Expr> {
        let rows = without_columns(rows).clone();
        let subquery = |plan: LogicalPlan| {
            let outer_ref_columns = plan.all_out_ref_exprs();
            Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: like.spans.clone() }
        };
        if self.is_where && pulls_up(&rows, None)? {
            return Ok(Expr::Exists(Exists { subquery: subquery(rows), negated }));
        }
        let outside = !outside_of(&rows)?.is_empty();
        let rows = LogicalPlanBuilder::from(rows);
        // One row decides, if the subquery is not correlated.
        let rows = if outside { rows } else { rows.limit(0, Some(1))? };
        let counted = rows.aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64))])?.build()?;
        let counted = value_or_null(subquery(counted));
        Ok(if negated { counted.eq(lit(0_i64)) } else { counted.gt(lit(0_i64)) })
    }
}

/// Removes nodes from the top of a query that change neither the set of its values nor whether it has any.
fn without_duplicates(mut query: &LogicalPlan) -> &LogicalPlan {
    loop {
        query = match query {
            LogicalPlan::Distinct(Distinct::All(input))
            | LogicalPlan::Sort(Sort { input, fetch: None, .. }) => input,
            other => return other,
        };
    }
}

/// Removes nodes from the top of a query that do not change whether it has rows.
fn without_columns(mut query: &LogicalPlan) -> &LogicalPlan {
    loop {
        query = match without_duplicates(query) {
            // A row without columns is none that DataFusion can count.
            LogicalPlan::Projection(projection) if !projection.input.schema().fields().is_empty() => {
                &projection.input
            }
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Limit(limit) if is_at_least_one(limit) => &limit.input,
            other => return other,
        };
    }
}

/// Whether a LIMIT returns at least one row if its input has rows.
pub(super) fn is_at_least_one(limit: &Limit) -> bool {
    matches!(
        (limit.get_skip_type(), limit.get_fetch_type()),
        (Ok(SkipType::Literal(0)), Ok(FetchType::Literal(Some(1..) | None)))
    )
}

/// Whether DataFusion turns EXISTS, or `operand IN`, in a WHERE into a join.
fn pulls_up(query: &LogicalPlan, operand: Option<&Expr>) -> Result<bool> {
    // DataFusion drops a correlated LIMIT and OFFSET, moves conditions above windows, and loses conditions
    // that use only outer columns.
    let is_lifted = !keeps_conditions_below(query)? && compares_with_outside(query)?;
    if !is_lifted && !outside_of(query)?.is_empty() {
        return Ok(false);
    }
    let value = Expr::Column(Column::from(query.schema().qualified_field(0)));
    let mut pull_up = PullUpCorrelatedExpr::new()
        .with_in_predicate_opt(operand.map(|operand| operand.clone().eq(value)))
        .with_exists_sub_query(operand.is_none());
    let walked = query.clone().rewrite(&mut pull_up);
    Ok(walked.is_ok() && pull_up.can_pull_up)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Returns the parts of `x [NOT] IN (SELECT …)`, in any spelling. Other expressions are returned as an error.
pub(super) fn in_subquery(expr: Expr) -> std::result::Result<InSubquery, Expr> {
    match expr {
        Expr::InSubquery(found) => Ok(found),
        Expr::Not(inner) => match in_subquery(*inner) {
            Ok(found) => Ok(InSubquery { negated: !found.negated, ..found }),
            Err(inner) => Err(not(inner)),
        },
        // `IN ((SELECT …))` is parsed as a list.
        Expr::InList(InList { expr, mut list, negated })
            if matches!(list.as_slice(), [Expr::ScalarSubquery(_)]) =>
        {
            match list.pop() {
                Some(Expr::ScalarSubquery(subquery)) => Ok(InSubquery { expr, subquery, negated }),
                other => Err(Expr::InList(InList { expr, list: other.into_iter().collect(), negated })),
            }
        }
        other => Err(other),
    }
}

/// The EXISTS conditions that determine whether `x` is in the result of a query.
struct Membership {
    operand: Expr,
    /// Whether a value equal to `x` exists.
    equal: Expr,
    /// Whether a NULL exists; `None` if the query never returns NULL.
    null: Option<Expr>,
    /// Whether a row exists; `None` if `x` is never NULL.
    any: Option<Expr>,
}

impl Membership {
    fn three_valued(self, negated: bool) -> Expr {
        let unknown_operand = self.any.map(|any| self.operand.is_null().and(any));
        let unknown = [unknown_operand, self.null].into_iter().flatten().reduce(Expr::or);
        let Some(unknown) = unknown else {
            return if negated { not(self.equal) } else { self.equal };
        };
        let when = |condition: Expr, value: Expr| (Box::new(condition), Box::new(value));
        let null = lit(ScalarValue::Boolean(None));
        Expr::Case(Case::new(
            None,
            vec![when(self.equal, lit(!negated)), when(unknown, null)],
            Some(Box::new(lit(negated))),
        ))
    }

    /// Returns the conditions under which `x NOT IN (…)` is true.
    fn into_outside(self) -> Vec<Expr> {
        let known_operand = self.any.map(|any| self.operand.is_not_null().or(not(any)));
        let no_null = self.null.map(not);
        [Some(not(self.equal)), no_null, known_operand].into_iter().flatten().collect()
    }
}

fn value_or_null(query: Subquery) -> Expr {
    of_unknown_origin(Expr::ScalarSubquery(query))
}
