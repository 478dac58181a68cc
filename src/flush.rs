//! The flush: from the buffer into segments, and into the ledger.
//!
//! 1. Seal: the buffer's chunks and the journal file that holds them become one [`Sealed`]; the
//!    next fact goes into a new file, which was begun before ([`Recorder::seal`]).
//! 2. Write one segment per kind that has rows ([`segment::write_all`]).
//! 3. Commit them, and with them a gapless range of the stream (`Ledger::commit`).
//! 4. Let go of the chunks, and remove the journal files.
//!
//! Killed between any two steps, the facts are in the journal or in the ledger, or in both: then
//! whoever reads the journal skips what the ledger covers. A flush that failed is tried again; it
//! asks the ledger first how far the stream is covered, for a commit may have been published even
//! though its sync failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Action, StreamRange};
use crate::metrics::count;
use crate::recorder::{PENDING_AGE, Recorder, Sealed};
use crate::segment::{self, Origin};
use crate::store::Shared;

/// How long a failed flush waits before the next attempt, at first and at most: each failure in
/// a row doubles it.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// The background thread of a store that is open for writing. It ends when the recorder closes.
pub(crate) fn run(shared: &Shared, recorder: &Recorder) {
    let mut retry = RETRY;
    while wait_for_work(recorder) {
        // A panic must not end the thread: nobody would flush any more.
        let flushed = catch_unwind(AssertUnwindSafe(|| flush_sealed(shared, recorder)));
        match flushed.unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "the flush failed within"))) {
            Ok(()) => retry = RETRY,
            Err(error) => {
                tracing::warn!(%error, "a flush failed and will be tried again; the facts stay in the journal");
                recorder.lock().retry_at = Some(Instant::now() + retry);
                retry = (retry * 2).min(LONGEST_RETRY);
            }
        }
    }
}

/// Waits until something is sealed, sealing the buffer if it is full or old enough. `false` at the end.
fn wait_for_work(recorder: &Recorder) -> bool {
    let mut state = recorder.lock();
    loop {
        if state.closed {
            return false;
        }
        let now = Instant::now();
        state.retry_at = state.retry_at.filter(|at| *at > now);
        if state.retry_at.is_none() {
            if recorder.due(&state).is_some_and(|due| due <= now) {
                // Facts go on coming, and the store may be closed, meanwhile.
                drop(state);
                let sealed = recorder.seal();
                state = recorder.lock();
                if let Err(error) = sealed {
                    tracing::warn!(%error, "the buffer could not be sealed");
                    state.retry_at = Some(Instant::now() + RETRY);
                }
                // What is sealed is flushed before the next seal, however fast the buffer fills again.
                if state.sealed.is_empty() || state.retry_at.is_some() {
                    continue;
                }
            }
            if state.has_pending()
                && let Err(error) = state.write_pending()
            {
                tracing::warn!(%error, "buffered facts could not be journaled");
            }
            if !state.sealed.is_empty() && state.retry_at.is_none() {
                return true;
            }
        }
        let wake = state.retry_at.or_else(|| recorder.due(&state));
        let most = if recorder.is_buffered() { PENDING_AGE } else { Duration::from_mins(1) };
        let wait = wake.map_or(most, |wake| wake.saturating_duration_since(now).min(most));
        state = recorder.wait_for_work(state, wait);
    }
}

/// Flushes everything that is sealed, a stream at a time. That one stream's facts cannot be
/// flushed does not keep the others.
pub(crate) fn flush_sealed(shared: &Shared, recorder: &Recorder) -> Result<()> {
    let _one_at_a_time = shared.flushing.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = {
        let state = recorder.lock();
        if state.sealed.is_empty() {
            return Ok(());
        }
        state.check_sound()?;
        if state.claim.is_none() {
            // The stream may be another process's by now, and that process reads the journal.
            return Err(Error::new(
                ErrorKind::Closed,
                "the store is closed, and what it left is in the journal",
            ));
        }
        state.sealed.iter().cloned().collect::<Vec<_>>()
    };
    let mut result = Ok(());
    for sealed in waiting.chunk_by(|one, next| one.stream == next.stream) {
        let flushed = flush(shared, sealed);
        count(if flushed.is_ok() { &shared.metrics.flushes } else { &shared.metrics.flush_errors }, 1);
        match flushed {
            Ok(()) => {
                retire(shared, sealed);
                recorder.committed(sealed);
            }
            Err(error) => result = result.and(Err(error)),
        }
    }
    result
}

/// Flushes what a dead process left in one stream.
pub(crate) fn flush_left(shared: &Shared, sealed: &Arc<Sealed>) -> Result<()> {
    flush(shared, std::slice::from_ref(sealed))?;
    retire(shared, std::slice::from_ref(sealed));
    Ok(())
}

/// Removes the journal files of facts that the ledger covers. One that holds more than could be
/// read is kept in `quarantine/`.
fn retire(shared: &Shared, sealed: &[Arc<Sealed>]) {
    for journal in sealed.iter().flat_map(|sealed| &sealed.keep_aside) {
        let name = format!("{}.journal", uuid::Uuid::new_v4().simple());
        let aside = shared.root.join("quarantine").join(name);
        match shared.disk.publish_link(journal, &aside) {
            Ok(()) => tracing::warn!(journal = %journal.display(), aside = %aside.display(),
                "the end of a journal was lost by a power failure, or by the disk; the file is kept aside"),
            Err(error) => {
                tracing::warn!(%error, "a journal file could not be kept aside, and stays");
                return;
            }
        }
    }
    for journal in sealed.iter().flat_map(|sealed| &sealed.journals) {
        if let Err(error) = shared.disk.remove(journal) {
            tracing::warn!(%error, "a journal file whose facts are in the ledger stays behind");
        }
    }
}

/// Writes and commits the facts of one stream.
fn flush(shared: &Shared, sealed: &[Arc<Sealed>]) -> Result<()> {
    let Some(newest) = sealed.last() else { return Ok(()) };
    let stream = newest.stream;
    let ends_stream = sealed.iter().any(|sealed| sealed.ends_stream);
    let state = shared.ledger.refresh()?;
    let committed = state.committed(stream);
    let chunks: Vec<_> =
        sealed.iter().flat_map(|sealed| &sealed.chunks).filter_map(|chunk| chunk.after(committed)).collect();
    let ended = state.streams.get(&stream).is_some_and(|stream| stream.ended);
    if chunks.is_empty() && (ended || !ends_stream) {
        // An earlier attempt has published the commit, and perhaps not lived to sync its name.
        let ledger = shared.ledger.folder();
        return shared.disk.sync_dir(ledger).map_err(|error| Error::io("sync the ledger", ledger, error));
    }
    let range = StreamRange {
        stream,
        first_seq: committed.next(),
        last_seq: chunks.last().map_or(committed, |chunk| chunk.last),
    };
    let segments =
        segment::write_all(&shared.disk, &shared.root, state.store, range, Origin::Store, |kind| {
            Box::new(chunks.iter().filter_map(move |chunk| chunk.rows(kind)))
        })?;
    let result = shared.ledger.commit(|state| {
        if state.committed(stream) != committed {
            let why =
                format!("another process has flushed stream {stream}, which this one holds the lock of");
            return Err(Error::new(ErrorKind::Damaged, why));
        }
        Ok(Some(Action::Flush {
            range,
            last_recorded_at: newest.last_recorded_at,
            ends_stream,
            import: None,
            add: segments.clone(),
        }))
    });
    if let Err(error) = result {
        // Unless the commit was published all the same, nobody knows of these files.
        if shared.ledger.refresh().is_ok_and(|state| state.committed(stream) == committed) {
            segment::discard(&shared.disk, &shared.root, &segments);
        }
        return Err(error);
    }
    count(&shared.metrics.segments_written, segments.len() as u64);
    count(&shared.metrics.segment_bytes_written, segments.iter().map(|segment| segment.bytes).sum());
    Ok(())
}
