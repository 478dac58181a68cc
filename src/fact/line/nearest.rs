//! What a column holds for a JSON value that it cannot hold exactly.
//!
//! A fact is never refused for what it says. Where a value does not fit its column, the column gets the
//! nearest one that does, and the exact value goes into `extra`, from where the fact's line has it again.

use std::borrow::Cow;

use super::super::json::{RawValue, Shape};

/// A column's value for a JSON value, and whether it is exactly that.
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

/// A text: an address of old files as `shop:5`, nothing of `null`, and of anything else its JSON.
pub(super) fn text(value: RawValue<'_>) -> Nearest<Cow<'_, str>> {
    if let Some(text) = value.as_str() {
        return Nearest { value: text.text, exact: !text.lossy };
    }
    if value.is_null() {
        return Nearest::inexact(Cow::Borrowed(""));
    }
    Nearest::inexact(old_address(value).map_or(Cow::Borrowed(value.text()), Cow::Owned))
}

/// A float: an infinity for what is too large for one, the number that a text spells, else none (NaN).
pub(super) fn float(value: RawValue<'_>) -> Nearest<f64> {
    if let Some(seconds) = value.as_f64() {
        return Nearest { value: seconds, exact: is_exact(value.text(), seconds) };
    }
    Nearest::inexact(number(value).unwrap_or(f64::NAN))
}

/// Whether a number says nothing that its float does not: of those that are written as integers, all
/// below 2^53, and some beyond. A fraction is a float to its writer, too.
fn is_exact(text: &str, seconds: f64) -> bool {
    const FEW_DIGITS: usize = 15;
    if text.len() <= FEW_DIGITS || text.bytes().any(|b| !b.is_ascii_digit() && b != b'-') {
        return true;
    }
    text.parse().is_ok_and(|integer: i128| seconds as i128 == integer)
}

/// An integer of 64 bits: the least or the greatest for what is beyond them, a fraction without its
/// fraction, 1 and 0 for true and false, the number that a text spells, else 0.
pub(super) fn integer(value: RawValue<'_>) -> Nearest<i64> {
    if let Some(integer) = value.as_i64() {
        return Nearest::exact(integer);
    }
    if value.text() == "true" {
        return Nearest::inexact(1);
    }
    let spelled = value.as_str().and_then(|text| text.text.trim().parse().ok());
    // `as` stays within the range, and makes 0 of NaN.
    Nearest::inexact(spelled.unwrap_or_else(|| number(value).unwrap_or_default() as i64))
}

/// A list of texts: nothing of `null`, and of anything else that is none a list of it alone.
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
        // Of too many digits Rust makes an infinity.
        Shape::Number => value.as_f64().or_else(|| value.text().parse().ok()),
        Shape::String => value.as_str()?.text.trim().parse().ok(),
        _ => None,
    }
}

/// `{"system": "shop", "actor_id": 5}` of old files, as `shop:5`. Actor ids have any size.
fn old_address(value: RawValue<'_>) -> Option<String> {
    let id = value.get("actor_id")?;
    let system = value.get("system")?.as_str()?;
    let id = id.as_str().map_or(Cow::Borrowed(id.text()), |text| Cow::Owned(text.text.trim().to_owned()));
    let digits = id.strip_prefix('-').unwrap_or(&id);
    let integer = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    integer.then(|| format!("{}:{id}", system.text))
}

/// Whether a field's exact value says more than the value that its column holds: what a warning is for.
///
/// An old address is the same as text, and half of a surrogate pair is no loss that anybody can mend.
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
