//! Computes a correlated subquery for all outer rows at once.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, NullEquality, Result, ScalarValue};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::expr::{Exists, InSubquery, Sort as SortExpr};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, merge_schema};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprFunctionExt, FetchType, Filter, Join, JoinType, Limit, LogicalPlan,
    LogicalPlanBuilder, Operator, Projection, SkipType, Sort, Subquery, SubqueryAlias, Union, Window,
    binary_expr, lit,
};

use super::Names;
use crate::query::datafusion_corrections::value_or_null::of_unknown_origin;
use crate::query::guard::subquery_of;

/// The distinct values that the outer rows have in the columns that a subquery uses.
pub(super) struct Domain {
    plan: LogicalPlan,
    /// The names of the columns in the domain, by the outer columns.
    pub(super) keys: HashMap<Column, String>,
    /// The outer columns, in the order of the domain.
    pub(super) outside: Vec<Column>,
    pub(super) name: String,
}

/// Returns the column of a plan that holds the domain's column `key`.
pub(super) fn key_column(schema: &DFSchema, key: &str) -> Result<Expr> {
    Ok(Expr::Column(Column::from(schema.qualified_field_with_unqualified_name(key)?)))
}

/// Returns the outer columns that a query or a nested subquery uses.
pub(in crate::query) fn outside_of(query: &LogicalPlan) -> Result<Vec<Column>> {
    let mut outside = Vec::new();
    query.apply(|node| {
        let within = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                let mut named = match part {
                    Expr::OuterReferenceColumn(_, column) => vec![column.clone()],
                    _ => Vec::new(),
                };
                if let Some(inner) = subquery_of(part) {
                    named.extend(outside_of(&inner.subquery)?);
                    named.retain(|column| !within.has_column(column));
                }
                named.retain(|column| !outside.contains(column));
                outside.extend(named);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(outside)
}

/// Returns the limit over another input.
fn over(limit: &Limit, input: &Arc<LogicalPlan>) -> Limit {
    Limit { input: Arc::clone(input), ..limit.clone() }
}

impl Domain {
    /// Makes the domain of a query; `None` if the query uses columns that `rows` lack.
    pub(super) fn of(rows: &LogicalPlan, query: &LogicalPlan, names: &mut Names) -> Result<Option<Self>> {
        let outside = outside_of(query)?;
        let known = outside.iter().all(|column| rows.schema().has_column(column));
        if !known || outside.is_empty() {
            return Ok(None);
        }
        names.last += 1;
        let name = format!("__outside_{}", names.last);
        let keys: HashMap<Column, String> =
            outside.iter().enumerate().map(|(at, column)| (column.clone(), format!("{name}_{at}"))).collect();
        let columns = outside.iter().map(|column| Expr::Column(column.clone()).alias(&keys[column]));
        // The optimizer must not know that the domain is distinct. DataFusion 55.2 assumes the same of the
        // joined rows, and then drops columns of a DISTINCT over groups.
        let hidden = outside.iter().map(|column| {
            let key = &keys[column];
            of_unknown_origin(Expr::Column(Column::from_name(key))).alias(key)
        });
        let plan = LogicalPlanBuilder::from(rows.clone())
            .project(columns.collect::<Vec<_>>())?
            .distinct()?
            .project(hidden.collect::<Vec<_>>())?
            .build()?;
        Ok(Some(Self { plan, keys, outside, name }))
    }

    fn all_keys(&self, schema: &DFSchema) -> Result<Vec<Expr>> {
        self.outside.iter().map(|column| key_column(schema, &self.keys[column])).collect()
    }

    /// Replaces outer columns in an expression, and in its subqueries, by the columns of the domain.
    fn inside(&self, expr: &Expr, schema: &DFSchema) -> Result<Expr> {
        let expr = expr.clone().transform_up(|part| {
            Ok(match part {
                Expr::OuterReferenceColumn(_, ref column) if self.keys.contains_key(column) => {
                    Transformed::yes(key_column(schema, &self.keys[column])?)
                }
                Expr::ScalarSubquery(query) => {
                    Transformed::yes(Expr::ScalarSubquery(self.around(query, schema)?))
                }
                Expr::Exists(exists) => {
                    let subquery = self.around(exists.subquery, schema)?;
                    Transformed::yes(Expr::Exists(Exists { subquery, ..exists }))
                }
                Expr::InSubquery(among) => {
                    let subquery = self.around(among.subquery, schema)?;
                    Transformed::yes(Expr::InSubquery(InSubquery { subquery, ..among }))
                }
                other => Transformed::no(other),
            })
        })?;
        Ok(expr.data)
    }

    /// Replaces outer columns in a subquery.
    fn around(&self, query: Subquery, schema: &DFSchema) -> Result<Subquery> {
        let renamed = |expr: Expr| {
            expr.transform_up(|part| {
                let Expr::OuterReferenceColumn(field, column) = &part else {
                    return Ok(Transformed::no(part));
                };
                // An inner column of the same name takes precedence.
                let Some(key) = self.keys.get(column).filter(|_| !schema.has_column(column)) else {
                    return Ok(Transformed::no(part));
                };
                let near = Column::from(schema.qualified_field_with_unqualified_name(key)?);
                Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), near)))
            })
        };
        let plan = query.subquery.as_ref().clone().transform_down_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(renamed(expr)?.update_data(|expr| name.restore(expr)))
            })
        })?;
        let outside = query.outer_ref_columns.into_iter().map(|column| Ok(renamed(column)?.data));
        let outer_ref_columns = outside.collect::<Result<_>>()?;
        Ok(Subquery { subquery: Arc::new(plan.data), outer_ref_columns, spans: query.spans })
    }

    /// Computes a query's rows for the whole domain; `None` if it has an unknown node.
    pub(super) fn ask(&self, query: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        if outside_of(query)?.is_empty() {
            return LogicalPlanBuilder::from(self.plan.clone()).cross_join(query.clone())?.build().map(Some);
        }
        match query {
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let Some(rows) = self.ask(input)? else { return Ok(None) };
                let predicate = self.inside(predicate, rows.schema())?;
                LogicalPlanBuilder::from(rows).filter(predicate)?.build().map(Some)
            }
            LogicalPlan::Projection(projection) => {
                let Some(rows) = self.ask(&projection.input)? else { return Ok(None) };
                self.project(rows, projection).map(Some)
            }
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
                let Some(rows) = self.ask(input)? else { return Ok(None) };
                LogicalPlanBuilder::from(rows).alias(alias.clone())?.build().map(Some)
            }
            // Without a LIMIT the order of rows has no effect.
            LogicalPlan::Sort(Sort { input, fetch: None, .. }) => self.ask(input),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Some(rows) = self.ask(input)? else { return Ok(None) };
                LogicalPlanBuilder::from(rows).distinct()?.build().map(Some)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) if matches!(join.join_type, JoinType::Inner | JoinType::Left) => {
                self.join(join)
            }
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Window(window) => self.window(window),
            _ => Ok(None),
        }
    }

    /// Joins rows with the same keys.
    fn join(&self, join: &Join) -> Result<Option<LogicalPlan>> {
        let Some(left) = self.ask(&join.left)? else { return Ok(None) };
        let equal = match join.null_equality {
            NullEquality::NullEqualsNothing => Operator::Eq,
            NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
        };
        let pairs = join.on.iter().map(|(left, right)| binary_expr(left.clone(), equal, right.clone()));
        let mut on: Vec<Expr> = pairs.chain(join.filter.clone()).collect();
        for condition in &mut on {
            *condition = self.inside(condition, left.schema())?;
        }
        let mut right = join.right.as_ref().clone();
        if !outside_of(&right)?.is_empty() {
            let Some(rows) = self.ask(&right)? else { return Ok(None) };
            let mut columns: Vec<Expr> = right.schema().columns().into_iter().map(Expr::Column).collect();
            for column in &self.outside {
                let key = &self.keys[column];
                let other = format!("{key}_right");
                on.push(binary_expr(
                    key_column(left.schema(), key)?,
                    Operator::IsNotDistinctFrom,
                    Expr::Column(Column::from_name(&other)),
                ));
                columns.push(key_column(rows.schema(), key)?.alias(other));
            }
            right = LogicalPlanBuilder::from(rows).project(columns)?.build()?;
        }
        let shown = left.schema().columns().into_iter().chain(join.right.schema().columns());
        let shown: Vec<Expr> = shown.map(Expr::Column).collect();
        let joined = LogicalPlanBuilder::from(left).join_on(right, join.join_type, on)?;
        joined.project(shown)?.build().map(Some)
    }

    /// Partitions windows by the columns of the domain.
    fn window(&self, window: &Window) -> Result<Option<LogicalPlan>> {
        let Some(rows) = self.ask(&window.input)? else { return Ok(None) };
        let keys = self.all_keys(rows.schema())?;
        let mut windows = Vec::new();
        for (expr, (table, field)) in
            window.window_expr.iter().zip(window.schema.iter().skip(window.input.schema().fields().len()))
        {
            let Expr::WindowFunction(mut call) = self.inside(expr, rows.schema())?.unalias() else {
                return Ok(None);
            };
            call.params.partition_by.splice(0..0, keys.iter().cloned());
            windows.push(Expr::WindowFunction(call).alias_qualified(table.cloned(), field.name()));
        }
        LogicalPlanBuilder::from(rows).window(windows)?.build().map(Some)
    }

    fn union(&self, union: &Union) -> Result<Option<LogicalPlan>> {
        let mut inputs = Vec::new();
        for input in &union.inputs {
            let Some(rows) = self.ask(input)? else { return Ok(None) };
            let mut columns = Vec::new();
            for key in &self.outside {
                let key = &self.keys[key];
                columns.push(key_column(rows.schema(), key)?.alias(key));
            }
            let own = input.schema().columns().into_iter().zip(union.schema.iter());
            columns.extend(own.map(|(own, (table, field))| {
                Expr::Column(own).alias_qualified(table.cloned(), field.name())
            }));
            inputs.push(Arc::new(LogicalPlanBuilder::from(rows).project(columns)?.build()?));
        }
        Union::try_new_with_loose_types(inputs).map(|union| Some(LogicalPlan::Union(union)))
    }

    fn project(&self, rows: LogicalPlan, projection: &Projection) -> Result<LogicalPlan> {
        let mut columns = self.all_keys(rows.schema())?;
        for (expr, (table, field)) in projection.expr.iter().zip(projection.schema.iter()) {
            let expr = self.inside(expr, rows.schema())?;
            let same = matches!(&expr, Expr::Column(column) if column.name == *field.name())
                || matches!(expr, Expr::Alias(_));
            columns.push(if same { expr } else { expr.alias_qualified(table.cloned(), field.name()) });
        }
        LogicalPlanBuilder::from(rows).project(columns)?.build()
    }

    /// Applies a LIMIT per row of the domain: it numbers the rows in the order of the query.
    fn limit(&self, limit: &Limit) -> Result<Option<LogicalPlan>> {
        let (Ok(SkipType::Literal(skip)), Ok(FetchType::Literal(fetch))) =
            (limit.get_skip_type(), limit.get_fetch_type())
        else {
            return Ok(None);
        };
        // The order comes from a sort below. Nodes that keep the order may be above the limit or below it.
        let sort = match limit.input.as_ref() {
            LogicalPlan::Projection(projection) => {
                let Some(rows) = self.limit(&over(limit, &projection.input))? else { return Ok(None) };
                return self.project(rows, projection).map(Some);
            }
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
                let Some(rows) = self.limit(&over(limit, input))? else { return Ok(None) };
                return LogicalPlanBuilder::from(rows).alias(alias.clone())?.build().map(Some);
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => Some(sort),
            _ => None,
        };
        let below = sort.map_or(&limit.input, |sort| &sort.input);
        let Some(rows) = self.ask(below)? else { return Ok(None) };
        let order = sort
            .into_iter()
            .flat_map(|sort| &sort.expr)
            .map(|by| Ok(SortExpr { expr: self.inside(&by.expr, rows.schema())?, ..by.clone() }));
        let mut order = order.collect::<Result<Vec<_>>>()?;
        if order.is_empty() {
            // The window needs an order, and any order is right.
            order.extend(self.all_keys(rows.schema())?.into_iter().map(|key| key.sort(true, false)));
        }
        let number = row_number().partition_by(self.all_keys(rows.schema())?).order_by(order).build()?;
        let counted = Expr::Column(Column::from_name(number.schema_name().to_string()));
        let at_least = lit(ScalarValue::UInt64(Some(skip as u64)));
        let mut wanted = vec![counted.clone().gt(at_least)];
        if let Some(fetch) = fetch {
            wanted.push(counted.lt_eq(lit(ScalarValue::UInt64(Some(skip.saturating_add(fetch) as u64)))));
        }
        if skip == 0 && fetch.is_some() {
            wanted.remove(0);
        }
        let Some(wanted) = conjunction(wanted) else { return Ok(None) };
        let rows = LogicalPlanBuilder::from(rows).window([number])?.filter(wanted)?.build()?;
        Ok(Some(rows))
    }

    /// Groups rows per row of the domain. Without a GROUP BY, each row of the domain has a result, even for
    /// an empty input.
    fn aggregate(&self, aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
        let mut exprs = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
        let outer = |part: &Expr| matches!(part, Expr::OuterReferenceColumn(..) | Expr::GroupingSet(_));
        if exprs.any(|expr| expr.exists(|part| Ok(outer(part))).unwrap_or(true)) {
            return Ok(None);
        }
        let Some(rows) = self.ask(&aggregate.input)? else { return Ok(None) };
        let keys = self.all_keys(rows.schema())?;
        let groups: Vec<Expr> = keys.into_iter().chain(aggregate.group_expr.iter().cloned()).collect();
        let grouped = Aggregate::try_new(Arc::new(rows), groups, aggregate.aggr_expr.clone())?;
        let grouped = LogicalPlan::Aggregate(grouped);
        if !aggregate.group_expr.is_empty() {
            return Ok(Some(grouped));
        }
        let others = format!("{}_n", self.name);
        let columns = self.outside.iter().map(|column| {
            let key = &self.keys[column];
            Ok(key_column(grouped.schema(), key)?.alias(format!("{others}{key}")))
        });
        let mut columns = columns.collect::<Result<Vec<_>>>()?;
        let values: Vec<Column> = grouped.schema().columns().split_off(self.outside.len());
        columns.extend(values.iter().cloned().map(Expr::Column));
        let grouped = LogicalPlanBuilder::from(grouped).project(columns)?.build()?;
        let equal = self.outside.iter().map(|column| {
            let key = &self.keys[column];
            let other = Expr::Column(Column::from_name(format!("{others}{key}")));
            Ok(binary_expr(key_column(self.plan.schema(), key)?, Operator::IsNotDistinctFrom, other))
        });
        let all = LogicalPlanBuilder::from(self.plan.clone())
            .join_on(grouped, JoinType::Left, equal.collect::<Result<Vec<_>>>()?)?
            .build()?;
        let mut columns = self.all_keys(all.schema())?;
        for (value, expr) in values.into_iter().zip(&aggregate.aggr_expr) {
            let counts = expr.exists(|part| {
                Ok(matches!(part, Expr::AggregateFunction(call)
                    if ["count", "approx_distinct", "regr_count"].contains(&call.func.name())))
            })?;
            let column = Expr::Column(value.clone());
            columns.push(if counts {
                let none = datafusion::functions::expr_fn::coalesce(vec![column, lit(0_i64)]);
                none.alias_qualified(value.relation, value.name)
            } else {
                column
            });
        }
        LogicalPlanBuilder::from(all).project(columns)?.build().map(Some)
    }
}
