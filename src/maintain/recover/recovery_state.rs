//! The state that all steps of a recovery share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::import_positions::Inputs;
use super::quarantine::Quarantine;
use super::removed_segments::RemovedSegments;
use super::report::{RecoveryReport, UnverifiedFacts, spans};
use super::unknown_files::FileStamp;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Ledger, Unverified, copy_folder};
use crate::maintain::inventory::is_file;
use crate::retention::ConditionParser;
use crate::store_folder::FOLDERS;

/// The state of a running recovery.
pub(super) struct Work<'a> {
    pub(super) root: &'a Path,
    pub(super) disk: &'a Disk,
    pub(super) parser: ConditionParser,
    /// Whether damaged files are kept aside before anything is done to them.
    pub(super) keeps_damaged: bool,
    pub(super) lose_unverified: bool,
    pub(super) aside: Quarantine,
    pub(super) report: RecoveryReport,
    pub(super) ledger: Option<Ledger>,
    /// Parts of inputs that streams had.
    pub(super) inputs: Inputs,
    /// The state of unknown files' paths at the scan.
    pub(super) seen: BTreeMap<PathBuf, FileStamp>,
    pub(super) bits_budget: u64,
    /// The segments that commits removed, once they were needed.
    pub(super) removed: Option<RemovedSegments>,
}

impl Work<'_> {
    pub(super) fn ledger(&self) -> Result<&Ledger> {
        self.ledger.as_ref().ok_or_else(|| Error::new(ErrorKind::Damaged, "the ledger cannot be read"))
    }

    /// Keeps a damaged file aside, if the mode requires it.
    pub(super) fn keep_damaged(&mut self, path: &Path) -> Result<()> {
        if self.keeps_damaged { self.keep_lost(path) } else { Ok(()) }
    }

    /// Keeps a damaged file aside whose facts are given up, in every mode.
    pub(super) fn keep_lost(&mut self, path: &Path) -> Result<()> {
        if is_file(path)? {
            let kept = self.aside.keep(path)?;
            self.put_aside(kept);
        }
        Ok(())
    }

    pub(super) fn put_aside(&mut self, place: PathBuf) {
        if !self.report.quarantined_files.contains(&place) {
            self.report.quarantined_files.push(place);
        }
    }

    pub(super) fn repaired(&mut self, path: &str) {
        if !self.report.repaired_files.iter().any(|known| known == path) {
            self.report.repaired_files.push(path.to_owned());
        }
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.report.notes.contains(&note) {
            self.report.notes.push(note);
        }
    }

    /// Reports the facts of a segment that were kept without proof.
    pub(super) fn report_doubts(&mut self, path: &str, doubts: &[Unverified]) {
        self.report.unverified.extend(doubts.iter().map(|doubt| UnverifiedFacts {
            path: path.to_owned(),
            kind: doubt.kind,
            facts: doubt.facts,
            spans: spans(&doubt.within),
        }));
    }

    /// The number of actions so far.
    pub(super) fn done(&self) -> usize {
        self.report.repaired_files.len() + self.report.quarantined_files.len()
    }

    /// A path in the form of reports.
    pub(super) fn name(&self, path: &Path) -> String {
        let below = path.strip_prefix(self.root).unwrap_or(path);
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
        parts.join("/")
    }

    /// Makes the ledger's folders: a store that lost them has no place for the lock.
    pub(super) fn make_ledger_folders(&self) -> Result<()> {
        let ledger = self.root.join("ledger");
        for folder in [copy_folder(&ledger), ledger] {
            if !folder.exists() {
                self.make_folder(&folder)?;
            }
        }
        Ok(())
    }

    /// The folders that every store has.
    pub(super) fn make_folders(&self) -> Result<()> {
        for name in FOLDERS {
            let folder = self.root.join(name);
            if !folder.exists() {
                self.make_folder(&folder)?;
            }
        }
        Ok(())
    }

    pub(super) fn make_folder(&self, folder: &Path) -> Result<()> {
        let attempt = |error| Error::io("make the folder", folder, error);
        self.disk.create_dir(folder).map_err(attempt)?;
        self.disk.sync_dir(self.root).map_err(attempt)
    }
}
