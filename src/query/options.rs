//! The options of a query.

use std::time::Duration;

use super::answer::Value;
use super::time::zone::Zone;
use crate::fact::UnixNanos;

/// The options of one query: its timeout, its parameters, its window in time, and its time zone.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct QueryOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) params: Vec<(String, Value)>,
    /// Parameters that may have no placeholder in the SQL.
    pub(crate) known_values: Vec<(String, Value)>,
    pub(crate) prune: Option<bool>,
    pub(crate) since: Option<UnixNanos>,
    pub(crate) until: Option<UnixNanos>,
    pub(crate) as_of: Option<UnixNanos>,
    pub(crate) zone: Zone,
    pub(crate) without_rules: Vec<String>,
}

impl QueryOptions {
    /// Returns options that change nothing: the store's settings apply.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the query when this time has passed since its first row was requested.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Gives the placeholder `$name` a value.
    pub fn param(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Gives the placeholder `$name` a value if the SQL has this placeholder. A prompt uses this for values
    /// that a statement may or may not use. A value from [`QueryOptions::param`] takes precedence.
    pub fn known_value(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.known_values.push((name.into(), value.into()));
        self
    }

    /// Restricts every table and view of facts to the facts whose `at` is this instant or later.
    ///
    /// The tables about the store itself, such as `store.segments`, are not restricted.
    pub const fn since(mut self, at: UnixNanos) -> Self {
        self.since = Some(at);
        self
    }

    /// Restricts every table and view of facts to the facts whose `at` is before this instant.
    ///
    /// ```
    /// # use ostracon::{Event, Json, QueryOptions, Store, UnixNanos};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// let store = Store::open(folder.path().join("facts"))?;
    /// for second in [1_795_404_290.0, 1_795_404_300.0] {
    ///     store.record(Event::new("shop", "shop:5", "ActorStarted", Json::empty_object(), second))?;
    /// }
    /// let from = UnixNanos::new(1_795_404_290 * 1_000_000_000);
    /// let to = UnixNanos::new(1_795_404_300 * 1_000_000_000);
    /// let window = QueryOptions::new().since(from).until(to);
    /// assert_eq!(store.sql_with("SELECT * FROM events", window).await?.rows().await?.len(), 1);
    /// # Ok(()) }
    /// ```
    pub const fn until(mut self, at: UnixNanos) -> Self {
        self.until = Some(at);
        self
    }

    /// Restricts every table and view of facts to the facts that were recorded at this instant or before.
    ///
    /// Facts that have been dropped since then are missing. Retention rules apply as of now.
    pub const fn as_of(mut self, recorded_at: UnixNanos) -> Self {
        self.as_of = Some(recorded_at);
        self
    }

    /// Sets the time zone for parts of the query that name no zone: the day of `at::date` and of
    /// `date_trunc('day', at)`, the hour of `extract`, the instant of `'2026-11-23'`. The default is UTC.
    ///
    /// ```
    /// # use ostracon::{Event, Json, QueryOptions, Store, Zone};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// let store = Store::open(folder.path().join("facts"))?;
    /// // 23:30 on the 22nd in UTC is the 23rd in Athens.
    /// store.record(Event::new("shop", "shop:5", "ActorStarted", Json::empty_object(), 1_795_390_200.0))?;
    /// let athens = QueryOptions::new().time_zone(Zone::named("Europe/Athens")?);
    /// let sql = "SELECT * FROM events WHERE at::date = '2026-11-23'";
    /// assert_eq!(store.sql_with(sql, athens).await?.rows().await?.len(), 1);
    /// assert_eq!(store.sql(sql).await?.rows().await?.len(), 0);
    /// # Ok(()) }
    /// ```
    pub fn time_zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    /// Reads all segments, and filters afterwards. A test compares the results with those of a pruned scan.
    #[cfg(any(test, feature = "testing"))]
    pub const fn without_pruning(mut self) -> Self {
        self.prune = Some(false);
        self
    }

    /// Plans without the rule with this name. A test uses it to find a faulty rule.
    #[cfg(any(test, feature = "testing"))]
    pub fn without_rule(mut self, name: impl Into<String>) -> Self {
        self.without_rules.push(name.into());
        self
    }
}
