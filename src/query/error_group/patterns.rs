//! The patterns of the scan. Each function gets the rest of the text, and returns the length of a match in
//! bytes.
//!
//! Each function reads only the match and a bounded number of bytes after it. Exceptions are
//! [`closing_quote`] and the runs of digits: their callers make sure that no byte is read more than a few
//! times.

/// The largest length of a class name. A shape must have room for the whole name.
const MAX_CLASS_BYTES: usize = 100;

/// The limits of the two parts of an e-mail address (RFC 5321). They also bound how far the scan reads ahead.
const MAX_LOCAL_BYTES: usize = 64;
const MAX_DOMAIN_BYTES: usize = 255;

/// The largest length of a quoted name.
const MAX_NAME_BYTES: usize = 64;

/// Whether a character is part of a word. `<` and `>` count, because they are the edges of placeholders.
pub(super) fn joins(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '<' | '>')
}

/// Whether a character is part of a word or `_`. A quote between two such characters is an apostrophe.
pub(super) fn is_wordlike(c: char) -> bool {
    joins(c) || c == '_'
}

pub(super) fn is_digit(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(u8::is_ascii_digit)
}

/// Returns the number of digits from `from` on.
pub(super) fn digits_len(bytes: &[u8], from: usize) -> usize {
    run_len(bytes, from, u8::is_ascii_digit)
}

fn run_len(bytes: &[u8], from: usize, belongs: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().skip(from).take_while(|b| belongs(b)).count()
}

/// Whether a word ends after `len` bytes of `text`.
pub(super) fn ends_word(text: &str, len: usize) -> bool {
    !text.get(len..).and_then(|rest| rest.chars().next()).is_some_and(joins)
}

/// Whether a number of `len` bytes ends there: `1` does in `status 1.`, not in `1.5`, `1_000` or `1e5`.
pub(super) fn ends_number(text: &str, len: usize) -> bool {
    let bytes = text.as_bytes();
    ends_word(text, len)
        && bytes.get(len) != Some(&b'_')
        && !(bytes.get(len) == Some(&b'.') && is_digit(bytes, len + 1))
}

/// Returns the letters at the end of `text`.
pub(super) fn last_word(text: &str) -> &str {
    // The longest word that is looked for has ten letters.
    let letters = text.bytes().rev().take(12).take_while(u8::is_ascii_alphabetic).count();
    text.get(text.len() - letters..).unwrap_or_default()
}

/// Returns the length of the exception's class at the beginning of a text, as in `S3Error: …`, or 0. A class
/// is a dotted name whose last part begins with a capital and ends with a letter. After it comes a colon and
/// a blank, or the end of the text.
pub(super) fn class_name_len(text: &str) -> usize {
    let len = text
        .bytes()
        .take(MAX_CLASS_BYTES + 1)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
        .count();
    let (name, after) = text.split_at_checked(len).unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or_default();
    let follows = after.is_empty()
        || after.strip_prefix(':').is_some_and(|s| s.is_empty() || s.starts_with(char::is_whitespace));
    let is_class = len <= MAX_CLASS_BYTES
        && follows
        && last.starts_with(|c: char| c.is_ascii_uppercase())
        && last.ends_with(|c: char| c.is_ascii_alphabetic());
    if is_class { len } else { 0 }
}

/// Matches `someone@example.org`.
pub(super) fn email_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let in_local = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-');
    let local = bytes.iter().take(MAX_LOCAL_BYTES + 1).take_while(|b| in_local(b)).count();
    if local > MAX_LOCAL_BYTES || bytes.get(local) != Some(&b'@') {
        return None;
    }
    let in_domain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let start = local + 1;
    let run = bytes.iter().skip(start).take(MAX_DOMAIN_BYTES + 1).take_while(|b| in_domain(b)).count();
    if run > MAX_DOMAIN_BYTES
        || !ends_word(text, start + run)
        || matches!(bytes.get(start + run), Some(b'_' | b'@'))
    {
        return None;
    }
    // A full stop after the address ends the sentence.
    let domain = text.get(start..start + run)?.trim_end_matches(['.', '-']);
    let (_, top) = domain.rsplit_once('.')?;
    let is_top = top.len() >= 2 && top.bytes().all(|b| b.is_ascii_alphabetic());
    is_top.then_some(start + domain.len())
}

/// Matches `123e4567-e89b-12d3-a456-426614174000`.
pub(super) fn uuid_len(text: &str) -> Option<usize> {
    const LEN: usize = 36;
    let bytes = text.as_bytes().get(..LEN)?;
    let fits = bytes.iter().enumerate().all(|(i, b)| match i {
        8 | 13 | 18 | 23 => *b == b'-',
        _ => b.is_ascii_hexdigit(),
    });
    (fits && ends_word(text, LEN)).then_some(LEN)
}

/// Matches `2026-03-01`, `2026-03-01 10:20` and `2026-03-01T10:20:30.123456+00:00`.
pub(super) fn time_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let fits = |from: usize, pattern: &str| {
        let fits = pattern.bytes().enumerate().all(|(i, p)| match bytes.get(from + i) {
            Some(b) if p == b'0' => b.is_ascii_digit(),
            Some(b) => *b == p,
            None => false,
        });
        fits && !is_digit(bytes, from + pattern.len())
    };
    if !fits(0, "0000-00-00") {
        return None;
    }
    let date = 10;
    if !matches!(bytes.get(date), Some(b'T' | b't' | b' ')) || !fits(date + 1, "00:00") {
        return Some(date);
    }
    let mut len = date + 6;
    if fits(len, ":00") {
        len += 3;
        if matches!(bytes.get(len), Some(b'.' | b',')) && is_digit(bytes, len + 1) {
            len = len + 1 + digits_len(bytes, len + 1);
        }
    }
    Some(match bytes.get(len) {
        Some(b'Z' | b'z') if ends_word(text, len + 1) => len + 1,
        Some(b'+' | b'-') if fits(len + 1, "00:00") => len + 6,
        Some(b'+' | b'-') if fits(len + 1, "0000") => len + 5,
        _ => len,
    })
}

/// Matches `10.0.3.7` and `10.0.3.7:6379`.
pub(super) fn ip_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut len = 0;
    for part in 0..4 {
        if part > 0 {
            (bytes.get(len) == Some(&b'.')).then_some(())?;
            len += 1;
        }
        let digits = bytes.iter().skip(len).take(4).take_while(|b| b.is_ascii_digit()).count();
        text.get(len..len + digits)?.parse::<u8>().ok()?;
        len += digits;
    }
    if !ends_number(text, len) {
        return None;
    }
    let port = bytes.iter().skip(len + 1).take(6).take_while(|b| b.is_ascii_digit()).count();
    let has_port =
        bytes.get(len) == Some(&b':') && (1..=5).contains(&port) && ends_number(text, len + 1 + port);
    Some(if has_port { len + 1 + port } else { len })
}

/// Matches `0x7f3a…`, and a word of 8 or more hex digits with at least one figure and one letter. Figures
/// alone are a number.
pub(super) fn hex_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if let Some(len) = prefixed_hex_len(bytes) {
        return Some(len);
    }
    let len = run_len(bytes, 0, u8::is_ascii_hexdigit);
    let digits = bytes.iter().take(len).filter(|b| b.is_ascii_digit()).count();
    (len >= 8 && digits > 0 && digits < len && ends_word(text, len)).then_some(len)
}

pub(super) fn prefixed_hex_len(bytes: &[u8]) -> Option<usize> {
    let [b'0', b'x' | b'X', ..] = bytes else {
        return None;
    };
    let digits = run_len(bytes, 2, u8::is_ascii_hexdigit);
    (digits > 0).then_some(2 + digits)
}

/// Returns the place of the closing quote in `inside`: on the same line, not escaped, and not an apostrophe.
pub(super) fn closing_quote(inside: &str, quote: char) -> Option<usize> {
    let mut before = None;
    let mut chars = inside.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        if c == '\n' || c == '\r' {
            return None;
        }
        if c == quote && before != Some('\\') && !chars.peek().is_some_and(|(_, next)| is_wordlike(*next)) {
            return Some(i);
        }
        before = Some(c);
    }
    None
}

/// Whether a text is the name of something in a program, such as `NoneType`, `on_start` or `shop.cart`.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.'))
}
