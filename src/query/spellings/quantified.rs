//! Comparisons with the values of an array: `x = ANY (array)`.
//!
//! DataFusion 55.2 takes a NULL in the array for a value that is not equal, so that `NOT (2 = ANY (ARRAY[1, NULL]))` is
//! true. Its `<> ALL` treats NULL as PostgreSQL does. So this module writes `x = ANY (ARRAY[…])` as a list, and other
//! arrays as the opposite of ALL. Delete it when DataFusion's ANY treats NULL correctly.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

/// Replaces ANY with an array.
pub(in crate::query) fn replace_any(expr: &mut Expr) {
    let Expr::AnyOp { left, compare_op, right, .. } = expr else { return };
    if matches!(**right, Expr::Subquery(_)) {
        return;
    }
    let is_equal = *compare_op == BinaryOperator::Eq;
    if let Expr::Array(array) = &**right
        && is_equal
        && !array.elem.is_empty()
    {
        *expr = Expr::InList { expr: left.clone(), list: array.elem.clone(), negated: false };
        return;
    }
    // A list that is a parameter becomes a list of constants, by which segments are left out.
    if is_equal && is_placeholder(right) && !is_constant(left) {
        return;
    }
    let Some(compare_op) = opposite(compare_op) else { return };
    let all = Expr::AllOp { left: left.clone(), compare_op, right: right.clone() };
    *expr = Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(all) }));
}

fn is_placeholder(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)))
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) => true,
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } | Expr::Cast { expr: inner, .. } => {
            is_constant(inner)
        }
        _ => false,
    }
}

fn opposite(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        _ => return None,
    })
}
