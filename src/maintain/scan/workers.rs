//! Checks many segments in several threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::options::{ScanDepth, ScanOptions, ScanProgress};
use super::segments::{Checked, Checker};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Segment;

/// How often progress is reported.
const EVERY: Duration = Duration::from_millis(100);

/// Checks all segments, and returns the findings in the segments' order.
pub(super) fn check(
    checker: &Checker<'_>,
    segments: &[&Segment],
    options: &ScanOptions<'_>,
) -> Result<Vec<Checked>> {
    // The largest segments first, so that no thread works alone on a large one at the end.
    let mut order: Vec<(usize, &Segment)> = segments.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, segment)| std::cmp::Reverse(segment.bytes));
    let next = AtomicUsize::new(0);
    let read = AtomicU64::new(0);
    let progress = |bytes| {
        read.fetch_add(bytes, Ordering::Relaxed);
    };
    let work = |results: &Sender<(usize, Result<Checked>)>| {
        while let Some((at, segment)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            // The receiver is gone when another thread has failed.
            if results.send((*at, checker.check(segment, &progress))).is_err() {
                break;
            }
        }
    };
    let of = segments.iter().map(|segment| segment.bytes).fold(0, u64::saturating_add);
    let tell = || {
        if let Some(call) = options.on_progress.as_ref().filter(|_| options.depth == ScanDepth::Deep) {
            call(ScanProgress { bytes: read.load(Ordering::Relaxed), of });
        }
    };
    let mut all: Vec<Checked> = segments.iter().map(|_| Checked::default()).collect();
    std::thread::scope(|scope| {
        let (results, received) = channel();
        for _ in 0..options.threads.min(segments.len()) {
            let results = results.clone();
            scope.spawn(move || catch_unwind(AssertUnwindSafe(|| work(&results))));
        }
        drop(results);
        let (mut left, mut reported_at) = (segments.len(), Instant::now());
        while left > 0 {
            // Each thread ends after its current segment. The result is not used.
            options.check()?;
            match received.recv_timeout(EVERY) {
                Ok((at, result)) => {
                    if let Some(place) = all.get_mut(at) {
                        *place = result?;
                    }
                    left -= 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(
                        ErrorKind::Internal,
                        "checking the segments failed: a thread panicked",
                    ));
                }
            }
            if reported_at.elapsed() >= EVERY {
                tell();
                reported_at = Instant::now();
            }
        }
        Ok(())
    })?;
    tell();
    Ok(all)
}
