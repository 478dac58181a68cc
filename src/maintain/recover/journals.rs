//! Reads the journal files of a stream, sound or damaged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

use super::other_copies::{Source, Sources};
use super::path_state;
use super::recovery_state::Work;
use super::segments::Damaged;
use crate::buffer::Buffer;
use crate::disk::is_unreadable;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, Seq, StreamId, codec};
use crate::frame::{FileHeader, Frame, HeaderError};
use crate::journal::append::MAX_JOURNAL_BYTES;
use crate::journal::claim;
use crate::journal::intact_frames::sound;
use crate::journal::replay::{self, Ending};
use crate::journal::source;
use crate::journal::tail::TailReader;
use crate::ledger::{StoreId, StreamRange};
use crate::segment::{is_damage, read_exact_at};

/// The unit in bytes that a disk reads, or fails to read.
const SECTOR: usize = 512;

/// A journal file, read.
pub(super) struct JournalRead {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) same_boot: bool,
    pub(super) ending: Ending,
    /// It belongs to another stream or store.
    pub(super) foreign: bool,
    /// Whether some or all of it cannot be read: zeros replace those bytes.
    pub(super) unread: bool,
}

impl JournalRead {
    /// Whether no fact was ever appended to it, as far as the file shows.
    pub(super) fn is_unused(&self) -> bool {
        self.ending == Ending::Clean && self.frames().is_empty()
    }

    /// Its facts with sound frames.
    pub(super) fn frames(&self) -> Vec<Frame<'_>> {
        if self.foreign { Vec::new() } else { sound(&self.bytes).facts }
    }
}

/// Reads a stream's journal files. They may be removed meanwhile, if the stream has an owner.
pub(super) fn read_journals(work: &Work<'_>, store: StoreId, stream: StreamId) -> Result<Vec<JournalRead>> {
    let expected = FileHeader { stream, store };
    let mut journals = Vec::new();
    for file in claim::files(&claim::folder(work.root, stream))?.into_iter().rev() {
        let Some(Readable { bytes, damage }) = Readable::of(&file.path)? else { continue };
        let foreign = match FileHeader::decode(&bytes) {
            Ok(header) => header != expected,
            Err(HeaderError::NewerFormat(version)) => {
                return Err(Error::new(
                    ErrorKind::NewerFormat,
                    format!("{} has format {version}; use a newer ostracon", file.path.display()),
                ));
            }
            // By its path it belongs to the stream.
            Err(HeaderError::Unsound) => false,
        };
        let same_boot = claim::same_boot(work.disk, &file);
        let unread = damage.is_some();
        let ending = damage.unwrap_or_else(|| replay::read(&bytes, &expected, same_boot).ending);
        journals.push(JournalRead { path: file.path, bytes, same_boot, ending, foreign, unread });
    }
    journals.reverse();
    Ok(journals)
}

/// The readable content of a journal file.
#[derive(Default)]
struct Readable {
    /// The bytes; zeros replace those that the disk cannot read.
    bytes: Vec<u8>,
    /// The place that cannot be read, and the reason.
    damage: Option<Ending>,
}

impl Readable {
    /// Reads a file; `None` if the name does not exist.
    fn of(path: &Path) -> Result<Option<Self>> {
        let (file, size) = match source::open(path) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Damaged && !is_long(path) => {
                return Ok(Some(Self { bytes: Vec::new(), damage: Some(damage(0, error.to_string())) }));
            }
            Err(error) => return Err(error),
        };
        match source::read(&file, path, size) {
            Ok(bytes) => Ok(Some(Self { bytes, damage: None })),
            Err(error) if error.kind() == ErrorKind::Damaged => Self::around(&file, path, size).map(Some),
            Err(error) => Err(error),
        }
    }

    /// Reads a file, and skips the bytes that the disk cannot read.
    fn around(file: &File, path: &Path, size: u64) -> Result<Self> {
        let attempt = |error| Error::io("read the journal", path, error);
        let size = usize::try_from(size).map_err(|_| attempt(io::ErrorKind::OutOfMemory.into()))?;
        let mut read = Self::default();
        read.bytes.try_reserve_exact(size).map_err(|_| attempt(io::ErrorKind::OutOfMemory.into()))?;
        read.bytes.resize(size, 0);
        let mut offset = 0;
        for sector in read.bytes.chunks_mut(SECTOR) {
            match read_exact_at(file, sector, offset as u64) {
                Ok(()) => {}
                // A live writer does not shorten its files.
                Err(error) if is_unreadable(&error) || error.kind() == io::ErrorKind::UnexpectedEof => {
                    sector.fill(0);
                    read.damage.get_or_insert_with(|| damage(offset, error.to_string()));
                }
                Err(error) => return Err(attempt(error)),
            }
            offset += sector.len();
        }
        Ok(read)
    }
}

fn damage(offset: usize, reason: String) -> Ending {
    Ending::Damaged { offset, reason }
}

/// Whether a file has more bytes than any writer writes. Its content is unknown, and it is left alone.
fn is_long(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > MAX_JOURNAL_BYTES)
}

/// Journal files of the stream that were kept aside: their frames count as those of others.
pub(super) fn read_kept(work: &Work<'_>, store: StoreId, stream: StreamId) -> Result<Vec<JournalRead>> {
    let mut journals = Vec::new();
    let expected = FileHeader { stream, store };
    for path in kept_journals(work)? {
        // A store's quarantine may hold any kind of file.
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if is_damage(&error) => continue,
            Err(error) => return Err(Error::io("read the journal", &path, error)),
        };
        if FileHeader::decode(&bytes).is_ok_and(|header| header == expected) {
            let ending = replay::read(&bytes, &expected, true).ending;
            journals.push(JournalRead {
                path,
                bytes,
                same_boot: true,
                ending,
                foreign: false,
                unread: false,
            });
        }
    }
    Ok(journals)
}

/// Files in quarantine that were journals.
fn kept_journals(work: &Work<'_>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = work.aside.folders();
    while let Some(folder) = folders.pop() {
        for (path, metadata) in path_state::entries(&folder)? {
            let is_journal = path.file_name().is_some_and(|name| name.to_string_lossy().contains(".journal"));
            if metadata.is_dir() {
                if !path.is_symlink() {
                    folders.push(path);
                }
            } else if metadata.is_file() && is_journal && metadata.len() <= MAX_JOURNAL_BYTES {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The journals that may hold facts of a segment: those of its streams, and those that were kept aside.
pub(super) fn sources(work: &Work<'_>, damaged: &Damaged<'_>) -> Result<Sources> {
    let Damaged { state, segment, others, .. } = damaged;
    let mut known = others.clone();
    let mut all = Vec::new();
    for range in &segment.streams {
        let journals = read_all(work, state.store, range.stream)?;
        let frames = frames_of(&journals, *range);
        for seq in frames.keys() {
            known.insert(range.stream, *seq);
        }
        if frames.values().any(|frame| codec::kind_of(frame.body) == Some(segment.kind)) {
            all.push(Source::Journals(*range));
        }
    }
    let hold_everything = segment.streams.iter().all(|range| known.gaps(*range).is_empty());
    Ok(Sources { all, hold_everything, name: "journals" })
}

/// Visits the facts of a kind in this range that the stream's journals have, as rows.
pub(super) fn read_rows(
    work: &Work<'_>,
    store: StoreId,
    range: StreamRange,
    kind: Kind,
    visit: &mut dyn FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let journals = read_all(work, store, range.stream)?;
    let mut buffer = Buffer::new(range.stream);
    for (seq, frame) in frames_of(&journals, range) {
        if codec::kind_of(frame.body) == Some(kind) {
            buffer.push(seq, frame.raw);
        }
    }
    for chunk in buffer.seal() {
        if let Some(rows) = chunk.rows(kind) {
            visit(&rows.batch)?;
        }
    }
    Ok(())
}

fn read_all(work: &Work<'_>, store: StoreId, stream: StreamId) -> Result<Vec<JournalRead>> {
    let mut journals = read_journals(work, store, stream)?;
    journals.extend(read_kept(work, store, stream)?);
    Ok(journals)
}

/// The frames of the facts in a range, each once.
fn frames_of(journals: &[JournalRead], range: StreamRange) -> BTreeMap<Seq, Frame<'_>> {
    let mut frames = BTreeMap::new();
    for frame in journals.iter().flat_map(JournalRead::frames) {
        if range.first_seq <= frame.seq && frame.seq <= range.last_seq {
            frames.entry(frame.seq).or_insert(frame);
        }
    }
    frames
}

/// Whether the next opening of the store finds these files sound.
pub(super) fn is_sound(journals: &[JournalRead], store: StoreId, stream: StreamId, committed: Seq) -> bool {
    let mut tail = TailReader::new(store, stream, committed);
    journals.iter().all(|journal| {
        journal.ending == Ending::Clean && tail.add(&journal.path, &journal.bytes, journal.same_boot).is_ok()
    })
}

/// The stream whose journal a path is in.
pub(super) fn stream_of(path: &str) -> Option<StreamId> {
    let mut parts = path.strip_prefix("journal/")?.split('/');
    parts.next()?.parse().ok().map(StreamId)
}
