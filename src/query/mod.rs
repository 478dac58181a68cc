//! SQL over a snapshot: read-only by construction, bounded in memory and time.
//!
//! 1. [`guard`] turns away text that would be too deep to plan, and statements that do anything
//!    but read.
//! 2. [`session`] makes a DataFusion session over one [`Snapshot`](crate::snapshot::Snapshot):
//!    tables, views and system tables of that moment, and nothing else. It has no way to files,
//!    or to settings, outside the store.
//! 3. [`promoted`] answers `payload->>'error'` from the column `error`.
//! 4. [`table`] plans a scan from the ledger's numbers: segments that cannot match are left out
//!    without being opened ([`prune`]), and the unflushed tail is one more input ([`tail`]).
//!    [`wall_time`] makes the column `at` out of the stored ones. What retention does not keep is
//!    left out, whole segments or rows ([`retained`]), and so is what a query's [`window`] in time leaves out.
//! 5. [`newest_first`] lets `ORDER BY … DESC LIMIT n` begin with the newest segments.
//! 6. [`planning`] looks at the clock between any two rules of the planner.
//! 7. [`watch`] stands at the root of every plan: it stops at the deadline, and turns a panic
//!    that damaged bytes cause in a decoder into an error.

mod bounded;
mod error_group;
mod functions;
mod guard;
mod learned;
mod list;
mod meant;
mod newest_first;
mod planning;
mod predicate;
mod promoted;
mod prune;
mod retained;
mod saved;
mod session;
mod system;
mod table;
mod tail;
mod union;
mod views;
mod wall_time;
mod watch;
mod window;

use std::sync::Arc;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::common::ParamValues;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

pub use list::Listed;
pub(crate) use meant::nearest;
pub(crate) use predicate::Predicate;
pub use saved::{Parameter, SavedQuery};
pub(crate) use session::Engine;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;
use crate::metrics::count;
use crate::store::Store;

/// What one query is given, beside its text.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct QueryOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) params: Vec<(String, datafusion::common::ScalarValue)>,
    pub(crate) prune: Option<bool>,
    pub(crate) since: Option<UnixNanos>,
    pub(crate) until: Option<UnixNanos>,
    pub(crate) as_of: Option<UnixNanos>,
}

impl QueryOptions {
    /// Nothing but the store's settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the query so long after its first row was asked for.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Gives the placeholder `$name` a value.
    pub fn param(
        mut self,
        name: impl Into<String>,
        value: impl Into<datafusion::common::ScalarValue>,
    ) -> Self {
        self.params.push((name.into(), value.into()));
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
    /// assert_eq!(store.sql_with("SELECT * FROM events", window).await?.count().await?, 1);
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

    /// Reads everything, and filters afterwards: a test compares that with the usual way.
    #[doc(hidden)]
    pub const fn without_pruning(mut self) -> Self {
        self.prune = Some(false);
        self
    }
}

impl Store {
    /// Asks the store a question in SQL. The answer is computed when the [`DataFrame`] is
    /// collected or streamed, over the facts that are there now, flushed or not; dropping its
    /// future or stream cancels it.
    ///
    /// Tables are `events`, `audits` and `dead_letters`, with the views `crashes`, `restarts` and
    /// `actors`, and `store.segments`, `store.commits`, `store.streams`,
    /// `store.consumers`, `store.unverified` and `store.metrics`. A
    /// query cannot write, nor reach anything outside the store.
    ///
    /// ```
    /// # use ostracon::{Event, Json, Store};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// let store = Store::open(folder.path().join("facts"))?;
    /// let crash = Json::parse(r#"{"error": "KeyError: 'sku'"}"#)?;
    /// store.record(Event::new("shop", "shop:5", "ActorCrashed", crash, 1_795_404_290.4))?;
    ///
    /// let answer = store.sql("SELECT error_type, count(*) AS n FROM crashes GROUP BY 1").await?;
    /// let batches = answer.collect().await?;
    /// assert_eq!(batches[0].num_rows(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Query`] for SQL that is wrong or not allowed, [`ErrorKind::Damaged`] if the
    /// store is.
    pub async fn sql(&self, sql: &str) -> Result<DataFrame> {
        self.sql_with(sql, QueryOptions::new()).await
    }

    /// [`Store::sql`] with a timeout or parameters.
    ///
    /// # Errors
    /// Those of [`Store::sql`].
    pub async fn sql_with(&self, sql: &str, options: QueryOptions) -> Result<DataFrame> {
        count(&self.shared().metrics.queries, 1);
        guard::check_text(sql)?;
        let snapshot = Arc::new(self.snapshot()?);
        let context = self.engine()?.session(self.shared(), &snapshot, &options)?;
        let plan = context.state().create_logical_plan(sql).await;
        let plan = plan.map_err(|error| meant::explained(query_error(error), &context))?;
        guard::check_plan(&plan)?;
        let plan = promoted::rewrite(plan).map_err(query_error)?;
        let answer = context.execute_logical_plan(plan).await.map_err(query_error)?;
        if options.params.is_empty() {
            return Ok(answer);
        }
        let params: Vec<_> = options.params.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        answer.with_param_values(ParamValues::from(params)).map_err(query_error)
    }
}

/// A query's failure as ours: what kind it is, and the text that helps.
#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub fn query_error(error: DataFusionError) -> Error {
    let root = error.find_root();
    if let DataFusionError::External(source) = root
        && let Some(known) = source.downcast_ref::<Error>()
    {
        return Error::new(known.kind(), known.to_string());
    }
    if let DataFusionError::SQL(parser, _) = root {
        // Its own text is the debugging form.
        let why = match parser.as_ref() {
            ParserError::ParserError(why) | ParserError::TokenizerError(why) => why.as_str(),
            ParserError::RecursionLimitExceeded => "it nests too deep",
        };
        return Error::new(ErrorKind::Query, format!("the SQL is not understood: {why}"));
    }
    // Arrow has made a text of the error that was there.
    let no_room = |text: &str| text.contains("used disk space during the spilling");
    let kind = match root {
        DataFusionError::ArrowError(arrow, _) if no_room(&arrow.to_string()) => ErrorKind::OutOfMemory,
        DataFusionError::ResourcesExhausted(_) => ErrorKind::OutOfMemory,
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            ErrorKind::Damaged
        }
        DataFusionError::ArrowError(error, _) if matches!(**error, ArrowError::ParquetError(_)) => {
            ErrorKind::Damaged
        }
        _ => ErrorKind::Query,
    };
    // The root: around it is only which of the planner's rules met it.
    let mut message = root.strip_backtrace();
    if kind == ErrorKind::Damaged && !matches!(root, DataFusionError::IoError(_)) {
        message = damaged(&message);
    }
    if kind == ErrorKind::OutOfMemory {
        message += "; ask for less, or raise query.memory_bytes or query.spill_bytes in ostracon.toml";
    }
    Error::new(kind, message)
}

/// What is done about a damaged store, behind what a scan does.
pub(crate) const TO_RECOVER: &str = "and `ostracon recover` makes the store whole again";

/// What a reader of Parquet says of a segment, for people: which one, if it says so, and what to do.
fn damaged(why: &str) -> String {
    let named = why.split_once("metadata for file ").and_then(|(_, rest)| rest.split_once(".parquet: "));
    match named {
        Some((name, why)) => {
            format!("{name}.parquet is damaged: {why}; `ostracon scan STORE` tells more, {TO_RECOVER}")
        }
        None => format!(
            "a segment of the store is damaged: {why}; `ostracon scan --deep STORE` tells which one, {TO_RECOVER}"
        ),
    }
}
