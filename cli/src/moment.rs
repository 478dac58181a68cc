//! Instants and lengths of time, as users write them: `2h`, `yesterday`, `10:30`, `2026-03-01`.

use std::time::Duration;

use anyhow::Context;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, ZonedDateTime};
use ostracon::{SavedQuery, UnixNanos};

/// Parses a length of time, such as `500ms`, `30s` or `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let span: SignedDuration = text.parse().map_err(|_| {
        let unit = if text.trim().parse::<f64>().is_ok() { ", with a unit" } else { "" };
        format!("{text:?} is not a length of time; write a number{unit}, such as 500ms, 30s or 5m")
    })?;
    Duration::try_from(span).map_err(|_| "a length of time cannot be negative".to_owned())
}

/// Returns the parameters of a saved query, with an instant for each time that is written in another way.
pub(crate) fn with_instants(
    query: &SavedQuery,
    set: &[(String, String)],
    zone: &TimeZone,
) -> anyhow::Result<Vec<(String, String)>> {
    let now = Timestamp::now();
    let is_time = |name: &str| {
        let parameter = query.parameters.iter().find(|parameter| parameter.name == name);
        parameter.is_some_and(|parameter| parameter.default.parse::<Date>().is_ok())
    };
    let values = set.iter().map(|(name, text)| {
        if !is_time(name) {
            return Ok((name.clone(), text.clone()));
        }
        let moment = Moment::parse(text, zone, now).with_context(|| format!("cannot set {name}"))?;
        Ok((name.clone(), moment.instant(&now.to_zoned_datetime(zone.clone()))?.to_string()))
    });
    values.collect()
}

/// An instant, as the user wrote it.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    /// A time before now. It moves on with the clock.
    Ago {
        said: String,
        span: Span,
    },
    Instant(Timestamp),
}

impl Moment {
    /// Parses an instant, in this zone.
    pub(crate) fn parse(said: &str, zone: &TimeZone, now: Timestamp) -> anyhow::Result<Self> {
        let said = said.trim().trim_matches('\'');
        let today = now.to_zoned_datetime(zone.clone()).date();
        let midnight = |date: Date| Ok(Self::Instant(date.to_zoned_datetime(zone.clone())?.timestamp()));
        match said.to_ascii_lowercase().as_str() {
            "now" => return Ok(Self::Instant(now)),
            "today" => return midnight(today),
            "yesterday" => return midnight(today.yesterday()?),
            _ => {}
        }
        if let Ok(instant) = said.parse::<Timestamp>() {
            return Ok(Self::Instant(instant));
        }
        if let Ok(zoned) = said.parse::<ZonedDateTime>() {
            return Ok(Self::Instant(zoned.timestamp()));
        }
        if let Ok(span) = said.trim_end_matches("ago").trim().trim_start_matches('-').parse::<Span>() {
            return Ok(Self::Ago { said: said.to_owned(), span: span.abs() });
        }
        if let Ok(civil) = said.parse::<DateTime>() {
            return Ok(Self::Instant(civil.to_zoned_datetime(zone.clone())?.timestamp()));
        }
        if let (4, Ok(year)) = (said.len(), said.parse::<i16>()) {
            return midnight(Date::new(year, 1, 1)?);
        }
        // Without a colon, `20` or `2026` would be a time of day.
        let time: Time = said.parse().ok().filter(|_| said.contains(':')).with_context(|| {
            format!("{said:?} is not a time; use 2h, 10:30, yesterday, 2026-03-01 or 2026-03-01T09:30:00Z")
        })?;
        Ok(Self::Instant(today.to_datetime(time).to_zoned_datetime(zone.clone())?.timestamp()))
    }

    /// Returns the instant, as of now.
    pub(crate) fn instant(&self, now: &ZonedDateTime) -> anyhow::Result<Timestamp> {
        Ok(match self {
            Self::Ago { span, .. } => now.checked_sub(*span)?.timestamp(),
            Self::Instant(instant) => *instant,
        })
    }

    /// Returns the instant in nanoseconds, as of now.
    pub(crate) fn nanos(&self, now: &ZonedDateTime) -> anyhow::Result<UnixNanos> {
        let instant = self.instant(now)?;
        let nanos = i64::try_from(instant.as_nanosecond());
        Ok(UnixNanos::new(nanos.unwrap_or(if instant < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX })))
    }

    /// Returns the text that a user sees.
    pub(crate) fn shown(&self, zone: &TimeZone) -> String {
        match self {
            Self::Ago { said, .. } => said.clone(),
            Self::Instant(instant) if *zone == TimeZone::UTC => instant.to_string(),
            Self::Instant(instant) => {
                instant.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(said: &str) -> String {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let moment = Moment::parse(said, &TimeZone::UTC, now);
        let zoned = now.to_zoned_datetime(TimeZone::UTC);
        moment.map_or_else(|error| error.to_string(), |moment| moment.nanos(&zoned).unwrap().to_string())
    }

    #[test]
    fn a_length_of_time_has_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
        assert!(duration("5").unwrap_err().contains("a number, with a unit, such as 500ms"));
        assert!(duration("soon").unwrap_err().contains("write a number, such as"));
        assert!(duration("-5s").unwrap_err().contains("negative"));
    }

    #[test]
    fn times_are_said_in_many_ways() {
        for (said, meant) in [
            ("2h", "2026-03-02T10:00:00Z"),
            ("90 minutes ago", "2026-03-02T10:30:00Z"),
            ("1d", "2026-03-01T12:00:00Z"),
            ("10:30", "2026-03-02T10:30:00Z"),
            ("yesterday", "2026-03-01T00:00:00Z"),
            ("2026-03-01", "2026-03-01T00:00:00Z"),
            ("2025", "2025-01-01T00:00:00Z"),
            ("'2026-03-01 09:00'", "2026-03-01T09:00:00Z"),
            ("2026-03-01T09:00:00+02:00", "2026-03-01T07:00:00Z"),
        ] {
            assert_eq!(shown(said), meant, "{said}");
        }
        assert!(shown("soon").contains("is not a time") && shown("11").contains("is not a time"));
    }
}
