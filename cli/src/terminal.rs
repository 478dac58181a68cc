//! Restores the terminal to the state before a line editor changed it.
//!
//! The editor restores the state after each line. If a signal ends the process at the prompt, the process
//! must do that itself: otherwise the shell shows nothing of the text that the user types.

#[cfg(unix)]
pub(super) use unix::{remember, restore};

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::io::{self, Write};
    use std::os::fd::AsFd;
    use std::sync::OnceLock;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    static FOUND: OnceLock<Termios> = OnceLock::new();
    /// Turns off a mode that the editor turned on: marks around pasted text.
    const NO_MARKED_PASTE: &[u8] = b"\x1b[?2004l";

    /// Remembers the state of the terminal on standard input.
    pub(crate) fn remember() {
        if let Ok(found) = tcgetattr(io::stdin()) {
            let _ = FOUND.set(found);
        }
    }

    /// Restores that state, if an editor reads from the terminal.
    pub(crate) fn restore() {
        let Some(found) = FOUND.get() else { return };
        let is_reading =
            tcgetattr(io::stdin()).is_ok_and(|now| !now.local_modes.contains(LocalModes::ICANON));
        if !is_reading || tcsetattr(io::stdin(), OptionalActions::Now, found).is_err() {
            return;
        }
        // Write without the lock: the thread that holds it may never release it.
        if let Ok(out) = io::stdout().as_fd().try_clone_to_owned() {
            let _ = File::from(out).write_all(NO_MARKED_PASTE);
        }
    }
}

#[cfg(not(unix))]
pub(super) fn remember() {}

#[cfg(not(unix))]
pub(super) fn restore() {}
