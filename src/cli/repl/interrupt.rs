//! Ctrl-C: it stops what is running, and never the prompt.
//!
//! A thread of its own listens: the runtime's threads may all be busy with the very query that is
//! to be stopped.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::watch;

/// Tells when Ctrl-C is pressed.
#[derive(Clone)]
pub(super) struct Interrupt(watch::Receiver<u64>);

impl Interrupt {
    /// Listens from now on.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let (pressed, receiver) = watch::channel(0);
        let (ready, listening) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
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
                }
            });
        })?;
        let _ = listening.recv_timeout(Duration::from_secs(1));
        Ok(Self(receiver))
    }

    /// Forgets what was pressed before.
    pub(super) fn reset(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until it is pressed.
    pub(super) async fn wait(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
