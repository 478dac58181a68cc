//! Computes the size that expressions reach when a plan is optimized.
//!
//! `SELECT x - x AS x FROM (SELECT x - x AS x FROM …)` is short, and each of its expressions is small. But
//! the optimizer moves a filter at the top down to the tables, and replaces each column by the expression
//! that computes it. After forty such steps the expression exceeds the memory, within one rule of the
//! optimizer. So this module computes the sizes first, bottom up, from the sizes of the columns that each
//! expression uses.

use std::collections::HashMap;
use std::rc::Rc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::error::{Error, ErrorKind, Result};

/// The largest number of parts of one expression, with all columns replaced by their expressions.
const MAX_EXPRESSION: u64 = 5_000;
/// The largest total number of parts of all expressions of a plan, with all columns replaced by their
/// expressions.
const MAX_EXPRESSIONS: u64 = 100_000;

/// Refuses a plan that would grow too large.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    let grown = Growth::default().of(plan);
    let (what, size, limit) = if grown.largest > MAX_EXPRESSION {
        ("one of its expressions", grown.largest, MAX_EXPRESSION)
    } else if grown.total > MAX_EXPRESSIONS {
        ("all its expressions", grown.total, MAX_EXPRESSIONS)
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Query,
        format!(
            "the SQL is refused: with each column of a subquery replaced by its expression, {what} would \
             have {size} parts, and the limit is {limit}; use fewer nested subqueries that use one column \
             several times"
        ),
    ))
}

/// The sizes that the expressions in a part of a plan would reach.
#[derive(Clone, Default)]
struct Grown {
    /// The size of the expression for each column of the part's result.
    columns: Rc<[u64]>,
    /// The size of the largest expression.
    largest: u64,
    /// The sum of the sizes of all expressions.
    total: u64,
}

/// Computes each shared part once, and remembers it by its address.
#[derive(Default)]
struct Growth {
    known: HashMap<*const LogicalPlan, Grown>,
}

impl Growth {
    fn of(&mut self, plan: &LogicalPlan) -> Grown {
        let address = std::ptr::from_ref(plan);
        if let Some(known) = self.known.get(&address) {
            return known.clone();
        }
        let mut grown = Grown::default();
        let mut named: HashMap<&str, u64> = HashMap::new();
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            let below = self.of(input);
            grown.largest = grown.largest.max(below.largest);
            grown.total = grown.total.saturating_add(below.total);
            for (field, size) in input.schema().fields().iter().zip(&*below.columns) {
                let known = named.entry(field.name()).or_default();
                *known = (*known).max(*size);
            }
            inputs.push(below.columns);
        }
        let mut sizes = Vec::new();
        for expr in plan.expressions() {
            let size = self.size(&expr, &named, &mut grown);
            grown.largest = grown.largest.max(size);
            grown.total = grown.total.saturating_add(size);
            sizes.push(size);
        }
        grown.columns = columns(plan, &inputs, &sizes).into();
        self.known.insert(address, grown.clone());
        grown
    }

    /// Returns the size of an expression, from the sizes of the columns by name. The sizes of its subqueries
    /// are added to `grown`.
    fn size(&mut self, expr: &Expr, named: &HashMap<&str, u64>, grown: &mut Grown) -> u64 {
        let mut size = 0_u64;
        let _ = expr.apply(|expr| {
            let more = match expr {
                // Constants do not count, because a list of values may be long.
                Expr::Literal(..) => 0,
                Expr::Column(column) => named.get(column.name.as_str()).copied().unwrap_or(1),
                _ => 1,
            };
            size = size.saturating_add(more);
            if let Some(subquery) = super::subquery_of(expr) {
                let below = self.of(&subquery.subquery);
                grown.largest = grown.largest.max(below.largest);
                grown.total = grown.total.saturating_add(below.total);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        size
    }
}

/// Returns the size of each column of a node's result. If the optimizer does not replace columns through a
/// node, each of its columns has the size 1.
fn columns(plan: &LogicalPlan, inputs: &[Rc<[u64]>], expressions: &[u64]) -> Vec<u64> {
    let width = plan.schema().fields().len();
    let mut sizes = match plan {
        LogicalPlan::Projection(_) => expressions.to_vec(),
        LogicalPlan::Aggregate(aggregate) => {
            expressions.iter().copied().take(aggregate.group_expr.len()).collect()
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Window(_) => inputs.first().map(|columns| columns.to_vec()).unwrap_or_default(),
        LogicalPlan::Join(_) => {
            let joined: Vec<u64> = inputs.iter().flat_map(|columns| columns.iter().copied()).collect();
            // A semi or anti join returns the columns of one side only.
            if joined.len() > width { vec![joined.iter().copied().max().unwrap_or(1); width] } else { joined }
        }
        LogicalPlan::Union(_) => (0..width)
            .map(|at| inputs.iter().filter_map(|columns| columns.get(at).copied()).max().unwrap_or(1))
            .collect(),
        _ => Vec::new(),
    };
    sizes.resize(width, 1);
    for size in &mut sizes {
        *size = (*size).max(1);
    }
    sizes
}
