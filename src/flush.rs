//! The flush: moves facts from the buffer into segments, and into the ledger.
//!
//! 1. Seal: the buffer's chunks and their journal file become one [`Sealed`]; the next fact goes into a
//!    new file, which was begun before ([`Recorder::seal`]).
//! 2. Write one segment per kind that has rows ([`segment::write_all`]).
//! 3. Commit them, and with them a gapless range of the stream (`Ledger::commit`).
//! 4. Release the chunks, and remove the journal files.
//!
//! `Recorder::due` decides when a flush begins, by the numbers in `FlushSettings` (`settings.rs`).
//!
//! If the process is killed between two steps, the facts are in the journal or in the ledger, or in both;
//! a reader of the journal then skips the facts that the ledger covers. A failed flush is tried again. It
//! first reads in the ledger how far the stream is covered, because a commit may have been published even
//! though its sync failed.
//!
//! Only the owner of a stream commits its facts. If the ledger covers facts that are still to be flushed,
//! and no attempt of this process can have committed them, another owner did: the lock file was removed,
//! or the locks of the file system do not work. Then the numbers in the ledger name other facts, and no
//! chunk is released.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::counters::count;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::StreamId;
use crate::ledger::{Action, Segment, StreamRange};
use crate::recorder::{Attempts, PENDING_AGE, Recorder, Sealed};
use crate::segment::{self, Origin};

/// The first and the longest time between two attempts of a failed flush: each failure in a row doubles
/// it.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// How often repeated failures of flushes are logged.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// The background thread of a store that is open for writing. It ends when the recorder closes.
pub(crate) fn run(context: &Context, recorder: &Recorder) {
    let mut retry = RETRY;
    let mut failures = Failures::default();
    while wait_for_work(recorder, &mut failures) {
        // A panic must not end the thread: then no thread would flush any more.
        let flushed = catch_unwind(AssertUnwindSafe(|| flush_sealed(context, recorder)));
        match flushed
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the flush failed: it panicked")))
        {
            Ok(()) => {
                retry = RETRY;
                failures.end();
            }
            Err(error) => {
                failures.note(&error);
                recorder.lock().retry_at = Some(Instant::now() + retry);
                retry = (retry * 2).min(LONGEST_RETRY);
            }
        }
    }
}

/// Consecutive failures of flushes. The first one is logged at once, and then one a minute as long as
/// they continue, so that a lost log line is repeated.
#[derive(Default)]
struct Failures {
    since: Option<(Instant, u64)>,
    said_at: Option<Instant>,
}

impl Failures {
    fn note(&mut self, error: &Error) {
        let now = Instant::now();
        let (begun, count) = self.since.map_or((now, 1), |(begun, count)| (begun, count + 1));
        self.since = Some((begun, count));
        if self.said_at.is_some_and(|at| now < at + LOG_EVERY) {
            return;
        }
        self.said_at = Some(now);
        tracing::warn!(%error, failures = count, seconds = (now - begun).as_secs(),
            "a flush failed and will be tried again; the facts stay in the journal");
    }

    fn end(&mut self) {
        if let Some((begun, count)) = self.since.take() {
            self.said_at = None;
            tracing::info!(failures = count, seconds = begun.elapsed().as_secs(), "flushing works again");
        }
    }
}

/// Waits until a buffer is sealed; seals the buffer if it is full or old enough. Returns `false` when
/// recording has ended.
fn wait_for_work(recorder: &Recorder, failures: &mut Failures) -> bool {
    let mut state = recorder.lock();
    loop {
        if state.closed {
            return false;
        }
        let now = Instant::now();
        state.retry_at = state.retry_at.filter(|at| *at > now);
        if state.retry_at.is_none() {
            if recorder.due(&state).is_some_and(|due| due <= now) {
                // Facts are recorded meanwhile, and the store may be closed.
                drop(state);
                let sealed = recorder.seal();
                state = recorder.lock();
                if let Err(error) = sealed {
                    failures.note(&error);
                    state.retry_at = Some(Instant::now() + RETRY);
                }
                // Sealed facts are flushed before the next seal, even if the buffer fills quickly.
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

/// Flushes everything that is sealed, one stream at a time. If one stream cannot be flushed, the others
/// still are.
pub(crate) fn flush_sealed(context: &Context, recorder: &Recorder) -> Result<()> {
    // One flush at a time.
    let mut attempts = recorder.flushing();
    let waiting = {
        let state = recorder.lock();
        if state.sealed.is_empty() {
            return Ok(());
        }
        state.check_sound()?;
        if state.claim.is_none() {
            // Another process may own the stream now and read its journal.
            return Err(Error::new(
                ErrorKind::Closed,
                "the store is closed; its unflushed facts are in the journal",
            ));
        }
        state.sealed.iter().cloned().collect::<Vec<_>>()
    };
    let mut result = Ok(());
    for sealed in waiting.chunk_by(|one, next| one.stream == next.stream) {
        let flushed = flush(context, sealed, &mut attempts);
        count(if flushed.is_ok() { &context.metrics.flushes } else { &context.metrics.flush_errors }, 1);
        match flushed {
            Ok(()) => {
                retire(context, sealed);
                recorder.committed(sealed);
            }
            Err(error) => {
                // A conflict about another stream, of a dead process, does not stop the recorder's own
                // stream.
                let mut state = recorder.lock();
                let is_own =
                    state.stream == sealed_stream(sealed) && attempts.two_owners.contains(&state.stream);
                let error = if is_own { state.note_conflict(error) } else { error };
                drop(state);
                result = result.and(Err(error));
            }
        }
    }
    result.map_err(|error| {
        let explained = context.disk.explain(error);
        if let Err(moved) = context.disk.check_place() {
            recorder.lock().note(&moved);
        }
        explained
    })
}

/// Flushes the facts that a dead process left in one stream.
pub(crate) fn flush_taken_over(context: &Context, sealed: &Arc<Sealed>) -> Result<()> {
    flush(context, std::slice::from_ref(sealed), &mut Attempts::default())?;
    retire(context, std::slice::from_ref(sealed));
    Ok(())
}

/// Removes the journal files of facts that the ledger covers. A file with bytes that could not be read is
/// kept in `quarantine/`.
fn retire(context: &Context, sealed: &[Arc<Sealed>]) {
    for journal in sealed.iter().flat_map(|sealed| &sealed.keep_aside) {
        let name = format!("{}.journal", uuid::Uuid::new_v4().simple());
        let aside = context.root.join("quarantine").join(name);
        match context.disk.publish_link(journal, &aside) {
            Ok(()) => tracing::warn!(journal = %journal.display(), aside = %aside.display(),
                "the end of a journal was lost by a power failure, or by the disk; the file is kept aside"),
            Err(error) => {
                tracing::warn!(%error, "cannot move a journal file aside; it stays in its place");
                return;
            }
        }
    }
    for journal in sealed.iter().flat_map(|sealed| &sealed.journals) {
        if let Err(error) = context.disk.remove(journal) {
            tracing::warn!(%error, "cannot remove a journal file whose facts are in the ledger");
        }
    }
}

/// The stream of facts that are flushed together.
fn sealed_stream(sealed: &[Arc<Sealed>]) -> StreamId {
    sealed.first().map_or(StreamId(0), |sealed| sealed.stream)
}

fn sync_ledger(context: &Context) -> Result<()> {
    let ledger = context.ledger.folder();
    context.ledger.sync().map_err(|error| Error::io("sync the ledger", ledger, error))
}

/// Writes and commits the facts of one stream.
fn flush(context: &Context, sealed: &[Arc<Sealed>], attempts: &mut Attempts) -> Result<()> {
    let Some(newest) = sealed.last() else { return Ok(()) };
    let stream = newest.stream;
    let ends_stream = sealed.iter().any(|sealed| sealed.ends_stream);
    let state = context.ledger.refresh()?;
    attempts.check_owned(&state, stream, sealed)?;
    let committed = state.committed(stream);
    let chunks: Vec<_> =
        sealed.iter().flat_map(|sealed| &sealed.chunks).filter_map(|chunk| chunk.after(committed)).collect();
    let ended = state.streams.get(&stream).is_some_and(|stream| stream.ended);
    if chunks.is_empty() && (ended || !ends_stream) {
        // An earlier attempt has published the commit, and may not have synced its name.
        sync_ledger(context)?;
        attempts.unknown.remove(&stream);
        return Ok(());
    }
    let range = StreamRange {
        stream,
        first_seq: committed.next(),
        last_seq: chunks.last().map_or(committed, |chunk| chunk.last),
    };
    let segments =
        segment::write_all(&context.disk, &context.root, state.store, range, Origin::Store, |kind| {
            Box::new(chunks.iter().filter_map(move |chunk| chunk.rows(kind)))
        })?;
    attempts.unknown.entry(stream).or_default().insert(range.last_seq);
    let result = context.ledger.commit(|state| {
        if state.committed(stream) != committed {
            // Some file systems report a link that they made as one that existed before.
            let is_live = |own: &Segment| state.segments(own.kind).iter().any(|live| live.path == own.path);
            let is_own = !segments.is_empty() && segments.iter().all(is_live);
            return if is_own { Ok(None) } else { Err(attempts.two_owners(stream)) };
        }
        Ok(Some(Action::Flush {
            range,
            last_recorded_at: newest.last_recorded_at,
            ends_stream,
            import: None,
            add: segments.clone(),
        }))
    });
    // A commit that was published without a sync counts as failed until the ledger is synced.
    let result = result.and_then(|done| if done.is_none() { sync_ledger(context) } else { Ok(()) });
    attempts.note(stream, range.last_seq, &result);
    if let Err(error) = result {
        // Unless the commit was published all the same, no commit names these files.
        if context.ledger.refresh().is_ok_and(|state| state.committed(stream) == committed) {
            segment::discard(&context.disk, &context.root, &segments);
        }
        return Err(error);
    }
    count(&context.metrics.segments_written, segments.len() as u64);
    count(&context.metrics.segment_bytes_written, segments.iter().map(|segment| segment.bytes).sum());
    Ok(())
}
