//! Lets `ORDER BY recorded_at DESC LIMIT n` read only a part of the store.
//!
//! A sort with a limit keeps the first `n` rows, and gives the scans below it the condition that a further
//! row must meet. Scans leave out files and row groups that cannot meet it. This saves most if the first rows
//! are read first. DataFusion 55.2 lets a Parquet scan begin with the best files and row groups, but only if
//! the scan is directly below the sort. Our rule passes the order through filters and projections, and to
//! every input of a union. The sort itself stays. Delete the rule when DataFusion passes the order through
//! these nodes.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, SortOrderPushdownResult, replace_children_if_necessary};

use super::facts_union::FactsUnionExec;
use super::retained_rows::RetainedExec;
use super::wall_time;

/// Passes the order of a sort with a limit to the scans below it.
#[derive(Debug)]
pub(super) struct NewestFirst;

impl PhysicalOptimizerRule for NewestFirst {
    fn name(&self) -> &'static str {
        "newest_first"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_down(|plan| {
            let Some(sort) = plan.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_some()) else {
                return Ok(Transformed::no(plan));
            };
            match best_first(sort.input(), sort.expr())? {
                Some(input) => Ok(Transformed::yes(replace_children_if_necessary(plan, vec![input])?)),
                None => Ok(Transformed::no(plan)),
            }
        })?;
        Ok(plan.data)
    }
}

/// Returns a plan whose scans begin with the rows that come first in this order; `None` if nothing changes.
fn best_first(
    plan: &Arc<dyn ExecutionPlan>,
    order: &[PhysicalSortExpr],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        if let Some(scan) = computing_scan(scan, order)? {
            return Ok(Some(scan));
        }
        return Ok(match plan.try_pushdown_sort(order)? {
            SortOrderPushdownResult::Exact { inner } | SortOrderPushdownResult::Inexact { inner } => {
                Some(inner)
            }
            SortOrderPushdownResult::Unsupported => None,
        });
    }
    let Some(order) = below(plan, order) else { return Ok(None) };
    let mut changed = false;
    let mut children = Vec::new();
    for child in plan.children() {
        let better = best_first(child, &order)?;
        changed |= better.is_some();
        children.push(better.unwrap_or_else(|| Arc::clone(child)));
    }
    changed.then(|| replace_children_if_necessary(Arc::clone(plan), children)).transpose()
}

/// Returns the order in terms of a node's input. `None` if the node does not pass on the rows of its input,
/// or if it computes the columns of the order.
fn below(plan: &Arc<dyn ExecutionPlan>, order: &[PhysicalSortExpr]) -> Option<Vec<PhysicalSortExpr>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let columns: Vec<_> = projection.expr().iter().map(|column| &column.expr).collect();
        return stored(&columns, order, &projection.input().schema());
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let Some(given) = filter.projection() else { return Some(order.to_vec()) };
        let input = filter.input().schema();
        let column = |sort: &PhysicalSortExpr| {
            let at = *given.get(sort.expr.downcast_ref::<Column>()?.index())?;
            let column = Column::new(input.fields().get(at)?.name(), at);
            Some(PhysicalSortExpr::new(Arc::new(column), sort.options))
        };
        return order.iter().map(column).collect();
    }
    let same = plan.is::<FactsUnionExec>()
        || plan.is::<RetainedExec>()
        || plan.is::<UnionExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>();
    same.then(|| order.to_vec())
}

/// Returns a scan that computes `at`, beginning with the first rows of the order; `None` for other nodes.
fn computing_scan(
    scan: &DataSourceExec,
    order: &[PhysicalSortExpr],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some((config, source)) = scan.downcast_to_file_source::<ParquetSource>() else { return Ok(None) };
    let schema = source.table_schema().table_schema();
    let columns: Vec<_> = source.projection().into_iter().flatten().map(|column| &column.expr).collect();
    if columns.iter().all(|column| column.is::<Column>()) {
        return Ok(None);
    }
    let Some(order) = stored(&columns, order, schema) else { return Ok(None) };
    let sorted = source.try_pushdown_sort(&order, &EquivalenceProperties::new(Arc::clone(schema)))?;
    let SortOrderPushdownResult::Inexact { inner } = sorted else { return Ok(None) };
    let config = FileScanConfigBuilder::from(config.clone()).with_source(inner).build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

/// Converts an order by output columns into an order by stored columns.
///
/// `at` is replaced by `wall_time`, whose range in a segment is the range of `at`, and then by `recorded_at`.
/// This is right because the order only decides where a scan begins, and not which rows it leaves out.
fn stored(
    outputs: &[&Arc<dyn PhysicalExpr>],
    order: &[PhysicalSortExpr],
    input: &SchemaRef,
) -> Option<Vec<PhysicalSortExpr>> {
    let at = wall_time::over(input).ok();
    let mut below = Vec::new();
    for sort in order {
        let output = *outputs.get(sort.expr.downcast_ref::<Column>()?.index())?;
        if output.is::<Column>() {
            below.push(PhysicalSortExpr::new(Arc::clone(output), sort.options));
        } else if at.as_ref() == Some(output) {
            for part in ["wall_time", "recorded_at"] {
                let part = Column::new_with_schema(part, input).ok()?;
                below.push(PhysicalSortExpr::new(Arc::new(part), sort.options));
            }
        } else {
            return None;
        }
    }
    Some(below)
}
