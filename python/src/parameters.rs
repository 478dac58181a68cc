//! Converts Python values into SQL values. A value that cannot be converted exactly is refused.

use arrow::datatypes::{DataType, TimeUnit, i256};
use datafusion::common::ScalarValue;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDate, PyDateTime, PyDelta, PyFloat, PyInt, PyList, PyString, PyTime, PyTuple,
};

use crate::error::misuse;

/// The largest number of digits of an SQL decimal.
const MOST_DIGITS: usize = 76;
const NARROW_DIGITS: usize = 38;

/// Converts the value of a placeholder. The Python code has converted values of other libraries into Python's
/// own before.
pub(crate) fn value(name: &str, value: &Bound<'_, PyAny>) -> PyResult<ScalarValue> {
    if value.is_none() {
        return Ok(ScalarValue::Null);
    }
    // A bool is an int, and a datetime is a date, so they are checked first.
    if value.cast::<PyBool>().is_ok() {
        return Ok(ScalarValue::Boolean(Some(value.extract()?)));
    }
    if value.cast::<PyInt>().is_ok() {
        return match value.extract::<i64>() {
            Ok(value) => Ok(ScalarValue::Int64(Some(value))),
            Err(_) => decimal(name, &value.str()?.to_string(), 0),
        };
    }
    if value.cast::<PyFloat>().is_ok() {
        return Ok(ScalarValue::Float64(Some(value.extract()?)));
    }
    if value.cast::<PyString>().is_ok() {
        return Ok(ScalarValue::Utf8(Some(value.extract()?)));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(ScalarValue::Binary(Some(bytes.as_bytes().to_vec())));
    }
    if value.cast::<PyDateTime>().is_ok() {
        return instant(value);
    }
    if value.cast::<PyDate>().is_ok() {
        let days: i32 = value.call_method0("toordinal")?.extract()?;
        return Ok(ScalarValue::Date32(Some(days - EPOCH_ORDINAL)));
    }
    if value.cast::<PyTime>().is_ok() {
        return time_of_day(name, value);
    }
    if value.cast::<PyDelta>().is_ok() {
        return Ok(length(micros(value)?, part_of_micros(value, "nanoseconds")));
    }
    if value.get_type().name()? == "Nanoseconds" {
        return of_nanoseconds(name, value);
    }
    if value.get_type().name()? == "Decimal" {
        return of_decimal(name, value);
    }
    if value.cast::<PyList>().is_ok() || value.cast::<PyTuple>().is_ok() {
        return list(name, value);
    }
    Err(misuse(format!(
        "${name} cannot be a {}: it may be None, a bool, int, float, str, bytes, datetime, date, time, \
         timedelta, Decimal or UUID, or a list of values of one type",
        value.get_type().name()?
    )))
}

/// The day 1970-01-01 in Python's count of days.
const EPOCH_ORDINAL: i32 = 719_163;
const MICROS: i64 = 1_000_000;

/// Returns the microseconds of a `timedelta`, of which the longest ones do not fit 64 bits. The difference of any two
/// datetimes fits.
fn micros(delta: &Bound<'_, PyAny>) -> PyResult<i64> {
    let part = |name: &str| delta.getattr(name)?.extract::<i64>();
    let seconds = part("days")? * 86_400 + part("seconds")?;
    let micros =
        seconds.checked_mul(MICROS).and_then(|micros| micros.checked_add(part("microseconds").ok()?));
    micros.ok_or_else(|| misuse(format!("a timedelta of {} days is too long for SQL", seconds / 86_400)))
}

/// Returns the nanoseconds of a pandas value below its microseconds. Python's own values have none.
fn part_of_micros(value: &Bound<'_, PyAny>, name: &str) -> i64 {
    value.getattr(name).and_then(|nanos| nanos.extract()).unwrap_or_default()
}

/// Makes a duration, in nanoseconds if it fits 64 bits.
fn length(micros: i64, nanos: i64) -> ScalarValue {
    match micros.checked_mul(1000).and_then(|all| all.checked_add(nanos)) {
        Some(nanos) => ScalarValue::DurationNanosecond(Some(nanos)),
        None => ScalarValue::DurationMicrosecond(Some(micros)),
    }
}

/// Converts a timestamp or a duration of `NumPy`, which the Python code has converted into nanoseconds.
fn of_nanoseconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<ScalarValue> {
    let count = value.getattr("count")?;
    let is_length: bool = value.getattr("is_length")?.extract()?;
    if let Ok(nanos) = count.extract::<i64>() {
        return Ok(if is_length {
            ScalarValue::DurationNanosecond(Some(nanos))
        } else {
            ScalarValue::TimestampNanosecond(Some(nanos), None)
        });
    }
    let micros = count.floor_div(1000)?.extract::<i64>();
    if !count.rem(1000)?.is_truthy()?
        && let Ok(micros) = micros
    {
        return Ok(if is_length {
            ScalarValue::DurationMicrosecond(Some(micros))
        } else {
            ScalarValue::TimestampMicrosecond(Some(micros), None)
        });
    }
    Err(misuse(format!("${name} is outside the range of SQL's times and durations")))
}

/// Converts an aware datetime into an instant in UTC, and a naive one into a timestamp without a zone.
fn instant(value: &Bound<'_, PyAny>) -> PyResult<ScalarValue> {
    let py = value.py();
    let datetime = py.import("datetime")?;
    let class = datetime.getattr("datetime")?;
    let aware = !value.call_method0("utcoffset")?.is_none();
    let (epoch, zone) = if aware {
        let utc = datetime.getattr("timezone")?.getattr("utc")?;
        (class.call1((1970, 1, 1, 0, 0, 0, 0, utc))?, Some("UTC".into()))
    } else {
        (class.call1((1970, 1, 1))?, None)
    };
    let since = micros(&value.sub(epoch)?)?;
    let nanos = part_of_micros(value, "nanosecond");
    Ok(match since.checked_mul(1000).and_then(|since| since.checked_add(nanos)) {
        Some(nanos) => ScalarValue::TimestampNanosecond(Some(nanos), zone),
        None => ScalarValue::TimestampMicrosecond(Some(since), zone),
    })
}

fn time_of_day(name: &str, value: &Bound<'_, PyAny>) -> PyResult<ScalarValue> {
    if !value.getattr("tzinfo")?.is_none() {
        return Err(misuse(format!(
            "${name} is a time of day with a zone, which SQL does not support; remove the zone"
        )));
    }
    let part = |name: &str| value.getattr(name)?.extract::<i64>();
    let seconds = (part("hour")? * 60 + part("minute")?) * 60 + part("second")?;
    Ok(ScalarValue::Time64Nanosecond(Some((seconds * MICROS + part("microsecond")?) * 1000)))
}

fn of_decimal(name: &str, value: &Bound<'_, PyAny>) -> PyResult<ScalarValue> {
    if !value.call_method0("is_finite")?.extract::<bool>()? {
        return Err(misuse(format!("${name} is {}, which SQL's decimals do not support", value.str()?)));
    }
    let parts = value.call_method0("as_tuple")?;
    let digits: Vec<u8> = parts.getattr("digits")?.extract()?;
    let exponent: i64 = parts.getattr("exponent")?.extract()?;
    let sign: u8 = parts.getattr("sign")?.extract()?;
    let mut text = if sign == 1 { "-".to_owned() } else { String::new() };
    text.extend(digits.iter().map(|digit| char::from(b'0' + digit)));
    if exponent > 0 && exponent <= MOST_DIGITS as i64 {
        text.extend(std::iter::repeat_n('0', exponent as usize));
    } else if exponent > 0 {
        return Err(too_long(name));
    }
    let scale = usize::try_from(-exponent.min(0)).ok().filter(|scale| *scale <= MOST_DIGITS);
    decimal(name, &text, scale.ok_or_else(|| too_long(name))?)
}

fn too_long(name: &str) -> PyErr {
    misuse(format!("${name} has more than {MOST_DIGITS} digits, the limit of SQL's numbers; pass it as text"))
}

/// Makes a decimal of `digits`, with `scale` digits after the decimal point.
fn decimal(name: &str, digits: &str, scale: usize) -> PyResult<ScalarValue> {
    let precision = digits.trim_start_matches('-').trim_start_matches('0').len().max(scale).max(1);
    if precision > MOST_DIGITS {
        return Err(too_long(name));
    }
    // Both are at most 76.
    let scale = scale as i8;
    if precision <= NARROW_DIGITS {
        let value = digits.parse::<i128>().map_err(|_| too_long(name))?;
        return Ok(ScalarValue::Decimal128(Some(value), precision as u8, scale));
    }
    let value = i256::from_string(digits).ok_or_else(|| too_long(name))?;
    Ok(ScalarValue::Decimal256(Some(value), precision as u8, scale))
}

/// Converts a list, whose items must have one type.
fn list(name: &str, items: &Bound<'_, PyAny>) -> PyResult<ScalarValue> {
    let items = items.try_iter()?.map(|item| value(name, &item?)).collect::<PyResult<Vec<_>>>()?;
    let of = common(name, &items)?;
    if let Some(finer) = items.iter().find(|item| is_finer(item, &of)) {
        return Err(misuse(format!(
            "${name} contains {finer}, which has nanoseconds, and a time that fits only microseconds; one \
             list cannot hold both"
        )));
    }
    let items = items
        .into_iter()
        .map(|item| if item.is_null() { ScalarValue::try_from(&of) } else { item.cast_to(&of) })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| misuse(format!("${name}: {error}")))?;
    Ok(ScalarValue::List(ScalarValue::new_list(&items, &of, true)))
}

/// Whether a time would lose nanoseconds in a list of this type.
fn is_finer(item: &ScalarValue, of: &DataType) -> bool {
    let nanos = match item {
        ScalarValue::TimestampNanosecond(nanos, _) | ScalarValue::DurationNanosecond(nanos) => *nanos,
        _ => None,
    };
    let is_coarse = matches!(
        of,
        DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Duration(TimeUnit::Microsecond)
    );
    is_coarse && nanos.is_some_and(|nanos| nanos % 1000 != 0)
}

/// Returns the common type of a list's items. Numbers of different types become decimals, which are exact.
fn common(name: &str, items: &[ScalarValue]) -> PyResult<DataType> {
    let mut of = DataType::Null;
    for item in items.iter().filter(|item| !item.is_null()) {
        let next = item.data_type();
        of = match (&of, &next) {
            (DataType::Null, _) => next,
            (of, next) if of == next => continue,
            (DataType::Timestamp(_, zone), DataType::Timestamp(_, other)) if zone == other => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            (DataType::Duration(_), DataType::Duration(_)) => DataType::Duration(TimeUnit::Microsecond),
            (of, next) => match (digits(of), digits(next)) {
                (Some((whole, scale)), Some((more, finer))) => {
                    let (whole, scale) = (whole.max(more), scale.max(finer));
                    let precision = usize::from(whole) + usize::from(scale);
                    if precision > MOST_DIGITS {
                        return Err(too_long(name));
                    }
                    let make =
                        if precision <= NARROW_DIGITS { DataType::Decimal128 } else { DataType::Decimal256 };
                    make(precision as u8, scale as i8)
                }
                _ => {
                    return Err(misuse(format!(
                        "${name} is a list of {of} and {next}; the items of a list must have one type"
                    )));
                }
            },
        };
    }
    // An empty list needs a type as well, because the query may use it.
    Ok(if of == DataType::Null { DataType::Utf8 } else { of })
}

/// Returns the number of digits of an exact number type before and after its point.
fn digits(of: &DataType) -> Option<(u8, u8)> {
    match of {
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let scale = u8::try_from(*scale).ok()?;
            Some((precision.checked_sub(scale)?, scale))
        }
        _ => None,
    }
}
