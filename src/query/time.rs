//! Time zones, clocks and calendars in SQL.
//!
//! An instant has the type `Timestamp(ns, "UTC")`, as the columns `at`, `timestamp` and `recorded_at` have. A
//! wall time, which is the date and time that a clock shows, has the type `Timestamp(ns)`. PostgreSQL calls
//! them `timestamptz` and `timestamp`, and this module gives the same results as PostgreSQL:
//!
//! - [`zone`] finds zones by their names. [`clock`] has their arithmetic.
//! - [`syntax`] turns `x AT TIME ZONE z` into a call of the function `timezone` in [`functions`], which
//!   converts instants into wall times, and back.
//! - [`session_zone`] puts the zone of a session into plans. Conditions of rules and holds have no session,
//!   and always use UTC.
//! - [`text_functions`] has `to_char`, `to_timestamp` and `to_date`. They take patterns of PostgreSQL
//!   ([`pattern`], [`to_char`], [`from_char`]), or patterns of strftime, which have a `%`.

pub(crate) mod clock;
mod from_char;
mod functions;
mod pattern;
mod session_zone;
mod syntax;
mod text_functions;
mod to_char;
pub(crate) mod zone;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;

pub(super) use session_zone::SessionZone;
pub(super) use syntax::{call, logical_expr, statement_plan};

/// Registers the functions.
pub(super) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    let inner = [registry.udf("to_char")?, registry.udf("to_timestamp")?, registry.udf("to_date")?];
    registry.register_udf(Arc::new(functions::timezone_function()))?;
    for function in text_functions::functions(inner) {
        registry.register_udf(Arc::new(function))?;
    }
    Ok(())
}
