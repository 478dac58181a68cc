//! The SQL that is understood: PostgreSQL's, with some forms that users bring from DuckDB.
//!
//! `FROM events` is `SELECT * FROM events`, and `SELECT * EXCLUDE (payload)` and
//! `SELECT * REPLACE (…)` change what `*` stands for.
//!
//! `IS DISTINCT FROM` has its standard precedence: sqlparser 0.62 reads `a IS DISTINCT FROM b AND c` as
//! `a IS DISTINCT FROM (b AND c)`. Delete [`Dialect::parse_infix`] here when the parser ends the right side at an AND.

use std::any::TypeId;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Expr, ExprWithAlias};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::error::{Error, ErrorKind};

/// Parses one statement.
pub(super) fn parse(state: &SessionState, sql: &str) -> Result<Statement> {
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&OstraconDialect)
        .with_recursion_limit(state.config_options().sql_parser.recursion_limit.get())
        .build()?
        .parse_statements()?;
    if statements.len() > 1 {
        return Err(refused("the text has several SQL statements: send each one by itself"));
    }
    statements.pop_front().ok_or_else(|| refused("there is no SQL statement in the text"))
}

/// Parses one expression, which may have an alias.
pub(super) fn parse_expr(state: &SessionState, sql: &str) -> Result<ExprWithAlias> {
    DFParserBuilder::new(sql)
        .with_dialect(&OstraconDialect)
        .with_recursion_limit(state.config_options().sql_parser.recursion_limit.get())
        .build()?
        .parse_into_expr()
}

/// Parses an expression that this program wrote. `None` for a text that is none.
pub(super) fn expression(text: &str) -> Option<Expr> {
    Parser::new(&OstraconDialect).try_with_sql(text).ok()?.parse_expr().ok()
}

fn refused(why: &str) -> DataFusionError {
    DataFusionError::External(Box::new(Error::new(ErrorKind::Query, why)))
}

/// PostgreSQL's dialect and the additions of this module. The parser asks by [`Dialect::dialect`] whether it is
/// PostgreSQL.
#[derive(Debug)]
struct OstraconDialect;

/// Answers as PostgreSQL's dialect does.
macro_rules! as_postgresql {
    ($($method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        fn $method(&self, $($argument: $type),*) -> $answer {
            PostgreSqlDialect {}.$method($($argument),*)
        }
    )*};
}

impl Dialect for OstraconDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn supports_from_first_select(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }

    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        expr: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        let is = |at: usize, keyword: Keyword| matches!(&parser.peek_nth_token_ref(at).token, Token::Word(word) if word.keyword == keyword);
        let distinct = if is(1, Keyword::NOT) { 2 } else { 1 };
        let is_comparison =
            is(0, Keyword::IS) && is(distinct, Keyword::DISTINCT) && is(distinct + 1, Keyword::FROM);
        if !is_comparison {
            return None;
        }
        for _ in 0..distinct + 2 {
            parser.next_token();
        }
        let left = Box::new(expr.clone());
        Some(parser.parse_subexpr(precedence).map(|right| match distinct {
            1 => Expr::IsDistinctFrom(left, Box::new(right)),
            _ => Expr::IsNotDistinctFrom(left, Box::new(right)),
        }))
    }

    as_postgresql! {
        identifier_quote_style(identifier: &str) -> Option<char>;
        is_delimited_identifier_start(character: char) -> bool;
        is_identifier_start(character: char) -> bool;
        is_identifier_part(character: char) -> bool;
        supports_unicode_string_literal() -> bool;
        is_reserved_for_identifier(keyword: Keyword) -> bool;
        is_custom_operator_part(character: char) -> bool;
        get_next_precedence(parser: &Parser<'_>) -> Option<Result<u8, ParserError>>;
        supports_filter_during_aggregation() -> bool;
        supports_group_by_expr() -> bool;
        prec_value(precedence: Precedence) -> u8;
        allow_extract_custom() -> bool;
        allow_extract_single_quotes() -> bool;
        supports_create_index_with_clause() -> bool;
        supports_explain_with_utility_options() -> bool;
        supports_listen_notify() -> bool;
        supports_factorial_operator() -> bool;
        supports_bitwise_shift_operators() -> bool;
        supports_comment_on() -> bool;
        supports_load_extension() -> bool;
        supports_named_fn_args_with_colon_operator() -> bool;
        supports_empty_projections() -> bool;
        supports_nested_comments() -> bool;
        supports_string_escape_constant() -> bool;
        supports_numeric_literal_underscores() -> bool;
        supports_array_typedef_with_brackets() -> bool;
        supports_geometric_types() -> bool;
        supports_set_names() -> bool;
        supports_alter_column_type_using() -> bool;
        supports_notnull_operator() -> bool;
        supports_interval_options() -> bool;
        supports_insert_table_alias() -> bool;
        supports_create_table_like_parenthesized() -> bool;
        supports_select_wildcard_with_alias() -> bool;
        supports_comma_separated_trim() -> bool;
        supports_xml_expressions() -> bool;
        supports_comment_optimizer_hint() -> bool;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expression with brackets around each comparison of this kind.
    fn bracketed(sql: &str) -> String {
        let mut parser = Parser::new(&OstraconDialect).try_with_sql(sql).unwrap();
        let mut expr = parser.parse_expr().unwrap();
        let _ = datafusion::sql::sqlparser::ast::visit_expressions_mut(&mut expr, |expr| {
            if matches!(expr, Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..)) {
                *expr = Expr::Nested(Box::new(expr.clone()));
                return std::ops::ControlFlow::<()>::Continue(());
            }
            std::ops::ControlFlow::Continue(())
        });
        format!("{expr}{}", parser.peek_token().token)
    }

    #[test]
    fn a_comparison_ends_at_an_and() {
        for (sql, right) in [
            ("a IS DISTINCT FROM b AND c", "(a IS DISTINCT FROM b) AND cEOF"),
            (
                "x OR a + 1 IS NOT DISTINCT FROM f(b, 2) OR c",
                "x OR (a + 1 IS NOT DISTINCT FROM f(b, 2)) OR cEOF",
            ),
            ("NOT a IS DISTINCT FROM b, c", "NOT (a IS DISTINCT FROM b),"),
            ("seq::double precision IS DISTINCT FROM 1", "(seq::DOUBLE PRECISION IS DISTINCT FROM 1)EOF"),
            (
                "a IS DISTINCT FROM b::double precision AND c",
                "(a IS DISTINCT FROM b::DOUBLE PRECISION) AND cEOF",
            ),
            ("x BETWEEN 1 AND 2 IS DISTINCT FROM y AND z", "(x BETWEEN 1 AND 2 IS DISTINCT FROM y) AND zEOF"),
            (
                "x LIKE y IS DISTINCT FROM interval '1 day' AND z",
                "(x LIKE y IS DISTINCT FROM INTERVAL '1 day') AND zEOF",
            ),
            ("a IS DISTINCT FROM b LEFT JOIN c", "(a IS DISTINCT FROM b)LEFT"),
            ("a IS DISTINCT FROM b NULLS LAST", "(a IS DISTINCT FROM b)NULLS"),
            ("a IS NULL AND b IS NOT TRUE", "a IS NULL AND b IS NOT TRUEEOF"),
        ] {
            assert_eq!(bracketed(sql), right, "{sql}");
        }
    }
}
