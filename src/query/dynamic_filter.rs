//! Lets `ORDER BY at DESC LIMIT n` read only a part of the store.
//!
//! A sort with a limit gives the scans below it a dynamic filter: the condition that a row must meet to be
//! among the first `n`. The condition becomes stricter while the sort reads rows. The column `at` is computed
//! ([`wall_time`]), so the condition contains the expression that computes it, and the segments' statistics
//! cannot decide that. This rule rewrites the condition in terms of the stored columns, each time that a scan
//! asks whether to read on.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::physical_plan::{
    FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{ColumnarValue, Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, DynamicFilterTracking, IsNullExpr, Literal, lit};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::wall_time;

/// Rewrites dynamic filters on `at`. It runs after the rule that moves filters to the scans.
#[derive(Debug)]
pub(super) struct DynamicFilters;

impl PhysicalOptimizerRule for DynamicFilters {
    fn name(&self) -> &'static str {
        "dynamic_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|plan| {
            Ok(match in_stored_terms(&plan)? {
                Some(scan) => Transformed::yes(scan),
                None => Transformed::no(plan),
            })
        })?;
        Ok(plan.data)
    }
}

/// Returns a scan of segments with its dynamic filter on `at` in terms of stored columns; `None` for other
/// nodes.
fn in_stored_terms(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some((config, source)) = plan
        .downcast_ref::<DataSourceExec>()
        .and_then(|scan| scan.downcast_to_file_source::<ParquetSource>())
    else {
        return Ok(None);
    };
    let schema = source.table_schema().table_schema();
    let Some(filter) = source.filter() else { return Ok(None) };
    let at = wall_time::over(schema)?;
    let is_dynamic = DynamicFilterTracking::classify(&filter).contains_dynamic_filter();
    if !is_dynamic || !filter.exists(|part| Ok(part == &at))? {
        return Ok(None);
    }
    let terms = StoredTerms { filter, at, schema: Arc::clone(schema) };
    let source = source.clone().with_predicate(Arc::new(terms));
    let config: FileScanConfig =
        FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

/// A filter on `at`. When statistics have to decide it, it gives a condition in terms of stored columns.
#[derive(Debug, Eq)]
struct StoredTerms {
    filter: Arc<dyn PhysicalExpr>,
    /// The expression that computes `at` in the filter.
    at: Arc<dyn PhysicalExpr>,
    schema: Arc<Schema>,
}

impl PartialEq for StoredTerms {
    fn eq(&self, other: &Self) -> bool {
        self.filter.eq(&other.filter)
    }
}

impl Hash for StoredTerms {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.filter.hash(state);
    }
}

impl fmt::Display for StoredTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt(f)
    }
}

impl StoredTerms {
    /// Returns `at <op> constant` in terms of stored columns; `None` for other expressions.
    fn compared(&self, part: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        // `at` is never NULL.
        if part.downcast_ref::<IsNullExpr>().is_some_and(|null| null.arg() == &self.at) {
            return Ok(Some(lit(false)));
        }
        let Some(comparison) = part.downcast_ref::<BinaryExpr>() else { return Ok(None) };
        let Some(constant) = comparison.right().downcast_ref::<Literal>() else { return Ok(None) };
        let op: Operator = *comparison.op();
        let constant = Expr::Literal(constant.value().clone(), None);
        if comparison.left() != &self.at || !wall_time::decides(op, &constant) {
            return Ok(None);
        }
        wall_time::physical(&wall_time::compare(op, &constant), &self.schema).map(Some)
    }
}

impl PhysicalExpr for StoredTerms {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.filter.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.filter.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.filter.evaluate(batch)
    }

    /// The expression for `at` is a child, too. DataFusion may replace a column by a constant if all rows of
    /// a file have one value. It must do so in both expressions.
    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.filter, &self.at]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [filter, at] = <[_; 2]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("StoredTerms must have two children".to_owned()))?;
        Ok(Arc::new(Self { filter, at, schema: Arc::clone(&self.schema) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt_sql(f)
    }

    /// Returns the current condition in terms of stored columns. DataFusion takes the snapshots of the
    /// children first.
    fn snapshot(&self) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let in_stored_terms = Arc::clone(&self.filter).transform_down(|part| {
            Ok(match self.compared(&part)? {
                Some(stored) => {
                    Transformed::new(stored, true, datafusion::common::tree_node::TreeNodeRecursion::Jump)
                }
                None => Transformed::no(part),
            })
        })?;
        Ok(Some(in_stored_terms.data))
    }
}
