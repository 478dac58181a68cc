//! Time zones by their names.

use std::fmt;
use std::hash::{Hash, Hasher};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;
use crate::query::nearest;

/// A time zone: it determines the wall time of an instant, and the beginning of a day.
///
/// ```
/// use ostracon::Zone;
///
/// assert_eq!(Zone::named("europe/athens")?.to_string(), "Europe/Athens");
/// let error = Zone::named("Europe/Athen").unwrap_err();
/// assert!(error.to_string().contains("Did you mean Europe/Athens?"));
/// # Ok::<(), ostracon::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// Names with two meanings. In PostgreSQL they are a fixed offset. In the time zone database they are a place
/// with summer time, or a place whose offset has changed.
const TWO_MEANINGS: [&str; 7] = ["cet", "eet", "met", "wet", "est", "mst", "hst"];
/// Names of the machine's own time zone, and of clocks that count leap seconds.
const NOT_A_PLACE: [&str; 4] = ["localtime", "posixrules", "factory", "etc/unknown"];

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Returns the zone with this name in the time zone database: `Europe/Athens`, `utc`, `Etc/GMT-2`. Upper
    /// and lower case are equal.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] for an unknown name, and for an offset or abbreviation with two meanings.
    /// `+02:00` is east of UTC in ISO 8601, and west of UTC in PostgreSQL.
    pub fn named(name: &str) -> Result<Self> {
        let refuse = |why: String| Err(Error::new(ErrorKind::Query, format!("{name:?} {why}")));
        let lower = name.to_ascii_lowercase();
        if matches!(lower.as_str(), "utc" | "z" | "zulu" | "gmt" | "uct") {
            return Ok(Self::UTC);
        }
        if is_offset(&lower) {
            return refuse(
                "is an offset, which some programs count to the east of UTC, and others to the west; use the \
                 name of a place, such as Europe/Athens, or Etc/GMT-2 for two hours east of UTC"
                    .to_owned(),
            );
        }
        if TWO_MEANINGS.contains(&lower.as_str()) {
            return refuse(
                "is an abbreviation, which some programs read with summer time, and others without; use the \
                 name of a place, such as Europe/Athens"
                    .to_owned(),
            );
        }
        let is_place = !NOT_A_PLACE.contains(&lower.as_str())
            && !lower.starts_with("right/")
            && !lower.starts_with("posix/");
        if let Some(zone) = is_place.then(|| TimeZone::get(name).ok()).flatten() {
            return Ok(Self(zone));
        }
        let known: Vec<_> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        // A place without its continent gives a suggestion.
        let place =
            |known: &str| known.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(name));
        let meant = known.iter().map(String::as_str).find(|known| place(known));
        let meant = meant.or_else(|| nearest(name, known.iter().map(String::as_str)));
        match meant {
            Some(meant) => refuse(format!("is not a time zone. Did you mean {meant}?")),
            None => refuse("is not a time zone; use UTC, or a name such as Europe/Athens".to_owned()),
        }
    }

    /// Returns the time zone of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self(TimeZone::system())
    }

    /// Returns a zone with a fixed offset from UTC in seconds.
    pub(crate) fn fixed(seconds: i64) -> Option<Self> {
        let offset = jiff::tz::Offset::from_seconds(i32::try_from(seconds).ok()?).ok()?;
        Some(Self(TimeZone::fixed(offset)))
    }

    /// Whether the zone has the offset 0 at all times.
    pub fn is_utc(&self) -> bool {
        self.0 == TimeZone::UTC
    }

    /// Returns the zone as a type of the crate `jiff`.
    pub const fn as_jiff(&self) -> &TimeZone {
        &self.0
    }

    /// Returns an instant as text: the date and the time in this zone, with the offset. `None` for an instant
    /// outside the calendar.
    pub fn text(&self, at: UnixNanos) -> Option<String> {
        let instant = Timestamp::from_nanosecond(i128::from(at.get())).ok()?;
        Some(instant.to_zoned_datetime(self.0.clone()).strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string())
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iana_name().hash(state);
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.iana_name(), self.0.to_fixed_offset()) {
            (Some(name), _) => f.write_str(name),
            (None, Ok(offset)) => write!(f, "UTC{offset}"),
            (None, Err(_)) => f.write_str("the system's zone"),
        }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a name is an offset, such as `+02:00`, `-3`, `UTC+2` or `<x>-2`.
fn is_offset(lower: &str) -> bool {
    let rest = ["utc", "gmt"].iter().find_map(|name| lower.strip_prefix(name)).unwrap_or(lower);
    rest.starts_with(['+', '-', '<']) || rest.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_known_in_any_case() {
        for (name, shown) in [
            ("Europe/Athens", "Europe/Athens"),
            ("EUROPE/ATHENS", "Europe/Athens"),
            ("america/argentina/buenos_aires", "America/Argentina/Buenos_Aires"),
            ("utc", "UTC"),
            ("z", "UTC"),
            ("etc/gmt-2", "Etc/GMT-2"),
        ] {
            assert_eq!(Zone::named(name).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_zone_or_has_two_meanings_is_refused() {
        for (name, why) in [
            ("Europe/Athen", "Did you mean Europe/Athens?"),
            ("athens", "Did you mean Europe/Athens?"),
            ("Olympus", "such as Europe/Athens"),
            ("", "such as Europe/Athens"),
            ("+02:00", "to the east of UTC"),
            ("02:00", "to the east of UTC"),
            ("UTC+2", "to the east of UTC"),
            ("<+02>-02", "to the east of UTC"),
            ("CET", "summer time"),
            ("EST", "summer time"),
            ("localtime", "not a time zone"),
            ("right/Europe/Athens", "not a time zone"),
        ] {
            let error = Zone::named(name).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
