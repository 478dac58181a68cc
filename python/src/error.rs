//! One exception for each kind of error.

use ostracon::{Error, ErrorKind};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

mod classes {
    #![allow(missing_docs, reason = "the text is the exception's")]

    use super::PyException;
    use pyo3::create_exception;

    create_exception!(ostracon, OstraconError, PyException, "What went wrong with a store.");

    macro_rules! kinds {
        ($($name:ident: $doc:literal,)*) => {
            $(create_exception!(ostracon, $name, OstraconError, $doc);)*
        };
    }

    kinds! {
        NoSpaceError: "The disk is full. Nothing was acknowledged; make room and record again.",
        StoreIOError: "The operating system refused or failed an operation.",
        OverloadedError: "The buffer is at its bound. Nothing was recorded; try later or shed the fact.",
        ClosedError: "The store was closed, or opened for reading only.",
        MovedError: "The store's folder is no longer where it was opened: it was renamed, replaced or unmounted.",
        PoisonedError: "A sync failed earlier, so nothing more may be promised. Open the store again.",
        DamagedError: "Bytes in the store are not what was written.",
        NotAStoreError: "There is no store at that path, or something else is.",
        NewerFormatError: "A newer Ostracon wrote this store.",
        SettingsError: "A setting asks for something that is not possible.",
        InvalidFactError: "What was given is not a fact.",
        QueryError: "The SQL is wrong, or not allowed, or failed while it ran.",
        QueryMemoryError: "The query ran out of the memory it was given.",
        QueryTimeoutError: "The query ran out of the time it was given.",
        ContendedError: "Another process kept committing, or maintains the store. Try again.",
        CancelledError: "It was stopped because somebody asked for that.",
        InternalError: "A fault of Ostracon's own. The store is as it was; please report it.",
        RefusedError: "What was asked for needs to be insisted on. Nothing was done.",
    }
}
use classes::{
    CancelledError, ClosedError, ContendedError, DamagedError, InternalError, InvalidFactError, MovedError,
    NewerFormatError, NoSpaceError, NotAStoreError, OstraconError, OverloadedError, PoisonedError,
    QueryError, QueryMemoryError, QueryTimeoutError, RefusedError, SettingsError, StoreIOError,
};

/// An error of the library as an exception.
#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub(crate) fn raise(error: Error) -> PyErr {
    of_kind(error.kind(), error.to_string())
}

/// The exception of this kind.
pub(crate) fn of_kind(kind: ErrorKind, text: String) -> PyErr {
    match kind {
        ErrorKind::NoSpace => NoSpaceError::new_err(text),
        ErrorKind::Io => StoreIOError::new_err(text),
        ErrorKind::Overloaded => OverloadedError::new_err(text),
        ErrorKind::Closed => ClosedError::new_err(text),
        ErrorKind::Moved => MovedError::new_err(text),
        ErrorKind::Internal => InternalError::new_err(text),
        ErrorKind::Poisoned => PoisonedError::new_err(text),
        ErrorKind::Damaged => DamagedError::new_err(text),
        ErrorKind::NotAStore => NotAStoreError::new_err(text),
        ErrorKind::NewerFormat => NewerFormatError::new_err(text),
        ErrorKind::Settings => SettingsError::new_err(text),
        ErrorKind::InvalidFact => InvalidFactError::new_err(text),
        ErrorKind::Query => QueryError::new_err(text),
        ErrorKind::OutOfMemory => QueryMemoryError::new_err(text),
        ErrorKind::TimedOut => QueryTimeoutError::new_err(text),
        ErrorKind::Contended => ContendedError::new_err(text),
        ErrorKind::Cancelled => CancelledError::new_err(text),
        ErrorKind::Refused => RefusedError::new_err(text),
        ErrorKind::InvalidArgument => misuse(text),
        _ => OstraconError::new_err(text),
    }
}

/// A panic, as an exception that programs can handle.
pub(crate) fn fault(why: &str) -> PyErr {
    InternalError::new_err(format!(
        "Ostracon failed within, which is a fault of its own; please report it: {why}"
    ))
}

/// Whether it tells of a fault of our own, as a panic is.
pub(crate) fn is_fault(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<InternalError>(py)
}

/// The caller cancelled the work.
pub(crate) fn cancelled() -> PyErr {
    CancelledError::new_err("it was stopped, for what waited for it was cancelled")
}

/// A wrong argument.
pub(crate) fn misuse(text: impl Into<String>) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(text.into())
}

pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    macro_rules! add {
        ($($name:ident)*) => {
            $(module.add(stringify!($name), py.get_type::<$name>())?;)*
        };
    }
    add! {
        OstraconError MovedError InternalError NoSpaceError StoreIOError OverloadedError ClosedError PoisonedError DamagedError
        NotAStoreError NewerFormatError SettingsError InvalidFactError QueryError QueryMemoryError
        QueryTimeoutError ContendedError CancelledError RefusedError
    }
    Ok(())
}
