//! The native module of Ostracon for Python, which `ostracon/*.py` uses.
//!
//! Facts are passed as JSON lines, answers to SQL as Arrow, and reports as JSON, because Python has good
//! libraries for each. Nothing here waits with the interpreter's lock held, and no panic reaches Python
//! ([`guard`]).

mod adapt;
mod answer;
mod consumers;
mod error;
mod facts;
mod guard;
mod log;
mod maintain;
mod parameters;
mod questions;
mod runtime;
mod settings;
mod store;
mod values;

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command line, and returns its exit code.
///
/// The command line controls the process: it may change signal handlers and global settings.
#[pyfunction]
fn cli(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    let code = py.detach(|| ostracon_cli::run(arguments));
    // An exit code has no other way to read its number.
    (0..=u8::MAX).find(|n| std::process::ExitCode::from(*n) == code).unwrap_or(1)
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    error::add(module)?;
    module.add_class::<settings::Settings>()?;
    module.add_class::<store::Position>()?;
    module.add_class::<store::Store>()?;
    module.add_class::<answer::Answer>()?;
    module.add_class::<answer::Stream>()?;
    module.add_class::<facts::Facts>()?;
    module.add_class::<facts::Listed>()?;
    module.add_class::<guard::Cancel>()?;
    module.add_class::<consumers::ConsumerGroup>()?;
    module.add_function(wrap_pyfunction!(maintain::scan, module)?)?;
    module.add_function(wrap_pyfunction!(maintain::recover, module)?)?;
    module.add_function(wrap_pyfunction!(maintain::verify, module)?)?;
    module.add_function(wrap_pyfunction!(maintain::backup, module)?)?;
    module.add_function(wrap_pyfunction!(maintain::rotated_files, module)?)?;
    module.add_function(wrap_pyfunction!(questions::saved_queries, module)?)?;
    module.add_function(wrap_pyfunction!(guard::cancellable, module)?)?;
    module.add_function(wrap_pyfunction!(guard::check_stopped, module)?)?;
    module.add_function(wrap_pyfunction!(log::take_log, module)?)?;
    module.add_function(wrap_pyfunction!(cli, module)?)?;
    Ok(())
}
