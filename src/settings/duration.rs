//! A duration in the settings, as people write it: `30d`, `12h`, `7y`.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// Units, in seconds. A year is 365 days, whatever the calendar says: a limit must not depend on the date
/// of a query.
const UNITS: [(&str, u64); 6] =
    [("y", 365 * 86_400), ("w", 7 * 86_400), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// Reads `30d`: a whole number and a unit.
pub(crate) fn parse(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::new(
            ErrorKind::Settings,
            format!("{text:?} is not a duration; write one such as 90s, 15min, 12h, 30d, 4w or 7y"),
        )
    };
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim_start();
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(*seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Prints a duration in the largest unit that gives a whole number.
pub(crate) fn print(age: Duration) -> String {
    let seconds = age.as_secs();
    if age.subsec_nanos() > 0 {
        return format!("{age:?}");
    }
    let whole = UNITS.iter().find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit));
    match whole {
        Some((name, unit)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_a_number_and_a_unit() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("15min", 900),
            ("12h", 43_200),
            ("30d", 2_592_000),
            ("2w", 1_209_600),
            ("7y", 7 * 365 * 86_400),
            (" 1 d ", 86_400),
        ] {
            assert_eq!(parse(text).unwrap().as_secs(), seconds, "{text}");
        }
        for wrong in
            ["", "30", "d", "-1d", "1.5d", "3 months", "1m", "99999999999999999999d", "9999999999999999y"]
        {
            assert_eq!(parse(wrong).unwrap_err().kind(), ErrorKind::Settings, "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_is_what_was_read() {
        for text in ["90s", "15min", "12h", "30d", "2w", "7y", "0s"] {
            assert_eq!(print(parse(text).unwrap()), text);
        }
        assert_eq!(print(parse("365d").unwrap()), "1y");
    }
}
