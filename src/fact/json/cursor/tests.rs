//! Unit tests of the JSON scanner.

use proptest::prelude::*;

use super::*;

/// Texts that Python 3.11 accepts as JSON.
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

/// Texts that Python 3.11 refuses as JSON, with the place and the reason of the error.
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
    // At 64 and 128 brackets, the bits continue in another word.
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
                    // The neighbours of the special bytes, above and below.
                    *byte = [0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xff][at % 9];
                }
                assert_eq!(plain_until(&bytes, 0), len);
                bytes[place] = special;
                assert_eq!(plain_until(&bytes, 0), place);
                assert_eq!(plain_until(&bytes, place), place);
                if let Some(next) = bytes.get_mut(place + 1) {
                    // A byte that a borrow might mark, and a second right mark.
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
