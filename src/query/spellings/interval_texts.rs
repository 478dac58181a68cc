//! Rewrites texts of intervals that PostgreSQL accepts: `01:30`, `3 days 04:05:06`, `1-2`, `1 day ago`,
//! `P1DT2H`.
//!
//! arrow 59 accepts words only: `1 hour 30 minutes`.

/// Returns the interval in words; `None` if the text is in words already, or is not an interval.
pub(super) fn in_words(text: &str) -> Option<String> {
    let trimmed = text.trim();
    if let Some(rest) = trimmed.strip_prefix(['P', 'p']) {
        return of_iso(&rest.to_ascii_uppercase());
    }
    let mut tokens: Vec<&str> = trimmed.split_whitespace().collect();
    let mut is_changed = false;
    if tokens.first() == Some(&"@") {
        tokens.remove(0);
        is_changed = true;
    }
    let is_ago = tokens.last().is_some_and(|last| last.eq_ignore_ascii_case("ago"));
    if is_ago {
        tokens.pop();
        is_changed = true;
    }
    let mut words = Vec::with_capacity(tokens.len());
    for (at, token) in tokens.iter().enumerate() {
        let (sign, rest) = match token.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", token.strip_prefix('+').unwrap_or(token)),
        };
        let begins_with_digit = rest.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        // Each number gets the sign.
        let sign = match (begins_with_digit && is_ago, sign) {
            (true, "-") => "",
            (true, _) => "-",
            (false, sign) => sign,
        };
        is_changed |= token.starts_with('+');
        if let Some(clock) = of_clock(rest, sign).or_else(|| of_years(rest, sign)) {
            is_changed = true;
            words.push(clock);
            continue;
        }
        let is_days = is_number(rest) && tokens.get(at + 1).is_some_and(|next| next.contains(':'));
        is_changed |= is_days;
        words.push(format!("{sign}{rest}{}", if is_days { " days" } else { "" }));
    }
    (is_changed && !words.is_empty()).then(|| words.join(" "))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && text.parse::<f64>().is_ok()
}

fn is_whole(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Converts `04:05` and `04:05:06.5`. In `05:06.5` the numbers are minutes and seconds.
fn of_clock(text: &str, sign: &str) -> Option<String> {
    let parts: Vec<_> = text.split(':').collect();
    let (hours, minutes, seconds) = match *parts.as_slice() {
        [minutes, seconds] if seconds.contains('.') => ("0", minutes, seconds),
        [hours, minutes] => (hours, minutes, "0"),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let below_sixty = |number: &str| number.parse::<f64>().is_ok_and(|number| number < 60.0);
    let is_clock = is_whole(hours) && is_whole(minutes) && is_number(seconds);
    (is_clock && below_sixty(minutes) && below_sixty(seconds))
        .then(|| format!("{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds"))
}

/// Converts `1-2`, which is a year and two months.
fn of_years(text: &str, sign: &str) -> Option<String> {
    let (years, months) = text.split_once('-')?;
    let is_year = is_whole(years) && is_whole(months) && months.parse::<u8>().is_ok_and(|months| months < 12);
    is_year.then(|| format!("{sign}{years} years {sign}{months} months"))
}

/// Converts the part after the `P` of ISO 8601, such as `1Y2M3DT4H5M6.5S`.
fn of_iso(text: &str) -> Option<String> {
    let (days, clock) = text.split_once('T').map_or((text, None), |(days, clock)| (days, Some(clock)));
    if clock == Some("") {
        return None;
    }
    let mut words = Vec::new();
    for (mut rest, is_clock) in [(days, false), (clock.unwrap_or_default(), true)] {
        while !rest.is_empty() {
            let end = rest.find(|letter: char| letter.is_ascii_alphabetic())?;
            let (number, unit) = (rest.get(..end)?, rest.get(end..=end)?);
            let unit = match (unit, is_clock) {
                ("Y", false) => "years",
                ("M", false) => "months",
                ("W", false) => "weeks",
                ("D", false) => "days",
                ("H", true) => "hours",
                ("M", true) => "minutes",
                ("S", true) => "seconds",
                _ => return None,
            };
            is_number(number.strip_prefix('-').unwrap_or(number)).then_some(())?;
            words.push(format!("{number} {unit}"));
            rest = rest.get(end + 1..)?;
        }
    }
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_signs_are_written_in_words() {
        for (text, words) in [
            ("01:30", "01 hours 30 minutes 0 seconds"),
            ("-1:30:15.5", "-1 hours -30 minutes -15.5 seconds"),
            ("30:15.5", "0 hours 30 minutes 15.5 seconds"),
            ("-3 days 04:05:06", "-3 days 04 hours 05 minutes 06 seconds"),
            ("1 02:03", "1 days 02 hours 03 minutes 0 seconds"),
            ("1-2", "1 years 2 months"),
            ("+1 day", "1 day"),
            ("@ 1 day -2 hours ago", "-1 day 2 hours"),
            ("P1Y2M3DT4H5M6.5S", "1 years 2 months 3 days 4 hours 5 minutes 6.5 seconds"),
            ("p-1dt2h", "-1 days 2 hours"),
            ("PT2376000S", "2376000 seconds"),
            ("P2W", "2 weeks"),
        ] {
            assert_eq!(in_words(text).as_deref(), Some(words), "{text}");
        }
    }

    #[test]
    fn other_texts_are_left_to_arrow() {
        for text in [
            "1 day 2 hours",
            "",
            "1:60",
            "1:2:3:4",
            "a:b",
            "P",
            "PT",
            "P1H",
            "PT1D",
            "PxY",
            "1-12",
            "2026-11-29",
        ] {
            assert_eq!(in_words(text), None, "{text}");
        }
        assert_eq!(in_words("€:1 1:€ -€ P"), None);
        assert_eq!(in_words("P€Y"), None);
    }
}
