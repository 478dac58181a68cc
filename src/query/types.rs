//! Rewrites expressions over several types, where DataFusion's results differ from the results that users
//! expect.
//!
//! Rules of the planner rewrite every expression of a query. [`meaning`] and [`coerced`] rewrite the
//! conditions of retention rules and holds in the same way, so that a condition has one meaning everywhere.
//!
//! Before types are coerced:
//! - a cast of `json -> key` reads a JSON scalar ([`json`]);
//! - a text that is compared with a number or a time is parsed, and is NULL if that fails ([`texts`]);
//! - intervals and durations are compared by their length ([`intervals`]), and comparisons of nested
//!   intervals are refused ([`nested_intervals`]);
//! - the length of a list is the number of its values ([`lists`]);
//! - the sum of a date and an interval is a timestamp ([`date_arithmetic`]), and `extract` returns parts of
//!   durations ([`duration_parts`]);
//! - a time without seconds, or outside the range of instants, can be compared with instants ([`times`]).
//!
//! After types are coerced:
//! - `+ - *` of integers and `-x` fail on overflow ([`arithmetic`]).
//!
//! At the end, after the planner has moved conditions:
//! - an expression that may fail is not computed on rows that another condition rules out ([`guards`]);
//! - a comparison of a day becomes a range of instants ([`day_ranges`]), and casts that statistics would
//!   misread are hidden from them ([`casts`]).
//!
//! `sum` and `avg` fail on overflow, too ([`sums`]). A moving window frame is computed from its own values
//! ([`moving_frames`]). [`failing`] decides which expressions may fail on a row.

mod arithmetic;
mod casts;
mod date_arithmetic;
mod day_ranges;
mod duration_parts;
mod failing;
mod guards;
mod interval_sum;
mod intervals;
mod lists;
mod moving_frames;
mod nested_intervals;
mod number_functions;
mod patterns;
mod scaled_lengths;
mod sums;
mod texts;
mod times;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::optimizer::{Analyzer, AnalyzerRule};

pub(super) use failing::may_fail;
pub(super) use guards::GuardedPlanner;
pub(super) use moving_frames::{Moving, MovingFrame};

use super::{in_lists, json, operator_chains};

/// Returns DataFusion's analyzer rules, with ours before and after the rule that coerces types.
pub(super) fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = Analyzer::new().rules;
    let coercion = rules.iter().position(|rule| rule.name() == "type_coercion").unwrap_or(rules.len());
    rules.insert(coercion, Arc::new(BeforeCoercion));
    rules.push(Arc::new(AfterCoercion));
    rules
}

/// Registers the functions.
pub(super) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in arithmetic::functions() {
        registry.register_udf(function)?;
    }
    for function in number_functions::functions() {
        registry.register_udf(function)?;
    }
    for function in scaled_lengths::functions() {
        registry.register_udf(function)?;
    }
    registry.register_expr_planner(Arc::new(scaled_lengths::ScaledLengths))?;
    registry.register_udf(intervals::function())?;
    sums::register(registry)
}

/// Rewrites an expression over rows of this schema, before its types are coerced.
pub(super) fn meaning(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(operator_chains::balanced(expr)?.data.transform_up(|expr| before_coercion(expr, schema))?.data)
}

/// Coerces the types of an expression that [`meaning`] returned, and simplifies it as in a query. The result
/// can be compiled.
pub(super) fn coerced(state: &SessionState, expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    let simplifier = ExprSimplifier::new(context);
    let coerced = simplifier.coerce(expr, schema)?;
    let coerced = coerced.transform_up(|expr| Ok(after_coercion(expr, schema)))?.data;
    let combined = in_lists::combine(coerced, schema)?.data;
    // `coalesce` and similar functions can be computed only after they are simplified. A constant that cannot
    // be cast prevents an expression from being simplified. It fails on each row that uses it.
    let simple = simplified(&simplifier, combined);
    Ok(casts::hidden(guards::guarded(simple, schema)?, schema)?.data)
}

/// Simplifies an expression. If that fails, simplifies the operands of AND and OR one by one.
fn simplified(simplifier: &ExprSimplifier, expr: Expr) -> Expr {
    match (simplifier.simplify(expr.clone()), operator_chains::operator(&expr)) {
        (Ok(simple), _) => simple,
        (Err(_), None) => expr,
        (Err(_), Some(op)) => {
            let parts =
                operator_chains::parts(expr.clone(), op).into_iter().map(|part| simplified(simplifier, part));
            operator_chains::joined(parts.collect(), op).unwrap_or(expr)
        }
    }
}

fn before_coercion(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let expr = match json::typed(&expr)? {
        Some(typed) => return Ok(Transformed::yes(typed)),
        None => expr,
    };
    nested_intervals::check(&expr, schema)?;
    sums::check(&expr, schema)?;
    if let Some(length) = lists::rewrite(&expr, schema)? {
        return Ok(Transformed::yes(length));
    }
    let length = match duration_parts::rewrite(&expr, schema)? {
        Some(part) => Some(part),
        None => date_arithmetic::rewrite(&expr, schema),
    };
    if let Some(rewritten) = length {
        return Ok(Transformed::yes(rewritten));
    }
    if let Some(pattern) = patterns::rewrite(&expr) {
        return Ok(Transformed::yes(pattern));
    }
    // A text that is compared with an interval has become an interval.
    let read = match texts::rewrite(&expr, schema)? {
        Some(read) => Some(read),
        None => times::rewrite(&expr, schema)?,
    };
    let compared = intervals::rewrite(read.as_ref().unwrap_or(&expr), schema)?;
    Ok(match compared.or(read) {
        Some(rewritten) => Transformed::yes(rewritten),
        None => Transformed::no(expr),
    })
}

fn after_coercion(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match arithmetic::checked(&expr, schema).or_else(|| guards::filtered(&expr, schema)) {
        Some(rewritten) => Transformed::yes(rewritten),
        None => Transformed::no(expr),
    }
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "+00:00" | "Z")
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Makes `left = right` for any types.
fn equal(left: &Expr, right: &Expr, schema: &DFSchema) -> Result<Expr> {
    let read = texts::compare(left, Operator::Eq, right, schema)?;
    let plain = read.unwrap_or_else(|| left.clone().eq(right.clone()));
    Ok(match &plain {
        Expr::BinaryExpr(equal) => {
            intervals::compare(&equal.left, equal.op, &equal.right, schema).unwrap_or(plain)
        }
        _ => plain,
    })
}

/// Makes `NULLIF(value, other)`, with `equal` as the comparison of the two.
fn null_if(equal: Expr, value: &Expr, schema: &DFSchema) -> Result<Expr> {
    let null = lit(ScalarValue::try_new_null(&value.get_type(schema)?)?);
    let when = (Box::new(equal), Box::new(null));
    Ok(Expr::Case(Case::new(None, vec![when], Some(Box::new(value.clone())))))
}

/// Rewrites all expressions of a plan, each with the schema of its node's input. The columns of the answer
/// keep their names.
fn rewrite_expressions(
    plan: LogicalPlan,
    rewrite: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        let source = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
        schema.merge(&source);
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(rewrite(expr, &schema)?.update_data(|expr| name.restore(expr)))
    })
}

#[derive(Debug)]
struct BeforeCoercion;

impl AnalyzerRule for BeforeCoercion {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            let rewritten = rewrite_expressions(node, |expr, schema| {
                operator_chains::balanced(expr)?
                    .transform_data(|expr| expr.transform_up(|expr| before_coercion(expr, schema)))
            })?;
            rewritten.transform_data(|node| {
                nested_intervals::check_node(&node)?;
                Ok(Transformed::yes(texts::rewrite_node(intervals::rewrite_node(node)?)?))
            })
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "meaning_before_coercion"
    }
}

#[derive(Debug)]
struct AfterCoercion;

impl AnalyzerRule for AfterCoercion {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            rewrite_expressions(node, |expr, schema| {
                expr.transform_up(|expr| Ok(after_coercion(expr, schema)))
            })
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "meaning_after_coercion"
    }
}
