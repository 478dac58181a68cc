//! What does not fit on the screen goes through a pager.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// What shows long answers when nobody says otherwise.
const DEFAULT: &str = "less -SRFX";

/// The command that shows long answers, if any.
pub(super) fn command(configured: Option<&str>) -> Option<String> {
    let named = configured.map(str::to_owned).or_else(|| std::env::var("PAGER").ok());
    Some(named.unwrap_or_else(|| DEFAULT.to_owned())).filter(|command| !command.trim().is_empty())
}

/// A command line of the user's, as the shell understands it.
pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

/// Writes to the screen, and to a pager from the moment when there is more than fits.
pub(super) struct Screen {
    pager: Option<String>,
    lines: usize,
    held: Vec<u8>,
    child: Option<Child>,
}

impl Screen {
    /// A screen of so many lines; one without end never needs a pager.
    pub(super) const fn new(pager: Option<String>, lines: usize) -> Self {
        Self { pager, lines, held: Vec::new(), child: None }
    }

    /// Shows what is left, and waits until it was read.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            child.wait()?;
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(&self.held)?;
        out.flush()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(input) = self.child.as_mut().and_then(|child| child.stdin.as_mut()) {
            return input.write(bytes);
        }
        self.held.extend_from_slice(bytes);
        let lines = memchr::memchr_iter(b'\n', &self.held).count();
        if lines >= self.lines {
            let Some(pager) = &self.pager else {
                io::stdout().lock().write_all(&self.held)?;
                self.held.clear();
                return Ok(bytes.len());
            };
            let mut child = shell(pager).stdin(Stdio::piped()).spawn()?;
            let held = std::mem::take(&mut self.held);
            let written = child.stdin.as_mut().map_or(Ok(()), |input| input.write_all(&held));
            self.child = Some(child);
            written?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.child.as_mut().and_then(|child| child.stdin.as_mut()) {
            Some(input) => input.flush(),
            None => Ok(()),
        }
    }
}
