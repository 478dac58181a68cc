//! The value of a column for a JSON value that the column cannot hold exactly.
//!
//! A fact is never refused for its content. If a value does not fit its column, the column gets the
//! nearest one that fits, and the exact value goes into `extra`. The fact's line takes it from there.

use std::borrow::Cow;

use super::super::json::{RawValue, Shape};

/// A column's value for a JSON value, and whether it is exact.
pub(super) struct Nearest<T> {
    pub(super) value: T,
    pub(super) exact: bool,
}

impl<T> Nearest<T> {
    const fn exact(value: T) -> Self {
        Self { value, exact: true }
    }

    const fn inexact(value: T) -> Self {
        Self { value, exact: false }
    }
}

/// As text: an old file's address becomes `shop:5`, `null` becomes empty, and any other value its JSON.
pub(super) fn text(value: RawValue<'_>) -> Nearest<Cow<'_, str>> {
    if let Some(text) = value.as_str() {
        return Nearest { value: text.text, exact: !text.lossy };
    }
    if value.is_null() {
        return Nearest::inexact(Cow::Borrowed(""));
    }
    Nearest::inexact(old_address(value).map_or(Cow::Borrowed(value.text()), Cow::Owned))
}

/// As a float: a number that is too large becomes an infinity, a text that spells a number becomes that
/// number, and anything else no number (NaN).
pub(super) fn float(value: RawValue<'_>) -> Nearest<f64> {
    if let Some(seconds) = value.as_f64() {
        return Nearest { value: seconds, exact: is_exact(value.text(), seconds) };
    }
    Nearest::inexact(number(value).unwrap_or(f64::NAN))
}

/// Whether a number holds no more information than its float. For integers, that is true of all below
/// 2^53, and of some beyond. A fraction was a float when it was written.
fn is_exact(text: &str, seconds: f64) -> bool {
    const FEW_DIGITS: usize = 15;
    if text.len() <= FEW_DIGITS || text.bytes().any(|b| !b.is_ascii_digit() && b != b'-') {
        return true;
    }
    text.parse().is_ok_and(|integer: i128| seconds as i128 == integer)
}

/// As an integer of 64 bits: values beyond the range become the least or the greatest one, a fraction
/// loses its fraction, true and false become 1 and 0, a text that spells a number becomes that number,
/// and anything else becomes 0.
pub(super) fn integer(value: RawValue<'_>) -> Nearest<i64> {
    if let Some(integer) = value.as_i64() {
        return Nearest::exact(integer);
    }
    if value.text() == "true" {
        return Nearest::inexact(1);
    }
    let spelled = value.as_str().and_then(|text| text.text.trim().parse().ok());
    // `as` stays within the range, and turns NaN into 0.
    Nearest::inexact(spelled.unwrap_or_else(|| number(value).unwrap_or_default() as i64))
}

/// As a list of texts: `null` becomes an empty list, and any other value that is not a list becomes a
/// list of itself.
pub(super) fn list(value: RawValue<'_>) -> Nearest<Vec<Cow<'_, str>>> {
    match value.shape() {
        Shape::Array => {
            let mut exact = true;
            let texts = value.elements().map(|element| {
                let text = text(element);
                exact &= text.exact;
                if element.is_null() { Cow::Borrowed("null") } else { text.value }
            });
            let value = texts.collect();
            Nearest { value, exact }
        }
        Shape::Null => Nearest::inexact(Vec::new()),
        _ => Nearest::inexact(vec![text(value).value]),
    }
}

/// A number of any size, or a text that spells one.
fn number(value: RawValue<'_>) -> Option<f64> {
    match value.shape() {
        // Rust reads too many digits as an infinity.
        Shape::Number => value.as_f64().or_else(|| value.text().parse().ok()),
        Shape::String => value.as_str()?.text.trim().parse().ok(),
        _ => None,
    }
}

/// Turns `{"system": "shop", "actor_id": 5}` of old files into `shop:5`. Actor ids have any size.
fn old_address(value: RawValue<'_>) -> Option<String> {
    let id = value.get("actor_id")?;
    let system = value.get("system")?.as_str()?;
    let id = id.as_str().map_or(Cow::Borrowed(id.text()), |text| Cow::Owned(text.text.trim().to_owned()));
    let digits = id.strip_prefix('-').unwrap_or(&id);
    let integer = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    integer.then(|| format!("{}:{id}", system.text))
}

/// Whether a field's exact value holds more information than its column: then a warning is due.
///
/// An old address holds the same information as its text. Half of a surrogate pair is a loss that cannot
/// be repaired.
pub(super) fn says_more(field: &str, value: RawValue<'_>) -> bool {
    match field {
        "system_id" | "event_type" | "message_type" | "actor_address" | "target" => {
            value.shape() != Shape::String && old_address(value).is_none()
        }
        "registry_orphans" | "registry_dead" => value.shape() != Shape::Array,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> RawValue<'_> {
        RawValue::parse(text).unwrap()
    }

    #[test]
    fn counters_stay_within_their_range() {
        for (json, column, exact) in [
            ("7", 7, true),
            ("-9223372036854775808", i64::MIN, true),
            ("9223372036854775808", i64::MAX, false),
            ("-123456789012345678901234567890", i64::MIN, false),
            ("3.9", 3, false),
            ("1e3", 1000, false),
            ("1e999", i64::MAX, false),
            ("NaN", 0, false),
            ("-Infinity", i64::MIN, false),
            ("true", 1, false),
            ("false", 0, false),
            ("null", 0, false),
            ("\"9007199254740993\"", 9_007_199_254_740_993, false),
            ("\" 2.5 \"", 2, false),
            ("\"many\"", 0, false),
            ("[1]", 0, false),
        ] {
            let nearest = integer(value(json));
            assert_eq!((nearest.value, nearest.exact), (column, exact), "{json}");
        }
    }

    #[test]
    fn timestamps_are_floats_or_none() {
        let huge = format!("-1{}", "0".repeat(400));
        for (json, column, exact) in [
            ("1.5", 1.5, true),
            ("9007199254740992", 9_007_199_254_740_992.0, true),
            ("9007199254740993", 9_007_199_254_740_992.0, false),
            ("Infinity", f64::INFINITY, true),
            ("1e999", f64::INFINITY, false),
            (huge.as_str(), f64::NEG_INFINITY, false),
            ("\"0.5\"", 0.5, false),
            ("\"soon\"", f64::NAN, false),
            ("null", f64::NAN, false),
            ("{}", f64::NAN, false),
        ] {
            let nearest = float(value(json));
            assert_eq!(nearest.value.to_bits(), column.to_bits(), "{json}");
            assert_eq!(nearest.exact, exact, "{json}");
        }
    }

    #[test]
    fn texts_and_lists_are_made_of_anything() {
        for (json, column, exact) in [
            ("\"shop:5\"", "shop:5", true),
            ("7", "7", false),
            ("null", "", false),
            ("[1, 2]", "[1, 2]", false),
            (r#"{"system": "s", "actor_id": 7}"#, "s:7", false),
            (r#"{"system": "s", "actor_id": " -7"}"#, "s:-7", false),
            (r#"{"system": "s"}"#, r#"{"system": "s"}"#, false),
            (r#"{"system": "s", "actor_id": ""}"#, r#"{"system": "s", "actor_id": ""}"#, false),
        ] {
            let nearest = text(value(json));
            assert_eq!((nearest.value.as_ref(), nearest.exact), (column, exact), "{json}");
        }
        for (json, column, exact) in [
            ("[]", &[][..], true),
            (r#"["a", "b"]"#, &["a", "b"], true),
            (r#"["a", 7, null]"#, &["a", "7", "null"], false),
            ("null", &[], false),
            ("\"a\"", &["a"], false),
        ] {
            let nearest = list(value(json));
            assert_eq!(
                (nearest.value, nearest.exact),
                (column.iter().map(|t| Cow::Borrowed(*t)).collect(), exact),
                "{json}"
            );
        }
    }
}
