//! Ostracon's SQL functions, except the functions on JSON ([`json`](super::json)).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use super::error_group::error_group;

fn answer(mut texts: StringViewBuilder, scalar: bool) -> Result<ColumnarValue> {
    let texts: ArrayRef = Arc::new(texts.finish());
    if scalar {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&texts, 0)?));
    }
    Ok(ColumnarValue::Array(texts))
}

/// Makes the function `error_group(text)`, which returns the shape of an error's text. See
/// [`error_group`](super::error_group).
pub(super) fn error_group_function() -> ScalarUDF {
    create_udf(
        "error_group",
        vec![DataType::Utf8View],
        DataType::Utf8View,
        Volatility::Immutable,
        Arc::new(|arguments| {
            let scalar = arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let [texts] = arrays.as_slice() else {
                return exec_err!("error_group takes one argument, a text");
            };
            let Some(texts) = texts.as_string_view_opt() else {
                return exec_err!("error_group takes a text, and the argument is {}", texts.data_type());
            };
            let mut groups = StringViewBuilder::with_capacity(texts.len());
            for text in texts {
                groups.append_option(text.map(error_group));
            }
            answer(groups, scalar)
        }),
    )
}
