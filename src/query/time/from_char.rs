//! Parses times by PostgreSQL's patterns. The fields, the tolerated differences and the refused texts are
//! PostgreSQL's.

mod numbers;

use super::functions::refused;
use super::pattern::{Calendar, DAYS, Field, Key, MONTHS, Node, ROMAN, is_separator, is_space};
use datafusion::common::Result;
use numbers::Numbers;

/// The time in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// The wall time in nanoseconds since 1970.
    pub(super) wall: i64,
    /// The offset from UTC in seconds, if the text has one.
    pub(super) offset: Option<i64>,
}

/// Parses a time by a pattern.
pub(super) fn read(pattern: &[Node], text: &str) -> Result<Read> {
    let mut reader = Reader { text, rest: text, exact: false, skipped: 0, numbers: Numbers::default() };
    reader.read(pattern)?;
    let Reader { numbers, .. } = reader;
    numbers.time(text)
}

struct Reader<'t> {
    text: &'t str,
    rest: &'t str,
    /// Whether the text must have exactly as many characters as the pattern.
    exact: bool,
    /// The number of skipped spaces that are not in the pattern.
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
                // The longest names are tried first.
                let mut names = ROMAN;
                names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
                let found = names[self.one_of(&names, key)?];
                let month = ROMAN.iter().position(|name| *name == found).unwrap_or_default() + 1;
                set(&mut self.numbers.month, month as i64, key)?;
            }
            Field::DayName(_) => self.weekday(&DAYS, key)?,
            Field::DayAbbreviated(_) => self.weekday(&DAYS.map(|name| &name[..3]), key)?,
            Field::ZoneName(_) | Field::Offset => {
                return Err(refused(format!(
                    "the field {} is only for to_char, and cannot be parsed",
                    key.name
                )));
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
                Err(refused("the pattern mixes ISO weeks with months and days; use only one of them"))
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
        // A minus may have been skipped as punctuation.
        let before = &self.text[..self.text.len() - self.rest.len()];
        self.numbers.zone_sign = if self.skipped > 0 && before.ends_with('-') { -1 } else { 1 };
    }

    /// Returns the index of the first name that the text begins with.
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

    /// Parses a whole number. If `greedy`, it takes all digits that follow, otherwise a fixed number of
    /// characters.
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

/// Whether the next part of the pattern cannot begin with a digit.
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

/// Parses a number as C's `strtol` does: spaces, a sign, digits. Also returns the rest of the text.
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
    refused(format!("{shown:?} is not a value for the field {} of the pattern", key.name))
}

/// Sets a number. Several fields of a pattern may set it, but only to one value.
fn set(number: &mut i64, value: i64, key: &Key) -> Result<()> {
    if *number != 0 && *number != value {
        return Err(refused(format!(
            "the text has two different values for the field {} of the pattern",
            key.name
        )));
    }
    *number = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::clock::{Clock, NANOS, civil};
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
