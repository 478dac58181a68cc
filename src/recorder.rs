//! Recording: puts a fact into the journal and the buffer.
//!
//! [`Recorder::record`] does little while others wait. It makes the frame's body before it takes the
//! lock. Under the lock it gives the fact its place, passes the frame to the operating system and copies
//! it into the buffer. Under the lock it waits for a sync only if it must begin a journal file because no
//! spare is there ([`sealing`]). The flush writes the segments ([`flush`](crate::flush)).

mod attempts;
mod clock;
mod recording;
mod sealing;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::buffer::{Buffer, Chunk};
use crate::counters::{Metrics, count};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, Position, Seq, StreamId, UnixNanos};
use crate::frame::FrameBuffer;
use crate::journal::append::{Journal, MOST_BATCH_BYTES};
use crate::journal::claim::Claim;
use crate::log_limiter::LogLimiter;
use crate::settings::{Durability, Settings};

pub(crate) use attempts::Attempts;
pub(crate) use clock::is_ahead;
pub(crate) use recording::Recording;
use recording::StreamGroup;
pub(crate) use sealing::Sealed;

/// The wall clock; a test may pass another.
pub(crate) type Clock = Arc<dyn Fn() -> UnixNanos + Send + Sync>;

/// The bytes of pending frames at which they are written to the journal.
const PENDING_BYTES: usize = 64 << 10;
/// The age of pending frames at which they are written to the journal.
pub(crate) const PENDING_AGE: Duration = Duration::from_secs(1);

/// How often recording checks whether the store is still in its place, in nanoseconds.
const LOOK_EVERY: u64 = 1_000_000_000;

/// Claims a stream that has no facts yet.
pub(crate) type NextStream = Box<dyn Fn() -> Result<(Claim, Journal)> + Send + Sync>;

/// Records facts, into one stream at a time.
pub(crate) struct Recorder {
    disk: Disk,
    next_stream: NextStream,
    durability: Durability,
    settings: Settings,
    clock: Clock,
    metrics: Arc<Metrics>,
    state: Mutex<Recording>,
    /// Held while the buffer is sealed; the other lock is taken and released in between.
    sealing: Mutex<()>,
    /// Signals that the flush made room.
    room: Condvar,
    /// Signals that there is something to flush, or that recording ends.
    work: Condvar,
    /// Limits the log about facts with values that no column holds.
    inexact: LogLimiter,
    /// Locked while a flush runs.
    flushing: Mutex<Attempts>,
}

/// The error for facts that are too large together, for a frame or for the buffer.
fn too_large(frames_fit: bool, bound: usize) -> Error {
    let why = if frames_fit && bound == MOST_BATCH_BYTES {
        format!(
            "too large: together with its batch it has more than {bound} bytes, and no fact was recorded: \
             record fewer facts at once"
        )
    } else if frames_fit {
        format!(
            "larger than buffer.max_bytes, {bound}, and was not recorded: raise buffer.max_bytes in \
             ostracon.toml"
        )
    } else {
        "larger than 17 MiB, and was not recorded".to_owned()
    };
    Error::new(ErrorKind::InvalidFact, format!("a fact is {why}"))
}

/// Whether a recorder waits for the flush to make room.
#[derive(Clone, Copy)]
enum Patience {
    None,
    /// For at most this long.
    Within(Duration),
}

thread_local! {
    static FRAMES: RefCell<FrameBuffer> = RefCell::default();
}

impl Recorder {
    /// A recorder for a stream that was claimed; its next fact comes after `last`.
    #[expect(clippy::too_many_arguments, reason = "called once, by the opening of a store")]
    pub(crate) fn new(
        settings: Settings,
        clock: Clock,
        metrics: Arc<Metrics>,
        disk: Disk,
        next_stream: NextStream,
        claim: Claim,
        journal: Journal,
        last: Seq,
        last_recorded_at: UnixNanos,
        sealed: VecDeque<Arc<Sealed>>,
    ) -> Self {
        let stream = claim.stream;
        Self {
            disk,
            next_stream,
            durability: settings.durability,
            settings,
            clock,
            metrics,
            state: Mutex::new(Recording {
                stream,
                left: Vec::new(),
                journal,
                buffer: Buffer::new(stream),
                pending: Vec::new(),
                pending_failed: false,
                next_seq: last.next(),
                last_recorded_at,
                sealed_bytes: sealed.iter().map(|sealed| sealed.bytes()).sum(),
                sealed,
                poison: None,
                looked_at: UnixNanos::default(),
                change_at: None,
                group: Arc::new(StreamGroup { appended: AtomicU64::new(last.0), ..StreamGroup::default() }),
                closed: false,
                retry_at: None,
                claim: Some(claim),
            }),
            sealing: Mutex::new(()),
            room: Condvar::new(),
            work: Condvar::new(),
            inexact: LogLimiter::default(),
            flushing: Mutex::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Recording> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks out other flushes, and returns the earlier attempts.
    pub(crate) fn flushing(&self) -> MutexGuard<'_, Attempts> {
        self.flushing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records facts, all or none, with one write. When this returns the position of the last fact, they
    /// are as safe as the durability says.
    pub(crate) fn record<'f>(&self, facts: impl IntoIterator<Item = Fact<'f>>) -> Result<Option<Position>> {
        self.append_counted(facts, |frames| {
            let last = self.append(frames, Patience::Within(self.max_wait()))?;
            if let Some(last) = last {
                self.wait(last.stream, last.seq)?;
            }
            Ok(last)
        })
    }

    /// Appends a fact, and waits neither for room nor for the fact's own sync.
    pub(crate) fn append_now(&self, fact: Fact<'_>) -> Result<Option<Position>> {
        self.append_counted([fact], |frames| self.append(frames, Patience::None))
    }

    /// Appends a fact, and waits for room for at most this long, but not for the fact's own sync.
    pub(crate) fn append_within(&self, fact: Fact<'_>, most: Duration) -> Result<Option<Position>> {
        self.append_counted([fact], |frames| self.append(frames, Patience::Within(most)))
    }

    /// Waits until this fact is as safe as the durability says.
    pub(crate) fn wait(&self, stream: StreamId, seq: Seq) -> Result<()> {
        if self.durability != Durability::Synced {
            return Ok(());
        }
        let group = {
            let state = self.lock();
            // All facts of a stream that was left were synced before.
            if state.stream != stream {
                return Ok(());
            }
            Arc::clone(&state.group)
        };
        let appended = || Seq(group.appended.load(Ordering::Acquire));
        group.group.wait(seq, appended, || self.sync())
    }

    /// Whether it records, or has recorded, into this stream.
    pub(crate) fn has(&self, stream: StreamId) -> bool {
        let state = self.lock();
        state.stream == stream || state.left.contains(&stream)
    }

    /// Makes frames of the facts, appends them, and counts the result.
    fn append_counted<'f>(
        &self,
        facts: impl IntoIterator<Item = Fact<'f>>,
        append: impl FnOnce(&mut FrameBuffer) -> Result<Option<Position>>,
    ) -> Result<Option<Position>> {
        // Taken out, not borrowed: the caller's iterator may record, too.
        let mut frames = FRAMES.take();
        frames.clear();
        let (mut frames_fit, mut fits) = (true, true);
        let mut inexact = Vec::new();
        for fact in facts {
            if fact.extra().is_some() {
                inexact.extend(Some(fact.inexact_fields()).filter(|fields| !fields.is_empty()));
            }
            frames_fit &= frames.add(&fact).is_some();
            fits &= frames_fit && frames.bytes().len() <= self.most_bytes();
            if !fits {
                break;
            }
        }
        let result = if fits { append(&mut frames) } else { Err(too_large(frames_fit, self.most_bytes())) };
        let facts = frames.len() as u64;
        frames.shrink();
        FRAMES.set(frames);
        match &result {
            Ok(_) => {
                count(&self.metrics.records_written, facts);
                self.warn_of(&inexact);
            }
            Err(error) => {
                count(&self.metrics.write_errors, facts);
                if error.kind() == ErrorKind::Overloaded {
                    count(&self.metrics.refused, facts);
                }
            }
        }
        result
    }

    /// Counts facts with values that no column holds, and logs them once a minute.
    fn warn_of(&self, inexact: &[Vec<&'static str>]) {
        count(&self.metrics.inexact, inexact.len() as u64);
        for fields in inexact {
            if let Some(facts) = self.inexact.due() {
                tracing::warn!(
                    fields = fields.join(", "),
                    facts,
                    "no column holds the exact value of a fact: the column has the nearest one, `extra` the \
                     exact one"
                );
            }
        }
    }

    /// The most bytes of facts that are recorded together.
    fn most_bytes(&self) -> usize {
        self.settings.buffer.max_bytes.min(MOST_BATCH_BYTES)
    }

    const fn max_wait(&self) -> Duration {
        Duration::from_millis(self.settings.buffer.max_wait_ms)
    }

    fn append(&self, frames: &mut FrameBuffer, patience: Patience) -> Result<Option<Position>> {
        if frames.len() == 0 {
            return Ok(None);
        }
        let mut state = self.room(self.lock(), patience)?;
        state.check_open()?;
        let now = (self.clock)();
        if state.wants_other_stream(now) {
            drop(state);
            self.change_stream();
            state = self.room(self.lock(), patience)?;
            state.check_open()?;
        }
        if now.get().abs_diff(state.looked_at.get()) >= LOOK_EVERY {
            state.looked_at = now;
            // A failure of the check itself says nothing about the place.
            if let Err(error) = self.disk.check_place()
                && error.kind() == ErrorKind::Moved
            {
                state.note(&error);
                return Err(error);
            }
            state.check_claim()?;
        }
        // The wall clock may be set back; the time of a stream is not.
        let recorded_at = now.max(state.last_recorded_at);
        let first = state.next_seq;
        frames.finish(first, recorded_at);
        if self.durability == Durability::Buffered {
            // The file is the trace that these numbers were given out.
            state.check_claim_before_a_file()?;
            state.journal.begin().inspect_err(|error| state.note(error))?;
            state.pending.extend_from_slice(frames.bytes());
            // After a failure the flush's thread tries again, not every recorder.
            if state.pending.len() >= PENDING_BYTES
                && !state.pending_failed
                && let Err(error) = state.write_pending()
            {
                // This is no reason to refuse a fact that was only promised to be in memory.
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
        state.group.appended.store(last.0, Ordering::Release);
        count(&self.metrics.bytes_written, frames.bytes().len() as u64);
        if state.journal.long() {
            state.finish_file();
        }
        // The flush seals the buffer; it also must know the time from which it counts the buffer's age.
        if was_empty || (self.is_full(&state) && state.retry_at.is_none()) {
            self.work.notify_one();
        }
        Ok(Some(Position { stream: state.stream, seq: last, recorded_at }))
    }

    /// Waits until there is room for a fact, for a limited time.
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
            Patience::Within(most) => {
                count(&self.metrics.waits, 1);
                most
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
                    "{} bytes wait to be flushed, and the limit is {}; the fact was not recorded",
                    state.buffer.bytes() + state.sealed_bytes,
                    self.settings.buffer.max_bytes
                ),
            ));
        }
        Ok(state)
    }

    /// Syncs everything that was appended, and returns the last synced fact. Only one thread at a time
    /// syncs files with facts: the group's leader.
    fn sync(&self) -> Result<Seq> {
        let (stream, last, point) = {
            let state = self.lock();
            state.check_sound()?;
            (state.stream, state.last(), state.journal.sync_point())
        };
        if point.is_synced() {
            return Ok(last);
        }
        count(&self.metrics.syncs, 1);
        match point.sync() {
            Ok(()) => {
                let mut state = self.lock();
                // Each journal numbers its files separately.
                if state.stream == stream {
                    state.journal.mark_synced(&point, last);
                }
                Ok(last)
            }
            Err(error) => Err(self.lock().sync_failed(error)),
        }
    }

    /// The facts that this process has recorded and that are in no segment yet, oldest first. After
    /// closing, facts that could not be flushed are read from the journal, as those of other processes.
    pub(crate) fn own_chunks(&self) -> Vec<Arc<Chunk>> {
        let state = self.lock();
        if state.closed {
            return Vec::new();
        }
        let mut chunks: Vec<_> =
            state.sealed.iter().flat_map(|sealed| sealed.chunks.iter().cloned()).collect();
        chunks.extend(state.buffer.chunks());
        chunks
    }

    fn is_full(&self, state: &Recording) -> bool {
        state.buffer.rows() >= self.settings.flush.rows || state.buffer.bytes() >= self.settings.flush.bytes
    }

    /// When the buffer must be flushed, because of its age or because it is full; `None` while it is
    /// empty, or if there is no limit.
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

    /// Waits, for at most this long, until there may be something to flush.
    pub(crate) fn wait_for_work<'s>(
        &self,
        state: MutexGuard<'s, Recording>,
        most: Duration,
    ) -> MutexGuard<'s, Recording> {
        self.work.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Stops recording.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }
}
