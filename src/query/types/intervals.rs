//! Compares intervals by their length.
//!
//! An interval has months, days and nanoseconds. DataFusion 55.2 compares them one after the other, so
//! `interval '1 day' > interval '25 hours'` is true. This rule compares intervals by their length, as
//! PostgreSQL does, with months of 30 days and days of 24 hours. It applies to operators, lists, sorts,
//! groups, joins, `min` and `max`. A duration, such as `last_seen - first_seen`, is converted if it is
//! compared with an interval.
//!
//! Each side becomes its canonical interval: all parts have one sign, and there are less than 30 days and
//! less than 24 hours. Comparing canonical intervals part by part compares their lengths. Delete this rule
//! when DataFusion compares intervals by their length.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::{
    Column, DFSchema, DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_err,
};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, Alias, Between, Case, InList, InSubquery, ScalarFunction,
    Sort, WindowFunction, WindowFunctionParams,
};
use datafusion::logical_expr::logical_plan::{
    Aggregate, Distinct, DistinctOn, Join, Projection, Sort as SortNode,
};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, WindowFrame, WindowFrameBound, WindowFrameUnits,
};

use super::texts::project;
use super::{equal, is_comparison};

const DAY: i128 = 24 * 60 * 60 * 1_000_000_000;
const MONTH: i128 = 30 * DAY;
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const NAME: &str = "canonical_interval";

/// Returns the function that makes an interval canonical.
pub(super) fn function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Canonical { signature }))
    });
    Arc::clone(&FUNCTION)
}

/// Whether an expression is a call of [`function`].
pub(super) fn is_canonical(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(Alias { expr, .. }) => is_canonical(expr),
        Expr::ScalarFunction(ScalarFunction { func, .. }) => func.name() == NAME,
        _ => false,
    }
}

fn canonical(expr: Expr) -> Expr {
    if is_canonical(&expr) { expr } else { function().call(vec![expr]) }
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Interval(_)))
}

/// Whether the values of the expressions are compared as intervals.
fn compare_as_intervals<'e>(mut exprs: impl Iterator<Item = &'e Expr>, schema: &DFSchema) -> bool {
    let mut any = false;
    let fit = exprs.all(|expr| match expr.get_type(schema) {
        Ok(DataType::Interval(_)) => {
            any = true;
            true
        }
        Ok(DataType::Duration(_) | DataType::Null | DataType::Utf8 | DataType::Utf8View) => true,
        _ => false,
    });
    any && fit
}

/// Compares two intervals by their length; `None` for values of other types.
pub(super) fn compare(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    if !compare_as_intervals([left, right].into_iter(), schema) || (is_canonical(left) && is_canonical(right))
    {
        return None;
    }
    let side = |expr: &Expr| Box::new(canonical(expr.clone()));
    Some(Expr::BinaryExpr(BinaryExpr::new(side(left), op, side(right))))
}

/// Rewrites an expression that compares intervals, so that it compares their lengths; `None` for other
/// expressions.
pub(super) fn rewrite(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            compare(left, *op, right, schema)
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let all = [expr, low, high];
            if !compare_as_intervals(all.iter().map(|expr| &***expr), schema) {
                return Ok(None);
            }
            let [expr, low, high] = all.map(|expr| Box::new(canonical((**expr).clone())));
            Some(Expr::Between(Between { expr, negated: *negated, low, high }))
        }
        Expr::InList(InList { expr, list, negated }) => {
            if !compare_as_intervals(std::iter::once(&**expr).chain(list), schema) {
                return Ok(None);
            }
            let list = list.iter().cloned().map(canonical).collect();
            Some(Expr::InList(InList {
                expr: Box::new(canonical((**expr).clone())),
                list,
                negated: *negated,
            }))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let inner = subquery.subquery.schema();
            if inner.fields().len() != 1 {
                return Ok(None);
            }
            let column = Expr::Column(Column::from(inner.qualified_field(0)));
            if !is_interval(expr, schema) && !is_interval(&column, inner) {
                return Ok(None);
            }
            let expr = Box::new(canonical((**expr).clone()));
            Some(Expr::InSubquery(InSubquery {
                expr,
                subquery: project(subquery, canonical(column))?,
                negated: *negated,
            }))
        }
        Expr::Case(case) => {
            let Some(base) = &case.expr else { return Ok(None) };
            if !compare_as_intervals(
                std::iter::once(&**base).chain(case.when_then_expr.iter().map(|(when, _)| &**when)),
                schema,
            ) {
                return Ok(None);
            }
            let whens = case
                .when_then_expr
                .iter()
                .map(|(when, then)| Ok((Box::new(equal(base, when, schema)?), then.clone())));
            Some(Expr::Case(Case::new(None, whens.collect::<Result<_>>()?, case.else_expr.clone())))
        }
        Expr::ScalarFunction(ScalarFunction { func, args })
            if matches!(func.name(), "greatest" | "least") && compare_as_intervals(args.iter(), schema) =>
        {
            Some(func.call(args.iter().cloned().map(canonical).collect()))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "nullif" => {
            let [value, other] = args.as_slice() else { return Ok(None) };
            let Some(equal) = compare(value, Operator::Eq, other, schema) else { return Ok(None) };
            Some(super::null_if(equal, value, schema)?)
        }
        Expr::AggregateFunction(aggregate) => aggregated(aggregate, schema),
        Expr::WindowFunction(window) => windowed(window, schema)?,
        _ => None,
    })
}

fn sorts(sorts: &[Sort], schema: &DFSchema) -> Option<Vec<Sort>> {
    let by = |sort: &Sort| is_interval(&sort.expr, schema) && !is_canonical(&sort.expr);
    if !sorts.iter().any(by) {
        return None;
    }
    let canonical =
        |sort: &Sort| if by(sort) { sort.with_expr(canonical(sort.expr.clone())) } else { sort.clone() };
    Some(sorts.iter().map(canonical).collect())
}

/// Rewrites aggregates of intervals. `min` and `max` become the first and the last interval in the order of
/// lengths. DISTINCT counts intervals with different lengths.
fn aggregated(aggregate: &AggregateFunction, schema: &DFSchema) -> Option<Expr> {
    let AggregateFunction { func, params } = aggregate;
    let of_intervals = params.args.first().is_some_and(|arg| is_interval(arg, schema) && !is_canonical(arg));
    let ordered = sorts(&params.order_by, schema);
    if of_intervals && matches!(func.name(), "min" | "max") {
        let arg = params.args.first()?.clone();
        let first = Sort { expr: canonical(arg.clone()), asc: func.name() == "min", nulls_first: false };
        let params = AggregateFunctionParams {
            args: vec![arg],
            distinct: false,
            order_by: vec![first],
            null_treatment: None,
            ..params.clone()
        };
        return Some(Expr::AggregateFunction(AggregateFunction { func: first_value_udaf(), params }));
    }
    if ordered.is_none() && !(of_intervals && params.distinct) {
        return None;
    }
    let mut params = params.clone();
    params.order_by = ordered.unwrap_or(params.order_by);
    if of_intervals && params.distinct {
        params.args = params.args.into_iter().map(canonical).collect();
    }
    Some(Expr::AggregateFunction(AggregateFunction { func: Arc::clone(func), params }))
}

fn windowed(window: &WindowFunction, schema: &DFSchema) -> Result<Option<Expr>> {
    let open = |expr: &Expr| is_interval(expr, schema) && !is_canonical(expr);
    let params = &window.params;
    let ordered = sorts(&params.order_by, schema);
    let frame = frame_of_peers(params, schema)?;
    let extreme = matches!(window.fun.name(), "min" | "max") && params.args.iter().any(open);
    if ordered.is_none() && frame.is_none() && !extreme && !params.partition_by.iter().any(open) {
        return Ok(None);
    }
    let mut window = window.clone();
    let close = |expr: Expr| if open(&expr) { canonical(expr) } else { expr };
    let params = &mut window.params;
    params.partition_by = std::mem::take(&mut params.partition_by).into_iter().map(close).collect();
    if let Some(ordered) = ordered {
        params.order_by = ordered;
    }
    if let Some(frame) = frame {
        params.window_frame = frame;
    }
    if extreme {
        params.args = std::mem::take(&mut params.args).into_iter().map(close).collect();
    }
    Ok(Some(Expr::WindowFunction(Box::new(window))))
}

/// Turns the RANGE frame of a window that is ordered by intervals or durations into a GROUPS frame. Without
/// an offset both have the same rows, and DataFusion 55.2 has no RANGE frames over these types.
fn frame_of_peers(params: &WindowFunctionParams, schema: &DFSchema) -> Result<Option<WindowFrame>> {
    let is_length =
        |sort: &Sort| matches!(sort.expr.get_type(schema), Ok(DataType::Interval(_) | DataType::Duration(_)));
    let frame = &params.window_frame;
    if frame.units != WindowFrameUnits::Range || !params.order_by.iter().any(is_length) {
        return Ok(None);
    }
    let bound = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(distance) if distance.is_null() => {
            Ok(WindowFrameBound::Preceding(ScalarValue::UInt64(None)))
        }
        WindowFrameBound::Following(distance) if distance.is_null() => {
            Ok(WindowFrameBound::Following(ScalarValue::UInt64(None)))
        }
        WindowFrameBound::CurrentRow => Ok(WindowFrameBound::CurrentRow),
        _ => plan_err!(
            "a window that is ordered by an interval cannot have a RANGE with an offset; order it by \
             seconds, `extract(epoch FROM …)`"
        ),
    };
    let (start, end) = (bound(&frame.start_bound)?, bound(&frame.end_bound)?);
    Ok(Some(WindowFrame::new_bounds(WindowFrameUnits::Groups, start, end)))
}

/// Rewrites a node so that it sorts, joins and groups by the lengths of intervals.
pub(super) fn rewrite_node(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Sort(sort) => match sorts(&sort.expr, sort.input.schema()) {
            Some(expr) => LogicalPlan::Sort(SortNode { expr, ..sort }),
            None => LogicalPlan::Sort(sort),
        },
        LogicalPlan::Join(join) => LogicalPlan::Join(joined(join)),
        LogicalPlan::Distinct(Distinct::All(input)) if has_intervals(&input) => {
            let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
            grouped(Aggregate::try_new(input, columns, Vec::new())?)?
        }
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            let schema = Arc::clone(on.input.schema());
            let close = |expr: Expr| if is_interval(&expr, &schema) { canonical(expr) } else { expr };
            let on_expr = std::mem::take(&mut on.on_expr).into_iter().map(close).collect();
            let sort_expr = on.sort_expr.take().map(|by| sorts(&by, &schema).unwrap_or(by));
            LogicalPlan::Distinct(Distinct::On(DistinctOn { on_expr, sort_expr, ..on }))
        }
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate)?,
        other => other,
    })
}

fn has_intervals(plan: &LogicalPlan) -> bool {
    plan.schema().fields().iter().any(|field| matches!(field.data_type(), DataType::Interval(_)))
}

fn joined(mut join: Join) -> Join {
    let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
    for (of_left, of_right) in &mut join.on {
        if is_interval(of_left, &left) || is_interval(of_right, &right) {
            *of_left = canonical(std::mem::take(of_left));
            *of_right = canonical(std::mem::take(of_right));
        }
    }
    join
}

/// Groups by canonical intervals, and returns the first interval of each group.
fn grouped(aggregate: Aggregate) -> Result<LogicalPlan> {
    let schema = Arc::clone(aggregate.input.schema());
    let open = |expr: &Expr| {
        let expr = match expr {
            Expr::Alias(alias) => &alias.expr,
            other => other,
        };
        is_interval(expr, &schema) && !is_canonical(expr)
    };
    if let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() {
        if sets.distinct_expr().into_iter().any(open) {
            return plan_err!(
                "ROLLUP, CUBE and GROUPING SETS cannot group intervals by their length; group by seconds, \
                 `extract(epoch FROM …)`"
            );
        }
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    if !aggregate.group_expr.iter().any(open) {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let mut shown = Vec::new();
    let keys: Vec<Expr> = aggregate
        .group_expr
        .iter()
        .enumerate()
        .map(|(at, expr)| {
            if !open(expr) {
                return expr.clone();
            }
            let value = expr.clone().unalias();
            let params = AggregateFunctionParams {
                args: vec![value.clone()],
                distinct: false,
                filter: None,
                order_by: Vec::new(),
                null_treatment: None,
            };
            let first = Expr::AggregateFunction(AggregateFunction { func: first_value_udaf(), params });
            shown.push((at, first.alias(format!("interval of group {at}"))));
            canonical(value).alias(format!("length of group {at}"))
        })
        .collect();
    let mut aggregates = aggregate.aggr_expr.clone();
    let counted = keys.len() + aggregates.len();
    aggregates.extend(shown.iter().map(|(_, first)| first.clone()));
    let grouped = Aggregate::try_new(Arc::clone(&aggregate.input), keys, aggregates)?;
    let column = |at: usize| Expr::Column(Column::from(grouped.schema.qualified_field(at)));
    let columns = (0..counted).map(|at| match shown.iter().position(|(key, _)| *key == at) {
        Some(first) => {
            let (relation, field) = aggregate.schema.qualified_field(at);
            column(counted + first).alias_qualified(relation.cloned(), field.name())
        }
        None => column(at),
    });
    let columns = columns.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(grouped)))?))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Canonical {
    signature: Signature,
}

impl ScalarUDFImpl for Canonical {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [
            DataType::Interval(_)
            | DataType::Duration(_)
            | DataType::Null
            | DataType::Utf8
            | DataType::Utf8View,
        ] = given
        else {
            return plan_err!("{NAME} takes an interval, and the arguments are {given:?}");
        };
        Ok(vec![INTERVAL])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let Some(first) = args.args.into_iter().next() else { return plan_err!("{NAME} takes an interval") };
        let intervals = cast(&first.into_array(rows)?, &INTERVAL)?;
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let answer = intervals.try_unary::<_, IntervalMonthDayNanoType, DataFusionError>(shortened)?;
        let answer: ArrayRef = Arc::new(answer);
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?));
        }
        Ok(ColumnarValue::Array(answer))
    }
}

fn shortened(interval: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    let length = i128::from(interval.months) * MONTH
        + i128::from(interval.days) * DAY
        + i128::from(interval.nanoseconds);
    let part = |part: i128| {
        i32::try_from(part).map_err(|_| {
            exec_datafusion_err!("failed to compare an interval of {} days: it is too long", length / DAY)
        })
    };
    let (months, rest) = (part(length / MONTH)?, length % MONTH);
    let nanoseconds = i64::try_from(rest % DAY).unwrap_or_default();
    Ok(IntervalMonthDayNano::new(months, part(rest / DAY)?, nanoseconds))
}
