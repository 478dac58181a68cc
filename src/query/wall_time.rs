//! `at`: the wall time that people mean, computed from stored columns.
//!
//! No column of its own, for it would double what a timestamp costs. As an expression alone it
//! would be opaque to statistics, so a comparison of `at` with a constant is also told in terms of
//! the stored columns:
//!
//! ```text
//! at >= X   =    wall_time IS NOT NULL AND wall_time >= X
//!             OR wall_time IS NULL AND timestamp >= 2000-01-01 AND timestamp >= X
//!             OR wall_time IS NULL AND (timestamp IS NULL OR timestamp < 2000-01-01) AND recorded_at >= X
//! ```
//!
//! of which statistics decide every part.

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

/// `at` as an expression over the stored columns.
fn expression() -> Result<Expr> {
    when(column("wall_time").is_not_null(), column("wall_time"))
        .when(column("timestamp").gt_eq(first_epoch()), column("timestamp"))
        .otherwise(column("recorded_at"))
}

/// `at` as it is computed over rows with these columns; an error if they lack what it is made of.
pub(super) fn over(schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    physical(&expression()?, schema)
}

/// An expression over the stored columns, ready to be computed.
pub(super) fn physical(expr: &Expr, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let schema = DFSchema::try_from(Arc::clone(schema))?;
    create_physical_expr(expr, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
}

/// A filter over the SQL columns as one over the stored columns.
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
            // The stored columns belong to no relation.
            Expr::Column(found) => Transformed::yes(column(&found.name)),
            other => Transformed::no(other),
        })
    })?;
    Ok(stored.data)
}

fn is_at(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == AT)
}

/// Whether a comparison of `at` with this can be told by stored columns.
pub(super) fn decides(op: Operator, constant: &Expr) -> bool {
    matches!(op, Operator::Eq | Operator::Gt | Operator::GtEq | Operator::Lt | Operator::LtEq)
        && matches!(constant, Expr::Literal(value, _) if !value.is_null())
}

/// `at <op> constant` in terms of the stored columns, where that [is possible](decides).
pub(super) fn compare(op: Operator, constant: &Expr) -> Expr {
    let with = |name: &str| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(column(name)), op, Box::new(constant.clone())))
    };
    // Each part is true or false, never NULL, so that it may stand below a NOT.
    let given = || column("wall_time").is_not_null();
    let since_epoch = || column("timestamp").is_not_null().and(column("timestamp").gt_eq(first_epoch()));
    let from_start = column("timestamp").is_null().or(column("timestamp").lt(first_epoch()));
    given()
        .and(with("wall_time"))
        .or(column("wall_time").is_null().and(since_epoch()).and(with("timestamp")))
        .or(column("wall_time").is_null().and(from_start).and(with("recorded_at")))
}
