//! A snapshot: one stable view of the store, from the first row of a query to its last.
//!
//! It consists of the ledger at one commit, and of the tails of all streams after that commit. Facts move
//! from a tail into the ledger while a reader works. So that the reader sees each fact exactly once, a
//! snapshot is taken in this order:
//!
//! 1. this process's own buffer is noted, and all other streams' journal files are opened;
//! 2. the ledger's head is read;
//! 3. of the tails only the facts after the head are used.
//!
//! A journal file that is removed between 1 and 2 is still open, and the head that covers it is newer:
//! its facts count once. A file that appears after 1 holds only facts that were recorded after the
//! snapshot began. Of each stream, the newest file's end is noted first ([`claim::files`]), so that the
//! visible part has no gaps.
//!
//! A snapshot pins its commit with a shared lock on the commit's file. A process that deletes segments
//! first takes an exclusive lock on the commits that still name them ([`Pin`]).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Seek;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::buffer::Chunk;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Seq, StreamId};
use crate::journal::claim::{self, JournalFile};
use crate::journal::source;
use crate::journal::tail::TailReader;
use crate::ledger::{Ledger, State, is_ledger_damage, pin_commit};
use crate::recorder::Recorder;

/// How often the head may move while it is being pinned, before the snapshot fails.
const MOST_ATTEMPTS: usize = 1000;

/// The parts of a store that a snapshot reads.
#[derive(Clone, Copy)]
pub(crate) struct StoreParts<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) root: &'a Path,
    pub(crate) ledger: &'a Ledger,
    /// The recorder of this process, if it has the store open for writing.
    pub(crate) recorder: Option<&'a Recorder>,
}

/// One stable view of a store. It is cheap to share, and keeps its files from being deleted.
pub(crate) struct Snapshot {
    pub(crate) state: Arc<State>,
    /// Facts of this process that are in no segment of that state.
    own: Vec<Arc<Chunk>>,
    others: Mutex<Others>,
    /// Streams in which numbers may have been given out that are in no file.
    uncertain: BTreeSet<StreamId>,
    /// The damage that was found, in a snapshot of the readable part of a store.
    damage: Option<Mutex<Vec<Error>>>,
    _pin: Option<Pin>,
}

/// The tails of streams that other processes own, or owned.
enum Others {
    Files(Vec<StreamFiles>),
    Chunks(Vec<Arc<Chunk>>),
}

struct StreamFiles {
    stream: StreamId,
    files: Vec<OpenJournal>,
    /// The reason why its files cannot be listed.
    unlisted: Option<String>,
}

/// A journal file as it was when the snapshot was taken.
struct OpenJournal {
    /// The file and its length, or the reason why it cannot be read.
    content: Result<(File, u64), String>,
    named: JournalFile,
    same_boot: bool,
}

impl Snapshot {
    /// Takes a snapshot now.
    pub(crate) fn take(from: StoreParts<'_>) -> Result<Self> {
        let StoreParts { disk, ledger, .. } = from;
        let explain = |error| disk.explain(error);
        let tails = Tails::open(from).map_err(explain)?;
        let (state, pin) = Pin::head(ledger).map_err(explain)?;
        // If another store is at the path now, its journals would be taken for this store's.
        disk.check_place()?;
        Ok(tails.after(state, None, Some(pin)))
    }

    /// Takes a snapshot of the readable part: the known state if the ledger cannot be read, and the sound
    /// part of damaged journals.
    pub(crate) fn take_readable(from: StoreParts<'_>) -> Result<Self> {
        let StoreParts { disk, ledger, .. } = from;
        let explain = |error| disk.explain(error);
        let tails = Tails::open(from).map_err(explain)?;
        let (state, pin, damage) = match Pin::head(ledger) {
            Ok((state, pin)) => (state, Some(pin), Vec::new()),
            // Whether the store itself is in another place now is checked below.
            Err(error) if is_ledger_damage(&error) => (ledger.known(), None, vec![error]),
            Err(error) => return Err(explain(error)),
        };
        disk.check_place()?;
        Ok(tails.after(state, Some(damage), pin))
    }

    /// Notes damage in a snapshot of the readable part; in another snapshot it is an error.
    pub(crate) fn note_damage(&self, error: Error) -> Result<()> {
        match &self.damage {
            Some(damage) if error.kind() == ErrorKind::Damaged => {
                damage.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Takes out the damage that was found so far, in a snapshot of the readable part.
    pub(crate) fn take_damage(&self) -> Vec<Error> {
        let damage = self.damage.as_ref().map(|damage| damage.lock().unwrap_or_else(PoisonError::into_inner));
        damage.map_or_else(Vec::new, |mut damage| std::mem::take(&mut *damage))
    }

    /// The facts that are in no segment, in order within each stream. The first call reads the journals.
    pub(crate) fn tail(&self) -> Result<Vec<Arc<Chunk>>> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Others::Files(streams) = &mut *others {
            let mut chunks = Vec::new();
            for stream in streams {
                chunks.extend(stream.read(&self.state, self.damage.as_ref())?);
            }
            *others = Others::Chunks(chunks);
        }
        let mut all = self.own.clone();
        if let Others::Chunks(chunks) = &*others {
            all.extend(chunks.iter().cloned());
        }
        all.sort_by_key(|chunk| (chunk.stream, chunk.first));
        Ok(all)
    }

    /// Whether numbers may have been given out in this stream that are in no file: its facts were only in
    /// memory, or a power failure took them.
    pub(crate) fn may_have_lost_numbers(&self, stream: StreamId) -> bool {
        let has_ended = self.state.streams.get(&stream).is_some_and(|stream| stream.ended);
        has_ended || self.uncertain.contains(&stream)
    }

    /// The newest fact of every stream.
    pub(crate) fn newest(&self) -> Result<Vec<(StreamId, Seq)>> {
        let mut newest: std::collections::BTreeMap<_, _> =
            self.state.streams.iter().map(|(stream, known)| (*stream, known.committed)).collect();
        for chunk in self.tail()? {
            newest.insert(chunk.stream, chunk.last);
        }
        Ok(newest.into_iter().collect())
    }
}

/// The parts of a snapshot that are read before the ledger: this process's own buffer, and the open
/// journal files of all other streams.
struct Tails {
    own: Vec<Arc<Chunk>>,
    others: Vec<StreamFiles>,
    uncertain: BTreeSet<StreamId>,
}

impl Tails {
    fn open(from: StoreParts<'_>) -> Result<Self> {
        let StoreParts { disk, root, recorder, .. } = from;
        let own = recorder.map(Recorder::own_chunks).unwrap_or_default();
        let mut others = Vec::new();
        let mut uncertain = BTreeSet::new();
        for stream in claim::streams(root)? {
            if own.iter().any(|chunk| chunk.stream == stream) {
                continue;
            }
            let journals = StreamFiles::open(disk, root, stream)?;
            if journals.files.iter().any(|journal| journal.named.may_lack_numbers(disk)) {
                uncertain.insert(stream);
            }
            if !journals.files.is_empty() || journals.unlisted.is_some() {
                others.push(journals);
            }
        }
        Ok(Self { own, others, uncertain })
    }

    /// Makes the snapshot: of the tails it uses only the facts after this state.
    fn after(self, state: Arc<State>, damage: Option<Vec<Error>>, pin: Option<Pin>) -> Snapshot {
        let own = self.own.iter().filter_map(|chunk| chunk.after(state.committed(chunk.stream))).collect();
        let (others, damage) = (Mutex::new(Others::Files(self.others)), damage.map(Mutex::new));
        Snapshot { state, own, others, uncertain: self.uncertain, damage, _pin: pin }
    }
}

/// A store at one moment: one commit, pinned, and the tail of every stream at that time.
pub(crate) struct Frozen {
    pub(crate) state: Arc<State>,
    /// The facts that no segment has, by stream; also lists streams without such facts.
    pub(crate) tails: Vec<(StreamId, Vec<Arc<Chunk>>)>,
    _pin: Pin,
}

impl Frozen {
    /// Freezes the store as it is on the disk: the facts of this process are read from its journal, as
    /// those of other processes.
    pub(crate) fn take(from: StoreParts<'_>) -> Result<Self> {
        let StoreParts { disk, root, ledger, recorder } = from;
        if let Some(recorder) = recorder {
            recorder.lock().write_pending()?;
        }
        let mut streams = Vec::new();
        for stream in claim::streams(root)? {
            streams.push(StreamFiles::open(disk, root, stream)?);
        }
        let (state, pin) = Pin::head(ledger)?;
        let tails = streams.iter_mut().map(|stream| Ok((stream.stream, stream.read(&state, None)?)));
        let tails = tails.collect::<Result<_>>()?;
        disk.check_place()?;
        Ok(Self { state, tails, _pin: pin })
    }
}

impl StreamFiles {
    /// Opens a stream's journal files. Damage is reported when they are read.
    fn open(disk: &Disk, root: &Path, stream: StreamId) -> Result<Self> {
        let listed = claim::files(&claim::folder(root, stream));
        match listed.and_then(|files| open_journals(disk, files.into_iter().rev())) {
            Ok(files) => Ok(Self { stream, files, unlisted: None }),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                Ok(Self { stream, files: Vec::new(), unlisted: Some(error.to_string()) })
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the files' facts after the ledger. Damage is an error, or is added to `damage` if that is
    /// given.
    fn read(&mut self, state: &State, damage: Option<&Mutex<Vec<Error>>>) -> Result<Vec<Arc<Chunk>>> {
        let mut tail = TailReader::new(state.store, self.stream, state.committed(self.stream));
        if let Some(why) = &self.unlisted {
            note(Error::new(ErrorKind::Damaged, why.clone()), damage)?;
        }
        for journal in &mut self.files {
            let bytes = match journal.read() {
                Ok(bytes) => bytes,
                Err(error) => {
                    note(error, damage)?;
                    continue;
                }
            };
            if let Err(error) = tail.add(&journal.named.path, &bytes, journal.same_boot) {
                note(error, damage)?;
                tail.add_sound(&bytes);
            }
        }
        Ok(tail.finish())
    }
}

impl OpenJournal {
    fn read(&mut self) -> Result<Vec<u8>> {
        let (file, bytes) =
            self.content.as_mut().map_err(|why| Error::new(ErrorKind::Damaged, why.clone()))?;
        let path = &self.named.path;
        // The file may have been read before, up to the damage in another file.
        file.rewind().map_err(|error| Error::io("read the journal", path, error))?;
        source::read(file, path, *bytes)
    }
}

/// Adds damage to `damage` if that is given. Otherwise it is an error, as all other failures.
fn note(error: Error, damage: Option<&Mutex<Vec<Error>>>) -> Result<()> {
    match damage {
        Some(damage) if error.kind() == ErrorKind::Damaged => {
            damage.lock().unwrap_or_else(PoisonError::into_inner).push(error);
            Ok(())
        }
        _ => Err(error),
    }
}

/// Opens a stream's journal files, the newest first ([`claim::files`] gives the reason).
fn open_journals(
    disk: &Disk,
    newest_first: impl Iterator<Item = claim::JournalFile>,
) -> Result<Vec<OpenJournal>> {
    let mut open = Vec::new();
    for named in newest_first {
        let content = match source::open(&named.path) {
            Ok(Some(opened)) => Ok(opened),
            // Its facts are in the ledger.
            Ok(None) => continue,
            Err(error) if error.kind() == ErrorKind::Damaged => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        let same_boot = claim::same_boot(disk, &named);
        open.push(OpenJournal { content, named, same_boot });
    }
    open.reverse();
    Ok(open)
}

/// Warns once: on a file system without locks a store can be read, but a compaction in another process
/// may delete the files of a query. Then the query fails with an error.
fn say_that_nothing_is_pinned(ledger: &Path, error: &std::io::Error) {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        tracing::warn!(ledger = %ledger.display(), %error,
            "the file system has no locks: the store can be read, but a compaction may delete the files of a \
             running query, which then fails; do not compact while queries run");
    });
}

/// A shared lock on the file of a commit.
///
/// After a maintainer has removed segments from the ledger, it deletes their files only when it has an
/// exclusive lock on every commit file that still names them. A reader takes the lock, and then checks
/// that the commit is still the head. So a maintainer whose commit comes later finds the lock.
pub(crate) struct Pin {
    _file: File,
}

impl Pin {
    fn head(ledger: &Ledger) -> Result<(Arc<State>, Self)> {
        let mut state = ledger.refresh()?;
        for _ in 0..MOST_ATTEMPTS {
            let (file, no_locks) = pin_commit(ledger.folder(), state.head.number)?;
            if let Some(error) = no_locks {
                say_that_nothing_is_pinned(ledger.folder(), &error);
            }
            let now = ledger.refresh()?;
            if now.head == state.head {
                return Ok((state, Self { _file: file }));
            }
            state = now;
        }
        Err(Error::new(
            ErrorKind::Contended,
            format!("cannot pin a commit in {}: other processes keep committing", ledger.folder().display()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Event, Fact, Json, Seq};
    use crate::frame::FILE_HEADER_BYTES;
    use crate::store::Store;

    fn fact(n: u64) -> Fact<'static> {
        Event::new("s", format!("s:{n}"), "ActorStarted", Json::empty_object(), 1.0).into()
    }

    #[test]
    fn what_is_seen_is_a_beginning_of_the_stream_though_its_files_take_turns_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("facts")).unwrap();
        let journals = claim::folder(&store.context().root, StreamId(1));
        let state = store.context().ledger.refresh().unwrap();
        let newest = || claim::files(&journals).unwrap().pop().unwrap().path;
        store.record(fact(0)).unwrap();
        let first = newest();
        // The folder at two moments: first the second file is new and empty, then both files have grown.
        let at_rest = std::fs::read(&first).unwrap();
        store.record(fact(1)).unwrap();
        let with_two = std::fs::read(&first).unwrap();
        store.flush().unwrap();
        store.record(fact(2)).unwrap();
        let second = newest();
        assert_ne!(first, second);
        let with_the_third = std::fs::read(&second).unwrap();
        std::fs::write(&second, &at_rest[..FILE_HEADER_BYTES]).unwrap();
        std::fs::write(&first, at_rest).unwrap();

        let listed = claim::files(&journals).unwrap().into_iter().rev();
        let listed = listed.enumerate().map(|(n, file)| {
            if n == 1 {
                std::fs::write(&first, &with_two).unwrap();
                std::fs::write(&second, &with_the_third).unwrap();
            }
            file
        });
        let files = open_journals(&store.context().disk, listed).unwrap();
        let mut stream = StreamFiles { stream: StreamId(1), files, unlisted: None };
        let seen = stream.read(&state, None).unwrap();
        let seen: Vec<(Seq, Seq)> = seen.iter().map(|chunk| (chunk.first, chunk.last)).collect();
        assert_eq!(seen, [(Seq(1), Seq(2))]);
    }
}
