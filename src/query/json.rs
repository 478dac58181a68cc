//! JSON in SQL: the operators `->`, `->>`, `#>`, `#>>` and `?`, and the functions `json_*`.
//!
//! All of them use the reader of the facts ([`RawValue`]), so that SQL reads a payload in the same way as
//! Python: `NaN` and `Infinity` are numbers, half a surrogate pair is text, integers and nesting have any
//! size, and the last of two members with one name counts.
//!
//! - `json -> key` returns JSON text, as in PostgreSQL: a string keeps its quotes, `null` is the JSON value
//!   `null`, and a missing value is NULL. Casts, comparisons and writers treat it as text.
//! - `json ->> key` returns text: a string without its quotes, any other value as it was written, and NULL
//!   for the JSON value `null`.
//! - A key is the name of a member (text) or the place of an element (an integer, from 0; negative from the
//!   end). Several steps become one call: `a->'b'->>'c'` is `json_text(a, 'b', 'c')`.
//! - `#>` and `#>>` take a path, `'{b,c}'` or `ARRAY['b', 'c']`. A step into an array is a number.
//!
//! A text that is not JSON has no members, so these operators give NULL.
//!
//! [`path`] finds a value in a text. [`functions`] has the functions. [`operators`] turns operators into
//! calls. [`cast`] rewrites `CAST(json -> key AS type)`.

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

/// Whether a text is a path for `#>`.
pub(super) fn is_path(text: &str) -> bool {
    path::parse(text).is_ok()
}

/// Registers the functions and operators.
pub(super) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in all_functions() {
        registry.register_udf(Arc::clone(function))?;
    }
    registry.register_expr_planner(Arc::new(JsonOperators))
}
