//! Does not compute an expression that may fail on a row that another condition rules out.
//!
//! `payload->>'t' ~ '^[0-9]+$' AND CAST(payload->>'t' AS BIGINT) > 5` fails on the text `n/a` in DataFusion
//! 55.2: it computes both sides of an AND for all rows of a batch. It also turns a `CASE` of conditions into
//! an AND, and applies the filters of a subquery after the filters above it. It computes the keys of a join
//! before its other conditions, and an aggregate's argument before its `FILTER`.
//!
//! So, as the planner's last step, this rule moves conditions that may fail after all others, and computes
//! them only where the others are not false:
//!
//! ```text
//! a AND f   =   a AND CASE WHEN a IS NOT FALSE THEN f ELSE false END
//! a OR f    =   a OR CASE WHEN a IS NOT TRUE THEN f ELSE true END
//! ```

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, NullEquality, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::expr::{AggregateFunction, Case, ScalarFunction};
use datafusion::logical_expr::utils::split_binary;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use super::failing::always_casts;
use super::{casts, rewrite_expressions};
use crate::query::{operator_chains, requested_sizes};

/// The largest number of conditions that guard each other. Each guard is a level of the expression.
const MAX_CHAIN: usize = 16;

/// A physical planner that adds guards to the optimized plan. A rule of the optimizer would run too early:
/// the optimizer applies its rules several times, and would not find the join in a guarded
/// `a.seq = b.seq + 1`.
#[derive(Debug)]
pub(in crate::query) struct GuardedPlanner;

#[async_trait]
impl QueryPlanner for GuardedPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        state: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let guarded = plan.clone().transform_down_with_subqueries(guard_node)?;
        let hidden = guarded.data.transform_down_with_subqueries(casts::hide_in_node)?;
        requested_sizes::check_constants(&hidden.data)?;
        DefaultPhysicalPlanner::default().create_physical_plan(&hidden.data, state).await
    }
}

fn guard_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Join(join) => LogicalPlan::Join(guard_keys(join)),
        other => other,
    };
    // The filters of a scan are only used to prune segments.
    if matches!(plan, LogicalPlan::TableScan(_)) {
        return Ok(Transformed::no(plan));
    }
    let mut fails = false;
    plan.apply_expressions(|expr| {
        fails |= is_condition(expr) && holds_failing(expr, None);
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !fails {
        return Ok(Transformed::no(plan));
    }
    let guarded =
        rewrite_expressions(plan, |expr, schema| expr.transform_down(|expr| Ok(guard(expr, schema))))?;
    Ok(Transformed::new(guarded.data, guarded.transformed, TreeNodeRecursion::Continue))
}

/// Guards the keys of a join that may fail. They are computed only for rows that the other conditions of the
/// join do not rule out, and are NULL for other rows. Such rows match nothing, and neither does a key that is
/// NULL.
fn guard_keys(mut join: Join) -> Join {
    let Some(filter) = &join.filter else { return join };
    if join.null_aware || join.null_equality != NullEquality::NullEqualsNothing {
        return join;
    }
    let conditions = split_binary(filter, Operator::And);
    let sides = [Arc::clone(join.left.schema()), Arc::clone(join.right.schema())];
    let guards = sides.each_ref().map(|side| {
        let about = |condition: &&&Expr| {
            let named = condition.column_refs();
            !named.is_empty()
                && named.iter().all(|column| side.has_column(column))
                && !holds_failing(condition, Some(side))
                && !condition.is_volatile()
        };
        operator_chains::joined(
            conditions.iter().filter(about).map(|condition| (*condition).clone()).collect(),
            Operator::And,
        )
    });
    for (left, right) in &mut join.on {
        for ((key, guard), side) in [left, right].into_iter().zip(&guards).zip(&sides) {
            let Some(guard) = guard.as_ref().filter(|_| may_fail(key, Some(side))) else { continue };
            let value = Box::new(std::mem::take(key));
            *key = Expr::Case(Case::new(None, vec![(Box::new(guard.clone()), value)], None));
        }
    }
    join
}

/// Whether an expression contains an AND or an OR.
fn is_condition(expr: &Expr) -> bool {
    expr.exists(|expr| {
        Ok(matches!(expr, Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. })))
    })
    .unwrap_or(false)
}

/// Whether an expression contains a cast, a division or checked arithmetic, which fail on some rows. Without
/// a schema, every cast counts.
fn may_fail(expr: &Expr, schema: Option<&DFSchema>) -> bool {
    // These expressions must stay where the planner put them.
    let stays = |expr: &Expr| {
        matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
        )
    };
    holds_failing(expr, schema) && !expr.exists(|expr| Ok(stays(expr))).unwrap_or(true)
}

/// Whether a part of an expression may fail.
fn holds_failing(expr: &Expr, schema: Option<&DFSchema>) -> bool {
    let fails = |expr: &Expr| match expr {
        Expr::Cast(cast) => {
            let from = schema.and_then(|schema| cast.expr.get_type(schema).ok());
            !matches!(*cast.expr, Expr::Literal(..))
                && !from.is_some_and(|from| always_casts(&from, cast.field.data_type()))
        }
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            matches!(
                op,
                Operator::Divide | Operator::Modulo | Operator::Plus | Operator::Minus | Operator::Multiply
            )
        }
        Expr::ScalarFunction(ScalarFunction { func, .. }) => {
            let name = func.name();
            name.starts_with("checked_") || name.starts_with("to_") || name == "arrow_cast"
        }
        _ => false,
    };
    expr.exists(|expr| Ok(fails(expr))).unwrap_or(false)
}

/// Makes the parts of a condition guard each other.
fn guard(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) = &expr else {
        return Transformed::no(expr);
    };
    let op = *op;
    let parts: Vec<Expr> = split_binary(&expr, op).into_iter().cloned().collect();
    let (mut failing, safe): (Vec<Expr>, Vec<Expr>) =
        parts.into_iter().partition(|part| may_fail(part, Some(schema)));
    if failing.is_empty() || (safe.is_empty() && failing.len() == 1) {
        return Transformed::no(expr);
    }
    let joined = |parts: Vec<Expr>| operator_chains::joined(parts, op);
    // From the last part to the first: each guards the parts after it.
    let after = failing.split_off(failing.len().min(MAX_CHAIN));
    let mut rest = joined(after);
    for part in failing.into_iter().rev() {
        // The conditions within a part are guarded by the other parts, and by each other.
        let Ok(part) = guarded(part, schema) else { return Transformed::no(expr) };
        rest = Some(match rest {
            None => part,
            Some(rest) => both(part, op, rest),
        });
    }
    let whole = match (joined(safe), rest) {
        (Some(safe), Some(rest)) => both(safe, op, rest),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => return Transformed::no(expr),
    };
    Transformed::new(whole, true, TreeNodeRecursion::Jump)
}

/// Makes `first op rest`. `rest` is computed only where `first` does not decide the result.
fn both(first: Expr, op: Operator, rest: Expr) -> Expr {
    let is_and = op == Operator::And;
    let open = if is_and {
        Expr::IsNotFalse(Box::new(first.clone()))
    } else {
        Expr::IsNotTrue(Box::new(first.clone()))
    };
    let rest = Case::new(None, vec![(Box::new(open), Box::new(rest))], Some(Box::new(lit(!is_and))));
    Expr::BinaryExpr(BinaryExpr::new(Box::new(first), op, Box::new(Expr::Case(rest))))
}

/// Guards all conditions within an expression; see [`guard`].
pub(super) fn guarded(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(expr.transform_down(|expr| Ok(guard(expr, schema)))?.data)
}

/// Computes the arguments and the order of an aggregate only for the rows that its `FILTER` keeps.
pub(super) fn filtered(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    match expr {
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            let filter = params.filter.as_ref()?;
            let sorts = params.order_by.iter().map(|sort| &sort.expr);
            if !params.args.iter().chain(sorts).any(|value| is_open(value, schema)) {
                return None;
            }
            let mut params = params.clone();
            let sorts = params.order_by.iter_mut().map(|sort| &mut sort.expr);
            close(params.args.iter_mut().chain(sorts), filter, schema);
            Some(Expr::AggregateFunction(AggregateFunction { func: Arc::clone(func), params }))
        }
        Expr::WindowFunction(window) => {
            let filter = window.params.filter.as_ref()?;
            if !window.params.args.iter().any(|value| is_open(value, schema)) {
                return None;
            }
            let mut window = window.clone();
            close(window.params.args.iter_mut(), filter, schema);
            Some(Expr::WindowFunction(window))
        }
        _ => None,
    }
}

fn is_open(value: &Expr, schema: &DFSchema) -> bool {
    may_fail(value, Some(schema)) && !matches!(value, Expr::Case(_))
}

/// Makes values that may fail NULL where a filter is not true.
fn close<'e>(values: impl Iterator<Item = &'e mut Expr>, filter: &Expr, schema: &DFSchema) {
    for value in values.filter(|value| is_open(value, schema)) {
        let inside = Box::new(std::mem::take(value));
        *value = Expr::Case(Case::new(None, vec![(Box::new(filter.clone()), inside)], None));
    }
}
