//! Finds references to a name that is ambiguous because a subquery has several columns with it.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
    Visit, Visitor,
};

use super::items::constraint;
use super::{Doubles, folded, query_of};
use crate::error::{Error, ErrorKind};

/// Refuses a statement that refers to an ambiguous name.
pub(super) fn check(statement: &mut Statement, doubles: &Doubles) -> Result<()> {
    if doubles.0.is_empty() {
        return Ok(());
    }
    let Some(query) = query_of(statement) else { return Ok(()) };
    let mut parts = Parts(HashSet::new());
    let _ = query.visit(&mut parts);
    match query.visit(&mut Mentions { doubles, parts: parts.0, around: Vec::new() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(DataFusionError::External(Box::new(error))),
    }
}

/// The names of the queries in WITH clauses.
struct Parts(HashSet<String>);

impl Visitor for Parts {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(parts.map(|part| folded(&part.alias.name)));
        ControlFlow::Continue(())
    }
}

/// The tables and columns that a name may refer to at one place in the text.
#[derive(Default)]
struct Scope {
    /// The aliases of the subqueries in the FROM.
    queries: HashSet<String>,
    /// The aliases of the SELECT's items. ORDER BY looks for a name among them first.
    items: HashSet<String>,
}

struct Mentions<'d> {
    doubles: &'d Doubles,
    parts: HashSet<String>,
    around: Vec<Scope>,
}

impl Mentions<'_> {
    fn scope_of(&self, select: &Select) -> Scope {
        let mut scope = Scope::default();
        select.from.iter().for_each(|table| self.add_table(table, &mut scope.queries));
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                scope.items.insert(folded(alias));
            }
        }
        scope
    }

    fn add_table(&self, table: &TableWithJoins, into: &mut HashSet<String>) {
        self.add_factor(&table.relation, into);
        table.joins.iter().for_each(|join| self.add_factor(&join.relation, into));
    }

    fn add_factor(&self, factor: &TableFactor, into: &mut HashSet<String>) {
        match factor {
            TableFactor::Derived { alias: Some(alias), .. } => {
                into.insert(folded(&alias.name));
            }
            TableFactor::Table { name, alias, .. } => {
                let name = last(name).map(folded).filter(|name| self.parts.contains(name));
                into.extend(name.map(|name| alias.as_ref().map_or(name, |alias| folded(&alias.name))));
            }
            TableFactor::NestedJoin { table_with_joins, .. } => self.add_table(table_with_joins, into),
            _ => {}
        }
    }

    /// Refuses a name that several columns of a subquery have.
    fn check<'q>(&self, queries: impl IntoIterator<Item = &'q String>, name: &str) -> ControlFlow<Error> {
        for query in queries {
            if self.doubles.0.get(query).is_some_and(|names| names.contains(name)) {
                let why = format!(
                    "{name} is ambiguous: {query} has several columns with that name; give one of them \
                     another name in {query}, as in {name} AS other_{name}"
                );
                return ControlFlow::Break(Error::new(ErrorKind::Query, why));
            }
        }
        ControlFlow::Continue(())
    }

    /// Checks an unqualified name, which refers to the innermost FROM.
    fn check_alone(&self, name: &Ident) -> ControlFlow<Error> {
        match self.around.last() {
            Some(scope) if !scope.items.contains(&folded(name)) => self.check(&scope.queries, &folded(name)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn check_of(&self, query: &Ident, name: &Ident) -> ControlFlow<Error> {
        let query = folded(query);
        match self.around.iter().rev().find(|scope| scope.queries.contains(&query)) {
            Some(_) => self.check([&query], &folded(name)),
            None => ControlFlow::Continue(()),
        }
    }

    /// Checks the column names of joins. A name refers to the tables up to its join.
    fn check_joins(&self, table: &TableWithJoins) -> ControlFlow<Error> {
        let mut queries = HashSet::new();
        self.add_factor(&table.relation, &mut queries);
        for join in &table.joins {
            self.add_factor(&join.relation, &mut queries);
            match constraint(join) {
                Some(JoinConstraint::Using(names)) => {
                    for name in names.iter().filter_map(last) {
                        self.check(&queries, &folded(name))?;
                    }
                }
                Some(JoinConstraint::Natural) => {
                    let doubles = queries.iter().filter_map(|query| self.doubles.0.get(query));
                    for name in doubles.flatten() {
                        self.check(&queries, name)?;
                    }
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Mentions<'_> {
    type Break = Error;

    /// Adds the scope of ORDER BY.
    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let scope = match query.body.as_ref() {
            SetExpr::Select(select) => self.scope_of(select),
            _ => Scope::default(),
        };
        self.around.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
        self.around.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        let scope = Scope { items: HashSet::new(), ..self.scope_of(select) };
        self.around.push(scope);
        select.from.iter().try_for_each(|table| self.check_joins(table))
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<Error> {
        self.around.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Identifier(name) => self.check_alone(name),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [.., query, name] => self.check_of(query, name),
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Returns the last part of a qualified name.
fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}
