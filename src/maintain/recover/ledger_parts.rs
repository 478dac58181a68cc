//! Combines the readable parts of a broken ledger, as far as possible.
//!
//! The longest certain state is at the beginning: the chain of commits from the first one up to the
//! damage, or a sound checkpoint, whichever reaches further. Every later commit that can be read is then
//! trusted alone, though commits before it are missing. Each has its own digest, so its content is what
//! was written; the missing commits are listed as unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, PerKind, Seq, StreamId};
use crate::ledger::{
    Action, Commit, CommitNumber, Dropped, Hold, ImportMark, LossyRepair, Lost, LostNumbers, Removed,
    Segment, State, StoreId, Stream, Tombstone, Total, Unverified, copy_folder, is_segment_path,
    list_commits, read_commit, read_lone_checkpoint,
};
use crate::maintain::coverage::Coverage;

/// The known data of a store whose ledger is broken.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) store: Option<StoreId>,
    /// The highest number of a commit or a checkpoint.
    pub(super) highest: Option<CommitNumber>,
    /// Segments that should be live, the oldest first.
    pub(super) live: Vec<Segment>,
    /// Segments that a readable commit has removed, by path.
    pub(super) removed: BTreeMap<String, Removed>,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    pub(super) dropped: Vec<Dropped>,
    pub(super) lost: Vec<Lost>,
    pub(super) unverified: Vec<Unverified>,
    pub(super) holds: BTreeMap<String, Hold>,
    pub(super) imports: Vec<ImportMark>,
    pub(super) lossy_repairs: Vec<LossyRepair>,
    pub(super) lost_numbers: LostNumbers,
    pub(super) unknown: Vec<String>,
    /// Numbers that were known before to belong to no recorded fact.
    pub(super) unaccounted: u64,
    /// Facts whose flush or salvage is known.
    pub(super) flushed: Coverage,
}

/// The files of a ledger, by number.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Numbers of commits: of their own files, and of copies.
    pub(super) commits: BTreeSet<CommitNumber>,
    pub(super) checkpoints: BTreeSet<CommitNumber>,
}

impl Files {
    pub(super) fn list(folder: &Path) -> Result<Self> {
        let mut files = Self { commits: list_commits(&copy_folder(folder))?, ..Self::default() };
        let attempt = |error| Error::io("list the ledger", folder, error);
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
            Err(error) => return Err(attempt(error)),
        };
        for entry in entries {
            let name = entry.map_err(attempt)?.file_name();
            let Some((stem, extension)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            let number = stem.parse().ok().filter(|_| stem.len() == 20).map(CommitNumber);
            match (number, extension) {
                (Some(number), "json") => files.commits.insert(number),
                (Some(number), "checkpoint") => files.checkpoints.insert(number),
                _ => false,
            };
        }
        Ok(files)
    }

    pub(super) fn highest(&self) -> Option<CommitNumber> {
        self.commits.last().max(self.checkpoints.last()).copied()
    }
}

/// Reads a commit's file; the inner error says why it cannot be used. If a newer program wrote it, that
/// is an error: this program must not rebuild such a ledger.
fn read(folder: &Path, number: CommitNumber) -> Result<Result<(Commit, String), String>> {
    match read_commit(folder, number) {
        Ok(Some((commit, _))) if commit.number != number => {
            Ok(Err(format!("it calls itself commit {}", commit.number)))
        }
        Ok(Some(found)) => Ok(Ok(found)),
        Ok(None) => Ok(Err("it is missing".to_owned())),
        Err(error) if error.kind() == ErrorKind::Damaged => Ok(Err("it is damaged".to_owned())),
        Err(error) => Err(error),
    }
}

/// The number of a commit with which the ledger began again, if the commits from there on are sound, and
/// commits before it are still there: a rebuild that was not finished.
pub(super) fn unfinished_rebuild(folder: &Path, files: &Files) -> Result<Option<CommitNumber>> {
    let mut later = Vec::new();
    for number in files.commits.iter().rev() {
        let Ok((commit, digest)) = read(folder, *number)? else { return Ok(None) };
        if matches!(commit.action, Action::Rebuild(_)) {
            let before = files.commits.range(..number).next().is_some();
            let Ok(mut state) = State::begin(&commit, digest) else { return Ok(None) };
            let sound = later
                .iter()
                .rev()
                .all(|(commit, digest): &(Commit, String)| state.apply(commit, digest.clone()).is_ok());
            return Ok(sound.then_some(*number).filter(|_| before));
        }
        later.push((commit, digest));
    }
    Ok(None)
}

impl Evidence {
    /// Collects the data that the ledger in this folder still has.
    pub(super) fn gather(folder: &Path) -> Result<Self> {
        let files = Files::list(folder)?;
        let mut evidence = Self { highest: files.highest(), ..Self::default() };
        let certain = certain(folder, &files)?;
        let mut commits = BTreeMap::new();
        let mut unreadable = Vec::new();
        let mut next = files.commits.first().copied().unwrap_or_default();
        for number in files.commits.iter().copied() {
            if number.0 == next.0 + 1 {
                unreadable.push((next, format!("what commit {next} did: it is missing")));
            } else if number > next {
                let last = CommitNumber(number.0 - 1);
                unreadable.push((last, format!("what commits {next} to {last} did: they are missing")));
            }
            next = CommitNumber(number.0.saturating_add(1));
            match read(folder, number)? {
                Ok((commit, _)) => drop(commits.insert(number, commit)),
                Err(why) => unreadable.push((number, format!("what commit {number} did: {why}"))),
            }
        }
        evidence.store = certain.as_ref().map(|state| state.store).or_else(|| most_common(&commits));
        if let Some(state) = &certain {
            evidence.begin(state);
        } else if commits.first_key_value().is_some_and(|(number, _)| number.0 > 0) {
            evidence.unknown.push("what the first commits did: they are gone".to_owned());
        }
        let known = certain.map(|state| state.head.number);
        let unreadable = unreadable.into_iter().filter(|(number, _)| Some(*number) > known);
        evidence.unknown.extend(unreadable.map(|(_, what)| what));
        for (number, commit) in &commits {
            if evidence.store.is_some_and(|store| store != commit.store) {
                evidence
                    .unknown
                    .push(format!("what commit {number} did: its file is a commit of another store"));
                continue;
            }
            LossyRepair::add_commit(&mut evidence.lossy_repairs, commit);
            evidence.lost_numbers.add_commit(commit);
            if Some(*number) > known {
                evidence.add(commit);
            } else {
                evidence.note_removed(commit);
            }
        }
        // A commit that cannot be read may have restored facts that a salvage lost.
        let mut lost = Coverage::default();
        lost.add_all(&evidence.lost_numbers.ranges());
        let flushed = std::mem::take(&mut evidence.flushed).ranges();
        for range in flushed {
            evidence.flushed.add_all(&lost.gaps(range));
        }
        let live: BTreeSet<_> = evidence.live.iter().map(|segment| segment.path.clone()).collect();
        evidence.removed.retain(|path, _| !live.contains(path));
        Ok(evidence)
    }

    fn begin(&mut self, state: &State) {
        let mut live: Vec<_> = state.segments.iter().flatten().map(|segment| (**segment).clone()).collect();
        live.sort_by_key(|segment| segment.recorded_at.max);
        self.live = live;
        for Tombstone { path, bytes, by } in state.removed.iter().cloned() {
            self.removed.insert(path.clone(), Removed { path, bytes, by, proof: None });
        }
        self.streams.clone_from(&state.streams);
        for (stream, known) in &state.streams {
            self.flushed.add(*stream, Seq(1), known.committed);
        }
        for (rule, totals) in &state.dropped {
            for (kind, total) in nonzero(totals) {
                self.dropped.push(Dropped { rule: rule.clone(), kind, total });
            }
        }
        for (kind, total) in nonzero(&state.lost) {
            self.lost.push(Lost { kind, total, within: Vec::new() });
        }
        self.unaccounted = state.unaccounted;
        self.unverified.clone_from(&state.unverified);
        self.holds.clone_from(&state.holds);
        self.imports.clone_from(&state.imports);
    }

    /// Notes the segments that a commit removed, and, if the ledger began again with it, those that
    /// earlier commits had removed.
    fn note_removed(&mut self, commit: &Commit) {
        let own = commit.action.removed().iter().map(|segment| Removed::of(segment, commit.number));
        let taken_over = match &commit.action {
            Action::Rebuild(rebuilt) => rebuilt.removed.as_slice(),
            _ => &[],
        };
        // Commits that nothing confirms are among them, and the files that they name are deleted later.
        let in_place = |removed: &Removed| is_segment_path(&removed.path);
        for removed in own.chain(taken_over.iter().cloned()).filter(in_place) {
            self.removed.insert(removed.path.clone(), removed);
        }
    }

    /// Removes facts that a repair restored from the lost ones.
    fn restore(&mut self, found: &Lost) {
        let mut rest = found.total;
        // A state has only the sum of the losses.
        for lost in self.lost.iter_mut().filter(|lost| lost.kind == found.kind) {
            let facts = lost.total.facts.min(rest.facts);
            let bytes = lost.total.bytes.min(rest.bytes);
            lost.total = Total { facts: lost.total.facts - facts, bytes: lost.total.bytes - bytes };
            rest = Total { facts: rest.facts - facts, bytes: rest.bytes - bytes };
        }
        self.lost.retain(|lost| lost.total != Total::default());
    }

    /// Adds a commit without a check of the commits before it.
    fn add(&mut self, commit: &Commit) {
        if let Some(range) = commit.action.range() {
            let known = self.streams.get(&range.stream);
            let (last_recorded_at, ended) = match &commit.action {
                Action::Flush { last_recorded_at, ends_stream, .. }
                | Action::Salvage { last_recorded_at, ends_stream, .. } => (*last_recorded_at, *ends_stream),
                _ => Default::default(),
            };
            let stream = Stream {
                committed: known.map_or(range.last_seq, |known| known.committed.max(range.last_seq)),
                last_recorded_at: known
                    .map_or(last_recorded_at, |known| known.last_recorded_at.max(last_recorded_at)),
                ended: ended || known.is_some_and(|known| known.ended),
            };
            self.streams.insert(range.stream, stream);
            self.flushed.add(range.stream, range.first_seq, range.last_seq);
        }
        let removed: BTreeSet<_> =
            commit.action.removed().iter().map(|segment| segment.path.clone()).collect();
        // A file that was put back has its facts under a new name, also if the repair that lost them
        // cannot be read.
        let is_restored = |segment: &Segment| {
            let found = matches!(&commit.action, Action::Repair { found, .. } if !found.is_empty());
            found && commit.action.added().iter().any(|added| added.blake3 == segment.blake3)
        };
        self.live.retain(|segment| !removed.contains(&segment.path) && !is_restored(segment));
        self.note_removed(commit);
        self.live.extend(commit.action.added().iter().cloned());
        self.dropped.extend(commit.action.dropped().iter().cloned());
        match &commit.action {
            Action::Flush { import: Some(mark), .. } => self.imports.push(mark.clone()),
            Action::Repair { lost, found, proven, unverified, .. } => {
                self.lost.extend(lost.iter().cloned());
                for found in found {
                    self.restore(found);
                }
                self.unverified.retain(|known| !proven.contains(known));
                self.unverified.extend(unverified.iter().cloned());
            }
            Action::Salvage { unverified, lost, imports, .. } => {
                self.imports.extend(imports.iter().cloned());
                self.unverified.extend(unverified.iter().cloned());
                self.unaccounted += lost.iter().filter_map(|range| range.facts()).sum::<u64>();
            }
            Action::Restore { numbers, .. } => {
                let facts = numbers.iter().filter_map(|range| range.facts()).sum::<u64>();
                self.unaccounted = self.unaccounted.saturating_sub(facts);
            }
            Action::Hold { name, hold } => drop(self.holds.insert(name.clone(), hold.clone())),
            Action::Release { name, .. } => drop(self.holds.remove(name)),
            Action::Rebuild(rebuilt) => {
                self.flushed = Coverage::default();
                for (stream, known) in &rebuilt.streams {
                    self.flushed.add(*stream, Seq(1), known.committed);
                }
                self.live.clone_from(&rebuilt.add);
                self.streams = rebuilt.streams.iter().copied().collect();
                self.dropped.clone_from(&rebuilt.dropped);
                self.lost.clone_from(&rebuilt.lost);
                self.unverified.clone_from(&rebuilt.unverified);
                self.holds.clone_from(&rebuilt.holds);
                self.imports.clone_from(&rebuilt.imports);
            }
            _ => {}
        }
    }
}

/// The last certain state: by the chain, or by a checkpoint.
fn certain(folder: &Path, files: &Files) -> Result<Option<State>> {
    let numbers: Vec<_> = files.commits.iter().copied().collect();
    let (mut state, followed) = follow(folder, &numbers)?;
    if followed < numbers.len() {
        // The last commit was tried on the state, which cannot be used since then.
        state = follow(folder, numbers.get(..followed).unwrap_or_default())?.0;
    }
    for number in files.checkpoints.iter().rev() {
        if state.as_ref().is_some_and(|state| state.head.number >= *number) {
            break;
        }
        let path = folder.join(format!("{:020}.checkpoint", number.0));
        if let Ok(found) = read_lone_checkpoint(&path)
            && found.head.number == *number
            && state.as_ref().is_none_or(|state| state.store == found.store)
        {
            return Ok(Some(found));
        }
    }
    Ok(state)
}

/// Follows the chain, and returns how many of the commits belong to it.
fn follow(folder: &Path, numbers: &[CommitNumber]) -> Result<(Option<State>, usize)> {
    let mut state: Option<State> = None;
    for (followed, number) in numbers.iter().enumerate() {
        let Ok((commit, digest)) = read(folder, *number)? else { return Ok((state, followed)) };
        let follows = match &mut state {
            None => State::begin(&commit, digest).map(|begun| state = Some(begun)).is_ok(),
            Some(state) => state.apply(&commit, digest).is_ok(),
        };
        if !follows {
            return Ok((state, followed));
        }
    }
    Ok((state, numbers.len()))
}

fn most_common(commits: &BTreeMap<CommitNumber, Commit>) -> Option<StoreId> {
    let mut counts: Vec<(StoreId, u64)> = Vec::new();
    for commit in commits.values() {
        match counts.iter_mut().find(|(store, _)| *store == commit.store) {
            Some((_, count)) => *count += 1,
            None => counts.push((commit.store, 1)),
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(store, _)| store)
}

fn nonzero(totals: &PerKind<Total>) -> impl Iterator<Item = (Kind, Total)> {
    Kind::ALL.into_iter().zip(*totals).filter(|(_, total)| *total != Total::default())
}
