//! The functions of windows: they count their values, and compute moving frames anew.
//!
//! The values that a window function returns are added to the [memory](super::window_memory) of its operator. Sums,
//! averages and the like of floating-point numbers over moving frames are computed by [`MovingFrame`].

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::function::{
    AccumulatorArgs, ExpressionArgs, PartitionEvaluatorArgs, StateFieldsArgs, WindowFunctionSimplification,
    WindowUDFFieldArgs,
};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::window_state::WindowAggState;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, ExprSchemable, LimitEffect,
    LogicalPlan, PartitionEvaluator, ReversedUDAF, ReversedUDWF, SetMonotonicity, Signature,
    WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use super::datafusion_corrections::ignored_nulls;
use super::types::{Moving, MovingFrame};
use super::window_memory::{self, grow, size};

/// The number of rows in a usual batch.
const BATCH_ROWS: usize = 8192;

/// Replaces the window functions of a plan by functions that count their values.
pub(super) fn replace(plan: LogicalPlan) -> Result<LogicalPlan> {
    let replaced = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Window(window) = &node else { return Ok(Transformed::no(node)) };
        let schema = Arc::clone(window.input.schema());
        node.map_expressions(|expr| expr.transform_up(|expr| counted(expr, &schema)))
    })?;
    Ok(replaced.data)
}

fn counted(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
    ignored_nulls::check(call)?;
    let WindowFunction { fun, params } = call.as_ref().clone();
    let fun = counted_function(fun, &params, &expr.get_type(schema)?);
    Ok(fun.update_data(|fun| Expr::WindowFunction(Box::new(WindowFunction { fun, params }))))
}

/// The size of a value, in bytes; 0 for a value of a fixed size.
fn value_size(value: &ScalarValue) -> Result<usize> {
    Ok(match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.as_ref().map_or(0, String::len)
        }
        ScalarValue::Binary(bytes)
        | ScalarValue::LargeBinary(bytes)
        | ScalarValue::BinaryView(bytes)
        | ScalarValue::FixedSizeBinary(_, bytes) => bytes.as_ref().map_or(0, Vec::len),
        ScalarValue::Dictionary(_, value) | ScalarValue::RunEndEncoded(_, _, value) => value_size(value)?,
        value if value.data_type().is_nested() => size(&value.to_array()?.to_data())?,
        _ => 0,
    })
}

/// Adds a value that is returned for one row. It is copied from the value into the column.
fn grow_by_value(value: &ScalarValue) -> Result<()> {
    grow(value_size(value)?.saturating_mul(2))
}

/// Adds a value that is returned for each of many rows. Only views share one text.
fn grow_by_copies(value: &ScalarValue, rows: usize) -> Result<()> {
    let copies =
        if matches!(value, ScalarValue::Utf8View(_) | ScalarValue::BinaryView(_)) { 1 } else { rows };
    grow(value_size(value)?.saturating_mul(copies))
}

/// Returns a window function that counts its values. A function of fixed-size values stays as it is, unless its moving
/// frames are computed by [`MovingFrame`].
fn counted_function(
    function: WindowFunctionDefinition,
    params: &WindowFunctionParams,
    returns: &DataType,
) -> Transformed<WindowFunctionDefinition> {
    let is_fixed = returns.is_primitive() || matches!(returns, DataType::Boolean | DataType::Null);
    match function {
        WindowFunctionDefinition::AggregateUDF(inner)
            if !is_fixed || Moving::named(inner.name()).is_some() =>
        {
            let copies = has_one_frame(params).then_some(if params.filter.is_none() {
                Copies::Frame
            } else if params.partition_by.is_empty() {
                Copies::All
            } else {
                Copies::Batch
            });
            let counted = AggregateUDF::new_from_impl(CountedAggregate { inner, copies });
            Transformed::yes(WindowFunctionDefinition::AggregateUDF(Arc::new(counted)))
        }
        WindowFunctionDefinition::WindowUDF(inner) if !is_fixed => {
            let counted = WindowUDF::new_from_impl(CountedFunction { inner });
            Transformed::yes(WindowFunctionDefinition::WindowUDF(Arc::new(counted)))
        }
        function => Transformed::no(function),
    }
}

/// Whether all rows of a partition have one frame, and so one value.
fn has_one_frame(params: &WindowFunctionParams) -> bool {
    let frame = &params.window_frame;
    let is_end = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => frame.units == WindowFrameUnits::Range && params.order_by.is_empty(),
        bound => bound.is_unbounded(),
    };
    is_end(&frame.start_bound) && is_end(&frame.end_bound)
}

/// The rows that have one value. An aggregate with FILTER does not see all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Copies {
    Frame,
    All,
    Batch,
}

/// An aggregate over a window that counts its values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CountedAggregate {
    inner: Arc<AggregateUDF>,
    /// The rows that have the one value of a partition; `None` if each row has its own value.
    copies: Option<Copies>,
}

impl CountedAggregate {
    fn counted(&self, inner: Box<dyn Accumulator>) -> Box<dyn Accumulator> {
        Box::new(CountedAccumulator { inner, copies: self.copies, rows: 0 })
    }
}

impl AggregateUDFImpl for CountedAggregate {
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
        Ok(self.counted(self.inner.accumulator(args)?))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let is_float = |field: &FieldRef| field.data_type().is_floating();
        if let Some(computes) = Moving::named(self.name())
            && !args.is_distinct
            && args.expr_fields.first().is_some_and(is_float)
        {
            return Ok(Box::new(MovingFrame::new(computes)));
        }
        Ok(self.counted(self.inner.create_sliding_accumulator(args)?))
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
        let copies = self.copies;
        Ok(inner.map(|inner| Arc::new(Self { inner: Arc::new(inner), copies }) as _))
    }

    /// Of other functions no value can be taken out again, as a reversed frame would need. So the planner sorts the
    /// rows.
    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_udf() {
            ReversedUDAF::Identical
                if matches!(self.name(), "max" | "min") || Moving::named(self.name()).is_some() =>
            {
                ReversedUDAF::Identical
            }
            _ => ReversedUDAF::NotSupported,
        }
    }

    fn set_monotonicity(&self, of: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(of)
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

/// Counts the values of an aggregate over one partition.
#[derive(Debug)]
struct CountedAccumulator {
    inner: Box<dyn Accumulator>,
    copies: Option<Copies>,
    /// The number of rows that it has seen.
    rows: usize,
}

impl Accumulator for CountedAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows += values.first().map_or(0, Array::len);
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.inner.evaluate()?;
        match self.copies {
            Some(Copies::Frame) => grow_by_copies(&value, self.rows)?,
            Some(Copies::All) => grow_by_copies(&value, window_memory::rows())?,
            Some(Copies::Batch) => {
                grow_by_copies(&value, self.rows.max(window_memory::rows().min(BATCH_ROWS)))?;
            }
            None => grow_by_value(&value)?,
        }
        Ok(value)
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

/// A window function that counts its values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CountedFunction {
    inner: Arc<WindowUDF>,
}

impl WindowUDFImpl for CountedFunction {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn expressions(&self, args: ExpressionArgs<'_>) -> Vec<Arc<dyn PhysicalExpr>> {
        self.inner.expressions(args)
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        let inner = self.inner.partition_evaluator_factory(args)?;
        Ok(Box::new(CountedEvaluator { inner }))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        self.inner.simplify()
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.field(args)
    }

    fn sort_options(&self) -> Option<SortOptions> {
        self.inner.sort_options()
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(given)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        match self.inner.reverse_expr() {
            ReversedUDWF::Reversed(inner) => {
                ReversedUDWF::Reversed(Arc::new(WindowUDF::new_from_impl(Self { inner })))
            }
            reversed => reversed,
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.inner.inner().limit_effect(args)
    }
}

/// Counts the values of a window function over one partition.
#[derive(Debug)]
struct CountedEvaluator {
    inner: Box<dyn PartitionEvaluator>,
}

impl PartitionEvaluator for CountedEvaluator {
    fn memoize(&mut self, state: &mut WindowAggState) -> Result<()> {
        self.inner.memoize(state)
    }

    fn get_range(&self, row: usize, rows: usize) -> Result<Range<usize>> {
        self.inner.get_range(row, rows)
    }

    fn is_causal(&self) -> bool {
        self.inner.is_causal()
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let column = self.inner.evaluate_all(values, rows)?;
        grow(size(&column.to_data())?)?;
        Ok(column)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let value = self.inner.evaluate(values, range)?;
        grow_by_value(&value)?;
        Ok(value)
    }

    fn evaluate_all_with_rank(&self, rows: usize, ranks: &[Range<usize>]) -> Result<ArrayRef> {
        self.inner.evaluate_all_with_rank(rows, ranks)
    }

    fn supports_bounded_execution(&self) -> bool {
        self.inner.supports_bounded_execution()
    }

    fn uses_window_frame(&self) -> bool {
        self.inner.uses_window_frame()
    }

    fn include_rank(&self) -> bool {
        self.inner.include_rank()
    }
}
