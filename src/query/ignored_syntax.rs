//! Refuses words that the parser accepts and the planner ignores, because the answer would be wrong.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, Expr, JoinConstraint, JoinOperator, Query, Select, SetExpr, SetOperator, SetQuantifier,
    TableFactor, Visit, Visitor,
};

use crate::error::{Error, ErrorKind};

/// Fails if a part of a statement would have no effect.
pub(super) fn check(statement: &Statement) -> Result<()> {
    let found = match statement {
        Statement::Statement(statement) => statement.visit(&mut IgnoredWords),
        Statement::Explain(explain) => return check(&explain.statement),
        _ => return Ok(()),
    };
    refuse(found)
}

/// Fails for a statement that would write.
pub(super) fn check_reads(statement: &Statement) -> Result<()> {
    use ast::Statement::{
        AlterTable, Copy, CreateIndex, CreateTable, CreateView, Delete, Drop, Insert, Truncate, Update,
    };
    let writes = match statement {
        Statement::Statement(statement) => matches!(
            **statement,
            AlterTable(_)
                | Copy { .. }
                | CreateIndex(_)
                | CreateTable(_)
                | CreateView(_)
                | Delete(_)
                | Drop { .. }
                | Insert(_)
                | Truncate(_)
                | Update(_)
        ),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) => true,
        _ => false,
    };
    if !writes {
        return Ok(());
    }
    let text = statement.to_string();
    let word = text.split_whitespace().next().unwrap_or_default();
    let error = Error::new(ErrorKind::Query, format!("{word} is refused: SQL can only read this store"));
    let instead = "`ostracon record` and `ostracon import` add facts, and nothing changes a fact".to_owned();
    Err(DataFusionError::External(Box::new(error.hinting(Some(instead)))))
}

/// Fails if a part of a condition would have no effect, or another one than in PostgreSQL.
pub(super) fn check_expr(expr: &Expr) -> Result<()> {
    refuse(expr.visit(&mut IgnoredWords))
}

fn refuse(found: ControlFlow<String>) -> Result<()> {
    let ControlFlow::Break(why) = found else { return Ok(()) };
    let error = Error::new(ErrorKind::Query, format!("the SQL is refused: {why}"));
    Err(DataFusionError::External(Box::new(error)))
}

/// Returns the name of a set operation with ALL, if DataFusion ignores how often a row occurs.
fn counts_rows(body: &SetExpr) -> Option<&'static str> {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return None };
    let words = match op {
        SetOperator::Intersect => Some("INTERSECT"),
        SetOperator::Except | SetOperator::Minus => Some("EXCEPT"),
        SetOperator::Union => None,
    };
    let all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
    words.filter(|_| all).or_else(|| counts_rows(left)).or_else(|| counts_rows(right))
}

struct IgnoredWords;

fn no_effect(words: &str) -> ControlFlow<String> {
    ControlFlow::Break(format!("{words} would have no effect; leave it out"))
}

impl Visitor for IgnoredWords {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        if !query.locks.is_empty() {
            return no_effect("FOR UPDATE or FOR SHARE");
        }
        if query.for_clause.is_some() {
            return no_effect("FOR XML, FOR JSON or FOR BROWSE");
        }
        if let Some(words) = counts_rows(&query.body) {
            return ControlFlow::Break(format!(
                "{words} ALL would ignore how often a row occurs; leave ALL out, or count rows with GROUP BY"
            ));
        }
        if query.settings.is_some() || query.format_clause.is_some() {
            return no_effect("SETTINGS or FORMAT");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        if !select.connect_by.is_empty() {
            return ControlFlow::Break("CONNECT BY would have no effect; use WITH RECURSIVE".to_owned());
        }
        if select.prewhere.is_some() {
            return ControlFlow::Break("PREWHERE would have no effect; use WHERE".to_owned());
        }
        if select.select_modifiers.is_some() || select.value_table_mode.is_some() {
            return no_effect("a word after SELECT");
        }
        let joins = select.from.iter().flat_map(|table| &table.joins);
        for join in joins {
            let (JoinOperator::Right(by) | JoinOperator::RightOuter(by) | JoinOperator::FullOuter(by)) =
                &join.join_operator
            else {
                continue;
            };
            if matches!(by, JoinConstraint::Using(_) | JoinConstraint::Natural) {
                return ControlFlow::Break(
                    "in a RIGHT or FULL JOIN, USING and NATURAL would return the left table's column, which \
                     is NULL for rows of the right table only; write `ON a.seq = b.seq`, and \
                     `coalesce(a.seq, b.seq)` for the column"
                        .to_owned(),
                );
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        if matches!(expr, Expr::SimilarTo { .. }) {
            return ControlFlow::Break(
                "SIMILAR TO would not follow the rules of its patterns; use LIKE, or `~` with a regular \
                 expression"
                    .to_owned(),
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<String> {
        let TableFactor::Table { with_hints, version, with_ordinality, partitions, index_hints, .. } = table
        else {
            return ControlFlow::Continue(());
        };
        if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
            return no_effect("a hint for a table");
        }
        if version.is_some() {
            return ControlFlow::Break(
                "a version of a table would have no effect; to query an older state, use `\\at` in the \
                 prompt, or `--at-commit`"
                    .to_owned(),
            );
        }
        if *with_ordinality {
            return ControlFlow::Break(
                "WITH ORDINALITY would have no effect; use `row_number() OVER ()`".to_owned(),
            );
        }
        ControlFlow::Continue(())
    }
}
