//! The flush: from the buffer into segments, and into the ledger.
//!
//! 1. Seal: the buffer's chunks and the journal file that holds them become one [`Sealed`]; the
//!    next fact goes into a new file ([`Recorder::seal`]).
//! 2. Write one segment per kind that has rows ([`segment::write_all`]).
//! 3. Commit them, and with them a gapless range of the stream ([`Ledger::commit`]).
//! 4. Let go of the chunks, and remove the journal files.
//!
//! Killed between any two steps, the facts are in the journal or in the ledger, or in both: then
//! whoever reads the journal skips what the ledger covers. A flush that failed is tried again; it
//! asks the ledger first how far the stream is covered, for a commit may have been published even
//! though its sync failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Action, StreamRange};
use crate::metrics::count;
use crate::recorder::{PENDING_AGE, Recorder, Sealed};
use crate::segment;
use crate::store::Shared;

/// How long a failed flush waits before the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// The background thread of a store that is open for writing. It ends when the recorder closes.
pub(crate) fn run(shared: &Shared, recorder: &Recorder) {
    while wait_for_work(recorder) {
        if let Err(error) = flush_sealed(shared, recorder) {
            tracing::warn!(%error, "a flush failed and will be tried again; the facts stay in the journal");
            recorder.lock().retry_at = Some(Instant::now() + RETRY);
        }
    }
}

/// Waits until something is sealed, sealing it if it is old enough. `false` at the end.
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
                if let Err(error) = recorder.seal(&mut state) {
                    tracing::warn!(%error, "the buffer could not be sealed");
                    state.retry_at = Some(now + RETRY);
                }
            } else if state.has_pending()
                && let Err(error) = state.write_pending()
            {
                tracing::warn!(%error, "buffered facts could not be journaled");
            }
            if !state.sealed.is_empty() && state.retry_at.is_none() {
                return true;
            }
        }
        let wake = [state.retry_at, recorder.due(&state)].into_iter().flatten().min();
        let most = if recorder.is_buffered() { PENDING_AGE } else { Duration::from_secs(60) };
        let wait = wake.map_or(most, |wake| wake.saturating_duration_since(now).min(most));
        state = recorder.wait_for_work(state, wait);
    }
}

/// Flushes everything that is sealed, oldest first.
pub(crate) fn flush_sealed(shared: &Shared, recorder: &Recorder) -> Result<()> {
    let _one_at_a_time = shared.flushing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    loop {
        let sealed = {
            let state = recorder.lock();
            state.check_sound()?;
            let Some(first) = state.sealed.front() else { return Ok(()) };
            let same = state.sealed.iter().take_while(|sealed| sealed.stream == first.stream);
            same.cloned().collect::<Vec<_>>()
        };
        let result = flush(shared, &sealed);
        count(if result.is_ok() { &shared.metrics.flushes } else { &shared.metrics.flush_errors }, 1);
        result?;
        recorder.committed(&sealed);
        retire(shared, &sealed);
    }
}

/// Flushes what a dead process left in one stream.
pub(crate) fn flush_left(shared: &Shared, sealed: &Arc<Sealed>) -> Result<()> {
    flush(shared, std::slice::from_ref(sealed))?;
    retire(shared, std::slice::from_ref(sealed));
    Ok(())
}

/// Removes the journal files of facts that the ledger covers.
fn retire(shared: &Shared, sealed: &[Arc<Sealed>]) {
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
    let segments = segment::write_all(&shared.disk, &shared.root, state.store, range, |kind| {
        Box::new(chunks.iter().filter_map(move |chunk| chunk.rows(kind)))
    })?;
    count(&shared.metrics.segments_written, segments.len() as u64);
    count(&shared.metrics.segment_bytes_written, segments.iter().map(|segment| segment.bytes).sum());
    shared.ledger.commit(|state| {
        if state.committed(stream) != committed {
            let why = format!("another process has flushed stream {stream}, which this one holds the lock of");
            return Err(Error::new(ErrorKind::Damaged, why));
        }
        Ok(Some(Action::Flush {
            range,
            last_recorded_at: newest.last_recorded_at,
            ends_stream,
            import: None,
            add: segments.clone(),
        }))
    })?;
    Ok(())
}
