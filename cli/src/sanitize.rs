//! Text that does no harm to a terminal.
//!
//! Recorded text may hold line breaks, tabs, and escapes that move the cursor or repaint the lines above. On
//! a terminal each of them is written as its name.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// The text, with each character written out that a terminal would obey or not show: `\n`, `\x1b`.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    text.chars().for_each(|char| write_out(&mut out, char));
    Cow::Owned(out)
}

/// Like [`visible`], for a text with line breaks of its own, such as an error message.
pub(super) fn lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// Whether this is a control character, or one that reorders or hides the text around it.
pub(super) fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' | '\u{fffe}' | '\u{ffff}')
}

fn write_out(out: &mut String, char: char) {
    let code = u32::from(char);
    let _ = match char {
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        _ if is_unseen(char) && code < 0x100 => write!(out, "\\x{code:02x}"),
        _ if is_unseen(char) => write!(out, "\\u{{{code:x}}}"),
        _ => write!(out, "{char}"),
    };
}

/// Standard output; on a terminal, control characters are written out.
pub(super) fn stdout() -> Box<dyn Write> {
    let out = io::stdout().lock();
    if out.is_terminal() { Box::new(Sanitized::new(out)) } else { Box::new(out) }
}

/// Writes the answer of a command whose exit code is also an answer: a reader that closes standard output
/// early does not change the exit code.
pub(super) fn write_result(text: &str) -> io::Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes text to a terminal that has line breaks and tabs of its own, such as CSV.
pub(super) struct Sanitized<W: Write> {
    to: W,
    /// The first bytes of a character whose other bytes have not arrived yet.
    incomplete: Vec<u8>,
}

impl<W: Write> Sanitized<W> {
    pub(super) const fn new(to: W) -> Self {
        Self { to, incomplete: Vec::new() }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let obeyed = |char| is_unseen(char) && !matches!(char, '\n' | '\t');
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(obeyed) {
            let (before, after) = rest.split_at(at);
            out.push_str(before);
            let mut chars = after.chars();
            if let Some(char) = chars.next() {
                write_out(&mut out, char);
            }
            rest = chars.as_str();
        }
        self.to.write_all(out.as_bytes())?;
        self.to.write_all(rest.as_bytes())
    }
}

impl<W: Write> Write for Sanitized<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut whole = std::mem::take(&mut self.incomplete);
        whole.extend_from_slice(bytes);
        let mut rest = whole.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.text(text)?;
                    break;
                }
                Err(error) => {
                    let (sound, after) = rest.split_at(error.valid_up_to());
                    self.text(&String::from_utf8_lossy(sound))?;
                    let Some(wrong) = error.error_len() else {
                        self.incomplete = after.to_vec();
                        break;
                    };
                    let (wrong, after) = after.split_at(wrong);
                    for byte in wrong {
                        write!(self.to, "\\x{byte:02x}")?;
                    }
                    rest = after;
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(visible("a\r\n\0\u{9b}\u{202e}é"), "a\\r\\n\\x00\\x9b\\u{202e}é");
    }

    #[test]
    fn lines_and_tabs_of_other_formats_stay_however_they_are_cut() {
        let text = "é,\t日本\x1b]0;owned\u{7}\u{9b}31m\u{202e}\r\nend\n";
        let wanted = "é,\t日本\\x1b]0;owned\\x07\\x9b31m\\u{202e}\\r\nend\n";
        for size in 1..text.len() {
            let mut out = Vec::new();
            let mut harmless = Sanitized::new(&mut out);
            for part in text.as_bytes().chunks(size) {
                harmless.write_all(part).unwrap();
            }
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
        let mut out = Vec::new();
        Sanitized::new(&mut out).write_all(b"a\xffb\xc3(").unwrap();
        assert_eq!(out, b"a\\xffb\\xc3(");
    }
}
