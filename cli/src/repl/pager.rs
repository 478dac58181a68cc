//! Shows answers that are longer than the screen through a pager.

use std::io::{self, Write};
use std::process::{Child, Command, ExitStatus, Stdio};

/// The pagers to try if the user names none. The first one that is installed is used.
const DEFAULTS: [&str; 2] = ["less -SRFX", "more"];
/// The number of bytes that are held back to see whether the answer fits.
const MOST_HELD: usize = 64 << 10;

/// The command that shows long answers, if there is one.
pub(super) fn command(configured: Option<&str>) -> Option<String> {
    let named = configured.map(str::to_owned).or_else(|| std::env::var("PAGER").ok());
    let found = || DEFAULTS.into_iter().find(|command| is_installed(command)).map(str::to_owned);
    named.or_else(found).filter(|command| !command.trim().is_empty())
}

fn is_installed(command: &str) -> bool {
    let name = command.split(' ').next().unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Runs a command line of the user in the shell.
pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

/// The options of `less` if the user sets none, as in Git: show colours, end if everything fits, and leave
/// the text on the screen.
const LESS: &str = "FRX";

/// Whether a pager shows colours instead of escape sequences. `less` does so with the option `-R`.
fn shows_colours(pager: &str, less: &str) -> bool {
    let mut words = pager.split_whitespace();
    let program = words.next().unwrap_or_default();
    match program.rsplit('/').next().unwrap_or_default() {
        "less" => {
            let is_option =
                |word: &str| word.starts_with('-') && !word.starts_with("--") && word.contains(['R', 'r']);
            let in_full = |word: &str| word.eq_ignore_ascii_case("--raw-control-chars");
            less.contains(['R', 'r']) || words.any(|word| is_option(word) || in_full(word))
        }
        name => matches!(name, "more" | "cat" | "bat" | "moor" | "moar" | "ov"),
    }
}

/// Removes colours from the written text.
#[derive(Default)]
struct Uncoloured {
    in_colour: bool,
}

impl Uncoloured {
    /// The bytes without their colours. A colour may end in the next bytes.
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

/// The error of a command that got an answer, if it failed.
pub(super) fn failure(command: &str, status: ExitStatus) -> Option<String> {
    if status.success() {
        return None;
    }
    let how = status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
    Some(format!("`{command}` failed: {how}"))
}

/// Writes to the screen, or to a pager as soon as the text is longer than the screen.
pub(super) struct Screen {
    pager: Option<String>,
    lines: usize,
    /// The text before the pager starts.
    held: Vec<u8>,
    /// The number of lines in `held`.
    held_lines: usize,
    child: Option<Child>,
    /// Removes colours, if the pager would show them as escape sequences.
    uncoloured: Option<Uncoloured>,
}

impl Screen {
    /// A screen with this number of lines. A screen without a limit never needs a pager.
    pub(super) fn new(pager: Option<String>, lines: usize) -> Self {
        let less = less();
        let uncoloured = pager.as_deref().is_some_and(|pager| !shows_colours(pager, &less));
        let uncoloured = uncoloured.then(Uncoloured::default);
        Self { pager, lines, held: Vec::new(), held_lines: 0, child: None, uncoloured }
    }

    /// Shows the rest of the text, and waits until the user has read it. If the pager fails, the held text is
    /// shown without it.
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
                "only the beginning of the answer is shown: {failed}; \\pager off shows answers without a \
                 pager"
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
        let written = self.write_to_pager(&held);
        self.held = held;
        written
    }

    /// Writes bytes to the pager.
    fn write_to_pager(&mut self, bytes: &[u8]) -> io::Result<()> {
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
            self.write_to_pager(bytes)?;
            return Ok(bytes.len());
        }
        self.held.extend_from_slice(bytes);
        self.held_lines += memchr::memchr_iter(b'\n', bytes).count();
        if self.held_lines >= self.lines || self.held.len() >= MOST_HELD {
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
