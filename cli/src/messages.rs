//! What the library says, on its way to stderr.
//!
//! It speaks in threads of its own, at any time. A line that comes while a person types at the prompt would land
//! within what is typed: it is held until the line is read.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Bytes that are held at most: what comes after them goes to stderr at once.
const MOST_HELD: usize = 64 << 10;

/// Messages that wait until a line is typed; `None` when no line is being typed.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// Writes warnings of the library to stderr from now on, and more with `RUST_LOG`. A panic in a decoder is reported
/// as the error that it becomes.
pub(super) fn listen() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
        .from_env_lossy();
    // A program that calls the command line may listen itself.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Talk)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .try_init();
    std::panic::set_hook(Box::new(|panic| tracing::debug!("{panic}")));
}

/// Holds what the library says until this is dropped.
pub(super) struct Hold;

impl Hold {
    pub(super) fn new() -> Self {
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        Self
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A closed stderr is no error.
        let _ = io::stderr().lock().write_all(&held.unwrap_or_default());
    }
}

struct Talk;

impl Write for Talk {
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
        let hold = Hold::new();
        Talk.write_all(b"a rule is not understood\n").unwrap();
        let kept = HELD.lock().unwrap().clone();
        assert_eq!(kept.as_deref(), Some(&b"a rule is not understood\n"[..]));
        drop(hold);
        assert!(HELD.lock().unwrap().is_none());
    }
}
