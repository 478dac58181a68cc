//! SQL functions of our own, and what `->>` means.
//!
//! `payload->>'key'` is ours, not the JSON library's: payloads are JSON as Python writes it, with
//! `NaN`, lone surrogates and keys that come twice, and the operator has to give what the promoted
//! columns hold.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, ScalarUDF, Volatility, create_udf};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::error_group::error_group;
use crate::fact::Json;

/// `json_text(json, key)`, which is `json->>'key'`: the text of a member, see [`Json::text_of`].
pub(super) fn json_text_function() -> ScalarUDF {
    create_udf(
        JSON_TEXT,
        vec![DataType::Utf8View, DataType::Utf8View],
        DataType::Utf8View,
        Volatility::Immutable,
        Arc::new(|arguments| {
            let scalar = arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let texts: Vec<_> = arrays.iter().filter_map(|array| array.as_string_view_opt()).collect();
            let [documents, keys] = texts.as_slice() else { return exec_err!("{JSON_TEXT} takes two texts") };
            let mut found = StringViewBuilder::with_capacity(documents.len());
            for (document, key) in documents.iter().zip(keys.iter()) {
                let document = document.map(|text| Json::trusted(Cow::Borrowed(text)));
                let text = document.as_ref().zip(key).and_then(|(document, key)| document.text_of(key));
                found.append_option(text);
            }
            answer(found, scalar)
        }),
    )
}

/// The name of [`json_text_function`].
pub(super) const JSON_TEXT: &str = "json_text";

/// Plans `text->>'key'`. Longer paths are left to the JSON library.
#[derive(Debug)]
pub(super) struct JsonTextPlanner(pub(super) Arc<ScalarUDF>);

impl ExprPlanner for JsonTextPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_text = |expr: &Expr| {
            matches!(expr.get_type(schema), Ok(DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8))
        };
        if expr.op != BinaryOperator::LongArrow || !is_text(&expr.left) || !is_text(&expr.right) {
            return Ok(PlannerResult::Original(expr));
        }
        let key = match &expr.right {
            Expr::Literal(key, _) => format!("'{key}'"),
            other => other.to_string(),
        };
        let document = match &expr.left {
            Expr::Column(column) => column.name.clone(),
            other => other.to_string(),
        };
        let call = self.0.call(vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(call.alias(format!("{document} ->> {key}"))))
    }
}

fn answer(mut texts: StringViewBuilder, scalar: bool) -> Result<ColumnarValue> {
    let texts: ArrayRef = Arc::new(texts.finish());
    if scalar {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&texts, 0)?));
    }
    Ok(ColumnarValue::Array(texts))
}

/// `error_group(text)`: the shape of an error's text, see [`error_group`](super::error_group).
pub(super) fn error_group_function() -> ScalarUDF {
    create_udf(
        "error_group",
        vec![DataType::Utf8View],
        DataType::Utf8View,
        Volatility::Immutable,
        Arc::new(|arguments| {
            let scalar = arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let [texts] = arrays.as_slice() else { return exec_err!("error_group takes one text") };
            let Some(texts) = texts.as_string_view_opt() else {
                return exec_err!("error_group takes a text, not {}", texts.data_type());
            };
            let mut groups = StringViewBuilder::with_capacity(texts.len());
            for text in texts {
                groups.append_option(text.map(error_group));
            }
            answer(groups, scalar)
        }),
    )
}
