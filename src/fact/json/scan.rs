//! Reads the members of a line in one pass, or the parts of a value one by one.
//!
//! [`scan_object`] is the inner loop of an import: it checks a line once and collects its own members on
//! the way. The iterators read the inside of a value, which is seldom needed.

use super::cursor::{Cursor, Kind};
use super::{JsonError, RawKey, RawValue, Shape};

/// Checks a line that must be an object and collects its own members, in order, into `out`.
///
/// `out` is cleared first, and empty after an error; its memory serves the next line. JSON
/// that is not an object is an error, `not an object`.
pub(crate) fn scan_object<'a>(
    line: &'a str,
    out: &mut Vec<(RawKey<'a>, RawValue<'a>)>,
) -> Result<(), JsonError> {
    out.clear();
    let mut cursor = Cursor::new(line);
    let scanned = cursor.object(out);
    if scanned.is_err() {
        out.clear();
    }
    scanned
}

/// The members of an object, see [`RawValue::members`].
pub(crate) struct Members<'a> {
    cursor: Cursor<'a>,
    more: bool,
}

impl<'a> Members<'a> {
    pub(super) fn of(value: RawValue<'a>) -> Self {
        let mut cursor = Cursor::new(value.text());
        let more = value.shape() == Shape::Object && cursor.enter(Kind::Object);
        Self { cursor, more }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (RawKey<'a>, RawValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if !std::mem::take(&mut self.more) {
            return None;
        }
        let member = self.cursor.member().ok()?;
        self.more = self.cursor.goes_on(Kind::Object).unwrap_or(false);
        Some(member)
    }
}

/// The elements of an array, see [`RawValue::elements`].
pub(crate) struct Elements<'a> {
    cursor: Cursor<'a>,
    more: bool,
}

impl<'a> Elements<'a> {
    pub(super) fn of(value: RawValue<'a>) -> Self {
        let mut cursor = Cursor::new(value.text());
        let more = value.shape() == Shape::Array && cursor.enter(Kind::Array);
        Self { cursor, more }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = RawValue<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if !std::mem::take(&mut self.more) {
            return None;
        }
        let element = self.cursor.value().ok()?;
        self.more = self.cursor.goes_on(Kind::Array).unwrap_or(false);
        Some(element)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scanned(line: &str) -> Result<Vec<(String, &str)>, JsonError> {
        let mut out = Vec::new();
        scan_object(line, &mut out)?;
        let named = out.iter().map(|(key, value)| (key.decode().text.into_owned(), value.text()));
        Ok(named.collect())
    }

    #[test]
    fn a_line_is_parted_into_its_members() {
        let line = r#" {"kind": "event" ,"payload":{"a": [1, {}]}, "k\u00e9y":-1.50 , "":[ ] } "#;
        let members = [
            ("kind".to_owned(), "\"event\""),
            ("payload".to_owned(), r#"{"a": [1, {}]}"#),
            ("kéy".to_owned(), "-1.50"),
            (String::new(), "[ ]"),
        ];
        assert_eq!(scanned(line), Ok(members.to_vec()));
        assert_eq!(scanned("{}\n"), Ok(vec![]));
    }

    #[test]
    fn a_line_that_is_something_else_is_told_from_one_that_is_nothing() {
        for line in ["[{}]", " null", "\"{}\"", "1 "] {
            assert_eq!(scanned(line).unwrap_err().reason, "not an object", "{line}");
        }
        assert_eq!(scanned("[1,").unwrap_err().reason, "expected a value");
        assert_eq!(scanned("{} {}").unwrap_err().to_string(), "expected nothing more at byte 3");
    }

    #[test]
    fn nothing_is_left_of_the_line_before_nor_of_a_bad_one() {
        let mut out = Vec::new();
        scan_object(r#"{"a": 1, "b": 2}"#, &mut out).unwrap();
        assert_eq!(out.len(), 2);
        scan_object(r#"{"c": 3}"#, &mut out).unwrap();
        assert_eq!(out.len(), 1);
        scan_object(r#"{"d": 4, "e"}"#, &mut out).unwrap_err();
        assert!(out.is_empty());
    }

    #[test]
    fn iterators_are_empty_on_other_shapes_and_end_where_trusted_text_is_damaged() {
        for text in ["", "null", "\"[1]\"", "1", "{}", "[]"] {
            let value = RawValue::trusted(text);
            assert_eq!((value.members().count(), value.elements().count()), (0, 0), "{text}");
        }
        assert_eq!(RawValue::trusted("[1, 2, x, 3]").elements().count(), 2);
        assert_eq!(RawValue::trusted("[1, 2").elements().count(), 2);
        assert_eq!(RawValue::trusted(r#"{"a": 1, "b", "c": 2}"#).members().count(), 1);
        let array = RawValue::parse(r#"[ 1, [2, 3] ,{"a":4}, "x" ]"#).unwrap();
        let elements: Vec<_> = array.elements().map(RawValue::text).collect();
        assert_eq!(elements, ["1", "[2, 3]", "{\"a\":4}", "\"x\""]);
    }

    /// Any JSON value, with whitespace in it and names that repeat.
    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("NaN".to_owned()),
            any::<f64>().prop_map(|value| written(|out| super::super::write_f64(out, value))),
            any::<i128>().prop_map(|value| value.to_string()),
            any::<String>().prop_map(|text| written(|out| super::super::write_str(out, &text))),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let key = prop_oneof![Just("\"a\""), Just(r#""\u0061""#), Just("\"b\""), Just("\"\"")];
            let member = (key, inner.clone()).prop_map(|(key, value)| format!("{key} : {value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(|all| format!("[{}]", all.join(" ,"))),
                prop::collection::vec(member, 0..5).prop_map(|all| format!("{{{}}}", all.join(", "))),
            ]
        })
    }

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    proptest! {
        #[test]
        fn scan_and_iterator_find_the_same(json in any_json()) {
            let value = RawValue::parse(&json).unwrap();
            prop_assert_eq!(value.text(), &json);
            let mut out = Vec::new();
            prop_assert_eq!(scan_object(&json, &mut out).is_ok(), value.shape() == Shape::Object);
            let members: Vec<_> = value.members().collect();
            prop_assert_eq!(members.len(), out.len());
            for ((key, value), (other_key, other_value)) in members.into_iter().zip(out) {
                prop_assert_eq!(key.decode(), other_key.decode());
                prop_assert_eq!(value, other_value);
                prop_assert_eq!(RawValue::parse(value.text()), Ok(value));
            }
            for element in value.elements() {
                prop_assert_eq!(RawValue::parse(element.text()), Ok(element));
            }
        }

        #[test]
        fn trusting_any_text_does_not_panic(text in "[\\[\\]{}\",:\\\\ u0-9dDé-]{0,30}") {
            let value = RawValue::trusted(&text);
            for (key, value) in value.members() {
                let _ = (key.is("u"), key.decode(), value.as_str());
            }
            for element in value.elements() {
                let _ = (element.as_f64(), element.as_i64(), element.as_str());
            }
            let _ = (value.shape(), value.as_str(), value.get("u"));
        }
    }
}
