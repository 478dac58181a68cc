//! Counts the memory of window operators.
//!
//! DataFusion 55.2 counts neither the rows that a window operator keeps, nor the values that it makes. If
//! `first_value` returns a text of a megabyte for each of 10,000 rows, they take 10 GB, and a failed allocation
//! aborts the process. So a [`WindowMemoryExec`] above each window operator holds a part of the query's memory, another
//! one below the operator adds the rows, and the [`window_functions`](super::window_functions) add each value.
//! DataFusion passes nothing of ours to these functions. So while the operator works, the memory that it holds is in a
//! thread-local variable. The arguments that an operator computes for its rows are not counted. Delete this module when
//! DataFusion counts this memory.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, GenericByteViewArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{ByteViewType, DataType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};
use futures::{Stream, StreamExt};

use super::single_input::{same_rows, single_input};

/// The memory of a window operator that is not counted. So a sort below the operator may fill the query's memory.
const FREE_BYTES: usize = 8 << 20;
/// The size of one value in the column that an operator makes.
const VALUE_BYTES: usize = 16;
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
pub(super) fn grow(bytes: usize) -> Result<()> {
    match CURRENT.with_borrow(Clone::clone) {
        Some(held) if bytes > 0 => held.grow(bytes),
        _ => Ok(()),
    }
}

/// Adds rows to the operator that works in this thread.
fn add_rows(rows: usize) {
    CURRENT.with_borrow(|held| held.as_ref().map(|held| held.rows.fetch_add(rows, Ordering::Relaxed)));
}

/// The number of rows that the operator that works in this thread has not returned.
pub(super) fn rows() -> usize {
    CURRENT.with_borrow(|held| held.as_ref().map_or(0, |held| held.rows.load(Ordering::Relaxed)))
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
            let below = WindowMemoryExec { side: Side::Below { columns }, whole, input: Arc::clone(input) };
            let input = replace_children_if_necessary(Arc::clone(&node), vec![Arc::new(below)])?;
            Ok(Transformed::yes(Arc::new(WindowMemoryExec { side: Side::Above, whole, input }) as _))
        })?;
        Ok(plan.data)
    }
}

/// The side of the window operator on which a [`WindowMemoryExec`] is.
#[derive(Clone, Copy, Debug)]
enum Side {
    /// It holds the memory of the operator.
    Above,
    /// It adds the rows to the memory. The operator makes this number of columns.
    Below { columns: usize },
}

/// Returns the rows of its input, and counts them for a window operator.
#[derive(Debug)]
pub(super) struct WindowMemoryExec {
    side: Side,
    /// Whether the operator computes all rows at once.
    whole: bool,
    input: Arc<dyn ExecutionPlan>,
}

impl WindowMemoryExec {
    fn with_input(node: &Self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { side: node.side, whole: node.whole, input }
    }

    /// Returns the rows of the operator, and holds its memory meanwhile.
    fn holding(
        &self,
        mut input: SendableRecordBatchStream,
        context: &TaskContext,
    ) -> SendableRecordBatchStream {
        let memory = MemoryConsumer::new("a window").register(context.memory_pool());
        let held = Arc::new(Held { memory, bytes: AtomicUsize::default(), rows: AtomicUsize::default() });
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
            return Box::pin(RecordBatchStreamAdapter::new(schema, batches));
        }
        // The operator returns all rows in one batch. Operators above count all texts of a batch for each part of it.
        let most_rows = context.session_config().batch_size();
        let parts = batches.map(move |batch| parts(batch, most_rows)).flatten();
        Box::pin(RecordBatchStreamAdapter::new(schema, parts))
    }

    /// Returns the rows for the operator, and adds them to its memory.
    fn adding(&self, mut input: SendableRecordBatchStream, columns: usize) -> SendableRecordBatchStream {
        let (whole, of_a_row, schema) = (self.whole, columns * VALUE_BYTES, input.schema());
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
                    add_rows(batch.num_rows());
                    grow(bytes)?;
                }
                // The operator copies all rows into one batch.
                Poll::Ready(None) if whole => grow(std::mem::take(&mut kept))?,
                _ => {}
            }
            next
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

impl DisplayAs for WindowMemoryExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for WindowMemoryExec {
    fn name(&self) -> &'static str {
        match self.side {
            Side::Above => "WindowMemoryExec",
            Side::Below { .. } => "WindowInputExec",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    single_input!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        Ok(match self.side {
            Side::Above => self.holding(input, &context),
            Side::Below { columns } => self.adding(input, columns),
        })
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

/// The size of an array's values, in bytes, if each is copied.
pub(super) fn size(data: &ArrayData) -> Result<usize> {
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
