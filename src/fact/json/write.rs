//! Strings and floats as Python's `json.dumps(…, ensure_ascii=False)` writes them, and how
//! many bytes that takes.
//!
//! Retention by bytes counts lines that are never written, so each writer has a length beside
//! it. Both are one function over the pieces of the text: what is counted is what is written.

use std::fmt::{self, Write as _};

use super::cursor::plain_until;

/// Appends `text` as a JSON string in its quotes.
pub(crate) fn write_str(out: &mut String, text: &str) {
    str_pieces(text, |piece| out.push_str(piece));
}

/// The bytes [`write_str`] would append.
pub(crate) fn str_len(text: &str) -> usize {
    let mut len = 0;
    str_pieces(text, |piece| len += piece.len());
    len
}

/// Appends `value` as Python's `repr` has it, or as `NaN`, `Infinity`, `-Infinity`.
pub(crate) fn write_f64(out: &mut String, value: f64) {
    f64_pieces(value, |piece| out.push_str(piece));
}

/// The bytes [`write_f64`] would append.
pub(crate) fn f64_len(value: f64) -> usize {
    let mut len = 0;
    f64_pieces(value, |piece| len += piece.len());
    len
}

/// How the characters below the space are written; DEL and all above are written as they are.
const CONTROLS: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b", "\\t",
    "\\n", "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012", "\\u0013",
    "\\u0014", "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c",
    "\\u001d", "\\u001e", "\\u001f",
];

#[inline]
fn str_pieces(text: &str, mut piece: impl FnMut(&str)) {
    let bytes = text.as_bytes();
    let mut start = 0;
    piece("\"");
    loop {
        let end = plain_until(bytes, start);
        piece(text.get(start..end).unwrap_or_default());
        match bytes.get(end) {
            None => break,
            Some(b'"') => piece("\\\""),
            Some(b'\\') => piece("\\\\"),
            Some(&control) => piece(CONTROLS.get(usize::from(control)).unwrap_or(&"")),
        }
        start = end + 1;
    }
    piece("\"");
}

/// The rules of `float.__repr__`: the fewest digits that read back as the same float, plain
/// from 1e-4 up to 1e16 and with an exponent of at least two digits outside of that.
#[inline]
fn f64_pieces(value: f64, mut piece: impl FnMut(&str)) {
    if value.is_nan() {
        return piece("NaN");
    }
    if value.is_sign_negative() {
        piece("-");
    }
    if value.is_infinite() {
        return piece("Infinity");
    }
    let buffer = shortest(value.abs());
    let (digits, exponent) = buffer.text().split_once('e').unwrap_or_default();
    let (first, more) = digits.split_once('.').unwrap_or((digits, ""));
    let power: i32 = exponent.parse().unwrap_or(0);
    let places = power.unsigned_abs() as usize;
    if !(-4..16).contains(&power) {
        piece(first);
        if !more.is_empty() {
            piece(".");
            piece(more);
        }
        piece(if power < 0 { "e-" } else { "e+" });
        if places < 10 {
            piece("0");
        }
        piece(exponent.trim_start_matches('-'));
    } else if power < 0 {
        piece("0.");
        piece(zeros(places - 1));
        piece(first);
        piece(more);
    } else if let Some((whole, fraction)) = more.split_at_checked(places)
        && !fraction.is_empty()
    {
        piece(first);
        piece(whole);
        piece(".");
        piece(fraction);
    } else {
        piece(first);
        piece(more);
        piece(zeros(places - more.len()));
        piece(".0");
    }
}

fn zeros(count: usize) -> &'static str {
    "0000000000000000".get(..count).unwrap_or_default()
}

/// The fewest digits that read back as `value`, and of those the nearest to it, in `{:e}`
/// form: `1.25e-7`.
///
/// Where two are equally near, Python takes the even one and Rust the upper one:
/// 8192.0001220703125 is `8192.000122070312` to Python.
fn shortest(value: f64) -> Scratch {
    let digits = Scratch::of(format_args!("{value:e}"));
    let (mantissa, exponent) = digits.text().split_once('e').unwrap_or_default();
    let decimals = mantissa.len().saturating_sub(2);
    // Midway between two numbers of `unit` steps of ten is an odd multiple of 5 * 10^(unit - 1),
    // whose lowest bit is that of 2^(unit - 1). Few floats have theirs just there.
    let unit = exponent.parse().unwrap_or(0) - decimals as i32;
    if lowest_bit(value) != unit - 1 {
        return digits;
    }
    // With the number of digits given Rust takes the even one, too, but near a power of two it
    // may be the digits of the neighbour.
    let even = Scratch::of(format_args!("{value:.decimals$e}"));
    if even.text().parse() == Ok(value) { even } else { digits }
}

/// The power of two of the lowest bit set in a positive float.
fn lowest_bit(value: f64) -> i32 {
    let bits = value.to_bits();
    let exponent = (bits >> (f64::MANTISSA_DIGITS - 1)) as i32;
    let mantissa = bits & ((1 << (f64::MANTISSA_DIGITS - 1)) - 1);
    match exponent {
        0 => mantissa.trailing_zeros() as i32 - 1074,
        // The leading bit is not stored; counting it stops the zeros there.
        _ => mantissa.trailing_zeros().min(52) as i32 + exponent - 1075,
    }
}

/// Room on the stack for a float in `{:e}` form, at most 23 bytes: `2.2250738585072014e-308`.
#[derive(Default)]
struct Scratch {
    bytes: [u8; 32],
    len: usize,
}

impl Scratch {
    fn of(float: fmt::Arguments<'_>) -> Self {
        let mut scratch = Self::default();
        let written = scratch.write_fmt(float);
        debug_assert!(written.is_ok(), "a float's digits fit the buffer");
        scratch
    }

    fn text(&self) -> &str {
        let written = self.bytes.get(..self.len).unwrap_or_default();
        str::from_utf8(written).unwrap_or_default()
    }
}

impl fmt::Write for Scratch {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::RawValue;
    use super::*;

    fn string(text: &str) -> String {
        let mut out = "before ".to_owned();
        write_str(&mut out, text);
        assert_eq!(out.len(), "before ".len() + str_len(text));
        out.split_off("before ".len())
    }

    fn float(value: f64) -> String {
        let mut out = "before ".to_owned();
        write_f64(&mut out, value);
        assert_eq!(out.len(), "before ".len() + f64_len(value));
        out.split_off("before ".len())
    }

    #[test]
    fn strings_are_written_as_python_writes_them() {
        // json.dumps(…, ensure_ascii=False)
        assert_eq!(string(""), r#""""#);
        assert_eq!(string("say \"hi\" \\ / 'you'"), r#""say \"hi\" \\ / 'you'""#);
        assert_eq!(string("\n\r\t\u{c}\u{8}"), r#""\n\r\t\f\b""#);
        assert_eq!(string("\0\u{1}\u{b}\u{1b}\u{1f}"), r#""\u0000\u0001\u000b\u001b\u001f""#);
        assert_eq!(string("\u{7f}é\u{2028}😀\u{feff}"), "\"\u{7f}é\u{2028}😀\u{feff}\"");
    }

    #[test]
    fn every_control_character_has_its_escape() {
        for control in '\0'..' ' {
            let json = string(&control.to_string());
            assert!(json.starts_with("\"\\"), "{json}");
            let read = RawValue::parse(&json).unwrap().as_str().unwrap();
            assert_eq!(read.text, control.to_string());
        }
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        // json.dumps of Python 3.11
        let written = [
            "0.0",
            "-0.0",
            "1.0",
            "-1.0",
            "0.1",
            "0.5",
            "0.3333333333333333",
            "0.6666666666666666",
            "100.0",
            "123456789.0",
            "4093.207413239",
            "1700000000.123",
            "1000000000.000001",
            "0.001",
            "0.0001",
            "0.00012345678901234567",
            "1e-05",
            "9.999e-05",
            "1e-07",
            "1.5e-10",
            "1000000000000000.0",
            "9999999999999998.0",
            "1e+16",
            "1.2345678901234568e+16",
            "1e+17",
            "1.2345678901234568e+17",
            "1e+21",
            "1e+22",
            "1e+23",
            "1e+100",
            "1e+300",
            "-1e+300",
            "1.7976931348623157e+308",
            "2.2250738585072014e-308",
            "5e-324",
            "1.5e-323",
            "9007199254740992.0",
            "9.223372036854776e+18",
            "1.8446744073709552e+19",
            "5.684341886080802e-14",
            "3.141592653589793",
            "2.718281828459045",
        ];
        for text in written {
            assert_eq!(float(text.parse().unwrap()), text);
        }
        assert_eq!(float(f64::NAN), "NaN");
        assert_eq!(float(-f64::NAN), "NaN");
        assert_eq!(float(f64::INFINITY), "Infinity");
        assert_eq!(float(f64::NEG_INFINITY), "-Infinity");
    }

    #[test]
    fn of_two_equally_near_python_takes_the_even_digits() {
        // (exactly, json.dumps of Python 3.11); Rust's own digits end in 3 in each.
        let midway = [
            ("8192.0001220703125", "8192.000122070312"),
            ("26363981746409.3125", "26363981746409.312"),
            ("1059438285926254.25", "1059438285926254.2"),
            ("-1425502010969177.25", "-1425502010969177.2"),
        ];
        for (exactly, written) in midway {
            assert_eq!(float(exactly.parse().unwrap()), written);
        }
    }

    proptest! {
        #[test]
        fn every_float_reads_back_bit_for_bit(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let json = float(value);
            let read = RawValue::parse(&json).unwrap().as_f64().unwrap();
            prop_assert!(read.to_bits() == bits || (read.is_nan() && value.is_nan()));
        }

        #[test]
        fn every_dyadic_fraction_reads_back(odd in 0..1u64 << 53, power in -60..60) {
            let value = odd as f64 * f64::from(power).exp2();
            prop_assert_eq!(RawValue::parse(&float(value)).unwrap().as_f64(), Some(value));
        }

        #[test]
        fn every_string_reads_back(text in any::<String>(), controls in "[\0-\u{24}\\\\é]{0,30}") {
            for text in [text, controls] {
                let json = string(&text);
                let read = RawValue::parse(&json).unwrap().as_str().unwrap();
                prop_assert_eq!(read.text, text);
                prop_assert!(!read.lossy);
            }
        }
    }
}
