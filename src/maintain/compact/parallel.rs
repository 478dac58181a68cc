//! Work on both cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::merge::Stop;
use crate::error::{Error, ErrorKind, Result};

/// How many jobs are done at the same time. What each may have in memory is bounded, and so is this.
const WORKERS: usize = 2;
const TICK: Duration = Duration::from_millis(100);

/// Does the jobs, some at a time, and calls `tick` now and then, and at the end, in this thread. Returns what came of
/// them, in their order; and, if one has failed, its error: then others may not have been done.
pub(super) fn beside<J: Sync, T: Send>(
    jobs: &[J],
    stop: &Stop<'_>,
    work: impl Fn(&J) -> Result<T> + Sync,
    mut tick: impl FnMut(),
) -> (Vec<T>, Option<Error>) {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::new());
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    let do_next = || -> bool {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(job) = jobs.get(number) else { return false };
        let result = stop.check().and_then(|()| {
            catch_unwind(AssertUnwindSafe(|| work(job)))
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the compaction failed within")))
        });
        match result {
            Ok(made) => done.lock().unwrap_or_else(PoisonError::into_inner).push((number, made)),
            Err(error) => {
                // What stops the others is not the reason.
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                stop.failed.store(true, Ordering::Relaxed);
                return false;
            }
        }
        true
    };
    std::thread::scope(|scope| {
        let (alive, ended) = channel::<()>();
        for _ in 0..WORKERS.min(jobs.len()) {
            let alive = alive.clone();
            let do_next = &do_next;
            scope.spawn(move || {
                while do_next() {}
                drop(alive);
            });
        }
        drop(alive);
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            tick();
        }
    });
    tick();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    let made = done.into_iter().map(|(_, made)| made).collect();
    (made, failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}
