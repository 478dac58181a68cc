//! One commit: its content and its form on disk.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use serde::{Deserialize, Serialize};

use super::action::{Action, Rebuilt};
use super::entry::EntryRange;
use super::state::State;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{FactId, Kind, Seq, StreamId, UnixNanos};

/// The version of the store's format. A store with a higher version is not opened.
pub(crate) const FORMAT: u32 = 1;

/// The random ID of a store, made when it is created: it distinguishes the files of two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct StoreId(uuid::Uuid);

impl StoreId {
    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<StoreId> for String {
    fn from(id: StoreId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for StoreId {
    type Error = uuid::Error;

    fn try_from(text: String) -> Result<Self, uuid::Error> {
        uuid::Uuid::try_parse(&text).map(Self)
    }
}

/// The most bytes of a commit. A longer file is not a commit.
const MAX_COMMIT_BYTES: u64 = 1 << 30;

/// The place of a commit in the ledger: 0, 1, 2, ….
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct CommitNumber(pub(crate) u64);

impl CommitNumber {
    /// The number after this one. The last number is followed by itself: no ledger gets there, but a file
    /// may have that name.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for CommitNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The path of a commit's file.
pub(crate) fn commit_path(folder: &Path, number: CommitNumber) -> PathBuf {
    folder.join(format!("{:020}.json", number.0))
}

/// A commit, as in its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Commit {
    pub(crate) format: u32,
    pub(crate) store: StoreId,
    pub(crate) number: CommitNumber,
    /// BLAKE3 of the file of the commit before, in hex; empty for the first.
    pub(crate) parent: String,
    /// When the commit was made, by the clock of its process.
    pub(crate) at: UnixNanos,
    /// The process that made the commit.
    pub(crate) by: String,
    #[serde(flatten)]
    pub(crate) action: Action,
}

/// A gapless range of a stream's facts, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StreamRange {
    pub(crate) stream: StreamId,
    pub(crate) first_seq: Seq,
    pub(crate) last_seq: Seq,
}

impl StreamRange {
    /// One fact.
    pub(crate) const fn of(id: FactId) -> Self {
        Self { stream: id.stream, first_seq: id.seq, last_seq: id.seq }
    }

    /// Whether a fact is in both ranges.
    pub(crate) fn touches(&self, other: &Self) -> bool {
        self.stream == other.stream && self.first_seq <= other.last_seq && other.first_seq <= self.last_seq
    }

    /// Whether a fact is in a range of both lists.
    pub(crate) fn any_touch(one: &[Self], other: &[Self]) -> bool {
        one.iter().any(|one| other.iter().any(|other| one.touches(other)))
    }

    /// The number of facts in the range. It is zero for a range that ends just before it begins, and
    /// `None` for an invalid range.
    pub(crate) fn facts(self) -> Option<u64> {
        i64::try_from(self.last_seq.0).ok()?;
        self.last_seq.next().0.checked_sub(self.first_seq.0)
    }
}

/// How much of a file was imported, recognised by its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportMark {
    /// The file's name, as information for people.
    pub(crate) name: String,
    /// Length and BLAKE3 of the file's beginning: they show whether it may be the same file.
    pub(crate) head_bytes: u64,
    pub(crate) head_blake3: String,
    /// Length and BLAKE3 of the imported part: they show whether it is the same file.
    pub(crate) bytes: u64,
    pub(crate) blake3: String,
    /// Lines in the imported part, sound and malformed ones.
    pub(crate) lines: u64,
    pub(crate) rejected: u64,
    /// The imported entries, for a source whose entries have names, such as a Redis stream. Such a source
    /// is recognised by its name and these entries, not by its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entries: Option<EntryRange>,
    /// Eight hexadecimal digits for each line of the file's beginning: those of the BLAKE3 of all bytes
    /// up to the line's end, without its line break. They recognise a shorter, earlier state of the file.
    /// Older programs did not write them, and only the newest marks keep the digits of more than 16
    /// lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) head_lines: Option<String>,
}

impl ImportMark {
    /// Whether this mark covers the entries of the other mark, of one source.
    pub(crate) fn has_entries_of(&self, other: &Self) -> bool {
        let ends = self.entries.zip(other.entries);
        ends.is_some_and(|(own, others)| self.name == other.name && own.last >= others.last)
    }
}

/// The smallest and the largest of some instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimeRange {
    pub(crate) min: UnixNanos,
    pub(crate) max: UnixNanos,
}

impl TimeRange {
    /// Extends the range to cover another one.
    pub(crate) fn cover(range: &mut Option<Self>, other: Self) {
        *range = Some(match *range {
            None => other,
            Some(range) => Self { min: range.min.min(other.min), max: range.max.max(other.max) },
        });
    }
}

/// A segment as the ledger describes it: enough to plan a query without opening it, and to check whether
/// it is still the committed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// The path relative to the store's root, `events/….parquet`.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) rows: u64,
    /// The file's size.
    pub(crate) bytes: u64,
    /// The file's digest, in hex.
    pub(crate) blake3: String,
    /// The sum of the sizes of the facts' JSON lines.
    pub(crate) fact_bytes: u64,
    /// The smallest and largest `seq` in it, of each stream.
    pub(crate) streams: Vec<StreamRange>,
    pub(crate) recorded_at: TimeRange,
    /// The range of the timestamps that have a nanosecond; `None` if no timestamp has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<TimeRange>,
    /// Rows whose timestamp has no nanosecond.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) timestamp_nulls: u64,
    /// The range of the wall times.
    pub(crate) at: TimeRange,
}

/// A fact's place in the store's order.
pub(crate) type Place = (UnixNanos, StreamId, Seq);

impl Segment {
    /// None of its facts has a place before this one.
    pub(crate) fn first_place(&self) -> Place {
        let first = self.streams.iter().map(|range| (range.stream, range.first_seq)).min();
        let (stream, seq) = first.unwrap_or((StreamId(0), Seq(0)));
        (self.recorded_at.min, stream, seq)
    }

    /// None of its facts has a place after this one.
    pub(crate) fn last_place(&self) -> Place {
        let last = self.streams.iter().map(|range| (range.stream, range.last_seq)).max();
        let (stream, seq) = last.unwrap_or((StreamId(u32::MAX), Seq(u64::MAX)));
        (self.recorded_at.max, stream, seq)
    }

    /// Whether its path is in the folder of its kind.
    pub(super) fn is_in_place(&self) -> bool {
        is_place_of(self.kind, &self.path)
    }
}

/// Whether a path is a valid path of a segment, of any kind. Readers open a path that the ledger names,
/// and a sweep deletes one that was removed.
pub(crate) fn is_segment_path(path: &str) -> bool {
    Kind::ALL.into_iter().any(|kind| is_place_of(kind, path))
}

fn is_place_of(kind: Kind, path: &str) -> bool {
    let name = path.strip_prefix(kind.folder()).and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| name.ends_with(".parquet") && !name.contains(['/', '\\']))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Commit {
    pub(crate) fn first() -> Self {
        Self {
            format: FORMAT,
            store: StoreId(uuid::Uuid::new_v4()),
            number: CommitNumber(0),
            parent: String::new(),
            at: UnixNanos::now(),
            by: author(),
            action: Action::Create,
        }
    }

    /// A commit with which the ledger of this store begins again.
    pub(crate) fn again(store: StoreId, number: CommitNumber, rebuilt: Rebuilt) -> Self {
        let action = Action::Rebuild(Box::new(rebuilt));
        Self { store, number, action, ..Self::first() }
    }

    pub(crate) fn after(state: &State, action: Action, at: UnixNanos) -> Self {
        Self {
            format: FORMAT,
            store: state.store,
            number: state.head.number.next(),
            parent: state.head.blake3.clone(),
            at,
            by: author(),
            action,
        }
    }

    /// Whether a ledger may begin with this commit.
    pub(crate) const fn begins_ledger(&self) -> bool {
        self.parent.is_empty() && matches!(self.action, Action::Create | Action::Rebuild(_))
    }

    /// The content of the commit's file: JSON whose last member is the digest of all bytes before that
    /// member.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_string_pretty(self).map_err(|error| {
            Error::with_source(ErrorKind::Internal, "cannot write a commit as JSON", error)
        })?;
        json.truncate(json.strip_suffix("\n}").map_or(0, str::len));
        let digest = digest(json.as_bytes());
        json.push_str(&format!("{CHECK}{digest}\"\n}}\n"));
        Ok(json.into_bytes())
    }
}

/// The text before a commit's last member. The head has no next commit that would name its digest.
const CHECK: &str = ",\n  \"check\": \"";

/// Whether a commit's file is unchanged.
fn is_sound(file: &[u8]) -> bool {
    let Some(at) = memchr::memmem::rfind(file, CHECK.as_bytes()) else { return false };
    let (covered, rest) = file.split_at(at);
    let check = rest.get(CHECK.len()..).and_then(|check| check.strip_suffix(b"\"\n}\n"));
    check == Some(digest(covered).as_bytes())
}

fn author() -> String {
    format!("ostracon {} (process {})", env!("CARGO_PKG_VERSION"), std::process::id())
}

/// The digest by which the next commit names a commit.
pub(crate) fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Reads a file of at most `most` bytes; `None` if it does not exist.
pub(super) fn read_file(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let attempt = |error| Error::io("read", path, error);
    let size = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        // Reading a pipe would never end.
        Ok(_) => return Err(Error::damaged(path, "it is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(attempt(error)),
    };
    if size > most {
        return Err(Error::damaged(
            path,
            format_args!("it has {size} bytes, and at most {most} are allowed"),
        ));
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(attempt(error)),
    }
}

/// Reads the bytes of a commit's file; `None` if it does not exist.
pub(super) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    read_file(path, MAX_COMMIT_BYTES)
}

/// Checks that a commit's file reads back as the commit.
pub(super) fn check_readable(commit: &Commit, bytes: &[u8]) -> Result<()> {
    let read: Result<Commit, _> = serde_json::from_slice(bytes);
    let why = match read {
        Ok(read) if read == *commit => return Ok(()),
        Ok(_) => "it reads back as another commit".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Error::new(
        ErrorKind::Internal,
        format!("a commit ({}) could not be written as JSON: {why}", commit.action.name()),
    ))
}

/// Reads a commit and its digest from one file; `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<(Commit, String)>> {
    /// The members that a program must understand of a commit of any version.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let Some(bytes) = read_bytes(path)? else { return Ok(None) };
    let not_a_commit =
        |error: serde_json::Error| Error::damaged(path, format_args!("it is not a commit: {error}"));
    let version: Version = serde_json::from_slice(&bytes).map_err(not_a_commit)?;
    if version.format > FORMAT {
        return Err(Error::new(
            ErrorKind::NewerFormat,
            format!(
                "{} has store format {}, but this program knows formats up to {FORMAT}; use a newer ostracon",
                path.display(),
                version.format
            ),
        ));
    }
    if !is_sound(&bytes) {
        return Err(Error::damaged(path, "it does not match its own digest"));
    }
    let commit: Commit = serde_json::from_slice(&bytes).map_err(not_a_commit)?;
    Ok(Some((commit, digest(&bytes))))
}
