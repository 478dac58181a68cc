//! Comparisons of rows, value by value as in PostgreSQL.
//!
//! DataFusion 55.2 compares `(a, b) = (c, d)` as structs, for which NULL equals NULL. So this module writes
//! `a = c AND b = d`, and accordingly `<>`, `<`, BETWEEN, IN with a list and IS NULL. Delete it when DataFusion compares rows as
//! SQL does.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, UnaryOperator,
    Value,
};

/// Replaces a comparison of rows by comparisons of their values.
pub(in crate::query) fn replace_row_comparison(expr: &mut Expr) {
    let compared = match &*expr {
        Expr::BinaryOp { left, op, right } => compared(left, op, right),
        Expr::Between { expr: row, negated, low, high } => {
            let low = compared(row, &BinaryOperator::GtEq, low);
            let high = compared(row, &BinaryOperator::LtEq, high);
            let within = low.zip(high).map(|(low, high)| binary(low, BinaryOperator::And, high));
            within.map(|within| if *negated { not(within) } else { within })
        }
        Expr::InList { expr: row, list, negated } => {
            let equal = list.iter().map(|item| compared(row, &BinaryOperator::Eq, item));
            let any = equal.collect::<Option<Vec<_>>>().and_then(any_of);
            any.map(|any| if *negated { not(any) } else { any })
        }
        Expr::IsNull(row) => each_value(row, Expr::IsNull, false),
        Expr::IsNotNull(row) => each_value(row, Expr::IsNotNull, true),
        _ => None,
    };
    if let Some(compared) = compared {
        *expr = compared;
    }
}

/// The values of `(a, b)` or `ROW(a, b)`.
fn row(expr: &Expr) -> Option<Vec<&Expr>> {
    match expr {
        Expr::Tuple(values) => Some(values.iter().collect()),
        Expr::Nested(inner) => row(inner),
        Expr::Function(function) => {
            let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
            let FunctionArguments::List(list) = &function.args else { return None };
            let values = list.args.iter().map(|value| match value {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
                _ => None,
            });
            values.collect::<Option<_>>().filter(|_| name.value.eq_ignore_ascii_case("row"))
        }
        _ => None,
    }
}

/// Returns whether each value of a row has a property. A row within a row is not NULL, whatever its values are.
fn each_value(expr: &Expr, is: fn(Box<Expr>) -> Expr, of_a_row: bool) -> Option<Expr> {
    let each = row(expr)?.into_iter().map(|value| match row(value) {
        Some(_) => Expr::value(Value::Boolean(of_a_row)),
        None => Expr::Nested(Box::new(is(Box::new(value.clone())))),
    });
    each.reduce(|all, value| binary(all, BinaryOperator::And, value))
}

fn compared(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    let (left, right) = (row(left)?, row(right)?);
    if left.len() != right.len() {
        return None;
    }
    let compare = |at: usize, op: &BinaryOperator| {
        Some(binary((*left.get(at)?).clone(), op.clone(), (*right.get(at)?).clone()))
    };
    let each = |joined: BinaryOperator| {
        let parts = (0..left.len()).map(|at| compare(at, op)).collect::<Option<Vec<_>>>()?;
        parts.into_iter().reduce(|all, part| binary(all, joined.clone(), part))
    };
    let strict = match op {
        BinaryOperator::Eq => return each(BinaryOperator::And),
        BinaryOperator::NotEq => return each(BinaryOperator::Or),
        BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
        BinaryOperator::Gt | BinaryOperator::GtEq => BinaryOperator::Gt,
        _ => return None,
    };
    // The first values that differ decide.
    let last = left.len().checked_sub(1)?;
    (0..last).rev().try_fold(compare(last, op)?, |after, at| {
        let equal = binary(compare(at, &BinaryOperator::Eq)?, BinaryOperator::And, after);
        Some(binary(compare(at, &strict)?, BinaryOperator::Or, equal))
    })
}

/// Joins conditions by OR. A long list makes a tree that is not deep.
fn any_of(mut conditions: Vec<Expr>) -> Option<Expr> {
    if conditions.len() > 1 {
        let right = any_of(conditions.split_off(conditions.len() / 2))?;
        return Some(binary(any_of(conditions)?, BinaryOperator::Or, right));
    }
    conditions.pop()
}

fn not(condition: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(condition) }))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    let operation = Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) };
    Expr::Nested(Box::new(operation))
}
