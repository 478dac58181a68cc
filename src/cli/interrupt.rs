//! Ctrl-C: it stops what is running, and never the prompt.
//!
//! A thread of its own listens: the runtime's threads may all be busy with the very query that is
//! to be stopped. A script has nobody to go on with: there Ctrl-C is its end, at once if nothing is
//! being answered, and soon if what is being answered does not stop. No half-written file stays behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::watch;

/// The exit code of what Ctrl-C ended.
pub(super) const CODE: u8 = 130;
/// So long a statement of a script may take to stop: it may be writing to somebody who does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells when Ctrl-C is pressed.
#[derive(Clone)]
pub(super) struct Interrupt {
    pressed: watch::Receiver<u64>,
    busy: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens from now on; in a script until Ctrl-C is its end.
    pub(super) fn listen(is_script: bool) -> anyhow::Result<Self> {
        let (pressed, receiver) = watch::channel(0);
        let (ready, listening) = sync_channel(1);
        let busy = Arc::new(AtomicBool::new(false));
        let working = Arc::clone(&busy);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("interrupts".to_owned()).spawn(move || {
            runtime.block_on(async {
                let mut first = Some(ready);
                loop {
                    let mut next = std::pin::pin!(tokio::signal::ctrl_c());
                    // The first poll is what registers the handler.
                    let already = futures::poll!(next.as_mut()).is_ready();
                    if let Some(ready) = first.take() {
                        let _ = ready.send(());
                    }
                    if !already && next.await.is_err() {
                        break;
                    }
                    pressed.send_modify(|count| *count += 1);
                    if is_script {
                        if working.load(Ordering::Acquire) {
                            tokio::time::sleep(PATIENCE).await;
                        }
                        super::partial::abandon();
                        std::process::exit(i32::from(CODE));
                    }
                }
            });
        })?;
        let _ = listening.recv_timeout(Duration::from_secs(1));
        Ok(Self { pressed: receiver, busy })
    }

    /// Forgets what was pressed before. From now on something is being done.
    pub(super) fn begin(&mut self) {
        self.pressed.mark_unchanged();
        self.busy.store(true, Ordering::Release);
    }

    /// Nothing is being done any more.
    pub(super) fn end(&self) {
        self.busy.store(false, Ordering::Release);
    }

    /// Whether it was pressed since.
    pub(super) fn is_pressed(&self) -> bool {
        self.pressed.has_changed().unwrap_or(false)
    }

    /// Waits until it is pressed.
    pub(super) async fn wait(&mut self) {
        if self.pressed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
