//! Gives each column of an answer a unique name.
//!
//! Several columns may have one name in SQL, but not in JSON or Parquet. The first column keeps its name, and
//! the next columns with that name become `seq_2`, `seq_3`. This takes three steps:
//!
//! 1. `SELECT *, seq` and `SELECT at AS t, at::date AS t` use one name for two columns, and DataFusion
//!    refuses them. Then [`items`] renames the later columns in the parsed statement. `max(at::date)` and
//!    `max(at::time)` have one name in DataFusion, so [`items`] writes the casts as calls of a
//!    [function](named_cast).
//! 2. A subquery may use one name for two columns, as in `(SELECT a.seq, b.seq …) t`. DataFusion names the
//!    second column `seq:1`, and reads `t.seq` as the first one without an error. [`references`] refuses such
//!    a reference, as PostgreSQL does.
//! 3. [`unique`] renames the columns of the answer: the columns of step 2, columns that differ only in their
//!    table, and computed columns, whose names show DataFusion's types and all tables ([`titles`]).

mod items;
mod named_cast;
mod references;
mod titles;

use std::collections::{HashMap, HashSet};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, Ident, Query};

pub(super) use named_cast::function as named_cast_function;

use super::datafusion_corrections::using_keys;
use super::dialect;

/// The column names that a subquery uses more than once, by the alias of the subquery.
#[derive(Default)]
pub(super) struct Doubles(HashMap<String, HashSet<String>>);

/// Plans a statement. Several of its columns may have one name.
pub(super) async fn plan(state: &SessionState, sql: &str) -> Result<(LogicalPlan, Doubles)> {
    let mut statement = dialect::parse(state, sql)?;
    items::name_subqueries(&mut statement);
    let mut plan = using_keys::plan(state, statement.clone()).await;
    if plan.as_ref().is_err_and(is_about_names) {
        items::name(state, &mut statement).await;
        plan = using_keys::plan(state, statement.clone()).await;
    }
    if plan.as_ref().map_or_else(is_about_names, has_keys_of_one_name) {
        items::name_casts(&mut statement);
        plan = using_keys::plan(state, statement.clone()).await;
    }
    let plan = plan?;
    let doubles = Doubles::of(&plan)?;
    references::check(&mut statement, &doubles)?;
    Ok((plan, doubles))
}

/// Whether a query was refused because two of its columns have one name.
fn is_about_names(error: &DataFusionError) -> bool {
    let why = error.to_string();
    ["require unique expression names", "would be ambiguous", "Schema contains duplicate"]
        .into_iter()
        .any(|words| why.contains(words))
}

/// Whether two keys of a `DISTINCT ON` have one name. DataFusion plans such a query, and refuses it later.
fn has_keys_of_one_name(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let looked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Distinct(Distinct::On(distinct)) = node {
            let mut names = HashSet::new();
            found |= !distinct.on_expr.iter().all(|key| names.insert(key.schema_name().to_string()));
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    looked.is_ok() && found
}

/// Gives each column of a plan's answer a unique name.
pub(super) fn unique(plan: LogicalPlan, doubles: &Doubles) -> Result<LogicalPlan> {
    let fields = plan.schema().fields();
    let names = names(&plan, doubles);
    let mut taken: HashSet<String> = names.iter().map(|(name, _)| name.clone()).collect();
    if taken.len() == names.len() && names.iter().zip(fields).all(|((name, _), field)| name == field.name()) {
        return Ok(plan);
    }
    // A name that the user gave comes before a name that is made.
    let given: HashSet<&String> = names.iter().filter(|(_, made)| !made).map(|(name, _)| name).collect();
    let mut seen = HashSet::new();
    let mut columns: Vec<Expr> = Vec::new();
    for ((name, made), (table, field)) in names.iter().zip(plan.schema().iter()) {
        let column = Expr::Column(Column::from((table, field)));
        let is_first = !(*made && given.contains(name)) && seen.insert(name);
        columns.push(match (is_first, name == field.name()) {
            (true, true) => column,
            (true, false) => column.alias(name),
            (false, _) => column.alias(free(name, &mut taken)),
        });
    }
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Returns the names of a plan's columns as in the text of the query, and whether each is made from an expression. Two
/// columns may have one name.
fn names(plan: &LogicalPlan, doubles: &Doubles) -> Vec<(String, bool)> {
    let long = plan.schema().fields().iter().enumerate().map(|(at, field)| {
        let name = doubles.name_of(field.name());
        let is_made = titles::is_made(plan, at);
        let spelled = || titles::with_plain_windows(&titles::with_plain_constants(name));
        (if is_made { spelled() } else { name.to_owned() }, is_made)
    });
    let long: Vec<_> = long.collect();
    let shorten = |(name, is_made): &(String, bool)| {
        if *is_made { titles::without_tables(name) } else { name.clone() }
    };
    let short: Vec<_> = long.iter().map(shorten).collect();
    let mut times: HashMap<&str, usize> = HashMap::new();
    for name in &short {
        *times.entry(name).or_default() += 1;
    }
    // `max(a.seq)` and `max(b.seq)` keep their tables.
    let is_unique = |name: &str| times.get(name).is_some_and(|times| *times == 1);
    let chosen = long.iter().zip(&short).map(|((long, is_made), short)| {
        (if is_unique(short) { short.clone() } else { long.clone() }, *is_made)
    });
    chosen.collect()
}

impl Doubles {
    fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut doubles = Self::default();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::SubqueryAlias(query) = node {
                let names: HashSet<&str> =
                    query.schema.fields().iter().map(|field| field.name().as_str()).collect();
                let twice =
                    names.iter().filter_map(|name| first_of(name).filter(|first| names.contains(first)));
                let twice: Vec<_> = twice.map(str::to_owned).collect();
                if !twice.is_empty() {
                    doubles.0.entry(query.alias.table().to_owned()).or_default().extend(twice);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(doubles)
    }

    /// Returns the name of a column in the text of the query: `seq` for DataFusion's `seq:1`.
    fn name_of<'n>(&self, name: &'n str) -> &'n str {
        let is_double = |first: &&str| self.0.values().any(|names| names.contains(*first));
        first_of(name).filter(is_double).unwrap_or(name)
    }
}

/// Returns `seq` for `seq:1`, which is DataFusion's name for the second column `seq`.
fn first_of(name: &str) -> Option<&str> {
    let (first, number) = name.rsplit_once(':')?;
    (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then_some(first)
}

/// Takes the first of `name_2`, `name_3`, … that is free.
fn free(name: &str, taken: &mut HashSet<String>) -> String {
    let mut number = 2;
    loop {
        let candidate = format!("{name}_{number}");
        if taken.insert(candidate.clone()) {
            return candidate;
        }
        number += 1;
    }
}

/// Returns the query of a statement.
fn query_of(statement: &mut Statement) -> Option<&mut Query> {
    match statement {
        Statement::Statement(inner) => match inner.as_mut() {
            ast::Statement::Query(query) => Some(query),
            _ => None,
        },
        Statement::Explain(explain) => query_of(&mut explain.statement),
        _ => None,
    }
}

/// Returns a name in lower case, or as it is written if it is quoted.
fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}
