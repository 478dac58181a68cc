//! How large expressions become when a plan is optimized.
//!
//! `SELECT x - x AS x FROM (SELECT x - x AS x FROM …)` is short, and each of its expressions is
//! small. But a filter on top is pushed down to where the rows come from, and on its way each
//! column's name is replaced by what the column is made of: after forty such steps by more than
//! there is memory for, all within one rule of the optimizer. So the sizes that expressions would
//! have are computed first, bottom up, from the sizes of the columns that they name.

use std::collections::HashMap;
use std::rc::Rc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::error::{Error, ErrorKind, Result};

/// An expression that would become larger is refused.
const MAX_EXPRESSION: u64 = 5_000;
/// A plan whose expressions would all together become larger is refused.
const MAX_EXPRESSIONS: u64 = 100_000;

/// Refuses a plan that would grow too large.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    let grown = Growth::default().of(plan);
    let (what, size, limit) = if grown.largest > MAX_EXPRESSION {
        ("an expression of it", grown.largest, MAX_EXPRESSION)
    } else if grown.total > MAX_EXPRESSIONS {
        ("its expressions", grown.total, MAX_EXPRESSIONS)
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Query,
        format!(
            "the SQL is refused: with all columns written out, {what} would have {size} parts, and {limit} are the limit; do not use a column of a subquery twice in each of many steps"
        ),
    ))
}

/// What a part of a plan would grow to.
#[derive(Clone, Default)]
struct Grown {
    /// The size of each column that it gives, written out.
    columns: Rc<[u64]>,
    largest: u64,
    /// Of all expressions in it.
    total: u64,
}

/// Every shared part is looked at once, and remembered by its address.
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

    /// The size of an expression over columns of these sizes. What its subqueries come to is added.
    fn size(&mut self, expr: &Expr, named: &HashMap<&str, u64>, grown: &mut Grown) -> u64 {
        let mut size = 0_u64;
        let _ = expr.apply(|expr| {
            let more = match expr {
                // A list of values may be long.
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

/// The size of each column that a node gives. Where nothing is written out through a node, its
/// columns are columns again.
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
            // A join that keeps the rows of one side only.
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
