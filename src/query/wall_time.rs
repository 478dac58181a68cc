//! The column `at`, which is the wall time of a fact. It is computed from stored columns.
//!
//! `at` is not stored, because that would double the size of timestamps. Statistics cannot decide a
//! comparison with the expression that computes `at`. So a comparison of `at` with a constant is also
//! expressed in terms of the stored columns:
//!
//! ```text
//! at >= X   =    wall_time IS NOT NULL AND wall_time >= X
//!             OR wall_time IS NULL AND timestamp >= 2000-01-01 AND timestamp >= X
//!             OR wall_time IS NULL AND (timestamp IS NULL OR timestamp < 2000-01-01) AND recorded_at >= X
//! ```
//!
//! Statistics can decide every part of this condition.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, expr::Between, lit, when};

use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use crate::fact::FIRST_EPOCH_NANOS;

/// The name of the column in SQL.
pub(super) const AT: &str = "at";

fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

fn first_epoch() -> Expr {
    lit(ScalarValue::TimestampNanosecond(Some(FIRST_EPOCH_NANOS), Some("UTC".into())))
}

/// Returns `at` as an expression over the stored columns.
fn expression() -> Result<Expr> {
    when(column("wall_time").is_not_null(), column("wall_time"))
        .when(column("timestamp").gt_eq(first_epoch()), column("timestamp"))
        .otherwise(column("recorded_at"))
}

/// Compiles `at` over rows with these columns. Fails if they lack a column that `at` is computed from.
pub(super) fn over(schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    physical(&expression()?, schema)
}

/// Compiles an expression over the stored columns.
pub(super) fn physical(expr: &Expr, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let schema = DFSchema::try_from(Arc::clone(schema))?;
    create_physical_expr(expr, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
}

/// Converts a filter over the SQL columns into a filter over the stored columns.
pub(super) fn to_stored(filter: Expr) -> Result<Expr> {
    let compared = filter.transform_down(|expr| {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_at(&left) && decides(op, &right) => {
                Transformed::new(
                    compare(op, &right),
                    true,
                    datafusion::common::tree_node::TreeNodeRecursion::Jump,
                )
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_at(&right) => {
                match op.swap().filter(|op| decides(*op, &left)) {
                    Some(op) => Transformed::new(
                        compare(op, &left),
                        true,
                        datafusion::common::tree_node::TreeNodeRecursion::Jump,
                    ),
                    None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
                }
            }
            Expr::Between(Between { expr, negated: false, low, high }) if is_at(&expr) => {
                Transformed::yes((*expr).clone().gt_eq(*low).and(expr.lt_eq(*high)))
            }
            other => Transformed::no(other),
        })
    })?;
    let whole = expression()?;
    let stored = compared.data.transform_up(|expr| {
        Ok(match expr {
            Expr::Column(ref found) if found.name == AT => Transformed::yes(whole.clone()),
            // Stored columns have no relation.
            Expr::Column(found) => Transformed::yes(column(&found.name)),
            other => Transformed::no(other),
        })
    })?;
    Ok(stored.data)
}

fn is_at(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == AT)
}

/// Whether a comparison of `at` with this expression can be expressed in terms of stored columns.
pub(super) fn decides(op: Operator, constant: &Expr) -> bool {
    matches!(op, Operator::Eq | Operator::Gt | Operator::GtEq | Operator::Lt | Operator::LtEq)
        && matches!(constant, Expr::Literal(value, _) if !value.is_null())
}

/// Returns `at <op> constant` in terms of the stored columns. [`decides`] must be true for it.
pub(super) fn compare(op: Operator, constant: &Expr) -> Expr {
    let with = |name: &str| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(column(name)), op, Box::new(constant.clone())))
    };
    // Each part is true or false, and never NULL, so that the condition may be below a NOT.
    let given = || column("wall_time").is_not_null();
    let since_epoch = || column("timestamp").is_not_null().and(column("timestamp").gt_eq(first_epoch()));
    let from_start = column("timestamp").is_null().or(column("timestamp").lt(first_epoch()));
    given()
        .and(with("wall_time"))
        .or(column("wall_time").is_null().and(since_epoch()).and(with("timestamp")))
        .or(column("wall_time").is_null().and(from_start).and(with("recorded_at")))
}
