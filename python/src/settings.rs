//! The settings of a store, which are checked before the store is opened.

use std::path::PathBuf;
use std::time::Duration;

use ostracon::{AgeBy, Durability, ErrorKind, RetentionLimits, RetentionPolicy, Store, StoreBuilder};
use pyo3::prelude::*;

use crate::error::{misuse, raise};
use crate::guard::caught;

/// The settings that override a store's `ostracon.toml`.
#[pyclass(frozen, module = "ostracon._native")]
pub(crate) struct Settings(StoreBuilder);

impl Settings {
    pub(crate) fn builder(&self) -> StoreBuilder {
        self.0.clone()
    }
}

/// Converts seconds into a duration.
pub(crate) fn seconds(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| misuse(format!("{seconds} is not a number of seconds from 0 on")))
}

#[pymethods]
impl Settings {
    /// Makes settings. Fails for values that are not possible. Opens nothing.
    #[new]
    #[pyo3(signature = (*, durability=None, flush_rows=None, flush_bytes=None, flush_age=None,
                        max_buffer_bytes=None, max_wait=None, retention=None, age_by=None))]
    #[expect(clippy::too_many_arguments, reason = "all of them have names in Python")]
    fn new(
        durability: Option<&str>,
        flush_rows: Option<u64>,
        flush_bytes: Option<usize>,
        flush_age: Option<f64>,
        max_buffer_bytes: Option<usize>,
        max_wait: Option<f64>,
        retention: Option<(Option<f64>, Option<u64>, Option<u64>)>,
        age_by: Option<&str>,
    ) -> PyResult<Self> {
        let age_by = match age_by.unwrap_or("timestamp") {
            "timestamp" => AgeBy::Timestamp,
            "recorded_at" => AgeBy::RecordedAt,
            other => {
                return Err(misuse(format!("age_by must be timestamp or recorded_at, and not {other:?}")));
            }
        };
        let mut builder = Store::builder();
        if let Some(durability) = durability {
            builder = builder.durability(match durability {
                "buffered" => Durability::Buffered,
                "journaled" => Durability::Journaled,
                "synced" => Durability::Synced,
                other => {
                    return Err(misuse(format!(
                        "there is no durability {other:?}; use buffered, journaled or synced"
                    )));
                }
            });
        }
        if let Some(rows) = flush_rows {
            builder = builder.flush_rows(rows);
        }
        if let Some(bytes) = flush_bytes {
            builder = builder.flush_bytes(bytes);
        }
        if let Some(age) = flush_age {
            builder = builder.flush_age(seconds(age)?);
        }
        if let Some(bytes) = max_buffer_bytes {
            builder = builder.max_buffer_bytes(bytes);
        }
        if let Some(wait) = max_wait {
            builder = builder.max_wait(seconds(wait)?);
        }
        if let Some((max_age, max_records, max_bytes)) = retention {
            let mut limits = RetentionLimits::new();
            if let Some(age) = max_age {
                limits = limits.max_age(seconds(if age < 0.0 { 0.0 } else { age })?);
            }
            if let Some(records) = max_records {
                limits = limits.max_records(records);
            }
            if let Some(bytes) = max_bytes {
                limits = limits.max_bytes(bytes);
            }
            limits = limits.age_by(age_by);
            builder = builder.retention(RetentionPolicy::new().store(limits));
        }
        Ok(Self(builder))
    }

    /// Fails if these settings do not fit together, or do not fit the settings of the store at this path.
    /// Opens and creates nothing. Opening the store may still fail for other reasons.
    fn check(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let checked = caught(|| py.detach(|| self.0.check(path)))?;
        match checked {
            Err(error) if error.kind() == ErrorKind::Settings => Err(raise(error)),
            _ => Ok(()),
        }
    }
}
