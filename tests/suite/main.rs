//! The store as its users see it: through the library's public face, and through the command.
//!
//! One binary, since each further one would link DataFusion again; a module per behaviour. It is a test of the crate
//! `ostracon-cli`, which has the command. The library's own test of this name has the core's tests only, and only without
//! the feature `sql`: recording, the journal, the ledger, scan, recover and compaction, in a build without DataFusion.

#![cfg(any(feature = "cli", not(feature = "sql")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails should stop")]
#![allow(
    clippy::pedantic,
    clippy::type_complexity,
    reason = "scenarios may be long, and are read from above"
)]
#![cfg_attr(not(feature = "cli"), allow(dead_code, reason = "the tests of the command line use most of it"))]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a failed test printed is shown")]

#[cfg(feature = "cli")]
mod backup;
#[cfg(feature = "cli")]
mod bad_input;
mod bound;
#[cfg(feature = "cli")]
mod cli;
mod clock;
#[cfg(feature = "cli")]
mod command;
mod compact;
#[cfg(feature = "cli")]
mod consume;
#[cfg(feature = "cli")]
mod engines;
mod faults;
#[cfg(feature = "cli")]
mod footers;
#[cfg(feature = "cli")]
mod fuzz;
#[cfg(feature = "cli")]
mod interop;
mod journal_bytes;
#[cfg(feature = "cli")]
mod kill;
#[cfg(feature = "cli")]
mod layers;
#[cfg(feature = "cli")]
mod lists;
#[cfg(feature = "cli")]
mod model;
mod numbers;
#[cfg(unix)]
mod owners;
#[cfg(feature = "cli")]
mod place;
#[cfg(feature = "cli")]
mod plot;
#[cfg(feature = "cli")]
mod public_api;
mod recover;
#[cfg(feature = "cli")]
mod repl;
#[cfg(feature = "cli")]
mod retention;
#[cfg(feature = "cli")]
mod saved_queries;
mod scan;
#[cfg(feature = "cli")]
mod spare;
#[cfg(feature = "cli")]
mod sql;
#[cfg(feature = "cli")]
mod stored_bytes;
mod support;
#[cfg(unix)]
#[cfg(feature = "cli")]
mod surroundings;
#[cfg(feature = "cli")]
mod tail;
#[cfg(not(feature = "cli"))]
mod without_sql;
