//! Handles a clock that is set back: recording leaves a stream whose time is ahead.
//!
//! A stream's time never goes back. A process that started with the clock ten years ahead would stamp its
//! facts ten years ahead until it ends, and they would count as the most recent ones. So once
//! `recorded_at` is ahead of the clock by more than [`MAX_LEAD`], the next fact goes into a new stream,
//! whose time is the clock's. The earlier facts stay unchanged, because recorded facts are never changed;
//! `scan` lists their streams.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Recorder, Recording, StreamGroup};
use crate::buffer::Buffer;
use crate::error::Result;
use crate::fact::{Seq, UnixNanos};
use crate::settings::Durability;

/// `recorded_at` is never further ahead of the clock than this, in nanoseconds; a minute.
const MAX_LEAD: i64 = 60_000_000_000;
/// The time between two attempts to begin a new stream.
const RETRY: Duration = Duration::from_secs(1);

/// Whether a time is so far ahead of the clock that the clock must have been set back.
pub(crate) const fn is_ahead(recorded_at: UnixNanos, now: UnixNanos) -> bool {
    recorded_at.get() > now.get().saturating_add(MAX_LEAD)
}

impl Recording {
    /// Whether the next fact should go into another stream.
    pub(super) fn wants_other_stream(&self, now: UnixNanos) -> bool {
        is_ahead(self.last_recorded_at, now) && self.change_at.is_none_or(|at| at <= Instant::now())
    }
}

impl Recorder {
    /// Continues with a new stream. If it cannot be begun, the fact is not refused: the old stream
    /// continues, and the change is tried again later.
    pub(super) fn change_stream(&self) {
        if let Err(error) = self.try_change() {
            tracing::warn!(%error, "the clock was set back, but a new stream could not be begun; until then \
                                    facts are stamped ahead of the clock");
            self.lock().change_at = Some(Instant::now() + RETRY);
        }
    }

    fn try_change(&self) -> Result<()> {
        let _one_at_a_time = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.clock)();
        // Another recorder may have changed the stream meanwhile.
        if !self.lock().wants_other_stream(now) {
            return Ok(());
        }
        let (claim, journal) = (self.next_stream)()?;
        let mut state = self.lock();
        state.check_open()?;
        let (stream, last) = (state.stream, state.last());
        if self.durability == Durability::Synced
            && let Err(error) = state.journal.sync_point().sync()
        {
            return Err(state.sync_failed(error));
        }
        state.write_pending()?;
        let lead = Duration::from_nanos(state.last_recorded_at.get().abs_diff(now.get()));
        tracing::warn!(
            "the clock was set back: stream {stream} is {} s ahead of it; new facts go into stream {}",
            lead.as_secs(),
            claim.stream
        );
        let spare = state.journal.take_spare();
        let old_claim = state.claim.take();
        state.set_aside(old_claim)?;
        state.left.push(stream);
        state.stream = claim.stream;
        state.buffer = Buffer::new(claim.stream);
        state.claim = Some(claim);
        state.journal = journal.durability(self.durability);
        state.next_seq = Seq(1);
        state.last_recorded_at = UnixNanos::default();
        let before = std::mem::replace(&mut state.group, Arc::new(StreamGroup::default()));
        drop(state);
        before.group.complete(last);
        if let Some(spare) = spare {
            spare.remove();
        }
        self.work.notify_one();
        Ok(())
    }
}
