//! An answer to SQL, as Arrow record batches: complete, or batch by batch.

use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ffi::FFI_ArrowSchema;
use arrow::ffi_stream::FFI_ArrowArrayStream;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use futures::StreamExt;
use ostracon::{AnswerStream, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList, PyTuple};

use crate::adapt::{Library, adapt};
use crate::error::{is_fault, misuse, of_kind, raise};
use crate::guard::{Turns, caught, check};
use crate::runtime::Queries;
use crate::values::{failed, unique, values};

/// The number of rows that are converted at a time. Between two parts, other threads run, and Ctrl-C is
/// checked.
const ROWS_AT_ONCE: usize = 1_000;

/// The rows of an answer, with the names and types of their columns.
#[pyclass(frozen, module = "ostracon._native")]
pub(crate) struct Answer {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Answer {
    /// Computes and collects the rows of an answer.
    pub(crate) async fn collect(answer: ostracon::Answer) -> ostracon::Result<Self> {
        let mut schema = answer.schema();
        let batches = answer.collect().await?;
        if let Some(first) = batches.first() {
            schema = first.schema();
        }
        Ok(Self { schema, batches })
    }

    fn reader(&self) -> Box<dyn RecordBatchReader + Send> {
        let batches = self.batches.clone().into_iter().map(Ok);
        Box::new(RecordBatchIterator::new(batches, Arc::clone(&self.schema)))
    }
}

fn capsule(py: Python<'_>, reader: Box<dyn RecordBatchReader + Send>) -> PyResult<Bound<'_, PyCapsule>> {
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), c"arrow_array_stream")
}

fn schema_capsule<'py>(py: Python<'py>, schema: &SchemaRef) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(schema.as_ref()).map_err(failed)?;
    PyCapsule::new_with_value(py, schema, c"arrow_schema")
}

fn names(schema: &SchemaRef) -> Vec<&str> {
    schema.fields().iter().map(|field| field.name().as_str()).collect()
}

fn types(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| field.data_type().to_string()).collect()
}

fn tuples<'py>(
    py: Python<'py>,
    columns: &[ArrayRef],
    count: usize,
    rows: &Bound<'py, PyList>,
) -> PyResult<()> {
    let columns = columns.iter().map(|column| values(py, column)).collect::<PyResult<Vec<_>>>()?;
    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    for _ in 0..count {
        let row: Vec<_> = columns.iter_mut().filter_map(Iterator::next).collect();
        rows.append(PyTuple::new(py, row)?)?;
    }
    Ok(())
}

#[pymethods]
impl Answer {
    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<&str> {
        names(&self.schema)
    }

    /// The names of the columns, made unique.
    #[getter]
    fn keys(&self) -> Vec<String> {
        unique(names(&self.schema).into_iter())
    }

    /// The Arrow types of the columns.
    #[getter]
    fn types(&self) -> Vec<String> {
        types(&self.schema)
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Returns up to `most` rows as tuples, after the first `after` rows.
    #[pyo3(signature = (most, after=0))]
    fn rows<'py>(&self, py: Python<'py>, most: usize, after: usize) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        let (mut skip, mut left) = (after, most);
        let mut turns = Turns::new();
        for batch in &self.batches {
            let skipped = skip.min(batch.num_rows());
            skip -= skipped;
            let mut from = skipped;
            while from < batch.num_rows() && left > 0 {
                let count = (batch.num_rows() - from).min(left).min(ROWS_AT_ONCE);
                let columns: Vec<_> =
                    batch.columns().iter().map(|column| column.slice(from, count)).collect();
                caught(|| tuples(py, &columns, count, &rows))??;
                from += count;
                left -= count;
                turns.give(py);
                check(py)?;
            }
        }
        Ok(rows)
    }

    /// Returns the batches, each as a separate answer.
    fn batches(&self) -> Vec<Self> {
        let one =
            |batch: &RecordBatch| Self { schema: Arc::clone(&self.schema), batches: vec![batch.clone()] };
        self.batches.iter().map(one).collect()
    }

    /// Returns the rows in types that "pandas" or "polars" supports.
    fn adapted(&self, py: Python<'_>, library: &str) -> PyResult<Self> {
        let library = match library {
            "pandas" => Library::Pandas,
            "polars" => Library::Polars,
            other => return Err(misuse(format!("the library must be pandas or polars, and not {other:?}"))),
        };
        let batches =
            caught(|| py.detach(|| adapt(&self.batches, &self.schema, library)))?.map_err(failed)?;
        let schema = batches.first().map_or_else(|| Arc::clone(&self.schema), RecordBatch::schema);
        Ok(Self { schema, batches })
    }

    /// Returns the rows as the bytes of an Arrow IPC stream.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let write = || -> Result<Vec<u8>, ArrowError> {
            let mut writer = StreamWriter::try_new(Vec::new(), &self.schema)?;
            self.batches.iter().try_for_each(|batch| writer.write(batch))?;
            writer.into_inner()
        };
        Ok(PyBytes::new(py, &caught(|| py.detach(write))?.map_err(failed)?))
    }

    /// Reads the bytes that [`Answer::to_bytes`] returned.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let read = || -> Result<Self, ArrowError> {
            let reader = StreamReader::try_new(Cursor::new(bytes), None)?;
            let schema = reader.schema();
            Ok(Self { schema, batches: reader.collect::<Result<_, _>>()? })
        };
        caught(|| py.detach(read))?.map_err(failed)
    }

    /// Joins parts of a stream into one answer.
    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "Python passes a list")]
    fn joined(of: &Stream, parts: Vec<PyRef<'_, Self>>) -> Self {
        let batches = parts.iter().flat_map(|part| part.batches.iter().cloned()).collect();
        Self { schema: Arc::clone(&of.schema), batches }
    }

    /// Returns the schema by the Arrow `PyCapsule` interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.schema)
    }

    /// Returns the rows by the Arrow `PyCapsule` interface, without a copy.
    #[pyo3(signature = (requested_schema=None))]
    #[expect(unused_variables, reason = "the interface allows to ignore the requested schema")]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        capsule(py, self.reader())
    }
}

/// An answer that is computed while it is read.
#[pyclass(frozen, module = "ostracon._native")]
pub(crate) struct Stream {
    schema: SchemaRef,
    queries: Queries,
    rest: Mutex<Rest>,
    process: u32,
}

/// The rest of an answer, which has not been read yet.
enum Rest {
    Open(AnswerStream),
    /// Another thread has taken the stream, and reads from it.
    BeingRead,
    /// All rows were read, or the stream was closed.
    Ended,
    /// The query failed before its end.
    Failed(CutShort),
}

/// The error that ended an answer before its last row. Each later read fails with it, because the rest must
/// not look empty.
#[derive(Clone)]
struct CutShort {
    kind: ErrorKind,
    why: String,
}

impl CutShort {
    fn by(error: &ostracon::Error) -> Self {
        Self { kind: error.kind(), why: error.to_string() }
    }

    /// Returns the text of a later error. The first read fails with the query's own error.
    fn again(&self) -> String {
        format!("the rest of the answer is missing, because the query failed: {}", self.why)
    }
}

impl Stream {
    pub(crate) fn new(queries: Queries, batches: AnswerStream) -> Self {
        let schema = batches.schema();
        Self { schema, queries, rest: Mutex::new(Rest::Open(batches)), process: std::process::id() }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the stream to read from it, and puts `then` in its place. Returns `None` at the end.
    fn take(&self, then: Rest) -> PyResult<Option<AnswerStream>> {
        if self.process != std::process::id() {
            return Err(misuse(
                "this answer is computed in the parent process; run the query again in this process",
            ));
        }
        let mut rest = self.rest();
        match &*rest {
            Rest::Open(_) => {}
            Rest::Ended => return Ok(None),
            Rest::Failed(cut) => return Err(of_kind(cut.kind, cut.again())),
            Rest::BeingRead => {
                return Err(misuse(
                    "another thread reads this answer; only one thread may read it at a time",
                ));
            }
        }
        match std::mem::replace(&mut *rest, then) {
            Rest::Open(stream) => Ok(Some(stream)),
            _ => Ok(None),
        }
    }

    /// Sets the rest of the answer after a read. An answer that was closed meanwhile stays closed.
    fn leave(&self, next: Rest) {
        let mut rest = self.rest();
        if matches!(*rest, Rest::BeingRead) {
            *rest = next;
        }
    }
}

#[pymethods]
impl Stream {
    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<&str> {
        names(&self.schema)
    }

    /// The Arrow types of the columns.
    #[getter]
    fn types(&self) -> Vec<String> {
        types(&self.schema)
    }

    /// Returns the next rows; `None` at the end. A call that is stopped while it waits loses no rows: the
    /// next call continues.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Answer>> {
        let Some(mut stream) = self.take(Rest::BeingRead)? else { return Ok(None) };
        loop {
            let waited = self.queries.wait(py, async { Ok(stream.next().await.transpose()) });
            match waited {
                Ok(Ok(Some(batch))) if batch.num_rows() == 0 => {}
                Ok(Ok(Some(batch))) => {
                    self.leave(Rest::Open(stream));
                    return Ok(Some(Answer { schema: Arc::clone(&self.schema), batches: vec![batch] }));
                }
                Ok(Ok(None)) => {
                    self.leave(Rest::Ended);
                    return Ok(None);
                }
                Ok(Err(error)) => {
                    self.leave(Rest::Failed(CutShort::by(&error)));
                    return Err(raise(error));
                }
                // After a panic, the state of the stream is unknown.
                Err(error) if is_fault(py, &error) => {
                    let cut = CutShort { kind: ErrorKind::Internal, why: error.value(py).to_string() };
                    self.leave(Rest::Failed(cut));
                    return Err(error);
                }
                Err(stopped) => {
                    self.leave(Rest::Open(stream));
                    return Err(stopped);
                }
            }
        }
    }

    /// Stops the computation.
    fn close(&self, py: Python<'_>) {
        if self.process == std::process::id() {
            let rest = std::mem::replace(&mut *self.rest(), Rest::Ended);
            py.detach(|| drop(rest));
        }
    }

    /// Returns the schema by the Arrow `PyCapsule` interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.schema)
    }

    /// Returns the rows that have not been read yet by the Arrow `PyCapsule` interface. They are computed
    /// while they are read.
    #[pyo3(signature = (requested_schema=None))]
    #[expect(unused_variables, reason = "the interface allows to ignore the requested schema")]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let rest = self.take(Rest::Ended)?.map_or(Rest::Ended, Rest::Open);
        let reader = Reader { schema: Arc::clone(&self.schema), queries: self.queries.clone(), rest };
        capsule(py, Box::new(reader))
    }
}

/// A stream for another library, which waits for each batch.
struct Reader {
    schema: SchemaRef,
    queries: Queries,
    rest: Rest,
}

impl Iterator for Reader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let stream = match &mut self.rest {
            Rest::Open(stream) => stream,
            Rest::Failed(cut) => return Some(Err(ArrowError::ExternalError(cut.again().into()))),
            Rest::Ended | Rest::BeingRead => return None,
        };
        let queries = &self.queries;
        let batch = match caught(|| queries.block_on(stream.next())) {
            Ok(batch) => batch,
            // After a panic, the state of the stream is unknown.
            Err(error) => {
                let cut = CutShort { kind: ErrorKind::Internal, why: error.to_string() };
                let text = cut.again();
                self.rest = Rest::Failed(cut);
                return Some(Err(ArrowError::ExternalError(text.into())));
            }
        };
        match batch {
            Ok(Some(Ok(batch))) => Some(Ok(batch)),
            Ok(None) => {
                self.rest = Rest::Ended;
                None
            }
            Ok(Some(Err(error))) => {
                self.rest = Rest::Failed(CutShort::by(&error));
                Some(Err(ArrowError::ExternalError(Box::new(error))))
            }
            Err(error) => Some(Err(ArrowError::ExternalError(Box::new(error)))),
        }
    }
}

impl RecordBatchReader for Reader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// Answers a query, and collects all rows.
pub(crate) fn collect(
    queries: &Queries,
    py: Python<'_>,
    answer: impl Future<Output = ostracon::Result<ostracon::Answer>> + Send,
) -> PyResult<Answer> {
    queries.wait(py, async move { Answer::collect(answer.await?).await })
}

/// Answers a query, and returns its rows as they are computed.
pub(crate) fn stream(
    queries: &Queries,
    py: Python<'_>,
    answer: impl Future<Output = ostracon::Result<ostracon::Answer>> + Send,
) -> PyResult<Stream> {
    let batches = queries.wait(py, async move { answer.await?.stream().await })?;
    Ok(Stream::new(queries.clone(), batches))
}
