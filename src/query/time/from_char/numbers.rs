//! The numbers in a text, and the time that they form.

use datafusion::common::Result;
use jiff::civil::Date;

use super::{Read, set};
use crate::query::time::clock::{DAY_SECONDS, NANOS, day_of};
use crate::query::time::functions::refused;
use crate::query::time::pattern::{Calendar, Field, Key};

/// The numbers of the parsed fields. Zero means that a number is missing, as in PostgreSQL.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) calendar: Option<Calendar>,
    pub(super) is_12_hours: bool,
    pub(super) pm: bool,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) second_of_day: i64,
    pub(super) millis: i64,
    pub(super) micros: i64,
    pub(super) day_of_week: i64,
    pub(super) day: i64,
    pub(super) day_of_year: i64,
    pub(super) month: i64,
    pub(super) year: i64,
    pub(super) year_digits: u8,
    pub(super) century: i64,
    pub(super) before_christ: bool,
    pub(super) week: i64,
    pub(super) week_of_month: i64,
    pub(super) julian: i64,
    pub(super) zone_sign: i64,
    pub(super) zone_hours: i64,
    pub(super) zone_minutes: i64,
}

impl Numbers {
    pub(super) fn take(&mut self, key: &Key, value: i64, used: usize) -> Result<()> {
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
                return Err(refused(format!("{value} is not a day of the week")));
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
            // The quarter has no effect on the day.
            _ => return Ok(()),
        };
        set(number, value, key)
    }

    /// Returns the time that the numbers form.
    pub(super) fn time(mut self, text: &str) -> Result<Read> {
        let out_of_range = || refused(format!("{text:?} has a date or a time that does not exist"));
        let seconds = self.second_of_the_day().ok_or_else(out_of_range)?;
        let micros = self.millis.saturating_mul(1_000).saturating_add(self.micros);
        if !(0..1_000_000).contains(&micros) {
            return Err(out_of_range());
        }
        let days = self.days(text)?.ok_or_else(out_of_range)?;
        let nanos = days
            .checked_mul(DAY_SECONDS)
            .and_then(|second| second.checked_add(seconds)?.checked_mul(NANOS)?.checked_add(micros * 1_000));
        let wall = nanos.ok_or_else(|| refused(format!("{text:?} is outside the range of timestamps")))?;
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

    /// Returns the year, counted with a year zero; `None` if the text has no year.
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

    /// Returns the number of days since 1970; `None` for a day that does not exist.
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
                return Err(refused(format!("{text:?} has a day of the year, but no year")));
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

/// Returns the month and the day of a day of the year.
fn in_year(year: i64, day: i64) -> Option<(i64, i64)> {
    let first = Date::new(i16::try_from(year).ok()?, 1, 1).ok()?;
    let date = first.checked_add(jiff::Span::new().try_days(day - 1).ok()?).ok()?;
    (date.year() == first.year()).then(|| (i64::from(date.month()), i64::from(date.day())))
}

/// Returns the Monday of the first ISO week of a year, in days since 1970.
fn iso_year_begin(year: i64) -> Option<i64> {
    // The first ISO week contains the fourth of January.
    let fourth = day_of(Date::new(i16::try_from(year).ok()?, 1, 4).ok()?);
    Some(fourth - (fourth + 3).rem_euclid(7))
}

/// Completes a year with fewer than four digits to the year nearest to 2020.
const fn near_2020(year: i64) -> i64 {
    match year {
        70..100 => year + 1900,
        0..520 => year + 2000,
        520..1000 => year + 1000,
        _ => year,
    }
}
