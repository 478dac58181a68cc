//! The ledger from its first commit to its head, every commit read and added up.
//!
//! Opening a store trusts its newest checkpoint. Here nothing is trusted that the commits do not
//! show: each must be there, be what was written, name the one before, and add up; and every
//! checkpoint must be what the commits come to. Where the chain breaks, this goes on with what is
//! left: from the next sound checkpoint, or, if there is none, with what the commits say one by
//! one ([`Chain::adds_up`] is false then).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use super::anomaly::{Anomaly, AnomalyKind};
use super::gaps::Gaps;
use super::inventory::{self, What};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{
    Action, Commit, CommitNumber, Head, State, Stream, commit_path, read_checkpoint, read_commit,
};

/// So many commits are read ahead, by so many threads.
const WINDOW: usize = 512;
const READERS: usize = 2;

/// What the commits come to.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// The state at the head; `None` if no commit can be read.
    pub(crate) state: Option<State>,
    /// Whether the state is what the commits add up to, and no mere guess from what is left of them.
    pub(crate) adds_up: bool,
    /// What could not be known when the ledger was rebuilt, if it was.
    pub(crate) rebuilt: Option<Vec<String>>,
    /// Facts of which a commit says that they are lost from a journal.
    pub(crate) lost_from_journals: u64,
    /// Where numbers of facts may be missing from the segments.
    pub(crate) gaps: Gaps,
    pub(crate) commits: u64,
    pub(crate) bytes: u64,
    pub(crate) anomalies: Vec<Anomaly>,
    /// The digest of the newest commit that was read.
    newest: Option<(CommitNumber, String)>,
    checkpoints: BTreeSet<CommitNumber>,
}

/// Follows the chain below this root. `seen` is told every commit's number and digest.
///
/// # Errors
/// [`ErrorKind::NewerFormat`], and files that may not be read.
pub(crate) fn walk(root: &Path, mut seen: impl FnMut(CommitNumber, &str)) -> Result<Chain> {
    let folder = root.join("ledger");
    let mut chain = Chain { adds_up: true, ..Chain::default() };
    let mut numbers = chain.list(&folder)?;
    if has_hole(&numbers) {
        // A listing beside writers is not one moment's: what came while it went on may be in it,
        // and what came before that not.
        numbers.extend(chain.list(&folder)?);
    }
    let numbers: Vec<_> = numbers.into_iter().collect();
    for window in numbers.chunks(WINDOW) {
        for (number, found) in window.iter().zip(read_all(&folder, window)) {
            chain.add(&folder, *number, found?, &mut seen);
        }
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

/// A commit's file.
enum Found {
    Commit {
        commit: Box<Commit>,
        digest: String,
        bytes: u64,
    },
    Nothing,
    /// It is something else, or damaged, in these words.
    Unsound(String),
}

fn read_all(folder: &Path, numbers: &[CommitNumber]) -> Vec<Result<Found>> {
    let each = numbers.len().div_ceil(READERS).max(64);
    let read = |numbers: &[CommitNumber]| -> Vec<_> { numbers.iter().map(|n| read(folder, *n)).collect() };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            numbers.chunks(each).map(|part| (part, scope.spawn(move || read(part)))).collect();
        let parts = threads.into_iter().map(|(part, thread)| thread.join().unwrap_or_else(|_| read(part)));
        parts.flatten().collect()
    })
}

fn read(folder: &Path, number: CommitNumber) -> Result<Found> {
    let path = commit_path(folder, number);
    let bytes = match std::fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(metadata) => return Ok(Found::Unsound(inventory::Form::of(&metadata).words().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(Error::io("look at", &path, error)),
    };
    match read_commit(&path) {
        Ok(Some((commit, digest))) => Ok(Found::Commit { commit: Box::new(commit), digest, bytes }),
        Ok(None) => Ok(Found::Nothing),
        Err(error) if error.kind() == ErrorKind::NewerFormat => Err(error),
        Err(error) => match std::fs::File::open(&path) {
            Err(denied) if denied.kind() == io::ErrorKind::PermissionDenied => Err(error),
            _ => Ok(Found::Unsound(reason(&error))),
        },
    }
}

/// What an error says of a file, without naming the file again.
fn reason(error: &Error) -> String {
    let text = error.to_string();
    text.split_once(" is damaged: ").map_or(text.as_str(), |(_, reason)| reason).to_owned()
}

impl Chain {
    /// The numbers of the commits in a ledger's folder; notes the checkpoints.
    fn list(&mut self, folder: &Path) -> Result<BTreeSet<CommitNumber>> {
        let attempt = |error| Error::io("list the ledger", folder, error);
        let mut numbers = BTreeSet::new();
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
            Err(error) => return Err(attempt(error)),
        };
        for entry in entries {
            let name = entry.map_err(attempt)?.file_name();
            match name.to_str().map(inventory::in_ledger) {
                Some(What::Commit(number)) => drop(numbers.insert(number)),
                Some(What::Checkpoint(number)) => drop(self.checkpoints.insert(number)),
                _ => {}
            }
        }
        Ok(numbers)
    }

    /// Adds what has been committed since.
    pub(crate) fn advance(&mut self, root: &Path, mut seen: impl FnMut(CommitNumber, &str)) -> Result<()> {
        let folder = root.join("ledger");
        while let Some(newest) = self.newest.as_ref().map(|(newest, _)| *newest) {
            let next = newest.next();
            if next == newest {
                break;
            }
            match read(&folder, next)? {
                Found::Nothing => break,
                found => self.add(&folder, next, found, &mut seen),
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        folder: &Path,
        number: CommitNumber,
        found: Found,
        seen: &mut impl FnMut(CommitNumber, &str),
    ) {
        let path = commit_name(number);
        let before = self.newest.take();
        if let Some((before, _)) = &before
            && before.next() != number
        {
            self.missing(before.next().0..=number.0 - 1);
        }
        self.commits += 1;
        let (commit, digest) = match found {
            Found::Commit { commit, digest, bytes } => {
                self.bytes += bytes;
                (commit, digest)
            }
            Found::Nothing => {
                self.missing(number.0..=number.0);
                self.newest = Some((number, String::new()));
                return;
            }
            Found::Unsound(what) => {
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
        seen(number, &digest);
        self.gaps.note(&commit.action);
        if let Action::Salvage { lost, .. } = &commit.action {
            let lost = lost.iter().filter_map(|range| range.facts());
            self.lost_from_journals = lost.fold(self.lost_from_journals, u64::saturating_add);
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

    /// Takes from a commit what it says by itself.
    fn add_loosely(&mut self, commit: &Commit, digest: &str) {
        let head = Head { number: commit.number, blake3: digest.to_owned() };
        let state = self.state.get_or_insert_with(|| State {
            store: commit.store,
            root: commit.number,
            head: head.clone(),
            at: commit.at,
            segments: Default::default(),
            streams: BTreeMap::new(),
            recorded: Default::default(),
            dropped: BTreeMap::new(),
            lost: Default::default(),
            unaccounted: 0,
            unverified: Vec::new(),
            compacted_at: crate::fact::UnixNanos::default(),
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
            if let Some(live) = state.segments.get_mut(added.kind.index())
                && !live.iter().any(|segment| segment.path == added.path)
            {
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

    /// A checkpoint must be what the commits add up to; after a break it takes their place.
    fn compare(&mut self, folder: &Path, number: CommitNumber) {
        let path = format!("ledger/{:020}.checkpoint", number.0);
        let expected = format!("what the commits up to {number} add up to");
        let file = folder.join(format!("{:020}.checkpoint", number.0));
        let anomaly = |found: String| {
            Anomaly::new(AnomalyKind::CheckpointDamaged, path.clone(), expected.clone(), found)
        };
        match std::fs::symlink_metadata(&file) {
            Ok(metadata) if metadata.is_file() => self.bytes += metadata.len(),
            // A newer one has taken its place.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            // Told as a stranger.
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
            let found = format!("the newest commit is {head}, and there is a checkpoint of commit {beyond}");
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
        self.anomalies.push(Anomaly::new(kind, path, expected, found));
        self.adds_up = false;
        self.gaps.anywhere = true;
    }
}

/// The path of a commit below the root.
fn commit_name(number: CommitNumber) -> String {
    format!("ledger/{:020}.json", number.0)
}
