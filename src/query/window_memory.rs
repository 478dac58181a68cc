//! Counts the memory of window operators.
//!
//! DataFusion 55.2 counts neither the rows that a window operator keeps, nor the values that it makes. If
//! `first_value` returns a text of a megabyte for each of 10,000 rows, they take 10 GB, and a failed allocation
//! aborts the process. So a [`WindowMemoryExec`] above each window operator holds a part of the query's memory, a
//! [`WindowInputExec`] below the operator adds the rows, and the functions that may return large values add each
//! value ([`counted_function`]). DataFusion passes nothing of ours to these functions. So while the operator works,
//! the memory that it holds is in a thread-local variable. Delete this module when DataFusion counts this memory.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::function::{
    AccumulatorArgs, ExpressionArgs, PartitionEvaluatorArgs, StateFieldsArgs, WindowFunctionSimplification,
    WindowUDFFieldArgs,
};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::window_state::WindowAggState;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, LimitEffect, PartitionEvaluator,
    ReversedUDAF, ReversedUDWF, Signature, WindowFunctionDefinition, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};
use futures::StreamExt;

use super::single_input::{same_rows, single_input};

/// The memory of a window operator that is not counted. So a sort below the operator may fill the query's memory.
const FREE_BYTES: usize = 8 << 20;
/// The size of one value in the column that an operator makes.
const VALUE_BYTES: usize = 16;

/// The memory that a window operator holds.
struct Held {
    memory: MemoryReservation,
    /// The bytes of the rows and values that the operator holds.
    bytes: AtomicUsize,
    /// The rows that the operator has not returned yet.
    rows: AtomicUsize,
}

impl Held {
    fn grow(&self, bytes: usize) -> Result<()> {
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.memory.try_resize(all.saturating_sub(FREE_BYTES))
    }

    /// Gives back the memory of rows that the operator has returned.
    fn returned(&self, rows: usize) -> Result<()> {
        let held = self.rows.load(Ordering::Relaxed).max(1);
        let left = held.saturating_sub(rows);
        let bytes = self.bytes.load(Ordering::Relaxed) as u128 * left as u128 / held as u128;
        self.rows.store(left, Ordering::Relaxed);
        self.bytes.store(bytes as usize, Ordering::Relaxed);
        self.memory.try_resize((bytes as usize).saturating_sub(FREE_BYTES))
    }
}

thread_local! {
    /// The memory of the window operator that works in this thread.
    static CURRENT: RefCell<Option<Arc<Held>>> = const { RefCell::new(None) };
}

/// Adds bytes to the memory of the operator that works in this thread.
fn grow(bytes: usize) -> Result<()> {
    match CURRENT.with_borrow(Clone::clone) {
        Some(held) if bytes > 0 => held.grow(bytes),
        _ => Ok(()),
    }
}

/// The guard of an operator that works. It restores the operator above, which waits for rows.
struct Working(Option<Arc<Held>>);

impl Working {
    fn begin(held: &Arc<Held>) -> Self {
        Self(CURRENT.replace(Some(Arc::clone(held))))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// The rule that counts the memory of all window operators.
#[derive(Debug)]
pub(super) struct CountWindows;

impl PhysicalOptimizerRule for CountWindows {
    fn name(&self) -> &'static str {
        "count_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            let (whole, input, columns) = if let Some(window) = node.downcast_ref::<WindowAggExec>() {
                (true, window.input(), window.window_expr().len())
            } else if let Some(window) = node.downcast_ref::<BoundedWindowAggExec>() {
                (false, window.input(), window.window_expr().len())
            } else {
                return Ok(Transformed::no(node));
            };
            let below = Arc::new(WindowInputExec { whole, columns, input: Arc::clone(input) });
            let input = replace_children_if_necessary(Arc::clone(&node), vec![below])?;
            Ok(Transformed::yes(Arc::new(WindowMemoryExec { whole, input }) as _))
        })?;
        Ok(plan.data)
    }
}

/// Returns the rows of a window operator, and holds its memory.
#[derive(Debug)]
pub(super) struct WindowMemoryExec {
    /// Whether the operator computes all rows at once.
    whole: bool,
    input: Arc<dyn ExecutionPlan>,
}

impl WindowMemoryExec {
    fn with_input(node: &Self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { whole: node.whole, input }
    }
}

impl DisplayAs for WindowMemoryExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for WindowMemoryExec {
    fn name(&self) -> &'static str {
        "WindowMemoryExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    single_input!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new("a window").register(context.memory_pool());
        let held = Arc::new(Held { memory, bytes: AtomicUsize::default(), rows: AtomicUsize::default() });
        let mut input = self.input.execute(partition, context)?;
        let (whole, schema) = (self.whole, input.schema());
        let batches = futures::stream::poll_fn(move |context| {
            let working = Working::begin(&held);
            let next = input.poll_next_unpin(context);
            drop(working);
            // An operator that computes all rows at once returns them in one batch.
            if let Poll::Ready(Some(Ok(batch))) = &next
                && !whole
            {
                held.returned(batch.num_rows())?;
            }
            next
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    same_rows!();
}

/// Returns the rows of its input, and adds them to the memory of the window operator above.
#[derive(Debug)]
pub(super) struct WindowInputExec {
    /// Whether the operator computes all rows at once.
    whole: bool,
    /// The number of columns that the operator makes.
    columns: usize,
    input: Arc<dyn ExecutionPlan>,
}

impl WindowInputExec {
    fn with_input(node: &Self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { whole: node.whole, columns: node.columns, input }
    }
}

impl DisplayAs for WindowInputExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for WindowInputExec {
    fn name(&self) -> &'static str {
        "WindowInputExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    single_input!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut input = self.input.execute(partition, context)?;
        let (whole, of_a_row, schema) = (self.whole, self.columns * VALUE_BYTES, input.schema());
        let mut kept = 0;
        let batches = futures::stream::poll_fn(move |context| {
            let next = input.poll_next_unpin(context);
            match &next {
                Poll::Ready(Some(Ok(batch))) => {
                    let bytes = size(batch)? + of_a_row * batch.num_rows();
                    kept += bytes;
                    if let Some(held) = CURRENT.with_borrow(Clone::clone) {
                        held.rows.fetch_add(batch.num_rows(), Ordering::Relaxed);
                    }
                    grow(bytes)?;
                }
                // The operator copies all rows into one batch.
                Poll::Ready(None) if whole => grow(std::mem::take(&mut kept))?,
                _ => {}
            }
            next
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    same_rows!();
}

/// The size of the rows of a batch, in bytes.
fn size(batch: &RecordBatch) -> Result<usize> {
    let sizes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    Ok(sizes.sum::<std::result::Result<_, _>>()?)
}

/// The size of a value, in bytes; 0 for a value of a fixed size.
fn value_size(value: &ScalarValue) -> Result<usize> {
    Ok(match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.as_ref().map_or(0, String::len)
        }
        ScalarValue::Binary(bytes) | ScalarValue::LargeBinary(bytes) | ScalarValue::BinaryView(bytes) => {
            bytes.as_ref().map_or(0, Vec::len)
        }
        ScalarValue::List(list) => list.to_data().get_slice_memory_size()?,
        ScalarValue::LargeList(list) => list.to_data().get_slice_memory_size()?,
        ScalarValue::Struct(fields) => fields.to_data().get_slice_memory_size()?,
        ScalarValue::Map(entries) => entries.to_data().get_slice_memory_size()?,
        _ => 0,
    })
}

/// Adds a value that is returned for one row. It is copied from the value into the column.
fn grow_by_value(value: &ScalarValue) -> Result<()> {
    grow(value_size(value)?.saturating_mul(2))
}

/// Returns a window function that counts its values, in place of a function that may return large values.
pub(super) fn counted_function(
    function: WindowFunctionDefinition,
    params: &WindowFunctionParams,
) -> Transformed<WindowFunctionDefinition> {
    match function {
        WindowFunctionDefinition::AggregateUDF(inner) if has_large_values(inner.name()) => {
            let (start, end) = (&params.window_frame.start_bound, &params.window_frame.end_bound);
            let one_value = start.is_unbounded() && (end.is_unbounded() || params.order_by.is_empty());
            let counted = AggregateUDF::new_from_impl(CountedAggregate { inner, one_value });
            Transformed::yes(WindowFunctionDefinition::AggregateUDF(Arc::new(counted)))
        }
        WindowFunctionDefinition::WindowUDF(inner) if has_large_values(inner.name()) => {
            let counted = WindowUDF::new_from_impl(CountedFunction { inner });
            Transformed::yes(WindowFunctionDefinition::WindowUDF(Arc::new(counted)))
        }
        function => Transformed::no(function),
    }
}

/// Whether a window function returns values of the rows, or of all rows together.
fn has_large_values(name: &str) -> bool {
    matches!(
        name,
        "array_agg"
            | "first_value"
            | "lag"
            | "last_value"
            | "lead"
            | "max"
            | "min"
            | "nth_value"
            | "string_agg"
    )
}

/// An aggregate over a window that counts its values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CountedAggregate {
    inner: Arc<AggregateUDF>,
    /// Whether all rows of a partition have the same value.
    one_value: bool,
}

impl CountedAggregate {
    fn counted(&self, inner: Box<dyn Accumulator>) -> Box<dyn Accumulator> {
        Box::new(CountedAccumulator { inner, rows: self.one_value.then_some(0) })
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
        let one_value = self.one_value;
        Ok(inner.map(|inner| Arc::new(Self { inner: Arc::new(inner), one_value }) as _))
    }

    /// Of other functions than `min` and `max` no value can be taken out again, as a reversed frame would need. So
    /// the planner sorts the rows.
    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_udf() {
            ReversedUDAF::Identical if matches!(self.name(), "max" | "min") => ReversedUDAF::Identical,
            _ => ReversedUDAF::NotSupported,
        }
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
    /// The number of rows that have the one value of the partition; `None` if each row has its own value.
    rows: Option<usize>,
}

impl Accumulator for CountedAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if let Some(rows) = &mut self.rows {
            *rows += values.first().map_or(0, Array::len);
        }
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.inner.evaluate()?;
        match self.rows {
            Some(rows) => grow(value_size(&value)?.saturating_mul(rows))?,
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
        grow(column.to_data().get_slice_memory_size()?)?;
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
