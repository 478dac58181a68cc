//! What a query is given beside its text.

use std::time::Duration;

use super::answer::Value;
use super::time::zone::Zone;
use crate::fact::UnixNanos;

/// What one query is given, beside its text.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct QueryOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) params: Vec<(String, Value)>,
    /// Parameters that the SQL need not have a placeholder for.
    pub(crate) known_values: Vec<(String, Value)>,
    pub(crate) prune: Option<bool>,
    pub(crate) since: Option<UnixNanos>,
    pub(crate) until: Option<UnixNanos>,
    pub(crate) as_of: Option<UnixNanos>,
    pub(crate) zone: Zone,
    pub(crate) without_rules: Vec<String>,
}

impl QueryOptions {
    /// Nothing but the store's settings.
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

    /// Gives the placeholder `$name` a value where the SQL has one: a prompt knows values that a statement
    /// need not use. [`QueryOptions::param`] goes before it.
    pub fn known_value(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.known_values.push((name.into(), value.into()));
        self
    }

    /// Sees only facts whose `at` is this instant or later, in every table and view of facts.
    ///
    /// The tables about the store itself, `store.segments` and its like, stay whole.
    pub const fn since(mut self, at: UnixNanos) -> Self {
        self.since = Some(at);
        self
    }

    /// Sees only facts whose `at` is before this instant, in every table and view of facts.
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

    /// Sees the facts as they were at this instant: only those with `recorded_at` at or before it.
    ///
    /// What has been dropped since is gone all the same, and rules of retention count from now.
    pub const fn as_of(mut self, recorded_at: UnixNanos) -> Self {
        self.as_of = Some(recorded_at);
        self
    }

    /// The zone in which the query says what it says of times without naming one: the day of `at::date` and of
    /// `date_trunc('day', at)`, the hour of `extract`, the instant of `'2026-11-23'`. UTC unless it is set.
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

    /// Reads everything, and filters afterwards: a test compares that with the usual way.
    #[doc(hidden)]
    pub const fn without_pruning(mut self) -> Self {
        self.prune = Some(false);
        self
    }

    /// Plans without the rule of this name: a test finds out which one is at fault.
    #[doc(hidden)]
    pub fn without_rule(mut self, name: impl Into<String>) -> Self {
        self.without_rules.push(name.into());
        self
    }
}
