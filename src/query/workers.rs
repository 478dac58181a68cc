//! The threads that plan and compute queries. They are separate from the caller's threads.
//!
//! A query keeps a thread busy while it computes. On one of the caller's threads, it would stop the caller
//! from checking a clock, from reacting to Ctrl-C, and from dropping the stream. A runtime with one thread
//! would do nothing else. So the queries of all stores of a process run on separate threads, which are
//! started by the first query.
//!
//! A stopped query ends at the next check of [`stop`](super::stop). There is no check within one call of a
//! function, or within one partition of a window. A thread that is busy there is left alone, and later
//! queries get new threads.

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use datafusion::common::{DataFusionError, Result};
use datafusion::dataframe::DataFrame;
use datafusion::physical_plan::ExecutionPlan;
use tokio::runtime::{Builder, Handle, Runtime};

use super::deadline::late;
use crate::error::{Error, ErrorKind};
use crate::system_failures;

/// The stack of a worker thread. It is large because expressions are computed by recursion. Unused stack
/// takes no memory.
pub(super) const STACK_BYTES: usize = 16 << 20;
/// The largest number of thread sets that stopped queries may keep busy at one time.
const MOST_HELD: usize = 4;

static WORKERS: Mutex<Option<Workers>> = Mutex::new(None);

struct Workers {
    /// The process that started the threads. A forked child has no threads of its parent.
    process: u32,
    runtime: Runtime,
    /// The number of thread sets that were made before the current one.
    generation: u64,
    /// Runtimes whose threads stopped queries still use, with their generations.
    held: Vec<(u64, Runtime)>,
    works: Vec<Weak<Work>>,
}

/// The computation of one query, on any number of threads.
#[derive(Debug, Default)]
pub(super) struct Work {
    unwanted: AtomicBool,
    parts: AtomicUsize,
    /// The generation of the threads that compute the query.
    generation: AtomicU64,
}

impl Work {
    /// Makes a computation, and registers it with the workers.
    pub(super) fn new() -> Arc<Self> {
        let work = Arc::new(Self::default());
        // If the threads cannot be started, the next call that needs them reports the error.
        let _ = with_workers(|workers| {
            workers.works.retain(|work| work.strong_count() > 0);
            workers.works.push(Arc::downgrade(&work));
            Ok(())
        });
        work
    }

    /// Sets whether a caller waits for the answer.
    pub(super) fn set_wanted(&self, wanted: bool) {
        self.unwanted.store(!wanted, Ordering::Relaxed);
    }

    /// Begins a part of the computation. The part may keep a thread busy until the returned guard is dropped.
    pub(super) fn part(self: &Arc<Self>) -> Part {
        self.parts.fetch_add(1, Ordering::Relaxed);
        Part(Arc::clone(self))
    }

    /// Whether the query was stopped and still keeps a worker thread busy.
    fn holds(&self, generation: u64) -> bool {
        self.goes_on()
            && self.unwanted.load(Ordering::Relaxed)
            && self.generation.load(Ordering::Relaxed) == generation
    }

    /// Stores the generation of the threads that compute a part. The oldest generation stays while it may be
    /// in use.
    fn computed_by(&self, generation: u64) {
        if self.parts.load(Ordering::Relaxed) > 1 {
            self.generation.fetch_min(generation, Ordering::Relaxed);
        } else {
            self.generation.store(generation, Ordering::Relaxed);
        }
    }

    fn goes_on(&self) -> bool {
        self.parts.load(Ordering::Relaxed) > 0
    }
}

/// The guard of [`Work::part`].
#[derive(Debug)]
pub(super) struct Part(Arc<Work>);

impl Drop for Part {
    fn drop(&mut self) {
        self.0.parts.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// Shuts down runtimes that no query uses. `asking` is about to start; only its parts in older
    /// generations count.
    fn release(&mut self, works: &[Arc<Work>], asking: &Work) {
        let is_busy = |generation: u64| {
            works.iter().any(|work| {
                let begun =
                    work.parts.load(Ordering::Relaxed) > usize::from(std::ptr::eq(&raw const **work, asking));
                begun && work.generation.load(Ordering::Relaxed) == generation
            })
        };
        let (busy, free) = std::mem::take(&mut self.held).into_iter().partition(|(of, _)| is_busy(*of));
        self.held = busy;
        let free: Vec<(u64, Runtime)> = free;
        for (_, runtime) in free {
            runtime.shutdown_background();
        }
    }
}

fn with_workers<T>(act: impl FnOnce(&mut Workers) -> Result<T>) -> Result<T> {
    let mut workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match workers.as_mut() {
        Some(workers) if workers.process == process => act(workers),
        _ => {
            let mut made =
                Workers { process, runtime: threads()?, generation: 0, held: Vec::new(), works: Vec::new() };
            let done = act(&mut made);
            // The threads belong to the parent process, so this process must not wait for them.
            std::mem::forget(workers.replace(made));
            done
        }
    }
}

/// Makes a runtime with this number of threads, or with fewer if the system refuses more.
fn runtime(threads: usize, options: impl Fn(&mut Builder)) -> Result<Runtime, Error> {
    let mut threads = threads;
    loop {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads).enable_all();
        options(&mut builder);
        // Tokio panics if the system refuses a thread.
        let made = catch_unwind(AssertUnwindSafe(|| builder.build()));
        match made.unwrap_or_else(|panic| Err(refused(panic.as_ref()))) {
            Ok(made) => return Ok(made),
            Err(_) if threads > 1 => threads = 1,
            Err(error) => {
                let hint = system_failures::advice(&error, Path::new(""));
                let attempt = "failed to start the threads that compute queries";
                return Err(Error::with_source(ErrorKind::Io, attempt, error).hinting(hint));
            }
        }
    }
}

fn refused(panic: &(dyn Any + Send)) -> io::Error {
    system_failures::named_in_panic(panic).unwrap_or_else(|| {
        io::Error::other(system_failures::panic_text(panic).unwrap_or_default().to_owned())
    })
}

fn threads() -> Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
    let made = runtime(processors.max(2), |builder| {
        builder.thread_stack_size(STACK_BYTES).thread_name("ostracon-query");
    });
    made.map_err(|error| DataFusionError::External(Box::new(error)))
}

/// Returns the runtime that computes a query.
pub(super) fn workers(work: &Work) -> Result<Handle> {
    with_workers(|workers| {
        let works: Vec<_> = workers.works.iter().filter_map(Weak::upgrade).collect();
        workers.release(&works, work);
        let held = works.iter().any(|work| work.holds(workers.generation));
        if held {
            if workers.held.len() == MOST_HELD {
                let message = "failed to start the query: stopped queries keep all threads busy, each within \
                               one call of a function or one window; wait until they end, or open the store \
                               in a new process";
                return Err(DataFusionError::External(Box::new(Error::new(ErrorKind::Overloaded, message))));
            }
            let fresh = threads()?;
            let before = (workers.generation, std::mem::replace(&mut workers.runtime, fresh));
            workers.held.push(before);
            workers.generation += 1;
        }
        work.computed_by(workers.generation);
        Ok(workers.runtime.handle().clone())
    })
}

/// Runs work on a worker thread, and waits for the result until the timeout, or until the future is dropped.
pub(super) async fn on_worker<T: Send + 'static>(
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    struct Waits(Arc<Work>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.set_wanted(false);
        }
    }
    let known = Work::new();
    let part = known.part();
    let threads = workers(&known)?;
    let waits = Waits(known);
    let task = threads.spawn(async move {
        let _part = part;
        work.await
    });
    let done = match timeout {
        Some(timeout) => tokio::time::timeout(timeout, task).await.map_err(|_| late(timeout))?,
        None => task.await,
    };
    waits.0.set_wanted(true);
    done.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
}

/// The timeout of a query's planning. It is stored in the query's session.
#[derive(Debug)]
pub(super) struct Timeout(pub(super) Option<Duration>);

/// Makes the physical plan of an answer on a worker thread. The query's timeout applies, and dropping the
/// future stops the wait, even while the planner runs.
///
/// # Errors
/// [`ErrorKind::TimedOut`] after the query's timeout, [`ErrorKind::Query`] for SQL that cannot be planned.
pub(super) async fn physical_plan(answer: DataFrame) -> crate::error::Result<Arc<dyn ExecutionPlan>> {
    let timeout = answer.task_ctx().session_config().get_extension::<Timeout>();
    let timeout = timeout.and_then(|timeout| timeout.0);
    let planned = on_worker(timeout, async move { answer.create_physical_plan().await }).await;
    planned.map_err(super::query_error)
}
