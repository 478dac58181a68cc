//! JSON as Python's `json` module writes and reads it, kept as text.
//!
//! Facts arrive as JSON lines, and their payloads leave unchanged: key order, the digits of a number and
//! the spelling of a string stay as they were written. So no code here builds a tree. A [`RawValue`] is a
//! piece of the line that is well formed. It is decoded only on request ([`RawValue::as_str`],
//! [`RawValue::as_f64`], [`RawValue::get`]).
//!
//! Where Python differs from RFC 8259, this follows Python: `NaN`, `Infinity` and `-Infinity` are
//! numbers, integers have any size, an escape may be half of a surrogate pair, and of two members with
//! one name the last counts. In all else it is strict, as Python is.
//!
//! [`cursor`] checks text and finds the ends of its parts, [`scan`] reads a line or a value with it, and
//! [`mod@write`] writes JSON, byte for byte as `json.dumps(…, ensure_ascii=False)`.
//!
//! Deliberately left out:
//! - Limits on depth or size. Nesting costs one bit a level on the heap and no stack, so every line that
//!   fits in memory can be checked.
//! - A writer of objects or arrays. A fact has a handful of fixed keys, and its payload is already text.
//! - Lone surrogates in a [`Text`], because no Rust string can hold one. The `Text` says that it lost
//!   one; the raw text still has it.
//! - Iterators without checks. One code path serves checked and trusted text, and damaged trusted text
//!   ends an iteration instead of the program.

mod cursor;
mod scan;
mod write;

use std::borrow::Cow;

use memchr::memchr;

use cursor::Cursor;
pub(crate) use scan::{Elements, Members, scan_object};
pub(crate) use write::{f64_len, str_len, write_f64, write_str};

/// The error in a text and its place: `expected ',' or '}' at byte 17`.
///
/// A text that was cut short is wrong at its end. So an `offset` equal to the text's length means a torn
/// line, not a damaged one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub(crate) struct JsonError {
    /// The first byte that is wrong, counted from the start of the text.
    pub(crate) offset: usize,
    /// The expected text, or the reason why the byte is wrong.
    pub(crate) reason: &'static str,
}

/// The six shapes of a JSON value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// Any number, including `NaN` and the infinities.
    Number,
    /// A string in its quotes.
    String,
    /// `[…]`
    Array,
    /// `{…}`
    Object,
}

/// A decoded string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Text<'a> {
    /// The decoded text; borrowed from the JSON if it has no escapes.
    pub(crate) text: Cow<'a, str>,
    /// Whether a lone surrogate was replaced with U+FFFD.
    pub(crate) lossy: bool,
}

/// The text of a JSON value, known to be well formed, without whitespace around it.
///
/// Equality compares the text: `1.0` and `1.00` differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RawValue<'a>(&'a str);

impl<'a> RawValue<'a> {
    /// Checks that `text` is exactly one JSON value, with or without whitespace around it.
    pub(crate) fn parse(text: &'a str) -> Result<Self, JsonError> {
        let mut cursor = Cursor::new(text);
        let value = cursor.value()?;
        cursor.end()?;
        Ok(value)
    }

    /// Wraps text that was checked before, such as text from our own checksummed files.
    ///
    /// Text that is not JSON is not unsafe here, but the result of reading it is unspecified.
    pub(crate) fn trusted(text: &'a str) -> Self {
        Self(text.trim_matches([' ', '\t', '\n', '\r']))
    }

    /// The value as it was written.
    pub(crate) fn text(self) -> &'a str {
        self.0
    }

    /// Whether this is `null`.
    pub(crate) fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The kind of the value, from its first byte.
    pub(crate) fn shape(self) -> Shape {
        match self.0.as_bytes().first() {
            None | Some(b'n') => Shape::Null,
            Some(b't' | b'f') => Shape::Bool,
            Some(b'"') => Shape::String,
            Some(b'[') => Shape::Array,
            Some(b'{') => Shape::Object,
            Some(_) => Shape::Number,
        }
    }

    /// The decoded string; `None` if this is not one.
    pub(crate) fn as_str(self) -> Option<Text<'a>> {
        let inside = self.0.strip_prefix('"')?.strip_suffix('"')?;
        Some(decode(inside))
    }

    /// The value as SQL's `->>` returns it: a string's text, any other value as it was written, nothing
    /// for `null`.
    pub(crate) fn to_text(self) -> Option<Cow<'a, str>> {
        if self.is_null() {
            return None;
        }
        Some(self.as_str().map_or(Cow::Borrowed(self.0), |string| string.text))
    }

    /// The nearest float of a number, whatever its size and form.
    ///
    /// `None` if this is not a number, or if it is finite but too large for a float: Python reads `1e999`
    /// as infinity, which is another number than the written one.
    pub(crate) fn as_f64(self) -> Option<f64> {
        match self.0 {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            // This is an integer, and Python's integers have one zero.
            "-0" => Some(0.0),
            number => number.parse().ok().filter(|value: &f64| value.is_finite()),
        }
    }

    /// The value of an integer literal in range; `1.0` and `1e3` are floats.
    pub(crate) fn as_i64(self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The members of an object in order, including all with a repeated key. Empty for any other value.
    pub(crate) fn members(self) -> Members<'a> {
        Members::of(self)
    }

    /// The elements of an array in order. Empty for any other value.
    pub(crate) fn elements(self) -> Elements<'a> {
        Elements::of(self)
    }

    /// The last member with this name; `None` if there is none or this is not an object.
    pub(crate) fn get(self, key: &str) -> Option<RawValue<'a>> {
        let named = self.members().filter(|(name, _)| name.is(key));
        named.last().map(|(_, value)| value)
    }
}

/// The name of a member as it was written, without its quotes and with its escapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawKey<'a> {
    raw: &'a str,
    /// Whether it has escapes.
    escapes: bool,
}

impl<'a> RawKey<'a> {
    /// The key as it was written, to be put between quotes again.
    pub(crate) fn raw(&self) -> &'a str {
        self.raw
    }

    /// Whether the key, decoded, is `name`.
    #[inline]
    pub(crate) fn is(&self, name: &str) -> bool {
        if !self.escapes {
            return self.raw == name;
        }
        let key = self.decode();
        !key.lossy && key.text == name
    }

    /// The key with its escapes decoded.
    pub(crate) fn decode(&self) -> Text<'a> {
        decode(self.raw)
    }
}

/// Decodes the text between a string's quotes.
fn decode(raw: &str) -> Text<'_> {
    if memchr(b'\\', raw.as_bytes()).is_none() {
        return Text { text: Cow::Borrowed(raw), lossy: false };
    }
    let mut text = String::with_capacity(raw.len());
    let mut lossy = false;
    let mut rest = raw;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        let (decoded, after) = decode_escape(escaped);
        lossy |= decoded.is_none();
        text.push(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = after;
    }
    text.push_str(rest);
    Text { text: Cow::Owned(text), lossy }
}

/// Decodes the escape whose backslash is before `text`. Returns its character and the text after it.
///
/// The character is `None` for half of a surrogate pair, and for an invalid escape in damaged text.
fn decode_escape(text: &str) -> (Option<char>, &str) {
    let mut chars = text.chars();
    let decoded = match chars.next() {
        Some('u') => {
            let Some((unit, after)) = code_unit(chars.as_str()) else {
                return (None, chars.as_str());
            };
            // The second half counts only if the two make a pair. Otherwise the next call reads it,
            // because it may be the first half of another pair.
            if let Some((low, after_low)) = after.strip_prefix("\\u").and_then(code_unit)
                && let Some(Ok(paired)) = char::decode_utf16([unit, low]).next()
                && paired > '\u{ffff}'
            {
                return (Some(paired), after_low);
            }
            return (char::from_u32(u32::from(unit)), after);
        }
        Some('n') => Some('\n'),
        Some('r') => Some('\r'),
        Some('t') => Some('\t'),
        Some('b') => Some('\u{8}'),
        Some('f') => Some('\u{c}'),
        Some(same @ ('"' | '\\' | '/')) => Some(same),
        _ => None,
    };
    (decoded, chars.as_str())
}

/// The UTF-16 code unit in the first four hexadecimal digits of `text`.
fn code_unit(text: &str) -> Option<(u16, &str)> {
    let (digits, after) = text.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> RawValue<'_> {
        RawValue::parse(text).unwrap()
    }

    #[test]
    fn shapes_are_told_by_the_first_byte() {
        let shapes = [
            ("null", Shape::Null),
            ("true", Shape::Bool),
            ("false", Shape::Bool),
            ("-1", Shape::Number),
            ("0.5", Shape::Number),
            ("NaN", Shape::Number),
            ("Infinity", Shape::Number),
            ("-Infinity", Shape::Number),
            ("\"null\"", Shape::String),
            (" []", Shape::Array),
            ("{} ", Shape::Object),
        ];
        for (text, shape) in shapes {
            assert_eq!(value(text).shape(), shape, "{text}");
            assert_eq!(value(text).is_null(), shape == Shape::Null);
        }
    }

    #[test]
    fn numbers_are_read_whatever_their_size() {
        let float = |text| value(text).as_f64();
        assert_eq!(float("4093.207413239"), Some(4_093.207_413_239));
        assert_eq!(float("123456789012345678901234567890"), Some(1.234_567_890_123_456_8e29));
        assert_eq!(float("9007199254740993"), Some(9_007_199_254_740_992.0));
        assert_eq!(float("-Infinity"), Some(f64::NEG_INFINITY));
        assert!(float("NaN").is_some_and(f64::is_nan));
        assert_eq!(float("1e-999"), Some(0.0));
        assert_eq!(float("-0.0").map(f64::to_bits), Some((-0.0f64).to_bits()));
        assert_eq!(float("-0").map(f64::to_bits), Some(0));
        let huge = format!("1{}", "0".repeat(5_000));
        for no_float in ["1e999", "-1e999", &huge, "null", "\"1\"", "true", "[1]"] {
            assert_eq!(float(no_float), None, "{no_float}");
        }
    }

    #[test]
    fn integers_are_read_in_range() {
        let integer = |text| value(text).as_i64();
        assert_eq!(integer("-0"), Some(0));
        assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        for no_integer in ["9223372036854775808", "1.0", "1e3", "NaN", "\"1\"", "null"] {
            assert_eq!(integer(no_integer), None, "{no_integer}");
        }
    }

    #[test]
    fn strings_are_borrowed_until_there_is_something_to_decode() {
        let plain = value("\"plain é\"").as_str().unwrap();
        assert!(matches!(plain.text, Cow::Borrowed("plain é")));
        let escaped = value(r#""\"\\\/\b\f\n\r\t\u00E9 x\u0000""#).as_str().unwrap();
        assert_eq!(escaped.text, "\"\\/\u{8}\u{c}\n\r\té x\0");
        assert!(!escaped.lossy);
        assert_eq!(value("12").as_str(), None);
    }

    #[test]
    fn surrogates_pair_as_in_python_and_lone_ones_are_told() {
        // (JSON, decoded, lossy); Python decodes the same with a surrogate for each U+FFFD.
        let strings = [
            (r#""\ud83d\ude00""#, "😀", false),
            (r#""\uD83D\uDE00\u0041""#, "😀A", false),
            (r#""\ud800""#, "\u{fffd}", true),
            (r#""\udc00""#, "\u{fffd}", true),
            (r#""\ud83dx\ude00""#, "\u{fffd}x\u{fffd}", true),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}", true),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀", true),
            (r#""\ud83d\n""#, "\u{fffd}\n", true),
            (r#""\ud83d\u0041""#, "\u{fffd}A", true),
            (r#""\ufffd""#, "\u{fffd}", false),
            (r#""\uffff""#, "\u{ffff}", false),
        ];
        for (json, decoded, lossy) in strings {
            let text = value(json).as_str().unwrap();
            assert_eq!((text.text.as_ref(), text.lossy), (decoded, lossy), "{json}");
        }
    }

    #[test]
    fn the_last_member_of_a_name_counts() {
        let object = value(r#"{"a": 1, "b": {"a": 9}, "\u0061": 2, "c": 3}"#);
        assert_eq!(object.get("a").map(RawValue::text), Some("2"));
        assert_eq!(object.get("c").and_then(RawValue::as_i64), Some(3));
        assert_eq!(object.get("d"), None);
        assert_eq!(value("[\"a\"]").get("a"), None);
        let keys: Vec<_> = object.members().map(|(key, _)| key.raw()).collect();
        assert_eq!(keys, ["a", "b", r"\u0061", "c"]);
    }

    #[test]
    fn keys_are_compared_decoded() {
        let matches = |key: &str, name: &str| {
            let text = format!("{{\"{key}\": 1}}");
            value(&text).members().all(|(key, _)| key.is(name))
        };
        assert!(matches("kind", "kind"));
        assert!(!matches("kind", "kin"));
        assert!(!matches("kin", "kind"));
        assert!(matches(r"k\u0069nd", "kind"));
        assert!(matches(r"a\nb", "a\nb"));
        assert!(!matches(r"a\nb", r"a\nb"), "the name has a backslash, but the key does not");
        assert!(matches(r"a\\nb", r"a\nb"));
        assert!(matches("", ""));
        assert!(!matches(r"\ud800", "\u{fffd}"), "a lone surrogate differs from its replacement");
        assert!(matches(r"\ufffd", "\u{fffd}"));
    }
}
