//! PostgreSQL's patterns of `to_char` and `to_timestamp`: `YYYY-MM-DD HH24:MI:SS`.
//!
//! A pattern is a sequence of fields and other characters. A field may have a prefix (`FM`, `TM`) and a
//! suffix (`TH`). Other characters, and all characters in double quotes, stand for themselves.

use std::sync::Arc;

use super::functions::refused;

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Field {
        key: &'static Key,
        fill: bool,
        translated: bool,
        ordinal: Option<Case>,
    },
    /// Punctuation. In parsing it matches other punctuation, or nothing.
    Separator(char),
    Space(char),
    Text(char),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Capital,
    Lower,
}

/// A parsed pattern.
pub(super) type Pattern = Arc<[Node]>;

/// The calendar that a field belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calendar {
    Any,
    Gregorian,
    IsoWeeks,
}

/// A kind of field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) field: Field,
    /// Whether the field begins with a digit in a text that is parsed.
    pub(super) is_digit: bool,
    pub(super) calendar: Calendar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The era, with points (`A.D.`) or without (`AD`).
    Era {
        points: bool,
        case: Case,
    },
    HalfDay {
        points: bool,
        case: Case,
    },
    Century,
    DayName(Case),
    DayAbbreviated(Case),
    DayOfYear,
    DayOfMonth,
    /// The day of the week. Sunday is 1.
    DayOfWeek,
    /// A number of digits of a fraction of a second.
    Fraction(u8),
    Exact,
    Hour24,
    Hour12,
    IsoDayOfYear,
    /// The ISO day of the week. Monday is 1.
    IsoDayOfWeek,
    IsoWeek,
    IsoYear(u8),
    Julian,
    Minute,
    Month,
    MonthName(Case),
    MonthAbbreviated(Case),
    Millisecond,
    Offset,
    Quarter,
    Roman(Case),
    SecondOfDay,
    Second,
    ZoneHours,
    ZoneMinutes,
    ZoneName(Case),
    Microsecond,
    WeekOfYear,
    WeekOfMonth,
    /// The year with a comma, as in `2,026`.
    YearWithComma,
    Year(u8),
}

const fn key(name: &'static str, field: Field, is_digit: bool, calendar: Calendar) -> Key {
    Key { name, field, is_digit, calendar }
}

use Calendar::{Any, Gregorian, IsoWeeks};
use Case::{Capital, Lower, Upper};

/// All fields. If two fields have a common beginning, the one that is tried first comes first.
static KEYS: [Key; 112] = [
    key("A.D.", Field::Era { points: true, case: Upper }, false, Any),
    key("A.M.", Field::HalfDay { points: true, case: Upper }, false, Any),
    key("AD", Field::Era { points: false, case: Upper }, false, Any),
    key("AM", Field::HalfDay { points: false, case: Upper }, false, Any),
    key("B.C.", Field::Era { points: true, case: Upper }, false, Any),
    key("BC", Field::Era { points: false, case: Upper }, false, Any),
    key("CC", Field::Century, true, Any),
    key("DAY", Field::DayName(Upper), false, Any),
    key("DDD", Field::DayOfYear, true, Gregorian),
    key("DD", Field::DayOfMonth, true, Gregorian),
    key("DY", Field::DayAbbreviated(Upper), false, Any),
    key("Day", Field::DayName(Capital), false, Any),
    key("Dy", Field::DayAbbreviated(Capital), false, Any),
    key("D", Field::DayOfWeek, true, Gregorian),
    key("FF1", Field::Fraction(1), true, Any),
    key("FF2", Field::Fraction(2), true, Any),
    key("FF3", Field::Fraction(3), true, Any),
    key("FF4", Field::Fraction(4), true, Any),
    key("FF5", Field::Fraction(5), true, Any),
    key("FF6", Field::Fraction(6), true, Any),
    key("FX", Field::Exact, false, Any),
    key("HH24", Field::Hour24, true, Any),
    key("HH12", Field::Hour12, true, Any),
    key("HH", Field::Hour12, true, Any),
    key("IDDD", Field::IsoDayOfYear, true, IsoWeeks),
    key("ID", Field::IsoDayOfWeek, true, IsoWeeks),
    key("IW", Field::IsoWeek, true, IsoWeeks),
    key("IYYY", Field::IsoYear(4), true, IsoWeeks),
    key("IYY", Field::IsoYear(3), true, IsoWeeks),
    key("IY", Field::IsoYear(2), true, IsoWeeks),
    key("I", Field::IsoYear(1), true, IsoWeeks),
    key("J", Field::Julian, true, Any),
    key("MI", Field::Minute, true, Any),
    key("MM", Field::Month, true, Gregorian),
    key("MONTH", Field::MonthName(Upper), false, Gregorian),
    key("MON", Field::MonthAbbreviated(Upper), false, Gregorian),
    key("MS", Field::Millisecond, true, Any),
    key("Month", Field::MonthName(Capital), false, Gregorian),
    key("Mon", Field::MonthAbbreviated(Capital), false, Gregorian),
    key("OF", Field::Offset, false, Any),
    key("P.M.", Field::HalfDay { points: true, case: Upper }, false, Any),
    key("PM", Field::HalfDay { points: false, case: Upper }, false, Any),
    key("Q", Field::Quarter, true, Any),
    key("RM", Field::Roman(Upper), false, Gregorian),
    key("SSSSS", Field::SecondOfDay, true, Any),
    key("SSSS", Field::SecondOfDay, true, Any),
    key("SS", Field::Second, true, Any),
    key("TZH", Field::ZoneHours, false, Any),
    key("TZM", Field::ZoneMinutes, true, Any),
    key("TZ", Field::ZoneName(Upper), false, Any),
    key("US", Field::Microsecond, true, Any),
    key("WW", Field::WeekOfYear, true, Gregorian),
    key("W", Field::WeekOfMonth, true, Gregorian),
    key("Y,YYY", Field::YearWithComma, true, Gregorian),
    key("YYYY", Field::Year(4), true, Gregorian),
    key("YYY", Field::Year(3), true, Gregorian),
    key("YY", Field::Year(2), true, Gregorian),
    key("Y", Field::Year(1), true, Gregorian),
    key("a.d.", Field::Era { points: true, case: Lower }, false, Any),
    key("a.m.", Field::HalfDay { points: true, case: Lower }, false, Any),
    key("ad", Field::Era { points: false, case: Lower }, false, Any),
    key("am", Field::HalfDay { points: false, case: Lower }, false, Any),
    key("b.c.", Field::Era { points: true, case: Lower }, false, Any),
    key("bc", Field::Era { points: false, case: Lower }, false, Any),
    key("cc", Field::Century, true, Any),
    key("day", Field::DayName(Lower), false, Any),
    key("ddd", Field::DayOfYear, true, Gregorian),
    key("dd", Field::DayOfMonth, true, Gregorian),
    key("dy", Field::DayAbbreviated(Lower), false, Any),
    key("d", Field::DayOfWeek, true, Gregorian),
    key("ff1", Field::Fraction(1), true, Any),
    key("ff2", Field::Fraction(2), true, Any),
    key("ff3", Field::Fraction(3), true, Any),
    key("ff4", Field::Fraction(4), true, Any),
    key("ff5", Field::Fraction(5), true, Any),
    key("ff6", Field::Fraction(6), true, Any),
    key("fx", Field::Exact, false, Any),
    key("hh24", Field::Hour24, true, Any),
    key("hh12", Field::Hour12, true, Any),
    key("hh", Field::Hour12, true, Any),
    key("iddd", Field::IsoDayOfYear, true, IsoWeeks),
    key("id", Field::IsoDayOfWeek, true, IsoWeeks),
    key("iw", Field::IsoWeek, true, IsoWeeks),
    key("iyyy", Field::IsoYear(4), true, IsoWeeks),
    key("iyy", Field::IsoYear(3), true, IsoWeeks),
    key("iy", Field::IsoYear(2), true, IsoWeeks),
    key("i", Field::IsoYear(1), true, IsoWeeks),
    key("j", Field::Julian, true, Any),
    key("mi", Field::Minute, true, Any),
    key("mm", Field::Month, true, Gregorian),
    key("month", Field::MonthName(Lower), false, Gregorian),
    key("mon", Field::MonthAbbreviated(Lower), false, Gregorian),
    key("ms", Field::Millisecond, true, Any),
    key("of", Field::Offset, false, Any),
    key("p.m.", Field::HalfDay { points: true, case: Lower }, false, Any),
    key("pm", Field::HalfDay { points: false, case: Lower }, false, Any),
    key("q", Field::Quarter, true, Any),
    key("rm", Field::Roman(Lower), false, Gregorian),
    key("sssss", Field::SecondOfDay, true, Any),
    key("ssss", Field::SecondOfDay, true, Any),
    key("ss", Field::Second, true, Any),
    key("tzh", Field::ZoneHours, false, Any),
    key("tzm", Field::ZoneMinutes, true, Any),
    key("tz", Field::ZoneName(Lower), false, Any),
    key("us", Field::Microsecond, true, Any),
    key("ww", Field::WeekOfYear, true, Gregorian),
    key("w", Field::WeekOfMonth, true, Gregorian),
    key("y,yyy", Field::YearWithComma, true, Gregorian),
    key("yyyy", Field::Year(4), true, Gregorian),
    key("yyy", Field::Year(3), true, Gregorian),
    key("yy", Field::Year(2), true, Gregorian),
    key("y", Field::Year(1), true, Gregorian),
];

/// Parses a pattern.
///
/// # Errors
/// Fails for a field that PostgreSQL accepts and this module does not, and for one that PostgreSQL refuses.
pub(super) fn parse(pattern: &str) -> datafusion::common::Result<Pattern> {
    let mut nodes = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        let (fill, translated);
        (fill, translated, rest) = prefix(rest);
        if let Some(key) = KEYS.iter().find(|key| rest.starts_with(key.name)) {
            rest = &rest[key.name.len()..];
            let ordinal;
            (ordinal, rest) = suffix(rest);
            nodes.push(Node::Field { key, fill, translated, ordinal });
        } else if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted_text(quoted, &mut nodes);
        } else if let Some(first) = rest.chars().next() {
            let more_digits = ["FF7", "FF8", "FF9", "ff7", "ff8", "ff9"];
            if let Some(refuse) = more_digits.into_iter().find(|digits| rest.starts_with(digits)) {
                return Err(refused(format!(
                    "the pattern {pattern:?} is refused: PostgreSQL has no field {refuse}; use US or FF6 for \
                     microseconds, or the strftime field %9f for nanoseconds"
                )));
            }
            let escaped = first == '\\' && rest[1..].starts_with('"');
            let first = if escaped { '"' } else { first };
            rest = &rest[if escaped { 2 } else { first.len_utf8() }..];
            nodes.push(if is_separator(first) {
                Node::Separator(first)
            } else if is_space(first) {
                Node::Space(first)
            } else {
                Node::Text(first)
            });
        }
    }
    Ok(nodes.into())
}

/// Parses the prefixes `FM` and `TM`. Returns whether each is there, and the rest.
fn prefix(rest: &str) -> (bool, bool, &str) {
    for (name, fill) in [("FM", true), ("fm", true), ("TM", false), ("tm", false)] {
        if let Some(after) = rest.strip_prefix(name) {
            return (fill, !fill, after);
        }
    }
    (false, false, rest)
}

/// Parses the suffix `TH`. Returns its case, and the rest.
fn suffix(rest: &str) -> (Option<Case>, &str) {
    for (name, case) in [("TH", Some(Upper)), ("th", Some(Lower)), ("SP", None)] {
        if let Some(after) = rest.strip_prefix(name) {
            return (case, after);
        }
    }
    (None, rest)
}

/// Parses a quoted text, and returns the rest.
fn quoted_text<'t>(quoted: &'t str, nodes: &mut Vec<Node>) -> &'t str {
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return &quoted[at + 1..],
            '\\' => nodes.push(Node::Text(chars.next().map_or('\\', |(_, next)| next))),
            other => nodes.push(Node::Text(other)),
        }
    }
    ""
}

/// Whether a character is a space, as C's `isspace` defines it for ASCII.
pub(super) const fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

/// Whether a character is printable ASCII, and neither a letter nor a digit.
pub(super) const fn is_separator(char: char) -> bool {
    char.is_ascii_graphic() && !char.is_ascii_alphanumeric()
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const ROMAN: [&str; 12] =
    ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// Converts a name to upper case, capitalized, or lower case.
pub(super) fn in_case(name: &str, case: Case) -> String {
    match case {
        Upper => name.to_ascii_uppercase(),
        Capital => name.to_owned(),
        Lower => name.to_ascii_lowercase(),
    }
}
