//! Multiplies and divides intervals and durations by a number: `2 * interval '1 day'`,
//! `(last_seen - first_seen) / 2`.
//!
//! DataFusion 55.2 refuses these expressions. This module scales months and days as PostgreSQL's
//! `interval_mul` and `interval_div` do, with their rounding: a fraction of a month becomes days (a month has
//! 30 days), and a fraction of a day becomes hours. Nanoseconds and durations are scaled exactly. Delete this
//! module when DataFusion supports these expressions.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, DurationNanosecondArray, IntervalMonthDayNanoArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, DurationNanosecondType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, TimeUnit,
};
use datafusion::common::{DFSchema, DataFusionError, Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

const DAY_SECONDS: f64 = 24.0 * 60.0 * 60.0;
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DURATION: DataType = DataType::Duration(TimeUnit::Nanosecond);
/// The binary digits of a 64-bit float.
const DIGITS: i32 = f64::MANTISSA_DIGITS.cast_signed();

/// Plans products and quotients of a length and a number.
#[derive(Debug)]
pub(super) struct ScaledLengths;

impl ExprPlanner for ScaledLengths {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let divides = match expr.op {
            BinaryOperator::Multiply => false,
            BinaryOperator::Divide => true,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let is_length = |of: &DataType| matches!(of, DataType::Interval(_) | DataType::Duration(_));
        let (length, factor) = if is_length(&left) && is_number(&right) {
            (expr.left, expr.right)
        } else if !divides && is_number(&left) && is_length(&right) {
            (expr.right, expr.left)
        } else {
            return Ok(PlannerResult::Original(expr));
        };
        let function = if divides { &FUNCTIONS.1 } else { &FUNCTIONS.0 };
        Ok(PlannerResult::Planned(function.call(vec![length, factor])))
    }
}

/// Divides an interval by an integer.
pub(super) fn divided(interval: IntervalMonthDayNano, by: i128) -> Result<IntervalMonthDayNano> {
    let number = i64::try_from(by).map_err(|_| out_of_range())?;
    Factor::of_integer(number).inverse()?.of_interval(interval)
}

fn is_number(of: &DataType) -> bool {
    of.is_numeric() || of.is_null()
}

/// The function that multiplies, and the function that divides.
static FUNCTIONS: LazyLock<(Arc<ScalarUDF>, Arc<ScalarUDF>)> = LazyLock::new(|| {
    let [product, quotient] = [false, true].map(|divides| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Scaled { divides, signature }))
    });
    (product, quotient)
});

/// Returns the functions that replace the operators.
pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    [Arc::clone(&FUNCTIONS.0), Arc::clone(&FUNCTIONS.1)]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scaled {
    divides: bool,
    signature: Signature,
}

impl Scaled {
    /// Returns the operation that a call replaces.
    fn operation(&self, args: &[Expr]) -> Result<Expr> {
        let [length, factor] = args else {
            return plan_err!("{} takes a duration or an interval, and a number", self.name());
        };
        let op = if self.divides { Operator::Divide } else { Operator::Multiply };
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(length.clone()), op, Box::new(factor.clone()))))
    }

    fn scaled(&self, length: &ArrayRef, factors: &ArrayRef) -> Result<ArrayRef> {
        let factors = Factors::of(factors)?;
        let factor = |row| {
            let factor = factors.get(row)?;
            Some(if self.divides { factor.and_then(Factor::inverse) } else { factor })
        };
        let rows = 0..length.len();
        if *length.data_type() == DURATION {
            let lengths = length.as_primitive::<DurationNanosecondType>();
            let each = rows.map(|row| {
                let (Some(factor), true) = (factor(row), lengths.is_valid(row)) else { return Ok(None) };
                factor?.of(lengths.value(row).into()).and_then(narrow).map(Some)
            });
            return Ok(Arc::new(each.collect::<Result<DurationNanosecondArray>>()?));
        }
        let lengths = length.as_primitive::<IntervalMonthDayNanoType>();
        let each = rows.map(|row| {
            let (Some(factor), true) = (factor(row), lengths.is_valid(row)) else { return Ok(None) };
            factor?.of_interval(lengths.value(row)).map(Some)
        });
        Ok(Arc::new(each.collect::<Result<IntervalMonthDayNanoArray>>()?))
    }
}

/// The factors of all rows: integers, or floats.
enum Factors {
    Whole(ArrayRef),
    Fractions(ArrayRef),
}

impl Factors {
    fn of(numbers: &ArrayRef) -> Result<Self> {
        let whole = numbers.data_type().is_integer().then(|| cast(numbers, &DataType::Int64));
        Ok(match whole {
            // Integers above 63 bits are handled as floats, which are refused because the result is out of
            // range.
            Some(whole) if whole.as_ref().is_ok_and(|whole| whole.null_count() == numbers.null_count()) => {
                Self::Whole(whole?)
            }
            _ => Self::Fractions(cast(numbers, &DataType::Float64)?),
        })
    }

    /// Returns the factor of a row; `None` for NULL.
    fn get(&self, row: usize) -> Option<Result<Factor>> {
        match self {
            Self::Whole(numbers) => {
                let numbers = numbers.as_primitive::<Int64Type>();
                numbers.is_valid(row).then(|| Ok(Factor::of_integer(numbers.value(row))))
            }
            Self::Fractions(numbers) => {
                let numbers = numbers.as_primitive::<Float64Type>();
                numbers.is_valid(row).then(|| Factor::of_fraction(numbers.value(row)))
            }
        }
    }
}

/// A number by which lengths are multiplied or divided.
#[derive(Clone, Copy)]
struct Factor {
    number: f64,
    divides: bool,
    /// The numerator and the denominator of the exact factor.
    above: i128,
    below: i128,
}

impl Factor {
    fn of_integer(number: i64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "it has an answer only with 0 months and 0 days")]
        Self { number: number as f64, divides: false, above: number.into(), below: 1 }
    }

    fn of_fraction(number: f64) -> Result<Self> {
        if !number.is_finite() || number.abs() >= 2_f64.powi(62) {
            return Err(out_of_range());
        }
        let size = if number == 0.0 { 0 } else { number.abs().log2().ceil() as i32 };
        // All digits are kept, except for numbers so small that every product is zero.
        let bits = (DIGITS - size).clamp(0, 126);
        #[expect(clippy::cast_possible_truncation, reason = "below 2^62")]
        let above = (number * 2_f64.powi(bits)).round() as i128;
        Ok(Self { number, divides: false, above, below: 1 << bits })
    }

    fn inverse(self) -> Result<Self> {
        let sign = self.above.signum();
        if self.number != 0.0 && sign == 0 {
            return Err(out_of_range());
        }
        if sign == 0 {
            return Err(exec_datafusion_err!("cannot divide a duration or an interval by zero"));
        }
        Ok(Self { divides: true, above: self.below * sign, below: self.above * sign, ..self })
    }

    /// Returns the product with a value, rounded.
    fn of(self, value: i128) -> Result<i128> {
        // If this overflows, the result would not fit 63 bits either.
        let product = value.checked_mul(self.above).ok_or_else(out_of_range)?;
        let half = self.below / 2 * product.signum();
        Ok(product.checked_add(half).ok_or_else(out_of_range)? / self.below)
    }

    /// Returns the whole part and the fraction of the product with a value.
    fn split(self, value: i32) -> Result<(i32, f64)> {
        let value = f64::from(value);
        let product = if self.divides { value / self.number } else { value * self.number };
        let whole = narrow_days(product)?;
        Ok((whole, product - f64::from(whole)))
    }

    fn of_interval(self, interval: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
        let (months, rest) = self.split(interval.months)?;
        let days_of_months = rounded(rest * 30.0);
        let (days, rest_of_days) = self.split(interval.days)?;
        let seconds = rounded((rest_of_days + days_of_months.fract()) * DAY_SECONDS);
        let carried = (seconds / DAY_SECONDS).trunc();
        let seconds = carried.mul_add(-DAY_SECONDS, seconds);
        #[expect(clippy::cast_possible_truncation, reason = "less than a day")]
        let rest = (seconds * 1e9).round() as i128;
        let days = f64::from(days) + carried + days_of_months.trunc();
        Ok(IntervalMonthDayNano {
            months,
            days: narrow_days(days)?,
            nanoseconds: narrow(self.of(interval.nanoseconds.into())? + rest)?,
        })
    }
}

/// Rounds to six digits after the decimal point, as PostgreSQL's `TSROUND` does.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round_ties_even() / 1e6
}

/// Converts a number of months or days into an integer. Fails if it does not fit.
fn narrow_days(number: f64) -> Result<i32> {
    if !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number.trunc()) {
        return Err(out_of_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is in the range")]
    Ok(number as i32)
}

fn narrow(nanoseconds: i128) -> Result<i64> {
    i64::try_from(nanoseconds).map_err(|_| out_of_range())
}

fn out_of_range() -> DataFusionError {
    exec_datafusion_err!("the product of a number and a duration or an interval is out of range")
}

impl ScalarUDFImpl for Scaled {
    fn name(&self) -> &str {
        if self.divides { "divided_length" } else { "multiplied_length" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.operation(args)?.to_string())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.operation(args)?.schema_name().to_string())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [DataType::Interval(_), factor] if is_number(factor) => Ok(vec![INTERVAL, factor.clone()]),
            [DataType::Duration(_), factor] if is_number(factor) => Ok(vec![DURATION, factor.clone()]),
            _ => plan_err!("{} takes a duration or an interval, and a number", self.name()),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(if matches!(given.first(), Some(DataType::Duration(_))) { DURATION } else { INTERVAL })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [length, factor] = arrays.as_slice() else {
            return plan_err!("{} takes a duration or an interval, and a number", self.name());
        };
        let scaled = self.scaled(length, factor)?;
        if is_constant {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&scaled, 0)?));
        }
        Ok(ColumnarValue::Array(scaled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a table that PostgreSQL made. PostgreSQL counts microseconds, so a difference of one
    /// microsecond is allowed.
    #[test]
    fn the_parts_of_an_interval_are_scaled_as_by_postgresql() {
        let known = include_str!("../../../tests/data/postgresql/scaled_intervals.tsv");
        for line in known.lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<_> = line.split('\t').collect();
            let [months, days, micros, op, number, rest @ ..] = parts.as_slice() else { panic!("{line}") };
            let interval = IntervalMonthDayNano {
                months: months.parse().unwrap(),
                days: days.parse().unwrap(),
                nanoseconds: micros.parse::<i64>().unwrap() * 1_000,
            };
            let factors = match number.parse() {
                Ok(whole) => vec![Factor::of_integer(whole), Factor::of_fraction(whole as f64).unwrap()],
                Err(_) => vec![Factor::of_fraction(number.parse().unwrap()).unwrap()],
            };
            for factor in factors {
                let factor = if *op == "/" { factor.inverse().unwrap() } else { factor };
                let Some(nanos) = rest[2].parse::<i64>().unwrap().checked_mul(1_000) else {
                    assert!(factor.of_interval(interval).is_err(), "{line}");
                    continue;
                };
                let scaled = factor.of_interval(interval).unwrap();
                assert_eq!([scaled.months.to_string(), scaled.days.to_string()], rest[..2], "{line}");
                assert!((scaled.nanoseconds - nanos).abs() <= 1_000, "{line}: {scaled:?}");
            }
        }
    }

    #[test]
    fn what_has_no_answer_fails() {
        assert!(Factor::of_integer(0).inverse().is_err());
        assert!(Factor::of_fraction(f64::NAN).is_err() && Factor::of_fraction(1e30).is_err());
        let day = IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 0 };
        assert!(Factor::of_integer(i64::MAX).of_interval(day).is_err());
        assert!(Factor::of_fraction(4e18).unwrap().of(i64::MAX.into()).and_then(narrow).is_err());
        assert!(Factor::of_fraction(1e-300).unwrap().inverse().is_err());
        assert!(Factor::of_fraction(1e-30).unwrap().inverse().unwrap().of(i64::MAX.into()).is_err());
        assert_eq!(Factor::of_fraction(0.1).unwrap().of(10_000_000_000).unwrap(), 1_000_000_000);
        assert_eq!(Factor::of_fraction(1e-6).unwrap().inverse().unwrap().of(3_600).unwrap(), 3_600_000_000);
    }
}
