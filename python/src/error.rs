//! Converts errors into exceptions. Each kind of error has an exception class.

use ostracon::{Error, ErrorKind};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

mod classes {
    #![allow(missing_docs, reason = "the text is the exception's")]

    use super::PyException;
    use pyo3::create_exception;

    create_exception!(ostracon, OstraconError, PyException, "The base class of all errors of a store.");

    macro_rules! kinds {
        ($($name:ident: $doc:literal,)*) => {
            $(create_exception!(ostracon, $name, OstraconError, $doc);)*
        };
    }

    kinds! {
        NoSpaceError: "The disk is full. The fact was not acknowledged; free some space and record it again.",
        StoreIOError: "An operation of the operating system failed, or was refused.",
        OverloadedError: "The buffer is full. The fact was not recorded; try again later, or drop the fact.",
        ClosedError: "The store was closed, or was opened for reading only.",
        MovedError: "The store's folder is no longer where it was opened: it was renamed, replaced or unmounted.",
        PoisonedError: "A sync failed earlier, so the store cannot make facts safe any more. Open the store again.",
        DamagedError: "Bytes in the store differ from the bytes that were written.",
        NotAStoreError: "There is no store at this path: it is missing, or it is something else.",
        NewerFormatError: "A newer version of Ostracon wrote this store.",
        SettingsError: "A setting is not possible.",
        InvalidFactError: "The given value is not a fact.",
        QueryError: "The SQL is wrong, is not allowed, or failed while it ran.",
        QueryMemoryError: "The query needed more memory than its limit.",
        QueryTimeoutError: "The query needed more time than its timeout.",
        ContendedError: "Another process kept committing, or maintains the store. Try again.",
        CancelledError: "The operation was cancelled.",
        InternalError: "A bug in Ostracon. The store was not changed; please report the bug.",
        RefusedError: "The operation was refused, and nothing was done. The text of the error says how to insist.",
    }
}
use classes::{
    CancelledError, ClosedError, ContendedError, DamagedError, InternalError, InvalidFactError, MovedError,
    NewerFormatError, NoSpaceError, NotAStoreError, OstraconError, OverloadedError, PoisonedError,
    QueryError, QueryMemoryError, QueryTimeoutError, RefusedError, SettingsError, StoreIOError,
};

/// Converts an error of the library into an exception.
#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub(crate) fn raise(error: Error) -> PyErr {
    of_kind(error.kind(), error.to_string())
}

/// Makes the exception for a kind of error.
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

/// Makes the exception for a panic.
pub(crate) fn fault(why: &str) -> PyErr {
    InternalError::new_err(format!("Ostracon panicked, which is a bug; please report it: {why}"))
}

/// Whether an exception is caused by a bug in Ostracon, such as a panic.
pub(crate) fn is_fault(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<InternalError>(py)
}

/// Makes the exception for work that the caller cancelled.
pub(crate) fn cancelled() -> PyErr {
    CancelledError::new_err("the operation was stopped, because the task that waited for it was cancelled")
}

/// Makes the exception for a wrong argument.
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
