//! Facts in the store's order after a cursor, and lists of facts.

use std::sync::{Mutex, PoisonError};

use ostracon::{After, Cursor, Fact, Recorded};
use pyo3::prelude::*;

use crate::guard::{check, detached};

/// The facts after a cursor, a few at a time.
#[pyclass(frozen, module = "ostracon._native")]
pub(crate) struct Facts(Mutex<Following>);

struct Following {
    after: After,
    cursor: Cursor,
}

impl Facts {
    pub(crate) fn new(after: After, cursor: Cursor) -> Self {
        Self(Mutex::new(Following { after, cursor }))
    }
}

#[pymethods]
impl Facts {
    /// Returns up to `most` more facts, each with the cursor after it; an empty list at the end.
    fn take(&self, py: Python<'_>, most: usize) -> PyResult<Vec<(String, String)>> {
        detached(py, || {
            let mut following = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Following { after, cursor } = &mut *following;
            let mut facts = Vec::new();
            for fact in after.take(most) {
                let fact = fact?;
                cursor.advance(&fact);
                facts.push((fact.to_line(), cursor.to_string()));
            }
            Ok(facts)
        })
    }
}

/// The facts of a list, a few at a time.
#[pyclass(frozen, module = "ostracon._native")]
pub(crate) struct Listed(Mutex<std::vec::IntoIter<Recorded<Fact<'static>>>>);

impl Listed {
    pub(crate) fn new(facts: Vec<Recorded<Fact<'static>>>) -> Self {
        Self(Mutex::new(facts.into_iter()))
    }
}

#[pymethods]
impl Listed {
    /// Returns up to `most` more facts as JSON lines; an empty list at the end.
    fn take(&self, py: Python<'_>, most: usize) -> PyResult<Vec<String>> {
        check(py)?;
        detached(py, || {
            let mut facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(facts.by_ref().take(most).map(|found| found.fact.to_line()).collect())
        })
    }
}
