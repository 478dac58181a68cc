//! Scan: checks whether everything that the ledger promises is there. It never changes a byte.
//!
//! A quick scan reads every commit and every journal in full, and of each segment its size and footer. It
//! checks the ledger's chain and sums, the frames of each journal, and the other files in the store's
//! folders. A deep scan also compares each segment's digest, decodes every page, and follows every fact
//! of every stream by its number. Both can run beside writers and a compaction, and on a store that is
//! too damaged to open.
//!
//! # Without false alarms
//!
//! A store in use changes during a scan. So a scan reads in the reverse order of a fact's path, as a
//! snapshot does:
//!
//! 1. the journals are opened ([`journals::open_all`]);
//! 2. the ledger is read to its head, and the head is pinned, so that no process deletes a segment that
//!    it names ([`commit_chain::walk`], [`Scene::pin`]);
//! 3. the folders are listed, and commits that were added in the meantime are read;
//! 4. journals, segments and unknown files are judged by these commits.
//!
//! Some parts change in use: a journal, or a segment that no commit names. If such a part looks wrong,
//! the scan looks again, in the same order (the owner's lock, the journals, the ledger), before it
//! reports an anomaly. If the owner lives, it is at work. A file that a live owner is making is not
//! debris either.
//!
//! # Without trust
//!
//! Symbolic links are followed, as readers and writers follow them. The exception is a link in the place
//! of one of the store's folders: of the entries there, only segments are reported. Pipes and devices are
//! not opened. Lengths are compared with the file's length before memory is reserved. No byte of a
//! segment is decoded before its digest was compared. The quick scan reads footers without that
//! comparison, so they have a reader of their own ([`footer`](crate::segment::footer)).

mod journals;
mod options;
mod rows;
mod fact_set;
mod segments;
mod unknown_files;
mod sums;
pub(super) mod surroundings;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

pub use options::{ScanDepth, ScanOptions, ScanProgress};

use self::journals::StreamFiles;
pub(super) use self::journals::{Judged, open_all as open_journals};
use super::anomaly::{Anomaly, AnomalyKind, Debris, ScanReport};
use super::commit_chain::{self, Chain};
use super::inventory::{self, ExpectedFiles};
use super::lossy_repair::LostPlaces;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{StreamId, UnixNanos};
use crate::ledger::{
    COPY_FOLDER, LossyRepair, LostNumbers, Segment, Side, State, StoreId, StreamRange, commit_path,
    copy_folder, pin_commit,
};
use crate::retention::ConditionParser;
use crate::segment::is_imported;
use crate::store_folder::{FOLDERS, has_files};
use fact_set::FactSet;
use segments::Checker;
use unknown_files::UnknownFiles;

/// How often the scan looks at a changing part that looks wrong.
const LOOKS: usize = 3;
/// One minute in nanoseconds.
const A_MINUTE: i64 = 60_000_000_000;

/// Checks whether the store at `root` is whole, without opening it: it may be too damaged to open.
pub(crate) fn scan<'a>(
    root: &Path,
    options: impl Into<ScanOptions<'a>>,
    parser: ConditionParser,
) -> Result<ScanReport> {
    let (begun, options) = (Instant::now(), options.into());
    check_is_store(root)?;
    let mut scene = Scene::new(root, &options.disk, parser);
    let mut report = scene.scan(&options)?;
    report.anomalies.sort_by(|one, other| (&one.path, one.kind).cmp(&(&other.path, other.kind)));
    report.debris.sort_by(|one, other| one.path.cmp(&other.path));
    report.elapsed = begun.elapsed();
    Ok(report)
}

/// Refuses a path where there is neither a store nor a remainder of one.
pub(super) fn check_is_store(root: &Path) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(ErrorKind::NotAStore, format!("{} is not an Ostracon store: {why}", root.display())))
    };
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return refuse("a store is a folder, and this is no folder"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return refuse("nothing is there"),
        Err(error) => return Err(Error::io("list the folder", root, error)),
    }
    // Without quarantine: its files are no longer part of the store.
    for folder in FOLDERS.iter().filter(|folder| **folder != "quarantine") {
        if has_files(&root.join(folder))? {
            return Ok(());
        }
    }
    refuse("there is no ledger, no segment and no journal in it")
}

/// The files and facts that a ledger names.
fn known(chain: &Chain) -> ExpectedFiles<'_> {
    match &chain.state {
        Some(state) if chain.adds_up => ExpectedFiles::of(state),
        Some(state) => ExpectedFiles::guess(state),
        None => ExpectedFiles::default(),
    }
}

/// The state of one scan.
pub(super) struct Scene<'a> {
    root: &'a Path,
    disk: &'a Disk,
    parser: ConditionParser,
    /// The store's ID, if any commit names it.
    store: Option<StoreId>,
    /// Imported segments that some commit removed, even if the ledger no longer waits for their files to
    /// be deleted.
    removed: BTreeSet<String>,
    /// Numbers of facts that salvages lost.
    lost_numbers: LostNumbers,
    /// The streams whose locks were tried, and whether a process holds each lock.
    owned: BTreeMap<StreamId, bool>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(root: &'a Path, disk: &'a Disk, parser: ConditionParser) -> Self {
        Self {
            root,
            disk,
            parser,
            store: None,
            removed: BTreeSet::new(),
            lost_numbers: LostNumbers::default(),
            owned: BTreeMap::new(),
        }
    }

    fn scan(&mut self, options: &ScanOptions<'_>) -> Result<ScanReport> {
        let mut report = ScanReport::default();
        let mut streams = journals::open_all(self.disk, self.root)?;
        let mut removed = BTreeSet::new();
        let mut lossy_repairs = Vec::new();
        let mut lost_numbers = LostNumbers::default();
        let mut chain = commit_chain::walk(self.root, |commit, _| {
            LossyRepair::add_commit(&mut lossy_repairs, commit);
            lost_numbers.add_commit(commit);
            let imported = commit.action.removed().iter().map(|segment| &segment.path);
            removed.extend(imported.filter(|path| is_imported(Path::new(path))).cloned());
        })?;
        self.removed = removed;
        self.lost_numbers = lost_numbers;
        self.store = chain.state.as_ref().map(|state| state.store);
        let _pin = self.pin(&mut chain)?;
        let entries = inventory::list(self.root)?;
        let pinned = chain.state.clone();
        chain.advance(self.root, |_, _| {})?;

        let mut readable = Vec::new();
        let lost = pinned.as_ref().map(|state| LostPlaces::new(self.root, state, &lossy_repairs));
        for files in &mut streams {
            let mut judged = self.judge(files, &mut chain)?;
            if let (Some(store), Some(lost)) = (self.store, &lost) {
                let restored = files.restored(store, &self.lost_numbers, lost)?;
                judged.debris.retain(|debris| restored.iter().all(|anomaly| anomaly.path != debris.path));
                report.anomalies.extend(restored);
            }
            readable.extend(judged.readable.iter().map(|(first, last)| (files.stream, *first, *last)));
            report.journals += judged.files;
            report.bytes += judged.bytes;
            report.anomalies.extend(judged.anomalies);
            if !judged.debris.is_empty() && !self.is_owned(files.stream)? {
                report.debris.extend(judged.debris);
            }
        }
        self.look_beside(entries, pinned.as_ref(), lost.as_ref(), &readable, &mut chain, &mut report)?;

        if let Some(state) = &pinned {
            let path = inventory::name(&commit_path(Path::new("ledger"), state.head.number));
            if chain.adds_up {
                report.anomalies.extend(sums::check(state, &path));
            }
            self.look_at_segments(state, &path, &mut chain, options, &mut report)?;
        }
        surroundings::look(self.root, pinned.as_ref(), self.parser, &mut report);
        report.debris.extend(self.uncopied(&chain));
        report.commits = chain.commits;
        report.bytes += chain.bytes;
        report.anomalies.append(&mut chain.anomalies);
        if options.depth == ScanDepth::Deep && report.anomalies.is_empty() {
            report.notes.extend(surroundings::doubts(self.root, self.parser));
        }
        Ok(report)
    }

    /// Takes a shared lock on the commit at the head. A process that deletes segments first tries the
    /// locks of the commits that still name them. A ledger that cannot be read has no head to pin.
    fn pin(&self, chain: &mut Chain) -> Result<Option<File>> {
        let folder = self.root.join("ledger");
        while chain.adds_up
            && let Some(state) = &chain.state
        {
            let number = state.head.number;
            let (file, _) = pin_commit(&folder, number)?;
            chain.advance(self.root, |_, _| {})?;
            if chain.state.as_ref().is_some_and(|state| state.head.number == number) {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Judges a stream's journal files. If something looks wrong, opens and judges them again.
    pub(super) fn judge(&self, files: &mut StreamFiles, chain: &mut Chain) -> Result<Judged> {
        let stream = files.stream;
        let committed = |chain: &Chain| {
            chain.state.as_ref().map_or_else(Default::default, |state| state.committed(stream))
        };
        let store = chain.state.as_ref().map(|state| state.store);
        let mut judged = files.judge(store, committed(chain))?;
        for _ in 1..LOOKS {
            if judged.anomalies.is_empty() {
                break;
            }
            let mut again = journals::open(self.disk, self.root, stream)?;
            chain.advance(self.root, |_, _| {})?;
            judged = again.judge(store, committed(chain))?;
        }
        // A damaged ledger says only roughly how far it covers a stream.
        judged.anomalies.retain(|anomaly| chain.adds_up || anomaly.kind != AnomalyKind::JournalGap);
        Ok(judged)
    }

    fn look_beside(
        &mut self,
        entries: Vec<inventory::Entry>,
        pinned: Option<&State>,
        lost: Option<&LostPlaces<'_>>,
        readable: &[(StreamId, crate::fact::Seq, crate::fact::Seq)],
        chain: &mut Chain,
        report: &mut ScanReport,
    ) -> Result<()> {
        let mut known = known(chain);
        // A segment that a later commit removed is still part of this scan.
        let live = pinned.into_iter().flat_map(|state| state.segments.iter().flatten());
        known.add_live(live.map(|segment| segment.path.as_str()));
        for (stream, first, last) in readable {
            known.add_journaled(*stream, *first, *last);
        }
        let beside = unknown_files::look(self, entries, &known, chain.state.as_ref(), lost)?;
        let UnknownFiles { anomalies, debris, unknown, bytes } = beside;
        report.bytes += bytes;
        report.anomalies.extend(anomalies);
        for unknown in unknown {
            // The file of a live writer that is not finished. An import marks its own unfinished files.
            if !unknown.imported && self.any_owned(&unknown.ranges)? {
                continue;
            }
            let mut journaled = Vec::new();
            for range in &unknown.ranges {
                let mut files = journals::open(self.disk, self.root, range.stream)?;
                let judged = self.judge(&mut files, chain)?;
                journaled
                    .extend(judged.readable.into_iter().map(|(first, last)| (range.stream, first, last)));
            }
            chain.advance(self.root, |_, _| {})?;
            let mut known = self::known(chain);
            for (stream, first, last) in journaled {
                known.add_journaled(stream, first, last);
            }
            let there = self.root.join(&unknown.entry.path).symlink_metadata().is_ok();
            if there && unknown.is_lost(&known) && !known.is_live(&unknown.entry.name()) {
                report.anomalies.push(unknown.anomaly(&known));
            }
        }
        report.debris.extend(debris);
        // A file that is gone now was removed by another process during the scan.
        report.debris.retain(|debris| self.root.join(&debris.path).symlink_metadata().is_ok());
        let live = self::known(chain);
        report.debris.retain(|debris| !live.is_live(&debris.path));
        Ok(())
    }

    fn look_at_segments(
        &self,
        state: &State,
        path: &str,
        chain: &mut Chain,
        options: &ScanOptions<'_>,
        report: &mut ScanReport,
    ) -> Result<()> {
        let deep = options.depth == ScanDepth::Deep;
        let seen = Mutex::new(FactSet::default());
        let checker = Checker { root: self.root, store: state.store, seen: deep.then_some(&seen) };
        let segments: Vec<&Segment> = state.segments.iter().flatten().map(AsRef::as_ref).collect();
        let results = workers::check(&checker, &segments, options)?;
        report.segments = segments.len() as u64;
        report.bytes += results.iter().map(|result| result.bytes).sum::<u64>();
        let excused: Vec<&Segment> = segments
            .iter()
            .zip(&results)
            .filter(|(_, result)| !result.anomalies.is_empty())
            .map(|(segment, _)| *segment)
            .collect();
        if deep && chain.adds_up {
            let seen = seen.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            report.anomalies.extend(sums::gaps(state, path, &seen, &chain.gaps, &excused));
        }
        let anomalies: Vec<Anomaly> = results.into_iter().flat_map(|result| result.anomalies).collect();
        if anomalies.iter().any(|anomaly| anomaly.kind == AnomalyKind::SegmentMissing) {
            chain.advance(self.root, |_, _| {})?;
        }
        // Where the head could not be pinned, a segment may have been removed and deleted in the
        // meantime.
        let now = known(chain);
        let gone =
            |anomaly: &Anomaly| anomaly.kind == AnomalyKind::SegmentMissing && !now.is_live(&anomaly.path);
        report.anomalies.extend(anomalies.into_iter().filter(|anomaly| !gone(anomaly)));
        Ok(())
    }

    /// Commits without a copy. A live process may be writing the copy of the newest commit.
    fn uncopied(&self, chain: &Chain) -> Option<Debris> {
        let ledger = self.root.join("ledger");
        let before = UnixNanos::now().get().saturating_sub(A_MINUTE);
        let has_folder = copy_folder(&ledger).symlink_metadata().is_ok();
        let old = chain.uncopied.iter().filter(|commit| commit.at.get() < before || !has_folder);
        let missing =
            old.filter(|commit| Side::Copy.path(&ledger, commit.number).symlink_metadata().is_err());
        let missing: Vec<_> = missing.map(|commit| commit.number).collect();
        let first = missing.first()?;
        let what = format!(
            "the second copies of {} commits, from {first} on, are missing; the next processes that open the store for \
             writing, and `ostracon recover`, write them",
            missing.len()
        );
        Some(Debris { path: COPY_FOLDER.to_owned(), what, bytes: 0 })
    }

    /// Whether a process owns the stream. Each lock is tried once per scan.
    fn is_owned(&mut self, stream: StreamId) -> Result<bool> {
        if let Some(owned) = self.owned.get(&stream) {
            return Ok(*owned);
        }
        let owned = inventory::is_owned(self.root, stream)?;
        self.owned.insert(stream, owned);
        Ok(owned)
    }

    fn any_owned(&mut self, ranges: &[StreamRange]) -> Result<bool> {
        for range in ranges {
            if self.is_owned(range.stream)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
