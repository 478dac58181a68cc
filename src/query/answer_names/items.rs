//! Renames columns of a SELECT that have one name.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, GroupByExpr, Ident, Join, JoinConstraint, OrderBy, Query, Select, SelectItem, SetExpr, TableAlias,
    TableFactor, TableWithJoins, VisitMut, VisitorMut, visit_expressions,
};

use super::super::datafusion_corrections::using_keys;
use super::super::time::call;
use super::{folded, free, named_cast, query_of};

/// Gives an alias to subqueries that have no alias, join by column names, and return columns of both sides.
/// Without it, a `*` of the outer query would return only one of two columns with the same name.
pub(super) fn name_subqueries(statement: &mut Statement) {
    if let Some(query) = query_of(statement) {
        let _ = query.visit(&mut Aliases(0));
    }
}

struct Aliases(usize);

impl VisitorMut for Aliases {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { subquery, alias: alias @ None, .. } = factor
            && let SetExpr::Select(select) = subquery.body.as_ref()
            && select.from.iter().any(joins_by_names)
            && !select.projection.iter().all(|item| matches!(item, SelectItem::Wildcard(_)))
        {
            self.0 += 1;
            let name = Ident::with_quote('"', format!("subquery {}", self.0));
            *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}

fn joins_by_names(table: &TableWithJoins) -> bool {
    let by_names =
        |join: &Join| matches!(constraint(join), Some(JoinConstraint::Using(_) | JoinConstraint::Natural));
    table.joins.iter().any(by_names)
}

/// Returns the condition of a join; `None` for joins without a condition.
pub(super) const fn constraint(join: &Join) -> Option<&JoinConstraint> {
    use ast::JoinOperator::{FullOuter, Inner, Join, Left, LeftOuter, Right, RightOuter};
    match &join.join_operator {
        Join(by) | Inner(by) | Left(by) | LeftOuter(by) | Right(by) | RightOuter(by) | FullOuter(by) => {
            Some(by)
        }
        _ => None,
    }
}

/// Renames the later ones of several items with one name: to `seq_2` in the answer, and in subqueries to
/// `seq:1`, as DataFusion does.
pub(super) async fn name(state: &SessionState, statement: &mut Statement) {
    let known = of_wildcards(state, statement).await;
    if let Some(query) = query_of(statement) {
        answer_selects(query, &mut |select, order| name_select(select, order, known.as_ref(), free));
        let _ = query.visit(&mut Within);
    }
}

/// Visits the SELECTs whose rows are the answer.
fn answer_selects(query: &mut Query, name: &mut impl FnMut(&mut Select, Option<&OrderBy>)) {
    let order = query.order_by.as_ref();
    parts(&mut query.body, order, name);
}

fn parts(body: &mut SetExpr, order: Option<&OrderBy>, name: &mut impl FnMut(&mut Select, Option<&OrderBy>)) {
    match body {
        SetExpr::Select(select) => name(select, order),
        SetExpr::SetOperation { left, right, .. } => {
            parts(left, order, name);
            parts(right, order, name);
        }
        SetExpr::Query(query) => answer_selects(query, name),
        _ => {}
    }
}

struct Within;

impl VisitorMut for Within {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        answer_selects(query, &mut |select, order| name_select(select, order, None, numbered));
        ControlFlow::Continue(())
    }
}

/// Gives each item an alias, and each cast outside of WHERE a name that contains its type.
pub(super) fn name_casts(statement: &mut Statement) {
    if let Some(query) = query_of(statement) {
        let _ = query.visit(&mut Items);
    }
}

struct Items;

impl VisitorMut for Items {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        answer_selects(query, &mut |select, _| {
            let mut taken: HashSet<String> = HashSet::new();
            for item in &mut select.projection {
                let Some(name) = natural_name(item) else { continue };
                let name = if taken.insert(name.clone()) { name } else { free(&name, &mut taken) };
                if let SelectItem::UnnamedExpr(expr) = item
                    && !matches!(expr, ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_))
                {
                    let alias = Ident::with_quote('"', name);
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        own_selects(&mut query.body, &mut |select| {
            let _ = select.distinct.visit(&mut Casts::default());
            let _ = select.projection.visit(&mut Casts::default());
            let _ = select.group_by.visit(&mut Casts::default());
            let _ = select.having.visit(&mut Casts::default());
            let _ = select.named_window.visit(&mut Casts::default());
            let _ = select.qualify.visit(&mut Casts::default());
        });
        let _ = query.order_by.visit(&mut Casts::default());
        ControlFlow::Continue(())
    }
}

/// Visits the SELECTs of a query, without the SELECTs of its subqueries.
fn own_selects(body: &mut SetExpr, name: &mut impl FnMut(&mut Select)) {
    match body {
        SetExpr::Select(select) => name(select),
        SetExpr::SetOperation { left, right, .. } => {
            own_selects(left, name);
            own_selects(right, name);
        }
        _ => {}
    }
}

/// Names the casts of one query. The casts of its subqueries have their names already.
#[derive(Default)]
struct Casts {
    queries_within: usize,
}

impl VisitorMut for Casts {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries_within += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries_within -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Cast { kind, data_type, .. } = expr
            && self.queries_within == 0
        {
            let is_strict = matches!(kind, ast::CastKind::Cast | ast::CastKind::DoubleColon);
            let word = if is_strict { "CAST" } else { "TRY_CAST" };
            let of = ast::Expr::value(ast::Value::SingleQuotedString(format!("{word} {data_type}")));
            let cast = std::mem::replace(expr, ast::Expr::Tuple(Vec::new()));
            *expr = call(named_cast::NAME, [cast, of]);
        }
        ControlFlow::Continue(())
    }
}

/// Returns the name that DataFusion gives to a further column with this name. For a name that is not an
/// identifier, it returns a [`free`] name.
fn numbered(name: &str, taken: &mut HashSet<String>) -> String {
    let is_name = |name: &str| name.chars().all(|char| char.is_alphanumeric() || char == '_');
    if !is_name(name) || name.starts_with(|char: char| char.is_ascii_digit()) {
        return free(name, taken);
    }
    let mut number = 1;
    loop {
        let candidate = format!("{name}:{number}");
        if taken.insert(candidate.clone()) {
            return candidate;
        }
        number += 1;
    }
}

/// Renames the items of a SELECT whose names are taken by earlier items. `wildcards` has the names of the
/// columns that `*` stands for. If it is `None`, a SELECT with a `*` stays as it is.
fn name_select(
    select: &mut Select,
    order: Option<&OrderBy>,
    wildcards: Option<&HashSet<String>>,
    free: impl Fn(&str, &mut HashSet<String>) -> String,
) {
    let mut seen = HashSet::new();
    if select.projection.iter().any(is_wildcard) {
        let Some(wildcards) = wildcards else { return };
        seen.clone_from(wildcards);
    }
    let mut taken: HashSet<String> = seen.clone();
    taken.extend(select.projection.iter().filter_map(natural_name));
    let mentioned = mentioned(select, order);
    for item in &mut select.projection {
        let Some(name) = natural_name(item) else { continue };
        if seen.insert(name.clone()) {
            continue;
        }
        let expr = match item {
            SelectItem::UnnamedExpr(expr) => expr.clone(),
            // ORDER BY could refer to either of the two columns, so the query stays refused.
            SelectItem::ExprWithAlias { expr, .. } if !mentioned.contains(&name) => expr.clone(),
            _ => continue,
        };
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', free(&name, &mut taken)) };
    }
}

/// Returns the unqualified names in the parts of a SELECT that may refer to its items.
fn mentioned(select: &Select, order: Option<&OrderBy>) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut add = |expr: &ast::Expr| {
        if let ast::Expr::Identifier(name) = expr {
            names.insert(folded(name));
        }
        ControlFlow::<()>::Continue(())
    };
    let _ = visit_expressions(&order.cloned(), &mut add);
    let _ = visit_expressions(&select.group_by, &mut add);
    let _ = visit_expressions(&select.having, &mut add);
    let _ = visit_expressions(&select.qualify, &mut add);
    let _ = visit_expressions(&select.distinct, &mut add);
    names
}

const fn is_wildcard(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
}

/// Returns the names of the columns that the wildcards of the answer's SELECT stand for. `None` if it has no
/// wildcards, or if they cannot be planned alone.
async fn of_wildcards(state: &SessionState, statement: &Statement) -> Option<HashSet<String>> {
    let mut statement = statement.clone();
    let query = query_of(&mut statement)?;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    select.projection.retain(is_wildcard);
    if select.projection.is_empty() {
        return None;
    }
    (query.order_by, query.limit_clause, query.fetch) = (None, None, None);
    (select.distinct, select.having, select.qualify) = (None, None, None);
    select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    let plan = using_keys::plan(state, statement).await.ok()?;
    Some(plan.schema().fields().iter().map(|field| field.name().clone()).collect())
}

/// Returns the name that an item has without renaming.
fn natural_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(of(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    }
}

fn of(expr: &ast::Expr) -> String {
    match expr {
        ast::Expr::Identifier(name) => folded(name),
        ast::Expr::CompoundIdentifier(names) => names.last().map(folded).unwrap_or_default(),
        // A cast has the name of its argument.
        ast::Expr::Cast { expr, .. } | ast::Expr::Nested(expr) => of(expr),
        ast::Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => select.projection.first().and_then(natural_name).unwrap_or_default(),
            _ => expr.to_string(),
        },
        other => other.to_string(),
    }
}
