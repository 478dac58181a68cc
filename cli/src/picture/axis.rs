//! The ticks of an axis and their labels. Numbers have ticks at 1, 2 and 5 times a power of ten. [`times`]
//! defines the ticks of times.

use jiff::tz::TimeZone;

use super::{text, times};

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) text: String,
}

/// The quantity of an axis, and its range. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) name: String,
    pub(super) low: f64,
    pub(super) high: f64,
    /// The zone of clocks and calendars, if these are times.
    zone: Option<TimeZone>,
    /// The zone whose clock the axis shows, if its values are clock times and not instants.
    clock: Option<TimeZone>,
    /// Whether all values are whole numbers; then the ticks are whole, too.
    is_whole: bool,
}

impl Axis {
    /// An axis over these values. If all values are equal, the axis gets some extent.
    pub(super) fn over(name: String, zone: Option<TimeZone>, values: impl IntoIterator<Item = f64>) -> Self {
        let is_time = zone.is_some();
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
        // If two numbers are closer than this, the picture cannot show a difference.
        let least = (low.abs().max(high.abs()) * 1e-12).max(1e-290);
        if high - low < least {
            let room = if is_time || is_whole || low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            let room = room.max(least);
            (low, high) = (low - room, high + room);
        }
        Self { name, low, high, zone, clock: None, is_whole }
    }

    /// Extends the axis to zero, unless its content would shrink too much.
    pub(super) fn near_zero(mut self) -> Self {
        if self.low > 0.0 && self.low < self.high * 0.6 {
            self.low = 0.0;
        } else if self.high < 0.0 && self.high > self.low * 0.6 {
            self.high = 0.0;
        }
        self
    }

    /// Extends the axis so that it begins and ends with a tick.
    pub(super) fn rounded(mut self, most: usize) -> Self {
        let step = self.number_step(most);
        self.low = (self.low / step).floor() * step;
        self.high = (self.high / step).ceil() * step;
        self
    }

    /// The position of a value on the axis, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The ticks; their number is about `most`.
    pub(super) fn ticks(&self, most: usize) -> Vec<Tick> {
        let of_times = self.zone.as_ref().and_then(|zone| times::ticks(self.low, self.high, most, zone));
        of_times.unwrap_or_else(|| number_ticks(self.low, self.high, self.number_step(most), most))
    }

    /// The name of the axis, with the days that the ticks do not show.
    pub(super) fn title(&self) -> String {
        match &self.zone {
            Some(zone) => format!(
                "{}: {}",
                self.name,
                times::span(self.low, self.high, zone, self.clock.as_ref().unwrap_or(zone))
            ),
            None => self.name.clone(),
        }
    }

    /// A step that divides this axis into at most `most` parts.
    pub(super) fn step(&self, most: usize) -> f64 {
        if self.zone.is_some() { times::step(self.high - self.low, most) } else { self.number_step(most) }
    }

    /// Cuts the axis into steps of this length. Where clocks change, days have 23 or 25 hours. So steps of
    /// more than an hour are counted on the clock, and the values become clock times.
    pub(super) fn cut(self, step: f64, values: &mut [Option<f64>]) -> Self {
        let Some(zone) = self.zone.clone().filter(|zone| *zone != TimeZone::UTC && step > times::HOUR) else {
            return self;
        };
        for value in values.iter_mut().flatten() {
            *value += times::offset(*value, &zone);
        }
        let shown = Self::over(self.name, Some(TimeZone::UTC), values.iter().copied().flatten());
        Self { clock: Some(zone), ..shown }
    }

    /// The value from which steps are counted: days begin at midnight of the clock.
    pub(super) fn origin(&self) -> f64 {
        self.zone.as_ref().map_or(0.0, |zone| -times::offset(self.low, zone))
    }

    /// How far, in steps, a tick may be from the beginning of a step: an hour where clocks change.
    pub(super) fn slack(&self, step: f64) -> f64 {
        let is_changed = self.zone.as_ref().is_some_and(|zone| *zone != TimeZone::UTC);
        if is_changed { (times::HOUR / step).clamp(1e-3, 0.2) } else { 1e-3 }
    }

    fn number_step(&self, most: usize) -> f64 {
        number_step(self.high - self.low, most).max(if self.is_whole { 1.0 } else { 0.0 })
    }

    /// The labels of values that are this step apart.
    pub(super) fn labels(&self, values: &[f64], step: f64) -> Vec<String> {
        let Some(zone) = &self.zone else {
            return values.iter().map(|value| text::tick(*value, step)).collect();
        };
        let label =
            |value: &f64| times::label(*value, step, zone).unwrap_or_else(|| text::tick(*value, step));
        times::distinguished(values.iter().map(label).collect(), values, zone)
    }
}

/// A step of 1, 2 or 5 times a power of ten, so that at most `most` steps fit.
pub(super) fn number_step(span: f64, most: usize) -> f64 {
    let least = (span / most.max(1) as f64).max(1e-300);
    let power = 10f64.powf(least.log10().floor());
    // A small tolerance, for numbers that should be equal but differ by rounding.
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(power * 10.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_round_ticks() {
        let axis = |low, high| Axis::over(String::new(), None, [low, high]);
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
                for zone in [None, Some(TimeZone::UTC)] {
                    let is_time = zone.is_some();
                    let axis = Axis::over(String::new(), zone, [low, high, 0.0]);
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
