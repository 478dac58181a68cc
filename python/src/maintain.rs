//! Maintenance of a store that does not have to be open, and the reports as JSON.

use std::path::{Path, PathBuf};

use ostracon::{
    BackupOptions, LedgerHead, RecoveryConfig, RecoveryMode, RecoveryReport, ScanDepth, ScanOptions,
    ScanReport,
};
use pyo3::prelude::*;

use crate::error::{misuse, raise};
use crate::guard::{Stopped, detached, interruptible, stoppable};
use crate::log;

pub(crate) fn json(report: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(report).map_err(|error| misuse(error.to_string()))
}

/// Converts a scan's report into JSON, with Papyra's name of each anomaly.
pub(crate) fn scan_json(report: &ScanReport) -> PyResult<serde_json::Value> {
    let mut json = serde_json::to_value(report).map_err(|error| misuse(error.to_string()))?;
    let anomalies = json.get_mut("anomalies").and_then(serde_json::Value::as_array_mut);
    for (value, anomaly) in anomalies.into_iter().flatten().zip(&report.anomalies) {
        if let Some(object) = value.as_object_mut() {
            object.insert("papyra".to_owned(), anomaly.kind.papyra().into());
        }
    }
    Ok(json)
}

pub(crate) fn recovery_json(report: &RecoveryReport) -> PyResult<String> {
    let mut json = serde_json::to_value(report).map_err(|error| misuse(error.to_string()))?;
    if let Some(object) = json.as_object_mut() {
        object.insert("scan".to_owned(), scan_json(&report.scan)?);
        object.insert("after".to_owned(), scan_json(&report.after)?);
    }
    Ok(json.to_string())
}

pub(crate) fn depth(deep: bool) -> ScanDepth {
    if deep { ScanDepth::Deep } else { ScanDepth::Quick }
}

/// Makes the configuration of a recovery. Without a quarantine folder, mode quarantine uses the store's own.
pub(crate) fn recovery(
    mode: &str,
    quarantine_dir: Option<PathBuf>,
    store: &Path,
) -> PyResult<RecoveryConfig> {
    let mode = match mode {
        "ignore" => RecoveryMode::Ignore,
        "repair" => RecoveryMode::Repair,
        "quarantine" => RecoveryMode::Quarantine,
        "rebuild" => RecoveryMode::Rebuild,
        other => {
            return Err(misuse(format!(
                "there is no mode {other:?}; the modes are ignore, repair, quarantine and rebuild"
            )));
        }
    };
    let config = RecoveryConfig::new(mode);
    Ok(match quarantine_dir {
        Some(folder) => config.quarantine_dir(folder),
        None if mode == RecoveryMode::Quarantine => config.quarantine_dir(store.join("quarantine")),
        None => config,
    })
}

/// Checks the store at this path for damage. Returns the report as JSON.
#[pyfunction]
#[pyo3(signature = (path, *, deep=false))]
pub(crate) fn scan(py: Python<'_>, path: PathBuf, deep: bool) -> PyResult<String> {
    log::listen();
    let report = stoppable(py, move |stop| ostracon::scan(path, ScanOptions::new(depth(deep)).cancel(stop)))?;
    Ok(scan_json(&report)?.to_string())
}

/// Recovers the store at this path. Returns the report as JSON.
#[pyfunction]
#[pyo3(signature = (path, mode, quarantine_dir=None))]
pub(crate) fn recover(
    py: Python<'_>,
    path: PathBuf,
    mode: &str,
    quarantine_dir: Option<PathBuf>,
) -> PyResult<String> {
    log::listen();
    let config = recovery(mode, quarantine_dir, &path)?;
    recovery_json(&interruptible(py, &Stopped::GoesOn, move || ostracon::recover(path, config))?)
}

/// Makes a backup of the store at this path. Returns the report as JSON.
#[pyfunction]
#[pyo3(signature = (path, target, *, incremental=false, at_commit=None, copy=false, verify=false))]
pub(crate) fn backup(
    py: Python<'_>,
    path: PathBuf,
    target: PathBuf,
    incremental: bool,
    at_commit: Option<u64>,
    copy: bool,
    verify: bool,
) -> PyResult<String> {
    let options = backup_options(incremental, at_commit, copy, verify);
    json(&interruptible(py, &Stopped::GoesOn, move || ostracon::backup(path, target, options))?)
}

pub(crate) fn backup_options(
    incremental: bool,
    at_commit: Option<u64>,
    copy: bool,
    verify: bool,
) -> BackupOptions {
    let options = BackupOptions::new().incremental(incremental).copy(copy).verify(verify);
    match at_commit {
        Some(commit) => options.at_commit(commit),
        None => options,
    }
}

/// Returns the balance sheet of the store at this path as JSON.
#[pyfunction]
#[pyo3(signature = (path, against=None))]
pub(crate) fn verify(py: Python<'_>, path: PathBuf, against: Option<&str>) -> PyResult<String> {
    log::listen();
    let against = against.map(str::parse::<LedgerHead>).transpose().map_err(raise)?;
    json(&interruptible(py, &Stopped::GoesOn, move || ostracon::verify(path, against.as_ref()))?)
}

/// Returns the files of a rotated log, oldest first.
#[pyfunction]
pub(crate) fn rotated_files(py: Python<'_>, path: PathBuf) -> PyResult<Vec<PathBuf>> {
    detached(py, || ostracon::input::rotated_files(path))
}
