//! The rows of an answer, batch by batch: from the library, or from memory.

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{self, Stream, StreamExt};
use ostracon::AnswerStream;

/// Batches of rows with one schema, in the order in which they arrive.
pub(crate) struct Batches {
    schema: SchemaRef,
    batches: Pin<Box<dyn Stream<Item = anyhow::Result<RecordBatch>> + Send>>,
}

impl Batches {
    pub(crate) fn new(
        schema: SchemaRef,
        batches: impl Stream<Item = anyhow::Result<RecordBatch>> + Send + 'static,
    ) -> Self {
        Self { schema, batches: Box::pin(batches) }
    }

    /// Batches that are in memory already.
    pub(crate) fn from_memory(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self::new(schema, stream::iter(batches.into_iter().map(Ok)))
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<RecordBatch>> {
        self.batches.next().await.transpose()
    }
}

impl From<AnswerStream> for Batches {
    fn from(answer: AnswerStream) -> Self {
        Self::new(answer.schema(), answer.map(|batch| Ok(batch?)))
    }
}
