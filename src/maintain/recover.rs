//! Recovery: repairs a damaged store, and accounts for the lost facts.
//!
//! [`recover`] scans, repairs the findings of the scan, and scans again. It changes nothing else, and
//! each file only while it is still as the scan saw it. Its steps, in this order:
//!
//! 1. *Ledger.* If one of a commit's two files is missing or damaged, it is published again, from the
//!    other ([`ledger_files`]). A rebuild that was cut short is finished. In mode rebuild, a ledger that
//!    still does not hold together begins again ([`rebuild`]). A damaged checkpoint is removed: it was a
//!    copy.
//! 2. *Segments.* All facts that can be saved from a damaged or missing segment go into new segments,
//!    which replace it ([`segments`]). If the file of a segment that an earlier repair lost is back, its
//!    facts are restored ([`restore_lost`]), also from the segments that it was merged from and from journals
//!    ([`put_back`]).
//! 3. *Streams.* The readable facts of a damaged journal go into segments, and so do facts of segments
//!    that no commit names and that are nowhere else ([`streams`]).
//! 4. *Unknown files* are moved aside.
//!
//! # For an audit
//!
//! No loss is silent: the commits of a repair record how many facts are lost and in which ranges, so that
//! the sums hold. No doubt is silent, either: facts that were read from a file with a wrong digest are
//! kept, but noted in the ledger as *unverified*, by their places, which no later compaction changes
//! ([`segments`] says when that can be avoided). No place ever names two facts.
//!
//! # Files that are kept aside
//!
//! Mode repair removes damaged bytes once the readable facts in them are committed; if facts are given up
//! as lost, the file that had them is kept aside. Files that must not be deleted are moved to
//! `quarantine/` in the store, or to a folder that is given: unknown files, files that no commit names,
//! and the commits of a ledger that began again. Mode quarantine also keeps every damaged file there,
//! before anything else is done to it.
//!
//! # If the process is killed
//!
//! Every step is one commit, or can be repeated. The next recovery finds the remaining work, and ends
//! with equal facts. One maintainer works at a time ([`Maintenance`]). Writers and readers continue
//! beside it, except that a ledger is rebuilt only while no process writes.

mod accepted_rows;
mod bit_flip;
mod describe_segment;
mod exact_restore;
mod import_positions;
mod journals;
mod ledger_files;
mod ledger_parts;
mod other_copies;
mod path_state;
mod put_back;
mod quarantine;
mod rebuild;
mod recovery_state;
mod remaining_files;
mod removed_segments;
mod replacements;
mod report;
mod restore_lost;
mod segments;
mod streams;
mod uncommitted_rows;
mod unknown_files;
mod write_rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use report::{LostFacts, RecoveryConfig, RecoveryMode, RecoveryReport, UnverifiedFacts};

use super::compact::oldest_pinned;
use super::inventory::is_file;
use super::scan::{ScanDepth, ScanOptions, scan};
use super::{Anomaly, AnomalyKind, Maintenance, ScanReport};
use crate::consume;
use crate::error::{Error, Result};
use crate::fact::StreamId;
use crate::ledger::{Ledger, Side, is_ledger_damage};
use crate::retention::ConditionParser;
use import_positions::Inputs;
use journals::stream_of;
use ledger_parts::Files;
use put_back::PutBack;
use quarantine::Quarantine;
use recovery_state::Work;

/// The most rounds of a recovery, each with the findings of another scan.
const MOST_ROUNDS: usize = 5;
/// The most bytes of files, together, that are searched for a flipped bit: some minutes of work.
const BITS_BUDGET: u64 = 8 << 20;

/// Repairs the store at `root`, as far as the mode allows.
#[expect(clippy::needless_pass_by_value, reason = "the configuration of a recovery is used once")]
pub(crate) fn recover(
    root: &Path,
    config: RecoveryConfig,
    parser: ConditionParser,
) -> Result<RecoveryReport> {
    config.check()?;
    let look = || {
        let quick = config.quick.unwrap_or(false);
        let depth = if quick { ScanDepth::Quick } else { ScanDepth::Deep };
        scan(root, ScanOptions::new(depth).disk(config.disk.clone()), parser)
    };
    if config.mode == RecoveryMode::Ignore {
        let scan = look()?;
        let after = scan.clone();
        return Ok(RecoveryReport { mode: config.mode, scan, after, ..RecoveryReport::default() });
    }
    // Before anything is made: there may be no store at all.
    let mut found = look()?;
    let disk = config.disk.anchored(root).map_err(|error| Error::io("recover", root, error))?;
    let mut work = Work {
        root,
        disk: &disk,
        parser,
        keeps_damaged: config.mode == RecoveryMode::Quarantine,
        lose_unverified: config.lose_unverified,
        aside: Quarantine::new(&disk, root, config.quarantine_dir.as_deref())?,
        report: RecoveryReport { mode: config.mode, ..RecoveryReport::default() },
        ledger: None,
        inputs: Inputs::default(),
        seen: BTreeMap::new(),
        bits_budget: BITS_BUDGET,
        removed: None,
    };
    work.make_ledger_folders()?;
    let _maintenance = Maintenance::claim(&disk, root)?;
    work.complete_copies()?;
    for round in 0..MOST_ROUNDS {
        if round == 0 {
            // The last maintainer may have changed everything until it released the lock.
            found = look()?;
            work.report.scan = found.clone();
        }
        if found.is_clean() {
            break;
        }
        let done = work.done();
        work.repair_findings(&found)?;
        found = look()?;
        if work.done() == done {
            break;
        }
    }
    work.report.after = found;
    Ok(work.report)
}

impl Work<'_> {
    /// Repairs the findings of a scan.
    fn repair_findings(&mut self, found: &ScanReport) -> Result<()> {
        self.ledger = None;
        self.removed = None;
        self.seen = unknown_files::see(self.root, found);
        if !self.repair_ledger(found)? {
            return Ok(());
        }
        self.make_folders()?;
        let put_back = PutBack::find(self, found)?;
        let mut segments: BTreeSet<&str> = BTreeSet::new();
        let mut streams: BTreeMap<StreamId, BTreeSet<String>> = BTreeMap::new();
        let mut unexpected: BTreeSet<&str> = BTreeSet::new();
        for anomaly in &found.anomalies {
            let path = anomaly.path.as_str();
            match anomaly.kind {
                AnomalyKind::SegmentMissing
                | AnomalyKind::SegmentSize
                | AnomalyKind::SegmentDamaged
                | AnomalyKind::SegmentForeign => {
                    segments.insert(path);
                }
                AnomalyKind::JournalTorn | AnomalyKind::JournalDamaged | AnomalyKind::JournalGap => {
                    if let Some(stream) = stream_of(path) {
                        streams.entry(stream).or_default();
                    }
                }
                AnomalyKind::JournalUnknown => {
                    if let Some(stream) = stream_of(path) {
                        restore_lost::restore_journal(self, stream)?;
                    }
                }
                AnomalyKind::SegmentUnknown if restore_lost::restore(self, path)? => {}
                AnomalyKind::SegmentUnknown if put_back.segments.contains(path) => {}
                AnomalyKind::SegmentUnknown => {
                    for span in &anomaly.affected.spans {
                        streams.entry(span.stream).or_default().insert(path.to_owned());
                    }
                    if anomaly.affected.spans.is_empty() {
                        unexpected.insert(path);
                    }
                }
                AnomalyKind::Unexpected | AnomalyKind::ConsumerGroupDamaged => {
                    unexpected.insert(path);
                }
                _ => {}
            }
        }
        for path in segments {
            segments::repair(self, path)?;
        }
        put_back.restore(self)?;
        self.remove_repaired()?;
        let mut waiting: BTreeSet<&str> = BTreeSet::new();
        // Parts of an input in their order: if the process is killed in between, the ledger says how far
        // it is imported.
        let store = self.ledger()?.refresh()?.store;
        let mut order: Vec<_> = streams.iter().collect();
        order.sort_by_cached_key(|(_, unknown)| import_positions::first_part(self.root, unknown, store));
        for (stream, unknown) in order {
            if !streams::salvage(self, *stream, unknown)? {
                waiting.extend(unknown.iter().map(String::as_str));
            }
        }
        for input in self.inputs.with_gaps() {
            self.note(import_positions::has_gaps(&input));
        }
        // A file with facts of several streams is read for each of them, and removed only then.
        for path in streams.values().flatten().filter(|path| !waiting.contains(path.as_str())) {
            self.move_unknown_file(&self.root.join(path))?;
        }
        for place in unexpected.into_iter().flat_map(|path| unknown_files::places(self.root, path)) {
            // A folder that was missing exists now.
            if self.seen.contains_key(&place) {
                self.move_unknown_file(&place)?;
            }
        }
        let damaged = found.anomalies.iter().filter(|it| it.kind == AnomalyKind::ConsumerGroupDamaged);
        for (kind, group) in consume::lost_groups(self.root, damaged.map(|it| Path::new(&it.path)))? {
            self.note(format!(
                "the consumer group {group:?} for {kind} is gone with its state; if it is created again, it \
                 begins anew, and facts that it had handled are delivered again"
            ));
        }
        self.make_folders()
    }

    /// Repairs the ledger. Returns `false` if nothing else can be done now: because the ledger does not
    /// hold together, so that other damage is unknown; or because it has begun again, and needs another
    /// scan.
    fn repair_ledger(&mut self, found: &ScanReport) -> Result<bool> {
        let folder = self.root.join("ledger");
        let of_commits = |anomaly: &Anomaly| {
            matches!(
                anomaly.kind,
                AnomalyKind::CommitMissing
                    | AnomalyKind::CommitDamaged
                    | AnomalyKind::CommitCopyDamaged
                    | AnomalyKind::ChainBroken
            )
        };
        let mut broken = found.anomalies.iter().any(|anomaly| anomaly.kind == AnomalyKind::Imbalance);
        if found.anomalies.iter().any(of_commits) {
            let done = self.done();
            let chain = self.repair_commits()?;
            if !chain.commits_of_another_store().is_empty() {
                return Ok(false);
            }
            let one_file = |name: &str| {
                chain.unlike.iter().any(|it| it.side.name(it.number) == name)
                    || (chain.adds_up && chain.strays.iter().any(|it| Side::Copy.name(it.number) == name))
            };
            broken |= chain.anomalies.iter().any(|anomaly| of_commits(anomaly) && !one_file(&anomaly.path));
            if !broken && self.done() > done {
                return Ok(false);
            }
        }
        if broken && let Some(number) = ledger_parts::unfinished_rebuild(&folder, &Files::list(&folder)?)? {
            rebuild::finish(self, number)?;
            return Ok(false);
        }
        if broken && self.report.mode == RecoveryMode::Rebuild {
            rebuild::run(self)?;
            return Ok(false);
        }
        for anomaly in found.anomalies.iter().filter(|a| a.kind == AnomalyKind::CheckpointDamaged) {
            self.drop_checkpoint(&anomaly.path)?;
        }
        if broken {
            self.note("the ledger itself is damaged; only mode rebuild makes a new one");
        }
        match Ledger::open(self.disk.clone(), self.root) {
            Ok(ledger) => self.ledger = Some(ledger),
            Err(error) if is_ledger_damage(&error) => {
                self.note("while the ledger cannot be read, no other file is changed");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Removes the files of segments that were repaired, unless a query may still read them: the next
    /// compaction removes those.
    fn remove_repaired(&mut self) -> Result<()> {
        let state = self.ledger()?.refresh()?;
        let repaired = |path: &String| self.report.repaired_files.contains(path);
        let gone: Vec<_> = state.removed.iter().filter(|tombstone| repaired(&tombstone.path)).collect();
        let Some(last) = gone.iter().map(|tombstone| tombstone.by).max() else { return Ok(()) };
        let ledger = self.root.join("ledger");
        // A power failure must not undo the commit after the file was removed.
        self.ledger()?.sync().map_err(|error| Error::io("sync the ledger", &ledger, error))?;
        let pinned = oldest_pinned(&ledger, state.root, last);
        for tombstone in
            gone.into_iter().filter(|tombstone| pinned.is_none_or(|pinned| tombstone.by <= pinned))
        {
            let path = self.root.join(&tombstone.path);
            let attempt = |error| Error::io("remove the damaged file", &path, error);
            if is_file(&path)? {
                self.disk.remove(&path).map_err(attempt)?;
                self.disk.sync_dir(path.parent().unwrap_or(self.root)).map_err(attempt)?;
            }
        }
        Ok(())
    }

    /// Removes a checkpoint: it is a copy of the commits' state.
    fn drop_checkpoint(&mut self, path: &str) -> Result<()> {
        let place = self.root.join(path);
        let attempt = |error| Error::io("remove the checkpoint", &place, error);
        if !is_file(&place)? {
            return Ok(());
        }
        self.keep_damaged(&place)?;
        self.disk.remove(&place).map_err(attempt)?;
        self.disk.sync_dir(place.parent().unwrap_or(self.root)).map_err(attempt)?;
        self.repaired(path);
        Ok(())
    }
}
