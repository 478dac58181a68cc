//! The options of queries, and the saved queries.

use ostracon::{QueryOptions, SavedQuery, UnixNanos};
use pyo3::prelude::*;

use crate::settings::seconds;

/// Makes the options of a query. Instants are in nanoseconds since 1970.
pub(crate) fn options(
    timeout: Option<f64>,
    since: Option<i64>,
    until: Option<i64>,
    as_of: Option<i64>,
) -> PyResult<QueryOptions> {
    let mut options = QueryOptions::new();
    if let Some(timeout) = timeout {
        options = options.timeout(seconds(timeout)?);
    }
    if let Some(since) = since {
        options = options.since(UnixNanos::new(since));
    }
    if let Some(until) = until {
        options = options.until(UnixNanos::new(until));
    }
    if let Some(as_of) = as_of {
        options = options.as_of(UnixNanos::new(as_of));
    }
    Ok(options)
}

/// Returns the saved queries: name, title and question, and the name, default and meaning of each parameter.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "tuples for Python")]
pub(crate) fn saved_queries()
-> Vec<(&'static str, &'static str, &'static str, Vec<(&'static str, &'static str, &'static str)>)> {
    SavedQuery::all()
        .into_iter()
        .map(|query| {
            let parameters = query.parameters.iter().map(|p| (p.name, p.default, p.meaning)).collect();
            (query.name, query.title, query.question, parameters)
        })
        .collect()
}
