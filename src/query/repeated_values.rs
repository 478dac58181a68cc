//! Limits the memory of values that a query repeats for each row.
//!
//! Operators count the memory of the rows that they keep, and not of the rows that they pass on. So a list of a million
//! values that a join, a subquery or a window repeats for each of 8,192 rows takes 65 GB, and a failed allocation
//! aborts the process. The values that grow without a bound are made by `array_agg` and `string_agg`. Where a join or a
//! subquery may repeat such a value, this module makes the batches small, and refuses a value that is too large for
//! them. The values of windows are counted ([`window_memory`](super::window_memory)).

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

/// The number of rows in a batch of a query that repeats large values.
pub(super) const FEW_ROWS: usize = 64;
/// The largest size of the repeated values of one batch, in bytes.
const MOST_BYTES: usize = 256 << 20;
/// The number of grouping sets with which the keys of a usual batch are large.
const MANY_SETS: usize = 64;

/// A plan whose large values are limited.
pub(super) struct Limited {
    pub(super) plan: LogicalPlan,
    /// Whether its batches need to be small.
    pub(super) few_rows: bool,
}

/// Limits the values that a plan repeats.
pub(super) fn limit(plan: LogicalPlan) -> Result<Limited> {
    let mut few_rows = false;
    let plan = limited(plan, false, &mut few_rows)?.data;
    Ok(Limited { plan, few_rows })
}

/// Limits the values of a part of a plan. `repeated` says whether its rows may be repeated by a node above.
fn limited(plan: LogicalPlan, repeated: bool, few_rows: &mut bool) -> Result<Transformed<LogicalPlan>> {
    let below = repeated || matches!(plan, LogicalPlan::Join(_) | LogicalPlan::Unnest(_));
    let plan = plan.map_subqueries(|subquery| limited(subquery, true, few_rows))?;
    let plan = plan.transform_data(|plan| plan.map_children(|input| limited(input, below, few_rows)))?;
    plan.transform_data(|plan| match plan {
        LogicalPlan::Aggregate(aggregate) => {
            *few_rows |= sets(&aggregate.group_expr) > MANY_SETS;
            let is_large = |expr: &Expr| is_of_large(expr.clone().unalias());
            if !repeated || !aggregate.aggr_expr.iter().any(is_large) {
                return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
            }
            *few_rows = true;
            let large_from = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
            let columns = aggregate.schema.iter().enumerate().map(|(at, (table, field))| {
                let column = Expr::Column(Column::new(table.cloned(), field.name()));
                let made_by = at.checked_sub(large_from).and_then(|at| aggregate.aggr_expr.get(at));
                if made_by.is_some_and(is_large) {
                    limit_function().call(vec![column]).alias_qualified(table.cloned(), field.name())
                } else {
                    column
                }
            });
            let columns: Vec<_> = columns.collect();
            let plan =
                LogicalPlanBuilder::new(LogicalPlan::Aggregate(aggregate)).project(columns)?.build()?;
            Ok(Transformed::yes(plan))
        }
        plan => Ok(Transformed::no(plan)),
    })
}

/// Whether an aggregate makes values that grow with the number of rows.
fn is_large(name: &str) -> bool {
    matches!(name, "array_agg" | "string_agg")
}

fn is_of_large(expr: Expr) -> bool {
    matches!(expr, Expr::AggregateFunction(call) if is_large(call.func.name()))
}

/// The number of grouping sets in a GROUP BY.
fn sets(keys: &[Expr]) -> usize {
    let sets = keys.iter().map(|key| match key {
        Expr::GroupingSet(GroupingSet::Cube(keys)) => {
            1_usize.checked_shl(keys.len() as u32).unwrap_or(usize::MAX)
        }
        Expr::GroupingSet(GroupingSet::Rollup(keys)) => keys.len() + 1,
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets.len(),
        _ => 1,
    });
    sets.fold(1, usize::saturating_mul)
}

fn too_large(bytes: usize) -> DataFusionError {
    let megabytes = bytes >> 20;
    DataFusionError::ResourcesExhausted(format!(
        "values of {megabytes} MB, which array_agg or string_agg made, would be repeated for each row of a join or a \
         subquery"
    ))
}

fn limit_function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Arc::new(ScalarUDF::new_from_impl(LimitedValue(Signature::any(1, Volatility::Immutable))))
    });
    Arc::clone(&FUNCTION)
}

/// A function that returns its argument, and fails if the copies of one value for a batch would be too large.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LimitedValue(Signature);

impl ScalarUDFImpl for LimitedValue {
    fn name(&self) -> &'static str {
        "limited_value"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, of: &[DataType]) -> Result<DataType> {
        let first = of.first().cloned();
        first.ok_or_else(|| DataFusionError::Plan(format!("{} takes one argument", self.name())))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = <[ColumnarValue; 1]>::try_from(arguments.args)
            .map_err(|_| DataFusionError::Plan(format!("{} takes one argument", self.name())))?;
        let largest = match &value {
            ColumnarValue::Array(values) => largest(values),
            ColumnarValue::Scalar(value) => largest(&value.to_array()?),
        };
        match largest.saturating_mul(FEW_ROWS) {
            copies if copies > MOST_BYTES => Err(too_large(largest)),
            _ => Ok(value),
        }
    }
}

/// The size of the largest value, in bytes.
fn largest(values: &ArrayRef) -> usize {
    fn longest<O: OffsetSizeTrait>(offsets: &[O]) -> usize {
        let lengths = offsets.windows(2).map(|pair| match pair {
            [begin, end] => end.as_usize().saturating_sub(begin.as_usize()),
            _ => 0,
        });
        lengths.max().unwrap_or_default()
    }
    // Of a list, all items are taken to be as large as the average.
    let of_list = |longest: usize, items: &ArrayRef| {
        let bytes = items.to_data().get_slice_memory_size().unwrap_or_default();
        longest.saturating_mul(bytes.div_ceil(items.len().max(1)))
    };
    match values.data_type() {
        DataType::Utf8 => longest(values.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => longest(values.as_string::<i64>().value_offsets()),
        DataType::Utf8View => {
            values.as_string_view().views().iter().map(|view| *view as u32 as usize).max().unwrap_or_default()
        }
        DataType::List(_) => {
            let lists = values.as_list::<i32>();
            of_list(longest(lists.value_offsets()), lists.values())
        }
        DataType::LargeList(_) => {
            let lists = values.as_list::<i64>();
            of_list(longest(lists.value_offsets()), lists.values())
        }
        _ => values.get_array_memory_size(),
    }
}
