//! The rows of an answer as they are computed, and a way to stop the computation.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::Stream;
use futures::stream::{AbortHandle, Abortable, abortable};

use super::monitor::Monitor;
use crate::error::{Error, ErrorKind, Result};
use crate::query::failure::query_error;

/// The rows of an answer, batch by batch, in the answer's order.
///
/// This is a [`Stream`], which ends after an error. Dropping it stops the computation.
pub struct AnswerStream {
    schema: SchemaRef,
    /// `None` after the end.
    batches: Option<Abortable<SendableRecordBatchStream>>,
    canceller: Canceller,
    monitor: Monitor,
}

impl AnswerStream {
    pub(super) fn begin(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Self> {
        let stream = execute_stream(Arc::clone(&plan), context).map_err(query_error)?;
        let schema = stream.schema();
        let (batches, handle) = abortable(stream);
        Ok(Self { schema, batches: Some(batches), canceller: Canceller(handle), monitor: Monitor::new(plan) })
    }

    /// Returns the names and types of the columns of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Returns a handle that stops the computation from another thread, or from a signal handler.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Returns a handle that shows the progress of the computation from another thread.
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }
}

impl Stream for AnswerStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(batches) = &mut self.batches else { return Poll::Ready(None) };
        let next = match Pin::new(batches).poll_next(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(next) => next,
        };
        let next = match next {
            Some(Ok(batch)) => return Poll::Ready(Some(Ok(batch))),
            Some(Err(error)) => Some(Err(query_error(error))),
            None if self.canceller.0.is_aborted() => {
                Some(Err(Error::new(ErrorKind::Cancelled, "the query was cancelled")))
            }
            None => None,
        };
        self.batches = None;
        Poll::Ready(next)
    }
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Stops one query. The next item of its stream is an error of kind [`ErrorKind::Cancelled`], and the computation ends.
/// A stream that has ended is not changed.
#[derive(Clone, Debug)]
pub struct Canceller(AbortHandle);

impl Canceller {
    /// Stops the query. More calls do nothing.
    pub fn cancel(&self) {
        self.0.abort();
    }
}
