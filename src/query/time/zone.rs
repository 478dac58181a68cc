//! Time zones by their names.

use std::fmt;
use std::hash::{Hash, Hasher};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;
use crate::query::nearest;

/// A time zone: what clocks show there, and when days begin.
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

/// Names that PostgreSQL reads as a fixed offset, and the time zone database as a place with summer time, or as
/// a place whose offset has changed.
const TWO_MEANINGS: [&str; 7] = ["cet", "eet", "met", "wet", "est", "mst", "hst"];
/// Names that mean whatever this machine is set to, or clocks that count leap seconds.
const NOT_A_PLACE: [&str; 4] = ["localtime", "posixrules", "factory", "etc/unknown"];

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone with this name in the time zone database, in any case: `Europe/Athens`, `utc`, `Etc/GMT-2`.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] for a name that is unknown, and for offsets and abbreviations that programs read
    /// in two ways: ISO 8601 counts `+02:00` to the east, PostgreSQL counts it to the west.
    pub fn named(name: &str) -> Result<Self> {
        let refuse = |why: String| Err(Error::new(ErrorKind::Query, format!("{name:?} {why}")));
        let lower = name.to_ascii_lowercase();
        if matches!(lower.as_str(), "utc" | "z" | "zulu" | "gmt" | "uct") {
            return Ok(Self::UTC);
        }
        if is_offset(&lower) {
            return refuse(
                "is an offset, which programs count to the east or to the west of UTC; name a place, such as \
                 Europe/Athens, or say Etc/GMT-2 for two hours east of UTC"
                    .to_owned(),
            );
        }
        if TWO_MEANINGS.contains(&lower.as_str()) {
            return refuse(
                "is an abbreviation, which programs read with and without summer time; name a place, such as \
                 Europe/Athens"
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
        // Of a place without its continent, the place.
        let place =
            |known: &str| known.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(name));
        let meant = known.iter().map(String::as_str).find(|known| place(known));
        let meant = meant.or_else(|| nearest(name, known.iter().map(String::as_str)));
        match meant {
            Some(meant) => refuse(format!("is no time zone. Did you mean {meant}?")),
            None => refuse("is no time zone; say UTC, or a name such as Europe/Athens".to_owned()),
        }
    }

    /// The zone that this machine is set to.
    #[must_use]
    pub fn system() -> Self {
        Self(TimeZone::system())
    }

    /// Clocks that are always this far ahead of UTC.
    pub(crate) fn fixed(seconds: i64) -> Option<Self> {
        let offset = jiff::tz::Offset::from_seconds(i32::try_from(seconds).ok()?).ok()?;
        Some(Self(TimeZone::fixed(offset)))
    }

    /// Whether its clocks are those of UTC at all times.
    pub fn is_utc(&self) -> bool {
        self.0 == TimeZone::UTC
    }

    /// The zone as the crate `jiff` has it.
    pub const fn as_jiff(&self) -> &TimeZone {
        &self.0
    }

    /// An instant as text: date and time there, with the offset. `None` beyond the calendar.
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

/// `+02:00`, `-3`, `UTC+2`, `<x>-2`: an offset, whatever it is counted from.
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
            ("+02:00", "east or to the west"),
            ("02:00", "east or to the west"),
            ("UTC+2", "east or to the west"),
            ("<+02>-02", "east or to the west"),
            ("CET", "summer time"),
            ("EST", "summer time"),
            ("localtime", "no time zone"),
            ("right/Europe/Athens", "no time zone"),
        ] {
            let error = Zone::named(name).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
