//! Text that arrives in pieces, some of which may not be UTF-8.
//!
//! A byte that is not UTF-8 is held as U+FFFD, and its position is kept. The statement with this byte cannot
//! be run; the statements before and after it can.

use std::ops::Range;

/// The text that has arrived and is not done yet.
#[derive(Default)]
pub(super) struct Incoming {
    pub(super) text: String,
    /// The positions in the text of bytes that are not UTF-8.
    bad: Vec<usize>,
    /// The number of lines that are done.
    lines: usize,
}

impl Incoming {
    /// Adds bytes that have arrived.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let is_first = self.text.is_empty() && self.lines == 0;
        // Some editors put a byte-order mark before a text.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| is_first).unwrap_or(bytes);
        for chunk in bytes.utf8_chunks() {
            self.text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                self.bad.push(self.text.len());
                self.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    /// The number of a line of this text, counted from the first line of the input.
    pub(super) const fn line(&self, line: usize) -> usize {
        self.lines + line
    }

    /// The line of the first byte within this range that is not UTF-8.
    pub(super) fn bad_line(&self, place: &Range<usize>) -> Option<usize> {
        let bad = self.bad.iter().find(|at| place.contains(at))?;
        Some(self.line(1 + self.text.get(..*bad)?.matches('\n').count()))
    }

    /// Removes a part within one line.
    pub(super) fn cut(&mut self, part: Range<usize>) {
        let length = part.len();
        self.bad.retain(|at| !part.contains(at));
        self.bad.iter_mut().filter(|at| **at >= part.end).for_each(|at| *at -= length);
        self.text.drain(part);
    }

    /// Removes the text before this position, which is done.
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
