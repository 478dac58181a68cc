//! A snapshot: one stable view of the store, from a query's first row to its last.
//!
//! It consists of the ledger at one commit, and of the tails of all streams behind it. Facts go
//! from a tail into the ledger while somebody looks; so that none is seen twice or not at all, a
//! snapshot is taken in this order:
//!
//! 1. this process's own buffer is noted, and all other streams' journal files are opened;
//! 2. the ledger's head is read;
//! 3. of the tails only what lies behind the head counts.
//!
//! A journal file that is removed between 1 and 2 is still open, and the head that covers it is
//! newer: its facts count once. One that appears after 1 holds only facts recorded after the
//! snapshot began. Of each stream, the newest file's end is noted first ([`claim::files`]), so that
//! what is seen of it is a beginning of what there is.
//!
//! A snapshot pins its commit with a shared lock on the commit's file. Whoever deletes segments
//! first asks for an exclusive lock on the commits that still name them ([`Pin`]).

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::adopt::TailReader;
use crate::buffer::Chunk;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::fact::{Seq, StreamId};
use crate::journal::claim::{self, JournalFile};
use crate::ledger::{Ledger, State, commit_path};
use crate::store::Shared;

/// How often the head may move while it is being pinned.
const MOST_ATTEMPTS: usize = 1000;

/// One stable view of a store. Cheap to share; it keeps the files it needs from being deleted.
pub(crate) struct Snapshot {
    pub(crate) state: Arc<State>,
    /// Facts of this process that are in no segment of that state.
    own: Vec<Arc<Chunk>>,
    others: Mutex<Others>,
    _pin: Pin,
}

/// The tails of streams that other processes own, or owned.
enum Others {
    Files(Vec<StreamFiles>),
    Chunks(Vec<Arc<Chunk>>),
}

struct StreamFiles {
    stream: StreamId,
    files: Vec<OpenJournal>,
}

/// A journal file as it was when the snapshot was taken.
struct OpenJournal {
    file: File,
    bytes: u64,
    named: JournalFile,
    same_boot: bool,
}

impl Snapshot {
    /// Takes a snapshot now.
    pub(crate) fn take(shared: &Shared) -> Result<Self> {
        let own = shared.own_chunks();
        let mut others = Vec::new();
        for stream in claim::streams(&shared.root)? {
            if own.iter().any(|chunk| chunk.stream == stream) {
                continue;
            }
            let files = open_journals(&shared.disk, &claim::folder(&shared.root, stream))?;
            if !files.is_empty() {
                others.push(StreamFiles { stream, files });
            }
        }
        let (state, pin) = Pin::head(&shared.ledger)?;
        let own = own.iter().filter_map(|chunk| chunk.after(state.committed(chunk.stream))).collect();
        Ok(Self { state, own, others: Mutex::new(Others::Files(others)), _pin: pin })
    }

    /// The facts that are in no segment: each stream's in order. Journals are read when this is
    /// first called.
    pub(crate) fn tail(&self) -> Result<Vec<Arc<Chunk>>> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Others::Files(streams) = &mut *others {
            let mut chunks = Vec::new();
            for stream in streams {
                chunks.extend(stream.read(&self.state)?);
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

impl StreamFiles {
    fn read(&mut self, state: &State) -> Result<Vec<Arc<Chunk>>> {
        let mut tail = TailReader::new(state.store, self.stream, state.committed(self.stream));
        for journal in &mut self.files {
            let path = &journal.named.path;
            let mut bytes = Vec::new();
            (&mut journal.file)
                .take(journal.bytes)
                .read_to_end(&mut bytes)
                .map_err(|error| Error::io("read the journal", path, error))?;
            tail.add(path, &bytes, journal.same_boot)?;
        }
        Ok(tail.finish())
    }
}

fn open_journals(disk: &Disk, folder: &Path) -> Result<Vec<OpenJournal>> {
    let mut open = Vec::new();
    for named in claim::files(folder)?.into_iter().rev() {
        let attempt = |error| Error::io("open the journal", &named.path, error);
        let file = match File::open(&named.path) {
            Ok(file) => file,
            // Its facts are in the ledger.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(attempt(error)),
        };
        let bytes = file.metadata().map_err(attempt)?.len();
        let same_boot = claim::same_boot(disk, &named);
        open.push(OpenJournal { file, bytes, named, same_boot });
    }
    open.reverse();
    Ok(open)
}

/// A shared lock on the file of a commit.
///
/// A maintainer that has removed segments from the ledger deletes their files only after it got
/// an exclusive lock on every commit file that still names them. The lock is taken on a commit
/// that is, after it was taken, still the head: so a maintainer whose commit comes later finds it.
pub(crate) struct Pin {
    _file: File,
}

impl Pin {
    fn head(ledger: &Ledger) -> Result<(Arc<State>, Self)> {
        let mut state = ledger.refresh()?;
        for _ in 0..MOST_ATTEMPTS {
            let path = commit_path(ledger.folder(), state.head.number);
            let attempt = |error| Error::io("pin the commit", &path, error);
            let file = File::open(&path).map_err(attempt)?;
            file.lock_shared().map_err(attempt)?;
            let now = ledger.refresh()?;
            if now.head == state.head {
                return Ok((state, Self { _file: file }));
            }
            state = now;
        }
        Err(Error::new(
            crate::ErrorKind::Contended,
            format!(
                "no commit in {} could be pinned: other processes keep committing",
                ledger.folder().display()
            ),
        ))
    }
}
