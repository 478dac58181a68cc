//! Extracts the parts of a duration as PostgreSQL does: `extract(hour FROM last_seen - first_seen)` returns
//! the hours within the last day.
//!
//! DataFusion 55.2 returns the total in hours. It also loses fractions of seconds, and overflows 32 bits. For
//! the seconds of an interval, PostgreSQL counts a year as 365.25 days, and DataFusion as 360 days. Our rule
//! computes the parts by integer arithmetic, and the seconds as PostgreSQL does. Delete it when DataFusion
//! returns these results.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF, cast, lit};

use super::intervals;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Computes a part of a duration by integer arithmetic; `None` for other expressions.
pub(super) fn rewrite(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return Ok(None) };
    let [part, length] = args.as_slice() else { return Ok(None) };
    let part = part.as_literal().and_then(|part| part.try_as_str().flatten());
    let part = match (part, func.name(), length.get_type(schema)) {
        (Some(part), "date_part", Ok(DataType::Duration(_))) => part,
        (Some(part), "date_part", Ok(DataType::Interval(_)))
            if part.eq_ignore_ascii_case("epoch") && !intervals::is_canonical(length) =>
        {
            return Ok(Some(seconds_of_interval(func, length)));
        }
        _ => return Ok(None),
    };
    let length = cast(length.clone(), DataType::Duration(TimeUnit::Nanosecond));
    let nanos = cast(length, DataType::Int64);
    let within = |whole: i64, unit: i64| (nanos.clone() % lit(whole)) / lit(unit);
    let part = part.to_lowercase();
    Ok(Some(match part.trim_end_matches('s') {
        "epoch" => cast(nanos, DataType::Float64) / lit(1e9),
        "day" => nanos / lit(DAY),
        "hour" => within(DAY, HOUR),
        "minute" => within(HOUR, MINUTE),
        "second" => within(MINUTE, SECOND),
        "millisecond" => within(MINUTE, 1_000_000),
        "microsecond" => within(MINUTE, 1_000),
        "nanosecond" => within(MINUTE, 1),
        other => {
            return plan_err!(
                "a duration has no part {other}; extract day, hour, minute or second, or all seconds with \
                 `extract(epoch FROM …)`"
            );
        }
    }))
}

/// Computes `extract(epoch FROM interval)`. The result contains the canonical interval, which has the same
/// length, so that this rule does not rewrite it again.
fn seconds_of_interval(date_part: &Arc<ScalarUDF>, interval: &Expr) -> Expr {
    /// The seconds by which a year of 365.25 days is longer than twelve months of 30 days.
    const YEAR_BEYOND_MONTHS: f64 = 5.25 * 86_400.0;
    let canonical = intervals::function().call(vec![interval.clone()]);
    let seconds = date_part.call(vec![lit("epoch"), canonical]);
    let years = date_part.call(vec![lit("year"), interval.clone()]);
    seconds + cast(years, DataType::Float64) * lit(YEAR_BEYOND_MONTHS)
}
