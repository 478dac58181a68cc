//! Functions and casts of lists that DataFusion 55.2 computes with the text of the list.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::functions_nested::expr_fn::array_length;
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::{Expr, ExprSchemable, cast};

/// Returns the number of values for the length of a list, and refuses to cast a text to a list.
pub(super) fn rewrite(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "character_length" => {
            let [list] = args.as_slice() else { return Ok(None) };
            if !list.get_type(schema)?.is_list() {
                return Ok(None);
            }
            Ok(Some(cast(array_length(list.clone()), DataType::Int64)))
        }
        Expr::Cast(Cast { expr: value, field }) | Expr::TryCast(TryCast { expr: value, field }) => {
            let is_refused = field.data_type().is_list() && value.get_type(schema)?.is_string();
            if is_refused { Err(refused()) } else { Ok(None) }
        }
        _ => Ok(None),
    }
}

fn refused() -> DataFusionError {
    let why = "a text cannot be cast to a list; write a list as ARRAY['a', 'b'], or split the text by string_to_array(text, ',')";
    DataFusionError::Plan(why.to_owned())
}
