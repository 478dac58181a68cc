//! A place in a text that moves on over what is JSON and stops at what is not.
//!
//! Strings are most of a line, so they are read eight bytes at a time ([`plain_until`]);
//! numbers and punctuation are short and read byte by byte. Nothing recurses: the brackets
//! open around a place are [`Nesting`]'s to know.

use super::{JsonError, RawKey, RawValue};

/// What brackets hold.
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

/// The brackets open around a place: a bit each, so that depth costs no stack and, up to 64
/// levels, no allocation.
#[derive(Default)]
struct Nesting {
    depth: usize,
    /// The innermost levels, the innermost of all in the lowest bit: 1 for an object.
    bits: u64,
    /// The levels outside of those in `bits`, 64 to the word.
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

/// A place in a text. Each method leaves it after what it read or, failing, at the byte
/// that is wrong.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// One value, and the whitespace before it.
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

    /// Nothing but whitespace up to the end of the text.
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong("expected nothing more")),
        }
    }

    /// A whole text that is an object.
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

    /// A key, its colon and its value.
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

    /// Steps over an opening bracket; whether there is anything inside. Steps over the
    /// closing one if not.
    #[inline]
    pub(super) fn enter(&mut self, kind: Kind) -> bool {
        self.at += 1;
        self.skip_space();
        !self.eat(kind.closing())
    }

    /// Steps over the comma or the bracket after a member or element; whether it was a comma.
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

    /// An array or object with all that is in it.
    fn nested(&mut self) -> Result<(), JsonError> {
        let mut nesting = Nesting::default();
        loop {
            // Here a value begins.
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
            // Here one has ended, and with it maybe some of those around it.
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

    /// A string, from its opening quote; whether any of it is escaped.
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
        // After a zero comes no other digit: what follows will not fit, whatever it is.
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

/// The first byte from `at` on that a string cannot hold as it is (a quote, a backslash, a
/// control character), or the end of `bytes`.
///
/// Eight bytes at a time, after "Determine if a word has a byte less than n" in Sean
/// Anderson's Bit Twiddling Hacks. A borrow can mark a byte falsely only above one marked
/// truly, so the lowest mark, in little-endian order the first byte, is always true.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each is JSON to Python 3.11.
    const VALID: [&str; 39] = [
        "null",
        "true",
        "false",
        "NaN",
        "Infinity",
        "-Infinity",
        "0",
        "-0",
        "-0.0",
        "10",
        "1.5",
        "1e5",
        "1E+05",
        "1e-07",
        "0e0",
        "1e999",
        "123456789012345678901234567890",
        "\"\"",
        "\"plain\"",
        "\"\u{7f}\u{2028}é€😀\"",
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\u0000\u00e9\uFFFF""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\ud83d\ude00""#,
        "[]",
        "[ ]",
        "[1]",
        "[1 , 2]",
        "[[],[[]],{}]",
        "{}",
        "{ }",
        r#"{"a":1}"#,
        r#"{"a" : {"b" : [ {} , 1 ]} , "c" : 2}"#,
        r#"{"":"","":""}"#,
        " \t\r\n1 \t\r\n",
        "[NaN,-Infinity]",
        r#"["\\"]"#,
        "[{\"a\":[{\"b\":[]}]},[]]",
    ];

    /// None is JSON to Python 3.11; where it goes wrong, and why.
    const INVALID: [(&str, usize, &str); 49] = [
        ("", 0, "expected a value"),
        ("  ", 2, "expected a value"),
        ("nul", 3, "expected a value"),
        ("None", 1, "expected a value"),
        ("True", 0, "expected a value"),
        ("nan", 1, "expected a value"),
        ("-NaN", 1, "expected a digit"),
        ("-Inf", 4, "expected a value"),
        ("+1", 0, "expected a value"),
        ("-", 1, "expected a digit"),
        ("01", 1, "expected nothing more"),
        ("-01", 2, "expected nothing more"),
        (".5", 0, "expected a value"),
        ("1.", 2, "expected a digit"),
        ("1.e5", 2, "expected a digit"),
        ("1e", 2, "expected a digit"),
        ("1e+", 3, "expected a digit"),
        ("1e5.0", 3, "expected nothing more"),
        ("0x10", 1, "expected nothing more"),
        ("1_000", 1, "expected nothing more"),
        ("\u{661}", 0, "expected a value"),
        ("1 2", 2, "expected nothing more"),
        ("null,", 4, "expected nothing more"),
        ("'a'", 0, "expected a value"),
        ("\"", 1, "expected '\"'"),
        ("\"a", 2, "expected '\"'"),
        ("\"a\nb\"", 2, "a control character in a string"),
        ("\"a\tb\"", 2, "a control character in a string"),
        ("\"longer than a word\u{1f}\"", 19, "a control character in a string"),
        ("\"\0\"", 1, "a control character in a string"),
        (r#""\x41""#, 2, "expected an escape"),
        (r#""\u12""#, 5, "expected a hexadecimal digit"),
        (r#""\u+123""#, 3, "expected a hexadecimal digit"),
        (r#""\""#, 3, "expected '\"'"),
        ("\"\\", 2, "expected an escape"),
        ("[", 1, "expected a value"),
        ("]", 0, "expected a value"),
        ("[1", 2, "expected ',' or ']'"),
        ("[1,]", 3, "expected a value"),
        ("[,1]", 1, "expected a value"),
        ("[1}", 2, "expected ',' or ']'"),
        ("[1 2]", 3, "expected ',' or ']'"),
        ("{", 1, "expected a key in quotes"),
        (r#"{"a"}"#, 4, "expected ':'"),
        (r#"{"a":}"#, 5, "expected a value"),
        (r#"{"a":1,}"#, 7, "expected a key in quotes"),
        (r#"{"a":1]"#, 6, "expected ',' or '}'"),
        ("{1:2}", 1, "expected a key in quotes"),
        ("\u{a0}1", 0, "expected a value"),
    ];

    #[test]
    fn what_python_reads_is_read() {
        for text in VALID {
            let value = RawValue::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(value.text(), text.trim_matches([' ', '\t', '\n', '\r']));
            assert_eq!(RawValue::trusted(text), value);
        }
    }

    #[test]
    fn what_python_refuses_is_refused_where_it_goes_wrong() {
        for (text, offset, reason) in INVALID {
            assert_eq!(RawValue::parse(text), Err(JsonError { offset, reason }), "{text:?}");
        }
        let error = RawValue::parse(r#"{"a":1]"#).unwrap_err();
        assert_eq!(error.to_string(), "expected ',' or '}' at byte 6");
        assert!(RawValue::parse("\u{feff}1").is_err(), "Python refuses a byte order mark");
    }

    #[test]
    fn depth_costs_no_stack() {
        let depth = 100_000;
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(RawValue::parse(&arrays).is_ok());
        let mixed = format!("{}0{}", "[{\"a\":".repeat(depth), "}]".repeat(depth));
        assert!(RawValue::parse(&mixed).is_ok());
        assert_eq!(RawValue::parse(&arrays[..depth]).unwrap_err().offset, depth);
    }

    #[test]
    fn a_wrong_bracket_is_found_at_every_depth() {
        // Around 64 and 128 the brackets move to another word.
        for depth in 1..200 {
            let open: String = (0..depth).map(|at| ["[", "{\"a\":"][at / 3 % 2]).collect();
            let close: String = (0..depth).rev().map(|at| ["]", "}"][at / 3 % 2]).collect();
            assert!(RawValue::parse(&format!("{open}1{close}")).is_ok(), "{depth}");
            for wrong in 0..depth {
                let mut closing = close.clone().into_bytes();
                closing[wrong] ^= b']' ^ b'}';
                let text = format!("{open}1{}", str::from_utf8(&closing).unwrap());
                let error = RawValue::parse(&text).unwrap_err();
                assert_eq!(error.offset, open.len() + 1 + wrong, "{text}");
            }
        }
    }

    #[test]
    fn a_torn_object_is_wrong_where_it_ends() {
        let whole = r#" {"a\u00e9\n": [1.5e-3, -Infinity, {"b": null}], "c": "d", "e": NaN, "f": -0}"#;
        assert!(RawValue::parse(whole).is_ok());
        for len in 0..whole.len() {
            assert_eq!(RawValue::parse(&whole[..len]).unwrap_err().offset, len);
        }
    }

    #[test]
    fn plain_bytes_end_at_the_first_special_one_at_every_place() {
        for len in 0..40 {
            for place in 0..len {
                for special in [b'"', b'\\', 0, 0x1f] {
                    let mut bytes = vec![0xffu8; len];
                    for (at, byte) in bytes.iter_mut().enumerate() {
                        // The neighbours of the special ones, above and below.
                        *byte = [0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xff][at % 9];
                    }
                    assert_eq!(plain_until(&bytes, 0), len);
                    bytes[place] = special;
                    assert_eq!(plain_until(&bytes, 0), place);
                    assert_eq!(plain_until(&bytes, place), place);
                    if let Some(next) = bytes.get_mut(place + 1) {
                        // What a borrow might mark, and a second true mark.
                        *next = special ^ 1;
                        assert_eq!(plain_until(&bytes, 0), place);
                    }
                }
            }
        }
        assert_eq!(plain_until(b"abc", 7), 7);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            if let Err(error) = RawValue::parse(&text) {
                prop_assert!(error.offset <= text.len());
            }
        }

        #[test]
        fn nor_does_text_that_looks_like_json(text in "[\\[\\]{}\",:\\\\ u0-9dDaeE.+\n-]{0,40}|[{\\[\"a:1,\\]}]{0,12}") {
            if let Err(error) = RawValue::parse(&text) {
                prop_assert!(error.offset <= text.len());
            }
        }
    }
}
