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

/// What `less` is told where the user tells it nothing, as Git does: to show colours, to end where everything fits, and
/// to leave it on the screen.
const LESS: &str = "FRX";

/// Whether a pager shows colours instead of escape sequences. `less` does with the option `-R`.
fn shows_colours(pager: &str, less: &str) -> bool {
    let mut words = pager.split_whitespace();
    let program = words.next().unwrap_or_default();
    match program.rsplit('/').next().unwrap_or_default() {
        "less" => {
            let told =
                |word: &str| word.starts_with('-') && !word.starts_with("--") && word.contains(['R', 'r']);
            let in_full = |word: &str| word.eq_ignore_ascii_case("--raw-control-chars");
            less.contains(['R', 'r']) || words.any(|word| told(word) || in_full(word))
        }
        name => matches!(name, "more" | "cat" | "bat" | "moor" | "moar" | "ov"),
    }
}

/// Takes colours out of what is written.
#[derive(Default)]
struct Uncoloured {
    in_colour: bool,
}

impl Uncoloured {
    /// The bytes without their colours, which may end in the next ones.
    fn plain(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(bytes.len());
        for byte in bytes {
            match byte {
                b'\x1b' => self.in_colour = true,
                _ if self.in_colour => self.in_colour = !byte.is_ascii_alphabetic(),
                _ => plain.push(*byte),
            }
        }
        plain
    }
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
    /// The pager would show how colours are written.
    uncoloured: Option<Uncoloured>,
}

impl Screen {
    /// A screen of so many lines; one without end never needs a pager.
    pub(super) fn new(pager: Option<String>, lines: usize) -> Self {
        let less = less();
        let uncoloured = pager.as_deref().is_some_and(|pager| !shows_colours(pager, &less));
        let uncoloured = uncoloured.then(Uncoloured::default);
        Self { pager, lines, held: Vec::new(), begun: 0, child: None, uncoloured }
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
        let child = shell(pager).env("LESS", less()).stdin(Stdio::piped()).spawn()?;
        self.child = Some(child);
        let held = std::mem::take(&mut self.held);
        let written = self.give(&held);
        self.held = held;
        written
    }

    /// Gives it to the pager.
    fn give(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(input) = self.child.as_mut().and_then(|child| child.stdin.as_mut()) else { return Ok(()) };
        match &mut self.uncoloured {
            Some(uncoloured) => input.write_all(&uncoloured.plain(bytes)),
            None => input.write_all(bytes),
        }
    }
}

/// The options of `less`.
fn less() -> String {
    std::env::var("LESS").unwrap_or_else(|_| LESS.to_owned())
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.child.is_some() {
            self.give(bytes)?;
            return Ok(bytes.len());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_only_where_they_are_shown() {
        for (pager, less, shown) in [
            ("less", LESS, true),
            ("less", "", false),
            ("less", "-iM", false),
            ("/usr/bin/less -SR", "", true),
            ("less --RAW-CONTROL-CHARS", "-i", true),
            ("less -S", "-iMR", true),
            ("more", "", true),
            ("vim -R -", LESS, false),
        ] {
            assert_eq!(shows_colours(pager, less), shown, "{pager} {less}");
        }
        let mut uncoloured = Uncoloured::default();
        let parts = [b"a\x1b[1".as_slice(), b"mb\x1b[0m", "é\n".as_bytes()];
        let plain: Vec<u8> = parts.iter().flat_map(|part| uncoloured.plain(part)).collect();
        assert_eq!(String::from_utf8(plain).unwrap(), "abé\n");
    }
}
