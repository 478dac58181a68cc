//! Makes the sum of a date and an interval a timestamp, as in PostgreSQL.
//!
//! DataFusion 55.2 returns a date, and so loses the hours of `date '2026-10-25' + interval '6 hours'`. Our
//! rule casts the date to a timestamp. Delete it when DataFusion returns a timestamp.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, cast};

/// Casts the date of such a sum to a timestamp; `None` for other expressions.
pub(super) fn rewrite(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let is_day = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Date32 | DataType::Date64));
    let is_length =
        |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Interval(_) | DataType::Duration(_)));
    let midnight = |day: &Expr| cast(day.clone(), DataType::Timestamp(TimeUnit::Nanosecond, None));
    let (left, right) = match op {
        Operator::Plus | Operator::Minus if is_day(left) && is_length(right) => {
            (midnight(left), right.as_ref().clone())
        }
        Operator::Plus if is_length(left) && is_day(right) => (left.as_ref().clone(), midnight(right)),
        _ => return None,
    };
    Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *op, Box::new(right))))
}
