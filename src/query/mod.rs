//! SQL over a snapshot: read-only by construction, bounded in memory and time.
//!
//! 1. [`guard`] turns away text that would be too deep to plan, and statements that do anything
//!    but read.
//! 2. [`session`] makes a DataFusion session over one [`Snapshot`](crate::snapshot::Snapshot):
//!    tables, views and system tables of that moment, and nothing else. It has no way to files,
//!    or to settings, outside the store.
//! 3. [`promoted`] answers `payload->>'error'` from the column `error`.
//! 4. [`json`] are the operators and functions on JSON, [`types`] what expressions over several types mean.
//! 5. [`table`] plans a scan from the ledger's numbers: segments that cannot match are left out
//!    without being opened ([`prune`]), and the unflushed tail is one more input ([`tail`]).
//!    [`wall_time`] makes the column `at` out of the stored ones. What retention does not keep is
//!    left out, whole segments or rows ([`retained`]), and so is what a query's [`window`] in time leaves out.
//! 6. [`newest_first`] lets `ORDER BY … DESC LIMIT n` begin with the newest segments.
//! 7. [`planning`] looks at the clock between any two rules of the planner. What the optimizer would answer
//!    wrongly is put in other terms before it sees it: [`subqueries`], [`in_lists`], [`by_position`]; and what
//!    it cannot answer, [`lateral`].
//! 8. [`time`] knows time zones, clocks and calendars.
//! 9. [`watch`] stands at the root of every plan: it stops at the deadline, and turns a panic
//!    that damaged bytes cause in a decoder into an error. What is below is computed by [`workers`], and
//!    looks itself whether it is to [`stop`].

mod above_aggregates;
mod answer_names;
mod below;
mod bounded;
mod by_position;
mod chains;
mod decode_panics;
mod empty_branches;
mod ensure_sorted;
mod error_group;
mod functions;
mod guard;
mod hide_equalities;
mod hide_properties;
mod in_lists;
mod json;
mod known_aggregates;
mod lateral;
mod learned;
mod list;
mod meant;
mod nested_distinct;
mod newest_first;
mod null_keys;
mod number;
mod outer_joins;
mod planning;
mod precedence;
mod predicate;
mod promoted;
mod prune;
mod retained;
mod saved;
mod segment_reader;
mod session;
mod single_input;
mod sizes;
mod spellings;
mod stop;
mod subqueries;
mod system;
mod table;
mod tail;
mod time;
mod types;
mod unheard;
mod union;
mod using_keys;
mod views;
mod wall_time;
mod watch;
mod window;
mod window_orders;
mod workers;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::parser::ParserError;
use parquet::errors::ParquetError;

pub use list::Listed;
pub(crate) use meant::nearest;
pub(crate) use predicate::Predicate;
pub use saved::{Parameter, SavedQuery};
pub(crate) use session::Engine;
pub use time::zone::Zone;
#[cfg(feature = "cli")]
pub(crate) use workers::runtime;
pub use workers::{execute, physical_plan};

use crate::environment;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;
use crate::metrics::count;
use crate::store::Store;
use subqueries::Where;

/// What one query is given, beside its text.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct QueryOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) params: Vec<(String, datafusion::common::ScalarValue)>,
    /// Parameters that the SQL need not have a placeholder for.
    pub(crate) known_values: Vec<(String, datafusion::common::ScalarValue)>,
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

    /// Gives the placeholder `$name` a value where the SQL has one: a prompt knows values that a statement
    /// need not use. [`QueryOptions::param`] goes before it.
    pub fn known_value(
        mut self,
        name: impl Into<String>,
        value: impl Into<datafusion::common::ScalarValue>,
    ) -> Self {
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
    /// assert_eq!(store.sql_with(sql, athens).await?.count().await?, 1);
    /// assert_eq!(store.sql(sql).await?.count().await?, 0);
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
    /// Each column of the answer has a name of its own: where a query names two of them `seq`, the second one
    /// is `seq_2`. A name that a query within the query gives to several columns cannot be asked for.
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
        let sql = precedence::bracket_comparisons(sql).into_owned();
        let snapshot = Arc::new(self.snapshot()?);
        let context = self.engine()?.session(self.shared(), &snapshot, &options)?;
        let timeout = context.copied_config().get_extension::<workers::Timeout>().and_then(|set| set.0);
        // The tree of a long text is deep, and the caller's stack may be small.
        let planned = workers::on_worker(timeout, async move { Ok(planned(&context, &sql, &options).await) });
        planned.await.map_err(query_error)?
    }
}

/// Plans a query's text.
async fn planned(context: &SessionContext, sql: &str, options: &QueryOptions) -> Result<DataFrame> {
    let state = context.state();
    let planned = answer_names::plan(&state, sql).await;
    let (plan, doubles) = planned.map_err(|error| meant::explained(query_error(error), context))?;
    guard::check_plan(&plan)?;
    check_params(&plan, options)?;
    let plan = promoted::rewrite(plan)
        .and_then(|plan| joined(plan, &state))
        .and_then(|plan| answer_names::unique(plan, &doubles));
    let plan = plan.map_err(query_error)?;
    let answer = context.execute_logical_plan(plan).await.map_err(query_error)?;
    let params: Vec<_> = options.known_values.iter().chain(&options.params).collect();
    if params.is_empty() {
        return Ok(answer);
    }
    let params: Vec<_> = params.into_iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    answer.with_param_values(ParamValues::from(params)).map_err(query_error)
}

/// The plan with joins and counts for the queries within expressions.
fn joined(plan: LogicalPlan, state: &SessionState) -> DfResult<LogicalPlan> {
    let within = plan.exists(|node| {
        let mut found = false;
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| Ok(guard::subquery_of(part).is_some()))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    })?;
    let by = |plan, in_where| subqueries::rewrite(plan, in_where).and_then(lateral::rewrite);
    if !within {
        return lateral::rewrite(plan);
    }
    // Some joins that DataFusion makes of EXISTS it cannot plan itself. Counts it can.
    let by_joins = by(plan.clone(), Where::Joins)?;
    if state.optimize(&by_joins).is_ok() { Ok(by_joins) } else { by(plan, Where::Counts) }
}

/// Refuses a parameter that the text has no placeholder for: it is most likely misspelt.
fn check_params(plan: &LogicalPlan, options: &QueryOptions) -> Result<()> {
    if options.params.is_empty() {
        return Ok(());
    }
    let mut known: Vec<String> = plan.get_parameter_names().map_err(query_error)?.into_iter().collect();
    known.sort();
    let unknown = |name: &str| known.iter().all(|known| known.trim_start_matches('$') != name);
    let Some((name, _)) = options.params.iter().find(|(name, _)| unknown(name)) else { return Ok(()) };
    let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(Error::new(ErrorKind::Query, format!("the SQL has no parameter ${name}; it has {there}")))
}

/// The error of ours that a query's failure comes from.
fn ours(root: &DataFusionError) -> Option<&Error> {
    let source = match root {
        DataFusionError::External(source) => source,
        DataFusionError::ParquetError(error) => match error.as_ref() {
            ParquetError::External(source) => source,
            _ => return None,
        },
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ExternalError(source) => source,
            _ => return None,
        },
        _ => return None,
    };
    source.downcast_ref::<Error>()
}

/// A sentence that DataFusion adds to its internal errors, also to errors that a mistake in the query caused.
const REPORT_REQUEST: &str = ".\nThis issue was likely caused by a bug in DataFusion's code. Please help us to resolve this by \
                              filing a bug report in our issue tracker: https://github.com/apache/datafusion/issues";

/// A query's failure as ours: what kind it is, and the text that helps.
#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub fn query_error(error: DataFusionError) -> Error {
    let root = error.find_root();
    if let Some(known) = ours(root) {
        let told = known.to_string();
        let advice = known.kind() == ErrorKind::Damaged && !told.contains("`ostracon scan");
        let told = if advice {
            format!("{told}; `ostracon scan --deep STORE` tells more, {TO_RECOVER}")
        } else {
            told
        };
        return Error::new(known.kind(), told);
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
    let spilled_too_much = root.to_string().contains("used disk space during the spilling");
    if !spilled_too_much && let Some(error) = of_system(root) {
        return error;
    }
    let kind = match root {
        _ if spilled_too_much => ErrorKind::OutOfMemory,
        DataFusionError::ResourcesExhausted(_) => ErrorKind::OutOfMemory,
        DataFusionError::Internal(why) if why.starts_with("Assertion failed") => ErrorKind::Internal,
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            ErrorKind::Damaged
        }
        DataFusionError::ArrowError(error, _) if matches!(**error, ArrowError::ParquetError(_)) => {
            ErrorKind::Damaged
        }
        _ => ErrorKind::Query,
    };
    // The root: around it is only which of the planner's rules met it.
    let mut message = root.strip_backtrace().replace(REPORT_REQUEST, "");
    if kind == ErrorKind::Damaged && !matches!(root, DataFusionError::IoError(_)) {
        message = damaged(&message);
    }
    match root {
        // DataFusion also uses this kind for mistakes in the query, such as too large a regular expression.
        DataFusionError::Internal(why) => {
            let why = why.split("\n\nbacktrace").next().unwrap_or_default();
            message = if kind == ErrorKind::Internal {
                format!(
                    "a mistake within the query engine keeps this query from being answered: {why}; ask in other words, \
                     and please report it"
                )
            } else {
                format!("the query cannot be computed: {why}")
            };
        }
        DataFusionError::NotImplemented(why) if is_about_subqueries(why) => {
            message = String::from(
                "a query within an expression names what is outside of it in a way that is not answered; join the \
                 tables, or give the query within a name of its own by WITH",
            );
        }
        _ => {}
    }
    if kind == ErrorKind::OutOfMemory {
        message += "; ask for less, or raise query.memory_bytes or query.spill_bytes in ostracon.toml";
    }
    Error::new(kind, message)
}

/// Whether the planner failed because it could not turn a subquery into a join.
fn is_about_subqueries(why: &str) -> bool {
    let of = ["ScalarSubquery", "OuterReferenceColumn", "InSubquery", "Exists"];
    why.contains("Physical plan does not support logical expression")
        && of.iter().any(|name| why.contains(name))
}

/// The system kept the query from reading a file or from keeping a temporary one: that is no damage.
fn of_system(root: &DataFusionError) -> Option<Error> {
    let text = root.strip_backtrace();
    let temporary = match root {
        DataFusionError::IoError(_) => true,
        DataFusionError::ArrowError(arrow, _) => matches!(**arrow, ArrowError::IoError(..)),
        _ => false,
    };
    let system = environment::named_in(&text);
    let kind = match &system {
        Some(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            ErrorKind::NoSpace
        }
        Some(_) => ErrorKind::Io,
        None if temporary => ErrorKind::Io,
        None => return None,
    };
    let hint = if temporary {
        Some(format!(
            "what a query cannot keep in memory goes to temporary files in {}: TMPDIR names another folder",
            std::env::temp_dir().display()
        ))
    } else {
        system.and_then(|error| environment::advice(&error, Path::new("")))
    };
    Some(Error::new(kind, format!("the query could not be answered: {text}")).hinting(hint))
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
