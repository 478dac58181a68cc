//! Formats times by PostgreSQL's patterns.

use std::borrow::Cow;
use std::fmt::Write;

use jiff::civil::DateTime;

use super::clock::day_of;
use super::pattern::{Case, DAYS, Field, MONTHS, Node, ROMAN, in_case};

/// A wall time, and the offset and zone of its clock.
pub(super) struct Shown {
    pub(super) at: DateTime,
    /// The offset from UTC in seconds; 0 for a wall time without a zone.
    pub(super) offset: i64,
    pub(super) abbreviation: Cow<'static, str>,
}

/// Formats a time by a pattern.
pub(super) fn format(pattern: &[Node], shown: &Shown, out: &mut String) {
    for node in pattern {
        match *node {
            Node::Field { key, fill, translated, ordinal } => {
                let begin = out.len();
                let is_number = shown.field(key.field, fill, translated, out);
                if let Some(case) = ordinal.filter(|_| is_number) {
                    let suffix = ordinal_suffix(&out[begin..]);
                    out.push_str(&in_case(suffix, case));
                }
            }
            Node::Separator(char) | Node::Space(char) | Node::Text(char) => out.push(char),
        }
    }
}

/// Returns `st`, `nd`, `rd` or `th`.
fn ordinal_suffix(number: &str) -> &'static str {
    let mut digits = number.bytes().rev();
    let (last, before) = (digits.next(), digits.next());
    match last {
        _ if before == Some(b'1') => "th",
        Some(b'1') => "st",
        Some(b'2') => "nd",
        Some(b'3') => "rd",
        _ => "th",
    }
}

impl Shown {
    /// Appends a field. Returns whether it is a number that may be an ordinal.
    fn field(&self, field: Field, fill: bool, translated: bool, out: &mut String) -> bool {
        // The width includes the sign, as in C.
        let mut number = |value: i64, width: usize| {
            let width = if fill { 0 } else { width + usize::from(value < 0) };
            let _ = write!(out, "{value:0width$}");
            true
        };
        let at = self.at;
        let (hour, date) = (i64::from(at.hour()), at.date());
        match field {
            Field::Hour12 => number(if hour % 12 == 0 { 12 } else { hour % 12 }, 2),
            Field::Hour24 => number(hour, 2),
            Field::Minute => number(at.minute().into(), 2),
            Field::Second => number(at.second().into(), 2),
            Field::SecondOfDay => {
                number(hour * 3600 + i64::from(at.minute()) * 60 + i64::from(at.second()), 0)
            }
            Field::Month => number(at.month().into(), 2),
            Field::DayOfMonth => number(at.day().into(), 2),
            Field::DayOfYear => number(date.day_of_year().into(), 3),
            Field::DayOfWeek => number(i64::from(date.weekday().to_sunday_zero_offset()) + 1, 0),
            Field::IsoDayOfWeek => number(date.weekday().to_monday_one_offset().into(), 0),
            Field::IsoDayOfYear => {
                let week = date.iso_week_date();
                let day = (i64::from(week.week()) - 1) * 7 + i64::from(week.weekday().to_monday_one_offset());
                number(day, 3)
            }
            Field::IsoWeek => number(date.iso_week_date().week().into(), 2),
            Field::WeekOfYear => number((i64::from(date.day_of_year()) - 1) / 7 + 1, 2),
            Field::WeekOfMonth => number((i64::from(at.day()) - 1) / 7 + 1, 0),
            Field::Quarter => number((i64::from(at.month()) - 1) / 3 + 1, 0),
            Field::Julian => number(day_of(date) + 2_440_588, 0),
            Field::Century => {
                let year = i64::from(at.year());
                let century = if year > 0 { (year - 1) / 100 + 1 } else { year / 100 - 1 };
                number(century, 2)
            }
            Field::Year(digits) => number(last_digits(at.year(), digits), digits.into()),
            Field::IsoYear(digits) => number(last_digits(date.iso_week_date().year(), digits), digits.into()),
            _ => self.text(field, fill, translated, out),
        }
    }

    fn text(&self, field: Field, fill: bool, translated: bool, out: &mut String) -> bool {
        let at = self.at;
        let micros = at.subsec_nanosecond() / 1_000;
        // Names are padded to the length of the longest name.
        let width = |width: usize| if fill || translated { 0 } else { width };
        let month = usize::from(at.month().unsigned_abs()) - 1;
        let day = usize::from(at.date().weekday().to_sunday_zero_offset().unsigned_abs());
        let hours = self.offset.abs() / 3600;
        let minutes = self.offset.abs() % 3600 / 60;
        let sign = if self.offset < 0 { '-' } else { '+' };
        let is_number = matches!(
            field,
            Field::Millisecond | Field::Microsecond | Field::Fraction(_) | Field::YearWithComma
        );
        let _ = match field {
            Field::Millisecond => write!(out, "{:03}", micros / 1_000),
            Field::Microsecond => write!(out, "{micros:06}"),
            Field::Fraction(digits) => {
                let digits = usize::from(digits);
                write!(out, "{}", &format!("{micros:06}")[..digits])
            }
            Field::YearWithComma => {
                let year = last_digits(at.year(), 9);
                write!(out, "{},{:03}", year / 1000, year % 1000)
            }
            Field::MonthName(case) => write!(out, "{:1$}", in_case(MONTHS[month], case), width(9)),
            Field::MonthAbbreviated(case) => write!(out, "{}", in_case(&MONTHS[month][..3], case)),
            Field::DayName(case) => write!(out, "{:1$}", in_case(DAYS[day], case), width(9)),
            Field::DayAbbreviated(case) => write!(out, "{}", in_case(&DAYS[day][..3], case)),
            Field::Roman(case) => {
                let width = if fill { 0 } else { 4 };
                write!(out, "{:1$}", in_case(ROMAN[month], case), width)
            }
            Field::Era { points, case } => {
                let era = match (at.year() > 0, points) {
                    (true, true) => "A.D.",
                    (true, false) => "AD",
                    (false, true) => "B.C.",
                    (false, false) => "BC",
                };
                write!(out, "{}", in_case(era, case))
            }
            Field::HalfDay { points, case } => {
                let half = match (at.hour() >= 12, points) {
                    (true, true) => "P.M.",
                    (true, false) => "PM",
                    (false, true) => "A.M.",
                    (false, false) => "AM",
                };
                write!(out, "{}", in_case(half, case))
            }
            Field::ZoneName(Case::Lower) => write!(out, "{}", in_case(&self.abbreviation, Case::Lower)),
            Field::ZoneName(_) => write!(out, "{}", self.abbreviation),
            Field::ZoneHours => write!(out, "{sign}{hours:02}"),
            Field::ZoneMinutes => write!(out, "{minutes:02}"),
            Field::Offset => {
                let written =
                    if fill { write!(out, "{sign}{hours}") } else { write!(out, "{sign}{hours:02}") };
                if minutes == 0 { written } else { write!(out, ":{minutes:02}") }
            }
            _ => Ok(()),
        };
        is_number
    }
}

/// Returns the last digits of a year. Years before the year 1 are counted back from it.
fn last_digits(year: i16, digits: u8) -> i64 {
    let year = i64::from(year);
    let year = if year <= 0 { 1 - year } else { year };
    if digits >= 4 { year } else { year % 10_i64.pow(digits.into()) }
}

#[cfg(test)]
mod tests {
    use super::super::clock::{Clock, NANOS, civil};
    use super::super::pattern;
    use super::super::zone::Zone;
    use super::*;

    #[test]
    fn patterns_answer_as_postgresql() {
        let known = include_str!("../../../tests/data/postgresql/to_char.tsv");
        for line in known.lines().skip(1) {
            let [zone, at, pattern, wanted] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let at: i64 = at.parse().unwrap();
            let mut shown = Shown { at: civil(at).unwrap(), offset: 0, abbreviation: Cow::Borrowed("") };
            if zone != "-" {
                let zone = Zone::named(zone).unwrap();
                let mut clock = Clock::of(&zone);
                shown.at = civil(clock.wall(at).unwrap()).unwrap();
                shown.offset = clock.offset_at(at.div_euclid(NANOS)).unwrap();
                let instant = jiff::Timestamp::from_nanosecond(at.into()).unwrap();
                shown.abbreviation =
                    Cow::Owned(zone.as_jiff().to_offset_info(instant).abbreviation().to_owned());
            }
            let mut found = String::new();
            format(&pattern::parse(pattern).unwrap(), &shown, &mut found);
            assert_eq!(found, wanted, "{line}");
        }
    }
}
