//! An answer to SQL, as Arrow.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, RecordBatch, RecordBatchIterator, RecordBatchReader,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef,
    TimeUnit, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::ffi::FFI_ArrowSchema;
use arrow::ffi_stream::FFI_ArrowArrayStream;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PyTuple};

/// Rows, with the names and types of their columns.
#[pyclass(frozen, module = "ostracon._native")]
pub(crate) struct Answer {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Answer {
    pub(crate) const fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, batches }
    }
}

fn failed(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pymethods]
impl Answer {
    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<&str> {
        self.schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    /// The types of the columns, as Arrow calls them.
    #[getter]
    fn types(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.data_type().to_string()).collect()
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Rows as tuples; instants as nanoseconds.
    fn rows<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        let mut left = most;
        for batch in &self.batches {
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            let columns =
                batch.columns().iter().map(|column| values(py, column)).collect::<PyResult<Vec<_>>>()?;
            for row in 0..batch.num_rows() {
                let row = columns.iter().map(|column| column.get_item(row)).collect::<PyResult<Vec<_>>>()?;
                rows.append(PyTuple::new(py, row)?)?;
            }
        }
        Ok(rows)
    }

    /// The schema, as the Arrow `PyCapsule` interface hands it over.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref()).map_err(failed)?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// The rows, as the Arrow `PyCapsule` interface hands them over: without a copy.
    #[pyo3(signature = (requested_schema=None))]
    #[expect(unused_variables, reason = "a wish, says the interface, that need not be heard")]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let batches = self.batches.clone().into_iter().map(Ok);
        let reader: Box<dyn RecordBatchReader + Send> =
            Box::new(RecordBatchIterator::new(batches, Arc::clone(&self.schema)));
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), c"arrow_array_stream")
    }
}

/// The values of a column.
fn values<'py>(py: Python<'py>, column: &ArrayRef) -> PyResult<Bound<'py, PyList>> {
    macro_rules! primitive {
        ($type:ty) => {
            PyList::new(py, column.as_primitive::<$type>().iter())
        };
    }
    match column.data_type() {
        DataType::Null => PyList::new(py, vec![None::<bool>; column.len()]),
        DataType::Boolean => PyList::new(py, column.as_boolean().iter()),
        DataType::Int8 => primitive!(Int8Type),
        DataType::Int16 => primitive!(Int16Type),
        DataType::Int32 => primitive!(Int32Type),
        DataType::Int64 => primitive!(Int64Type),
        DataType::UInt8 => primitive!(UInt8Type),
        DataType::UInt16 => primitive!(UInt16Type),
        DataType::UInt32 => primitive!(UInt32Type),
        DataType::UInt64 => primitive!(UInt64Type),
        DataType::Float16 => {
            PyList::new(py, column.as_primitive::<Float16Type>().iter().map(|x| x.map(f32::from)))
        }
        DataType::Float32 => primitive!(Float32Type),
        DataType::Float64 => primitive!(Float64Type),
        DataType::Utf8 => PyList::new(py, column.as_string::<i32>().iter()),
        DataType::LargeUtf8 => PyList::new(py, column.as_string::<i64>().iter()),
        DataType::Utf8View => PyList::new(py, column.as_string_view().iter()),
        DataType::Timestamp(_, zone) => {
            let nanos =
                cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())).map_err(failed)?;
            PyList::new(py, nanos.as_primitive::<TimestampNanosecondType>().iter())
        }
        DataType::Dictionary(_, of) => values(py, &cast(column, of).map_err(failed)?),
        DataType::List(_) => lists(py, column.len(), |row| {
            let list = column.as_list::<i32>();
            list.is_valid(row).then(|| list.value(row))
        }),
        DataType::LargeList(_) => lists(py, column.len(), |row| {
            let list = column.as_list::<i64>();
            list.is_valid(row).then(|| list.value(row))
        }),
        DataType::FixedSizeList(..) => lists(py, column.len(), |row| {
            let list: &FixedSizeListArray = column.as_fixed_size_list();
            list.is_valid(row).then(|| list.value(row))
        }),
        DataType::Struct(fields) => {
            let parts = column.as_struct();
            let columns =
                parts.columns().iter().map(|part| values(py, part)).collect::<PyResult<Vec<_>>>()?;
            let rows = PyList::empty(py);
            for row in 0..column.len() {
                if parts.is_null(row) {
                    rows.append(py.None())?;
                    continue;
                }
                let value = PyDict::new(py);
                for (field, column) in fields.iter().zip(&columns) {
                    value.set_item(field.name(), column.get_item(row)?)?;
                }
                rows.append(value)?;
            }
            Ok(rows)
        }
        // Dates, durations, bytes: as text.
        _ => {
            let options = FormatOptions::default();
            let texts = ArrayFormatter::try_new(column, &options).map_err(failed)?;
            let rows = PyList::empty(py);
            for row in 0..column.len() {
                let text = column.is_valid(row).then(|| texts.value(row).to_string());
                rows.append(text)?;
            }
            Ok(rows)
        }
    }
}

fn lists(
    py: Python<'_>,
    rows: usize,
    list: impl Fn(usize) -> Option<ArrayRef>,
) -> PyResult<Bound<'_, PyList>> {
    let all = PyList::empty(py);
    for row in 0..rows {
        match list(row) {
            Some(list) => all.append(values(py, &list)?)?,
            None => all.append(py.None())?,
        }
    }
    Ok(all)
}
