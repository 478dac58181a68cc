//! Cuts an input into parts of whole lines.

use std::io::{self, Read};

use super::encoding::is_torn;
use crate::fact::MAX_LINE_BYTES;

/// The bytes of text that are parsed, written and committed at once.
const PART_BYTES: usize = 64 << 20;
const READ_BYTES: usize = 1 << 20;

/// An input, as far as it can be read.
///
/// An input that was torn off is read to its end, and its whole lines are imported. A damaged packed
/// input is not trusted: the bytes that were read together with the error are not used.
pub(super) struct Source<R> {
    input: R,
    ended: bool,
    failure: Option<io::Error>,
}

impl<R: Read> Source<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, ended: false, failure: None }
    }

    /// Reads more bytes. Returns `false` at the end, or after an error, which [`Self::failure`] returns.
    pub(super) fn fill(&mut self, text: &mut Vec<u8>) -> bool {
        if self.ended {
            return false;
        }
        let before = text.len();
        match (&mut self.input).take(READ_BYTES as u64).read_to_end(text) {
            Ok(read) => self.ended = read == 0,
            Err(error) => {
                if !is_torn(&error) {
                    text.truncate(before);
                }
                (self.ended, self.failure) = (true, Some(error));
            }
        }
        text.len() > before
    }

    /// The reason why the input cannot be read further, if that is not its end.
    pub(super) const fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }
}

/// Reads whole lines, a part at a time.
pub(super) struct Lines<R> {
    source: Source<R>,
    /// Bytes that were read but are in no part yet: the beginning of a line.
    carry: Vec<u8>,
    ended: bool,
}

/// A piece of the input.
pub(super) enum Part {
    /// Whole lines, each with its line break.
    Lines(Vec<u8>),
    /// The last line, without a line break.
    Unfinished(Vec<u8>),
    /// The beginning of a line that is too long. [`Lines::rest_of_line`] reads the rest.
    TooLong(Vec<u8>),
    /// The end of the input.
    End,
}

impl<R: Read> Lines<R> {
    /// Continues an input of which these bytes were read already.
    pub(super) const fn new(source: Source<R>, read: Vec<u8>) -> Self {
        Self { source, carry: read, ended: false }
    }

    pub(super) fn next(&mut self) -> io::Result<Part> {
        let mut text = std::mem::take(&mut self.carry);
        // There is no line break before this place.
        let mut searched = 0;
        loop {
            if (text.len() >= PART_BYTES || self.ended)
                && let Some(end) = memchr::memrchr(b'\n', &text)
            {
                self.carry = text.split_off(end + 1);
                return Ok(Part::Lines(text));
            }
            if self.ended {
                // The line at which reading failed may be incomplete.
                if let Some(failure) = self.source.failure() {
                    return Err(failure);
                }
                return Ok(if text.is_empty() { Part::End } else { Part::Unfinished(text) });
            }
            let unseen = text.get(searched..).unwrap_or_default();
            if memchr::memchr(b'\n', unseen).is_none() {
                searched = text.len();
                if text.len() > MAX_LINE_BYTES {
                    return Ok(Part::TooLong(text));
                }
            }
            self.ended = !self.source.fill(&mut text);
        }
    }

    /// The next bytes of a line that is too long; `None` after its end.
    pub(super) fn rest_of_line(&mut self) -> io::Result<Option<(Vec<u8>, bool)>> {
        let mut text = std::mem::take(&mut self.carry);
        if text.is_empty() {
            self.ended = !self.source.fill(&mut text);
            if self.ended {
                return self.source.failure().map_or(Ok(None), Err);
            }
        }
        match memchr::memchr(b'\n', &text) {
            Some(end) => {
                self.carry = text.split_off(end + 1);
                Ok(Some((text, true)))
            }
            None => Ok(Some((text, false))),
        }
    }
}

/// Cuts whole lines into about `pieces` pieces of whole lines, for parsing in parallel.
pub(super) fn cut(text: &[u8], pieces: usize) -> Vec<&[u8]> {
    let target = text.len().div_ceil(pieces.max(1)).max(1);
    let mut cut = Vec::new();
    let mut rest = text;
    while rest.len() > target {
        let (_, tail) = rest.split_at(target - 1);
        let Some(end) = memchr::memchr(b'\n', tail).map(|at| at + target) else { break };
        let (piece, remaining) = rest.split_at(end);
        cut.push(piece);
        rest = remaining;
    }
    if !rest.is_empty() {
        cut.push(rest);
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_whole_lines_in_order(lines in prop::collection::vec("[a-c]{0,5}", 0..40), pieces in 1_usize..9) {
            let text = lines.iter().flat_map(|line| [line, "\n"]).collect::<String>();
            let cut = cut(text.as_bytes(), pieces);
            prop_assert!(cut.iter().all(|piece| piece.ends_with(b"\n")));
            prop_assert_eq!(cut.concat(), text.as_bytes());
        }
    }

    #[test]
    fn an_unfinished_line_comes_last() {
        let mut lines = Lines::new(Source::new(&b"a\nb\nrest"[..]), Vec::new());
        assert!(matches!(lines.next().unwrap(), Part::Lines(text) if text == b"a\nb\n"));
        assert!(matches!(lines.next().unwrap(), Part::Unfinished(text) if text == b"rest"));
        assert!(matches!(lines.next().unwrap(), Part::End));
    }

    #[test]
    fn whole_lines_before_a_failure_are_kept_unless_nothing_before_it_is_sound() {
        struct Torn(&'static [u8], io::ErrorKind);
        impl Read for Torn {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                if self.0.is_empty() { Err(self.1.into()) } else { self.0.read(room) }
            }
        }
        let torn = |kind| Lines::new(Source::new(Torn(b"a\nb\nre", kind)), b"0\n".to_vec());
        let mut lines = torn(io::ErrorKind::UnexpectedEof);
        assert!(matches!(lines.next().unwrap(), Part::Lines(text) if text == b"0\na\nb\n"));
        assert_eq!(lines.next().err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
        let mut lines = torn(io::ErrorKind::InvalidData);
        assert!(matches!(lines.next().unwrap(), Part::Lines(text) if text == b"0\n"));
        assert_eq!(lines.next().err().unwrap().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_line_that_is_too_long_is_not_kept_in_memory() {
        let input = [vec![b'y'; MAX_LINE_BYTES + (3 << 20)], b"\nz\n".to_vec()].concat();
        let mut lines = Lines::new(Source::new(input.as_slice()), Vec::new());
        let (mut seen, mut long) = (Vec::new(), 0);
        loop {
            match lines.next().unwrap() {
                Part::Lines(text) => seen.extend(text),
                Part::TooLong(begun) => {
                    long += begun.len();
                    while let Some((more, ended)) = lines.rest_of_line().unwrap() {
                        long += more.len();
                        if ended {
                            break;
                        }
                    }
                }
                Part::Unfinished(_) => panic!("the last line is finished"),
                Part::End => break,
            }
        }
        assert_eq!((seen.as_slice(), long), (&b"z\n"[..], MAX_LINE_BYTES + (3 << 20) + 1));
    }
}
