//! Hides casts that do not keep the order of their values.
//!
//! DataFusion 55.2 assumes that a cast of a column's smallest and largest value gives the smallest and
//! largest value of the cast column. It uses this to prune segments, to answer `max`, to filter the other
//! side of a join, and to omit sorts. But the times of day of the first and the last instant are no bounds
//! for the instants between them, as in `WHERE at::time < '06:00'`. And as texts, `'10'` is less than `'9'`.
//!
//! So our rule turns a cast that does not keep the order into a function with the same result, as the last
//! step of planning. DataFusion assumes nothing about this function. Delete the rule when DataFusion uses
//! only casts that keep the order.

use std::any::Any;
use std::sync::Arc;

use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::format::DEFAULT_FORMAT_OPTIONS;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TryCast, Volatility,
};

use super::failing::always_casts;
use super::{day_ranges, is_utc, rewrite_expressions};

/// Hides the casts of an expression that statistics could misread.
pub(super) fn hidden(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let by_instant = expr.transform_up(|expr| {
        Ok(match day_ranges::rewrite(&expr, schema)? {
            Some(compared) => Transformed::yes(compared),
            None => Transformed::no(expr),
        })
    })?;
    by_instant.transform_data(|expr| {
        expr.transform_up(|expr| {
            Ok(match hide(&expr, schema)? {
                Some(function) => Transformed::yes(function),
                None => Transformed::no(expr),
            })
        })
    })
}

/// Hides such casts in a node of a plan.
pub(super) fn hide_in_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    rewrite_expressions(plan, hidden)?.map_data(|plan| {
        let LogicalPlan::Join(mut join) = plan else { return Ok(plan) };
        // The planner turns keys into columns, and a cast has the name of its argument.
        for key in join.on.iter_mut().flat_map(|(left, right)| [left, right]) {
            if hidden_cast(key).is_some() {
                let name = key.to_string();
                *key = std::mem::take(key).alias(name);
            }
        }
        Ok(LogicalPlan::Join(join))
    })
}

/// Returns the argument and the type of a hidden cast, and whether it gives NULL on failure.
pub(super) fn hidden_cast(expr: &Expr) -> Option<(&Expr, &DataType, bool)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let inner: &dyn Any = func.inner().as_ref();
    let cast = inner.downcast_ref::<HiddenCast>()?;
    Some((args.first()?, &cast.to, cast.or_null))
}

fn hide(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let (value, field, or_null) = match expr {
        Expr::Cast(Cast { expr, field }) => (expr, field, false),
        Expr::TryCast(TryCast { expr, field }) => (expr, field, true),
        _ => return Ok(None),
    };
    if matches!(**value, Expr::Literal(..)) {
        return Ok(None);
    }
    let (from, to) = (value.get_type(schema)?, field.data_type());
    let has_order = from.is_numeric() || from.is_temporal() || from == DataType::Boolean;
    let is_harmless =
        keeps_order(&from, to) && !is_coarse(&from, to) && (!or_null || always_casts(&from, to));
    if !has_order || is_harmless {
        return Ok(None);
    }
    let signature = Signature::any(1, Volatility::Immutable);
    let function = HiddenCast { to: to.clone(), or_null, signature };
    Ok(Some(ScalarUDF::new_from_impl(function).call(vec![(**value).clone()])))
}

/// Whether a cast maps several values to one. DataFusion 55.2 estimates the rows of a filter from the
/// column's smallest and largest value. For `t::date > x` it uses the midnight of the day. If the midnight is
/// before the smallest instant, the estimate is larger than the number of rows, and DataFusion refuses the
/// query.
fn is_coarse(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Date64, Duration, Time32, Time64, Timestamp};
    match (from, to) {
        (Timestamp(..), Date32 | Date64) | (Date64, Date32) => true,
        (Timestamp(fine, _), Timestamp(coarse, _))
        | (Time32(fine) | Time64(fine), Time32(coarse) | Time64(coarse))
        | (Duration(fine), Duration(coarse)) => fine > coarse,
        (from, to) => from.is_floating() && to.is_integer(),
    }
}

/// Whether a cast keeps the order of values: it never casts the smaller of two values to the larger result.
fn keeps_order(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Date32, Date64, Duration, Int64, Time32, Time64, Timestamp};
    match (from, to) {
        (from, to) if from == to => true,
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (Boolean, to) => to.is_numeric(),
        (Timestamp(_, Some(_)), Timestamp(_, Some(_)))
        | (Timestamp(..), Int64)
        | (Int64, Timestamp(..))
        | (Date32 | Date64, Date32 | Date64)
        | (Time32(_) | Time64(_), Time32(_) | Time64(_))
        | (Duration(_), Duration(_)) => true,
        // A clock that is set back shows an earlier time at a later instant.
        (Timestamp(_, from), Timestamp(_, to)) => {
            from.as_deref().is_none_or(is_utc) && to.as_deref().is_none_or(is_utc)
        }
        (Timestamp(_, zone), Date32 | Date64) | (Date32 | Date64, Timestamp(_, zone)) => {
            zone.as_deref().is_none_or(is_utc)
        }
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HiddenCast {
    to: DataType,
    /// Whether a failed cast gives NULL, as `TRY_CAST` does.
    or_null: bool,
    signature: Signature,
}

impl ScalarUDFImpl for HiddenCast {
    fn name(&self) -> &str {
        if self.or_null { "try_cast_unordered" } else { "cast_unordered" }
    }

    /// Returns the name that the cast would give to a column of the answer.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let is_nullable = self.or_null || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.into_iter().next() else {
            return internal_err!("{} takes one argument", self.name());
        };
        let options = CastOptions { safe: self.or_null, format_options: DEFAULT_FORMAT_OPTIONS };
        value.cast_to(&self.to, Some(&options))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit::{Nanosecond, Second};

    use super::*;

    #[test]
    fn a_cast_that_may_turn_values_round_is_hidden() {
        let instant = |zone: &str| DataType::Timestamp(Nanosecond, Some(zone.into()));
        let wall = DataType::Timestamp(Nanosecond, None);
        for (from, to, wanted) in [
            (instant("UTC"), DataType::Date32, true),
            (instant("UTC"), DataType::Timestamp(Second, Some("UTC".into())), true),
            (instant("UTC"), wall.clone(), true),
            (instant("UTC"), instant("Europe/Athens"), true),
            (DataType::Int32, DataType::Int64, true),
            (DataType::Int64, DataType::Float64, true),
            (DataType::Int64, DataType::Int8, true),
            (instant("UTC"), DataType::Time64(Nanosecond), false),
            (instant("UTC"), DataType::Time32(Second), false),
            (instant("Europe/Athens"), wall.clone(), false),
            (instant("Europe/Athens"), DataType::Date32, false),
            (wall, instant("Europe/Athens"), false),
            (instant("UTC"), DataType::Utf8, false),
            (DataType::Int64, DataType::Utf8View, false),
            (DataType::Int64, DataType::Boolean, false),
        ] {
            assert_eq!(keeps_order(&from, &to), wanted, "{from} to {to}");
        }
    }
}
