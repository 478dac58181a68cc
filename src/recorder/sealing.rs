//! Sealing: sets the buffer and its journal file aside for the flush.
//!
//! Recorders continue meanwhile, and none of them waits for a sync of the flush:
//!
//! 1. The spare is begun, the journal file for the next facts, without the lock.
//! 2. Under the lock, the buffer is set aside, and the file finished. The next append opens the spare,
//!    which needs no sync.
//! 3. If durability promises the disk, the finished file is synced, again without the lock. Until then, a
//!    recorder that waits for a fact in the new file first syncs the finished one
//!    (`Journal::sync_point`), so that no fact counts as safe before an earlier one.
//!
//! If there is no spare (the disk was full, or an append was torn in between), an append begins the file
//! itself.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::{Recorder, Recording};
use crate::buffer::Chunk;
use crate::error::{ErrorKind, Result};
use crate::fact::{StreamId, UnixNanos};
use crate::journal::claim::Claim;

/// Facts that wait for the flush. They stay visible to queries until their commit is published.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) stream: StreamId,
    pub(crate) chunks: Vec<Arc<Chunk>>,
    /// The journal files to remove when the ledger covers these facts.
    pub(crate) journals: Vec<PathBuf>,
    /// When the last of the facts was recorded.
    pub(crate) last_recorded_at: UnixNanos,
    /// No process will append to the stream any more.
    pub(crate) ends_stream: bool,
    /// Journal files with bytes that could not be read: they are kept aside.
    pub(crate) keep_aside: Vec<PathBuf>,
    /// Held until the flush, for the stream of a dead process.
    pub(crate) claim: Option<Claim>,
}

impl Sealed {
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes()).sum()
    }
}

impl Recorder {
    /// Passes the buffer to the flush; the next fact goes into a new journal file. When this returns, the
    /// sealed facts are as safe as the durability says.
    pub(crate) fn seal(&self) -> Result<()> {
        let _one_at_a_time = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_spare();
        let mut state = self.lock();
        // A failed sync is not tried again.
        state.check_sound()?;
        if state.buffer.rows() == 0 {
            return Ok(());
        }
        state.set_aside(None)?;
        let (stream, last) = (state.stream, state.last());
        drop(state);
        self.wait(stream, last)
    }
}

impl Recording {
    /// Sets the buffer and its journal files aside. If the stream is left, its claim goes with them.
    pub(super) fn set_aside(&mut self, claim: Option<Claim>) -> Result<()> {
        let state = self;
        state.write_pending()?;
        state.finish_file();
        state.sealed_bytes += state.buffer.bytes();
        let sealed = Sealed {
            stream: state.stream,
            chunks: state.buffer.seal(),
            journals: state.journal.take_finished(),
            last_recorded_at: state.last_recorded_at,
            ends_stream: false,
            keep_aside: Vec::new(),
            claim,
        };
        state.sealed.push_back(Arc::new(sealed));
        Ok(())
    }
}

impl Recorder {
    /// Begins the journal file for the next facts. A failure is not reported here: the append that needs
    /// the file begins it, and reports the error.
    fn begin_spare(&self) {
        let missing = {
            let mut state = self.lock();
            // A store that is closed or poisoned takes no more facts.
            let going_on =
                state.check_open().is_ok() && state.buffer.rows() > 0 && state.check_claim().is_ok();
            going_on.then(|| state.journal.missing_spare()).flatten()
        };
        let Some(missing) = missing else { return };
        match missing.begin() {
            Ok(begun) => {
                let late = self.lock().journal.keep_spare(begun);
                if let Some(late) = late {
                    late.remove();
                }
            }
            Err(error) if error.kind() == ErrorKind::Moved => self.lock().note(&error),
            Err(error) => tracing::debug!(%error, "could not begin the next journal file early; it is begun \
                                                   when it is needed"),
        }
    }

    /// Removes these buffers: the flush has committed them.
    pub(crate) fn committed(&self, sealed: &[Arc<Sealed>]) {
        let mut state = self.lock();
        state.sealed.retain(|waiting| sealed.iter().all(|gone| !Arc::ptr_eq(waiting, gone)));
        state.sealed_bytes = state.sealed.iter().map(|sealed| sealed.bytes()).sum();
        drop(state);
        self.room.notify_all();
    }

    /// Releases the stream, and removes its files without facts.
    pub(crate) fn give_back(&self) {
        let _one_at_a_time = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = self.lock().journal.take_spare();
        if let Some(spare) = spare {
            spare.remove();
        }
        self.lock().claim = None;
    }
}
