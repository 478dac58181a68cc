//! Refuses `lead(x, 2) IGNORE NULLS`.
//!
//! DataFusion 55.2 returns NULL for it although there is a value, if the row after next is NULL. `lead(x, 1)` and `lag`
//! are right. Delete the check when DataFusion answers it.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};

/// Fails if a window function reads further ahead than the next value.
pub(in crate::query) fn check(call: &WindowFunction) -> Result<()> {
    let ahead = match call.fun.name() {
        "lead" => 1,
        "lag" => -1,
        _ => return Ok(()),
    };
    let is_near =
        call.params.args.get(1).is_none_or(|offset| number(offset).is_some_and(|of| of * ahead <= 1));
    if call.params.null_treatment == Some(NullTreatment::IgnoreNulls) && !is_near {
        return plan_err!(
            "lead with IGNORE NULLS can read only the next value; for the value after it, write lag(x, 2) IGNORE NULLS \
             OVER (ORDER BY y DESC)"
        );
    }
    Ok(())
}

/// A constant offset, if it is an integer of a usual size.
fn number(offset: &Expr) -> Option<i64> {
    let literal = |value: &ScalarValue| match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(Some(number))) => Some(i64::from(i32::try_from(number).ok()?)),
        _ => None,
    };
    match offset {
        Expr::Literal(value, _) => literal(value),
        Expr::Negative(inner) => match inner.as_ref() {
            Expr::Literal(value, _) => literal(value).map(|number| -number),
            _ => None,
        },
        _ => None,
    }
}
