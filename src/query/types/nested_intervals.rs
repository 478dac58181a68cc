//! Refuses comparisons of arrays and structs that contain intervals, because DataFusion would not compare the
//! intervals by their length.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::logical_plan::Distinct;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan};

use super::is_comparison;

/// Array functions that compare elements.
const COMPARING: [&str; 19] = [
    "array_distinct",
    "array_except",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_intersect",
    "array_max",
    "array_min",
    "array_position",
    "array_positions",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_sort",
    "array_union",
    "arrays_overlap",
];

/// Whether a nested type contains intervals.
fn has_within(of: &DataType) -> bool {
    let has = |of: &DataType| matches!(of, DataType::Interval(_)) || has_within(of);
    match of {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => has(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has(field.data_type())),
        _ => false,
    }
}

fn is_nested(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|of| has_within(&of))
}

/// Refuses an expression that compares nested intervals.
pub(super) fn check(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let nested = |expr: &Expr| is_nested(expr, schema);
    let compares = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            is_comparison(*op) && (nested(left) || nested(right))
        }
        Expr::Between(between) => nested(&between.expr),
        Expr::InList(among) => nested(&among.expr),
        Expr::InSubquery(among) => nested(&among.expr),
        Expr::ScalarFunction(call) => {
            let name = call.func.name();
            (COMPARING.contains(&name) || matches!(name, "greatest" | "least" | "nullif"))
                && call.args.iter().any(nested)
        }
        Expr::AggregateFunction(call) => {
            let by_value = call.params.distinct || matches!(call.func.name(), "min" | "max");
            (by_value && call.params.args.iter().any(nested))
                || call.params.order_by.iter().any(|sort| nested(&sort.expr))
        }
        Expr::WindowFunction(call) => {
            let params = &call.params;
            (matches!(call.fun.name(), "min" | "max") && params.args.iter().any(nested))
                || params.partition_by.iter().any(nested)
                || params.order_by.iter().any(|sort| nested(&sort.expr))
        }
        _ => false,
    };
    if compares { refuse() } else { Ok(()) }
}

/// Refuses a plan node that compares nested intervals.
pub(super) fn check_node(plan: &LogicalPlan) -> Result<()> {
    let compares = match plan {
        LogicalPlan::Sort(sort) => sort.expr.iter().any(|by| is_nested(&by.expr, sort.input.schema())),
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.group_expr.iter().any(|by| is_nested(by, aggregate.input.schema()))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            input.schema().fields().iter().any(|field| has_within(field.data_type()))
        }
        LogicalPlan::Distinct(Distinct::On(on)) => {
            on.on_expr.iter().any(|by| is_nested(by, on.input.schema()))
        }
        LogicalPlan::Join(join) => join.on.iter().any(|(left, _)| is_nested(left, join.left.schema())),
        _ => false,
    };
    if compares { refuse() } else { Ok(()) }
}

fn refuse() -> Result<()> {
    plan_err!(
        "intervals within an array or a struct cannot be compared by their length; compare seconds, \
         `extract(epoch FROM …)`"
    )
}
