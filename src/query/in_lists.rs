//! Combines IN lists over one expression in a chain of ANDs or ORs, and keeps NULL.
//!
//! DataFusion 55.2 combines two lists that are compared with the same `x`. For `x IN ('a') AND x IN ('b')`
//! the intersection is empty, so it replaces both by *false*. The right result for a NULL `x` is NULL. In the
//! same way `x NOT IN ('a') OR x NOT IN ('b')` becomes *true*. DataFusion also treats column names and NULLs
//! in a list as if they were values.
//!
//! So our rule runs before DataFusion's rule, and leaves at most one list for each `x` in a chain. Delete it
//! when DataFusion's `inlist_intersection` and `inlist_except` keep NULLs.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::operator_chains;

/// Combines lists. It runs before `SimplifyExpressions`, in every round of the optimizer.
#[derive(Debug)]
pub(super) struct CombineInLists;

impl OptimizerRule for CombineInLists {
    fn name(&self) -> &'static str {
        "combine_in_lists"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        // The filters of a scan were conditions of a filter, which is already rewritten.
        if plan.inputs().is_empty() {
            return Ok(Transformed::no(plan));
        }
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(combine(expr, &schema)?.update_data(|expr| name.restore(expr)))
        })
    }
}

/// Rewrites a condition so that each chain of ANDs or ORs has at most one list for each operand.
pub(super) fn combine(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let concerned = |expr: &Expr| {
        matches!(expr, Expr::InList(_)) || is_chain(expr, Operator::Or) || operator_chains::is_long(expr)
    };
    if !expr.exists(|part| Ok(concerned(part)))? {
        return Ok(Transformed::no(expr));
    }
    combine_parts(expr, schema)
}

fn combine_parts(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => {
            let mut changed = false;
            let mut parts = Vec::new();
            for part in operator_chains::parts(expr, op) {
                let part = combine_parts(part, schema)?;
                changed |= part.transformed;
                parts.extend(operator_chains::parts(part.data, op));
            }
            let (parts, grouped) = group(parts, op, schema);
            let whole = operator_chains::joined(parts, op).unwrap_or_else(|| lit(op == Operator::And));
            Ok(Transformed::new_transformed(whole, changed || grouped))
        }
        // NOT of a list is a list, too.
        Expr::Not(inner) if matches!(*inner, Expr::InList(_)) => {
            let Expr::InList(list) = *inner else { return Ok(Transformed::no(Expr::Not(inner))) };
            Ok(Transformed::yes(Expr::InList(InList { negated: !list.negated, ..list })))
        }
        // Another rule would move the NOT into the chain, and so make its parts members of the outer chain.
        Expr::Not(inner) if is_chain(&inner, Operator::And) || is_chain(&inner, Operator::Or) => {
            let (op, other) = if is_chain(&inner, Operator::And) {
                (Operator::And, Operator::Or)
            } else {
                (Operator::Or, Operator::And)
            };
            let parts = operator_chains::parts(*inner, op).into_iter().map(|part| Expr::Not(Box::new(part)));
            let whole = operator_chains::joined(parts.collect(), other);
            let whole = combine_parts(whole.unwrap_or_else(|| lit(true)), schema)?.data;
            Ok(Transformed::yes(whole))
        }
        other => other.map_children(|part| combine_parts(part, schema)),
    }
}

fn is_chain(expr: &Expr, chain: Operator) -> bool {
    matches!(expr, Expr::BinaryExpr(BinaryExpr { op, .. }) if *op == chain)
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// The values that one operand is compared with.
struct List {
    operand: Expr,
    values: Vec<Expr>,
    negated: bool,
    /// Whether this is a comparison such as `x = 1`, and not a list.
    single: bool,
}

/// Returns the list of an expression that DataFusion treats as a list, too.
fn as_list(expr: &Expr) -> Option<List> {
    match expr {
        Expr::InList(InList { expr, list, negated }) => Some(List {
            operand: (**expr).clone(),
            values: list.iter().map(plain).collect(),
            negated: *negated,
            single: false,
        }),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (left, right) = (plain(left), plain(right));
            let (operand, value) = match (&left, &right) {
                (Expr::Column(_), Expr::Literal(..)) => (left, right),
                (Expr::Literal(..), Expr::Column(_)) => (right, left),
                _ => return None,
            };
            Some(List { operand, values: vec![value], negated: false, single: true })
        }
        _ => None,
    }
}

/// Replaces the cast of a constant by the constant's value in the new type. Other expressions stay as they
/// are.
fn plain(expr: &Expr) -> Expr {
    if let Expr::Cast(cast) = expr
        && let Expr::Literal(value, metadata) = cast.expr.as_ref()
        && let Ok(value) = value.cast_to(cast.field.data_type())
    {
        return Expr::Literal(value, metadata.clone());
    }
    expr.clone()
}

/// Combines the lists of each operand in the parts of a chain. Also returns whether it combined any.
fn group(parts: Vec<Expr>, op: Operator, schema: &DFSchema) -> (Vec<Expr>, bool) {
    let mut lists: Vec<(Expr, Vec<List>)> = Vec::new();
    for list in parts.iter().filter_map(as_list) {
        match lists.iter_mut().find(|(operand, _)| *operand == list.operand) {
            Some((_, known)) => known.push(list),
            None => lists.push((list.operand.clone(), vec![list])),
        }
    }
    lists.retain(|(operand, lists)| {
        let merged = op == Operator::Or || lists.iter().any(|list| !list.single);
        lists.len() > 1 && merged && !operand.is_volatile() && of_one_type(lists)
    });
    if lists.is_empty() {
        return (parts, false);
    }
    let mut rest = parts;
    rest.retain(|part| {
        as_list(part).is_none_or(|list| lists.iter().all(|(operand, _)| *operand != list.operand))
    });
    for (operand, lists) in lists {
        let nullable = operand.nullable(schema).unwrap_or(true);
        rest.extend(one_list(&operand, lists, op, nullable));
    }
    (rest, true)
}

/// Whether all values have one type. Values of several types, such as 1 and 1.0, cannot be compared before
/// types are coerced.
fn of_one_type(lists: &[List]) -> bool {
    let values = || lists.iter().flat_map(|list| &list.values);
    let mut types = values().filter(|value| is_value(value)).filter_map(|value| match value {
        Expr::Literal(value, _) => Some(value.data_type()),
        _ => None,
    });
    types.next().is_none_or(|first| types.all(|other| other == first))
}

/// Combines the lists of one operand in one chain. At most one of the returned parts is a list of values.
fn one_list(operand: &Expr, lists: Vec<List>, op: Operator, nullable: bool) -> Vec<Expr> {
    let mut parts = Vec::new();
    let (mut within, mut without): (Vec<Vec<Expr>>, Vec<Vec<Expr>>) = (Vec::new(), Vec::new());
    for list in lists {
        let negated = list.negated;
        let (values, others): (Vec<_>, Vec<_>) = list.values.into_iter().partition(is_value);
        if others.is_empty() {
            if negated { &mut without } else { &mut within }.push(values);
            continue;
        }
        // A column name or NULL is not a plain value, and becomes a comparison of its own.
        let (compared, joined) =
            if negated { (Operator::NotEq, Operator::And) } else { (Operator::Eq, Operator::Or) };
        let others = others.into_iter().map(|other| binary(operand.clone(), compared, other));
        let values = (!values.is_empty()).then(|| listed(operand, values, negated));
        parts.extend(values.into_iter().chain(others).reduce(|left, right| binary(left, joined, right)));
    }
    // In an OR, and in an AND below NOT, IN and NOT IN swap their roles.
    let (same, opposite) = if op == Operator::And { (within, without) } else { (without, within) };
    let negated = op == Operator::Or;
    let outside = || opposite.iter().flatten();
    if same.is_empty() {
        let mut seen = HashSet::new();
        let all: Vec<_> = outside().filter(|value| seen.insert((*value).clone())).cloned().collect();
        if !all.is_empty() {
            parts.push(listed(operand, all, !negated));
        }
        return parts;
    }
    let excluded: HashSet<&Expr> = outside().collect();
    let mut sets = same.into_iter();
    let mut common = sets.next().unwrap_or_default();
    for set in sets {
        let set: HashSet<Expr> = set.into_iter().collect();
        common.retain(|value| set.contains(value));
    }
    common.retain(|value| !excluded.contains(value));
    parts.push(if !common.is_empty() {
        listed(operand, common, negated)
    } else if nullable {
        let unknown = lit(ScalarValue::Boolean(None));
        let operand = Box::new(operand.clone());
        if negated {
            binary(Expr::IsNotNull(operand), Operator::Or, unknown)
        } else {
            binary(Expr::IsNull(operand), Operator::And, unknown)
        }
    } else {
        lit(negated)
    });
    parts
}

fn listed(operand: &Expr, values: Vec<Expr>, negated: bool) -> Expr {
    Expr::InList(InList::new(Box::new(operand.clone()), values, negated))
}

fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if !value.is_null())
}
