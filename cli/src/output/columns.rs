//! The columns of an answer, in types that the output can hold.
//!
//! The types of the columns decide this, before the first row arrives. If a file has no type for a column,
//! the column becomes text in it, and a note says so. Each column of an answer has a unique name already.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use super::cells::Cells;
use super::json;

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// CSV or TSV: a value with parts is JSON in its cell.
    Separated,
    Json,
    Parquet,
    Arrow,
}

/// The conversion of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Conversion {
    AsItIs,
    Cast(DataType),
    /// Writes the text that tables show.
    Text,
    /// Writes the text that JSON has.
    Json,
}

/// The conversion of each column.
pub(super) struct Columns {
    pub(super) schema: SchemaRef,
    conversions: Vec<Conversion>,
    /// Messages for people about changed types.
    pub(super) notes: Vec<String>,
}

impl Columns {
    pub(super) fn new(schema: &Schema, form: Form) -> Self {
        let (mut fields, mut conversions, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for field in schema.fields() {
            let name = field.name();
            let held = form.holds(field.data_type());
            if matches!(held, Conversion::Text | Conversion::Json)
                && matches!(form, Form::Parquet | Form::Arrow)
            {
                let kind = kind(field.data_type());
                notes.push(format!(
                    "{name}: a file of this kind has no type for {kind}; it is written as text"
                ));
            }
            let data_type = match &held {
                Conversion::AsItIs => field.data_type().clone(),
                Conversion::Cast(to) => to.clone(),
                Conversion::Text | Conversion::Json => DataType::Utf8,
            };
            let metadata = if held == Conversion::AsItIs { field.metadata().clone() } else { HashMap::new() };
            // An answer's columns may hold NULL where their types say they do not.
            fields.push(Field::new(name, data_type, true).with_metadata(metadata));
            conversions.push(held);
        }
        Self { schema: Arc::new(Schema::new(fields)), conversions, notes }
    }

    /// The converted rows.
    pub(super) fn apply(&self, batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
        let schema = batch.schema();
        let columns = self.conversions.iter().zip(batch.columns()).zip(schema.fields());
        let columns = columns.map(|((conversion, column), field)| conversion.apply(column, field));
        let columns = columns.collect::<anyhow::Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

impl Conversion {
    fn apply(&self, column: &ArrayRef, field: &FieldRef) -> anyhow::Result<ArrayRef> {
        Ok(match self {
            Self::AsItIs => Arc::clone(column),
            // A value that does not fit is an error, not NULL.
            Self::Cast(to) => {
                cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })?
            }
            Self::Text => {
                let cells = Cells::new(column.as_ref())?;
                let texts = (0..column.len()).map(|row| cells.text(row));
                Arc::new(texts.collect::<Result<StringArray, _>>()?)
            }
            Self::Json => Arc::new(json::texts(field, column)?),
        })
    }
}

impl Form {
    fn holds(self, kind: &DataType) -> Conversion {
        let has_none = !self.has_type(kind);
        if kind.is_nested() && (has_none || self == Self::Separated) {
            return Conversion::Json;
        }
        if has_none {
            return Conversion::Text;
        }
        let to = if self == Self::Parquet { without_seconds(kind) } else { kind.clone() };
        if to == *kind { Conversion::AsItIs } else { Conversion::Cast(to) }
    }

    /// Whether a file of this form has a type for it that its readers know. Text can hold every type.
    fn has_type(self, kind: &DataType) -> bool {
        if !matches!(self, Self::Parquet | Self::Arrow) {
            return true;
        }
        match kind {
            DataType::Interval(_) | DataType::Union(..) | DataType::RunEndEncoded(..) => false,
            // Parquet would store only a number, without its unit.
            DataType::Duration(_) => self == Self::Arrow,
            DataType::Decimal256(digits, _) => *digits <= 38,
            DataType::Struct(fields) => {
                let names: HashSet<_> = fields.iter().map(|field| field.name()).collect();
                !fields.is_empty()
                    && names.len() == fields.len()
                    && fields.iter().all(|field| self.has_type(field.data_type()))
            }
            _ => inner(kind).is_none_or(|inner| self.has_type(inner.data_type())),
        }
    }
}

/// The field within a list, a map or a similar type.
fn inner(kind: &DataType) -> Option<&FieldRef> {
    match kind {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => Some(field),
        _ => None,
    }
}

/// The type with units that Parquet has: it would store seconds as plain numbers.
fn without_seconds(kind: &DataType) -> DataType {
    let within = |field: &FieldRef| {
        Arc::new(field.as_ref().clone().with_data_type(without_seconds(field.data_type())))
    };
    match kind {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        DataType::Date64 => DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Decimal256(digits, scale) if *digits <= 38 => DataType::Decimal128(*digits, *scale),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(within).collect()),
        DataType::List(field) => DataType::List(within(field)),
        DataType::LargeList(field) => DataType::LargeList(within(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(within(field), *size),
        DataType::Map(field, sorted) => DataType::Map(within(field), *sorted),
        _ => kind.clone(),
    }
}

/// The name, for people, of a type that a file has no type for.
fn kind(kind: &DataType) -> String {
    match kind {
        DataType::Interval(_) => "intervals".to_owned(),
        DataType::Duration(_) => "lengths of time".to_owned(),
        DataType::Union(..) => "values of several types".to_owned(),
        DataType::Decimal256(..) => "numbers of more than 38 digits".to_owned(),
        other => other.to_string(),
    }
}
