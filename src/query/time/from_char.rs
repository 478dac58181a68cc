//! Times from text, by PostgreSQL's patterns: the same fields, the same leniency, the same refusals.

use jiff::civil::Date;

use super::clock::{DAY_SECONDS, NANOS, day_of};
use super::functions::refused;
use super::pattern::{Calendar, DAYS, Field, Key, MONTHS, Node, ROMAN, is_separator, is_space};
use datafusion::common::Result;

/// What a text says of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// Nanoseconds since 1970 on a clock.
    pub(super) wall: i64,
    /// Seconds ahead of UTC, if the text says that.
    pub(super) offset: Option<i64>,
}

/// Numbers as they are read; zero is nothing, as in PostgreSQL.
#[derive(Default)]
struct Numbers {
    calendar: Option<Calendar>,
    is_12_hours: bool,
    pm: bool,
    hour: i64,
    minute: i64,
    second: i64,
    second_of_day: i64,
    millis: i64,
    micros: i64,
    day_of_week: i64,
    day: i64,
    day_of_year: i64,
    month: i64,
    year: i64,
    year_digits: u8,
    century: i64,
    before_christ: bool,
    week: i64,
    week_of_month: i64,
    julian: i64,
    zone_sign: i64,
    zone_hours: i64,
    zone_minutes: i64,
}

/// Reads a time.
pub(super) fn read(pattern: &[Node], text: &str) -> Result<Read> {
    let mut reader = Reader { text, rest: text, exact: false, skipped: 0, numbers: Numbers::default() };
    reader.read(pattern)?;
    let Reader { numbers, .. } = reader;
    numbers.time(text)
}

struct Reader<'t> {
    text: &'t str,
    rest: &'t str,
    /// No more and no fewer characters than the pattern has.
    exact: bool,
    /// Spaces that were passed over and are not in the pattern.
    skipped: i64,
    numbers: Numbers,
}

impl Reader<'_> {
    fn read(&mut self, pattern: &[Node]) -> Result<()> {
        for (nth, node) in pattern.iter().enumerate() {
            if self.rest.is_empty() {
                break;
            }
            let field = match node {
                Node::Field { key, .. } => Some(key.field),
                _ => None,
            };
            if !self.exact && field != Some(Field::Exact) && (field.is_some() || nth == 0) {
                self.skip_spaces();
            }
            match *node {
                Node::Separator(_) | Node::Space(_) if self.exact => self.advance(),
                Node::Separator(_) | Node::Space(_) => {
                    self.skipped -= 1;
                    if self.rest.starts_with(|next| is_space(next) || is_separator(next)) {
                        self.advance();
                        self.skipped += 1;
                    }
                }
                Node::Text(_) if !self.exact && self.skipped > 0 => self.skipped -= 1,
                Node::Text(_) => self.advance(),
                Node::Field { key, fill, ordinal, .. } => {
                    let greedy = fill || ordinal.is_some() || is_delimited(&pattern[nth + 1..]);
                    self.field(key, greedy)?;
                    if ordinal.is_some() && key.field != Field::Exact && takes_ordinal(key.field) {
                        self.advance();
                        self.advance();
                    }
                    if !self.exact && key.field != Field::Exact {
                        self.skipped = 0;
                        self.skip_spaces();
                    } else if !self.exact {
                        self.skipped = 0;
                    }
                }
            }
        }
        Ok(())
    }

    fn skip_spaces(&mut self) {
        let after = self.rest.trim_start_matches(is_space);
        self.skipped += (self.rest.len() - after.len()) as i64;
        self.rest = after;
    }

    fn advance(&mut self) {
        let mut chars = self.rest.chars();
        chars.next();
        self.rest = chars.as_str();
    }

    fn field(&mut self, key: &'static Key, greedy: bool) -> Result<()> {
        self.in_calendar(key)?;
        let width = match key.field {
            Field::Hour12 | Field::Hour24 | Field::ZoneHours | Field::ZoneMinutes => 2,
            Field::Millisecond | Field::IsoDayOfYear => 3,
            Field::Microsecond => 6,
            Field::Fraction(digits) => usize::from(digits),
            Field::IsoDayOfWeek => 1,
            _ => key.name.len(),
        };
        match key.field {
            Field::Exact => self.exact = true,
            Field::HalfDay { points, .. } => {
                let names = if points { ["a.m.", "p.m."] } else { ["am", "pm"] };
                self.numbers.pm = self.one_of(&names, key)? == 1;
                self.numbers.is_12_hours = true;
            }
            Field::Era { points, .. } => {
                let names = if points { ["a.d.", "b.c."] } else { ["ad", "bc"] };
                self.numbers.before_christ = self.one_of(&names, key)? == 1;
            }
            Field::MonthName(_) => self.month(&MONTHS, key)?,
            Field::MonthAbbreviated(_) => self.month(&MONTHS.map(|name| &name[..3]), key)?,
            Field::Roman(_) => {
                // The longest first.
                let mut names = ROMAN;
                names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
                let found = names[self.one_of(&names, key)?];
                let month = ROMAN.iter().position(|name| *name == found).unwrap_or_default() + 1;
                set(&mut self.numbers.month, month as i64, key)?;
            }
            Field::DayName(_) => self.weekday(&DAYS, key)?,
            Field::DayAbbreviated(_) => self.weekday(&DAYS.map(|name| &name[..3]), key)?,
            Field::ZoneName(_) | Field::Offset => {
                return Err(refused(format!("{} is only for to_char, not for reading", key.name)));
            }
            Field::ZoneHours => {
                self.zone_sign();
                let (hours, _) = self.number(width, greedy, key)?;
                set(&mut self.numbers.zone_hours, hours, key)?;
            }
            Field::YearWithComma => self.year_with_comma(key)?,
            _ => {
                let (value, used) = self.number(width, greedy, key)?;
                self.numbers.take(key, value, used)?;
            }
        }
        Ok(())
    }

    fn in_calendar(&mut self, key: &Key) -> Result<()> {
        if key.calendar == Calendar::Any {
            return Ok(());
        }
        match self.numbers.calendar {
            Some(calendar) if calendar != key.calendar => {
                Err(refused("the pattern mixes ISO weeks with months and days; use one of them"))
            }
            _ => {
                self.numbers.calendar = Some(key.calendar);
                Ok(())
            }
        }
    }

    fn zone_sign(&mut self) {
        if self.rest.starts_with(['+', '-', ' ']) {
            self.numbers.zone_sign = if self.rest.starts_with('-') { -1 } else { 1 };
            self.advance();
            return;
        }
        // A minus may have been passed over as punctuation.
        let before = &self.text[..self.text.len() - self.rest.len()];
        self.numbers.zone_sign = if self.skipped > 0 && before.ends_with('-') { -1 } else { 1 };
    }

    /// The first of the names that the text begins with.
    fn one_of(&mut self, names: &[&str], key: &Key) -> Result<usize> {
        let rest = self.rest;
        let begins =
            |name: &str| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let Some(found) = names.iter().position(|name| begins(name)) else {
            return Err(invalid(self.rest, key));
        };
        self.rest = &self.rest[names[found].len()..];
        Ok(found)
    }

    fn month(&mut self, names: &[&str], key: &Key) -> Result<()> {
        let month = self.one_of(names, key)? as i64 + 1;
        set(&mut self.numbers.month, month, key)
    }

    fn weekday(&mut self, names: &[&str], key: &Key) -> Result<()> {
        let day = self.one_of(names, key)? as i64;
        set(&mut self.numbers.day_of_week, day, key)?;
        self.numbers.day_of_week += 1;
        Ok(())
    }

    /// A whole number, and of how many characters: as many as there are, or just so many.
    fn number(&mut self, width: usize, greedy: bool, key: &Key) -> Result<(i64, usize)> {
        let begin = self.rest;
        let after_spaces = begin.trim_start_matches(is_space);
        let (value, rest) = if greedy {
            digits(begin)
        } else {
            if after_spaces.len() < width {
                return Err(invalid(begin, key));
            }
            let field = after_spaces.get(..width).ok_or_else(|| invalid(begin, key))?;
            let (value, rest) = digits(field);
            let used = width - rest.len();
            if value.is_some() && used > 0 && used < width {
                return Err(invalid(begin, key));
            }
            let used = if value.is_some() { used } else { 0 };
            (value, &after_spaces[used..])
        };
        let Some(value) = value.filter(|_| rest.len() < begin.len()) else { return Err(invalid(begin, key)) };
        if i32::try_from(value).is_err() {
            return Err(invalid(begin, key));
        }
        self.rest = rest;
        Ok((value, begin.len() - rest.len()))
    }

    fn year_with_comma(&mut self, key: &Key) -> Result<()> {
        let begin = self.rest;
        let (thousands, rest) = digits(begin);
        let rest = rest.strip_prefix(',').ok_or_else(|| invalid(begin, key))?;
        let end = rest.bytes().take(3).take_while(u8::is_ascii_digit).count();
        let year = rest[..end].parse::<i64>().ok().zip(thousands);
        let Some((years, thousands)) = year else { return Err(invalid(begin, key)) };
        self.rest = &rest[end..];
        self.numbers.year_digits = 4;
        set(&mut self.numbers.year, thousands.saturating_mul(1000).saturating_add(years), key)
    }
}

/// Whether what follows cannot be taken for a digit of the field before.
fn is_delimited(following: &[Node]) -> bool {
    match following.first() {
        None => true,
        Some(Node::Field { key, .. }) => !key.is_digit,
        Some(Node::Separator(char) | Node::Space(char) | Node::Text(char)) => !char.is_ascii_digit(),
    }
}

const fn takes_ordinal(field: Field) -> bool {
    !matches!(
        field,
        Field::HalfDay { .. }
            | Field::Era { .. }
            | Field::MonthName(_)
            | Field::MonthAbbreviated(_)
            | Field::DayName(_)
            | Field::DayAbbreviated(_)
            | Field::Roman(_)
            | Field::ZoneHours
            | Field::ZoneMinutes
    )
}

/// A number as C's `strtol` reads it: spaces, a sign, digits; and what comes after.
fn digits(text: &str) -> (Option<i64>, &str) {
    let start = text.trim_start_matches(is_space);
    let unsigned = start.strip_prefix(['+', '-']).unwrap_or(start);
    let rest = unsigned.trim_start_matches(|char: char| char.is_ascii_digit());
    let number = &start[..start.len() - rest.len()];
    if rest.len() == unsigned.len() {
        return (None, text);
    }
    (Some(number.parse().unwrap_or(i64::MAX)), rest)
}

fn invalid(rest: &str, key: &Key) -> datafusion::common::DataFusionError {
    let shown: String = rest.chars().take(20).collect();
    refused(format!("{shown:?} is no value for {} of the pattern", key.name))
}

/// Two fields of a pattern may say the same thing, but not two things.
fn set(number: &mut i64, value: i64, key: &Key) -> Result<()> {
    if *number != 0 && *number != value {
        return Err(refused(format!("the text says two things for {} of the pattern", key.name)));
    }
    *number = value;
    Ok(())
}

impl Numbers {
    fn take(&mut self, key: &Key, value: i64, used: usize) -> Result<()> {
        let (number, value) = match key.field {
            Field::Hour12 => {
                self.is_12_hours = true;
                (&mut self.hour, value)
            }
            Field::Hour24 => (&mut self.hour, value),
            Field::Minute => (&mut self.minute, value),
            Field::Second => (&mut self.second, value),
            Field::SecondOfDay => (&mut self.second_of_day, value),
            Field::Millisecond => {
                set(&mut self.millis, value, key)?;
                self.millis *= [1, 100, 10].get(used).copied().unwrap_or(1);
                return Ok(());
            }
            Field::Microsecond | Field::Fraction(_) => {
                set(&mut self.micros, value, key)?;
                self.micros *= [1, 100_000, 10_000, 1_000, 100, 10].get(used).copied().unwrap_or(1);
                return Ok(());
            }
            Field::Month => (&mut self.month, value),
            Field::DayOfMonth => (&mut self.day, value),
            Field::DayOfYear | Field::IsoDayOfYear => (&mut self.day_of_year, value),
            Field::DayOfWeek => (&mut self.day_of_week, value),
            Field::IsoDayOfWeek if value < 0 => {
                return Err(refused(format!("{value} is no day of the week")));
            }
            Field::IsoDayOfWeek => {
                set(&mut self.day_of_week, value, key)?;
                self.day_of_week = if value >= 7 { 1 } else { value + 1 };
                return Ok(());
            }
            Field::WeekOfYear | Field::IsoWeek => (&mut self.week, value),
            Field::WeekOfMonth => (&mut self.week_of_month, value),
            Field::Century => (&mut self.century, value),
            Field::Julian => (&mut self.julian, value),
            Field::ZoneMinutes => {
                if self.zone_sign == 0 {
                    self.zone_sign = 1;
                }
                (&mut self.zone_minutes, value)
            }
            Field::Year(digits) | Field::IsoYear(digits) => {
                set(&mut self.year, value, key)?;
                if digits < 4 && used < 4 {
                    self.year = near_2020(value);
                }
                self.year_digits = digits;
                return Ok(());
            }
            // The quarter says nothing of the day.
            _ => return Ok(()),
        };
        set(number, value, key)
    }

    /// The time that the numbers make.
    fn time(mut self, text: &str) -> Result<Read> {
        let out_of_range = || refused(format!("{text:?} says a date or a time that there is not"));
        let seconds = self.second_of_the_day().ok_or_else(out_of_range)?;
        let micros = self.millis.saturating_mul(1_000).saturating_add(self.micros);
        if !(0..1_000_000).contains(&micros) {
            return Err(out_of_range());
        }
        let days = self.days(text)?.ok_or_else(out_of_range)?;
        let nanos = days
            .checked_mul(DAY_SECONDS)
            .and_then(|second| second.checked_add(seconds)?.checked_mul(NANOS)?.checked_add(micros * 1_000));
        let wall = nanos.ok_or_else(|| refused(format!("{text:?} is beyond what a timestamp can hold")))?;
        let mut offset = None;
        if self.zone_sign != 0 {
            if !(0..=15).contains(&self.zone_hours) || !(0..60).contains(&self.zone_minutes) {
                return Err(out_of_range());
            }
            offset = Some(self.zone_sign * (self.zone_hours * 3600 + self.zone_minutes * 60));
        }
        Ok(Read { wall, offset })
    }

    fn second_of_the_day(&self) -> Option<i64> {
        let (mut hour, mut minute, mut second) = (0, 0, 0);
        if self.second_of_day != 0 {
            let all = self.second_of_day;
            (hour, minute, second) = (all / 3600, all % 3600 / 60, all % 60);
        }
        let or = |number: i64, before| if number == 0 { before } else { number };
        (hour, minute, second) = (or(self.hour, hour), or(self.minute, minute), or(self.second, second));
        if self.is_12_hours {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if self.pm { 12 } else { 0 };
        }
        let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
        is_time.then_some(hour * 3600 + minute * 60 + second)
    }

    /// The year, counted with a year zero before the first; `None` if the text says none.
    fn full_year(&self) -> Option<i64> {
        let century = if self.before_christ { -self.century } else { self.century };
        if self.year != 0 {
            if self.century != 0 && self.year_digits <= 2 {
                let year = self.year % 100;
                return Some(match (year, century >= 0) {
                    (0, true) => century * 100,
                    (0, false) => century * 100 + 1,
                    (_, true) => year + (century - 1) * 100,
                    (_, false) => (century + 1) * 100 - year + 1,
                });
            }
            let year = if self.before_christ { -self.year } else { self.year };
            return Some(if year < 0 { year + 1 } else { year });
        }
        (self.century != 0).then(|| if century >= 0 { (century - 1) * 100 + 1 } else { century * 100 + 1 })
    }

    /// Days since 1970; `None` for a day that there is not.
    fn days(&mut self, text: &str) -> Result<Option<i64>> {
        let iso = self.calendar == Some(Calendar::IsoWeeks);
        let mut year = self.full_year().unwrap_or(0);
        let (mut month, mut day) = (1, 1);
        let from_days = |days: i64| {
            let date = i32::try_from(days).ok().and_then(|days| {
                Date::new(1970, 1, 1).ok()?.checked_add(jiff::Span::new().try_days(days).ok()?).ok()
            });
            date.map(|date| (i64::from(date.year()), i64::from(date.month()), i64::from(date.day())))
        };
        let mut whole = None;
        if self.julian != 0 {
            whole = Some(self.julian - 2_440_588);
        }
        if self.week != 0 {
            if iso {
                let Some(monday) = iso_year_begin(year) else { return Ok(None) };
                // Sunday is the last day of its week.
                let day = match self.day_of_week {
                    0 => 0,
                    1 => 6,
                    other => other - 2,
                };
                whole = monday.checked_add((self.week - 1) * 7 + day);
            } else {
                self.day_of_year = (self.week - 1) * 7 + 1;
            }
        }
        if let Some(days) = whole {
            let Some(date) = from_days(days) else { return Ok(None) };
            (year, month, day) = date;
        }
        if self.week_of_month != 0 {
            self.day = (self.week_of_month - 1) * 7 + 1;
        }
        if self.day != 0 {
            day = self.day;
        }
        if self.month != 0 {
            month = self.month;
        }
        if self.day_of_year != 0 && (month <= 1 || day <= 1) {
            if year == 0 && !self.before_christ {
                return Err(refused(format!("{text:?} says a day of the year, and no year")));
            }
            if iso {
                let Some(monday) = iso_year_begin(year) else { return Ok(None) };
                return Ok(monday.checked_add(self.day_of_year - 1));
            }
            let Some((of_month, of_day)) = in_year(year, self.day_of_year) else { return Ok(None) };
            month = of_month;
            if day <= 1 {
                day = of_day;
            }
        }
        let date = (i16::try_from(year).ok(), i8::try_from(month).ok(), i8::try_from(day).ok());
        let (Some(year), Some(month), Some(day)) = date else { return Ok(None) };
        Ok(Date::new(year, month, day).ok().map(day_of))
    }
}

/// Month and day of a day of the year.
fn in_year(year: i64, day: i64) -> Option<(i64, i64)> {
    let first = Date::new(i16::try_from(year).ok()?, 1, 1).ok()?;
    let date = first.checked_add(jiff::Span::new().try_days(day - 1).ok()?).ok()?;
    (date.year() == first.year()).then(|| (i64::from(date.month()), i64::from(date.day())))
}

/// The Monday of the first ISO week of a year, in days since 1970.
fn iso_year_begin(year: i64) -> Option<i64> {
    // The fourth of January is in it.
    let fourth = day_of(Date::new(i16::try_from(year).ok()?, 1, 4).ok()?);
    Some(fourth - (fourth + 3).rem_euclid(7))
}

/// A year of fewer than four digits, nearest to 2020.
const fn near_2020(year: i64) -> i64 {
    match year {
        70..100 => year + 1900,
        0..520 => year + 2000,
        520..1000 => year + 1000,
        _ => year,
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::{Clock, civil};
    use super::super::pattern;
    use super::super::zone::Zone;
    use super::*;

    #[test]
    fn texts_are_read_and_refused_as_by_postgresql() {
        let known = include_str!("../../../tests/data/postgresql/to_timestamp.tsv");
        let mut wrong = Vec::new();
        for line in known.lines().skip(1) {
            let [zone, text, pattern, wanted] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let mut clock = Clock::of(&Zone::named(zone).unwrap());
            let read = read(&pattern::parse(pattern).unwrap(), text);
            let instant = read.ok().and_then(|read| match read.offset {
                Some(offset) => read.wall.checked_sub(offset * NANOS),
                None => clock.instant(read.wall),
            });
            let found = instant.map_or("ERROR".to_owned(), |at| {
                civil(at).unwrap().strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
            });
            if found != wanted {
                wrong.push(format!("{line}: {found}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
