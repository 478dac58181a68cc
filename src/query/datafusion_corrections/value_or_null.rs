//! A function that returns its argument, and about whose result the optimizer knows nothing.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Hides a value's properties from the optimizer.
pub(in crate::query) fn of_unknown_origin(value: Expr) -> Expr {
    let func = Arc::new(ScalarUDF::new_from_impl(ValueOrNull::default()));
    Expr::ScalarFunction(ScalarFunction { func, args: vec![value] })
}

/// A function that returns its argument. Its result may be NULL for the planner, even if its argument may
/// not.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ValueOrNull {
    signature: Signature,
}

impl Default for ValueOrNull {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ValueOrNull {
    fn name(&self) -> &'static str {
        "value_or_null"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let value = args.arg_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
        Ok(Arc::new(Field::new(self.name(), value, true)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.pop().unwrap_or(ColumnarValue::Scalar(ScalarValue::Null)))
    }
}
