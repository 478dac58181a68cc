//! Limits the memory of values that a query repeats for each row.
//!
//! Operators count the memory of the rows that they keep, and not of the rows that they pass on. So a list of a million
//! values that a join, a subquery or a window repeats for each of 8,192 rows takes 65 GB, and a failed allocation
//! aborts the process. The values that grow without a bound are made by `array_agg` and `string_agg`. Where such a
//! value may be repeated, this module makes the batches small, and refuses a value that is too large for them.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Documentation, Expr, GroupingSet,
    LogicalPlan, LogicalPlanBuilder, ReversedUDAF, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// The number of rows in a batch of a query that repeats large values.
pub(super) const FEW_ROWS: usize = 64;
/// The largest size of the repeated values of one batch, or of one window, in bytes.
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
        LogicalPlan::Window(_) => {
            plan.map_expressions(|expr| expr.transform_up(|expr| Ok(limited_window(expr))))
        }
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

/// Limits the values of one window.
fn limited_window(expr: Expr) -> Transformed<Expr> {
    let Expr::WindowFunction(call) = expr else { return Transformed::no(expr) };
    let WindowFunction { fun, params } = *call;
    match fun {
        WindowFunctionDefinition::AggregateUDF(inner) if is_large(inner.name()) => {
            let limited = Arc::new(AggregateUDF::new_from_impl(OverWindow { inner }));
            let fun = WindowFunctionDefinition::AggregateUDF(limited);
            Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params })))
        }
        fun => Transformed::no(Expr::WindowFunction(Box::new(WindowFunction { fun, params }))),
    }
}

fn too_large(bytes: usize, by: &str) -> DataFusionError {
    let megabytes = bytes >> 20;
    DataFusionError::ResourcesExhausted(format!(
        "values of {megabytes} MB, which array_agg or string_agg made, would be repeated for each row of {by}"
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
            copies if copies > MOST_BYTES => Err(too_large(largest, "a join or a subquery")),
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

/// `array_agg` or `string_agg` over a window: it fails if its values for all rows would be too large.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OverWindow {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for OverWindow {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.inner.return_type(given)
    }

    fn return_field(&self, given: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(given)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(given)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let inner = self.inner.accumulator(args)?;
        Ok(Box::new(Counted { inner, rows: 0, bytes: 0 }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let inner = self.inner.create_sliding_accumulator(args)?;
        Ok(Box::new(Counted { inner, rows: 0, bytes: 0 }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        is_ordered: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = AggregateUDF::clone(&self.inner).with_beneficial_ordering(is_ordered)?;
        Ok(inner.map(|inner| Arc::new(Self { inner: Arc::new(inner) }) as _))
    }

    /// The planner would reverse the frame, too, and fail, because no value can be taken out again. So it sorts.
    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::NotSupported
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.inner.supports_within_group_clause()
    }

    fn default_value(&self, of: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(of)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Counts the values that one window makes.
#[derive(Debug)]
struct Counted {
    inner: Box<dyn Accumulator>,
    rows: usize,
    bytes: usize,
}

impl Accumulator for Counted {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows += values.first().map_or(0, Array::len);
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.inner.evaluate()?;
        let bytes = largest(&value.to_array()?);
        self.bytes = self.bytes.saturating_add(bytes);
        // A window without an order has one value, which all its rows have.
        let all = self.bytes.max(bytes.saturating_mul(self.rows));
        if all > MOST_BYTES { Err(too_large(bytes, "a window")) } else { Ok(value) }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}
