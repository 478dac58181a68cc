//! Chains of `AND` and `OR`.
//!
//! The parser makes a tree that is as deep as the chain is long. Rules of the planner walk through the whole
//! left side of each `OR`, by recursion. For six hundred conditions this takes a minute, or overflows the
//! stack. So a long chain becomes a balanced tree as soon as it is parsed, and stays balanced.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::split_binary;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator};

/// Chains of up to this number of parts stay as they are written.
const LONG: usize = 16;

/// Returns the operator of a chain; `None` for other expressions.
pub(super) fn operator(expr: &Expr) -> Option<Operator> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => Some(*op),
        _ => None,
    }
}

/// Whether an expression is a chain that has to be balanced.
pub(super) fn is_long(expr: &Expr) -> bool {
    operator(expr).is_some_and(|op| split_binary(expr, op).len() > LONG)
}

/// Returns the parts of a chain, from left to right. It does not recurse, because chains may be long.
pub(super) fn parts(expr: Expr, chain: Operator) -> Vec<Expr> {
    let mut parts = Vec::new();
    let mut left_to_do = vec![expr];
    while let Some(next) = left_to_do.pop() {
        match next {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if op == chain => {
                left_to_do.extend([*right, *left]);
            }
            other => parts.push(other),
        }
    }
    parts
}

/// Joins parts into one chain: a short one from left to right, a long one as a balanced tree.
pub(super) fn joined(parts: Vec<Expr>, op: Operator) -> Option<Expr> {
    let binary = |left, right| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    if parts.len() <= LONG { parts.into_iter().reduce(binary) } else { paired(parts, binary) }
}

/// Joins parts into a tree in which each level has half as many nodes as the level below.
fn paired<T>(mut parts: Vec<T>, join: impl Fn(T, T) -> T) -> Option<T> {
    while parts.len() > 1 {
        let mut pairs = Vec::with_capacity(parts.len().div_ceil(2));
        let mut rest = parts.into_iter();
        while let Some(first) = rest.next() {
            pairs.push(match rest.next() {
                Some(second) => join(first, second),
                None => first,
            });
        }
        parts = pairs;
    }
    parts.pop()
}

/// Balances a long chain in a parsed statement.
pub(super) fn balance_parsed(expr: &mut ast::Expr) {
    let ast::Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = expr else {
        return;
    };
    let op = op.clone();
    let mut parts = Vec::new();
    let mut left_to_do = vec![std::mem::replace(expr, ast::Expr::Tuple(Vec::new()))];
    while let Some(next) = left_to_do.pop() {
        match next {
            ast::Expr::BinaryOp { left, op: of, right } if of == op => left_to_do.extend([*right, *left]),
            other => parts.push(other),
        }
    }
    let binary =
        |left, right| ast::Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) };
    let whole = if parts.len() <= LONG { parts.into_iter().reduce(binary) } else { paired(parts, binary) };
    if let Some(whole) = whole {
        *expr = whole;
    }
}

/// Balances all long chains of an expression.
pub(super) fn balanced(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_down(|expr| {
        let Some(op) = operator(&expr).filter(|_| is_long(&expr)) else { return Ok(Transformed::no(expr)) };
        let parts = parts(expr, op).into_iter().map(|part| Ok(balanced(part)?.data));
        let Some(whole) = joined(parts.collect::<Result<_>>()?, op) else {
            return datafusion::common::internal_err!("a chain of AND or OR has no parts");
        };
        Ok(Transformed::new(whole, true, TreeNodeRecursion::Jump))
    })
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::lit;

    use super::*;

    fn depth(expr: &Expr) -> usize {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, right, .. }) => 1 + depth(left).max(depth(right)),
            _ => 0,
        }
    }

    #[test]
    fn a_long_chain_becomes_flat_and_keeps_its_parts() {
        let chain = |parts: i64| (0..parts).map(lit).reduce(Expr::or).unwrap();
        let flat = balanced(chain(600).and(lit(true))).unwrap().data;
        assert_eq!(depth(&flat), 11);
        let Expr::BinaryExpr(BinaryExpr { left, .. }) = flat else { panic!("it is an AND") };
        assert_eq!(parts(*left, Operator::Or), parts(chain(600), Operator::Or));
        assert_eq!(balanced(chain(16)).unwrap().data, chain(16));
    }
}
