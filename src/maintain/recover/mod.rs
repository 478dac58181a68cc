//! Recovering: a damaged store becomes whole again, and what is lost is accounted for.
//!
//! [`recover`] scans, acts upon what the scan named, and scans again. It acts upon nothing else,
//! and upon each file only while that is still what the scan saw. What it does, in this order:
//!
//! 1. *Ledger.* Of each commit's two files the missing or damaged one is published again, from the other
//!    ([`ledger_files`]). A rebuilding that was cut short is finished. In mode rebuild, a ledger that does
//!    not hold together all the same begins again ([`rebuild`]). A damaged checkpoint goes: it was a copy.
//! 2. *Segments.* All that can be had of a damaged or missing segment goes into new ones, which take
//!    its place ([`segments`]).
//!    If the file of a segment that an earlier repair lost is back, its facts are restored ([`restore_lost`]).
//! 3. *Streams.* What can be read of a damaged journal goes into segments; so do facts of segments
//!    that no commit names and that are nowhere else ([`streams`]).
//! 4. *Strangers* are moved aside.
//!
//! # What an auditor wants to know
//!
//! Nothing is lost in silence: the commits of a repair carry how many facts are lost and among
//! which places, so that the sums hold. Nothing is invented in silence, either: facts that were
//! read from a file whose digest is wrong are kept, but noted in the ledger as *unverified*, by
//! their places, which no later compaction changes ([`segments`] says when that can be avoided).
//! No place ever comes to name two facts.
//!
//! # What is kept aside
//!
//! Mode repair lets damaged bytes go, once what was readable in them is committed; where facts are given
//! up as lost, the file that had them is kept aside. What is not ours to delete it moves to `quarantine/` in the store, or to a folder that is named: strangers, files
//! that no commit names, the commits of a ledger that began again. Mode quarantine keeps every damaged
//! file there as well, before anything else is done to it.
//!
//! # Killed in between
//!
//! Every step is one commit, or can be taken twice. Whoever recovers again finds what is left to
//! do, and ends with the same facts. One maintainer works at a time ([`Maintenance`]); writers and
//! readers go on beside it, except that a ledger is rebuilt when nobody writes.

mod quarantine;
mod bits;
mod coverage;
mod describe;
mod evidence;
mod exact;
mod file;
mod gate;
mod heirs;
mod inputs;
mod inquiry;
mod journals;
mod ledger_files;
mod rebuild;
mod removed;
mod report;
mod restore_lost;
mod segments;
mod sources;
mod unknown_files;
mod streams;
mod damaged_segment;
mod work;
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
use evidence::Files;
use inputs::Inputs;
use quarantine::Quarantine;
use work::Work;

/// How often recovering goes on with what another scan finds.
const MOST_ROUNDS: usize = 5;
/// Files of so many bytes in all are searched for a flipped bit: some minutes of work.
const BITS_BUDGET: u64 = 8 << 20;

/// Makes the store at `root` whole again, as far as the mode allows.
#[expect(clippy::needless_pass_by_value, reason = "how it is recovered is said once")]
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
            // The last maintainer may have changed everything until it let go.
            found = look()?;
            work.report.scan = found.clone();
        }
        if found.is_clean() {
            break;
        }
        let done = work.done();
        work.act(&found)?;
        found = look()?;
        if work.done() == done {
            break;
        }
    }
    work.report.after = found;
    Ok(work.report)
}

impl Work<'_> {
    /// Acts upon what a scan named.
    fn act(&mut self, found: &ScanReport) -> Result<()> {
        self.ledger = None;
        self.removed = None;
        self.seen = unknown_files::see(self.root, found);
        if !self.mend_ledger(found)? {
            return Ok(());
        }
        self.make_folders()?;
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
        self.remove_repaired()?;
        let mut waiting: BTreeSet<&str> = BTreeSet::new();
        // Parts of an input in their order: killed in between, the ledger says how far it is.
        let store = self.ledger()?.refresh()?.store;
        let mut order: Vec<_> = streams.iter().collect();
        order.sort_by_cached_key(|(_, unknown)| inputs::first_part(self.root, unknown, store));
        for (stream, unknown) in order {
            if !streams::salvage(self, *stream, unknown)? {
                waiting.extend(unknown.iter().map(String::as_str));
            }
        }
        for input in self.inputs.with_gaps() {
            self.note(inputs::has_gaps(&input));
        }
        // One that has facts of several streams is looked at for each, and only then goes.
        for path in streams.values().flatten().filter(|path| !waiting.contains(path.as_str())) {
            self.move_stranger(&self.root.join(path))?;
        }
        for place in unexpected.into_iter().flat_map(|path| unknown_files::places(self.root, path)) {
            // A folder that was missing is there by now.
            if self.seen.contains_key(&place) {
                self.move_stranger(&place)?;
            }
        }
        let damaged = found.anomalies.iter().filter(|it| it.kind == AnomalyKind::ConsumerGroupDamaged);
        for (kind, group) in consume::lost_groups(self.root, damaged.map(|it| Path::new(&it.path)))? {
            self.note(format!(
                "the consumer group {group:?} for {kind} is gone with its state; made again, it begins anew, and is \
                 given again what it had dealt with"
            ));
        }
        self.make_folders()
    }

    /// Sees to the ledger. `false` if there is nothing else to do for now: because it does not hold
    /// together, and nobody knows what else is wrong; or because it has begun again, and another
    /// scan will tell.
    fn mend_ledger(&mut self, found: &ScanReport) -> Result<bool> {
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
            let chain = self.mend_commits()?;
            if !chain.strangers().is_empty() {
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
        if broken && let Some(number) = evidence::unfinished_rebuild(&folder, &Files::list(&folder)?)? {
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
                self.note("while the ledger cannot be read, nothing else is touched");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Removes the files of segments that were repaired, unless a query may still be reading them:
    /// those go with the next compaction.
    fn remove_repaired(&mut self) -> Result<()> {
        let state = self.ledger()?.refresh()?;
        let repaired = |path: &String| self.report.repaired_files.contains(path);
        let gone: Vec<_> = state.removed.iter().filter(|tombstone| repaired(&tombstone.path)).collect();
        let Some(last) = gone.iter().map(|tombstone| tombstone.by).max() else { return Ok(()) };
        let ledger = self.root.join("ledger");
        // A power failure must not take the commit back and leave the file removed.
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

    /// A checkpoint is a copy of what the commits say.
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

/// The stream whose journal a path is in.
fn stream_of(path: &str) -> Option<StreamId> {
    let mut parts = path.strip_prefix("journal/")?.split('/');
    parts.next()?.parse().ok().map(StreamId)
}
