//! `2 * interval '1 day'`, `(last_seen - first_seen) / 2`: intervals and durations multiplied or divided by a number.
//!
//! DataFusion 55.2 refuses them. The parts of an interval are scaled as PostgreSQL's `interval_mul` and `interval_div` do:
//! a fraction of a month becomes days, of which it has 30, and a fraction of a day becomes hours.

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

const DAY: i128 = 24 * 60 * 60 * 1_000_000_000;
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DURATION: DataType = DataType::Duration(TimeUnit::Nanosecond);
/// The binary digits of a fraction that a factor has at most.
const FRACTION_BITS: i32 = 50;

/// Plans these products and quotients.
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

fn is_number(of: &DataType) -> bool {
    of.is_numeric() || of.is_null()
}

/// Multiplies, and divides.
static FUNCTIONS: LazyLock<(Arc<ScalarUDF>, Arc<ScalarUDF>)> = LazyLock::new(|| {
    let [product, quotient] = [false, true].map(|divides| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Scaled { divides, signature }))
    });
    (product, quotient)
});

/// The functions that stand for the operators.
pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    [Arc::clone(&FUNCTIONS.0), Arc::clone(&FUNCTIONS.1)]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scaled {
    divides: bool,
    signature: Signature,
}

impl Scaled {
    /// What a call stands for.
    fn operation(&self, args: &[Expr]) -> Result<Expr> {
        let [length, factor] = args else { return plan_err!("{} takes a length and a number", self.name()) };
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

/// Numbers that are integers, or as near as binary fractions are.
enum Factors {
    Whole(ArrayRef),
    Fractions(ArrayRef),
}

impl Factors {
    fn of(numbers: &ArrayRef) -> Result<Self> {
        let whole = numbers.data_type().is_integer().then(|| cast(numbers, &DataType::Int64));
        Ok(match whole {
            // Above 63 bits no length has an answer; that is found below.
            Some(whole) if whole.as_ref().is_ok_and(|whole| whole.null_count() == numbers.null_count()) => {
                Self::Whole(whole?)
            }
            _ => Self::Fractions(cast(numbers, &DataType::Float64)?),
        })
    }

    /// The factor of a row; none for NULL.
    fn get(&self, row: usize) -> Option<Result<Factor>> {
        match self {
            Self::Whole(numbers) => {
                let numbers = numbers.as_primitive::<Int64Type>();
                numbers.is_valid(row).then(|| Ok(Factor { above: numbers.value(row).into(), below: 1 }))
            }
            Self::Fractions(numbers) => {
                let numbers = numbers.as_primitive::<Float64Type>();
                numbers.is_valid(row).then(|| Factor::of_fraction(numbers.value(row)))
            }
        }
    }
}

/// A fraction. Its parts have at most 63 bits.
#[derive(Clone, Copy)]
struct Factor {
    above: i128,
    below: i128,
}

impl Factor {
    fn of_fraction(number: f64) -> Result<Self> {
        if !number.is_finite() || number.abs() >= 2_f64.powi(62) {
            return Err(out_of_range());
        }
        // Of a large number fewer digits behind the point are left.
        let size = if number == 0.0 { 0 } else { number.abs().log2().ceil() as i32 };
        let bits = (FRACTION_BITS - size).clamp(0, FRACTION_BITS);
        #[expect(clippy::cast_possible_truncation, reason = "below 2^62")]
        let above = (number * 2_f64.powi(bits)).round() as i128;
        Ok(Self { above, below: 1 << bits })
    }

    fn inverse(self) -> Result<Self> {
        let sign = self.above.signum();
        if sign == 0 {
            return Err(exec_datafusion_err!("a length of time is divided by zero"));
        }
        Ok(Self { above: self.below * sign, below: self.above * sign })
    }

    /// The whole part of a product, and the rest of it, in parts of `below`.
    const fn split(self, value: i128) -> (i128, i128) {
        let product = value * self.above;
        (product / self.below, product % self.below)
    }

    /// A product, rounded.
    fn of(self, value: i128) -> Result<i128> {
        let product = value.checked_mul(self.above).ok_or_else(out_of_range)?;
        let half = self.below / 2 * product.signum();
        Ok((product + half) / self.below)
    }

    fn of_interval(self, interval: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
        let (months, rest) = self.split(interval.months.into());
        let (days_of_months, rest_of_months) = ((rest * 30) / self.below, (rest * 30) % self.below);
        let (days, rest_of_days) = self.split(interval.days.into());
        // Not more than two days.
        let rest = (rest_of_months + rest_of_days) as f64 / self.below as f64;
        #[expect(clippy::cast_possible_truncation, reason = "of two days")]
        let rest = (rest * DAY as f64).round() as i128;
        let nanoseconds = self.of(interval.nanoseconds.into())? + rest;
        Ok(IntervalMonthDayNano {
            months: i32::try_from(months).map_err(|_| out_of_range())?,
            days: i32::try_from(days + days_of_months).map_err(|_| out_of_range())?,
            nanoseconds: narrow(nanoseconds)?,
        })
    }
}

fn narrow(nanoseconds: i128) -> Result<i64> {
    i64::try_from(nanoseconds).map_err(|_| out_of_range())
}

fn out_of_range() -> DataFusionError {
    exec_datafusion_err!("a length of time times a number is longer than can be told")
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
            _ => plan_err!("{} takes a length and a number", self.name()),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(if matches!(given.first(), Some(DataType::Duration(_))) { DURATION } else { INTERVAL })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [length, factor] = arrays.as_slice() else {
            return plan_err!("{} takes a length and a number", self.name());
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

    fn scaled(months: i32, days: i32, hours: i64, factor: Factor) -> (i32, i32, i64) {
        let hour = 3_600_000_000_000;
        let interval = IntervalMonthDayNano { months, days, nanoseconds: hours * hour };
        let IntervalMonthDayNano { months, days, nanoseconds } = factor.of_interval(interval).unwrap();
        (months, days, nanoseconds / (hour / 60))
    }

    /// Months, days and minutes, as PostgreSQL 15 answers.
    #[test]
    fn the_parts_of_an_interval_are_scaled_as_in_postgresql() {
        let times = |number: f64| Factor::of_fraction(number).unwrap();
        let by = |number| Factor { above: number, below: 1 }.inverse().unwrap();
        assert_eq!(scaled(1, 2, 3, Factor { above: -2, below: 1 }), (-2, -4, -360));
        assert_eq!(scaled(1, 0, 0, times(0.5)), (0, 15, 0));
        assert_eq!(scaled(0, 1, 0, times(1.5)), (0, 1, 720));
        assert_eq!(scaled(1, 1, 1, by(2)), (0, 15, 12 * 60 + 30));
        assert_eq!(scaled(5, 0, 0, by(4)), (1, 7, 720));
        assert_eq!(scaled(0, 7, 0, by(-2)), (0, -3, -720));
        assert_eq!(scaled(0, 0, 1, by(3)), (0, 0, 20));
    }

    #[test]
    fn what_has_no_answer_fails() {
        assert!(Factor { above: 0, below: 1 }.inverse().is_err());
        assert!(Factor::of_fraction(f64::NAN).is_err() && Factor::of_fraction(1e30).is_err());
        let day = IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 0 };
        assert!(Factor { above: i64::MAX.into(), below: 1 }.of_interval(day).is_err());
        assert!(Factor::of_fraction(4e18).unwrap().of(i64::MAX.into()).and_then(narrow).is_err());
        assert_eq!(Factor::of_fraction(0.1).unwrap().of(10_000_000_000).unwrap(), 1_000_000_000);
    }
}
