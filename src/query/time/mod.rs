//! Time zones, clocks and calendars in SQL.
//!
//! An instant has the type `Timestamp(ns, "UTC")`, as the columns `at`, `timestamp` and `recorded_at`; what a clock
//! shows has `Timestamp(ns)`. PostgreSQL calls them `timestamptz` and `timestamp`, and everything here answers as
//! PostgreSQL does:
//!
//! - [`zone`] knows zones by their names; [`clock`] has their arithmetic.
//! - [`syntax`] makes `x AT TIME ZONE z` a call of [`functions`]' `timezone`, which turns instants into what clocks
//!   show, and back.
//! - [`session_zone`] puts the zone of a session into plans. Conditions of rules and holds have no session, and so
//!   always mean UTC.
//! - [`text_functions`] are `to_char`, `to_timestamp` and `to_date`, by patterns of PostgreSQL ([`pattern`],
//!   [`to_char`], [`from_char`]), or by those of strftime, which have a `%`.

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
