//! The answer to a query: its columns, its rows as they are computed, and their progress.

mod monitor;
mod rows;
mod stream;
mod value;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;
use datafusion::dataframe::DataFrame;
use datafusion::execution::memory_pool::MemoryConsumer;
use futures::StreamExt;

use super::failure::query_error;
use super::workers;
use crate::error::Result;
pub use monitor::{Monitor, Step};
pub use rows::{Column, FromValue, Row};
pub use stream::{AnswerStream, Canceller};
pub use value::Value;

/// The answer to a SQL query. Nothing is computed before its rows are requested.
///
/// [`Answer::stream`] returns Arrow record batches as they are computed, [`Answer::collect`] returns all of
/// them at once, and [`Answer::rows`] returns Rust values. Dropping the future or the stream stops the
/// computation.
///
/// ```
/// # use ostracon::{Event, Json, Store};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::open(folder.path().join("facts"))?;
/// # for n in 0..3 {
/// #     store.record(Event::new("shop", "shop:5", "ActorStarted", Json::empty_object(), 1_795_404_290.0))?;
/// # }
/// let answer = store.sql("SELECT event_type, count(*) AS n FROM events GROUP BY 1").await?;
/// for row in answer.rows().await? {
///     let (event_type, n): (String, i64) = (row.get("event_type")?, row.get("n")?);
///     assert_eq!((event_type.as_str(), n), ("ActorStarted", 3));
/// }
/// # Ok(()) }
/// ```
///
/// A clone is computed separately, over the same snapshot of the store.
#[derive(Clone)]
pub struct Answer {
    frame: DataFrame,
}

impl Answer {
    pub(super) const fn new(frame: DataFrame) -> Self {
        Self { frame }
    }

    /// Returns the names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(self.frame.schema().inner())
    }

    /// Plans the query, and returns its rows as they are computed.
    ///
    /// The plan is made on a worker thread. The query's timeout applies, and dropping the future stops the
    /// wait.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) after the query's timeout, and
    /// [`ErrorKind::Query`](crate::ErrorKind::Query) for SQL that cannot be planned.
    pub async fn stream(self) -> Result<AnswerStream> {
        let context = Arc::new(self.frame.task_ctx());
        let plan = workers::physical_plan(self.frame).await?;
        AnswerStream::begin(plan, context)
    }

    /// Computes and returns all rows. They count against the query's memory
    /// ([`query_memory_bytes`](crate::StoreBuilder::query_memory_bytes)).
    ///
    /// An answer without rows has no batches; [`Answer::schema`] returns its columns.
    ///
    /// # Errors
    /// The errors of [`Answer::stream`], [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory) if the
    /// answer is larger than the query's memory, and any error of the computation.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        let pool = Arc::clone(self.frame.task_ctx().memory_pool());
        let kept = MemoryConsumer::new("the answer").register(&pool);
        let mut stream = self.stream().await?;
        let (mut batches, mut seen) = (Vec::new(), HashSet::new());
        while let Some(batch) = stream.next().await.transpose()? {
            let bytes = batch.columns().iter().map(|column| kept_bytes(&column.to_data(), &mut seen)).sum();
            kept.try_grow(bytes).map_err(query_error)?;
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        Ok(batches)
    }

    /// Computes and returns all rows. [`Row::get`] returns the values of a row.
    ///
    /// # Errors
    /// The errors of [`Answer::collect`].
    pub async fn rows(self) -> Result<Vec<Row>> {
        Ok(rows::rows(self.collect().await?))
    }

    /// Returns the DataFusion data frame, for further operations by DataFusion.
    ///
    /// The data frame is planned on the caller's thread. The query's timeout begins with the first row.
    #[cfg(feature = "datafusion")]
    pub fn into_dataframe(self) -> DataFrame {
        self.frame
    }
}

/// Converts a data frame, such as one that was made from [`Answer::into_dataframe`], into an answer.
#[cfg(feature = "datafusion")]
impl From<DataFrame> for Answer {
    fn from(frame: DataFrame) -> Self {
        Self { frame }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("schema", self.frame.schema().inner()).finish_non_exhaustive()
    }
}

/// Returns the size of an array in bytes, without the buffers that were counted before.
fn kept_bytes(data: &ArrayData, seen: &mut HashSet<usize>) -> usize {
    let nulls = data.nulls().map(NullBuffer::buffer);
    let buffers = data.buffers().iter().chain(nulls);
    let own: usize = buffers
        .filter(|buffer| seen.insert(buffer.data_ptr().as_ptr() as usize))
        .map(arrow::buffer::Buffer::capacity)
        .sum();
    own + data.child_data().iter().map(|child| kept_bytes(child, seen)).sum::<usize>()
}
