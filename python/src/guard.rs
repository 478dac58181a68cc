//! How long work is done for Python: without the interpreter's lock, stopped by Ctrl-C or by a cancelled
//! task, and without a panic that crosses.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::error::{cancelled, fault, raise};

/// How long work may go on before Ctrl-C is looked for again.
pub(crate) const SIGNALS: Duration = Duration::from_millis(50);

/// The number of waits for work that was asked to stop. Together they take a few seconds.
const PATIENCE: u32 = 100;

thread_local! {
    /// What stops the work that this thread does for another.
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

    /// Asks it to stop.
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something that a [`Cancel`] may stop.
#[pyfunction]
pub(crate) fn cancellable<'py>(cancel: &Cancel, work: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let before = STOPPED_BY.replace(Some(Arc::clone(&cancel.0)));
    let done = work.call0();
    STOPPED_BY.set(before);
    done
}

/// Fails if the work of this thread is to stop.
pub(crate) fn check(py: Python<'_>) -> PyResult<()> {
    py.check_signals()?;
    let stopped = STOPPED_BY
        .with_borrow(|stopped| stopped.as_ref().is_some_and(|stopped| stopped.load(Ordering::Relaxed)));
    if stopped { Err(cancelled()) } else { Ok(()) }
}

/// Fails if the work of this thread is to stop, for work that waits in Python.
#[pyfunction]
pub(crate) fn check_stopped(py: Python<'_>) -> PyResult<()> {
    check(py)
}

/// How long the interpreter's lock is kept between two turns of other threads: twice Python's switch interval.
const TURN: Duration = Duration::from_millis(10);

/// Lets other Python threads run during long work that needs the interpreter's lock.
///
/// A waiting thread claims the lock only after it has waited for a whole switch interval (5 ms) without being
/// woken. A release that is followed at once by taking the lock back wakes it, and its wait begins again. So the
/// lock must be released rarely: a release each millisecond starves the other threads.
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

/// Does something; a panic becomes an exception that programs can handle.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| fault(&text_of(&*panic)))
}

/// Does something short without the interpreter's lock.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> ostracon::Result<T> + Send,
) -> PyResult<T> {
    caught(|| py.detach(work))?.map_err(raise)
}

/// What becomes of work when Ctrl-C, or a cancelled task, stops the wait for it.
pub(crate) enum Stopped<'f> {
    /// The flag is set, and the work ends soon. The caller waits for its end.
    Told(&'f AtomicBool),
    /// It goes on until it is done.
    GoesOn,
}

/// Does something long that ends soon once the flag that it is given is set.
pub(crate) fn stoppable<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(Arc<AtomicBool>) -> ostracon::Result<T> + Send + 'static,
) -> PyResult<T> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    interruptible(py, &Stopped::Told(&stop), move || work(told))
}

/// Does something long in a thread of its own.
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    stopped: &Stopped<'_>,
    work: impl FnOnce() -> ostracon::Result<T> + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = sync_channel(1);
    // Two threads never wait for it; this shows it to the compiler.
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
            Stopped::Told(flag) if interrupted.is_err() => {
                flag.store(true, Ordering::Relaxed);
                patience -= 1;
                if patience == 0 {
                    // It may hang in a read from a pipe. It ends as soon as it notices.
                    std::mem::replace(&mut interrupted, Ok(()))?;
                }
            }
            Stopped::GoesOn => std::mem::replace(&mut interrupted, Ok(()))?,
            Stopped::Told(_) => {}
        }
    }
}
