//! The signals that end a command: SIGINT, which Ctrl-C sends; SIGTERM, which service managers and containers
//! send; and SIGHUP, which arrives when the terminal is closed or the connection to it is cut. At the prompt
//! Ctrl-C stops the running statement, and never the prompt.
//!
//! Every command has handlers for them: the first process of a container does not even get a signal that it
//! has no handler for. The handler runs on a thread of its own, because all other threads may be busy with
//! the work that is to be stopped. When a signal arrives,
//!
//! 1. a command that works in steps sees it, and has a moment to end well ([`ends_well`], [`code`]);
//! 2. the final action runs ([`at_end`]): a recorder closes its store;
//! 3. half-written files are removed, the terminal is restored, and the process ends.
//!
//! A signal that the process was started to ignore, as by `nohup` or in the background of a script, stays
//! ignored. Where the system does not say which signals these are, SIGHUP has no handler: `nohup` must keep
//! its promise.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// How long a busy command may take to stop: it may be writing to a program that does not read.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the final action may take, unless a second signal arrives.
const FINAL_PATIENCE: Duration = Duration::from_secs(8);

/// The signal for a file that has reached its largest size.
#[cfg(unix)]
const FILE_TOO_LARGE: i32 = 25;

/// The exit code of a process that a signal ended is this number plus the number of the signal.
const SIGNAL_CODE: u8 = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    #[cfg(unix)]
    Hangup = 1,
    Interrupt = 2,
    Terminate = 15,
}

impl Signal {
    const fn number(self) -> u8 {
        self as u8
    }
}

/// The number of the signal that ends this process; 0 if none has arrived.
static ENDING: AtomicU8 = AtomicU8::new(0);
/// Whether a command is busy, and ends by itself when a signal arrives.
static BUSY: AtomicBool = AtomicBool::new(false);
/// Whether the prompt is open, where Ctrl-C does not end the process.
static AT_PROMPT: AtomicBool = AtomicBool::new(false);
static PRESSED: OnceLock<watch::Sender<u64>> = OnceLock::new();
static FINAL_ACTION: Mutex<Option<FinalAction>> = Mutex::new(None);

/// Wakes the threads in [`sleep`].
static WAKE: Condvar = Condvar::new();
static WAKING: Mutex<()> = Mutex::new(());

type FinalAction = Box<dyn FnOnce() + Send>;

fn pressed() -> &'static watch::Sender<u64> {
    PRESSED.get_or_init(|| watch::channel(0).0)
}

/// Installs the handlers.
pub(super) fn listen() -> anyhow::Result<()> {
    let (send, signals) = sync_channel(8);
    let (ready, listening) = sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let heard = |signal| {
                let _ = send.try_send(signal);
            };
            let ready = || {
                let _ = ready.send(());
            };
            sources(heard, ready).await;
        });
    })?;
    std::thread::Builder::new().name("interrupts".to_owned()).spawn(move || {
        while let Ok(signal) = signals.recv() {
            on(signal, &signals);
        }
    })?;
    let _ = listening.recv_timeout(Duration::from_secs(1));
    Ok(())
}

#[cfg(unix)]
async fn sources(heard: impl Fn(Signal), ready: impl FnOnce()) {
    use tokio::signal::unix::{SignalKind, signal};
    let ignored = ignored();
    let listen = |which: Signal, kind| {
        let is_ignored = ignored.unwrap_or_default() & (1 << (which.number() - 1)) != 0;
        if is_ignored { None } else { signal(kind).ok() }
    };
    let mut interrupts = listen(Signal::Interrupt, SignalKind::interrupt());
    let mut terminations = listen(Signal::Terminate, SignalKind::terminate());
    let mut hangups = ignored.and_then(|_| listen(Signal::Hangup, SignalKind::hangup()));
    // A file that may not grow any more (`ulimit -f`) is reported by the error of its write. The signal must
    // not end the process.
    let _files = signal(SignalKind::from_raw(FILE_TOO_LARGE));
    ready();
    loop {
        tokio::select! {
            () = next(&mut interrupts) => heard(Signal::Interrupt),
            () = next(&mut terminations) => heard(Signal::Terminate),
            () = next(&mut hangups) => heard(Signal::Hangup),
        }
    }
}

/// Waits for the next signal of this kind; for ever if the program has no handler for it.
#[cfg(unix)]
async fn next(signals: &mut Option<tokio::signal::unix::Signal>) {
    match signals {
        Some(signals) => {
            signals.recv().await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn sources(heard: impl Fn(Signal), ready: impl FnOnce()) {
    ready();
    while tokio::signal::ctrl_c().await.is_ok() {
        heard(Signal::Interrupt);
    }
}

/// The signals that this process was started to ignore, one bit each, where the system reports them.
#[cfg(unix)]
fn ignored() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn on(signal: Signal, more: &Receiver<Signal>) {
    let only_stops = signal == Signal::Interrupt && AT_PROMPT.load(Ordering::Acquire);
    if !only_stops {
        let _waking = WAKING.lock().unwrap_or_else(PoisonError::into_inner);
        ENDING.store(signal.number(), Ordering::Release);
        WAKE.notify_all();
    }
    pressed().send_modify(|count| *count += 1);
    if only_stops {
        return;
    }
    if BUSY.load(Ordering::Acquire) {
        std::thread::sleep(PATIENCE);
    }
    let action = FINAL_ACTION.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(action) = action {
        let (done, wait) = sync_channel::<()>(1);
        let begun = std::thread::Builder::new().name("final action".to_owned()).spawn(move || {
            action();
            drop(done);
        });
        let tick = Duration::from_millis(20);
        let mut left = FINAL_PATIENCE;
        while begun.is_ok() && wait.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
            left = left.saturating_sub(tick);
            if left.is_zero() || more.try_recv().is_ok() {
                break;
            }
        }
    }
    super::atomic_file::abandon();
    super::terminal::restore();
    std::process::exit(i32::from(SIGNAL_CODE + signal.number()));
}

/// The exit code if a signal ends this process; `None` if no signal has arrived.
pub(super) fn code() -> Option<u8> {
    match ENDING.load(Ordering::Acquire) {
        0 => None,
        signal => Some(SIGNAL_CODE + signal),
    }
}

/// Declares that the command checks [`code`] often, and ends by itself soon after a signal.
pub(super) fn ends_well() {
    BUSY.store(true, Ordering::Release);
}

/// Sets the final action, which runs before a signal ends this process.
pub(super) fn at_end(action: impl FnOnce() + Send + 'static) {
    *FINAL_ACTION.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(action));
}

/// Waits for this time, or until a signal ends this process.
pub(super) fn sleep(time: Duration) {
    let guard = WAKING.lock().unwrap_or_else(PoisonError::into_inner);
    drop(WAKE.wait_timeout_while(guard, time, |()| code().is_none()));
}

/// Informs a runner of statements that a signal has arrived.
#[derive(Clone)]
pub(super) struct Interrupt {
    pressed: watch::Receiver<u64>,
}

impl Interrupt {
    /// For a script, which Ctrl-C ends, or for the prompt.
    pub(super) fn new(is_script: bool) -> Self {
        AT_PROMPT.store(!is_script, Ordering::Release);
        Self { pressed: pressed().subscribe() }
    }

    /// Forgets earlier signals, and declares that work begins.
    pub(super) fn begin(&mut self) {
        self.pressed.mark_unchanged();
        BUSY.store(true, Ordering::Release);
    }

    /// Declares that the work has ended.
    pub(super) fn end() {
        BUSY.store(false, Ordering::Release);
    }

    /// Whether a signal has arrived since [`begin`](Self::begin).
    pub(super) fn is_pressed(&self) -> bool {
        self.pressed.has_changed().unwrap_or(false)
    }

    /// Waits until a signal arrives.
    pub(super) async fn wait(&mut self) {
        if self.pressed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
