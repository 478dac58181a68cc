//! `CAST(json -> key AS type)` converts a JSON scalar into an SQL value.
//!
//! As in PostgreSQL, a JSON number becomes a number, and is rounded if the type has no fractions. `true` and
//! `false` become booleans. The JSON value `null` becomes NULL. For any other value the cast fails, and
//! `TRY_CAST` gives NULL.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{Alias, ScalarFunction};

use super::functions::{Answer, Way, function, is_text};

/// Rewrites a cast of a JSON value, so that it converts JSON scalars; `None` for other expressions.
pub(in crate::query) fn typed(expr: &Expr) -> Result<Option<Expr>> {
    let (inside, to) = match expr {
        Expr::Cast(cast) => (&cast.expr, cast.field.data_type()),
        Expr::TryCast(cast) => (&cast.expr, cast.field.data_type()),
        _ => return Ok(None),
    };
    let Some(args) = call_of(inside)? else { return Ok(None) };
    let answer = match to {
        // A cast of JSON text to text changes nothing.
        text if is_text(text) => return Ok(None),
        DataType::Null => return Ok(None),
        integer if integer.is_integer() => Answer::Integer,
        _ => Answer::Scalar,
    };
    let value = Box::new(function(answer, Way::Steps)?.call(args.to_vec()));
    Ok(Some(match expr.clone() {
        Expr::Cast(mut cast) => {
            cast.expr = value;
            Expr::Cast(cast)
        }
        Expr::TryCast(mut cast) => {
            cast.expr = value;
            Expr::TryCast(cast)
        }
        other => other,
    }))
}

/// Whether an expression is a JSON value as text, as `->` returns it.
pub(in crate::query) fn is_json(expr: &Expr) -> Result<bool> {
    Ok(call_of(expr)?.is_some())
}

/// Returns the arguments, if the expression is a call of the function for `->`.
pub(super) fn call_of(expr: &Expr) -> Result<Option<&[Expr]>> {
    Ok(match expr {
        Expr::Alias(Alias { expr, .. }) => call_of(expr)?,
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let get = function(Answer::Json, Way::Steps)?;
            (Arc::ptr_eq(func, &get) || *func == get).then_some(args.as_slice())
        }
        _ => None,
    })
}
