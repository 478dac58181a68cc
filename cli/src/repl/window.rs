//! A window in time, which narrows the tables of the prompt.

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;
use ostracon::QueryOptions;

use super::super::moment::Moment;

/// The window that narrows the tables until the user clears it.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    pub(super) at: Option<Moment>,
    pub(super) since: Option<Moment>,
    pub(super) until: Option<Moment>,
}

impl Window {
    /// Narrows a query to this window, as of now.
    pub(super) fn narrow(
        &self,
        mut options: QueryOptions,
        now: &ZonedDateTime,
    ) -> anyhow::Result<QueryOptions> {
        if let Some(at) = &self.at {
            options = options.as_of(at.nanos(now)?);
        }
        if let Some(since) = &self.since {
            options = options.since(since.nanos(now)?);
        }
        if let Some(until) = &self.until {
            options = options.until(until.nanos(now)?);
        }
        Ok(options)
    }

    /// The text in the prompt; empty if all facts are seen.
    pub(super) fn shown(&self, zone: &TimeZone) -> String {
        let parts = [("at", &self.at), ("since", &self.since), ("until", &self.until)];
        let texts = parts.into_iter().filter_map(|(word, moment)| {
            moment.as_ref().map(|moment| format!("{word} {}", moment.shown(zone)))
        });
        texts.collect::<Vec<_>>().join(" ")
    }
}
