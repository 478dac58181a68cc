//! Writes strings and floats as Python's `json.dumps(…, ensure_ascii=False)` does, and counts the bytes
//! that they take.
//!
//! Retention by bytes counts lines that are never written, so each writer has a function for the length.
//! Both use one function over the pieces of the text, so that the count always equals the written bytes.

use super::cursor::plain_until;

/// Appends `text` as a JSON string in its quotes.
pub(crate) fn write_str(out: &mut String, text: &str) {
    str_pieces(text, |piece| out.push_str(piece));
}

/// The number of bytes that [`write_str`] appends.
pub(crate) fn str_len(text: &str) -> usize {
    let mut len = 0;
    str_pieces(text, |piece| len += piece.len());
    len
}

/// Appends `value` in the form of Python's `repr`, or as `NaN`, `Infinity`, `-Infinity`.
pub(crate) fn write_f64(out: &mut String, value: f64) {
    f64_pieces(value, |piece| out.push_str(piece));
}

/// The number of bytes that [`write_f64`] appends.
pub(crate) fn f64_len(value: f64) -> usize {
    let mut len = 0;
    f64_pieces(value, |piece| len += piece.len());
    len
}

/// The escapes of the characters below the space. DEL and all above are written unescaped.
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

/// The rules of `float.__repr__`: the fewest digits that read back as the same float (of two equally near
/// ones the even one), without an exponent from 1e-4 up to 1e16, otherwise with an exponent of at least
/// two digits.
#[inline]
fn f64_pieces(value: f64, mut piece: impl FnMut(&str)) {
    if value.is_nan() {
        return piece("NaN");
    }
    if value.is_infinite() {
        return piece(if value < 0.0 { "-Infinity" } else { "Infinity" });
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let size = value.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        return piece(text);
    }
    // Rust writes the same digits, but writes `0.00001` without an exponent, and `1e-7` with a single
    // digit in the exponent.
    if let Some((digits, exponent)) = text.split_once('e') {
        let (sign, power) = exponent.split_at_checked(1).unwrap_or((exponent, ""));
        piece(digits);
        piece("e");
        piece(sign);
        piece(if power.len() < 2 { "0" } else { "" });
        return piece(power);
    }
    let digits = text.trim_start_matches(['-', '0', '.']);
    let (first, more) = digits.split_at_checked(1).unwrap_or((digits, ""));
    piece(if value < 0.0 { "-" } else { "" });
    piece(first);
    piece(if more.is_empty() { "" } else { "." });
    piece(more);
    piece("e-05");
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
        // (exact value, json.dumps of Python 3.11); Rust's own digits end in 3 in each of them.
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
