//! Recording: a fact's way into the journal and the buffer.
//!
//! [`Recorder::record`] does as little as it can while others wait: it makes the frame's body
//! before it takes the lock, and under the lock gives the fact its place, hands the frame to the
//! operating system and copies it into the buffer. It never waits there for a sync, but where a file
//! of the journal is begun for want of one that was begun before ([`sealing`]). Segments are the
//! flush's business ([`flush`](crate::flush)).

mod sealing;

use std::cell::RefCell;
use std::collections::VecDeque;
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

pub(crate) use sealing::Sealed;

/// The wall clock; a test may pass another.
pub(crate) type Clock = Arc<dyn Fn() -> UnixNanos + Send + Sync>;

/// Buffered frames are handed to the journal when there are so many bytes of them.
const PENDING_BYTES: usize = 64 << 10;
/// … or when so much time has passed.
pub(crate) const PENDING_AGE: Duration = Duration::from_secs(1);

/// Takes facts for one stream.
pub(crate) struct Recorder {
    pub(crate) stream: StreamId,
    durability: Durability,
    settings: Settings,
    clock: Clock,
    metrics: Arc<Metrics>,
    state: Mutex<Recording>,
    /// Held by who seals the buffer, and takes the lock in between.
    sealing: Mutex<()>,
    /// Signals that the flush made room.
    room: Condvar,
    /// Signals that there is something to flush, or an end to it all.
    work: Condvar,
    group: GroupCommit,
    appended: AtomicU64,
}

fn too_large() -> Error {
    Error::new(ErrorKind::InvalidFact, "a fact is larger than 17 MiB, and was not recorded")
}

/// What recorders and the flush share.
pub(crate) struct Recording {
    journal: Journal,
    buffer: Buffer,
    /// Frames that the journal does not have yet; only when durability is `Buffered`.
    pending: Vec<u8>,
    /// Handing them over failed the last time.
    pending_failed: bool,
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

/// Whether a recorder waits for the flush to make room.
#[derive(Clone, Copy)]
enum Patience {
    None,
    /// As long as the settings say.
    Bounded,
}

thread_local! {
    static FRAMES: RefCell<FrameBuffer> = RefCell::default();
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
                pending_failed: false,
                next_seq: last.next(),
                last_recorded_at,
                sealed_bytes: sealed.iter().map(|sealed| sealed.bytes()).sum(),
                sealed,
                poisoned: None,
                closed: false,
                retry_at: None,
                claim: Some(claim),
            }),
            sealing: Mutex::new(()),
            room: Condvar::new(),
            work: Condvar::new(),
            group: GroupCommit::default(),
            appended: AtomicU64::new(last.0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Recording> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records facts, all or none, with one write. When this returns the position of the last,
    /// they are as safe as the durability says.
    pub(crate) fn record<'f>(&self, facts: impl IntoIterator<Item = Fact<'f>>) -> Result<Option<Position>> {
        self.hand_over(facts, |frames| {
            let last = self.append(frames, Patience::Bounded)?;
            if let Some(last) = last {
                self.wait(last.seq)?;
            }
            Ok(last)
        })
    }

    /// Appends a fact, and waits neither for room nor for the fact's own sync.
    pub(crate) fn append_now(&self, fact: Fact<'_>) -> Result<Option<Position>> {
        self.hand_over([fact], |frames| self.append(frames, Patience::None))
    }

    /// Returns when this fact is as safe as the durability says.
    pub(crate) fn wait(&self, seq: Seq) -> Result<()> {
        if self.durability == Durability::Synced { self.sync_to(seq) } else { Ok(()) }
    }

    /// Makes frames of the facts, and counts what came of them.
    fn hand_over<'f>(
        &self,
        facts: impl IntoIterator<Item = Fact<'f>>,
        append: impl FnOnce(&mut FrameBuffer) -> Result<Option<Position>>,
    ) -> Result<Option<Position>> {
        // Taken out, not borrowed: the caller's iterator may record, too.
        let mut frames = FRAMES.take();
        frames.clear();
        let mut fits = true;
        for fact in facts {
            fits &= frames.add(&fact).is_some() && frames.bytes().len() <= self.settings.buffer.max_bytes;
            if !fits {
                break;
            }
        }
        let result = if fits { append(&mut frames) } else { Err(too_large()) };
        let facts = frames.len() as u64;
        frames.shrink();
        FRAMES.set(frames);
        match &result {
            Ok(_) => count(&self.metrics.records_written, facts),
            Err(error) => {
                count(&self.metrics.write_errors, facts);
                if error.kind() == ErrorKind::Overloaded {
                    count(&self.metrics.refused, facts);
                }
            }
        }
        result
    }

    fn append(&self, frames: &mut FrameBuffer, patience: Patience) -> Result<Option<Position>> {
        if frames.len() == 0 {
            return Ok(None);
        }
        let mut state = self.room(self.lock(), patience)?;
        state.check_open()?;
        // The wall clock may be set back; a stream's time is not.
        let recorded_at = (self.clock)().max(state.last_recorded_at);
        let first = state.next_seq;
        frames.finish(first, recorded_at);
        if self.durability == Durability::Buffered {
            // The file is the trace of numbers that were given out.
            state.journal.begin()?;
            state.pending.extend_from_slice(frames.bytes());
            // After a failure the flush's thread tries again, not every recorder.
            if state.pending.len() >= PENDING_BYTES
                && !state.pending_failed
                && let Err(error) = state.write_pending()
            {
                // No reason to refuse a fact that only memory was promised for.
                tracing::warn!(%error, "buffered facts could not be journaled yet");
            }
        } else {
            state.append(frames.bytes())?;
        }
        let was_empty = state.buffer.rows() == 0;
        for frame in frames.frames() {
            let seq = state.next_seq;
            state.buffer.push(seq, frame);
            state.next_seq = seq.next();
        }
        let last = state.last();
        state.last_recorded_at = recorded_at;
        self.appended.store(last.0, Ordering::Release);
        count(&self.metrics.bytes_written, frames.bytes().len() as u64);
        if state.journal.long() {
            state.finish_file();
        }
        // The flush seals the buffer; and it has to know from when on it counts the age.
        if was_empty || (self.is_full(&state) && state.retry_at.is_none()) {
            self.work.notify_one();
        }
        Ok(Some(Position { stream: self.stream, seq: last, recorded_at }))
    }

    /// Waits until there is room for a fact, but not for long.
    fn room<'s>(
        &self,
        mut state: MutexGuard<'s, Recording>,
        patience: Patience,
    ) -> Result<MutexGuard<'s, Recording>> {
        let full = |state: &Recording| {
            !state.closed && state.buffer.bytes() + state.sealed_bytes >= self.settings.buffer.max_bytes
        };
        if !full(&state) {
            return Ok(state);
        }
        self.work.notify_one();
        let most = match patience {
            Patience::None => Duration::ZERO,
            Patience::Bounded => {
                count(&self.metrics.waits, 1);
                Duration::from_millis(self.settings.buffer.max_wait_ms)
            }
        };
        let (waited, timeout) = self
            .room
            .wait_timeout_while(state, most, |state| full(state))
            .unwrap_or_else(PoisonError::into_inner);
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

    /// Has the disk keep what was appended, and returns up to where. Nobody else syncs what has
    /// facts, and it is done by one at a time: the group's leader.
    fn sync(&self) -> Result<Seq> {
        let (last, point) = {
            let state = self.lock();
            state.check_sound()?;
            (state.last(), state.journal.sync_point())
        };
        if point.is_synced() {
            return Ok(last);
        }
        count(&self.metrics.syncs, 1);
        match point.sync() {
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

    /// Everything that is in no segment yet, oldest first.
    pub(crate) fn chunks(&self) -> Vec<Arc<Chunk>> {
        let state = self.lock();
        let mut chunks: Vec<_> =
            state.sealed.iter().flat_map(|sealed| sealed.chunks.iter().cloned()).collect();
        chunks.extend(state.buffer.chunks());
        chunks
    }

    fn is_full(&self, state: &Recording) -> bool {
        state.buffer.rows() >= self.settings.flush.rows || state.buffer.bytes() >= self.settings.flush.bytes
    }

    /// When the buffer is to be flushed, for its age or because it is full; `None` while it is
    /// empty, or for never.
    pub(crate) fn due(&self, state: &Recording) -> Option<Instant> {
        let since = state.buffer.since()?;
        if self.is_full(state) {
            return Some(since);
        }
        since.checked_add(Duration::from_secs(self.settings.flush.age_seconds))
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

    /// The newest fact.
    fn last(&self) -> Seq {
        Seq(self.next_seq.0 - 1)
    }

    fn append(&mut self, frames: &[u8]) -> Result<()> {
        let result = self.journal.append(frames);
        if self.journal.torn() {
            self.finish_file();
        }
        result
    }

    /// The next fact goes into a new journal file.
    fn finish_file(&mut self) {
        self.journal.finish_file(self.last());
    }

    /// Gives the journal what was only promised to memory.
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
