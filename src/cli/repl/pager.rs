//! What does not fit on the screen goes through a pager.

use std::io::{self, Write};
use std::process::{Child, Command, ExitStatus, Stdio};

/// What shows long answers when nobody says otherwise, the first that is there.
const DEFAULTS: [&str; 2] = ["less -SRFX", "more"];
/// So much is held back to see whether it fits.
const MOST_HELD: usize = 64 << 10;

/// The command that shows long answers, if any.
pub(super) fn command(configured: Option<&str>) -> Option<String> {
    let named = configured.map(str::to_owned).or_else(|| std::env::var("PAGER").ok());
    let found = || DEFAULTS.into_iter().find(|command| is_there(command)).map(str::to_owned);
    named.or_else(found).filter(|command| !command.trim().is_empty())
}

fn is_there(command: &str) -> bool {
    let name = command.split(' ').next().unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// A command line of the user's, as the shell understands it.
pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

/// How a command that was given an answer ended, if not well.
pub(super) fn failure(command: &str, status: ExitStatus) -> Option<String> {
    if status.success() {
        return None;
    }
    let how = status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
    Some(format!("`{command}` failed: {how}"))
}

/// Writes to the screen, and to a pager from the moment when there is more than fits.
pub(super) struct Screen {
    pager: Option<String>,
    lines: usize,
    /// What came first, and how many lines that was.
    held: Vec<u8>,
    begun: usize,
    child: Option<Child>,
}

impl Screen {
    /// A screen of so many lines; one without end never needs a pager.
    pub(super) const fn new(pager: Option<String>, lines: usize) -> Self {
        Self { pager, lines, held: Vec::new(), begun: 0, child: None }
    }

    /// Shows what is left, and waits until it was read. Where the pager does not work, what was held for
    /// it is shown without it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let mut failed = None;
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let status = child.wait()?;
            failed = self.pager.as_deref().and_then(|pager| failure(pager, status));
            if failed.is_none() {
                return Ok(());
            }
        }
        let mut out = io::stdout().lock();
        out.write_all(&self.held)?;
        out.flush()?;
        match failed {
            Some(failed) => Err(io::Error::other(format!(
                "this is the answer's beginning: {failed}; \\pager off shows answers without it"
            ))),
            None => Ok(()),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let Some(pager) = &self.pager else {
            io::stdout().lock().write_all(&self.held)?;
            self.held.clear();
            return Ok(());
        };
        let mut child = shell(pager).stdin(Stdio::piped()).spawn()?;
        let written = child.stdin.as_mut().map_or(Ok(()), |input| input.write_all(&self.held));
        self.child = Some(child);
        written
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(input) = self.child.as_mut().and_then(|child| child.stdin.as_mut()) {
            return input.write(bytes);
        }
        self.held.extend_from_slice(bytes);
        self.begun += memchr::memchr_iter(b'\n', bytes).count();
        if self.begun >= self.lines || self.held.len() >= MOST_HELD {
            self.begin()?;
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
