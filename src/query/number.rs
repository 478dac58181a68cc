//! Reads numbers from texts without losing digits.
//!
//! A number in a payload may have any size and form: `5`, `5.0`, `5e0`, 2⁷⁰, `1e400`, `NaN`. Different
//! numbers may be equal as floats, so a comparison with an integer uses the digits.

use std::cmp::Ordering;

/// The largest number of digits before the decimal point that fits 128 bits.
const MOST_DIGITS: i64 = 38;

/// A number that was read from a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// A number between -10³⁸ and 10³⁸.
    Exact {
        negative: bool,
        /// The digits before the decimal point.
        whole: u128,
        /// Whether the digits after the decimal point contain anything except zeros.
        has_fraction: bool,
        /// Whether the digits after the decimal point are a half or more.
        is_half: bool,
    },
    /// A larger number, an infinity, or `NaN`.
    Far(f64),
}

impl Number {
    /// Reads the number in a text, with or without whitespace around it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(integer) = text.parse::<i64>() {
            return Some(Self::Exact {
                negative: integer < 0,
                whole: integer.unsigned_abs().into(),
                has_fraction: false,
                is_half: false,
            });
        }
        let float: f64 = text.parse().ok()?;
        Some(exact(text).unwrap_or(Self::Far(float)))
    }

    /// Compares the number with an integer. `NaN` is more than all other numbers, as in PostgreSQL.
    pub(super) fn compare(self, integer: i128) -> Ordering {
        match self {
            Self::Far(float) if float < 0.0 => Ordering::Less,
            Self::Far(_) => Ordering::Greater,
            Self::Exact { negative, whole, has_fraction, .. } => {
                // Below 10³⁸, so it fits.
                let whole = if negative { -(whole as i128) } else { whole as i128 };
                let beyond = if negative { Ordering::Less } else { Ordering::Greater };
                whole.cmp(&integer).then(if has_fraction { beyond } else { Ordering::Equal })
            }
        }
    }

    /// Returns a key that is the same for equal integers. All other numbers have one key that no integer has.
    pub(super) fn key(self) -> String {
        match self {
            Self::Exact { negative: true, whole: whole @ 1.., has_fraction: false, .. } => {
                format!("-{whole}")
            }
            Self::Exact { whole, has_fraction: false, .. } => whole.to_string(),
            _ => "no integer".to_owned(),
        }
    }

    /// Returns the number as an integer, if it has no fraction and fits.
    pub(super) fn integer(self) -> Option<i64> {
        match self {
            Self::Exact { negative, whole, has_fraction: false, .. } => fit(negative, whole),
            _ => None,
        }
    }

    /// Rounds to the nearest integer, if it fits. A half is rounded away from zero, as PostgreSQL does in a
    /// cast.
    pub(super) fn rounded(self) -> Option<i64> {
        match self {
            Self::Exact { negative, whole, is_half, .. } => fit(negative, whole + u128::from(is_half)),
            Self::Far(_) => None,
        }
    }
}

fn fit(negative: bool, whole: u128) -> Option<i64> {
    let whole = i128::try_from(whole).ok()?;
    i64::try_from(if negative { -whole } else { whole }).ok()
}

/// Reads the digits of a text that Rust reads as a finite float. `None` if it has no digits, or is too large.
fn exact(text: &str) -> Option<Number> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !before.bytes().chain(after.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let zero = Number::Exact { negative: false, whole: 0, has_fraction: false, is_half: false };
    let digits = || before.bytes().chain(after.bytes());
    let Some(leading) = digits().position(|digit| digit != b'0') else { return Some(zero) };
    // An exponent that does not fit has the same effect as the largest one that does.
    let exponent = exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') {
        i64::MIN / 2
    } else {
        i64::MAX / 2
    });
    let point = i64::try_from(before.len()).ok()?.saturating_add(exponent).saturating_sub(leading as i64);
    if point > MOST_DIGITS {
        return None;
    }
    let mut significant = digits().skip(leading);
    let mut whole = 0_u128;
    for _ in 0..point.max(0) {
        whole = whole * 10 + u128::from(significant.next().unwrap_or(b'0') - b'0');
    }
    // A negative exponent adds zeros between the point and the first digit.
    let mut rest = significant.peekable();
    let is_half = point >= 0 && rest.peek().is_some_and(|digit| *digit >= b'5');
    let has_fraction = rest.any(|digit| digit != b'0');
    Some(Number::Exact { negative, whole, has_fraction, is_half })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_their_digits() {
        use Ordering::{Equal, Greater, Less};
        for (text, integer, wanted) in [
            ("5", 5, Equal),
            (" 5.0 ", 5, Equal),
            ("5e0", 5, Equal),
            ("500e-2", 5, Equal),
            ("0.05e2", 5, Equal),
            ("5.5", 5, Greater),
            ("-5.5", -5, Less),
            ("-5.5", -6, Greater),
            ("0.0001", 0, Greater),
            ("-1e-400", 0, Less),
            ("0e999999999999999999999", 0, Equal),
            ("-0.0", 0, Equal),
            ("9007199254740993", 9_007_199_254_740_992, Greater),
            ("9007199254740992.5", 9_007_199_254_740_992, Greater),
            ("9223372036854775808", i128::from(i64::MAX), Greater),
            ("1180591620717411303424", i128::from(i64::MAX), Greater),
            ("1e400", i128::from(i64::MAX), Greater),
            ("-1e400", i128::from(i64::MIN), Less),
            ("1e-99999999999999999999", 1, Less),
            ("NaN", i128::from(i64::MAX), Greater),
            ("-Infinity", i128::from(i64::MIN), Less),
            ("+7", 7, Equal),
            (".5", 0, Greater),
        ] {
            assert_eq!(Number::parse(text).unwrap().compare(integer), wanted, "{text} and {integer}");
        }
        for text in ["", "n/a", "5 apples", "0x10", "1_000", "true", "\"5\"", "--5", "1e", "null"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn integers_are_those_without_a_fraction() {
        let whole = |text: &str| Number::parse(text).unwrap().integer();
        assert_eq!(whole("123456789012345678.0"), Some(123_456_789_012_345_678));
        assert_eq!(whole("1e18"), Some(1_000_000_000_000_000_000));
        assert_eq!(whole("-9223372036854775808.000"), Some(i64::MIN));
        for text in ["5.5", "1e19", "9223372036854775808", "NaN", "1e400"] {
            assert_eq!(whole(text), None, "{text}");
        }
        let rounded = |text: &str| Number::parse(text).unwrap().rounded();
        assert_eq!(
            ["5.5", "-5.5", "5.49", "0.5", "0.05", "0.4999", "-0.5"].map(rounded),
            [6, -6, 5, 1, 0, 0, -1].map(Some)
        );
        assert_eq!(rounded("9223372036854775807.5"), None);
    }
}
