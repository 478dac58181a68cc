//! The state that recorders share under one lock: the current stream, its journal and its buffer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::Sealed;
use crate::buffer::Buffer;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Seq, StreamId, UnixNanos};
use crate::journal::append::Journal;
use crate::journal::claim::Claim;
use crate::journal::group_commit::{GroupCommit, poisoned};

/// The state that recorders and the flush share.
pub(crate) struct Recording {
    pub(crate) stream: StreamId,
    /// Streams that this store recorded into before; all their facts are as safe as was promised.
    pub(super) left: Vec<StreamId>,
    pub(super) journal: Journal,
    pub(super) buffer: Buffer,
    /// Frames that are not in the journal yet; only if durability is `Buffered`.
    pub(super) pending: Vec<u8>,
    /// The last attempt to write the pending frames failed.
    pub(super) pending_failed: bool,
    pub(super) next_seq: Seq,
    pub(super) last_recorded_at: UnixNanos,
    pub(crate) sealed: VecDeque<Arc<Sealed>>,
    pub(super) sealed_bytes: usize,
    pub(super) poison: Option<Poison>,
    /// When recording last checked whether the store is in its place.
    pub(super) looked_at: UnixNanos,
    /// A new stream could not be begun; it is not tried again before this time.
    pub(super) change_at: Option<Instant>,
    pub(super) group: Arc<StreamGroup>,
    pub(crate) closed: bool,
    /// Set while a failed flush waits before its next attempt.
    pub(crate) retry_at: Option<Instant>,
    /// Released when the store is closed.
    pub(crate) claim: Option<Claim>,
}

/// Recorders of one stream that wait for the disk.
#[derive(Default)]
pub(super) struct StreamGroup {
    pub(super) group: GroupCommit,
    pub(super) appended: AtomicU64,
}

/// The reason why nothing more is recorded until the store is opened again.
#[derive(Clone, Debug)]
pub(super) enum Poison {
    SyncFailed(String),
    Moved(String),
    /// Another process owns the stream, too.
    TwoOwners(String),
}

impl Poison {
    pub(super) fn error(&self) -> Error {
        match self {
            Self::SyncFailed(why) => poisoned(why),
            Self::Moved(why) => Error::new(ErrorKind::Moved, why.clone()),
            Self::TwoOwners(why) => Error::new(ErrorKind::Contended, why.clone()),
        }
    }
}

impl Recording {
    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed {
            return Err(Error::new(ErrorKind::Closed, "the store is closed; the fact was not recorded"));
        }
        self.check_sound()
    }

    /// Fails if a sync has failed, or the store is no longer in its place.
    pub(crate) fn check_sound(&self) -> Result<()> {
        self.poison.as_ref().map_or(Ok(()), |poison| Err(poison.error()))
    }

    /// Fails, from now on, if another process may own the stream, too.
    pub(crate) fn check_claim(&mut self) -> Result<()> {
        let result = self.claim.as_ref().map_or(Ok(()), Claim::check);
        result.map_err(|error| self.note_conflict(error))
    }

    /// Stops recording after a conflict: the store was moved, or another process owns the stream, too.
    pub(crate) fn note_conflict(&mut self, error: Error) -> Error {
        let error = self.journal.explain(error);
        if error.kind() == ErrorKind::Moved {
            self.note(&error);
        } else {
            self.note_two_owners(&error);
        }
        error
    }

    /// Checks, if the next fact goes into a new journal file, that this process owns the stream.
    pub(super) fn check_claim_before_a_file(&mut self) -> Result<()> {
        if self.journal.is_open() { Ok(()) } else { self.check_claim() }
    }

    /// Stops recording: another process owns the stream, too.
    pub(super) fn note_two_owners(&mut self, error: &Error) {
        if self.poison.is_none() {
            tracing::error!(%error, "recording has stopped");
            self.journal.keep_aside(self.sealed.iter().flat_map(|sealed| &sealed.journals));
            self.poison = Some(Poison::TwoOwners(error.to_string()));
        }
    }

    /// Stops recording, if this error says that the store is no longer in its place.
    pub(crate) fn note(&mut self, error: &Error) {
        if error.kind() == ErrorKind::Moved && self.poison.is_none() {
            tracing::error!(%error, "recording has stopped");
            // The open file is in the folder that was opened, at its current path.
            if self.journal.is_open() {
                let _ = self.write_pending();
            }
            self.poison = Some(Poison::Moved(error.to_string()));
        }
    }

    pub(super) fn sync_failed(&mut self, error: std::io::Error) -> Error {
        self.poison = Some(Poison::SyncFailed(error.to_string()));
        Error::with_source(ErrorKind::Io, "cannot sync the journal", error)
    }

    /// The number of the newest fact.
    pub(super) fn last(&self) -> Seq {
        Seq(self.next_seq.0 - 1)
    }

    pub(super) fn append(&mut self, frames: &[u8]) -> Result<()> {
        self.check_claim_before_a_file()?;
        let result = self.journal.append(frames).inspect_err(|error| self.note(error));
        if self.journal.torn() {
            self.finish_file();
        }
        result
    }

    /// Ends the journal file: the next fact goes into a new one.
    pub(super) fn finish_file(&mut self) {
        self.journal.finish_file(self.last());
    }

    /// Writes pending frames to the journal.
    pub(crate) fn write_pending(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            self.pending_failed = true;
            let frames = std::mem::take(&mut self.pending);
            let result = self.append(&frames);
            self.pending = frames;
            result?;
            self.pending_failed = false;
            self.pending.clear();
        }
        Ok(())
    }

    pub(crate) const fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}
