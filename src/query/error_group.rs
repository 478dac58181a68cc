//! The function `error_group(text)`. It returns the shape of an error's text: errors that differ only in a
//! number, an id or an address have one shape.
//!
//! ```text
//! KeyError: missing field sku-123               KeyError: missing field sku-<n>
//! TimeoutError: upstream took 28.837s           TimeoutError: upstream took <n>s
//! ConnectionError: 10.0.3.7:6379 refused        ConnectionError: <ip> refused
//! OSError: [Errno 28] No space left on device   (as it is)
//! ```
//!
//! The text is scanned once, from left to right. At each place the first matching line of this table applies:
//!
//! | text | becomes |
//! |---|---|
//! | an e-mail address | `<email>` |
//! | a UUID | `<uuid>` |
//! | an ISO date, with or without time and offset | `<time>` |
//! | an IPv4 address, with or without port | `<ip>` |
//! | `0x` and hex digits; 8 or more hex digits, both letters and figures | `<hex>` |
//! | a code (below) | itself |
//! | a number: `7`, `-7`, `28.837`, `1e-9`, `1.2.3`; figures inside a word | `<n>` |
//! | quoted text, `'…'` or `"…"` | `'<s>'`, `"<s>"` |
//!
//! Some parts stay, because they distinguish errors:
//!
//! - **Codes**: a number right after `errno`, `winerror`, `http`, `status`, `code` or `signal`
//!   (`exit code 137`, `HTTP 503`, `status=404`, `HTTP/1.1 502`), with up to three digits, or up to five for
//!   an errno. A longer number, such as an order number after the word `code`, is replaced.
//! - **Quoted names**: only letters, `_` and `.`, as in `'NoneType' object has no attribute 'price'`. A
//!   quoted name usually comes from the program, and any other quoted text from its data.
//! - **The class** at the beginning: `S3Error: …` stays, and does not become `S<n>Error: …`.
//!
//! If the text has several lines, the shape has the first line only, and ends with ` …`. A line of more than
//! [`MAX_BYTES`] bytes is cut at the last blank before that limit, and ends with ` …`, too. Blanks around the
//! text are removed.
//!
//! A shape is its own shape: `error_group(error_group(x)) == error_group(x)`. So groups can be grouped again
//! and compared with `=`. For this, every rule treats `<` and `>` at its edges like letters. Otherwise a
//! placeholder in place of a number could make another rule match that did not match before.
//!
//! Not recognized: IPv6 addresses, clock times without a date, base64, numbers in other scripts. This makes a
//! few more groups, and never a wrong answer. This module uses no regular expressions, because the function
//! runs for each of millions of crashes, and most texts need one pass and no copy.

use std::borrow::Cow;

use patterns::{
    class_name_len, closing_quote, digits_len, email_len, ends_number, hex_len, ip_len, is_digit, is_name,
    is_wordlike, joins, last_word, prefixed_hex_len, time_len, uuid_len,
};

mod patterns;

/// The largest length of a shape in bytes, without the final ` …`.
const MAX_BYTES: usize = 400;

/// The end of a shape that was cut.
const MORE: &str = " …";

/// Returns the shape of an error's text. The module documentation has the rules.
///
/// The time is proportional to the length of the text. The result is borrowed if the text is its own shape.
pub(crate) fn error_group(text: &str) -> Cow<'_, str> {
    Scan::new(text.trim()).run()
}

/// A part of the text that the scan processes in one step.
enum Piece {
    /// The next bytes, of this number, stay.
    Keep(usize),
    /// The next bytes, of this number, are replaced by this text.
    Put(usize, &'static str),
}

struct Scan<'a> {
    text: &'a str,
    /// The end of the text that is processed. It is always at a character boundary.
    at: usize,
    /// The character before `at`.
    before: Option<char>,
    /// The shape so far, without `text[copied..at]`, which stays as it is.
    out: String,
    copied: usize,
    /// The place where the shape can be cut: before the last blank within [`MAX_BYTES`].
    last_blank: usize,
    /// The end of an HTTP version, such as `HTTP/1.1`. A status code may follow it.
    http_version_end: Option<usize>,
    /// Whether no closing single quote follows. Without this flag, a text of opening quotes would be searched
    /// to its end for each of them.
    no_single: bool,
    /// Whether no closing double quote follows.
    no_double: bool,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            before: None,
            out: String::new(),
            copied: 0,
            last_blank: 0,
            http_version_end: None,
            no_single: false,
            no_double: false,
        }
    }

    fn run(mut self) -> Cow<'a, str> {
        self.step_over(class_name_len(self.text));
        while let Some(c) = self.char_at(self.at) {
            if c == '\n' || c == '\r' {
                return Cow::Owned(self.cut());
            }
            if c.is_whitespace() && self.shape_len() <= MAX_BYTES {
                self.last_blank = self.shape_len();
            }
            match self.piece(c) {
                Piece::Keep(len) => self.step_over(len),
                Piece::Put(len, placeholder) => self.replace(len, placeholder),
            }
            if self.shape_len() > MAX_BYTES + MORE.len() {
                return Cow::Owned(self.cut());
            }
        }
        if self.copied == 0 {
            return Cow::Borrowed(self.text);
        }
        self.flush();
        Cow::Owned(self.out)
    }

    /// Applies the first rule that matches at `at`, where `c` is.
    fn piece(&mut self, c: char) -> Piece {
        match c {
            '\'' | '"' => self.quoted(c),
            '-' => self.negative_number().unwrap_or(Piece::Keep(1)),
            _ if c.is_ascii_alphanumeric() => self.word_or_number(c),
            _ => Piece::Keep(c.len_utf8()),
        }
    }

    fn word_or_number(&mut self, c: char) -> Piece {
        if let Some(piece) = self.special(self.at, self.before) {
            return piece;
        }
        if c.is_ascii_digit() { self.number(self.at) } else { Piece::Keep(1) }
    }

    /// Matches an e-mail address, a UUID, a time, an IP address or hex digits at `at`. They begin only at the
    /// start of a word.
    fn special(&self, at: usize, before: Option<char>) -> Option<Piece> {
        if before.is_some_and(joins) {
            return None;
        }
        let rest = self.rest(at);
        let put = |placeholder| move |len| Piece::Put(len, placeholder);
        email_len(rest)
            .map(put("<email>"))
            .or_else(|| uuid_len(rest).map(put("<uuid>")))
            .or_else(|| time_len(rest).map(put("<time>")))
            .or_else(|| if before == Some('.') { None } else { ip_len(rest).map(put("<ip>")) })
            .or_else(|| hex_len(rest).map(put("<hex>")))
    }

    /// Matches a number with its sign. `-` is a sign where a value begins. In `sku-123` it is a hyphen.
    fn negative_number(&mut self) -> Option<Piece> {
        let begins = match self.before {
            None => true,
            Some(c) => c.is_whitespace() || matches!(c, '(' | '[' | '{' | ',' | '=' | ':'),
        };
        let digits = self.at + 1;
        if !begins || !self.byte(digits)?.is_ascii_digit() || self.special(digits, Some('-')).is_some() {
            return None;
        }
        Some(match self.number(digits) {
            Piece::Keep(len) => Piece::Keep(len + 1),
            Piece::Put(len, placeholder) => Piece::Put(len + 1, placeholder),
        })
    }

    /// Matches the number whose first digit is at `at`. `self.at` is the same place, or the sign before it.
    fn number(&mut self, at: usize) -> Piece {
        if let Some(len) = self.code_len(at) {
            return Piece::Keep(len);
        }
        let bytes = self.rest(at).as_bytes();
        if let Some(len) = prefixed_hex_len(bytes) {
            return Piece::Put(len, "<hex>");
        }
        let mut len = digits_len(bytes, 0);
        while bytes.get(len) == Some(&b'.') && is_digit(bytes, len + 1) {
            len = len + 1 + digits_len(bytes, len + 1);
        }
        if matches!(bytes.get(len), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
            if is_digit(bytes, len + 1 + sign) {
                len = len + 1 + sign + digits_len(bytes, len + 1 + sign);
            }
        }
        Piece::Put(len, "<n>")
    }

    /// Returns the length of a number that stays because the word before it marks it as a code.
    fn code_len(&mut self, at: usize) -> Option<usize> {
        // Only text that stays counts: a word in a replaced part is missing when the shape is scanned again.
        let preceding = self.text.get(self.copied..self.at)?;
        let rest = self.rest(at);
        let bytes = rest.as_bytes();
        if self.at == at
            && let Some(head) = preceding.strip_suffix('/')
            && last_word(head).eq_ignore_ascii_case("http")
        {
            let len = if bytes.get(1) == Some(&b'.') { 3 } else { 1 };
            if bytes.iter().take(len).filter(|b| b.is_ascii_digit()).count() == len.div_ceil(2)
                && ends_number(rest, len)
            {
                self.http_version_end = Some(at + len);
                return Some(len);
            }
        }
        let head = preceding.trim_end_matches([' ', '=', ':']);
        if preceding.len() == head.len() || preceding.len() - head.len() > 3 {
            return None;
        }
        let word = last_word(head);
        let is_any_of = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        let max_digits = if is_any_of(&["errno", "winerror"]) {
            5
        } else if is_any_of(&[
            "http",
            "status",
            "code",
            "signal",
            "statuscode",
            "errorcode",
            "exitcode",
            "returncode",
        ]) || self.http_version_end == Some(self.copied + head.len())
        {
            3
        } else {
            return None;
        };
        let len = digits_len(bytes, 0);
        (len <= max_digits && ends_number(rest, len)).then_some(len)
    }

    /// Matches quoted text, from its opening quote to its closing quote. A quote that opens no text stays.
    fn quoted(&mut self, quote: char) -> Piece {
        if self.before.is_some_and(is_wordlike) {
            return Piece::Keep(1);
        }
        let (known_missing, placeholder) =
            if quote == '"' { (&mut self.no_double, "\"<s>\"") } else { (&mut self.no_single, "'<s>'") };
        if *known_missing {
            return Piece::Keep(1);
        }
        let inside = self.text.get(self.at + 1..).unwrap_or_default();
        match closing_quote(inside, quote) {
            None => {
                *known_missing = true;
                Piece::Keep(1)
            }
            Some(len) => {
                let content = inside.get(..len).unwrap_or_default();
                let kept = content.is_empty() || is_name(content) || content == "<s>";
                if kept { Piece::Keep(len + 2) } else { Piece::Put(len + 2, placeholder) }
            }
        }
    }

    /// Keeps the next `len` bytes.
    fn step_over(&mut self, len: usize) {
        let end = self.at + len;
        self.before = self.text.get(self.at..end).and_then(|s| s.chars().next_back()).or(self.before);
        self.at = end;
    }

    /// Replaces the next `len` bytes by `placeholder`.
    fn replace(&mut self, len: usize, placeholder: &str) {
        self.flush();
        self.out.push_str(placeholder);
        self.step_over(len);
        self.copied = self.at;
    }

    /// Copies the text that stays, up to `at`.
    fn flush(&mut self) {
        self.out.push_str(self.text.get(self.copied..self.at).unwrap_or_default());
        self.copied = self.at;
    }

    fn shape_len(&self) -> usize {
        self.out.len() + self.at - self.copied
    }

    /// Returns the shape so far, with the mark of a cut. A cut at a blank does not change the result of any
    /// rule for the text before it.
    fn cut(mut self) -> String {
        self.flush();
        if self.out.trim_end().len() > MAX_BYTES {
            self.out.truncate(self.last_blank);
        }
        self.out.truncate(self.out.trim_end().len());
        self.out.push_str(if self.out.is_empty() { MORE.trim_start() } else { MORE });
        self.out
    }

    fn rest(&self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or_default()
    }

    fn char_at(&self, at: usize) -> Option<char> {
        self.rest(at).chars().next()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, MORE, error_group};
    use proptest::prelude::*;
    use std::borrow::Cow;

    /// Texts and their shapes. An empty shape means that the text is its own shape.
    const TABLE: &[(&str, &str)] = &[
        // Numbers.
        ("KeyError: missing field sku-123", "KeyError: missing field sku-<n>"),
        ("TimeoutError: upstream took 28.837s", "TimeoutError: upstream took <n>s"),
        ("ValueError: invalid quantity: -7", "ValueError: invalid quantity: <n>"),
        ("ValueError: invalid quantity: 0", "ValueError: invalid quantity: <n>"),
        ("off by 1e-9, 2.5E+10 and 1.2.3", "off by <n>, <n> and <n>"),
        ("(-1, -2.5) x=-3 a-4 --5", "(<n>, <n>) x=<n> a-<n> --<n>"),
        ("/var/log/app.7/part-00012.log", "/var/log/app.<n>/part-<n>.log"),
        ("worker12b stopped in step3", "worker<n>b stopped in step<n>"),
        ("7.", "<n>."),
        // Codes stay.
        ("OSError: [Errno 28] No space left on device", ""),
        ("ConnectionError: [Errno 10054] reset", ""),
        ("OSError: [WinError 10061] refused", ""),
        (
            "UpstreamError: HTTP 502 from https://api.example/v1/orders/36165",
            "UpstreamError: HTTP 502 from https://api.example/v<n>/orders/<n>",
        ),
        ("HTTP/1.1 503 Service Unavailable", ""),
        ("HTTP/2 429 after 17 tries", "HTTP/2 429 after <n> tries"),
        ("status=404, status code: 500, exit status -9, exit code 137.", ""),
        ("killed by signal 9", ""),
        ("code 12345 and code 1.5", "code <n> and code <n>"),
        ("barcode 123", "barcode <n>"),
        ("code-5 'code' 5", "code-<n> 'code' <n>"),
        // Identities.
        ("no row 123e4567-e89b-12d3-a456-426614174000!", "no row <uuid>!"),
        ("<Cart object at 0x7f3a12bc> is gone", "<Cart object at <hex>> is gone"),
        ("commit 9fceb02d0ae598e95dc970b74767f19372d61af8 not found", "commit <hex> not found"),
        (
            "deadbeef is a word, deadbee1 is not, 12345678 counts",
            "deadbeef is a word, <hex> is not, <n> counts",
        ),
        ("id_3f2a9c81_x", "id_<hex>_x"),
        ("3f2a9c81g", "<n>f<n>a<n>c<n>g"),
        ("no user ann.b+c@mail.example.org.", "no user <email>."),
        ("user@host", ""),
        // Places and times.
        ("10.0.3.7:6379 refused, 10.0.3.8 too", "<ip> refused, <ip> too"),
        ("256.1.1.1 and 1.2.3.4.5", "<n> and <n>"),
        ("since 2026-03-01T10:20:30.123456+00:00", "since <time>"),
        ("since 2026-03-01 10:20, until 2026-03-02Z", "since <time>, until <time>Z"),
        ("2026-03-011", "<n>-<n>-<n>"),
        // Quotes.
        ("KeyError: 'user:4999'", "KeyError: '<s>'"),
        ("bad line \"a, b\"; ''", "bad line \"<s>\"; ''"),
        ("AttributeError: 'NoneType' object has no attribute 'price'", ""),
        ("can't open the actors' box 'no 7'", "can't open the actors' box '<s>'"),
        (r"invalid literal: 'it\'s 5'", "invalid literal: '<s>'"),
        ("'open 5", "'open <n>"),
        // The class in front.
        ("S3Error: bucket 5", "S3Error: bucket <n>"),
        ("botocore.S3Error:", ""),
        ("Worker12: gone", "Worker<n>: gone"),
        ("user4999x: gone", "user<n>x: gone"),
        // Lines and blanks.
        ("ValueError: multi\nline\tmessage", "ValueError: multi …"),
        ("AssertionError: ", "AssertionError:"),
        ("\n one\r\n", "one"),
        ("", ""),
        ("RuntimeError: Ungültiger Zustand: «geschlossen» ☠", ""),
        ("πάπυρος 5 ٣", "πάπυρος <n> ٣"),
    ];

    #[test]
    fn shapes() {
        for (text, shape) in TABLE {
            let shape = if shape.is_empty() { text } else { shape };
            assert_eq!(error_group(text), *shape, "of {text:?}");
            assert_eq!(error_group(shape), *shape, "of its own shape");
        }
    }

    #[test]
    fn what_is_its_own_shape_is_not_copied() {
        for text in
            ["", "OSError: [Errno 28] No space left on device", "  KeyError: 'price' ", "S3Error: <n>"]
        {
            assert!(matches!(error_group(text), Cow::Borrowed(shape) if shape == text.trim()), "{text:?}");
        }
    }

    #[test]
    fn long_lines_end_at_a_blank() {
        let long = format!("ValueError: {}", "lorem 12 ".repeat(100));
        let shape = error_group(&long);
        assert!(shape.len() <= MAX_BYTES + MORE.len());
        assert!(
            shape.starts_with("ValueError: lorem <n> lorem <n>") && shape.ends_with(" <n> lorem …"),
            "{shape}"
        );
        assert_eq!(error_group(&shape), shape);
        assert_eq!(error_group(&"x".repeat(1000)), "…");
        let fits = "a ".repeat(MAX_BYTES / 2) + "bcde";
        assert_eq!(error_group(&fits), fits);
        let brim = "a ".repeat(MAX_BYTES / 2) + "bcdef";
        assert_eq!(error_group(&brim), "a ".repeat(MAX_BYTES / 2).trim_end().to_owned() + MORE);
    }

    /// Texts that would take minutes if a rule searched the text to its end from each place.
    #[test]
    fn hostile_texts_take_no_longer() {
        for unit in ["('a ", "a.", "a@", "\"b ", "1.", "0x", "a-1@b.", "<", "2026-01-01", "\\'"] {
            let text = unit.repeat(4_000_000 / unit.len());
            let shape = error_group(&text);
            assert_eq!(error_group(&shape), shape, "{unit:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_shape_is_its_own_shape(text in any::<String>()) {
            let shape = error_group(&text).into_owned();
            prop_assert_eq!(error_group(&shape), shape.as_str());
        }

        /// Texts made of the characters that the rules check.
        #[test]
        fn a_shape_is_its_own_shape_at_the_edges(
            text in "([0-9a-fx]|[.:@'\"<>=_+ T-]|Errno |HTTP/?|code |S3|E|é|[\\\\\n]|12345|2026-01-0|1\\.2\\.3\\.4|0x|a@b\\.cd){0,40}"
        ) {
            let shape = error_group(&text).into_owned();
            prop_assert_eq!(error_group(&shape), shape.as_str());
        }

        #[test]
        fn long_texts_keep_to_the_limit(unit in "[0-9a-f.:@'\" <>é-]{1,30}", times in 1_usize..200) {
            let shape = error_group(&unit.repeat(times)).into_owned();
            prop_assert!(shape.len() <= MAX_BYTES + MORE.len(), "{} bytes", shape.len());
            prop_assert_eq!(error_group(&shape), shape.as_str());
        }
    }
}
