//! Limits the sizes that a query's text can request, because a failed allocation would abort the process.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, TryCast};

/// The largest length of a `FixedSizeList` or `FixedSizeBinary` type.
const MOST_FIXED: i32 = 1 << 16;
/// The largest number of centroids of an approximate percentile.
const MOST_CENTROIDS: u64 = 100_000;
/// The largest product of a constant's size in bytes and the number of rows for which it is repeated.
const MOST_BYTES: usize = 256 << 20;
/// Smaller constants are not checked.
const SMALL_BYTES: usize = 64 << 10;

/// Refuses types with too large a length. It must run before constants are computed.
pub(super) fn check_types(plan: &LogicalPlan) -> Result<()> {
    each_expression(plan, &mut |expr| {
        let named = match expr {
            Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => {
                Some(field.data_type().clone())
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) if func.name().contains("cast") => {
                args.get(1).and_then(text).and_then(|name| name.parse().ok())
            }
            _ => None,
        };
        match named.as_ref().and_then(fixed) {
            Some(size) if size > MOST_FIXED => {
                plan_err!("a type of {size} values in each row is too large, and the limit is {MOST_FIXED}")
            }
            _ => Ok(()),
        }
    })
}

/// Refuses constants that are too large. It must run after constants are computed.
pub(super) fn check_constants(plan: &LogicalPlan) -> Result<()> {
    each_expression(plan, &mut |expr| {
        let (name, args) = match expr {
            Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
            Expr::WindowFunction(call) => (call.fun.name(), &call.params.args),
            _ => return Ok(()),
        };
        match args.iter().filter_map(Expr::as_literal).filter_map(number).max() {
            Some(most) if name.starts_with("approx_percentile") && most > MOST_CENTROIDS => {
                plan_err!("{name}() with {most} centroids is too large, and the limit is {MOST_CENTROIDS}")
            }
            _ => Ok(()),
        }
    })?;
    plan.apply_with_subqueries(|node| {
        let rows = node.inputs().iter().map(|input| input.max_rows()).max().flatten().unwrap_or(usize::MAX);
        for expr in node.expressions() {
            let expr = expr.unalias_nested().data;
            let bytes = expr.as_literal().map_or(0, ScalarValue::size);
            if bytes > SMALL_BYTES && bytes.saturating_mul(rows) > MOST_BYTES {
                return Err(DataFusionError::ResourcesExhausted(format!(
                    "a constant of {bytes} bytes would be copied for each row, and is too large"
                )));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn each_expression(plan: &LogicalPlan, check: &mut dyn FnMut(&Expr) -> Result<()>) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                check(part)?;
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

/// Returns the largest fixed length in a type.
fn fixed(of: &DataType) -> Option<i32> {
    match of {
        DataType::FixedSizeList(field, size) => fixed(field.data_type()).max(Some(*size)),
        DataType::FixedSizeBinary(size) => Some(*size),
        DataType::List(field) | DataType::LargeList(field) | DataType::Map(field, _) => {
            fixed(field.data_type())
        }
        DataType::Struct(fields) => fields.iter().filter_map(|field| fixed(field.data_type())).max(),
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<&str> {
    expr.as_literal()?.try_as_str().flatten()
}

fn number(value: &ScalarValue) -> Option<u64> {
    match value.cast_to(&DataType::UInt64) {
        Ok(ScalarValue::UInt64(number)) if value.data_type().is_integer() => number,
        _ => None,
    }
}
