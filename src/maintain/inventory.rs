//! Classifies every file in a store.
//!
//! A file that the ledger does not name is not part of the store. But that does not mean that it may be
//! deleted: a crash, a copy or another program may have left it. [`list()`] lists all entries without
//! opening anything. [`Inventory::of`] classifies each entry ([`What`]), from its name and from the data
//! of the ledger and the journals ([`ExpectedFiles`]). It reads no file.
//!
//! A segment that no commit names is judged by its facts ([`Standing`]). A flush must continue after the
//! facts that the ledger covers. So a segment whose facts are covered can never be committed: it is
//! debris. If its facts are still in a journal, a segment will be written for them again. Any other
//! segment may be the only place of its facts, unless it belongs to an import that was cut short, which
//! its second name shows ([`origin`](crate::segment)).

mod list;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use list::LINK;
pub(crate) use list::{Entry, Form, list, name};
pub(super) use list::{is_absent, is_file, look_at};

use super::lock::LOCK;
use crate::consume::{self, StateName};
use crate::error::{Error, Result};
use crate::fact::{Kind, Seq, StreamId};
use crate::journal::claim::{self, JournalName, stream_of};
use crate::ledger::{COPY_FOLDER, CommitNumber, State, StreamRange};
pub(crate) use crate::segment::range_of;
use crate::settings;
use crate::store_folder::{CONSUMERS, is_foreign};

/// The class of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// One of the folders that every store has.
    Folder,
    /// A link in the place of such a folder. A user has moved the folder, and the store follows
    /// the link; a listing does not.
    LinkedFolder,
    /// `ostracon.toml`, and an editor's files beside it.
    Settings,
    Commit(CommitNumber),
    /// The second file of a commit.
    CommitCopy(CommitNumber),
    Checkpoint(CommitNumber),
    /// The lock of a process that maintains the store.
    MaintenanceLock,
    /// A segment that is part of the store.
    Live(Kind),
    /// A segment that a commit removed; it stays until no reader needs it.
    Removed(Kind),
    /// A segment that no commit names.
    Uncommitted {
        kind: Kind,
        /// The ranges of facts in its name; empty if the name has none.
        ranges: Vec<StreamRange>,
        standing: Standing,
    },
    StreamFolder(StreamId),
    /// The lock of the process that owns the stream.
    StreamLock(StreamId),
    Journal(StreamId, JournalName),
    /// A file that was not finished, or whose second name was not removed: it is not part of the store.
    Temporary {
        /// The stream of its owner, if its name has one. A live owner may still be writing it.
        stream: Option<StreamId>,
    },
    /// A state of a consumer group.
    ConsumerGroup(StateName),
    /// The lock of a process that changes a consumer group.
    ConsumerGroupLock,
    /// A file that was moved aside.
    Quarantine,
    /// A dot file, or another name that other programs leave everywhere.
    Hidden,
    /// A file or a folder of the user, beside the store's own. It does no harm.
    Foreign,
    /// A file that does not belong into a store; the text says what belongs there.
    Stranger(&'static str),
}

/// The other places of the facts of a segment that no commit names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The ledger covers their numbers: the segment can never be committed.
    Covered,
    /// Facts that the ledger does not cover are in a journal.
    Journaled,
    /// No other place is known.
    Unknown,
}

/// The files and facts that the ledger and the journals name.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpectedFiles<'a> {
    live: HashSet<&'a str>,
    removed: HashSet<&'a str>,
    committed: BTreeMap<StreamId, Seq>,
    journaled: BTreeMap<StreamId, Vec<(Seq, Seq)>>,
}

impl<'a> ExpectedFiles<'a> {
    /// The files and facts that the ledger names.
    pub(crate) fn of(state: &'a State) -> Self {
        let live = state.segments.iter().flatten();
        Self {
            live: live.map(|segment| segment.path.as_str()).collect(),
            removed: state.removed.iter().map(|tombstone| tombstone.path.as_str()).collect(),
            committed: state.streams.iter().map(|(stream, known)| (*stream, known.committed)).collect(),
            journaled: BTreeMap::new(),
        }
    }

    /// The readable part of a damaged ledger: it may not name all live segments.
    pub(crate) fn guess(state: &'a State) -> Self {
        Self { committed: BTreeMap::new(), ..Self::of(state) }
    }

    /// Adds paths of live segments.
    pub(crate) fn add_live(&mut self, paths: impl Iterator<Item = &'a str>) {
        self.live.extend(paths);
    }

    /// Whether this is the path of a live segment.
    pub(crate) fn is_live(&self, path: &str) -> bool {
        self.live.contains(path)
    }

    /// Adds facts of a stream that can be read from a journal file.
    pub(crate) fn add_journaled(&mut self, stream: StreamId, first: Seq, last: Seq) {
        let ranges = self.journaled.entry(stream).or_default();
        ranges.push((first, last));
        ranges.sort_unstable();
    }

    /// Returns which other places have the facts in these ranges.
    pub(crate) fn standing(&self, ranges: &[StreamRange]) -> Standing {
        let beyond: Vec<_> =
            ranges.iter().filter(|range| range.last_seq > self.committed(range.stream)).collect();
        if ranges.is_empty() || ranges.iter().any(|range| range.facts().is_none()) {
            Standing::Unknown
        } else if beyond.is_empty() {
            Standing::Covered
        } else if beyond.into_iter().all(|range| self.is_journaled(*range)) {
            Standing::Journaled
        } else {
            Standing::Unknown
        }
    }

    /// Whether the ledger or a journal has facts with some numbers in these ranges.
    pub(crate) fn has_some(&self, ranges: &[StreamRange]) -> bool {
        ranges.iter().any(|range| {
            let mut journaled = self.journaled.get(&range.stream).into_iter().flatten();
            range.first_seq <= self.committed(range.stream)
                || journaled.any(|(first, last)| *first <= range.last_seq && range.first_seq <= *last)
        })
    }

    fn committed(&self, stream: StreamId) -> Seq {
        self.committed.get(&stream).copied().unwrap_or_default()
    }

    /// Whether the facts of this range that the ledger does not cover are in journals.
    fn is_journaled(&self, range: StreamRange) -> bool {
        let mut reached = self.committed(range.stream).max(Seq(range.first_seq.0.saturating_sub(1)));
        for (first, last) in self.journaled.get(&range.stream).into_iter().flatten() {
            if *first <= reached.next() {
                reached = reached.max(*last);
            }
        }
        reached >= range.last_seq
    }
}

/// An entry, and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) entry: Entry,
    pub(crate) what: What,
}

/// All entries in a store's folders, with their classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    pub(crate) items: Vec<Item>,
}

impl Inventory {
    /// Classifies these entries.
    pub(crate) fn of(entries: Vec<Entry>, known: &ExpectedFiles<'_>) -> Self {
        let items = entries.into_iter().map(|entry| Item { what: what(&entry, known), entry });
        Self { items: items.collect() }
    }
}

/// Classifies this entry by its name.
fn what(entry: &Entry, known: &ExpectedFiles<'_>) -> What {
    let path = entry.name();
    let (folder, name) = path.split_once('/').unwrap_or(("", path.as_str()));
    // A name that is not text is not a name of the store.
    let name = if entry.path.to_str().is_some() { name } else { "?" };
    let found = match folder {
        "" => in_root(name, entry.form),
        "ledger" => in_ledger(name),
        COPY_FOLDER => in_copies(name),
        "journal" => in_journal(name),
        CONSUMERS => in_consumers(name),
        _ => match Kind::ALL.into_iter().find(|kind| kind.folder() == folder) {
            Some(kind) => in_segments(kind, name, &path, known),
            None => What::Stranger("no file of this name"),
        },
    };
    let wanted = match found {
        What::Folder | What::StreamFolder(_) | What::Quarantine => Form::Folder,
        // Any kind of entry with this name belongs to the user.
        What::Settings | What::Hidden | What::Foreign | What::Stranger(_) => return found,
        _ => Form::File,
    };
    match (entry.form == wanted, wanted) {
        (true, _) => found,
        (false, Form::Folder) if folder.is_empty() && entry.form == LINK => What::LinkedFolder,
        (false, Form::Folder) => What::Stranger("a folder of the store"),
        (false, _) => What::Stranger("a file of the store"),
    }
}

fn in_root(name: &str, form: Form) -> What {
    match name {
        "quarantine" => What::Quarantine,
        "ledger" | COPY_FOLDER | "journal" | "events" | "audits" | "dead_letters" | CONSUMERS => What::Folder,
        settings::FILE => What::Settings,
        _ if is_foreign(name) => What::Hidden,
        _ => match name.strip_prefix(settings::FILE) {
            Some(rest) if rest.strip_suffix(".tmp").is_some() => What::Temporary { stream: None },
            Some(_) if form == Form::File => What::Settings,
            _ => What::Foreign,
        },
    }
}

pub(super) fn in_ledger(name: &str) -> What {
    if name == LOCK {
        return What::MaintenanceLock;
    }
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    let number = stem.parse().ok().filter(|_| digits).map(CommitNumber);
    match (number, extension) {
        (Some(number), "json") => What::Commit(number),
        (Some(number), "checkpoint") => What::Checkpoint(number),
        (None, "tmp") => What::Temporary { stream: None },
        _ if is_foreign(name) => What::Hidden,
        _ => What::Stranger("commits and checkpoints"),
    }
}

fn in_copies(name: &str) -> What {
    match in_ledger(name) {
        What::Commit(number) => What::CommitCopy(number),
        What::Checkpoint(_) | What::MaintenanceLock | What::Stranger(_) => {
            What::Stranger("copies of commits")
        }
        what => what,
    }
}

fn in_consumers(name: &str) -> What {
    match StateName::parse(name) {
        Some(name) => What::ConsumerGroup(name),
        None if is_lock_of_group(name) => What::ConsumerGroupLock,
        None if name.strip_suffix(".tmp").is_some() => What::Temporary { stream: None },
        None if is_foreign(name) => What::Hidden,
        None => What::Stranger("states of consumer groups"),
    }
}

/// Whether this is a group's lock: `events.shippers.lock`, beside
/// `events.shippers.00000000000000000042.json`.
fn is_lock_of_group(name: &str) -> bool {
    let state = name.strip_suffix(consume::LOCK).map(|stem| format!("{stem}{:020}.json", 1));
    state.is_some_and(|state| StateName::parse(&state).is_some())
}

fn in_journal(name: &str) -> What {
    let (folder, file) = match name.split_once('/') {
        Some((folder, file)) => (folder, Some(file)),
        None => (name, None),
    };
    let Some(stream) = stream_of(folder) else {
        return if is_foreign(name) { What::Hidden } else { What::Stranger("folders of streams") };
    };
    match file {
        None => What::StreamFolder(stream),
        Some("lock") => What::StreamLock(stream),
        Some(file) => match JournalName::parse(file) {
            Some(name) => What::Journal(stream, name),
            None if is_foreign(file) => What::Hidden,
            None if file.strip_suffix(".tmp").is_some() => What::Temporary { stream: Some(stream) },
            None => What::Stranger("journal files"),
        },
    }
}

fn in_segments(kind: Kind, name: &str, path: &str, known: &ExpectedFiles<'_>) -> What {
    if let Some(stem) = name.strip_suffix(".tmp") {
        return What::Temporary { stream: range_of(stem).map(|range| range.stream) };
    }
    if known.live.contains(path) {
        return What::Live(kind);
    }
    if known.removed.contains(path) {
        return What::Removed(kind);
    }
    match name.strip_suffix(".parquet") {
        Some(stem) if !stem.starts_with('.') => {
            let ranges: Vec<_> = range_of(stem).into_iter().collect();
            What::Uncommitted { kind, standing: known.standing(&ranges), ranges }
        }
        _ if is_foreign(name) => What::Hidden,
        _ => What::Stranger("segments"),
    }
}

/// Whether a process owns this stream. Nothing is created or written: a lock file that does not exist
/// means that no process owns it.
///
/// A lock can only be tested by taking it, so for an instant this holds a shared lock on a stream without
/// an owner. A writer that opens in that instant sees the stream as owned, and uses another one. The
/// stream's journal stays readable, and the next writer flushes it. So this is called only if there is a
/// file that an owner may be making: never in a store at rest.
pub(crate) fn is_owned(root: &Path, stream: StreamId) -> Result<bool> {
    let path = claim::folder(root, stream).join("lock");
    let attempt = |error| Error::io("check the lock", &path, error);
    if !is_file(&path)? {
        return Ok(false);
    }
    let file = std::fs::File::open(&path).map_err(attempt)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(std::fs::TryLockError::WouldBlock) => Ok(true),
        // If locks do not work, the owner is unknown: then another process may own the stream.
        Err(std::fs::TryLockError::Error(error)) if crate::system_failures::has_no_locks(&error) => Ok(true),
        Err(std::fs::TryLockError::Error(error)) => Err(attempt(error)),
    }
}

#[cfg(test)]
mod tests;
