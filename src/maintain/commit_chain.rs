//! Reads the ledger from its first commit to its head, and adds up every commit.
//!
//! Opening a store trusts its newest checkpoint. This module trusts only the commits: each must be there,
//! be unchanged, name the one before, and add up; and every checkpoint must equal the sum of the commits.
//! If the chain breaks, it continues from the next sound checkpoint, or, if there is none, with the data
//! of each single commit ([`Chain::adds_up`] is then false).
//!
//! Each commit has two files, and the chain holds as long as one of the two is the commit that fits the
//! ones before and after it. The other file is an anomaly, and is listed for repair ([`Unlike`]).

mod commit_files;
mod strays;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

pub(in crate::maintain) use commit_files::reason;
use commit_files::{CommitFile, CommitFiles, read, read_all};
pub(crate) use strays::Stray;

use super::anomaly::{Anomaly, AnomalyKind};
use super::gaps::Gaps;
use super::inventory::{self, What};
use crate::error::{Error, Result};
use crate::fact::{PerKind, UnixNanos};
use crate::ledger::{
    Action, Commit, CommitNumber, Head, Side, State, Stream, copy_folder, is_checkpoint_due, list_commits,
    read_checkpoint, read_commit_file,
};

/// The number of commits that are read ahead.
const WINDOW: usize = 512;

/// The result of reading the commits.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// The state at the head; `None` if no commit can be read.
    pub(crate) state: Option<State>,
    /// Whether the state is the sum of the commits, and not an estimate from the readable ones.
    pub(crate) adds_up: bool,
    /// The facts that were unknown when the ledger was rebuilt, as text, if it was rebuilt.
    pub(crate) rebuilt: Option<Vec<String>>,
    /// Facts that commits count as lost from a journal.
    pub(crate) lost_from_journals: u64,
    /// Ranges of numbers that may be missing from the segments.
    pub(crate) gaps: Gaps,
    pub(crate) commits: u64,
    pub(crate) bytes: u64,
    pub(crate) anomalies: Vec<Anomaly>,
    /// Files of commits that are missing or damaged, where the commit's other file is sound.
    pub(crate) unlike: Vec<Unlike>,
    /// Commits of another store: a process that had that store open has written them here.
    pub(crate) foreign: Vec<CommitNumber>,
    /// Commits without a copy: of an older program, or of a process that was killed.
    pub(crate) uncopied: Vec<Uncopied>,
    /// Copies after the newest commit that are not commits of this ledger.
    pub(crate) strays: Vec<Stray>,
    /// The digest of the newest commit that was read.
    newest: Option<(CommitNumber, String)>,
    checkpoints: BTreeSet<CommitNumber>,
}

/// A commit's file with wrong content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unlike {
    pub(crate) number: CommitNumber,
    /// Which of the two files it is.
    pub(crate) side: Side,
    /// The digest that it should have; the other file has it.
    pub(crate) digest: String,
    /// Whether it is a sound commit, though not this one.
    pub(crate) is_commit: bool,
}

/// A commit without a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uncopied {
    pub(crate) number: CommitNumber,
    pub(crate) at: UnixNanos,
}

/// Follows the chain below this root, and calls `seen` for every commit, with its digest.
///
/// # Errors
/// [`NewerFormat`](crate::ErrorKind::NewerFormat), and files that may not be read.
pub(crate) fn walk(root: &Path, mut seen: impl FnMut(&Commit, &str)) -> Result<Chain> {
    let folder = root.join("ledger");
    let mut chain = Chain { adds_up: true, ..Chain::default() };
    let mut numbers = chain.list(&folder)?;
    if has_hole(&numbers) {
        // A listing beside writers is not of one moment: it may have a commit that was added during the
        // listing, but not an earlier one.
        numbers.extend(chain.list(&folder)?);
    }
    chain.set_strays_apart(&folder, &mut numbers)?;
    let numbers: Vec<_> = numbers.into_iter().collect();
    // A commit is added when the next one was read, which shows which of the two files is right.
    let mut waiting: Option<(CommitNumber, CommitFiles)> = None;
    for window in numbers.chunks(WINDOW) {
        for (number, files) in window.iter().zip(read_all(&folder, window)) {
            let files = files?;
            if let Some((before, waiting)) = waiting.take() {
                let named = files.parent().filter(|_| before.next() == *number);
                chain.add(&folder, before, waiting, named.as_deref(), &mut seen);
            }
            waiting = Some((*number, files));
        }
    }
    if let Some((number, files)) = waiting {
        chain.add(&folder, number, files, None, &mut seen);
    }
    chain.advance(root, &mut seen)?;
    chain.look_beyond_the_head();
    chain.gaps.seal();
    Ok(chain)
}

fn has_hole(numbers: &BTreeSet<CommitNumber>) -> bool {
    let (first, last) = (numbers.first(), numbers.last());
    first.zip(last).is_some_and(|(first, last)| last.0 - first.0 != numbers.len() as u64 - 1)
}

impl Chain {
    /// Lists the numbers of the commits in a ledger's folder, and of their copies; notes the checkpoints.
    fn list(&mut self, folder: &Path) -> Result<BTreeSet<CommitNumber>> {
        let attempt = |error| Error::io("list the ledger", folder, error);
        let mut numbers = BTreeSet::new();
        match std::fs::read_dir(folder) {
            Ok(entries) => {
                for entry in entries {
                    let name = entry.map_err(attempt)?.file_name();
                    match name.to_str().map(inventory::in_ledger) {
                        Some(What::Commit(number)) => drop(numbers.insert(number)),
                        Some(What::Checkpoint(number)) => drop(self.checkpoints.insert(number)),
                        _ => {}
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(attempt(error)),
        }
        let mut copies = match list_commits(&copy_folder(folder)) {
            Err(error) if error.is_denied() => BTreeSet::new(),
            copies => copies?,
        };
        // The copies from before a rebuild do not belong to the ledger.
        if let Some(root) = numbers.first().copied()
            && copies.first().is_some_and(|first| *first < root)
            && matches!(read_commit_file(folder, Side::Ledger, root), Ok(Some((commit, _))) if commit.begins_ledger())
        {
            let kept = copies.split_off(&root);
            self.note_outlived(&copies, root);
            copies = kept;
        }
        numbers.append(&mut copies);
        Ok(numbers)
    }

    fn note_outlived(&mut self, copies: &BTreeSet<CommitNumber>, root: CommitNumber) {
        for number in copies {
            let path = Side::Copy.name(*number);
            let expected = format!("copies of commits from {root} on, with which the ledger begins again");
            let found = format!("a copy of commit {number}");
            if !self.anomalies.iter().any(|known| known.path == path) {
                self.anomalies.push(Anomaly::new(AnomalyKind::Unexpected, path, expected, found));
            }
        }
    }

    /// Adds the commits that were published since.
    pub(crate) fn advance(&mut self, root: &Path, mut seen: impl FnMut(&Commit, &str)) -> Result<()> {
        let folder = root.join("ledger");
        while let Some(newest) = self.newest.as_ref().map(|(newest, _)| *newest) {
            let next = newest.next();
            if next == newest {
                break;
            }
            match read(&folder, next)? {
                CommitFiles {
                    own: CommitFile::Nothing,
                    copy: CommitFile::Nothing | CommitFile::Same { .. },
                } => break,
                CommitFiles { own: CommitFile::Nothing, .. }
                    if self.strays.iter().any(|it| it.number == next) =>
                {
                    break;
                }
                files => self.add(&folder, next, files, None, &mut seen),
            }
        }
        Ok(())
    }

    /// Chooses the right one of a commit's two files; `named` is the digest by which the next commit
    /// names it. A wrong other file is noted, and does not break the chain.
    fn choose(&mut self, number: CommitNumber, files: CommitFiles, named: Option<&str>) -> CommitFile {
        let CommitFiles { own, copy } = files;
        let before =
            self.newest.as_ref().filter(|(before, digest)| before.next() == number && !digest.is_empty());
        let store = self.state.as_ref().map(|state| state.store);
        let is_it = |found: &CommitFile| match found {
            CommitFile::Commit { commit, digest, .. } => {
                commit.number == number
                    && store.is_none_or(|store| store == commit.store)
                    && before.is_none_or(|(_, parent)| *parent == commit.parent)
                    && named.is_none_or(|named| named == digest)
            }
            _ => false,
        };
        let (chosen, other, side) = match (is_it(&own), is_it(&copy)) {
            (true, _) => (own, copy, Side::Copy),
            (false, true) => (copy, own, Side::Ledger),
            (false, false) if matches!(own, CommitFile::Nothing) => return copy,
            (false, false) => return own,
        };
        let CommitFile::Commit { commit, digest, .. } = &chosen else { return chosen };
        let (kind, expected) = match (&other, side) {
            (CommitFile::Same { bytes }, _) => {
                self.bytes += bytes;
                return chosen;
            }
            (CommitFile::Nothing, Side::Copy) => {
                self.uncopied.push(Uncopied { number, at: commit.at });
                return chosen;
            }
            (_, Side::Copy) => {
                (AnomalyKind::CommitCopyDamaged, format!("the bytes of {}", Side::Ledger.name(number)))
            }
            (CommitFile::Nothing, _) => (AnomalyKind::CommitMissing, format!("commit {number}")),
            (CommitFile::Commit { .. }, _) => {
                (AnomalyKind::ChainBroken, format!("commit {number} as it was written"))
            }
            _ => (AnomalyKind::CommitDamaged, format!("commit {number} as it was written")),
        };
        let beside = side.other();
        let found = format!("{}; {} is sound", other.words(number), beside.name(number));
        let anomaly = Anomaly::new(kind, side.name(number), expected, found);
        self.anomalies
            .push(anomaly.remedy(format!("publishes the file again, from {}", beside.name(number))));
        let is_commit = matches!(other, CommitFile::Commit { .. });
        self.unlike.push(Unlike { number, side, digest: digest.clone(), is_commit });
        chosen
    }

    fn add(
        &mut self,
        folder: &Path,
        number: CommitNumber,
        files: CommitFiles,
        named: Option<&str>,
        seen: &mut impl FnMut(&Commit, &str),
    ) {
        let path = commit_name(number);
        let found = self.choose(number, files, named);
        let before = self.newest.take();
        if let Some((before, _)) = &before
            && before.next() != number
        {
            self.missing(before.next().0..=number.0 - 1);
        }
        self.commits += 1;
        let (commit, digest) = match found {
            CommitFile::Commit { commit, digest, bytes } => {
                self.bytes += bytes;
                (commit, digest)
            }
            CommitFile::Nothing | CommitFile::Same { .. } => {
                self.missing(number.0..=number.0);
                self.newest = Some((number, String::new()));
                return;
            }
            CommitFile::Unsound(what) => {
                self.damaged(
                    AnomalyKind::CommitDamaged,
                    path,
                    format!("commit {number} as it was written"),
                    what,
                );
                self.newest = Some((number, String::new()));
                return;
            }
        };
        if self.state.as_ref().is_some_and(|state| state.store != commit.store) {
            self.foreign.push(number);
        }
        seen(&commit, &digest);
        self.gaps.note(&commit.action);
        if let Action::Salvage { lost, .. } = &commit.action {
            let lost = lost.iter().filter_map(|range| range.facts());
            self.lost_from_journals = lost.fold(self.lost_from_journals, u64::saturating_add);
        }
        if let Action::Restore { numbers, .. } = &commit.action {
            let restored = numbers.iter().filter_map(|range| range.facts());
            self.lost_from_journals = restored.fold(self.lost_from_journals, u64::saturating_sub);
        }
        match (&mut self.state, before) {
            (None, None) => self.begin(&commit, &digest),
            (Some(state), Some(_)) if self.adds_up => {
                if let Err(why) = state.apply(&commit, digest.clone()) {
                    let expected = format!("a commit that follows commit {}", number.0.saturating_sub(1));
                    self.damaged(AnomalyKind::ChainBroken, path, expected, why);
                    self.add_loosely(&commit, &digest);
                }
            }
            (_, before) => {
                if let Some((_, parent)) = before.filter(|(before, _)| before.next() == number)
                    && !parent.is_empty()
                    && parent != commit.parent
                {
                    let found = format!("it names {}", commit.parent);
                    self.damaged(AnomalyKind::ChainBroken, path, format!("that it names {parent}"), found);
                }
                self.add_loosely(&commit, &digest);
            }
        }
        self.newest = Some((number, digest));
        if self.checkpoints.remove(&number) {
            self.compare(folder, number);
        }
    }

    fn begin(&mut self, commit: &Commit, digest: &str) {
        if let Action::Rebuild(rebuilt) = &commit.action {
            self.rebuilt = Some(rebuilt.unknown.clone());
        }
        match State::begin(commit, digest.to_owned()) {
            Ok(state) => self.state = Some(state),
            Err(_) if commit.number.0 > 0 => {
                self.missing(0..=commit.number.0 - 1);
                self.add_loosely(commit, digest);
            }
            Err(why) => {
                let path = commit_name(commit.number);
                self.damaged(AnomalyKind::ChainBroken, path, "a first commit".to_owned(), why);
                self.add_loosely(commit, digest);
            }
        }
    }

    /// The commits that belong to another store, if it is certain which store this is.
    pub(crate) fn commits_of_another_store(&self) -> &[CommitNumber] {
        let is_certain = (self.foreign.len() as u64) < self.commits / 2;
        if is_certain { &self.foreign } else { &[] }
    }

    /// Adds the data of a single commit, without a check of the sums.
    fn add_loosely(&mut self, commit: &Commit, digest: &str) {
        let head = Head { number: commit.number, blake3: digest.to_owned() };
        let state = self.state.get_or_insert_with(|| State {
            store: commit.store,
            root: commit.number,
            head: head.clone(),
            at: commit.at,
            segments: PerKind::default(),
            streams: BTreeMap::new(),
            recorded: PerKind::default(),
            dropped: BTreeMap::new(),
            lost: PerKind::default(),
            unaccounted: 0,
            unverified: Vec::new(),
            compacted_at: UnixNanos::default(),
            holds: BTreeMap::new(),
            removed: Vec::new(),
            imports: Vec::new(),
        });
        if commit.store != state.store {
            return;
        }
        state.head = head;
        for removed in commit.action.removed() {
            state.segments.iter_mut().for_each(|live| live.retain(|segment| segment.path != removed.path));
            state.removed.push(crate::ledger::Tombstone {
                path: removed.path.clone(),
                bytes: removed.bytes,
                by: commit.number,
            });
        }
        for added in commit.action.added() {
            let live = &mut state.segments[added.kind];
            if !live.iter().any(|segment| segment.path == added.path) {
                live.push(std::sync::Arc::new(added.clone()));
            }
        }
        if let Action::Flush { range, last_recorded_at, ends_stream: ended, .. }
        | Action::Salvage { range, last_recorded_at, ends_stream: ended, .. } = &commit.action
            && range.last_seq >= state.committed(range.stream)
        {
            let stream =
                Stream { committed: range.last_seq, last_recorded_at: *last_recorded_at, ended: *ended };
            state.streams.insert(range.stream, stream);
        }
    }

    /// Compares a checkpoint with the sum of the commits; after a break, the checkpoint replaces it.
    fn compare(&mut self, folder: &Path, number: CommitNumber) {
        let path = format!("ledger/{:020}.checkpoint", number.0);
        let expected = format!("the sum of the commits up to {number}");
        let file = folder.join(format!("{:020}.checkpoint", number.0));
        let anomaly = |found: String| {
            Anomaly::new(AnomalyKind::CheckpointDamaged, path.clone(), expected.clone(), found)
        };
        match std::fs::symlink_metadata(&file) {
            Ok(metadata) if metadata.is_file() => self.bytes += metadata.len(),
            // A newer one has replaced it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            // It is reported as an unknown file.
            _ => return,
        }
        match read_checkpoint(folder, number) {
            Ok(state) if !self.adds_up => {
                self.state = Some(state);
                self.adds_up = true;
                self.gaps.anywhere = true;
            }
            Ok(state) if self.state.as_ref() == Some(&state) => {}
            Ok(_) => self.anomalies.push(anomaly("another state of the store".to_owned())),
            Err(_) if !file.exists() => {}
            Err(error) => self.anomalies.push(anomaly(reason(&error))),
        }
    }

    fn look_beyond_the_head(&mut self) {
        let Some((head, _)) = &self.newest else {
            let found = "no commit can be found";
            let missing = Anomaly::new(
                AnomalyKind::CommitMissing,
                commit_name(CommitNumber(0)),
                "a first commit",
                found,
            );
            self.anomalies.push(missing);
            self.adds_up = false;
            return;
        };
        if let Some(beyond) = self.checkpoints.last().filter(|number| *number > head) {
            let mut found =
                format!("the newest commit is {head}, but there is a checkpoint of commit {beyond}");
            // A backup writes the checkpoint before the commit.
            if !is_checkpoint_due(*beyond) {
                found +=
                    "; a backup that was cut short leaves such a file, and its next run adds the commits";
            }
            let path = commit_name(head.next());
            let expected = format!("commits up to {beyond}");
            self.anomalies.push(Anomaly::new(AnomalyKind::CommitMissing, path, expected, found));
        }
    }

    fn missing(&mut self, numbers: RangeInclusive<u64>) {
        let (first, last) = (*numbers.start(), *numbers.end());
        let expected =
            if first == last { format!("commit {first}") } else { format!("commits {first} to {last}") };
        let path = commit_name(CommitNumber(first));
        self.damaged(AnomalyKind::CommitMissing, path, expected, "nothing".to_owned());
    }

    fn damaged(&mut self, kind: AnomalyKind, path: String, expected: String, found: String) {
        let mut anomaly = Anomaly::new(kind, path, expected, found);
        if self.foreign.last().is_some_and(|foreign| commit_name(*foreign) == anomaly.path) {
            anomaly = anomaly.remedy("moves the file aside: it belongs to another store".to_owned());
        }
        self.anomalies.push(anomaly);
        self.adds_up = false;
        self.gaps.anywhere = true;
    }
}

/// The path of a commit, relative to the root.
fn commit_name(number: CommitNumber) -> String {
    Side::Ledger.name(number)
}
