//! The terminal as it was before a line editor changed how it behaves.
//!
//! The editor puts it back after each line. A process that a signal ends at the prompt has to do that itself:
//! else the shell after it shows nothing of what is typed.

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
    /// What the editor turned on: pasted text comes between marks.
    const NO_MARKED_PASTE: &[u8] = b"\x1b[?2004l";

    /// Remembers how the terminal on standard input behaves.
    pub(crate) fn remember() {
        if let Ok(found) = tcgetattr(io::stdin()) {
            let _ = FOUND.set(found);
        }
    }

    /// Lets it behave so again, if an editor reads from it.
    pub(crate) fn restore() {
        let Some(found) = FOUND.get() else { return };
        let is_reading =
            tcgetattr(io::stdin()).is_ok_and(|now| !now.local_modes.contains(LocalModes::ICANON));
        if !is_reading || tcsetattr(io::stdin(), OptionalActions::Now, found).is_err() {
            return;
        }
        // Past the lock: the thread that holds it may never give it back.
        if let Ok(out) = io::stdout().as_fd().try_clone_to_owned() {
            let _ = File::from(out).write_all(NO_MARKED_PASTE);
        }
    }
}

#[cfg(not(unix))]
pub(super) fn remember() {}

#[cfg(not(unix))]
pub(super) fn restore() {}
