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

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, GenericByteViewArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{ByteViewType, DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_err};
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
    ReversedUDAF, ReversedUDWF, SetMonotonicity, Signature, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};
use futures::{Stream, StreamExt};

use super::single_input::{same_rows, single_input};
use super::types::{Moving, MovingFrame};

/// The memory of a window operator that is not counted. So a sort below the operator may fill the query's memory.
const FREE_BYTES: usize = 8 << 20;
/// The size of one value in the column that an operator makes.
const VALUE_BYTES: usize = 16;
/// The number of rows in a usual batch.
const BATCH_ROWS: usize = 8192;
/// The length of the longest text that a view contains itself.
const INLINE_BYTES: usize = 12;

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
        let most_rows = context.session_config().batch_size();
        let mut input = self.input.execute(partition, context)?;
        let (whole, schema) = (self.whole, input.schema());
        let batches = futures::stream::poll_fn(move |context| {
            let working = Working::begin(&held);
            let next = input.poll_next_unpin(context);
            drop(working);
            if let Poll::Ready(Some(Ok(batch))) = &next
                && !whole
            {
                held.returned(batch.num_rows())?;
            }
            next
        });
        if !whole {
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)));
        }
        // The operator returns all rows in one batch. Operators above count all texts of a batch for each part of it.
        let parts = batches.map(move |batch| parts(batch, most_rows)).flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, parts)))
    }

    same_rows!();
}

/// Returns the parts of a batch. Each has only its own texts.
fn parts(batch: Result<RecordBatch>, most_rows: usize) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let (batch, failed) = match batch {
        Ok(batch) => (Some(batch), None),
        Err(error) => (None, Some(Err(error))),
    };
    let rows = batch.as_ref().map_or(0, RecordBatch::num_rows);
    let parts = (0..rows).step_by(most_rows.max(1)).map(move |from| {
        let Some(batch) = &batch else { return exec_err!("a window has no rows") };
        let part = batch.slice(from, most_rows.min(rows - from));
        let columns = part.columns().iter().map(|column| match column.data_type() {
            DataType::Utf8View => compact(column.as_string_view()),
            DataType::BinaryView => compact(column.as_binary_view()),
            _ => Arc::clone(column),
        });
        Ok(RecordBatch::try_new(part.schema(), columns.collect())?)
    });
    futures::stream::iter(failed.into_iter().chain(parts))
}

/// Copies the texts of a part out of the buffers of all rows, unless many rows share one text.
fn compact<T: ByteViewType>(column: &GenericByteViewArray<T>) -> ArrayRef {
    let lengths = column.views().iter().map(|view| *view as u32 as usize);
    let texts: usize = lengths.filter(|len| *len > INLINE_BYTES).sum();
    let held: usize = column.data_buffers().iter().map(Buffer::len).sum();
    Arc::new(if texts < held / 2 { column.gc() } else { column.clone() })
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
                    let mut bytes = of_a_row * batch.num_rows();
                    for column in batch.columns() {
                        bytes += size(&column.to_data())?;
                    }
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

/// The size of an array's values, in bytes, if each is copied.
fn size(data: &ArrayData) -> Result<usize> {
    let texts: usize = match data.data_type() {
        DataType::Utf8View | DataType::BinaryView => {
            let views = data.buffers().first().map(Buffer::typed_data::<u128>).unwrap_or_default();
            let views = views.iter().skip(data.offset()).take(data.len());
            views.map(|view| *view as u32 as usize).filter(|len| *len > INLINE_BYTES).sum()
        }
        _ => 0,
    };
    let within = data.child_data().iter().map(size).sum::<Result<usize>>()?;
    let children = data.child_data().iter().map(ArrayData::get_slice_memory_size);
    let children: usize = children.sum::<std::result::Result<_, _>>()?;
    Ok(data.get_slice_memory_size()?.saturating_sub(children) + within + texts)
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
pub(super) fn counted_function(
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
        let all =
            || CURRENT.with_borrow(|held| held.as_ref().map_or(0, |held| held.rows.load(Ordering::Relaxed)));
        match self.copies {
            Some(Copies::Frame) => grow_by_copies(&value, self.rows)?,
            Some(Copies::All) => grow_by_copies(&value, all())?,
            Some(Copies::Batch) => grow_by_copies(&value, self.rows.max(all().min(BATCH_ROWS)))?,
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
