//! What is turned away before it is planned.
//!
//! A parser that recurses has a limit of its own; what it builds by iteration has not: a hundred
//! thousand `OR`s make a tree so deep that merely dropping it overflows the stack. Such texts are
//! recognised by their tokens, which takes no recursion.

use std::collections::HashMap;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::query_error;
use crate::error::{Error, ErrorKind, Result};

/// Longer statements are refused: 4 MiB.
const MAX_SQL_BYTES: usize = 4 << 20;
/// Deeper parentheses are refused.
const MAX_DEPTH: usize = 100;
/// Plans of more nodes are refused.
const MAX_NODES: usize = 10_000;
/// More operators are refused. Lists of values may be as long as the text may.
const MAX_OPERATORS: usize = 2_000;

/// Refuses text that is too long, too deep, or chains too many operators.
pub(super) fn check_text(sql: &str) -> Result<()> {
    let refuse = |what: String| Err(Error::new(ErrorKind::Query, format!("the SQL is refused: {what}")));
    if sql.len() > MAX_SQL_BYTES {
        return refuse(format!("it has {} bytes, and {MAX_SQL_BYTES} are the limit", sql.len()));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize()
        .map_err(|error| Error::with_source(ErrorKind::Query, "the SQL is not understood", error))?;
    let (mut depth, mut deepest, mut operators) = (0_usize, 0, 0);
    for token in &tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Comma | Token::Whitespace(_) | Token::Period | Token::SemiColon => {}
            Token::Number(..) | Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) => {}
            // A word is a name, or an operator such as OR, NOT, UNION, JOIN, BETWEEN.
            Token::Word(word) if word.quote_style.is_some() => {}
            Token::Word(word) if word.keyword == datafusion::sql::sqlparser::keywords::Keyword::NoKeyword => {
            }
            _ => operators += 1,
        }
    }
    if deepest > MAX_DEPTH {
        return refuse(format!("it nests {deepest} deep, and {MAX_DEPTH} is the limit"));
    }
    if operators > MAX_OPERATORS {
        return refuse(format!(
            "it has {operators} keywords and operators, and {MAX_OPERATORS} are the limit; put values into a list: `x IN (…)`"
        ));
    }
    Ok(())
}

/// Refuses everything that is not a question, and plans that name the same part so often that
/// nobody could walk through them.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let nodes = count_nodes(plan, &mut HashMap::new());
    if nodes > MAX_NODES {
        return Err(Error::new(
            ErrorKind::Query,
            format!(
                "the SQL is refused: with its WITH and its views written out it has over {MAX_NODES} steps"
            ),
        ));
    }
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|error| {
            let why = query_error(error);
            Error::new(ErrorKind::Query, format!("SQL only reads this store: {why}"))
        })
}

/// How many nodes a walk through the plan would meet. What a WITH names is shared, so the plan
/// itself is small; a chain of thirty names, each twice the one before, is a walk of 2³⁰ steps.
/// Every shared part is counted once, and remembered by its address.
fn count_nodes(plan: &LogicalPlan, known: &mut HashMap<*const LogicalPlan, usize>) -> usize {
    let address = std::ptr::from_ref(plan);
    if let Some(nodes) = known.get(&address) {
        return *nodes;
    }
    let mut nodes = 1_usize;
    for input in plan.inputs() {
        nodes = nodes.saturating_add(count_nodes(input, known));
    }
    for expr in plan.expressions() {
        let _ = expr.apply(|expr| {
            if let Expr::ScalarSubquery(subquery)
            | Expr::Exists(Exists { subquery, .. })
            | Expr::InSubquery(InSubquery { subquery, .. })
            | Expr::SetComparison(SetComparison { subquery, .. }) = expr
            {
                nodes = nodes.saturating_add(count_nodes(&subquery.subquery, known));
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    known.insert(address, nodes);
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_sql_passes() {
        check_text("SELECT a, count(*) FROM events WHERE (b = 'x' OR c > 3) GROUP BY 1 -- ok").unwrap();
        let long_list = format!("SELECT 1 WHERE 1 IN ({})", vec!["1"; 100_000].join(", "));
        check_text(&long_list).unwrap();
    }

    #[test]
    fn deep_and_endless_sql_is_refused() {
        for sql in [
            format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
            format!("SELECT 1{}", " + 1".repeat(100_000)),
            format!("SELECT 1 WHERE {}true", "NOT ".repeat(100_000)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(100_000)),
            "x".repeat(MAX_SQL_BYTES + 1),
        ] {
            let error = check_text(&sql).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Query);
            assert!(error.to_string().contains("limit"), "{error}");
        }
    }
}
