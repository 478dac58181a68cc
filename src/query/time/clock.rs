//! Arithmetic of time zones: converts between instants and wall times.
//!
//! An instant is a count since 1970 in UTC. A wall time is the date and time that a clock in a zone shows,
//! counted as if it were UTC. Both are `i64` nanoseconds or seconds. Results outside this range are `None`.
//!
//! When clocks are set forward, some wall times do not exist. Such a wall time is converted with the offset
//! before the change. When clocks are set back, some wall times occur twice. Such a wall time is converted
//! into the second of the two instants. These are PostgreSQL's rules.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset};

use super::zone::Zone;

pub(crate) const NANOS: i64 = 1_000_000_000;
pub(crate) const DAY_SECONDS: i64 = 86_400;
const DAY: i64 = DAY_SECONDS * NANOS;

/// The clock of a zone. It remembers the last offset and its range of instants, because times usually come in
/// order.
pub(crate) struct Clock {
    zone: Zone,
    /// The first second of the range in which `offset` applies.
    from: i64,
    until: i64,
    offset: i64,
}

impl Clock {
    pub(crate) fn of(zone: &Zone) -> Self {
        Self { zone: zone.clone(), from: 0, until: 0, offset: 0 }
    }

    /// Returns the offset of the clock from UTC at this second, in seconds.
    pub(crate) fn offset_at(&mut self, second: i64) -> Option<i64> {
        if !(self.from..self.until).contains(&second) {
            let zone = self.zone.as_jiff();
            let at = Timestamp::from_second(second).ok()?;
            let after = Timestamp::from_second(second.saturating_add(1)).ok()?;
            let seconds = |change: jiff::tz::TimeZoneTransition<'_>| change.timestamp().as_second();
            self.from = zone.preceding(after).next().map_or(i64::MIN, seconds);
            self.until = zone.following(at).next().map_or(i64::MAX, seconds);
            self.offset = i64::from(zone.to_offset(at).seconds());
        }
        Some(self.offset)
    }

    /// Returns the wall time at an instant.
    pub(crate) fn wall(&mut self, nanos: i64) -> Option<i64> {
        let offset = self.offset_at(nanos.div_euclid(NANOS))?;
        nanos.checked_add(offset * NANOS)
    }

    /// Returns the second of a wall time in seconds.
    pub(crate) fn second_of(&mut self, wall: i64) -> Option<i64> {
        // A wall time that is two days away from any change is not ambiguous.
        let likely = wall.checked_sub(self.offset)?;
        let near = 2 * DAY_SECONDS;
        if self.from.saturating_add(near) <= likely && likely < self.until.saturating_sub(near) {
            return Some(likely);
        }
        let shown = Offset::UTC.to_datetime(Timestamp::from_second(wall).ok()?);
        let offset = match self.zone.as_jiff().to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } => before,
            AmbiguousOffset::Fold { after, .. } => after,
        };
        wall.checked_sub(i64::from(offset.seconds()))
    }

    /// Returns the instant of a wall time.
    pub(crate) fn instant(&mut self, wall: i64) -> Option<i64> {
        let second = self.second_of(wall.div_euclid(NANOS))?;
        second.checked_mul(NANOS)?.checked_add(wall.rem_euclid(NANOS))
    }

    /// Whether the clock shows a wall time exactly once.
    pub(crate) fn shows_once(&self, wall: i64) -> bool {
        Timestamp::from_nanosecond(i128::from(wall)).is_ok_and(|at| {
            !self.zone.as_jiff().to_ambiguous_timestamp(Offset::UTC.to_datetime(at)).is_ambiguous()
        })
    }

    /// Returns the beginning of the hour, day, month … of an instant.
    pub(crate) fn truncate(&mut self, unit: Unit, nanos: i64) -> Option<i64> {
        let wall = self.wall(nanos)?;
        let begin = truncate(unit, wall)?;
        if unit.is_of_clock() {
            // An hour that occurs twice counts as two hours.
            return nanos.checked_sub(wall - begin);
        }
        self.instant(begin)
    }

    /// Returns the beginning of the bin of an instant. Bins are counted from 1970-01-01 00:00 on this clock.
    pub(crate) fn bin(&mut self, stride: Stride, nanos: i64) -> Option<i64> {
        let wall = self.wall(nanos)?;
        let begin = stride.begin(wall)?;
        let likely = nanos.checked_sub(wall.checked_sub(begin)?)?;
        // The offset has not changed since the beginning of the bin. An hour that occurs twice counts as two
        // bins.
        if self.wall(likely)? == begin { Some(likely) } else { self.instant(begin) }
    }

    /// Adds months, then calendar days, then nanoseconds to an instant.
    pub(crate) fn shift(&mut self, nanos: i64, months: i32, days: i32, later: i64) -> Option<i64> {
        let mut at = nanos;
        if months != 0 {
            let wall = self.wall(at)?;
            let moved = civil(wall)?.date().checked_add(jiff::Span::new().try_months(months).ok()?).ok()?;
            at = self.instant(day_of(moved).checked_mul(DAY)?.checked_add(wall.rem_euclid(DAY))?)?;
        }
        if days != 0 {
            let moved = self.wall(at)?.checked_add(i64::from(days).checked_mul(DAY)?)?;
            at = self.instant(moved)?;
        }
        at.checked_add(later)
    }
}

/// The unit to which a time is truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "microsecond" => Self::Microsecond,
            "millisecond" => Self::Millisecond,
            "second" => Self::Second,
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => return None,
        })
    }

    const fn is_of_clock(self) -> bool {
        matches!(self, Self::Microsecond | Self::Millisecond | Self::Second | Self::Minute | Self::Hour)
    }
}

/// The length of a bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stride {
    Months(i64),
    Nanos(i64),
}

impl Stride {
    /// Returns the beginning of the bin of a wall time.
    fn begin(self, wall: i64) -> Option<i64> {
        match self {
            Self::Nanos(nanos) => wall.checked_sub(wall.checked_rem_euclid(nanos)?),
            Self::Months(months) => {
                let date = civil(wall)?.date();
                let month = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
                let begin = month - (month - 1970 * 12).checked_rem_euclid(months)?;
                month_begin(begin)
            }
        }
    }
}

/// Returns the beginning of the unit of a wall time.
fn truncate(unit: Unit, wall: i64) -> Option<i64> {
    let down_to = |nanos: i64| wall.checked_sub(wall.rem_euclid(nanos));
    let date = || civil(wall).map(DateTime::date);
    match unit {
        Unit::Microsecond => down_to(1_000),
        Unit::Millisecond => down_to(1_000_000),
        Unit::Second => down_to(NANOS),
        Unit::Minute => down_to(60 * NANOS),
        Unit::Hour => down_to(3_600 * NANOS),
        Unit::Day => down_to(DAY),
        // 1970-01-01 was a Thursday.
        Unit::Week => wall.checked_sub((wall.div_euclid(DAY) + 3).rem_euclid(7) * DAY + wall.rem_euclid(DAY)),
        Unit::Month => {
            date().and_then(|date| month_begin(i64::from(date.year()) * 12 + i64::from(date.month()) - 1))
        }
        Unit::Quarter => date().and_then(|date| {
            month_begin(i64::from(date.year()) * 12 + (i64::from(date.month()) - 1).div_euclid(3) * 3)
        }),
        Unit::Year => date().and_then(|date| month_begin(i64::from(date.year()) * 12)),
    }
}

/// Returns the first day of a month. Months are counted from the year zero.
fn month_begin(month: i64) -> Option<i64> {
    let year = i16::try_from(month.div_euclid(12)).ok()?;
    let date = Date::new(year, (month.rem_euclid(12) + 1) as i8, 1).ok()?;
    day_of(date).checked_mul(DAY)
}

/// Returns the number of days since 1970.
pub(crate) fn day_of(date: Date) -> i64 {
    let midnight = Offset::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight()));
    midnight.map_or(0, |at| at.as_second().div_euclid(DAY_SECONDS))
}

/// Converts a wall time into years, months, days …
pub(crate) fn civil(wall: i64) -> Option<DateTime> {
    Some(Offset::UTC.to_datetime(Timestamp::from_nanosecond(i128::from(wall)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_nanosecond() as i64
    }

    fn athens() -> Clock {
        Clock::of(&Zone::named("Europe/Athens").unwrap())
    }

    fn text(nanos: i64) -> String {
        Timestamp::from_nanosecond(i128::from(nanos)).unwrap().to_string()
    }

    #[test]
    fn wall_times_that_are_left_out_or_come_twice_follow_postgresql() {
        let instant = |wall: &str| text(athens().instant(nanos(wall)).unwrap());
        assert_eq!(instant("2026-03-29T03:30:00Z"), "2026-03-29T01:30:00Z", "left out: 04:30 in summer time");
        assert_eq!(instant("2026-10-25T03:30:00Z"), "2026-10-25T01:30:00Z", "twice: the second");
        assert_eq!(instant("2026-07-01T12:00:00Z"), "2026-07-01T09:00:00Z");
    }

    #[test]
    fn clocks_are_postgresqls() {
        let known = include_str!("../../../tests/data/postgresql/clocks.tsv");
        for line in known.lines().skip(1) {
            let [zone, operation, argument, at, wanted] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!()
            };
            let (mut clock, at) = (Clock::of(&Zone::named(zone).unwrap()), at.parse().unwrap());
            let found = match operation {
                "wall" => clock.wall(at),
                "instant" => clock.instant(at),
                "trunc" => clock.truncate(Unit::named(argument).unwrap(), at),
                _ => {
                    let parts: Vec<i64> = argument.split(' ').map(|part| part.parse().unwrap()).collect();
                    clock.shift(at, parts[0] as i32, parts[1] as i32, parts[2] * NANOS)
                }
            };
            let found = civil(found.unwrap()).unwrap().strftime("%Y-%m-%d %H:%M:%S%.6f").to_string();
            assert_eq!(found, wanted, "{line}");
        }
    }

    #[test]
    fn bins_are_whole_on_the_clock_and_an_hour_that_comes_twice_is_two() {
        let bin = |stride, at: &str| text(athens().bin(stride, nanos(at)).unwrap());
        let hours = |hours: i64| Stride::Nanos(hours * 3_600 * NANOS);
        assert_eq!(bin(hours(24), "2026-10-25T12:00:00Z"), "2026-10-24T21:00:00Z");
        assert_eq!(bin(hours(24), "2026-10-25T22:00:00Z"), "2026-10-25T22:00:00Z");
        assert_eq!(bin(hours(1), "2026-10-25T00:30:00Z"), "2026-10-25T00:00:00Z");
        assert_eq!(bin(hours(1), "2026-10-25T01:30:00Z"), "2026-10-25T01:00:00Z");
        assert_eq!(
            bin(hours(2), "2026-10-25T01:30:00Z"),
            "2026-10-24T23:00:00Z",
            "02:00 was before the change"
        );
        assert_eq!(bin(Stride::Months(1), "2026-10-31T22:30:00Z"), "2026-10-31T22:00:00Z");
    }

    #[test]
    fn the_clock_remembers_only_what_holds() {
        let mut clock = athens();
        let instants =
            ["2026-10-25T00:59:59Z", "2026-10-25T01:00:00Z", "2026-03-01T00:00:00Z", "1900-01-01T00:00:00Z"];
        let offsets = instants.map(|at| clock.offset_at(nanos(at) / NANOS).unwrap());
        assert_eq!(offsets, [10_800, 7_200, 7_200, 5_692]);
    }

    #[test]
    fn a_day_later_is_the_same_time_on_the_clock() {
        let later = athens().shift(nanos("2026-10-24T12:00:00Z"), 0, 1, 0).unwrap();
        assert_eq!(text(later), "2026-10-25T13:00:00Z");
        let later = athens().shift(nanos("2026-01-31T12:00:00Z"), 1, 0, NANOS).unwrap();
        assert_eq!(text(later), "2026-02-28T12:00:01Z");
    }
}
