//! Values as text, as tables, Markdown, CSV and TSV show them.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

const OPTIONS: FormatOptions<'static> = FormatOptions::new();
const DAY: i64 = 86_400;

/// The values of a column.
pub(crate) struct Cells<'a> {
    column: &'a dyn Array,
    formatter: ArrayFormatter<'a>,
    nulls: Option<NullBuffer>,
}

impl<'a> Cells<'a> {
    pub(crate) fn new(column: &'a dyn Array) -> Result<Self, ArrowError> {
        // A column that has only NULL does not mark its values as NULL itself.
        let nulls = column.logical_nulls();
        Ok(Self { column, formatter: ArrayFormatter::try_new(column, &OPTIONS)?, nulls })
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// The text of a row; `None` for NULL.
    pub(crate) fn text(&self, row: usize) -> Result<Option<String>, ArrowError> {
        if self.is_null(row) {
            return Ok(None);
        }
        let mut text = String::new();
        self.write(row, &mut text)?;
        Ok(Some(text))
    }

    /// Adds the text of a row that is not NULL. The text of an error is never written as a value.
    pub(crate) fn write(&self, row: usize, out: &mut String) -> Result<(), ArrowError> {
        let begin = out.len();
        let failed = match self.formatter.value(row).write(out) {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        out.truncate(begin);
        *out += &far_time(self.column, row).ok_or(failed)?;
        Ok(())
    }
}

/// A time or day that is beyond the usual range of calendars, in ISO 8601 with a sign before the year.
fn far_time(column: &dyn Array, row: usize) -> Option<String> {
    let (value, per_second, zone) = match column.data_type() {
        DataType::Date32 => {
            return Some(day(i64::from(column.as_primitive::<Date32Type>().value(row))));
        }
        DataType::Date64 => (column.as_primitive::<Date64Type>().value(row), 1000, &None),
        DataType::Timestamp(TimeUnit::Second, zone) => {
            (column.as_primitive::<TimestampSecondType>().value(row), 1, zone)
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            (column.as_primitive::<TimestampMillisecondType>().value(row), 1000, zone)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            (column.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000, zone)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            (column.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000, zone)
        }
        _ => return None,
    };
    let (seconds, part) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let mut text = day(days);
    let _ = write!(text, "T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    if part > 0 {
        let digits = per_second.ilog10() as usize;
        let _ = write!(text, ".{part:0digits$}");
    }
    // Other zones have no rules for such times.
    if zone.is_some() {
        text.push('Z');
    }
    Some(text)
}

/// A day of the Gregorian calendar, counted from 1970-01-01. Years begin in March here, so that a leap day is
/// the last day of a year. Years come in cycles of 400, which have 146,097 days.
fn day(days: i64) -> String {
    let since = i128::from(days) + 719_468;
    let (cycle, day) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + cycle * 400 + i128::from(month <= 2);
    format!("{}{:04}-{month:02}-{day:02}", if year < 0 { '-' } else { '+' }, year.abs())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, TimestampMicrosecondArray, TimestampSecondArray};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_that_is_far_away_is_told_and_no_error_is() {
        let text = |column: &dyn Array| Cells::new(column).unwrap().text(0).unwrap().unwrap();
        let micros = TimestampMicrosecondArray::from(vec![i64::MAX]);
        assert_eq!(text(&micros), "+294247-01-10T04:00:54.775807");
        assert_eq!(text(&micros.with_timezone("UTC")), "+294247-01-10T04:00:54.775807Z");
        let seconds = TimestampSecondArray::from(vec![i64::MIN]);
        assert_eq!(text(&seconds), "-292277022657-01-27T08:29:52");
        assert_eq!(text(&Date32Array::from(vec![i32::MAX])), "+5881580-07-11");
    }

    proptest! {
        #[test]
        fn days_are_those_of_the_calendar(days in -700_000..2_900_000_i64) {
            let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(days);
            prop_assert_eq!(day(days), format!("+{date}"));
        }
    }
}
