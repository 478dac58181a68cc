//! Turns a comparison of a UTC day with a constant into a range of instants: `at::date = DATE '2026-11-23'`
//! becomes the range from one midnight to the next.
//!
//! The segments' statistics can decide such a range, but not the cast (see [`casts`](super::casts)).

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, ExprSchemable, Operator, lit};

use super::{is_comparison, is_utc};

const DAY_NANOS: i128 = 86_400_000_000_000;

/// Rewrites a comparison of a day with constants; `None` for other expressions.
pub(super) fn rewrite(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            let turned = || Some((Day::of(right, schema)?, op.swap()?, day(left)?));
            let (of, op, day) = match Day::of(left, schema).zip(day(right)) {
                Some((of, day)) => (of, *op, day),
                None => match turned() {
                    Some(turned) => turned,
                    None => return Ok(None),
                },
            };
            of.compared(op, day)
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let Some(of) = Day::of(expr, schema) else { return Ok(None) };
            let (Some(low), Some(high)) = (day(low), day(high)) else { return Ok(None) };
            let (low, high) = (of.compared(Operator::GtEq, low), of.compared(Operator::LtEq, high));
            let within = low.zip(high).map(|(low, high)| low.and(high));
            if *negated { within.map(|within| Expr::Not(Box::new(within))) } else { within }
        }
        Expr::InList(InList { expr, list, negated }) if list.len() <= MOST_DAYS => {
            let Some(of) = Day::of(expr, schema) else { return Ok(None) };
            let among =
                list.iter().map(|one| of.compared(Operator::Eq, day(one)?)).collect::<Option<Vec<_>>>();
            let among = among.and_then(|among| among.into_iter().reduce(Expr::or));
            if *negated { among.map(|among| Expr::Not(Box::new(among))) } else { among }
        }
        _ => None,
    })
}

/// The longest list that is rewritten. The ranges of a longer list cost more than pruning saves.
const MOST_DAYS: usize = 16;

/// The day of an instant.
struct Day<'a> {
    instant: &'a Expr,
    unit: TimeUnit,
    zone: Option<std::sync::Arc<str>>,
}

impl<'a> Day<'a> {
    fn of(expr: &'a Expr, schema: &DFSchema) -> Option<Self> {
        let Expr::Cast(Cast { expr: instant, field }) = expr else { return None };
        let DataType::Timestamp(unit, zone) = instant.get_type(schema).ok()? else { return None };
        let is_day = matches!(field.data_type(), DataType::Date32) && zone.as_deref().is_none_or(is_utc);
        // The range uses the expression twice.
        (is_day && !instant.is_volatile()).then_some(Self { instant, unit, zone })
    }

    fn compared(&self, op: Operator, day: i32) -> Option<Expr> {
        let day = i64::from(day);
        Some(match op {
            Operator::Lt => self.is_before(day),
            Operator::GtEq => self.is_from(day),
            Operator::LtEq => self.is_before(day + 1),
            Operator::Gt => self.is_from(day + 1),
            Operator::Eq => self.is_from(day).and(self.is_before(day + 1)),
            Operator::NotEq => self.is_before(day).or(self.is_from(day + 1)),
            _ => return None,
        })
    }

    fn is_from(&self, day: i64) -> Expr {
        let (least, beyond) = self.midnight(day);
        // No instant is later than the last one.
        if beyond { self.instant.clone().gt(least) } else { self.instant.clone().gt_eq(least) }
    }

    fn is_before(&self, day: i64) -> Expr {
        let (least, beyond) = self.midnight(day);
        if beyond { self.instant.clone().lt_eq(least) } else { self.instant.clone().lt(least) }
    }

    /// Returns the first instant of a day, limited to the type's range, and whether the day begins after that
    /// range.
    fn midnight(&self, day: i64) -> (Expr, bool) {
        let unit = match self.unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        };
        let units = i128::from(day) * (DAY_NANOS / unit);
        let least = i64::try_from(units).unwrap_or(if day < 0 { i64::MIN } else { i64::MAX });
        let zone = self.zone.clone();
        let least = match self.unit {
            TimeUnit::Second => ScalarValue::TimestampSecond(Some(least), zone),
            TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(least), zone),
            TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(least), zone),
            TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(least), zone),
        };
        (lit(least), units > i128::from(i64::MAX))
    }
}

/// Returns a constant date as the number of days since 1970.
fn day(expr: &Expr) -> Option<i32> {
    match expr.as_literal()? {
        ScalarValue::Date32(day) => *day,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
    use datafusion::logical_expr::execution_props::ExecutionProps;
    use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
    use datafusion::logical_expr::{cast, col};
    use datafusion::physical_expr::create_physical_expr;
    use proptest::prelude::*;

    use super::*;

    const NANOS: i64 = 86_400_000_000_000;

    fn answers(expr: &Expr, rows: &RecordBatch, schema: &DFSchema) -> ArrayRef {
        let props = ExecutionProps::new();
        let physical =
            create_physical_expr(expr, schema, &props, &PhysicalPlanningContext::default()).unwrap();
        physical.evaluate(rows).unwrap().into_array(rows.num_rows()).unwrap()
    }

    proptest! {
        #[test]
        fn the_instants_of_a_day_are_those_that_are_cast_to_it(
            instants in prop::collection::vec(
                prop_oneof![
                    (-3..3_i64, -2..2_i64).prop_map(|(day, off)| day * NANOS + off),
                    Just(i64::MIN), Just(i64::MAX), any::<i64>(),
                ],
                1..20,
            ),
            days in prop::collection::vec(prop_oneof![-3..3_i32, Just(i32::MIN), Just(i32::MAX), -110_000..110_000], 1..4),
            shape in 0..10_usize,
        ) {
            let instants: TimestampNanosecondArray =
                instants.into_iter().map(Some).chain([None]).collect();
            let rows = RecordBatch::try_from_iter([("t", Arc::new(instants) as ArrayRef)]).unwrap();
            let schema = DFSchema::try_from(rows.schema()).unwrap();
            let date = || cast(col("t"), DataType::Date32);
            let day = |n: usize| lit(ScalarValue::Date32(Some(days[n % days.len()])));
            let expr = match shape {
                0 => date().eq(day(0)),
                1 => date().not_eq(day(0)),
                2 => date().lt(day(0)),
                3 => date().lt_eq(day(0)),
                4 => date().gt(day(0)),
                5 => date().gt_eq(day(0)),
                6 => day(0).gt(date()),
                7 => date().between(day(0), day(1)),
                8 => date().not_between(day(0), day(1)),
                _ => date().in_list((0..days.len()).map(day).collect(), days.len() % 2 == 0),
            };
            let rewritten = rewrite(&expr, &schema).unwrap().unwrap();
            prop_assert_eq!(
                &answers(&rewritten, &rows, &schema), &answers(&expr, &rows, &schema), "{}: {}", expr, rewritten
            );
        }
    }
}
