//! What is turned away before it is planned.
//!
//! A parser that recurses has a limit of its own; what it builds by iteration has not: a hundred
//! thousand `OR`s make a tree so deep that merely dropping it overflows the stack. Such texts are
//! recognised by their tokens, which takes no recursion.

use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::query_error;
use crate::error::{Error, ErrorKind, Result};

/// Longer statements are refused: 4 MiB.
const MAX_SQL_BYTES: usize = 4 << 20;
/// Deeper parentheses are refused.
const MAX_DEPTH: usize = 100;
/// More operators are refused. Lists of values may be as long as the text may.
const MAX_OPERATORS: usize = 2_000;

/// More tables side by side are refused: each step of such a join has all columns of those before.
const MAX_RELATIONS: usize = 100;

/// Refuses text that is too long, too deep, or chains too many operators.
pub(super) fn check_text(sql: &str) -> Result<()> {
    let refuse = |what: String| Err(Error::new(ErrorKind::Query, format!("the SQL is refused: {what}")));
    if sql.len() > MAX_SQL_BYTES {
        return refuse(format!("it has {} bytes, and {MAX_SQL_BYTES} are the limit", sql.len()));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize()
        .map_err(|error| Error::with_source(ErrorKind::Query, "the SQL is not understood", error))?;
    let (mut depth, mut deepest, mut operators, mut relations) = (0_usize, 0, 0, 0);
    // The depths at which the tokens are those of a FROM clause.
    let mut from = Vec::new();
    for token in &tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                depth += 1;
                deepest = deepest.max(depth);
                // A subscript is one more level of the expression before it.
                operators += usize::from(*token == Token::LBracket);
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                depth = depth.saturating_sub(1);
                from.retain(|clause| *clause <= depth);
            }
            Token::Comma => relations += usize::from(from.last() == Some(&depth)),
            Token::Whitespace(_)
            | Token::Period
            | Token::SemiColon
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_) => {}
            // A word is a name, or an operator such as OR, NOT, UNION, JOIN, BETWEEN.
            Token::Word(word) if word.quote_style.is_some() || word.keyword == Keyword::NoKeyword => {}
            Token::Word(word) => {
                operators += 1;
                match word.keyword {
                    Keyword::FROM => from.push(depth),
                    Keyword::JOIN => relations += 1,
                    Keyword::WHERE | Keyword::GROUP | Keyword::ORDER | Keyword::LIMIT | Keyword::SELECT => {
                        from.retain(|clause| *clause < depth);
                    }
                    _ => {}
                }
            }
            _ => operators += 1,
        }
    }
    if relations > MAX_RELATIONS {
        return refuse(format!("it joins {relations} tables, and {MAX_RELATIONS} are the limit"));
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

/// Refuses everything that is not a question.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<()> {
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
            format!("SELECT payload{} FROM events", "['a']".repeat(100_000)),
            format!("SELECT 1 FROM events a{}", ", events".repeat(5_000)),
            "x".repeat(MAX_SQL_BYTES + 1),
        ] {
            let error = check_text(&sql).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Query);
            assert!(error.to_string().contains("limit"), "{error}");
        }
    }
}
