//! Rows of an answer, as Rust values.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;

use super::value::Value;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;

/// One row of an answer.
#[derive(Clone, Debug)]
pub struct Row {
    batch: Arc<RecordBatch>,
    row: usize,
}

/// Returns the rows of the batches, in order.
pub(super) fn rows(batches: Vec<RecordBatch>) -> Vec<Row> {
    let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let batch = Arc::new(batch);
        rows.extend((0..batch.num_rows()).map(|row| Row { batch: Arc::clone(&batch), row }));
    }
    rows
}

impl Row {
    /// Returns the names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        self.batch.schema()
    }

    /// Returns the value of a column. The column is a name, or a number counted from 0.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the answer has no such column.
    pub fn value<'c>(&self, column: impl Into<Column<'c>>) -> Result<Value> {
        let at = self.place(column.into())?;
        Value::from_array(self.batch.column(at).as_ref(), self.row)
    }

    /// Returns the value of a column as a Rust type. The column is a name, or a number counted from 0.
    ///
    /// ```
    /// # use ostracon::{Store, UnixNanos};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Store::open(folder.path().join("facts"))?;
    /// let sql = "SELECT 5 AS n, 'shop:5' AS actor, NULL AS error, TIMESTAMP '2026-11-23 20:18:10Z' AS at";
    /// let rows = store.sql(sql).await?.rows().await?;
    /// assert_eq!(rows[0].get::<u32>("n")?, 5);
    /// assert_eq!(rows[0].get::<String>(1)?, "shop:5");
    /// assert_eq!(rows[0].get::<Option<String>>("error")?, None);
    /// assert_eq!(rows[0].get::<UnixNanos>("at")?, UnixNanos::new(1_795_465_090_000_000_000));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the answer has no such column, or if the value cannot be a `T`: it
    /// has another type, it is too large, or it is NULL and `T` is not an [`Option`].
    pub fn get<'c, T: FromValue>(&self, column: impl Into<Column<'c>>) -> Result<T> {
        let at = self.place(column.into())?;
        let value = Value::from_array(self.batch.column(at).as_ref(), self.row)?;
        let data_type = value.data_type();
        let is_null = value.is_null();
        T::from_value(value).ok_or_else(|| {
            let name = self.batch.schema_ref().field(at).name().clone();
            let why = if is_null {
                format!("it is NULL; ask for an Option<{}>", T::NAME)
            } else {
                format!("its type is {data_type}, and the type or the value does not fit")
            };
            Error::new(
                ErrorKind::InvalidArgument,
                format!("cannot read column {name:?} as {}: {why}", T::NAME),
            )
        })
    }

    /// Returns the index of a column.
    fn place(&self, column: Column<'_>) -> Result<usize> {
        let schema = self.batch.schema_ref();
        let at = match column {
            Column::Named(name) => schema.index_of(name).ok(),
            Column::At(at) => (at < schema.fields().len()).then_some(at),
        };
        at.ok_or_else(|| {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let message = format!("the answer has no column {column}; its columns: {}", names.join(", "));
            Error::new(ErrorKind::InvalidArgument, message)
        })
    }
}

/// The name or the number of a column.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Column<'c> {
    /// The name of the column.
    Named(&'c str),
    /// The number of the column, counted from 0.
    At(usize),
}

impl<'c> From<&'c str> for Column<'c> {
    fn from(name: &'c str) -> Self {
        Self::Named(name)
    }
}

impl From<usize> for Column<'_> {
    fn from(at: usize) -> Self {
        Self::At(at)
    }
}

impl fmt::Display for Column<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "{name:?}"),
            Self::At(at) => write!(f, "{at}"),
        }
    }
}

/// A Rust type that an SQL value can be read as: [`bool`], integers, [`f64`], [`String`], [`Vec<u8>`],
/// [`UnixNanos`], [`Value`], and an [`Option`] of such a type for a column with NULLs.
pub trait FromValue: Sized + sealed::Sealed {
    #[doc(hidden)]
    const NAME: &'static str;

    #[doc(hidden)]
    fn from_value(value: Value) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for Value {}

impl FromValue for Value {
    const NAME: &'static str = "a value";

    fn from_value(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl<T: sealed::Sealed> sealed::Sealed for Option<T> {}

impl<T: FromValue> FromValue for Option<T> {
    const NAME: &'static str = T::NAME;

    fn from_value(value: Value) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::from_value(value).map(Some) }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}

        impl FromValue for $type {
            const NAME: &'static str = stringify!($type);

            fn from_value(value: Value) -> Option<Self> {
                let is_whole = value.data_type().is_integer()
                    || matches!(value.data_type(), DataType::Decimal128(_, 0) | DataType::Decimal256(_, 0));
                if !is_whole {
                    return None;
                }
                match value.0.cast_to(&DataType::Decimal128(38, 0)).ok()? {
                    ScalarValue::Decimal128(Some(whole), ..) => whole.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! from_value {
    ($($type:ty, $name:literal, $is_one:expr, $as:expr, $pattern:pat => $read:expr;)*) => {$(
        impl sealed::Sealed for $type {}

        impl FromValue for $type {
            const NAME: &'static str = $name;

            fn from_value(value: Value) -> Option<Self> {
                let is_one: fn(&DataType) -> bool = $is_one;
                if !is_one(&value.data_type()) {
                    return None;
                }
                match value.0.cast_to(&$as).ok()? {
                    $pattern => Some($read),
                    _ => None,
                }
            }
        }
    )*};
}

/// Whether a type is text, or a dictionary of texts.
fn is_text(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(_, of) => of.is_string(),
        of => of.is_string(),
    }
}

from_value! {
    bool, "bool", |of| *of == DataType::Boolean, DataType::Boolean, ScalarValue::Boolean(Some(is)) => is;
    f64, "f64", DataType::is_numeric, DataType::Float64, ScalarValue::Float64(Some(number)) => number;
    String, "String", is_text, DataType::Utf8, ScalarValue::Utf8(Some(text)) => text;
    Vec<u8>, "Vec<u8>", DataType::is_binary, DataType::Binary, ScalarValue::Binary(Some(bytes)) => bytes;
    UnixNanos, "UnixNanos", |of| matches!(of, DataType::Timestamp(..)), DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        ScalarValue::TimestampNanosecond(Some(nanos), _) => UnixNanos::new(nanos);
}
