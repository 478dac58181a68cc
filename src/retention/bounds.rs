//! The limits of one rule, as bounds at one moment.

use super::cut::{Cut, Place};
use super::rows::Extent;
use super::rules::Limit;
use crate::fact::UnixNanos;
use crate::settings::retention::{AgeBy, RetentionLimits};

/// The limits of one rule, as bounds at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Facts older than this are expired.
    pub(super) oldest: Option<Oldest>,
    /// The facts after it are never dropped: the floor.
    pub(super) floor: Cut,
    /// The facts before it exceed the limit on the number of facts.
    pub(super) records: Cut,
    /// The facts before it exceed the limit on bytes.
    pub(super) bytes: Cut,
}

/// The oldest time that is not expired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Oldest {
    by: AgeBy,
    nanos: i64,
}

/// How much of a set of facts: none, some or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    None,
    Some,
    All,
}

impl Oldest {
    /// `now` minus the age. A limit that reaches before all representable time expires no fact that has a
    /// time.
    fn of(limits: &RetentionLimits, now: UnixNanos) -> Option<Self> {
        let age = i128::try_from(limits.max_age?.as_nanos()).unwrap_or(i128::MAX);
        let nanos = i128::from(now.get()).saturating_sub(age);
        Some(Self { by: limits.age_by, nanos: i64::try_from(nanos).unwrap_or(i64::MIN) })
    }

    /// A fact of exactly this age is not too old, as in Papyra. A fact without a timestamp is too old.
    fn is_expired(self, place: Place, timestamp: Option<i64>) -> bool {
        match self.by {
            AgeBy::Timestamp => timestamp.is_none_or(|nanos| nanos < self.nanos),
            AgeBy::RecordedAt => place.recorded_at.get() < self.nanos,
        }
    }

    fn expired(self, extent: &Extent) -> Share {
        let (oldest, newest) = match (self.by, extent.timestamp) {
            (AgeBy::RecordedAt, _) => (extent.first.recorded_at.get(), extent.last.recorded_at.get()),
            (AgeBy::Timestamp, Some(range)) if extent.no_timestamp == 0 => range,
            // A timestamp without a nanosecond may be long ago or far in the future.
            (AgeBy::Timestamp, _) => return Share::Some,
        };
        if oldest >= self.nanos {
            Share::None
        } else if newest < self.nanos {
            Share::All
        } else {
            Share::Some
        }
    }
}

/// The possible fates of a set of facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fates {
    pub(super) kept: bool,
    /// Whether a limit may drop some of them, by limit.
    pub(super) dropped: [bool; 3],
}

impl Fates {
    pub(super) const KEPT: Self = Self { kept: true, dropped: [false; 3] };

    fn drop_by(&mut self, limit: Limit) {
        if let Some(dropped) = self.dropped.get_mut(limit as usize) {
            *dropped = true;
        }
    }
}

impl Bounds {
    /// The bounds before the cuts are known: only the age counts.
    pub(super) fn of(limits: &RetentionLimits, now: UnixNanos) -> Self {
        Self {
            oldest: Oldest::of(limits, now),
            floor: Cut::AFTER_ALL,
            records: Cut::BEFORE_ALL,
            bytes: Cut::BEFORE_ALL,
        }
    }

    /// The limit that drops a fact of the rule; `None` keeps it.
    pub(super) fn judge(&self, place: Place, timestamp: Option<i64>) -> Option<Limit> {
        if self.floor.is_before(place) {
            None
        } else if self.oldest.is_some_and(|oldest| oldest.is_expired(place, timestamp)) {
            Some(Limit::Age)
        } else if !self.records.is_before(place) {
            Some(Limit::Records)
        } else if !self.bytes.is_before(place) {
            Some(Limit::Bytes)
        } else {
            None
        }
    }

    /// Whether a fact is not dropped for its age, so that the other limits apply to it.
    pub(super) fn survives_age(&self, place: Place, timestamp: Option<i64>) -> bool {
        self.floor.is_before(place) || !self.oldest.is_some_and(|oldest| oldest.is_expired(place, timestamp))
    }

    /// How much of an extent is not dropped for its age.
    pub(super) fn surviving_age(&self, extent: &Extent) -> Share {
        let expired = self.oldest.map_or(Share::None, |oldest| oldest.expired(extent));
        match (self.floor_over(extent), expired) {
            (Share::All, _) | (_, Share::None) => Share::All,
            (Share::None, Share::All) => Share::None,
            _ => Share::Some,
        }
    }

    fn floor_over(&self, extent: &Extent) -> Share {
        share_after(self.floor, extent)
    }

    /// The possible fates of facts of the rule within an extent.
    pub(super) fn fates(&self, extent: &Extent) -> Fates {
        let mut fates = Fates::default();
        match self.floor_over(extent) {
            Share::All => return Fates::KEPT,
            Share::Some => fates.kept = true,
            Share::None => {}
        }
        let expired = self.oldest.map_or(Share::None, |oldest| oldest.expired(extent));
        let within = [
            (Limit::Age, expired),
            (Limit::Records, share_after(self.records, extent).other()),
            (Limit::Bytes, share_after(self.bytes, extent).other()),
        ];
        for (limit, share) in within {
            if share != Share::None {
                fates.drop_by(limit);
            }
            if share == Share::All {
                return fates;
            }
        }
        fates.kept = true;
        fates
    }
}

impl Share {
    const fn other(self) -> Self {
        match self {
            Self::None => Self::All,
            Self::Some => Self::Some,
            Self::All => Self::None,
        }
    }
}

/// How much of an extent is after a cut.
fn share_after(cut: Cut, extent: &Extent) -> Share {
    match (cut.is_before(extent.first), cut.is_before(extent.last)) {
        (true, _) => Share::All,
        (false, true) => Share::Some,
        (false, false) => Share::None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fact::{Seq, StreamId};

    const NOW: UnixNanos = UnixNanos(1_000_000_000_000);

    fn place(recorded_at: i64) -> Place {
        Place { recorded_at: UnixNanos(recorded_at), stream: StreamId(1), seq: Seq(1) }
    }

    fn aged(seconds: u64, by: AgeBy) -> Bounds {
        Bounds::of(&RetentionLimits::new().max_age(Duration::from_secs(seconds)).age_by(by), NOW)
    }

    #[test]
    fn exactly_so_old_is_kept_and_a_nanosecond_more_is_not() {
        let limit = NOW.get() - 10_000_000_000;
        let by_timestamp = aged(10, AgeBy::Timestamp);
        assert_eq!(by_timestamp.judge(place(0), Some(limit)), None);
        assert_eq!(by_timestamp.judge(place(0), Some(limit - 1)), Some(Limit::Age));
        assert_eq!(by_timestamp.judge(place(NOW.get()), None), Some(Limit::Age));
        let by_recording = aged(10, AgeBy::RecordedAt);
        assert_eq!(by_recording.judge(place(limit), None), None);
        assert_eq!(by_recording.judge(place(limit - 1), Some(NOW.get())), Some(Limit::Age));
    }

    #[test]
    fn zero_seconds_keep_what_is_of_now_or_the_future() {
        let none = aged(0, AgeBy::Timestamp);
        assert_eq!(none.judge(place(0), Some(NOW.get() - 1)), Some(Limit::Age));
        assert_eq!(none.judge(place(0), Some(NOW.get())), None);
        assert_eq!(none.judge(place(0), Some(i64::MAX)), None);
    }

    #[test]
    fn an_age_beyond_all_time_expires_only_what_has_no_time() {
        let long = aged(u64::MAX, AgeBy::Timestamp);
        assert_eq!(long.judge(place(0), Some(i64::MIN)), None);
        assert_eq!(long.judge(place(0), None), Some(Limit::Age));
    }

    #[test]
    fn an_extent_tells_only_what_is_so_for_all_of_it() {
        let extent = |min: i64, max: i64, no_timestamp| Extent {
            first: place(5),
            last: place(9),
            rows: 3,
            timestamp: Some((min, max)),
            no_timestamp,
        };
        let bounds = aged(10, AgeBy::Timestamp);
        let limit = NOW.get() - 10_000_000_000;
        let kept = |extent| bounds.fates(&extent).kept;
        let dropped = |extent| bounds.fates(&extent).dropped[0];
        assert!(kept(extent(limit, limit, 0)) && !dropped(extent(limit, limit, 0)));
        assert!(kept(extent(limit, limit, 1)) && dropped(extent(limit, limit, 1)));
        assert!(kept(extent(limit - 1, limit, 0)) && dropped(extent(limit - 1, limit, 0)));
        assert!(!kept(extent(limit - 1, limit - 1, 0)) && dropped(extent(limit - 1, limit - 1, 0)));
    }
}
