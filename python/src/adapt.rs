//! Converts answers for libraries that do not support all Arrow types.
//!
//! Polars panics on an interval, and on a decimal of more than 38 digits. Pandas refuses a time of day with
//! nanoseconds. Such a column is converted into an equivalent type, or into text if there is none.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, OffsetSizeTrait, RecordBatch,
    StringArray, StructArray,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, DurationMicrosecondType, Field, FieldRef, IntervalDayTimeType, IntervalMonthDayNanoType,
    IntervalUnit, Schema, TimeUnit,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::values::unique;

type Result<T> = std::result::Result<T, ArrowError>;

/// The library that receives an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    Pandas,
    Polars,
}

/// Converts the rows into types that a library supports. All batches have one schema.
pub(crate) fn adapt(batches: &[RecordBatch], schema: &Schema, library: Library) -> Result<Vec<RecordBatch>> {
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    let has_doubles = library == Library::Polars && unique(names()).iter().ne(names());
    if !has_doubles && schema.fields().iter().all(|field| is_known(field.data_type(), library)) {
        return Ok(batches.to_vec());
    }
    let whole = arrow::compute::concat_batches(&Arc::new(schema.clone()), batches)?;
    let columns = whole.columns().iter().map(|column| known(column, library)).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> =
        if library == Library::Polars { unique(names()) } else { names().map(str::to_owned).collect() };
    let fields: Vec<Field> = names
        .into_iter()
        .zip(&columns)
        .map(|(name, column)| Field::new(name, column.data_type().clone(), true))
        .collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(whole.num_rows()));
    Ok(vec![RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?])
}

/// Whether a library supports this type.
fn is_known(of: &DataType, library: Library) -> bool {
    match of {
        DataType::Time64(TimeUnit::Nanosecond) => library != Library::Pandas,
        DataType::Interval(_)
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal256(..)
        | DataType::Map(..)
        | DataType::Union(..)
        | DataType::RunEndEncoded(..)
        | DataType::Dictionary(..) => library != Library::Polars,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_known(item.data_type(), library)
        }
        DataType::Struct(fields) => fields.iter().all(|field| is_known(field.data_type(), library)),
        _ => true,
    }
}

fn known(column: &ArrayRef, library: Library) -> Result<ArrayRef> {
    match (column.data_type(), library) {
        (DataType::Time64(TimeUnit::Nanosecond), Library::Pandas) => {
            cast(column, &DataType::Time64(TimeUnit::Microsecond))
        }
        (DataType::Interval(unit), Library::Polars) => {
            lengths(column, *unit).map_or_else(|| texts(column), Ok)
        }
        (DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale), Library::Polars) => {
            cast(column, &DataType::Decimal128(38, *scale))
        }
        (DataType::Decimal256(_, scale), Library::Polars) => {
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            let narrow = DataType::Decimal128(38, *scale);
            cast_with_options(column, &narrow, &strict).or_else(|_| texts(column))
        }
        (DataType::Map(..) | DataType::Union(..) | DataType::RunEndEncoded(..), Library::Polars) => {
            texts(column)
        }
        (DataType::Dictionary(_, of), _) => known(&cast(column, of)?, library),
        (DataType::List(_), _) => list::<i32>(column, library),
        (DataType::LargeList(_), _) => list::<i64>(column, library),
        (DataType::FixedSizeList(_, size), _) => {
            let lists = column.as_fixed_size_list();
            let items = known(lists.values(), library)?;
            let nulls = lists.nulls().cloned();
            Ok(Arc::new(FixedSizeListArray::try_new(item(&items), *size, items, nulls)?))
        }
        (DataType::Struct(fields), _) if !fields.is_empty() => {
            let parts = column.as_struct();
            let columns =
                parts.columns().iter().map(|part| known(part, library)).collect::<Result<Vec<_>>>()?;
            let fields: Vec<Field> = unique(parts.column_names().into_iter())
                .into_iter()
                .zip(&columns)
                .map(|(name, column)| Field::new(name, column.data_type().clone(), true))
                .collect();
            Ok(Arc::new(StructArray::try_new(fields.into(), columns, parts.nulls().cloned())?))
        }
        _ => Ok(Arc::clone(column)),
    }
}

fn item(items: &ArrayRef) -> FieldRef {
    Arc::new(Field::new("item", items.data_type().clone(), true))
}

fn list<O: OffsetSizeTrait>(column: &ArrayRef, library: Library) -> Result<ArrayRef> {
    let lists: &GenericListArray<O> = column.as_list();
    let items = known(lists.values(), library)?;
    let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
    Ok(Arc::new(GenericListArray::<O>::try_new(item(&items), offsets, items, nulls)?))
}

/// Converts intervals into durations; `None` if an interval has months, or is too long.
fn lengths(column: &ArrayRef, unit: IntervalUnit) -> Option<ArrayRef> {
    const DAY: i64 = 86_400_000_000;
    let length = |days: i32, micros: i64| i64::from(days).checked_mul(DAY)?.checked_add(micros);
    let mut made = arrow::array::PrimitiveBuilder::<DurationMicrosecondType>::with_capacity(column.len());
    for row in 0..column.len() {
        if column.is_null(row) {
            made.append_null();
            continue;
        }
        made.append_value(match unit {
            IntervalUnit::MonthDayNano => {
                let interval = column.as_primitive::<IntervalMonthDayNanoType>().value(row);
                if interval.months != 0 {
                    return None;
                }
                length(interval.days, interval.nanoseconds.div_euclid(1000))?
            }
            IntervalUnit::DayTime => {
                let interval = column.as_primitive::<IntervalDayTimeType>().value(row);
                length(interval.days, i64::from(interval.milliseconds) * 1000)?
            }
            IntervalUnit::YearMonth => return None,
        });
    }
    Some(Arc::new(made.finish()))
}

fn texts(column: &ArrayRef) -> Result<ArrayRef> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let texts = (0..column.len())
        .map(|row| column.is_valid(row).then(|| formatter.value(row).try_to_string()).transpose())
        .collect::<Result<StringArray>>()?;
    Ok(Arc::new(texts))
}
