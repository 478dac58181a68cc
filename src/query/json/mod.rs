//! JSON in SQL: the operators `->`, `->>`, `#>`, `#>>` and `?`, and the functions `json_*`.
//!
//! All of them read with the reader of the facts ([`RawValue`]), so that SQL sees a payload as
//! Python does: `NaN` and `Infinity` are numbers, half a surrogate pair is text, integers and
//! nesting have any size, and of two members of one name the last counts.
//!
//! - `json -> key` is JSON text, as in PostgreSQL: a string keeps its quotes, `null` is the JSON
//!   value `null`, and what is not there is NULL. It is a text to every cast, comparison and writer.
//! - `json ->> key` is text: a string without its quotes, any other value as it was written, NULL for
//!   the JSON value `null`.
//! - A key is the name of a member (text) or the place of an element (an integer, from 0; negative
//!   from the end). Several steps become one call: `a->'b'->>'c'` is `json_text(a, 'b', 'c')`.
//! - `#>` and `#>>` take a path, `'{b,c}'` or `ARRAY['b', 'c']`, of which a step into an array is a number.
//!
//! Text that is no JSON has no members, and gives NULL.
//!
//! [`path`] finds a value in a text, [`functions`] are the functions, [`operators`] turns operators
//! into calls, and [`cast`] is `CAST(json -> key AS type)`.

mod arguments;
mod cast;
mod functions;
mod operators;
mod path;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;

pub(super) use cast::{is_json, typed};
pub(super) use functions::JSON_TEXT;
use functions::all_functions;
use operators::JsonOperators;

use crate::fact::json::RawValue;

/// Whether a text is a path, as `#>` takes it.
pub(super) fn is_path(text: &str) -> bool {
    path::parse(text).is_ok()
}

/// Has SQL know the functions and operators.
pub(super) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in all_functions() {
        registry.register_udf(Arc::clone(function))?;
    }
    registry.register_expr_planner(Arc::new(JsonOperators))
}
