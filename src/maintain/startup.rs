//! Checks of a store before the first fact is recorded.
//!
//! An actor system that starts can check whether its store is whole: scan, recover if requested, scan
//! again, and only then open. Opening itself repairs nothing.

use std::path::Path;

use super::recover::{RecoveryConfig, RecoveryReport, recover};
use super::scan::{ScanDepth, ScanOptions, scan};
use super::{Anomaly, ScanReport};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::retention::ConditionParser;

/// What opening a store does about anomalies. A store that does not exist yet has none.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum StartupMode {
    /// Checks nothing.
    #[default]
    Ignore,
    /// Scans, and logs a warning about anomalies.
    ScanOnly,
    /// Scans and recovers; does not open the store if anomalies remain. The scan is a quick one, unless
    /// the configuration says otherwise.
    Recover(RecoveryConfig),
    /// Scans, and does not open the store if there is an anomaly.
    FailOnAnomaly,
}

/// The findings and actions before a store was opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Startup {
    pub(crate) scans: u64,
    pub(crate) anomalies: u64,
    pub(crate) recoveries: u64,
}

/// Scans and recovers, as the mode requires. An error says why the store must not be opened.
pub(crate) fn check(
    mode: &StartupMode,
    disk: &Disk,
    root: &Path,
    parser: ConditionParser,
) -> Result<Startup> {
    let look = || scan(root, ScanOptions::new(ScanDepth::Quick).disk(disk.clone()), parser);
    let result = match mode {
        StartupMode::Ignore => return Ok(Startup::default()),
        StartupMode::ScanOnly => look().map(|report| {
            for anomaly in &report.anomalies {
                tracing::warn!(anomaly = %anomaly.kind, path = %anomaly.path, expected = %anomaly.expected, found = %anomaly.found, "the store is not whole");
            }
            Startup { scans: 1, anomalies: report.anomalies.len() as u64, recoveries: 0 }
        }),
        StartupMode::FailOnAnomaly => look().and_then(|report| match report.anomalies.first() {
            None => Ok(Startup { scans: 1, ..Startup::default() }),
            Some(first) => Err(refused(root, &report, first, "recover it first")),
        }),
        StartupMode::Recover(config) => {
            let quick = config.is_quick().unwrap_or(true);
            recover(root, config.clone().quick(quick).disk(disk.clone()), parser).and_then(|report| recovered(root, &report))
        }
    };
    match result {
        // The store will be created.
        Err(error) if error.kind() == ErrorKind::NotAStore => Ok(Startup::default()),
        result => result,
    }
}

fn recovered(root: &Path, report: &RecoveryReport) -> Result<Startup> {
    for path in &report.repaired_files {
        tracing::warn!(%path, "repaired");
    }
    for lost in &report.lost {
        tracing::warn!(path = %lost.path, facts = lost.facts, "facts are lost");
    }
    match report.after.anomalies.first() {
        None => Ok(Startup { scans: 2, anomalies: report.scan.anomalies.len() as u64, recoveries: 1 }),
        Some(first) => Err(refused(root, &report.after, first, "recovering did not help")),
    }
}

fn refused(root: &Path, report: &ScanReport, first: &Anomaly, what_next: &str) -> Error {
    let more = match report.anomalies.len() {
        0 | 1 => String::new(),
        n => format!(", and {} more", n - 1),
    };
    let Anomaly { kind, path, expected, found, .. } = first;
    Error::new(
        ErrorKind::Damaged,
        format!(
            "the store {} has anomalies, and is not opened: {kind} at {path} (expected {expected}, found \
             {found}){more}; {what_next}",
            root.display()
        ),
    )
}
