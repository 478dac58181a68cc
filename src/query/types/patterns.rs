//! Keeps NULL for the pattern `.*`: `x ~ '.*'` is NULL if `x` is NULL.
//!
//! DataFusion 55.2 rewrites it to `x IS NOT NULL`, which is false for NULL. Our rule replaces the pattern by
//! the empty pattern, which matches the same texts, and which DataFusion does not rewrite. Delete it when
//! DataFusion keeps NULL.

use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};

/// Replaces the pattern by the empty one; `None` for other patterns.
pub(super) fn rewrite(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: op @ (Operator::RegexMatch | Operator::RegexIMatch),
            right,
        }) if fits_all(right) => {
            Some(Expr::BinaryExpr(BinaryExpr::new(left.clone(), *op, Box::new(lit("")))))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "regexp_like" => {
            let mut args = args.clone();
            let pattern = args.get_mut(1).filter(|pattern| fits_all(pattern))?;
            *pattern = lit("");
            Some(func.call(args))
        }
        _ => None,
    }
}

fn fits_all(pattern: &Expr) -> bool {
    pattern.as_literal().and_then(|pattern| pattern.try_as_str().flatten()) == Some(".*")
}
