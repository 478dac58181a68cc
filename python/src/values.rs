//! Converts Arrow values into Python values.
//!
//! An instant becomes an aware `datetime` in UTC, and a timestamp without a zone a naive one. Dates, times
//! and durations become `date`, `time` and `timedelta`, decimals `Decimal`, and bytes `bytes`. Times have
//! microseconds, the precision of Python's classes. A value that these classes cannot hold (an instant after
//! the year 9999, an interval of months) becomes its SQL text.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pyo3::BoundObject;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyType};

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400;
/// 1970-01-01, as Python counts days.
const EPOCH_ORDINAL: i64 = 719_163;

pub(crate) type Values<'py> = Vec<Bound<'py, PyAny>>;

pub(crate) fn failed(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Python's classes for time and decimals.
struct Classes<'py> {
    epoch: Bound<'py, PyAny>,
    epoch_utc: Bound<'py, PyAny>,
    date: Bound<'py, PyAny>,
    time: Bound<'py, PyAny>,
    timedelta: Bound<'py, PyAny>,
    decimal: Bound<'py, PyAny>,
}

fn class<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyType>>,
    module: &str,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(cell.import(py, module, name)?.clone().into_any())
}

impl<'py> Classes<'py> {
    fn new(py: Python<'py>) -> PyResult<Self> {
        static DATETIME: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        static DATE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        static TIME: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        static TIMEDELTA: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        static TIMEZONE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let datetime = class(py, &DATETIME, "datetime", "datetime")?;
        let utc = class(py, &TIMEZONE, "datetime", "timezone")?.getattr("utc")?;
        Ok(Self {
            epoch: datetime.call1((1970, 1, 1))?,
            epoch_utc: datetime.call1((1970, 1, 1, 0, 0, 0, 0, utc))?,
            date: class(py, &DATE, "datetime", "date")?,
            time: class(py, &TIME, "datetime", "time")?,
            timedelta: class(py, &TIMEDELTA, "datetime", "timedelta")?,
            decimal: class(py, &DECIMAL, "decimal", "Decimal")?,
        })
    }

    fn length(&self, micros: i64) -> PyResult<Bound<'py, PyAny>> {
        let seconds = micros.div_euclid(MICROS);
        self.timedelta.call1((seconds.div_euclid(DAY), seconds.rem_euclid(DAY), micros.rem_euclid(MICROS)))
    }

    fn time_of_day(&self, micros: i64) -> PyResult<Bound<'py, PyAny>> {
        let seconds = micros.div_euclid(MICROS);
        self.time.call1((seconds / 3600, seconds / 60 % 60, seconds % 60, micros.rem_euclid(MICROS)))
    }
}

/// Converts a number of a unit into microseconds, rounded down; `None` if the result does not fit 64 bits.
fn micros(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => value.checked_mul(MICROS),
        TimeUnit::Millisecond => value.checked_mul(1000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value.div_euclid(1000)),
    }
}

/// Whether an exception means that a class cannot hold a value.
fn is_beyond(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyOverflowError>(py) || error.is_instance_of::<PyValueError>(py)
}

/// Converts the values of a column.
pub(crate) fn values<'py>(py: Python<'py>, column: &ArrayRef) -> PyResult<Values<'py>> {
    Converter { py, classes: Classes::new(py)? }.values(column)
}

struct Converter<'py> {
    py: Python<'py>,
    classes: Classes<'py>,
}

impl<'py> Converter<'py> {
    fn each<V>(
        &self,
        values: impl Iterator<Item = Option<V>>,
        make: impl Fn(V) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Values<'py>> {
        values.map(|value| value.map_or_else(|| Ok(self.none()), &make)).collect()
    }

    fn none(&self) -> Bound<'py, PyAny> {
        self.py.None().into_bound(self.py)
    }

    fn plain<V: IntoPyObject<'py>>(&self, values: impl Iterator<Item = Option<V>>) -> PyResult<Values<'py>> {
        self.each(values, |value| {
            Ok(value.into_pyobject(self.py).map_err(Into::<PyErr>::into)?.into_any().into_bound())
        })
    }

    fn primitive<T: ArrowPrimitiveType>(&self, column: &ArrayRef) -> PyResult<Values<'py>>
    where
        T::Native: IntoPyObject<'py>,
    {
        self.plain(column.as_primitive::<T>().iter())
    }

    /// Converts values into a Python class, and the values that the class cannot hold into text.
    fn or_text<V>(
        &self,
        column: &ArrayRef,
        values: impl Iterator<Item = Option<V>>,
        make: impl Fn(V) -> Option<PyResult<Bound<'py, PyAny>>>,
    ) -> PyResult<Values<'py>> {
        let mut found = Vec::with_capacity(column.len());
        for (row, value) in values.enumerate() {
            found.push(match value.map(&make) {
                None => self.none(),
                Some(Some(Ok(value))) => value,
                Some(Some(Err(error))) if !is_beyond(self.py, &error) => return Err(error),
                Some(_) => self.text(column, row)?,
            });
        }
        Ok(found)
    }

    /// Converts a value into its SQL text.
    fn text(&self, column: &ArrayRef, row: usize) -> PyResult<Bound<'py, PyAny>> {
        let options = FormatOptions::default();
        let texts = ArrayFormatter::try_new(column, &options).map_err(failed)?;
        if let Ok(text) = texts.value(row).try_to_string() {
            return Ok(text.into_pyobject(self.py)?.into_any());
        }
        // The calendar of SQL texts does not reach this value either, so the stored number is returned.
        let number = cast(&column.slice(row, 1), &DataType::Int64).map_err(failed)?;
        Ok(number.as_primitive::<Int64Type>().value(0).into_pyobject(self.py)?.into_any())
    }

    fn texts(&self, column: &ArrayRef) -> PyResult<Values<'py>> {
        (0..column.len())
            .map(|row| if column.is_null(row) { Ok(self.none()) } else { self.text(column, row) })
            .collect()
    }

    fn instants<T: ArrowPrimitiveType<Native = i64>>(
        &self,
        column: &ArrayRef,
        unit: TimeUnit,
        aware: bool,
    ) -> PyResult<Values<'py>> {
        let epoch = if aware { &self.classes.epoch_utc } else { &self.classes.epoch };
        let values: &PrimitiveArray<T> = column.as_primitive();
        self.or_text(column, values.iter(), |value| {
            Some(self.classes.length(micros(value, unit)?).and_then(|since| epoch.add(since)))
        })
    }

    fn lengths<T: ArrowPrimitiveType<Native = i64>>(
        &self,
        column: &ArrayRef,
        unit: TimeUnit,
    ) -> PyResult<Values<'py>> {
        let values: &PrimitiveArray<T> = column.as_primitive();
        self.or_text(column, values.iter(), |value| Some(self.classes.length(micros(value, unit)?)))
    }

    fn times<T: ArrowPrimitiveType>(&self, column: &ArrayRef, unit: TimeUnit) -> PyResult<Values<'py>>
    where
        i64: From<T::Native>,
    {
        let values: &PrimitiveArray<T> = column.as_primitive();
        self.or_text(column, values.iter(), |value| {
            Some(self.classes.time_of_day(micros(i64::from(value), unit)?))
        })
    }

    fn dates(&self, column: &ArrayRef, days: impl Iterator<Item = Option<i64>>) -> PyResult<Values<'py>> {
        self.or_text(column, days, |days| {
            Some(self.classes.date.call_method1("fromordinal", (EPOCH_ORDINAL + days,)))
        })
    }

    fn intervals(&self, column: &ArrayRef, unit: IntervalUnit) -> PyResult<Values<'py>> {
        let length = |days: i32, micros: i64| {
            Some(self.classes.length(i64::from(days).checked_mul(DAY * MICROS)?.checked_add(micros)?))
        };
        match unit {
            IntervalUnit::MonthDayNano => {
                let values = column.as_primitive::<IntervalMonthDayNanoType>();
                self.or_text(column, values.iter(), |interval| {
                    let micros = interval.nanoseconds.div_euclid(1000);
                    (interval.months == 0).then(|| length(interval.days, micros)).flatten()
                })
            }
            IntervalUnit::DayTime => {
                let values = column.as_primitive::<IntervalDayTimeType>();
                self.or_text(column, values.iter(), |interval| {
                    length(interval.days, i64::from(interval.milliseconds) * 1000)
                })
            }
            IntervalUnit::YearMonth => self.texts(column),
        }
    }

    fn decimals(&self, column: &ArrayRef) -> PyResult<Values<'py>> {
        let texts = self.texts(column)?;
        texts
            .into_iter()
            .map(|text| if text.is_none() { Ok(text) } else { self.classes.decimal.call1((text,)) })
            .collect()
    }

    fn lists(&self, column: &ArrayRef, list: impl Fn(usize) -> ArrayRef) -> PyResult<Values<'py>> {
        (0..column.len())
            .map(|row| {
                if column.is_null(row) {
                    return Ok(self.none());
                }
                Ok(PyList::new(self.py, self.values(&list(row))?)?.into_any())
            })
            .collect()
    }

    fn structs(&self, column: &ArrayRef) -> PyResult<Values<'py>> {
        let parts = column.as_struct();
        let columns = parts.columns().iter().map(|part| self.values(part)).collect::<PyResult<Vec<_>>>()?;
        let names = unique(parts.column_names().into_iter());
        (0..column.len())
            .map(|row| {
                if column.is_null(row) {
                    return Ok(self.none());
                }
                let value = PyDict::new(self.py);
                for (name, column) in names.iter().zip(&columns) {
                    value.set_item(name, column.get(row))?;
                }
                Ok(value.into_any())
            })
            .collect()
    }

    fn maps(&self, column: &ArrayRef) -> PyResult<Values<'py>> {
        let maps = column.as_map();
        (0..column.len())
            .map(|row| {
                if column.is_null(row) {
                    return Ok(self.none());
                }
                let entries = maps.value(row);
                let value = PyDict::new(self.py);
                for (key, item) in
                    self.values(entries.column(0))?.into_iter().zip(self.values(entries.column(1))?)
                {
                    value.set_item(key, item)?;
                }
                Ok(value.into_any())
            })
            .collect()
    }

    fn bytes<'a>(&self, values: impl Iterator<Item = Option<&'a [u8]>>) -> PyResult<Values<'py>> {
        self.each(values, |bytes| Ok(PyBytes::new(self.py, bytes).into_any()))
    }

    fn values(&self, column: &ArrayRef) -> PyResult<Values<'py>> {
        match column.data_type() {
            DataType::Null => Ok(vec![self.none(); column.len()]),
            DataType::Boolean => self.plain(column.as_boolean().iter()),
            DataType::Int8 => self.primitive::<Int8Type>(column),
            DataType::Int16 => self.primitive::<Int16Type>(column),
            DataType::Int32 => self.primitive::<Int32Type>(column),
            DataType::Int64 => self.primitive::<Int64Type>(column),
            DataType::UInt8 => self.primitive::<UInt8Type>(column),
            DataType::UInt16 => self.primitive::<UInt16Type>(column),
            DataType::UInt32 => self.primitive::<UInt32Type>(column),
            DataType::UInt64 => self.primitive::<UInt64Type>(column),
            DataType::Float16 => {
                self.plain(column.as_primitive::<Float16Type>().iter().map(|x| x.map(f32::from)))
            }
            DataType::Float32 => self.primitive::<Float32Type>(column),
            DataType::Float64 => self.primitive::<Float64Type>(column),
            DataType::Utf8 => self.plain(column.as_string::<i32>().iter()),
            DataType::LargeUtf8 => self.plain(column.as_string::<i64>().iter()),
            DataType::Utf8View => self.plain(column.as_string_view().iter()),
            DataType::Binary => self.bytes(column.as_binary::<i32>().iter()),
            DataType::LargeBinary => self.bytes(column.as_binary::<i64>().iter()),
            DataType::BinaryView => self.bytes(column.as_binary_view().iter()),
            DataType::FixedSizeBinary(_) => self.bytes(column.as_fixed_size_binary().iter()),
            DataType::Timestamp(unit, zone) => {
                let (unit, aware) = (*unit, zone.is_some());
                match unit {
                    TimeUnit::Second => self.instants::<TimestampSecondType>(column, unit, aware),
                    TimeUnit::Millisecond => self.instants::<TimestampMillisecondType>(column, unit, aware),
                    TimeUnit::Microsecond => self.instants::<TimestampMicrosecondType>(column, unit, aware),
                    TimeUnit::Nanosecond => self.instants::<TimestampNanosecondType>(column, unit, aware),
                }
            }
            DataType::Date32 => {
                let days = column.as_primitive::<Date32Type>().iter();
                self.dates(column, days.map(|days| days.map(i64::from)))
            }
            DataType::Date64 => {
                let millis = column.as_primitive::<Date64Type>().iter();
                self.dates(column, millis.map(|millis| millis.map(|millis| millis.div_euclid(DAY * 1000))))
            }
            DataType::Time32(TimeUnit::Second) => self.times::<Time32SecondType>(column, TimeUnit::Second),
            DataType::Time32(_) => self.times::<Time32MillisecondType>(column, TimeUnit::Millisecond),
            DataType::Time64(TimeUnit::Microsecond) => {
                self.times::<Time64MicrosecondType>(column, TimeUnit::Microsecond)
            }
            DataType::Time64(_) => self.times::<Time64NanosecondType>(column, TimeUnit::Nanosecond),
            DataType::Duration(unit) => match unit {
                TimeUnit::Second => self.lengths::<DurationSecondType>(column, *unit),
                TimeUnit::Millisecond => self.lengths::<DurationMillisecondType>(column, *unit),
                TimeUnit::Microsecond => self.lengths::<DurationMicrosecondType>(column, *unit),
                TimeUnit::Nanosecond => self.lengths::<DurationNanosecondType>(column, *unit),
            },
            DataType::Interval(unit) => self.intervals(column, *unit),
            DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => self.decimals(column),
            DataType::Dictionary(_, of) => self.values(&cast(column, of).map_err(failed)?),
            DataType::List(_) => self.lists(column, |row| column.as_list::<i32>().value(row)),
            DataType::LargeList(_) => self.lists(column, |row| column.as_list::<i64>().value(row)),
            DataType::FixedSizeList(..) => self.lists(column, |row| column.as_fixed_size_list().value(row)),
            DataType::Struct(_) => self.structs(column),
            DataType::Map(..) => self.maps(column),
            _ => self.texts(column),
        }
    }
}

/// Makes names unique: the second `seq` becomes `seq_2`.
pub(crate) fn unique<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Vec<String> {
    let mut taken: std::collections::HashSet<String> = names.clone().map(str::to_owned).collect();
    let mut first = std::collections::HashSet::new();
    names
        .map(|name| {
            if first.insert(name) {
                return name.to_owned();
            }
            let (mut number, mut other) = (2_u64, format!("{name}_2"));
            while taken.contains(&other) {
                number += 1;
                other = format!("{name}_{number}");
            }
            taken.insert(other.clone());
            other
        })
        .collect()
}
