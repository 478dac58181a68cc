//! Compares instants with constant times that DataFusion 55.2 cannot parse or cast.
//!
//! - `at > '2026-11-23 10:00'` has no seconds. The time is the beginning of that minute.
//! - `at < '9999-12-31'` is outside the range of nanoseconds, which ends in 2262. The condition is true for
//!   every instant, and the cast must not fail.
//!
//! Delete this rule when DataFusion answers both conditions.

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator, lit};

use super::is_comparison;

/// Rewrites a comparison with such a time; `None` for other expressions.
pub(super) fn rewrite(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            compare(left, *op, right, schema)
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let from = compare(expr, Operator::GtEq, low, schema);
            let to = compare(expr, Operator::LtEq, high, schema);
            if from.is_none() && to.is_none() {
                return Ok(None);
            }
            let from = from.unwrap_or_else(|| (**expr).clone().gt_eq((**low).clone()));
            let within = from.and(to.unwrap_or_else(|| (**expr).clone().lt_eq((**high).clone())));
            Some(if *negated { Expr::Not(Box::new(within)) } else { within })
        }
        Expr::InList(InList { expr, list, negated })
            if zone(expr, schema).is_some()
                && list.iter().any(|value| beyond(value).is_some() || with_seconds(value).is_some()) =>
        {
            // No instant equals a time beyond the range of instants.
            let near = list.iter().filter(|value| beyond(value).is_none());
            let near: Vec<_> =
                near.map(|value| with_seconds(value).unwrap_or_else(|| value.clone())).collect();
            if near.is_empty() {
                let op = if *negated { Operator::NotEq } else { Operator::Eq };
                return Ok(list.first().and_then(|value| compare(expr, op, value, schema)));
            }
            Some((**expr).clone().in_list(near, *negated))
        }
        // `TIMESTAMP '2026-11-23 10:00'` is rewritten everywhere, also outside of comparisons.
        Expr::Cast(cast) if matches!(cast.field.data_type(), DataType::Timestamp(..)) => with_seconds(expr),
        _ => None,
    })
}

fn compare(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    let (instant, op, written, zone) = match (zone(left, schema), zone(right, schema)) {
        (Some(zone), None) => (left, op, right, zone),
        (None, Some(zone)) => (right, op.swap()?, left, zone),
        _ => return None,
    };
    let binary =
        |op, right| Expr::BinaryExpr(BinaryExpr::new(Box::new(instant.clone()), op, Box::new(right)));
    if let Some(end) = beyond(written) {
        match op {
            Operator::IsDistinctFrom => return Some(lit(true)),
            Operator::IsNotDistinctFrom => return Some(lit(false)),
            _ => {}
        }
        // No instant is after the end of the range, and every instant is before it.
        let after = end == i64::MAX;
        let op = match op {
            Operator::Lt | Operator::LtEq | Operator::NotEq if after => Operator::LtEq,
            Operator::Gt | Operator::GtEq | Operator::Eq if after => Operator::Gt,
            Operator::Lt | Operator::LtEq | Operator::Eq => Operator::Lt,
            Operator::Gt | Operator::GtEq | Operator::NotEq => Operator::GtEq,
            _ => return None,
        };
        return Some(binary(op, lit(ScalarValue::TimestampNanosecond(Some(end), zone))));
    }
    Some(binary(op, with_seconds(written)?))
}

/// Returns the zone of a timestamp that is not a constant. The inner option is `None` for a wall time.
#[expect(clippy::option_option, reason = "a wall time has no zone")]
fn zone(expr: &Expr, schema: &DFSchema) -> Option<Option<std::sync::Arc<str>>> {
    match expr.get_type(schema) {
        Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone)) if text(expr).is_none() => Some(zone),
        _ => None,
    }
}

/// Returns the text of a constant time: `'…'`, `DATE '…'` or `TIMESTAMP '…'`.
fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        Expr::Cast(Cast { expr, field }) if field.data_type().is_temporal() => match &**expr {
            Expr::Literal(value, _) => value.try_as_str().flatten(),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the end of the range of instants that a constant time is beyond; `None` for a time within the
/// range.
fn beyond(written: &Expr) -> Option<i64> {
    let time = string_to_datetime(&"+00:00".parse::<Tz>().ok()?, text(written)?.trim()).ok()?;
    match time.timestamp_nanos_opt() {
        Some(_) => None,
        None if time.timestamp() > 0 => Some(i64::MAX),
        None => Some(i64::MIN),
    }
}

/// Adds seconds to a constant time without seconds; `None` for other times.
fn with_seconds(written: &Expr) -> Option<Expr> {
    let text = text(written)?.trim();
    let (minutes, rest) = text.split_at_checked("2026-11-23 10:00".len())?;
    let like = |pattern: char, char: char| match pattern {
        '0' => char.is_ascii_digit(),
        ' ' => matches!(char, ' ' | 'T' | 't'),
        other => char == other,
    };
    let is_time = "0000-00-00 00:00".chars().zip(minutes.chars()).all(|(pattern, char)| like(pattern, char));
    if !is_time || !(rest.is_empty() || rest.starts_with(['+', '-', 'Z', 'z', ' '])) {
        return None;
    }
    let whole = lit(format!("{minutes}:00{rest}"));
    Some(match written {
        Expr::Cast(cast) => Expr::Cast(Cast::new_from_field(Box::new(whole), cast.field.clone())),
        _ => whole,
    })
}
