//! Times on an axis: their ticks, at the steps of clock and calendar, and their labels. All times are seconds
//! since 1970; clocks and calendars are those of a zone.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use super::axis::{Tick, number_step};
use super::text;

const MINUTE: f64 = 60.0;
pub(super) const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.25 * DAY;

/// Steps between a second and four weeks, in seconds.
const CLOCK_STEPS: [f64; 23] = [
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    MINUTE,
    2.0 * MINUTE,
    5.0 * MINUTE,
    10.0 * MINUTE,
    15.0 * MINUTE,
    30.0 * MINUTE,
    HOUR,
    2.0 * HOUR,
    3.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    4.0 * DAY,
    7.0 * DAY,
    14.0 * DAY,
    28.0 * DAY,
];

/// A step that divides a span into at most `most` parts.
pub(super) fn step(span: f64, most: usize) -> f64 {
    let least = span / most.max(1) as f64;
    if least <= 0.5 {
        return number_step(span, most);
    }
    if let Some(step) = CLOCK_STEPS.into_iter().find(|step| *step >= least) {
        return step;
    }
    if least <= YEAR / 4.0 { YEAR / 4.0 } else { (number_step(span / YEAR, most)).max(1.0) * YEAR }
}

/// The ticks, if there are dates for these times; their number is about `most`.
pub(super) fn ticks(low: f64, high: f64, most: usize, zone: &TimeZone) -> Option<Vec<Tick>> {
    moment(low, zone)?;
    moment(high, zone)?;
    let step = step(high - low, most);
    if step > 7.0 * DAY {
        return Some(calendar_ticks(low, high, most, zone));
    }
    let end = high + step * 1e-6;
    let (first, last) = ((low + offset(low, zone)) / step, end + offset(high, zone));
    let first = first.ceil();
    let ticks = (0..=most)
        .map(|nth| (first + nth as f64) * step)
        .take_while(|wall| *wall <= last)
        .filter_map(|wall| {
            let shown = moment(wall, &TimeZone::UTC)?;
            let at = instant(wall, shown, zone)?;
            (at >= low && at <= end).then(|| Tick { at, text: moment_text(shown, step) })
        });
    Some(ticks.collect())
}

/// Ticks at the first days of months and years.
fn calendar_ticks(low: f64, high: f64, most: usize, zone: &TimeZone) -> Vec<Tick> {
    let months = (high - low) / YEAR * 12.0 / most.max(1) as f64;
    let step = [1, 2, 3, 6]
        .into_iter()
        .find(|step| f64::from(*step) >= months)
        .unwrap_or_else(|| (number_step(months / 12.0, 1).max(1.0) * 12.0) as i32);
    let Some(start) = moment(low, zone) else { return Vec::new() };
    let first = (i32::from(start.year()) * 12 + i32::from(start.month()) - 1).div_euclid(step) * step;
    (0..=most as i32 + 1)
        .filter_map(|nth| {
            let month = first + nth * step;
            let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
            let date = jiff::civil::Date::new(i16::try_from(year).ok()?, month as i8, 1).ok()?;
            let at = zone.to_timestamp(date.to_datetime(Time::midnight())).ok()?.as_second() as f64;
            let text =
                if step >= 12 { date.strftime("%Y").to_string() } else { date.strftime("%b %Y").to_string() };
            (at >= low && at <= high).then_some(Tick { at, text })
        })
        .collect()
}

fn timestamp(seconds: f64) -> Option<Timestamp> {
    // Rounded, because a float is not exact: 0.3 is stored as a little less, and for times of today a quarter
    // of a second lacks a fraction of a microsecond.
    let unit = if seconds.abs() < 1e6 { 1_000_000_000 } else { 1_000_000 };
    let units = (seconds * f64::from(unit)).round() as i128;
    let nanos = units.saturating_mul(i128::from(1_000_000_000 / unit));
    Timestamp::from_nanosecond(nanos).ok()
}

/// The clock and calendar at this time, if there is a date for it.
fn moment(seconds: f64, zone: &TimeZone) -> Option<DateTime> {
    Some(zone.to_datetime(timestamp(seconds)?))
}

/// The offset of the clocks from UTC at this time, in seconds.
pub(super) fn offset(seconds: f64, zone: &TimeZone) -> f64 {
    let offset = timestamp(seconds).map_or(Offset::UTC, |instant| zone.to_offset(instant));
    f64::from(offset.seconds())
}

/// The instant at which the clocks show this many seconds after 1970; `None` if clocks skip this time.
fn instant(wall: f64, shown: DateTime, zone: &TimeZone) -> Option<f64> {
    let offset = zone.to_offset(zone.to_timestamp(shown).ok()?);
    let at = wall - f64::from(offset.seconds());
    (moment(at, zone)? == shown).then_some(at)
}

/// The label of a time, at steps of this length.
pub(super) fn label(seconds: f64, step: f64, zone: &TimeZone) -> Option<String> {
    Some(moment_text(moment(seconds, zone)?, step))
}

/// The part of a time that differs from one step to the next.
fn moment_text(moment: DateTime, step: f64) -> String {
    if step > 28.0 * DAY {
        moment.strftime("%b %Y").to_string()
    } else if step >= DAY || (step >= MINUTE && moment.time() == Time::midnight()) {
        moment.strftime("%b %-d").to_string()
    } else if step >= MINUTE {
        moment.strftime("%H:%M").to_string()
    } else if step >= 1.0 {
        moment.strftime("%H:%M:%S").to_string()
    } else if step >= 1e-3 {
        moment.strftime("%H:%M:%S%.3f").to_string()
    } else {
        moment.strftime("%S%.9f").to_string()
    }
}

/// The range of times and its zone: the zone of the clocks, or the zone whose clock times these already are.
pub(super) fn span(low: f64, high: f64, zone: &TimeZone, named: &TimeZone) -> String {
    let (Some(from), Some(to)) = (moment(low, zone), moment(high, zone)) else {
        return "seconds since 1970".to_owned();
    };
    let is_day = |moment: DateTime| moment.time() == Time::midnight();
    if is_day(from) && is_day(to) {
        return format!("{} – {}", from.date(), to.date());
    }
    let time = if high - low < 10.0 * MINUTE { "%H:%M:%S" } else { "%H:%M" };
    let end = if from.date() == to.date() { time.to_owned() } else { format!("%Y-%m-%d {time}") };
    let name = named.iana_name().map_or_else(|| format!("UTC{}", hours(offset(high, named))), str::to_owned);
    format!("{} – {} {name}", from.strftime(&format!("%Y-%m-%d {time}")), to.strftime(&end))
}

/// An offset as `+02:00`.
fn hours(offset: f64) -> String {
    let minutes = (offset.abs() / MINUTE) as u32;
    format!("{}{:02}:{:02}", if offset < 0.0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

/// Labels that stand alone: only dates if all times are midnights, and fractions only if there are any.
pub(super) fn labels(times: &[f64], zone: &TimeZone) -> Vec<String> {
    let walls: Vec<f64> = times.iter().map(|time| time + offset(*time, zone)).collect();
    let all = |unit: f64| walls.iter().all(|time| (time / unit).fract() == 0.0);
    let form = if all(DAY) {
        "%Y-%m-%d"
    } else if all(MINUTE) {
        "%Y-%m-%d %H:%M"
    } else if all(1.0) {
        "%Y-%m-%d %H:%M:%S"
    } else if times.iter().all(|time| (time * 1e3 - (time * 1e3).round()).abs() < 1e-2) {
        "%Y-%m-%d %H:%M:%S%.3f"
    } else {
        "%Y-%m-%d %H:%M:%S%.6f"
    };
    let label = |time: &f64| {
        moment(*time, zone).map_or_else(|| text::number(*time), |at| at.strftime(form).to_string())
    };
    distinguished(times.iter().map(label).collect(), times, zone)
}

/// Makes the labels distinct. Where clocks are put back, an hour comes twice under one name. Then each label
/// gets its offset from UTC.
pub(super) fn distinguished(mut labels: Vec<String>, times: &[f64], zone: &TimeZone) -> Vec<String> {
    if *zone != TimeZone::UTC && comes_twice(times, zone) {
        for (label, time) in labels.iter_mut().zip(times) {
            *label += &hours(offset(*time, zone));
        }
    }
    labels
}

/// Whether clocks show the same time at two of the instants.
fn comes_twice(times: &[f64], zone: &TimeZone) -> bool {
    let mut known = std::collections::HashMap::new();
    let mut shown = times.iter().filter_map(|time| Some((moment(*time, zone)?, *time)));
    // Clocks are not put back by less than a minute.
    shown.any(|(clock, time)| (*known.entry(clock).or_insert(time) - time).abs() > 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::axis::Axis;
    use super::*;

    #[test]
    fn a_quarter_of_a_second_is_one_also_in_our_days() {
        let times = ["2026-11-23T03:24:49.25Z", "2026-11-23T03:24:49.26Z"].map(at);
        assert_eq!(labels(&times, &TimeZone::UTC), ["2026-11-23 03:24:49.250", "2026-11-23 03:24:49.260"]);
    }

    fn at(text: &str) -> f64 {
        text.parse::<Timestamp>().unwrap().as_nanosecond() as f64 / 1e9
    }

    fn ticks(from: &str, to: &str, most: usize) -> String {
        ticks_in(from, to, most, &TimeZone::UTC)
    }

    fn ticks_in(from: &str, to: &str, most: usize, zone: &TimeZone) -> String {
        super::ticks(at(from), at(to), most, zone)
            .unwrap()
            .into_iter()
            .map(|tick| tick.text)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn times_have_the_steps_of_clock_and_calendar() {
        assert_eq!(
            ticks("2026-03-01T09:00:00Z", "2026-03-01T13:00:00Z", 8),
            "09:00 09:30 10:00 10:30 11:00 11:30 12:00 12:30 13:00"
        );
        assert_eq!(
            ticks("2026-03-01T22:00:00Z", "2026-03-02T03:00:00Z", 5),
            "22:00 23:00 Mar 2 01:00 02:00 03:00"
        );
        assert_eq!(
            ticks("2026-02-26T00:00:00Z", "2026-03-03T00:00:00Z", 6),
            "Feb 26 Feb 27 Feb 28 Mar 1 Mar 2 Mar 3"
        );
        assert_eq!(
            ticks("2025-11-20T00:00:00Z", "2026-03-03T00:00:00Z", 4),
            "Dec 2025 Jan 2026 Feb 2026 Mar 2026"
        );
        assert_eq!(
            ticks("2019-11-20T00:00:00Z", "2026-03-03T00:00:00Z", 8),
            "2020 2021 2022 2023 2024 2025 2026"
        );
        assert_eq!(
            ticks("2026-03-01T09:00:00Z", "2026-03-01T09:00:01Z", 2),
            "09:00:00.000 09:00:00.500 09:00:01.000"
        );
    }

    #[test]
    fn titles_tell_the_days() {
        let title = |from, to| Axis::over("at".to_owned(), Some(TimeZone::UTC), [at(from), at(to)]).title();
        assert_eq!(title("2026-03-01T09:00:00Z", "2026-03-01T13:00:00Z"), "at: 2026-03-01 09:00 – 13:00 UTC");
        assert_eq!(title("2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z"), "at: 2026-03-01 – 2026-03-03");
    }

    #[test]
    fn clocks_and_calendars_are_those_of_the_zone() {
        let (tokyo, athens) = (TimeZone::get("Asia/Tokyo").unwrap(), TimeZone::get("Europe/Athens").unwrap());
        assert_eq!(
            ticks_in("2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z", 4, &tokyo),
            "12:00 Mar 2 12:00 Mar 3"
        );
        // At three o'clock it is four; at four in October it is three again.
        assert_eq!(
            ticks_in("2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z", 8, &athens),
            "01:00 02:00 04:00 05:00 06:00 07:00"
        );
        assert_eq!(
            ticks_in("2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z", 4, &athens),
            "02:00 03:00 04:00 05:00"
        );
        assert_eq!(
            span(at("2026-03-01T09:00:00Z"), at("2026-03-01T13:00:00Z"), &tokyo, &tokyo),
            "2026-03-01 18:00 – 22:00 Asia/Tokyo"
        );
        let fixed = TimeZone::fixed(jiff::tz::offset(-3));
        assert_eq!(
            span(at("2026-03-01T09:00:00Z"), at("2026-03-01T13:00:00Z"), &fixed, &fixed),
            "2026-03-01 06:00 – 10:00 UTC-03:00"
        );
        assert_eq!(
            labels(&[at("2026-03-01T15:00:00Z"), at("2026-03-02T15:00:00Z")], &tokyo),
            ["2026-03-02", "2026-03-03"]
        );
    }
}
