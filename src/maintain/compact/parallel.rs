//! Runs jobs on two cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::merge::Stop;
use crate::error::{Error, ErrorKind, Result};

/// The number of parallel jobs. The memory of each job is limited, and so is their number.
const WORKERS: usize = 2;
const TICK: Duration = Duration::from_millis(100);

/// Runs the jobs, some at a time. It calls `tick` from time to time, and at the end, in this thread. It
/// returns the results in the order of the jobs. If a job fails, it returns the error; then other jobs
/// may not have run.
pub(super) fn run_parallel<J: Sync, T: Send>(
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
            catch_unwind(AssertUnwindSafe(|| work(job))).unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Internal, "the compaction failed: a thread panicked"))
            })
        });
        match result {
            Ok(made) => done.lock().unwrap_or_else(PoisonError::into_inner).push((number, made)),
            Err(error) => {
                // The error of a stopped job is not the reason.
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
