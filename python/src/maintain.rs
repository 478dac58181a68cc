//! What can be done to a store that need not be open, and the reports of it, as JSON.

use std::path::PathBuf;

use ostracon::{LedgerHead, RecoveryConfig, RecoveryMode, RecoveryReport, ScanDepth, ScanReport};
use pyo3::prelude::*;

use crate::error::{misuse, raise};

pub(crate) fn json(report: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(report).map_err(|error| misuse(error.to_string()))
}

/// A scan's report, with what Papyra calls each anomaly.
pub(crate) fn scan_json(report: &ScanReport) -> PyResult<serde_json::Value> {
    let mut json = serde_json::to_value(report).map_err(|error| misuse(error.to_string()))?;
    let anomalies = json.get_mut("anomalies").and_then(serde_json::Value::as_array_mut);
    for (told, anomaly) in anomalies.into_iter().flatten().zip(&report.anomalies) {
        if let Some(told) = told.as_object_mut() {
            told.insert("papyra".to_owned(), anomaly.kind.papyra().into());
        }
    }
    Ok(json)
}

pub(crate) fn recovery_json(report: &RecoveryReport) -> PyResult<String> {
    let mut json = serde_json::to_value(report).map_err(|error| misuse(error.to_string()))?;
    if let Some(told) = json.as_object_mut() {
        told.insert("scan".to_owned(), scan_json(&report.scan)?);
        told.insert("after".to_owned(), scan_json(&report.after)?);
    }
    Ok(json.to_string())
}

pub(crate) fn depth(deep: bool) -> ScanDepth {
    if deep { ScanDepth::Deep } else { ScanDepth::Quick }
}

pub(crate) fn recovery(mode: &str, quarantine_dir: Option<PathBuf>) -> PyResult<RecoveryConfig> {
    let mode = match mode {
        "ignore" => RecoveryMode::Ignore,
        "repair" => RecoveryMode::Repair,
        "quarantine" => RecoveryMode::Quarantine,
        "rebuild" => RecoveryMode::Rebuild,
        other => {
            return Err(misuse(format!(
                "there is no mode {other:?}; there are ignore, repair, quarantine and rebuild"
            )));
        }
    };
    let config = RecoveryConfig::new(mode);
    Ok(match quarantine_dir {
        Some(folder) => config.quarantine_dir(folder),
        None => config,
    })
}

/// Looks whether the store at this path is whole. The report is JSON.
#[pyfunction]
#[pyo3(signature = (path, *, deep=false))]
pub(crate) fn scan(py: Python<'_>, path: PathBuf, deep: bool) -> PyResult<String> {
    Ok(scan_json(&py.detach(|| ostracon::scan(path, depth(deep))).map_err(raise)?)?.to_string())
}

/// Makes the store at this path whole. The report is JSON.
#[pyfunction]
#[pyo3(signature = (path, mode, quarantine_dir=None))]
pub(crate) fn recover(
    py: Python<'_>,
    path: PathBuf,
    mode: &str,
    quarantine_dir: Option<PathBuf>,
) -> PyResult<String> {
    let config = recovery(mode, quarantine_dir)?;
    recovery_json(&py.detach(|| ostracon::recover(path, config)).map_err(raise)?)
}

/// The balance sheet of the store at this path, as JSON.
#[pyfunction]
#[pyo3(signature = (path, against=None))]
pub(crate) fn verify(py: Python<'_>, path: PathBuf, against: Option<&str>) -> PyResult<String> {
    let against = against.map(str::parse::<LedgerHead>).transpose().map_err(raise)?;
    json(&py.detach(|| ostracon::verify(path, against.as_ref())).map_err(raise)?)
}

/// The files that a rotating backend has left of a log, oldest first.
#[pyfunction]
pub(crate) fn rotated_files(py: Python<'_>, path: PathBuf) -> PyResult<Vec<PathBuf>> {
    py.detach(|| ostracon::rotated_files(path)).map_err(raise)
}
