//! Two clocks: the actor system's float seconds, and the store's own wall time.

use std::fmt;

/// Nanoseconds in a second.
const NANOS: i64 = 1_000_000_000;

/// Timestamps from here on (2000-01-01T00:00:00Z) count as times since the Unix epoch. Smaller ones are
/// most likely seconds since a machine's start.
pub(crate) const FIRST_EPOCH_NANOS: i64 = 946_684_800 * NANOS;

/// The wall time of a fact, `at` in SQL: the time given on import if there is one; else the timestamp, if
/// it is a time since the Unix epoch; else the time of recording. All in nanoseconds.
pub(crate) fn wall_time(given: Option<i64>, timestamp: Option<i64>, recorded_at: Option<i64>) -> Option<i64> {
    given.or(timestamp.filter(|nanos| *nanos >= FIRST_EPOCH_NANOS)).or(recorded_at)
}

/// A wall time: nanoseconds since the Unix epoch, UTC; from the year 1677 to 2262.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct UnixNanos(pub(crate) i64);

impl UnixNanos {
    /// Makes the time that is this number of nanoseconds after the Unix epoch.
    pub const fn new(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The machine's clock. A time out of range becomes the nearest time in range.
    pub(crate) fn now() -> Self {
        let since = |d: std::time::Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
        Self(match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => since(after),
            Err(before) => -since(before.duration()),
        })
    }
}

impl fmt::Display for UnixNanos {
    /// RFC 3339 with as many decimals as it needs, `2026-11-23T08:00:00.5Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{} ns", self.0),
        }
    }
}

/// A time of the actor system's clock: float seconds since an origin that only the actor system knows.
///
/// With Papyra's default clock the origin is the machine's start. The time may go backwards from one run
/// to the next, and it may be any float. The store returns it bit for bit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timestamp(f64);

impl Timestamp {
    /// Makes a timestamp of this number of seconds.
    pub const fn from_seconds(seconds: f64) -> Self {
        Self(seconds)
    }

    /// The seconds, unchanged.
    pub const fn seconds(self) -> f64 {
        self.0
    }

    /// The nearest nanosecond, if it fits in 64 bits. `None` for `NaN`, the infinities and times outside
    /// the years 1677 to 2262.
    pub fn to_nanos(self) -> Option<i64> {
        // Whole seconds and fraction are converted apart: each is exact, while one product would lose the
        // last hundred nanoseconds of today's dates.
        let whole = self.0.floor();
        if !(-9.2e9..9.2e9).contains(&whole) {
            return None;
        }
        let fraction = ((self.0 - whole) * 1e9).round() as i64;
        Some(whole as i64 * NANOS + fraction)
    }

    /// The two columns of a timestamp: the nanosecond, and the float's bits where the nanosecond does not
    /// determine them.
    pub(crate) fn to_columns(self) -> (Option<i64>, Option<i64>) {
        let nanos = self.to_nanos();
        let exact = nanos.is_some_and(|n| Self::from_nanos(n) == self);
        (nanos, (!exact).then_some(self.0.to_bits() as i64))
    }

    /// Makes the timestamp from the columns of [`Self::to_columns`].
    pub(crate) fn from_columns(nanos: Option<i64>, bits: Option<i64>) -> Self {
        match (bits, nanos) {
            (Some(bits), _) => Self(f64::from_bits(bits as u64)),
            (None, Some(nanos)) => Self::from_nanos(nanos),
            (None, None) => Self(f64::NAN),
        }
    }

    fn from_nanos(nanos: i64) -> Self {
        Self(nanos.div_euclid(NANOS) as f64 + nanos.rem_euclid(NANOS) as f64 / 1e9)
    }
}

/// Equal means equal bits: two `NaN`s with the same bits are equal, `0.0` and `-0.0` are not.
impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Timestamp {}

impl From<f64> for Timestamp {
    fn from(seconds: f64) -> Self {
        Self(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn todays_floats_need_no_bits_beside() {
        for seconds in [1_795_404_290.071_011_3, 1_700_000_000.123, 0.0, 12.5, -3.25] {
            let (nanos, bits) = Timestamp(seconds).to_columns();
            assert!(nanos.is_some() && bits.is_none(), "{seconds}");
        }
    }

    #[test]
    fn floats_that_nanoseconds_cannot_hold_keep_their_bits() {
        for seconds in [175_453.787_440_967_54, 1e300, -1e300, f64::INFINITY, -0.0, 1e-300, f64::NAN] {
            let (nanos, bits) = Timestamp(seconds).to_columns();
            assert_eq!(bits, Some(seconds.to_bits() as i64), "{seconds}");
            assert_eq!(Timestamp::from_columns(nanos, bits), Timestamp(seconds));
        }
    }

    #[test]
    fn the_nearest_nanosecond_is_the_nearest() {
        assert_eq!(Timestamp(1_700_000_000.123).to_nanos(), Some(1_700_000_000_122_999_907));
        assert_eq!(Timestamp(4_093.207_413_239).to_nanos(), Some(4_093_207_413_239));
        assert_eq!(Timestamp(-0.25).to_nanos(), Some(-250_000_000));
        assert_eq!(Timestamp(f64::NAN).to_nanos(), None);
    }

    proptest! {
        #[test]
        fn every_float_comes_back_bit_for_bit(bits in any::<u64>()) {
            let timestamp = Timestamp(f64::from_bits(bits));
            let (nanos, beside) = timestamp.to_columns();
            prop_assert_eq!(Timestamp::from_columns(nanos, beside), timestamp);
        }

        #[test]
        fn every_usual_float_comes_back_bit_for_bit(seconds in -1e10f64..1e10) {
            let timestamp = Timestamp(seconds);
            let (nanos, beside) = timestamp.to_columns();
            prop_assert_eq!(Timestamp::from_columns(nanos, beside), timestamp);
        }
    }
}
