//! Functions that can make much of little, bounded.
//!
//! A query's memory is counted where rows are kept: in sorts, joins and groups. A function's
//! answer is not counted while it is made, and `repeat('x', 1000000000)` makes a gigabyte for every
//! row. So functions whose answer is as large as an argument says are asked first how large it would
//! be.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{
    DataType, FieldRef, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

/// What one call may make, for a batch of rows.
const MAX_BYTES: u64 = 256 << 20;
/// What one call may make of constants. The planner computes it, where no timeout is looked at, and whatever is
/// computed with it takes its time there, too.
const MAX_CONSTANT_BYTES: u64 = 32 << 20;
/// Steps that one call may take, for a batch of rows.
const MAX_STEPS: u64 = 1 << 32;
/// Steps that one call may take with constants.
const MAX_CONSTANT_STEPS: u64 = 1 << 28;

/// How the size of an answer follows from the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument, as often as the second says.
    Times,
    /// As long as the second argument says.
    Long,
    /// As many values as the second argument says, each as large as the third.
    Filled,
    /// The first argument, with each place where the second is found as large as the third.
    Replaced,
    /// As many steps as the first argument is long, for each letter of the second.
    Product,
    /// From the first argument to the second, in steps of the third.
    Range,
}

const FUNCTIONS: [(&str, Growth); 10] = [
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Times),
    ("lpad", Growth::Long),
    ("rpad", Growth::Long),
    ("array_resize", Growth::Filled),
    ("replace", Growth::Replaced),
    ("regexp_replace", Growth::Replaced),
    ("levenshtein", Growth::Product),
    ("range", Growth::Range),
    ("generate_series", Growth::Range),
];

/// Has these functions ask first.
pub(super) fn bound_functions(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for (name, growth) in FUNCTIONS {
        // Not every set of features has them all.
        if let Ok(inner) = registry.udf(name) {
            registry.register_udf(Arc::new(ScalarUDF::new_from_impl(Bounded { inner, growth })))?;
        }
    }
    Ok(())
}

/// A function that fails where its answer would be too large.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl Bounded {
    /// What each row comes to, at most.
    fn sizes(&self, args: &ScalarFunctionArgs, rows: usize) -> Result<Vec<u64>> {
        // A constant stays one value: it may be large, and the rows many.
        let arrays = args.args.iter().map(|arg| match arg {
            ColumnarValue::Scalar(value) => value.to_array(),
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let number = |at: usize| {
            let array = arrays.get(at)?;
            cast(array, &DataType::Int64).ok()?.as_primitive_opt::<Int64Type>().cloned()
        };
        let value = |array: &Option<Int64Array>, row: usize, absent: i64| {
            let at = |array: &Int64Array| {
                let row = row_of(array, row);
                array.is_valid(row).then(|| array.value(row))
            };
            array.as_ref().and_then(at).unwrap_or(absent)
        };
        let (first, second, third) = match self.growth {
            Growth::Range => (number(0), number(1), number(2)),
            Growth::Times | Growth::Long | Growth::Filled => (None, number(1), None),
            Growth::Replaced | Growth::Product => (None, None, None),
        };
        // From instant to instant, or day to day, in intervals.
        let steps = match (self.growth, arrays.first(), arrays.get(2)) {
            (Growth::Range, Some(first), Some(step)) if first.data_type().is_temporal() => {
                steps(step, matches!(first.data_type(), DataType::Date32))?
            }
            _ => None,
        };
        let size = |at: usize, row: usize| arrays.get(at).map_or(1, |array| size(array, row_of(array, row)));
        let of_row = |row: usize| match self.growth {
            Growth::Times => {
                let times = u64::try_from(value(&second, row, 0)).unwrap_or_default();
                times.saturating_mul(size(0, row))
            }
            Growth::Long => u64::try_from(value(&second, row, 0)).unwrap_or_default().saturating_mul(4),
            Growth::Filled => {
                let values = u64::try_from(value(&second, row, 0)).unwrap_or_default();
                values.saturating_mul(if arrays.len() > 2 { size(2, row).max(8) } else { 8 })
            }
            Growth::Replaced => size(0, row).saturating_mul(size(2, row)),
            Growth::Product => size(0, row).saturating_mul(size(1, row)),
            Growth::Range => {
                // With one argument it is the end.
                let (from, to) = match &second {
                    Some(_) => (value(&first, row, 0), value(&second, row, 0)),
                    None => (0, value(&first, row, 0)),
                };
                let step = match &steps {
                    Some(steps) if steps.len() == 1 => steps.first().copied().flatten().unwrap_or(1),
                    Some(steps) => steps.get(row).copied().flatten().unwrap_or(1),
                    None => value(&third, row, 1).unsigned_abs(),
                };
                (from.abs_diff(to) / step.max(1)).saturating_mul(8)
            }
        };
        Ok((0..rows).map(of_row).collect())
    }

    /// Refuses what comes to more than a call may make of rows, or of constants.
    fn check(&self, total: u64, constant: bool) -> Result<()> {
        let (what, limit) = match (self.growth, constant) {
            (Growth::Product, false) => (format!("take {total} steps"), MAX_STEPS),
            (Growth::Product, true) => (format!("take {total} steps"), MAX_CONSTANT_STEPS),
            (_, false) => (format!("make {total} bytes"), MAX_BYTES),
            (_, true) => (format!("make {total} bytes"), MAX_CONSTANT_BYTES),
        };
        if total <= limit {
            return Ok(());
        }
        let name = self.inner.name();
        Err(DataFusionError::ResourcesExhausted(format!(
            "{name}() would {what} at once, and {limit} are the limit"
        )))
    }

    /// Computes as many rows at once as fit even where each is as large as it can be, until what they have
    /// become is. What a text becomes is mostly far less than what it could.
    fn invoke_in_parts(&self, args: &ScalarFunctionArgs, sizes: &[u64]) -> Result<ColumnarValue> {
        let mut parts = Vec::new();
        let (mut from, mut made) = (0, 0_u64);
        while from < sizes.len() {
            let (mut rows, mut size) = (0, 0_u64);
            for more in sizes.iter().skip(from) {
                size = size.saturating_add(*more);
                if rows > 0 && size > MAX_BYTES {
                    break;
                }
                rows += 1;
            }
            self.check(sizes.get(from).copied().unwrap_or_default(), false)?;
            let part = ScalarFunctionArgs {
                args: args.args.iter().map(|arg| slice(arg, from, rows)).collect(),
                arg_fields: args.arg_fields.clone(),
                number_rows: rows,
                return_field: Arc::clone(&args.return_field),
                config_options: Arc::clone(&args.config_options),
            };
            let part = self.inner.invoke_with_args(part)?.into_array(rows)?;
            made = made.saturating_add(part.get_array_memory_size() as u64);
            self.check(made, false)?;
            parts.push(part);
            from += rows;
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }
}

/// Where a row's value is in an argument; a constant has one for all rows.
fn row_of(array: &dyn Array, row: usize) -> usize {
    if array.len() == 1 { 0 } else { row }
}

fn slice(arg: &ColumnarValue, from: usize, rows: usize) -> ColumnarValue {
    match arg {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        constant @ ColumnarValue::Scalar(_) => constant.clone(),
    }
}

/// How long intervals are, at least: in days, or in nanoseconds. A step of `1 month -29 days` goes forth in one
/// month and back in the next, and never arrives.
fn steps(intervals: &ArrayRef, in_days: bool) -> Result<Option<Vec<Option<u64>>>> {
    const DAY: u64 = 86_400_000_000_000;
    let Ok(intervals) = cast(intervals, &DataType::Interval(IntervalUnit::MonthDayNano)) else {
        return Ok(None);
    };
    let Some(intervals) = intervals.as_primitive_opt::<IntervalMonthDayNanoType>() else { return Ok(None) };
    let turns = |interval: IntervalMonthDayNano| {
        let parts = [interval.months.into(), interval.days.into(), interval.nanoseconds];
        parts.iter().any(|part: &i64| *part < 0) && parts.iter().any(|part| *part > 0)
    };
    if intervals.iter().flatten().any(turns) {
        return exec_err!("a step has months, days and time of one sign, as `1 month 2 days`");
    }
    let length = |interval: IntervalMonthDayNano| {
        let days = i64::from(interval.months) * 28 + i64::from(interval.days);
        let nanos = days.saturating_mul(86_400_000_000_000).saturating_add(interval.nanoseconds);
        if in_days { nanos.unsigned_abs() / DAY } else { nanos.unsigned_abs() }
    };
    Ok(Some(intervals.iter().map(|interval| interval.map(length)).collect()))
}

/// How large a value is, about.
fn size(array: &ArrayRef, row: usize) -> u64 {
    let text = array
        .as_string_view_opt()
        .map(|texts| texts.value(row).len())
        .or_else(|| array.as_string_opt::<i32>().map(|texts| texts.value(row).len()))
        .or_else(|| array.as_string_opt::<i64>().map(|texts| texts.value(row).len()));
    text.unwrap_or_else(|| array.slice(row, 1).get_array_memory_size() / array.len().max(1)).max(1) as u64
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(arg_types)
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, context)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let sizes = self.sizes(&args, if constant { 1 } else { args.number_rows })?;
        let total = sizes.iter().fold(0_u64, |total, size| total.saturating_add(*size));
        if self.growth == Growth::Replaced && !constant && total > MAX_BYTES {
            return self.invoke_in_parts(&args, &sizes);
        }
        self.check(total, constant)?;
        self.inner.invoke_with_args(args)
    }
}
