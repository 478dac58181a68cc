//! Facts in the store's order, from a cursor on.

use std::sync::{Mutex, PoisonError};

use ostracon::{After, Cursor};
use pyo3::prelude::*;

use crate::error::raise;

/// What lies behind a cursor, a few facts at a time.
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
    /// Up to so many more, each with the cursor behind it; none at the end.
    fn take(&self, py: Python<'_>, most: usize) -> PyResult<Vec<(String, String)>> {
        py.detach(|| {
            let mut following = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Following { after, cursor } = &mut *following;
            let mut facts = Vec::new();
            for fact in after.take(most) {
                let fact = fact.map_err(raise)?;
                cursor.advance(&fact);
                facts.push((fact.to_line(), cursor.to_string()));
            }
            Ok(facts)
        })
    }
}
