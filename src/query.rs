//! SQL over a snapshot: read-only by construction, bounded in memory and time.
//!
//! 1. [`guard`] refuses text that is too deep to plan, and statements that do more than read.
//! 2. [`session`] makes a DataFusion session over one [`Snapshot`]: its tables, views and system tables. A
//!    query cannot reach files or settings outside the store.
//! 3. [`payload_columns`] answers `payload->>'error'` from the column `error`.
//! 4. [`json`] has the operators and functions on JSON. [`types`] defines the meaning of expressions over
//!    several types.
//! 5. [`table`] plans a scan from the ledger's numbers. It leaves out segments that cannot match, without
//!    opening them ([`prune`]). The unflushed tail is one more input ([`tail`]). [`wall_time`] computes the
//!    column `at` from stored columns. [`retained_rows`] leaves out the segments and rows that retention
//!    does not keep, and the rows outside the query's [`time_window`].
//! 6. [`newest_first`] lets `ORDER BY … DESC LIMIT n` begin with the newest segments.
//! 7. [`planning`] checks the clock between the rules of the planner. [`subqueries`], [`in_lists`] and
//!    [`datafusion_corrections`] guard queries that the optimizer would answer wrongly. [`lateral`] rewrites queries
//!    that the optimizer cannot answer.
//! 8. [`time`] knows time zones, clocks and calendars.
//! 9. [`deadline`] is the root of every plan. It stops the query at the deadline, and turns a panic that
//!    damaged bytes cause in a decoder into an error. The [`workers`] compute the plan below it, and the plan
//!    itself checks whether it has to [`stop`].
//! 10. [`mod@answer`] gives the result. [`Answer`] is a planned query, [`AnswerStream`] its record batches,
//!     [`Row`] and [`Value`] its values in Rust. [`Monitor`] shows the progress of the query.

mod answer;
mod answer_names;
mod bounded_functions;
mod datafusion_corrections;
mod deadline;
mod decode_panics;
mod dialect;
mod dynamic_filter;
mod error_group;
mod error_words;
mod facts_union;
mod failure;
mod function_names;
mod functions;
mod guard;
mod ignored_syntax;
mod in_lists;
mod json;
mod lateral;
mod newest_first;
mod number;
mod operator_chains;
mod options;
mod payload_columns;
mod planning;
mod predicate;
mod prune;
mod repeated_values;
mod requested_sizes;
mod retained_rows;
mod saved_queries;
mod segment_reader;
mod session;
mod single_input;
mod spellings;
mod stop;
mod subqueries;
mod suggest;
mod system;
mod table;
mod tail;
mod time;
mod time_window;
mod types;
mod views;
mod wall_time;
mod window_functions;
mod window_memory;
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
use repeated_values::Limited;
pub use saved_queries::{Parameter, SavedQuery};
pub(crate) use session::Engine;
pub use suggest::nearest;
pub use time::zone::Zone;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::Snapshot;
use subqueries::Where;

/// Plans a query over a snapshot. The query is computed when the answer is collected or streamed.
pub(crate) async fn answer(
    engine: &Engine,
    context: &Arc<Context>,
    snapshot: &Arc<Snapshot>,
    sql: &str,
    options: QueryOptions,
) -> Result<Answer> {
    let sql = sql.to_owned();
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
    let (plan, doubles) = planned.map_err(|error| suggest::explained(query_error(error), sql, context))?;
    guard::check_plan(&plan)?;
    check_params(&plan, options)?;
    let plan = payload_columns::rewrite(plan)
        .and_then(|plan| joined(plan, &state))
        .and_then(|plan| answer_names::unique(plan, &doubles));
    let plan = plan.and_then(window_functions::replace).and_then(repeated_values::limit);
    let Limited { plan, few_rows } = plan.map_err(query_error)?;
    if few_rows {
        session::set_batch_rows(context, repeated_values::FEW_ROWS).map_err(query_error)?;
    }
    let answer = context.execute_logical_plan(plan).await.map_err(query_error)?;
    let params: Vec<_> = options.known_values.iter().chain(&options.params).collect();
    if params.is_empty() {
        return Ok(answer);
    }
    let params: Vec<_> = params.into_iter().map(|(name, value)| (name.as_str(), value.0.clone())).collect();
    answer.with_param_values(ParamValues::from(params)).map_err(query_error)
}

/// Returns the plan with joins and counts in place of the subqueries within expressions.
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
    // DataFusion turns EXISTS into joins, and cannot plan some of them. It can plan counts.
    let by_joins = by(plan.clone(), Where::Joins)?;
    if state.optimize(&by_joins).is_ok() { Ok(by_joins) } else { by(plan, Where::Counts) }
}

/// Refuses a parameter for which the text has no placeholder: its name is probably misspelt.
fn check_params(plan: &LogicalPlan, options: &QueryOptions) -> Result<()> {
    if options.params.is_empty() {
        return Ok(());
    }
    let mut known: Vec<String> = plan.get_parameter_names().map_err(query_error)?.into_iter().collect();
    known.sort();
    let unknown = |name: &str| known.iter().all(|known| known.trim_start_matches('$') != name);
    let Some((name, _)) = options.params.iter().find(|(name, _)| unknown(name)) else { return Ok(()) };
    let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(Error::new(ErrorKind::Query, format!("the SQL has no parameter ${name}; its parameters: {there}")))
}
