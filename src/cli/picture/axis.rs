//! Where an axis has its ticks, and what they say: numbers at 1, 2 and 5 times a power of ten, times at the steps
//! of clock and calendar.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::Offset;

use super::text;

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) text: String,
}

/// What an axis measures, and from where to where. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) name: String,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) is_time: bool,
    /// All values are whole, so the ticks are.
    is_whole: bool,
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
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

impl Axis {
    /// An axis that holds these values; one that has no extent is given some.
    pub(super) fn over(name: String, is_time: bool, values: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut is_whole = !is_time;
        for value in values {
            is_whole &= value.fract() == 0.0;
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Closer together than this, two numbers cannot be told apart on the way to the picture.
        let least = (low.abs().max(high.abs()) * 1e-12).max(1e-290);
        if high - low < least {
            let room = if is_time || is_whole || low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            let room = room.max(least);
            (low, high) = (low - room, high + room);
        }
        Self { name, low, high, is_time, is_whole }
    }

    /// The same axis down to zero, or up to it, unless what it shows would shrink too much.
    pub(super) fn near_zero(mut self) -> Self {
        if self.low > 0.0 && self.low < self.high * 0.6 {
            self.low = 0.0;
        } else if self.high < 0.0 && self.high > self.low * 0.6 {
            self.high = 0.0;
        }
        self
    }

    /// The axis stretched to the next ticks, which it then begins and ends with.
    pub(super) fn rounded(mut self, most: usize) -> Self {
        let step = self.number_step(most);
        self.low = (self.low / step).floor() * step;
        self.high = (self.high / step).ceil() * step;
        self
    }

    /// How far along the axis a value is, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// About as many ticks as there is room for.
    pub(super) fn ticks(&self, most: usize) -> Vec<Tick> {
        if self.is_time && moment(self.low).is_some() && moment(self.high).is_some() {
            time_ticks(self.low, self.high, most)
        } else {
            number_ticks(self.low, self.high, self.number_step(most), most)
        }
    }

    /// The axis's name, with the days that the ticks do not tell.
    pub(super) fn title(&self) -> String {
        if self.is_time {
            format!("{}: {}", self.name, span_text(self.low, self.high))
        } else {
            self.name.clone()
        }
    }

    /// A step of this axis that makes at most so many of it.
    pub(super) fn step(&self, most: usize) -> f64 {
        if self.is_time { time_step(self.high - self.low, most) } else { self.number_step(most) }
    }

    fn number_step(&self, most: usize) -> f64 {
        number_step(self.high - self.low, most).max(if self.is_whole { 1.0 } else { 0.0 })
    }

    /// A value as a label, at steps so long.
    pub(super) fn label(&self, value: f64, step: f64) -> String {
        match moment(value) {
            Some(moment) if self.is_time => moment_text(moment, step),
            _ => text::tick(value, step),
        }
    }
}

/// 1, 2 or 5 times a power of ten, so that at most so many fit.
fn number_step(span: f64, most: usize) -> f64 {
    let least = (span / most.max(1) as f64).max(1e-300);
    let power = 10f64.powf(least.log10().floor());
    // A little tolerance, for what should be equal and is not quite.
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(power * 10.0)
}

fn time_step(span: f64, most: usize) -> f64 {
    let least = span / most.max(1) as f64;
    if least <= 0.5 {
        return number_step(span, most);
    }
    if let Some(step) = CLOCK_STEPS.into_iter().find(|step| *step >= least) {
        return step;
    }
    if least <= YEAR / 4.0 { YEAR / 4.0 } else { (number_step(span / YEAR, most)).max(1.0) * YEAR }
}

fn number_ticks(low: f64, high: f64, step: f64, most: usize) -> Vec<Tick> {
    let first = (low / step).ceil();
    let mut ticks: Vec<Tick> = Vec::new();
    for nth in 0..=most {
        let at = (first + nth as f64) * step;
        if at > high + step * 1e-6 {
            break;
        }
        if ticks.last().is_none_or(|last| last.at < at) {
            ticks.push(Tick { at, text: text::tick(at, step) });
        }
    }
    ticks
}

fn time_ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let step = time_step(high - low, most);
    if step > 7.0 * DAY {
        return calendar_ticks(low, high, most);
    }
    let first = (low / step).ceil();
    (0..=most)
        .map(|nth| (first + nth as f64) * step)
        .take_while(|at| *at <= high + step * 1e-6)
        .filter_map(|at| Some(Tick { at, text: moment_text(moment(at)?, step) }))
        .collect()
}

/// Ticks at the first days of months and years.
fn calendar_ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let months = (high - low) / YEAR * 12.0 / most.max(1) as f64;
    let step = [1, 2, 3, 6]
        .into_iter()
        .find(|step| f64::from(*step) >= months)
        .unwrap_or_else(|| (number_step(months / 12.0, 1).max(1.0) * 12.0) as i32);
    let Some(start) = moment(low) else { return Vec::new() };
    let first = (i32::from(start.year()) * 12 + i32::from(start.month()) - 1).div_euclid(step) * step;
    (0..=most as i32 + 1)
        .filter_map(|nth| {
            let month = first + nth * step;
            let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
            let date = jiff::civil::Date::new(i16::try_from(year).ok()?, month as i8, 1).ok()?;
            let at = Offset::UTC.to_timestamp(date.to_datetime(Time::midnight())).ok()?.as_second() as f64;
            let text =
                if step >= 12 { date.strftime("%Y").to_string() } else { date.strftime("%b %Y").to_string() };
            (at >= low && at <= high).then_some(Tick { at, text })
        })
        .collect()
}

/// The time of day and date of so many seconds since 1970, if there is a date for them.
fn moment(seconds: f64) -> Option<DateTime> {
    // To the nanosecond nearest: 0.3 is a little less than that.
    let nanos = (seconds * 1e9).round();
    Some(Offset::UTC.to_datetime(Timestamp::from_nanosecond(nanos as i128).ok()?))
}

/// As much of a time as tells it from those a step away.
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

fn span_text(low: f64, high: f64) -> String {
    let (Some(from), Some(to)) = (moment(low), moment(high)) else {
        return "seconds since 1970".to_owned();
    };
    let is_day = |moment: DateTime| moment.time() == Time::midnight();
    if is_day(from) && is_day(to) {
        return format!("{} – {}", from.date(), to.date());
    }
    let time = if high - low < 10.0 * MINUTE { "%H:%M:%S" } else { "%H:%M" };
    let end = if from.date() == to.date() { time.to_owned() } else { format!("%Y-%m-%d {time}") };
    format!("{} – {} UTC", from.strftime(&format!("%Y-%m-%d {time}")), to.strftime(&end))
}

/// Times as labels that stand alone: only dates if all of them are midnights, fractions only if there are any.
pub(super) fn time_labels(times: &[f64]) -> Vec<String> {
    let all = |unit: f64| times.iter().all(|time| (time / unit).fract() == 0.0);
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
    let label =
        |time: &f64| moment(*time).map_or_else(|| text::number(*time), |at| at.strftime(form).to_string());
    times.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> f64 {
        text.parse::<Timestamp>().unwrap().as_nanosecond() as f64 / 1e9
    }

    fn ticks(from: &str, to: &str, most: usize) -> String {
        let axis = Axis::over("at".to_owned(), true, [at(from), at(to)]);
        axis.ticks(most).into_iter().map(|tick| tick.text).collect::<Vec<_>>().join(" ")
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
        let title = |from, to| Axis::over("at".to_owned(), true, [at(from), at(to)]).title();
        assert_eq!(title("2026-03-01T09:00:00Z", "2026-03-01T13:00:00Z"), "at: 2026-03-01 09:00 – 13:00 UTC");
        assert_eq!(title("2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z"), "at: 2026-03-01 – 2026-03-03");
    }

    #[test]
    fn numbers_have_round_ticks() {
        let axis = |low, high| Axis::over(String::new(), false, [low, high]);
        let texts =
            |axis: Axis| axis.ticks(5).into_iter().map(|tick| tick.text).collect::<Vec<_>>().join(" ");
        assert_eq!(texts(axis(0.0, 10.0)), "0 2 4 6 8 10");
        assert_eq!(texts(axis(-0.25, 0.31)), "-0.2 0 0.2");
        assert_eq!(texts(axis(7.0, 7.0)), "6 7 8");
        assert_eq!(texts(axis(7.5, 7.5)), "7 7.5 8");
        assert_eq!(texts(axis(3.0, 97.0).near_zero().rounded(5)), "0 20 40 60 80 100");
        assert_eq!(texts(axis(90.0, 97.0).near_zero()), "90 92 94 96");
    }

    #[test]
    fn no_extent_is_too_small_or_too_large() {
        let ends = [0.0, 5e-324, 1e-300, 1.0, 1.0 + f64::EPSILON, 1.8e19, 9.2e18, 1e300];
        for low in ends.into_iter().flat_map(|end| [end, -end]) {
            for high in ends.into_iter().flat_map(|end| [end, -end]) {
                for is_time in [false, true] {
                    let axis = Axis::over(String::new(), is_time, [low, high, 0.0]);
                    assert!(axis.low < axis.high, "{axis:?}");
                    for most in [0, 1, 7, 100] {
                        let axis = axis.clone().rounded(most);
                        assert!(axis.ticks(most).len() <= most + 2);
                        assert!(
                            axis.low.is_finite() && axis.high.is_finite() && !axis.title().is_empty()
                                || !is_time
                        );
                        assert!(axis.step(most) > 0.0);
                    }
                }
            }
        }
    }
}
