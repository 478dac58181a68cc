//! One SQL value: of a parameter, or of one column in one row of an answer.

use std::fmt;
use std::time::Duration;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;

/// An SQL value of any type: the value of a parameter, or of one column in one row of an answer.
///
/// [`From`] converts Rust values into SQL values. [`Value::from_array`] reads a value of any type from an
/// Arrow array. [`FromValue`](super::FromValue) converts SQL values into Rust values.
///
/// ```
/// use ostracon::Value;
///
/// assert_eq!(Value::from("shop:5").to_string(), "shop:5");
/// assert!(Value::from(None::<i64>).is_null());
/// assert_ne!(Value::from(5), Value::from("5"));
/// ```
#[derive(Clone, PartialEq)]
pub struct Value(pub(in crate::query) ScalarValue);

impl Value {
    /// NULL without a type.
    pub const NULL: Self = Self(ScalarValue::Null);

    /// Reads the value in one row of an Arrow array.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the array has no such row, or if SQL does not know the type of the
    /// array.
    pub fn from_array(array: &dyn Array, row: usize) -> Result<Self> {
        let invalid = |why: String| {
            Error::new(ErrorKind::InvalidArgument, format!("cannot read a value from an array: {why}"))
        };
        if row >= array.len() {
            return Err(invalid(format!("it has {} rows, counted from 0, and no row {row}", array.len())));
        }
        ScalarValue::try_from_array(array, row).map(Self).map_err(|error| invalid(error.strip_backtrace()))
    }

    /// Returns the value as an Arrow array of one row.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if Arrow has no array of the value's type.
    pub fn to_array(&self) -> Result<ArrayRef> {
        self.0.to_array().map_err(|error| Error::new(ErrorKind::InvalidArgument, error.strip_backtrace()))
    }

    /// Returns the Arrow type of the value.
    pub fn data_type(&self) -> DataType {
        self.0.data_type()
    }

    /// Whether the value is NULL, of any type.
    pub fn is_null(&self) -> bool {
        self.0.is_null()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

macro_rules! from_rust {
    ($($type:ty),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self(value.into())
            }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self(value.into())
            }
        }
    )*};
}

from_rust!(bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, &str, String);

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self(ScalarValue::Binary(Some(bytes)))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

/// Converts an instant into a value of the type of the column `at`.
impl From<UnixNanos> for Value {
    fn from(at: UnixNanos) -> Self {
        Self(ScalarValue::TimestampNanosecond(Some(at.get()), Some("UTC".into())))
    }
}

/// Converts a duration into a value: in nanoseconds up to 292 years, and in milliseconds above that.
impl From<Duration> for Value {
    fn from(length: Duration) -> Self {
        Self(match i64::try_from(length.as_nanos()) {
            Ok(nanos) => ScalarValue::DurationNanosecond(Some(nanos)),
            Err(_) => {
                ScalarValue::DurationMillisecond(Some(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)))
            }
        })
    }
}

#[cfg(feature = "datafusion")]
impl From<ScalarValue> for Value {
    fn from(value: ScalarValue) -> Self {
        Self(value)
    }
}

#[cfg(feature = "datafusion")]
impl From<Value> for ScalarValue {
    fn from(value: Value) -> Self {
        value.0
    }
}
