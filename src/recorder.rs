//! Recording: a fact's way into the journal and the buffer.
//!
//! [`Recorder::record`] does as little as it can while others wait: it makes the frame's body
//! before it takes the lock, and under the lock gives the fact its place, hands the frame to the
//! operating system and copies it into the buffer. Segments are the flush's business
//! ([`flush`](crate::flush)).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::buffer::{Buffer, Chunk};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, Position, Seq, StreamId, UnixNanos};
use crate::journal::append::Journal;
use crate::journal::claim::Claim;
use crate::journal::frame::FrameBuffer;
use crate::journal::group_commit::{GroupCommit, poisoned};
use crate::metrics::{Metrics, count};
use crate::settings::{Durability, Settings};

/// The wall clock; a test may pass another.
pub(crate) type Clock = Arc<dyn Fn() -> UnixNanos + Send + Sync>;

/// Buffered frames are handed to the journal when there are so many bytes of them.
const PENDING_BYTES: usize = 64 << 10;
/// … or when so much time has passed.
pub(crate) const PENDING_AGE: Duration = Duration::from_secs(1);

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
    /// Held until the flush, for the stream of a dead process.
    pub(crate) claim: Option<Claim>,
}

impl Sealed {
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes()).sum()
    }
}

/// Takes facts for one stream.
pub(crate) struct Recorder {
    pub(crate) stream: StreamId,
    durability: Durability,
    settings: Settings,
    clock: Clock,
    metrics: Arc<Metrics>,
    state: Mutex<Recording>,
    /// Signals that the flush made room.
    room: Condvar,
    /// Signals that there is something to flush, or an end to it all.
    work: Condvar,
    group: GroupCommit,
    appended: AtomicU64,
}

/// What recorders and the flush share.
pub(crate) struct Recording {
    journal: Journal,
    buffer: Buffer,
    /// Frames that the journal does not have yet; only when durability is `Buffered`.
    pending: Vec<u8>,
    next_seq: Seq,
    last_recorded_at: UnixNanos,
    pub(crate) sealed: VecDeque<Arc<Sealed>>,
    sealed_bytes: usize,
    poisoned: Option<String>,
    pub(crate) closed: bool,
    /// Set while a failed flush waits before its next attempt.
    pub(crate) retry_at: Option<Instant>,
    /// Given back when the store is closed.
    pub(crate) claim: Option<Claim>,
}

thread_local! {
    static FRAME: RefCell<FrameBuffer> = RefCell::default();
}

impl Recorder {
    /// A recorder for a stream that was claimed, going on behind `last`.
    #[expect(clippy::too_many_arguments, reason = "called once, by the opening of a store")]
    pub(crate) fn new(
        settings: Settings,
        clock: Clock,
        metrics: Arc<Metrics>,
        claim: Claim,
        journal: Journal,
        last: Seq,
        last_recorded_at: UnixNanos,
        sealed: VecDeque<Arc<Sealed>>,
    ) -> Self {
        let stream = claim.stream;
        Self {
            stream,
            durability: settings.durability,
            settings,
            clock,
            metrics,
            state: Mutex::new(Recording {
                journal,
                buffer: Buffer::new(stream),
                pending: Vec::new(),
                next_seq: last.next(),
                last_recorded_at,
                sealed_bytes: sealed.iter().map(|sealed| sealed.bytes()).sum(),
                sealed,
                poisoned: None,
                closed: false,
                retry_at: None,
                claim: Some(claim),
            }),
            room: Condvar::new(),
            work: Condvar::new(),
            group: GroupCommit::default(),
            appended: AtomicU64::new(last.0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Recording> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a fact. When this returns a position, the fact is as safe as the durability says.
    pub(crate) fn record(&self, fact: &Fact<'_>) -> Result<Position> {
        let result = FRAME.with_borrow_mut(|frame| self.append(fact, frame));
        let result = result.and_then(|position| {
            if self.durability == Durability::Synced {
                self.sync_to(position.seq)?;
            }
            Ok(position)
        });
        match &result {
            Ok(_) => count(&self.metrics.records_written, 1),
            Err(error) => {
                count(&self.metrics.write_errors, 1);
                if error.kind() == ErrorKind::Overloaded {
                    count(&self.metrics.refused, 1);
                }
            }
        }
        result
    }

    fn append(&self, fact: &Fact<'_>, frame: &mut FrameBuffer) -> Result<Position> {
        frame.begin(fact).ok_or_else(|| {
            Error::new(ErrorKind::InvalidFact, "the fact is larger than 17 MiB and was not recorded")
        })?;
        let mut state = self.room_for_one(self.lock())?;
        state.check_open()?;
        // The wall clock may be set back; a stream's time is not.
        let recorded_at = (self.clock)().max(state.last_recorded_at);
        let seq = state.next_seq;
        let bytes = frame.finish(seq, recorded_at);
        if self.durability == Durability::Buffered {
            state.pending.extend_from_slice(bytes);
            if state.pending.len() >= PENDING_BYTES {
                // A failure is no reason to refuse a fact that only memory was promised for.
                if let Err(error) = state.write_pending() {
                    tracing::warn!(%error, "buffered facts could not be journaled yet");
                }
            }
        } else {
            self.append_to_journal(&mut state, bytes)?;
        }
        state.buffer.push(seq, bytes);
        state.next_seq = seq.next();
        state.last_recorded_at = recorded_at;
        self.appended.store(seq.0, Ordering::Release);
        count(&self.metrics.bytes_written, bytes.len() as u64);
        if state.buffer.rows() >= self.settings.flush.rows || state.buffer.bytes() >= self.settings.flush.bytes {
            if let Err(error) = self.seal(&mut state) {
                if state.poisoned.is_some() {
                    return Err(error);
                }
                // This fact is kept all the same; the next one tries again.
                tracing::warn!(%error, "the buffer could not be sealed");
            }
            self.work.notify_one();
        } else if state.buffer.rows() == 1 {
            // The flush has to know from when on it counts the age.
            self.work.notify_one();
        }
        Ok(Position { stream: self.stream, seq, recorded_at })
    }

    fn append_to_journal(&self, state: &mut Recording, frame: &[u8]) -> Result<()> {
        let result = state.journal.append(frame);
        if state.journal.torn()
            && let Err(error) = self.finish_file(state)
        {
            tracing::warn!(%error, "others who wait for the same file will be told so");
        }
        result
    }

    /// Ends the journal file. Once it is finished, no recorder that still waits would sync it, so
    /// that is done before.
    fn finish_file(&self, state: &mut Recording) -> Result<()> {
        let mut kept = None;
        if self.durability == Durability::Synced
            && let Some(point) = state.journal.sync_point()
        {
            if let Err(error) = point.syncer.sync_data() {
                state.poisoned = Some(error.to_string());
                return Err(Error::with_source(ErrorKind::Io, "cannot sync the journal", error));
            }
            kept = Some(Seq(state.next_seq.0 - 1));
        }
        state.journal.finish_file(kept);
        Ok(())
    }

    /// Waits until there is room for a fact, but not for long.
    fn room_for_one<'s>(&self, mut state: MutexGuard<'s, Recording>) -> Result<MutexGuard<'s, Recording>> {
        let full = |state: &Recording| {
            !state.closed && state.buffer.bytes() + state.sealed_bytes >= self.settings.buffer.max_bytes
        };
        if !full(&state) {
            return Ok(state);
        }
        count(&self.metrics.waits, 1);
        self.work.notify_one();
        let most = Duration::from_millis(self.settings.buffer.max_wait_ms);
        let (waited, timeout) =
            self.room.wait_timeout_while(state, most, |state| full(state)).unwrap_or_else(PoisonError::into_inner);
        state = waited;
        if timeout.timed_out() && full(&state) {
            return Err(Error::new(
                ErrorKind::Overloaded,
                format!(
                    "{} bytes wait to be flushed, and {} are the bound; the fact was not recorded",
                    state.buffer.bytes() + state.sealed_bytes,
                    self.settings.buffer.max_bytes
                ),
            ));
        }
        Ok(state)
    }

    /// Returns when the disk has everything up to this fact.
    fn sync_to(&self, seq: Seq) -> Result<()> {
        let appended = || Seq(self.appended.load(Ordering::Acquire));
        self.group.wait(seq, appended, || self.sync())
    }

    /// Has the disk keep what was appended, and returns up to where.
    fn sync(&self) -> Result<Seq> {
        let (last, target) = {
            let state = self.lock();
            if let Some(why) = &state.poisoned {
                return Err(poisoned(why));
            }
            (Seq(state.next_seq.0 - 1), state.journal.sync_point())
        };
        // Without an open file everything was synced when its file was finished.
        let Some(point) = target else { return Ok(last) };
        count(&self.metrics.syncs, 1);
        match point.syncer.sync_data() {
            Ok(()) => {
                self.lock().journal.mark_synced(&point, last);
                Ok(last)
            }
            Err(error) => {
                self.lock().poisoned = Some(error.to_string());
                Err(Error::with_source(ErrorKind::Io, "cannot sync the journal", error))
            }
        }
    }

    /// Hands the buffer to the flush; the next fact goes into a new journal file.
    pub(crate) fn seal(&self, state: &mut Recording) -> Result<()> {
        state.check_sound()?;
        if state.buffer.rows() == 0 {
            return Ok(());
        }
        state.write_pending()?;
        self.finish_file(state)?;
        state.sealed_bytes += state.buffer.bytes();
        let sealed = Sealed {
            stream: self.stream,
            chunks: state.buffer.seal(),
            journals: state.journal.take_finished(),
            last_recorded_at: state.last_recorded_at,
            ends_stream: false,
            claim: None,
        };
        state.sealed.push_back(Arc::new(sealed));
        Ok(())
    }

    /// The flush has committed these; they are the oldest.
    pub(crate) fn committed(&self, sealed: &[Arc<Sealed>]) {
        let mut state = self.lock();
        for _ in sealed {
            if let Some(gone) = state.sealed.pop_front() {
                state.sealed_bytes -= gone.bytes();
            }
        }
        drop(state);
        self.room.notify_all();
    }

    /// Everything that is in no segment yet, oldest first.
    pub(crate) fn chunks(&self) -> Vec<Arc<Chunk>> {
        let state = self.lock();
        let mut chunks: Vec<_> = state.sealed.iter().flat_map(|sealed| sealed.chunks.iter().cloned()).collect();
        chunks.extend(state.buffer.chunks());
        chunks
    }

    /// When the buffer is to be flushed for its age; `None` while it is empty.
    pub(crate) fn due(&self, state: &Recording) -> Option<Instant> {
        state.buffer.since().map(|since| since + Duration::from_secs(self.settings.flush.age_seconds))
    }

    pub(crate) fn is_buffered(&self) -> bool {
        self.durability == Durability::Buffered
    }

    /// Waits, for at most so long, until there may be something to flush.
    pub(crate) fn wait_for_work<'s>(
        &self,
        state: MutexGuard<'s, Recording>,
        most: Duration,
    ) -> MutexGuard<'s, Recording> {
        self.work.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner).0
    }

    /// No more facts from now on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }
}

impl Recording {
    fn check_open(&self) -> Result<()> {
        if self.closed {
            return Err(Error::new(ErrorKind::Closed, "the store is closed; the fact was not recorded"));
        }
        match &self.poisoned {
            Some(why) => Err(poisoned(why)),
            None => Ok(()),
        }
    }

    /// Fails if a sync has failed.
    pub(crate) fn check_sound(&self) -> Result<()> {
        self.poisoned.as_ref().map_or(Ok(()), |why| Err(poisoned(why)))
    }

    /// Gives the journal what was only promised to memory.
    pub(crate) fn write_pending(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            let result = self.journal.append(&self.pending);
            if self.journal.torn() {
                self.journal.finish_file(None);
            }
            result?;
            self.pending.clear();
        }
        Ok(())
    }

    pub(crate) const fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How many facts wait, and how many bytes they are.
    pub(crate) fn waiting(&self) -> (u64, usize) {
        let sealed: u64 = self.sealed.iter().flat_map(|s| &s.chunks).map(|chunk| chunk.facts()).sum();
        (sealed + self.buffer.rows(), self.buffer.bytes() + self.sealed_bytes)
    }
}
