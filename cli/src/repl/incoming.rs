//! Text that comes in pieces, of which some may be no text.
//!
//! A byte that is no UTF-8 is held as U+FFFD, and its place is kept: what stands there cannot be
//! asked, and what stands before and behind can.

use std::ops::Range;

/// What has come and is not done yet.
#[derive(Default)]
pub(super) struct Incoming {
    pub(super) text: String,
    /// Where in the text something is that was none.
    bad: Vec<usize>,
    /// Lines that are done.
    lines: usize,
}

impl Incoming {
    /// Adds what has come.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let is_first = self.text.is_empty() && self.lines == 0;
        // Some editors put a mark before a text.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| is_first).unwrap_or(bytes);
        for chunk in bytes.utf8_chunks() {
            self.text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                self.bad.push(self.text.len());
                self.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    /// The line, counted from the first that came, of a line of this text.
    pub(super) const fn line(&self, line: usize) -> usize {
        self.lines + line
    }

    /// The line of the first that is no text, of what stands there.
    pub(super) fn bad_line(&self, place: &Range<usize>) -> Option<usize> {
        let bad = self.bad.iter().find(|at| place.contains(at))?;
        Some(self.line(1 + self.text.get(..*bad)?.matches('\n').count()))
    }

    /// Takes out a part within one line.
    pub(super) fn cut(&mut self, part: Range<usize>) {
        let length = part.len();
        self.bad.retain(|at| !part.contains(at));
        self.bad.iter_mut().filter(|at| **at >= part.end).for_each(|at| *at -= length);
        self.text.drain(part);
    }

    /// Forgets the text up to there.
    pub(super) fn done(&mut self, to: usize) {
        self.lines += self.text.get(..to).unwrap_or_default().matches('\n').count();
        self.text.drain(..to);
        self.bad.retain(|at| *at >= to);
        self.bad.iter_mut().for_each(|at| *at -= to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_has_a_place() {
        let mut incoming = Incoming::default();
        incoming.add(b"\xef\xbb\xbfone;\n");
        incoming.add(b"t\xffwo\xe2\x82;\n");
        assert_eq!(incoming.text, "one;\nt\u{fffd}wo\u{fffd};\n");
        assert_eq!((incoming.bad_line(&(0..5)), incoming.bad_line(&(5..13))), (None, Some(2)));
        incoming.done(5);
        incoming.add(b"three");
        assert_eq!((incoming.bad_line(&(0..2)), incoming.bad_line(&(2..99))), (Some(2), Some(2)));
        assert_eq!(incoming.bad_line(&(7..99)), None);
        assert_eq!(incoming.line(2), 3);
        let whole = incoming.text.clone();
        let second = whole.rfind(char::REPLACEMENT_CHARACTER).unwrap();
        incoming.cut(second - 1..second + 3);
        assert_eq!(incoming.text, [&whole[..second - 1], &whole[second + 3..]].concat());
        assert_eq!(
            (incoming.bad_line(&(0..4)), incoming.bad_line(&(4..99))),
            (Some(2), None),
            "it was in that part"
        );
    }
}
