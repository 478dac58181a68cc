//! Functions that convert between instants and wall times.
//!
//! SQL can call [`timezone_function`]. A [`ZoneFunction`] is used in the plans of a session with a time zone:
//! the parts of a query that name no zone are computed in the session's zone, and the plan shows it.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::clock::{Clock, NANOS, Stride, Unit};
use super::text_functions;
use super::zone::Zone;
use crate::error::{Error, ErrorKind};
use crate::fact::UnixNanos;

/// The name of the function that `AT TIME ZONE` calls.
pub(super) const TIMEZONE: &str = "timezone";

/// Returns the type of instants: nanoseconds since 1970 in UTC.
pub(super) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The type of wall times.
pub(super) const WALL_TYPE: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

pub(super) fn refused(why: impl Into<String>) -> DataFusionError {
    external(Error::new(ErrorKind::Query, why))
}

/// Returns whether all arguments are constants, and the arguments as arrays. Constant patterns, units and
/// intervals stay arrays with one value.
pub(super) fn arrays(args: &ScalarFunctionArgs) -> Result<(bool, Vec<ArrayRef>)> {
    let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if scalar { 1 } else { args.number_rows };
    let says_how = |of: &DataType| matches!(of, DataType::Interval(_)) || of.is_string();
    let array = |arg: &ColumnarValue| match arg {
        ColumnarValue::Scalar(value) if says_how(&value.data_type()) => value.to_array(),
        other => other.clone().into_array(rows),
    };
    let arrays = args.args.iter().map(array).collect::<Result<_>>()?;
    Ok((scalar, arrays))
}

pub(super) fn answer(scalar: bool, array: ArrayRef) -> Result<ColumnarValue> {
    Ok(if scalar {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
    } else {
        ColumnarValue::Array(array)
    })
}

/// Converts a column of any type of text.
pub(super) fn texts(array: &ArrayRef) -> Result<StringArray> {
    Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn nanos(array: &ArrayRef) -> Result<&TimestampNanosecondArray> {
    array.as_primitive_opt().ok_or_else(|| {
        refused(format!("expected a time, and found a value of the type {}", array.data_type()))
    })
}

fn beyond(nanos: i64) -> DataFusionError {
    let at = jiff::Timestamp::from_nanosecond(i128::from(nanos)).map(|at| at.to_string());
    refused(format!("{} is too close to the end of the range of timestamps", at.unwrap_or_default()))
}

fn each(
    times: &TimestampNanosecondArray,
    mut of: impl FnMut(i64) -> Option<i64>,
) -> Result<TimestampNanosecondArray> {
    let mut row = |nanos: i64| of(nanos).ok_or_else(|| beyond(nanos));
    times.iter().map(|nanos| nanos.map(&mut row).transpose()).collect()
}

/// Makes the function `timezone(zone, time)`. It converts an instant into a wall time of the zone, and a wall
/// time into an instant.
pub(super) fn timezone_function() -> ScalarUDF {
    ScalarUDF::new_from_impl(Timezone { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Timezone {
    signature: Signature,
}

impl Timezone {
    /// Returns the zone of the first argument in a row.
    fn zone(zones: &ArrayRef, row: usize) -> Result<Option<Zone>> {
        if zones.is_null(row) {
            return Ok(None);
        }
        if let Some(intervals) = zones.as_primitive_opt::<IntervalMonthDayNanoType>() {
            let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(intervals.value(row));
            let zone = (months == 0 && days == 0 && nanos % NANOS == 0)
                .then(|| Zone::fixed(nanos / NANOS))
                .flatten();
            return zone.map(Some).ok_or_else(|| {
                refused(
                    "an interval can be a time zone only if it has whole seconds, is shorter than 26 hours, \
                     and has no months or days",
                )
            });
        }
        let name = texts(&zones.slice(row, 1))?;
        Zone::named(name.value(0)).map(Some).map_err(external)
    }
}

impl ScalarUDFImpl for Timezone {
    fn name(&self) -> &'static str {
        TIMEZONE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [zone, time] = types else {
            return plan_err!(
                "timezone takes two arguments, a zone and a time: timezone('Europe/Athens', at)"
            );
        };
        let zone = match zone {
            DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8View,
            other => return plan_err!("a time zone must be a name or an interval, and its type is {other}"),
        };
        let time = match time {
            DataType::Timestamp(_, None) => WALL_TYPE,
            DataType::Timestamp(_, Some(_)) | DataType::Date32 | DataType::Date64 | DataType::Null => {
                instant_type()
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => instant_type(),
            other => {
                return plan_err!("AT TIME ZONE takes a timestamp, and its operand has the type {other}");
            }
        };
        Ok(vec![zone, time])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(if types.get(1) == Some(&WALL_TYPE) { instant_type() } else { WALL_TYPE })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let to_instant = *args.return_type() == instant_type();
        let one_zone = matches!(args.args.first(), Some(ColumnarValue::Scalar(_)));
        let (scalar, arrays) = arrays(&args)?;
        let [zones, times] = arrays.as_slice() else {
            return exec_err!("timezone takes two arguments, a zone and a time");
        };
        let times = nanos(times)?;
        let convert =
            |clock: &mut Clock, nanos| if to_instant { clock.instant(nanos) } else { clock.wall(nanos) };
        let converted = if one_zone {
            let zone = if zones.is_empty() { None } else { Self::zone(zones, 0)? };
            match zone {
                Some(zone) => {
                    let mut clock = Clock::of(&zone);
                    each(times, |nanos| convert(&mut clock, nanos))?
                }
                None => TimestampNanosecondArray::new_null(times.len()),
            }
        } else {
            let row = |row: usize| -> Result<Option<i64>> {
                let Some(zone) = Self::zone(zones, row)?.filter(|_| times.is_valid(row)) else {
                    return Ok(None);
                };
                let nanos = times.value(row);
                convert(&mut Clock::of(&zone), nanos).map(Some).ok_or_else(|| beyond(nanos))
            };
            (0..times.len()).map(row).collect::<Result<TimestampNanosecondArray>>()?
        };
        let zone: Option<Arc<str>> = to_instant.then(|| "UTC".into());
        answer(scalar, Arc::new(converted.with_timezone_opt(zone)))
    }
}

/// The operations that depend on the session's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Task {
    /// Convert an instant into a wall time.
    Wall,
    /// Convert a wall time into an instant.
    Instant,
    /// Parse a text as an instant. A text without a zone is in the session's zone.
    Parse,
    /// Parse a text as an instant, and return NULL if it is not one.
    TryParse,
    /// Convert an instant into text with its offset.
    Text,
    /// Compute `date_trunc`.
    Truncate,
    /// Compute `date_bin` without an origin.
    Bin,
    /// Add an interval to an instant.
    Add,
    /// Subtract an interval from an instant.
    Subtract,
    /// Compute `to_char` of an instant.
    ToChar,
    /// Compute `to_timestamp` with a pattern.
    FromChar,
}

/// A function that depends on the session's zone.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ZoneFunction {
    task: Task,
    zone: Zone,
    signature: Signature,
}

/// Makes a call of a [`ZoneFunction`].
pub(super) fn call(task: Task, zone: &Zone, args: Vec<Expr>) -> Expr {
    let signature = Signature::variadic_any(Volatility::Immutable);
    ScalarUDF::new_from_impl(ZoneFunction { task, zone: zone.clone(), signature }).call(args)
}

/// Returns the instant, if the expression converts an instant into a wall time.
pub(super) fn instant_of_wall(expr: &Expr) -> Option<&Expr> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let inner = function.func.inner().as_ref() as &dyn std::any::Any;
    let function_of_zone = inner.downcast_ref::<ZoneFunction>()?;
    (function_of_zone.task == Task::Wall).then(|| function.args.first()).flatten()
}

impl ScalarUDFImpl for ZoneFunction {
    fn name(&self) -> &'static str {
        match self.task {
            Task::Wall => "local_time",
            Task::Instant => "instant",
            Task::Parse => "parse_instant",
            Task::TryParse => "try_parse_instant",
            Task::Text => "local_text",
            Task::Truncate => "local_date_trunc",
            Task::Bin => "local_date_bin",
            Task::Add => "local_add",
            Task::Subtract => "local_subtract",
            Task::ToChar => "local_to_char",
            Task::FromChar => "local_to_timestamp",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.task {
            Task::Wall => WALL_TYPE,
            Task::Text | Task::ToChar => DataType::Utf8,
            _ => instant_type(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (scalar, arrays) = arrays(&args)?;
        let mut clock = Clock::of(&self.zone);
        let done: ArrayRef = match (self.task, arrays.as_slice()) {
            (Task::Wall, [times]) => Arc::new(each(nanos(times)?, |at| clock.wall(at))?),
            (Task::Instant, [times]) => utc(each(nanos(times)?, |at| clock.instant(at))?),
            (Task::Parse, [said]) => utc(parse_all(said, &mut clock, false)?),
            (Task::TryParse, [said]) => utc(parse_all(said, &mut clock, true)?),
            (Task::Text, [times]) => Arc::new(self.text(nanos(times)?)),
            (Task::Truncate, [units, times]) => {
                let unit = constant(units)?;
                let unit =
                    Unit::named(&unit).ok_or_else(|| refused(format!("date_trunc has no unit {unit:?}")))?;
                utc(each(nanos(times)?, |at| clock.truncate(unit, at))?)
            }
            (Task::Bin, [strides, times]) => {
                let stride = stride(strides)?;
                utc(each(nanos(times)?, |at| clock.bin(stride, at))?)
            }
            (Task::Add | Task::Subtract, [times, intervals]) => {
                utc(shift(&mut clock, nanos(times)?, intervals, self.task == Task::Subtract)?)
            }
            (Task::ToChar, [times, patterns]) => text_functions::to_char(times, patterns, Some(&self.zone))?,
            (Task::FromChar, [said, patterns]) => {
                utc(text_functions::to_timestamp(said, patterns, &self.zone)?)
            }
            _ => return exec_err!("{} is called with the wrong arguments", self.name()),
        };
        answer(scalar, done)
    }
}

fn utc(times: TimestampNanosecondArray) -> ArrayRef {
    Arc::new(times.with_timezone("UTC"))
}

impl ZoneFunction {
    fn text(&self, times: &TimestampNanosecondArray) -> StringArray {
        let mut texts = StringBuilder::new();
        for nanos in times {
            texts.append_option(nanos.and_then(|nanos| self.zone.text(UnixNanos::new(nanos))));
        }
        texts.finish()
    }
}

/// Parses texts as instants.
fn parse_all(said: &ArrayRef, clock: &mut Clock, or_null: bool) -> Result<TimestampNanosecondArray> {
    let parse = |text: Option<&str>| match text.map(|text| parse(text, clock)).transpose() {
        Err(_) if or_null => Ok(None),
        other => other,
    };
    texts(said)?.iter().map(parse).collect()
}

/// Parses a text as an instant.
fn parse(text: &str, clock: &mut Clock) -> Result<i64> {
    // A text that names its zone gives the same instant in every zone.
    let read = |zone: &str| -> Result<i64> {
        let at = string_to_datetime(&zone.parse::<Tz>()?, text)?;
        at.timestamp_nanos_opt()
            .ok_or_else(|| refused(format!("{text:?} is outside the range of timestamps")))
    };
    let at = read("+00:00")?;
    if read("+01:00")? == at {
        return Ok(at);
    }
    clock.instant(at).ok_or_else(|| beyond(at))
}

/// Returns the text of all rows. Fails if they differ.
fn constant(array: &ArrayRef) -> Result<String> {
    let texts = texts(array)?;
    let mut all = texts.iter().flatten();
    let first = all.next().unwrap_or_default();
    if all.any(|text| text != first) {
        return exec_err!("the unit of date_trunc must be a constant");
    }
    Ok(first.to_owned())
}

fn stride(array: &ArrayRef) -> Result<Stride> {
    let intervals = cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
    let mut all = intervals.iter().flatten();
    let Some(first) = all.next() else { return exec_err!("the stride of date_bin is NULL") };
    if all.any(|stride| stride != first) {
        return exec_err!("the stride of date_bin must be a constant");
    }
    let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(first);
    let nanos = i64::from(days).checked_mul(86_400 * NANOS).and_then(|of_days| of_days.checked_add(nanos));
    match (months, nanos) {
        (0, Some(nanos)) if nanos > 0 => Ok(Stride::Nanos(nanos)),
        (1.., Some(0)) => Ok(Stride::Months(i64::from(months))),
        (0, Some(_)) => exec_err!("the stride of date_bin must be positive"),
        _ => exec_err!("the stride of date_bin cannot have both months and shorter units"),
    }
}

fn shift(
    clock: &mut Clock,
    times: &TimestampNanosecondArray,
    intervals: &ArrayRef,
    back: bool,
) -> Result<TimestampNanosecondArray> {
    let intervals = cast(intervals, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
    let shift = |(at, interval): (Option<i64>, Option<_>)| -> Result<Option<i64>> {
        let (Some(at), Some(interval)) = (at, interval) else { return Ok(None) };
        let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(interval);
        let shifted = if back {
            let negated = (months.checked_neg(), days.checked_neg(), nanos.checked_neg());
            let (Some(months), Some(days), Some(nanos)) = negated else { return Err(beyond(at)) };
            clock.shift(at, months, days, nanos)
        } else {
            clock.shift(at, months, days, nanos)
        };
        shifted.map(Some).ok_or_else(|| beyond(at))
    };
    times.iter().zip(intervals.iter().cycle()).map(shift).collect()
}
