//! Resolves unqualified join keys in a WHERE, as in `… JOIN … USING (seq) WHERE seq = 7`.
//!
//! DataFusion 55.2 resolves such a key everywhere except in a WHERE, where it reports an ambiguous name. This
//! module qualifies the key with the first joined table that has the column. That is right because inner and
//! LEFT JOINs keep the left table's value, and RIGHT and FULL JOINs with USING are
//! [refused](super::super::ignored_syntax). If another table of the same FROM also has the column, the name is
//! ambiguous in standard SQL as well, and the error stays. Delete this module when DataFusion resolves such
//! keys in a WHERE.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result, SchemaError};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectNamePart, Query, Select, TableFactor,
    TableWithJoins, VisitMut, VisitorMut,
};

use super::super::time;

/// Plans a statement that may have unqualified join keys in its WHERE clauses.
pub(in crate::query) async fn plan(state: &SessionState, mut statement: Statement) -> Result<LogicalPlan> {
    let mut planned = time::statement_plan(state, statement.clone()).await;
    while let Some(key) = planned.as_ref().err().and_then(ambiguous) {
        let joined = of_first_table(state, &statement, &key, Among::Joined).await;
        let Some((attempt, again)) = joined else { break };
        if of_first_table(state, &statement, &key, Among::Others).await.is_some() {
            break;
        }
        (statement, planned) = (attempt, again);
    }
    planned
}

/// A group of the tables in a FROM.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Among {
    /// The tables that are joined by the key.
    Joined,
    /// The other tables.
    Others,
}

/// Qualifies the key with the first table that has the column, and plans the result; `None` if no table has
/// it.
async fn of_first_table(
    state: &SessionState,
    statement: &Statement,
    key: &str,
    among: Among,
) -> Option<(Statement, Result<LogicalPlan>)> {
    for table in 0.. {
        let mut attempt = statement.clone();
        if !qualify(&mut attempt, key, among, table) {
            return None;
        }
        let planned = time::statement_plan(state, attempt.clone()).await;
        let unchanged = |error: &DataFusionError| {
            is_unknown(error, key) || ambiguous(error).is_some_and(|name| name == key)
        };
        if !planned.as_ref().is_err_and(unchanged) {
            return Some((attempt, planned));
        }
    }
    None
}

/// Returns the unqualified name that planning found ambiguous.
fn ambiguous(error: &DataFusionError) -> Option<String> {
    match schema_error(error)? {
        SchemaError::AmbiguousReference { field } if field.relation.is_none() => Some(field.name.clone()),
        _ => None,
    }
}

/// Whether planning failed because a table has no column of this name.
fn is_unknown(error: &DataFusionError, name: &str) -> bool {
    matches!(schema_error(error), Some(SchemaError::FieldNotFound { field, .. }) if field.name == name)
}

fn schema_error(error: &DataFusionError) -> Option<&SchemaError> {
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => Some(error),
        DataFusionError::Diagnostic(_, error) => schema_error(error),
        _ => None,
    }
}

/// Qualifies the key with the table number `table` of a group, in each WHERE of a SELECT that joins by that
/// key. Returns `false` if no such table exists.
fn qualify(statement: &mut Statement, key: &str, among: Among, table: usize) -> bool {
    let mut keys = Keys { key, among, table, done: false };
    match statement {
        Statement::Statement(statement) => drop(statement.visit(&mut keys)),
        Statement::Explain(explain) => return qualify(&mut explain.statement, key, among, table),
        _ => {}
    }
    keys.done
}

struct Keys<'a> {
    key: &'a str,
    among: Among,
    table: usize,
    done: bool,
}

impl VisitorMut for Keys<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let is_by_key = |from: &&TableWithJoins| from.joins.iter().any(|join| has_key(join, self.key));
        let joined = select.from.iter().find(is_by_key);
        let wanted = |from: &&TableWithJoins| {
            joined.is_some_and(|joined| std::ptr::eq(*from, joined) == (self.among == Among::Joined))
        };
        let table = select.from.iter().filter(wanted).flat_map(tables).flatten().nth(self.table);
        if let (Some(table), Some(condition)) = (table, &mut select.selection) {
            let mut mentions = Mentions { key: self.key, table, within: 0, done: false };
            let _ = condition.visit(&mut mentions);
            self.done |= mentions.done;
        }
        ControlFlow::Continue(())
    }
}

fn has_key(join: &Join, key: &str) -> bool {
    use JoinOperator::{Inner, Join as Plain, Left, LeftOuter};
    let (Plain(by) | Inner(by) | Left(by) | LeftOuter(by)) = &join.join_operator else { return false };
    match by {
        JoinConstraint::Natural => true,
        JoinConstraint::Using(names) => names
            .iter()
            .any(|name| matches!(name.0.as_slice(), [ObjectNamePart::Identifier(name)] if is(name, key))),
        _ => false,
    }
}

fn is(name: &Ident, key: &str) -> bool {
    if name.quote_style.is_some() { name.value == key } else { name.value.to_lowercase() == key }
}

/// Returns the alias or the name of each table in a chain of joins.
fn tables(from: &TableWithJoins) -> impl Iterator<Item = Option<Ident>> + '_ {
    std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)).map(|table| {
        match table {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.clone()),
            TableFactor::Table { name, .. } => match name.0.last() {
                Some(ObjectNamePart::Identifier(name)) => Some(name.clone()),
                _ => None,
            },
            _ => None,
        }
    })
}

struct Mentions<'a> {
    key: &'a str,
    table: Ident,
    /// The depth of subqueries.
    within: usize,
    done: bool,
}

impl VisitorMut for Mentions<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.within += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.within -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && self.within == 0
            && is(name, self.key)
        {
            *expr = Expr::CompoundIdentifier(vec![self.table.clone(), name.clone()]);
            self.done = true;
        }
        ControlFlow::Continue(())
    }
}
