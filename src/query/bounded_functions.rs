//! Bounds for functions whose results can be much larger than their arguments.
//!
//! A query's memory is counted where rows are kept: in sorts, joins and groups. The result of a function is
//! not counted while it is computed, and `repeat('x', 1000000000)` makes a gigabyte for every row. So for the
//! functions whose arguments determine the size of the result, this module computes that size first, and
//! refuses the call if it is too large.

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

/// The largest result of one call for a batch of rows, in bytes.
const MAX_BYTES: u64 = 256 << 20;
/// The largest result of one call with constants only, in bytes. The planner computes such a call, and all
/// expressions that use its result. It does not check the timeout meanwhile.
const MAX_CONSTANT_BYTES: u64 = 32 << 20;
/// The largest number of steps of one call for a batch of rows.
const MAX_STEPS: u64 = 1 << 32;
/// The largest number of steps of one call with constants only.
const MAX_CONSTANT_STEPS: u64 = 1 << 28;

/// The way in which the arguments determine the size of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument is repeated. The second argument is the number of repetitions.
    Times,
    /// The second argument is the length of the result.
    Long,
    /// The second argument is the number of values. The third is each value.
    Filled,
    /// The arguments are joined.
    Joined,
    /// The arguments are joined, with the first one between any two others.
    Separated,
    /// Each match of the second argument in the first is replaced by the third.
    Replaced,
    /// The number of steps is the length of the first argument times the length of the second.
    Product,
    /// The values go from the first argument to the second. The third is the step.
    Range,
}

const FUNCTIONS: [(&str, Growth); 12] = [
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Times),
    ("lpad", Growth::Long),
    ("rpad", Growth::Long),
    ("array_resize", Growth::Filled),
    ("concat", Growth::Joined),
    ("concat_ws", Growth::Separated),
    ("replace", Growth::Replaced),
    ("regexp_replace", Growth::Replaced),
    ("levenshtein", Growth::Product),
    ("range", Growth::Range),
    ("generate_series", Growth::Range),
];

/// Replaces the functions by functions that check the size of the result first.
pub(super) fn bound_functions(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for (name, growth) in FUNCTIONS {
        // Some feature sets of DataFusion lack some of the functions.
        if let Ok(inner) = registry.udf(name) {
            registry.register_udf(Arc::new(ScalarUDF::new_from_impl(Bounded { inner, growth })))?;
        }
    }
    Ok(())
}

/// A function that fails if its result would be too large.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl Bounded {
    /// Returns the largest possible size of each row's result.
    fn sizes(&self, args: &ScalarFunctionArgs, rows: usize) -> Result<Vec<u64>> {
        // A constant stays one value: copies for all rows may be too large.
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
            Growth::Joined | Growth::Separated | Growth::Replaced | Growth::Product => (None, None, None),
        };
        // A range of instants or of days has an interval as its step.
        let steps = match (self.growth, arrays.first(), arrays.get(2)) {
            (Growth::Range, Some(first), Some(step)) if first.data_type().is_temporal() => {
                steps(step, matches!(first.data_type(), DataType::Date32))?
            }
            _ => None,
        };
        let size = |at: usize, row: usize| arrays.get(at).map_or(1, |array| size(array, row_of(array, row)));
        let joined = |row: usize| (0..arrays.len()).map(|at| size(at, row)).fold(0, u64::saturating_add);
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
            Growth::Joined => joined(row),
            Growth::Separated => joined(row).saturating_add(size(0, row).saturating_mul(arrays.len() as u64)),
            Growth::Replaced => size(0, row).saturating_mul(size(2, row)),
            Growth::Product => size(0, row).saturating_mul(size(1, row)),
            Growth::Range => {
                // A single argument is the end of the range.
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

    /// Refuses a call whose results would be larger than the limit for rows, or for constants.
    fn check(&self, total: u64, constant: bool) -> Result<()> {
        let (what, limit) = match (self.growth, constant) {
            (Growth::Product, false) => (format!("take {total} steps"), MAX_STEPS),
            (Growth::Product, true) => (format!("take {total} steps"), MAX_CONSTANT_STEPS),
            (_, false) => (format!("return {total} bytes"), MAX_BYTES),
            (_, true) => (format!("return {total} bytes"), MAX_CONSTANT_BYTES),
        };
        if total <= limit {
            return Ok(());
        }
        let name = self.inner.name();
        Err(DataFusionError::ResourcesExhausted(format!(
            "one call of {name}() would {what}, and the limit is {limit}"
        )))
    }

    /// Computes the rows in parts whose largest possible results are within the limit. Fails if the actual
    /// results exceed the limit. They are usually far smaller than the largest possible ones.
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

/// Returns the index of a row's value in an argument. A constant has one value for all rows.
fn row_of(array: &dyn Array, row: usize) -> usize {
    if array.len() == 1 { 0 } else { row }
}

fn slice(arg: &ColumnarValue, from: usize, rows: usize) -> ColumnarValue {
    match arg {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        constant @ ColumnarValue::Scalar(_) => constant.clone(),
    }
}

/// Returns the smallest length of each interval, in days or in nanoseconds. It refuses a step such as
/// `1 month -29 days`: that goes forward in one month and back in the next, so the range would have no end.
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
        return exec_err!(
            "a step of a range cannot have both positive and negative parts; write a step such as `1 month 2 \
             days`"
        );
    }
    let length = |interval: IntervalMonthDayNano| {
        let days = i64::from(interval.months) * 28 + i64::from(interval.days);
        let nanos = days.saturating_mul(86_400_000_000_000).saturating_add(interval.nanoseconds);
        if in_days { nanos.unsigned_abs() / DAY } else { nanos.unsigned_abs() }
    };
    Ok(Some(intervals.iter().map(|interval| interval.map(length)).collect()))
}

/// Returns the approximate size of a value in bytes.
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
