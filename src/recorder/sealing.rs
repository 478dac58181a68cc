//! Sealing: the buffer and the journal file that holds it are set aside for the flush.
//!
//! Recorders go on meanwhile, and none of them waits for a sync of it:
//!
//! 1. The spare is begun, the journal file that the next facts go into, without the lock.
//! 2. Under the lock, the buffer is set aside, and the file finished. The next append opens the
//!    spare, which asks nothing of the disk.
//! 3. Where facts are promised the disk, the finished file is synced, again without the lock. Until
//!    it is, whoever waits for a fact in the new file syncs the finished one first
//!    (`Journal::sync_point`), so that no fact is called safe before one that comes before it.
//!
//! Where there is no spare (the disk was full when it should have been begun, an append was torn
//! in between), an append begins the file itself.

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
    /// Nobody will append to the stream any more.
    pub(crate) ends_stream: bool,
    /// Those of the journal files that hold more than could be read: they are kept aside.
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
    /// Hands the buffer to the flush; the next fact goes into a new journal file. When this
    /// returns, what it handed over is as safe as the durability says.
    pub(crate) fn seal(&self) -> Result<()> {
        let _one_at_a_time = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_spare();
        let mut state = self.lock();
        // A sync that failed is not tried again.
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
    /// Sets the buffer aside, and the journal files that hold it; with the right to the stream, if it
    /// is left.
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
    /// Begins the journal file that the next facts will go into. That it cannot be is nobody's
    /// error: who needs it begins it, and is told.
    fn begin_spare(&self) {
        let missing = {
            let mut state = self.lock();
            // Neither a store that was closed nor one that is poisoned takes more facts.
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
            Err(error) => tracing::debug!(%error, "the next journal file will be begun when it is needed"),
        }
    }

    /// The flush has committed these.
    pub(crate) fn committed(&self, sealed: &[Arc<Sealed>]) {
        let mut state = self.lock();
        state.sealed.retain(|waiting| sealed.iter().all(|gone| !Arc::ptr_eq(waiting, gone)));
        state.sealed_bytes = state.sealed.iter().map(|sealed| sealed.bytes()).sum();
        drop(state);
        self.room.notify_all();
    }

    /// Gives the stream back, and leaves no file behind that has no facts.
    pub(crate) fn give_back(&self) {
        let _one_at_a_time = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = self.lock().journal.take_spare();
        if let Some(spare) = spare {
            spare.remove();
        }
        self.lock().claim = None;
    }
}
