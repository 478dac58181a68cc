//! Sends the messages of the library to stderr.
//!
//! The library logs from threads of its own, at any time. A message that arrives while the user types at the
//! prompt would appear within the typed line. So it is held back until the line is read.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// The number of bytes that are held back at most. Further messages go to stderr at once.
const MOST_HELD: usize = 64 << 10;

/// Messages that wait until the line is typed; `None` while no line is being typed.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// Writes warnings of the library to stderr from now on; `RUST_LOG` selects more. A panic in a decoder is
/// reported as the error that it becomes.
pub(super) fn listen() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
        .from_env_lossy();
    // A program that embeds the command line may have a subscriber of its own.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| MessageWriter)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .try_init();
    std::panic::set_hook(Box::new(|panic| tracing::debug!("{panic}")));
}

/// Holds the messages of the library back until it is dropped.
pub(super) struct MessagePause;

impl MessagePause {
    pub(super) fn new() -> Self {
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        Self
    }
}

impl Drop for MessagePause {
    fn drop(&mut self) {
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A closed stderr is no error.
        let _ = io::stderr().lock().write_all(&held.unwrap_or_default());
    }
}

struct MessageWriter;

impl Write for MessageWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut().filter(|held| held.len() < MOST_HELD) {
            Some(held) => held.extend_from_slice(bytes),
            None => io::stderr().lock().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_waits_until_the_line_is_typed() {
        let pause = MessagePause::new();
        MessageWriter.write_all(b"a rule is not understood\n").unwrap();
        let kept = HELD.lock().unwrap().clone();
        assert_eq!(kept.as_deref(), Some(&b"a rule is not understood\n"[..]));
        drop(pause);
        assert!(HELD.lock().unwrap().is_none());
    }
}
