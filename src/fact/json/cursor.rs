//! A cursor in a text that moves over valid JSON and stops at the first error.
//!
//! Strings are most of a line, so they are read eight bytes at a time ([`plain_until`]). Numbers and
//! punctuation are short and read byte by byte. Nothing recurses: [`Nesting`] holds the open brackets
//! around the cursor.

use super::{JsonError, RawKey, RawValue};

/// The kind of a pair of brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Array,
    Object,
}

impl Kind {
    fn closing(self) -> u8 {
        match self {
            Self::Array => b']',
            Self::Object => b'}',
        }
    }
}

/// The open brackets around the cursor: one bit each, so that depth costs no stack and, up to 64 levels,
/// no allocation.
#[derive(Default)]
struct Nesting {
    depth: usize,
    /// The innermost levels, with the innermost one in the lowest bit: 1 for an object.
    bits: u64,
    /// The levels outside of those in `bits`, 64 in each word.
    outer: Vec<u64>,
}

impl Nesting {
    fn push(&mut self, kind: Kind) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(kind == Kind::Object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.bits >>= 1;
        if self.depth.is_multiple_of(64) {
            self.bits = self.outer.pop().unwrap_or(0);
        }
    }

    fn innermost(&self) -> Option<Kind> {
        match (self.depth, self.bits & 1) {
            (0, _) => None,
            (_, 0) => Some(Kind::Array),
            _ => Some(Kind::Object),
        }
    }
}

/// A place in a text. Each method moves it to the end of what it read or, if it fails, to the byte that
/// is wrong.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads one value, and the whitespace before it.
    #[inline]
    pub(super) fn value(&mut self) -> Result<RawValue<'a>, JsonError> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            Some(b'{' | b'[') => self.nested()?,
            _ => self.scalar()?,
        }
        Ok(RawValue(self.since(start)))
    }

    /// Checks that only whitespace follows up to the end of the text.
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong("expected nothing more")),
        }
    }

    /// Reads a whole text that must be an object.
    pub(super) fn object(&mut self, out: &mut Vec<(RawKey<'a>, RawValue<'a>)>) -> Result<(), JsonError> {
        self.skip_space();
        if self.peek() != Some(b'{') {
            let start = self.at;
            self.value()?;
            self.end()?;
            return Err(JsonError { offset: start, reason: "not an object" });
        }
        let mut more = self.enter(Kind::Object);
        while more {
            out.push(self.member()?);
            more = self.goes_on(Kind::Object)?;
        }
        self.end()
    }

    /// Reads a key, its colon and its value.
    #[inline]
    pub(super) fn member(&mut self) -> Result<(RawKey<'a>, RawValue<'a>), JsonError> {
        let key = self.key()?;
        let value = self.value()?;
        Ok((key, value))
    }

    #[inline]
    fn key(&mut self) -> Result<RawKey<'a>, JsonError> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.wrong("expected a key in quotes"));
        }
        let start = self.at + 1;
        let escapes = self.string()?;
        let raw = self.text.get(start..self.at - 1).unwrap_or_default();
        self.skip_space();
        if !self.eat(b':') {
            return Err(self.wrong("expected ':'"));
        }
        Ok(RawKey { raw, escapes })
    }

    /// Steps over an opening bracket. Returns `true` if there is something inside; otherwise also steps
    /// over the closing bracket.
    #[inline]
    pub(super) fn enter(&mut self, kind: Kind) -> bool {
        self.at += 1;
        self.skip_space();
        !self.eat(kind.closing())
    }

    /// Steps over the comma or the bracket after a member or element. Returns `true` if it was a comma.
    #[inline]
    pub(super) fn goes_on(&mut self, kind: Kind) -> Result<bool, JsonError> {
        self.skip_space();
        if self.eat(b',') {
            Ok(true)
        } else if self.eat(kind.closing()) {
            Ok(false)
        } else {
            Err(self.wrong(match kind {
                Kind::Array => "expected ',' or ']'",
                Kind::Object => "expected ',' or '}'",
            }))
        }
    }

    /// Reads an array or object with everything in it.
    fn nested(&mut self) -> Result<(), JsonError> {
        let mut nesting = Nesting::default();
        loop {
            // A value begins here.
            self.skip_space();
            let opened = match self.peek() {
                Some(b'{') => Some(Kind::Object),
                Some(b'[') => Some(Kind::Array),
                _ => None,
            };
            match opened {
                None => self.scalar()?,
                Some(kind) if self.enter(kind) => {
                    nesting.push(kind);
                    if kind == Kind::Object {
                        self.key()?;
                    }
                    continue;
                }
                Some(_) => {}
            }
            // A value has ended here, and perhaps some of the brackets around it.
            loop {
                let Some(kind) = nesting.innermost() else {
                    return Ok(());
                };
                if self.goes_on(kind)? {
                    if kind == Kind::Object {
                        self.key()?;
                    }
                    break;
                }
                nesting.pop();
            }
        }
    }

    #[inline]
    fn scalar(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null"),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'N') => self.word("NaN"),
            Some(b'I') => self.word("Infinity"),
            _ => Err(self.wrong("expected a value")),
        }
    }

    /// Reads a string, from its opening quote. Returns whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, JsonError> {
        self.at += 1;
        let mut escapes = false;
        loop {
            self.at = plain_until(self.text.as_bytes(), self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escapes);
                }
                Some(b'\\') => {
                    escapes = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.wrong("a control character in a string")),
                None => return Err(self.wrong("expected '\"'")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.wrong("expected a hexadecimal digit"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.wrong("expected an escape")),
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self) -> Result<(), JsonError> {
        if self.eat(b'-') && self.peek() == Some(b'I') {
            return self.word("Infinity");
        }
        // After a zero comes no other digit: a digit here is found to be wrong later.
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'-') {
                self.eat(b'+');
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.wrong("expected a digit"));
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        for letter in word.bytes() {
            if !self.eat(letter) {
                return Err(self.wrong("expected a value"));
            }
        }
        Ok(())
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    #[cold]
    fn wrong(&self, reason: &'static str) -> JsonError {
        JsonError { offset: self.at, reason }
    }
}

/// Finds the first byte from `at` on that a string cannot hold unescaped (a quote, a backslash, a control
/// character), or the end of `bytes`.
///
/// It checks eight bytes at a time, after "Determine if a word has a byte less than n" in Sean Anderson's
/// Bit Twiddling Hacks. A borrow can mark a wrong byte only above a right one. So the lowest mark, which
/// is the first byte in little-endian order, is always right.
#[inline]
pub(super) fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const TOPS: u64 = ONES * 0x80;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marks =
            (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash) | control;
        if marks & TOPS != 0 {
            return at + (marks & TOPS).trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at)
        && byte >= 0x20
        && byte != b'"'
        && byte != b'\\'
    {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
