//! Runs long work for Python: without the interpreter's lock, stopped by Ctrl-C or a cancelled task, and
//! without passing a panic to Python.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::error::{cancelled, fault, raise};

/// The time between two checks for Ctrl-C.
pub(crate) const SIGNALS: Duration = Duration::from_millis(50);

/// The number of waits for work that has to stop. Together they take a few seconds.
const PATIENCE: u32 = 100;

thread_local! {
    /// The flag that stops the work that this thread does for another thread.
    static STOPPED_BY: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Stops the work of another thread.
#[pyclass(frozen, module = "ostracon._native")]
pub(crate) struct Cancel(Arc<AtomicBool>);

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Requests the work to stop.
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs work that a [`Cancel`] may stop.
#[pyfunction]
pub(crate) fn cancellable<'py>(cancel: &Cancel, work: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let before = STOPPED_BY.replace(Some(Arc::clone(&cancel.0)));
    let done = work.call0();
    STOPPED_BY.set(before);
    done
}

/// Fails if the work of this thread has to stop.
pub(crate) fn check(py: Python<'_>) -> PyResult<()> {
    py.check_signals()?;
    let stopped = STOPPED_BY
        .with_borrow(|stopped| stopped.as_ref().is_some_and(|stopped| stopped.load(Ordering::Relaxed)));
    if stopped { Err(cancelled()) } else { Ok(()) }
}

/// Fails if the work of this thread has to stop. It is used by work that waits in Python.
#[pyfunction]
pub(crate) fn check_stopped(py: Python<'_>) -> PyResult<()> {
    check(py)
}

/// The time for which the interpreter's lock is kept between two turns of other threads: twice Python's
/// switch interval.
const TURN: Duration = Duration::from_millis(10);

/// Lets other Python threads run during long work that needs the interpreter's lock.
///
/// A waiting thread claims the lock only after it has waited for a whole switch interval (5 ms) without being
/// woken. A release that is followed at once by taking the lock back wakes it, and its wait begins again. So
/// the lock must be released rarely: a release each millisecond starves the other threads.
pub(crate) struct Turns(Instant);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Gives other threads a turn if they had none for some time.
    pub(crate) fn give(&mut self, py: Python<'_>) {
        if self.0.elapsed() >= TURN {
            py.detach(|| {});
            self.0 = Instant::now();
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given").to_owned()
}

/// Runs work, and turns a panic into an exception.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| fault(&text_of(&*panic)))
}

/// Runs short work without the interpreter's lock.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> ostracon::Result<T> + Send,
) -> PyResult<T> {
    caught(|| py.detach(work))?.map_err(raise)
}

/// The behavior of work when Ctrl-C or a cancelled task stops the wait for it.
pub(crate) enum Stopped<'f> {
    /// The flag is set, and the work ends soon. The caller waits for its end.
    ByFlag(&'f AtomicBool),
    /// The work continues until it is done.
    GoesOn,
}

/// Runs long work in another thread. The work must end soon after its flag is set.
pub(crate) fn stoppable<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(Arc<AtomicBool>) -> ostracon::Result<T> + Send + 'static,
) -> PyResult<T> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    interruptible(py, &Stopped::ByFlag(&stop), move || work(flag))
}

/// Runs long work in another thread.
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    stopped: &Stopped<'_>,
    work: impl FnOnce() -> ostracon::Result<T> + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = sync_channel(1);
    // Only one thread uses the receiver. The mutex shows this to the compiler.
    let receiver = Mutex::new(receiver);
    let thread = std::thread::Builder::new().name("ostracon-work".to_owned());
    thread.spawn(move || {
        let done = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| text_of(&*panic));
        // The caller may have stopped waiting.
        let _ = sender.send(done);
    })?;
    let mut interrupted = Ok(());
    let mut patience = PATIENCE;
    loop {
        match py.detach(|| receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SIGNALS)) {
            Ok(done) => {
                interrupted?;
                return done.map_err(|why| fault(&why))?.map_err(raise);
            }
            Err(RecvTimeoutError::Disconnected) => return Err(fault("its thread ended")),
            Err(RecvTimeoutError::Timeout) if interrupted.is_ok() => interrupted = check(py),
            Err(RecvTimeoutError::Timeout) => {}
        }
        match stopped {
            Stopped::ByFlag(flag) if interrupted.is_err() => {
                flag.store(true, Ordering::Relaxed);
                patience -= 1;
                if patience == 0 {
                    // The work may hang in a read from a pipe. It ends when it checks the flag.
                    std::mem::replace(&mut interrupted, Ok(()))?;
                }
            }
            Stopped::GoesOn => std::mem::replace(&mut interrupted, Ok(()))?,
            Stopped::ByFlag(_) => {}
        }
    }
}
