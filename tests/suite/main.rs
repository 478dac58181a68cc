//! The store as its users see it: through the library's public face, and through the command.
//!
//! One binary, since each further one would link DataFusion again; a module per behaviour.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails should stop")]
#![allow(
    clippy::pedantic,
    clippy::type_complexity,
    reason = "scenarios may be long, and are read from above"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a failed test printed is shown")]

mod backup;
mod bad_input;
mod bound;
mod cli;
mod clock;
mod command;
mod compact;
mod consume;
mod engines;
mod faults;
mod footers;
mod fuzz;
mod interop;
mod journal_bytes;
mod kill;
mod lists;
mod model;
mod numbers;
#[cfg(unix)]
mod owners;
mod place;
mod plot;
mod recover;
mod repl;
mod retention;
mod saved_queries;
mod scan;
mod spare;
mod sql;
mod stored_bytes;
mod support;
#[cfg(unix)]
mod surroundings;
mod tail;
