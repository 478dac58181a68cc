//! SQL over a snapshot: read-only by construction, bounded in memory and time.
//!
//! 1. [`guard`] turns away text that would be too deep to plan, and statements that do anything
//!    but read.
//! 2. [`session`] makes a DataFusion session over one [`Snapshot`]:
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
//! 9. [`deadline`] stands at the root of every plan: it stops at the deadline, and turns a panic
//!    that damaged bytes cause in a decoder into an error. What is below is computed by [`workers`], and
//!    looks itself whether it is to [`stop`].

mod above_aggregates;
mod answer;
mod answer_names;
mod below;
mod bounded;
mod by_position;
mod chains;
mod decode_panics;
mod empty_branches;
mod ensure_sorted;
mod error_group;
mod failure;
mod functions;
mod guard;
mod hide_equalities;
mod hide_properties;
mod in_lists;
mod json;
mod known_aggregates;
mod lateral;
mod dynamic_filter;
mod suggest;
mod nested_distinct;
mod newest_first;
mod null_keys;
mod number;
mod options;
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
mod ignored_words;
mod union;
mod using_keys;
mod views;
mod wall_time;
mod deadline;
mod window;
mod window_orders;
mod workers;

use std::sync::Arc;

use datafusion::common::ParamValues;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::error::Result as DfResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

pub use answer::{Answer, AnswerStream, Canceller, Column, FromValue, Monitor, Row, Step, Value};
use failure::query_error;
pub(crate) use guard::check_text;
pub use options::QueryOptions;
pub(crate) use predicate::parse_condition;
pub use saved::{Parameter, SavedQuery};
pub(crate) use session::Engine;
pub use suggest::nearest;
pub use time::zone::Zone;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::Snapshot;
use subqueries::Where;

/// Plans a query of a snapshot. It is computed when the answer is collected or streamed.
pub(crate) async fn answer(
    engine: &Engine,
    context: &Arc<Context>,
    snapshot: &Arc<Snapshot>,
    sql: &str,
    options: QueryOptions,
) -> Result<Answer> {
    let sql = precedence::bracket_comparisons(sql).into_owned();
    let session = engine.session(context, snapshot, &options)?;
    let timeout = session.copied_config().get_extension::<workers::Timeout>().and_then(|set| set.0);
    // The tree of a long text is deep, and the caller's stack may be small.
    let planned = workers::on_worker(timeout, async move { Ok(planned(&session, &sql, &options).await) });
    planned.await.map_err(query_error)?.map(Answer::new)
}

/// Plans a query's text.
async fn planned(context: &SessionContext, sql: &str, options: &QueryOptions) -> Result<DataFrame> {
    let state = context.state();
    let planned = answer_names::plan(&state, sql).await;
    let (plan, doubles) = planned.map_err(|error| suggest::explained(query_error(error), context))?;
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
    let params: Vec<_> = params.into_iter().map(|(name, value)| (name.as_str(), value.0.clone())).collect();
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
