//! Values as JSON: the output is valid JSON for every value, and exact.
//!
//! Arrow's writer does most of it. This module writes the rest: times that Arrow would write as the text of
//! an error; numbers that JSON cannot write (`"NaN"`, `"Infinity"`, as in PostgreSQL); maps with any type of
//! key; and unions, which are written as their values.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, StringArray, UnionArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonFormat, NullableEncoder, Writer, WriterBuilder, make_encoder};
use arrow::json::{Encoder, EncoderFactory, EncoderOptions};

use super::cells::Cells;

/// The encoders of values, and the first error of a value: an encoder cannot return an error.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(Arc<Mutex<Option<ArrowError>>>);

impl Values {
    /// The options for Arrow's encoders. NULL is always written.
    pub(super) fn options(&self) -> EncoderOptions {
        EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(self.clone()))
    }

    /// Fails if a value could not be written.
    pub(super) fn all_written(&self) -> Result<(), ArrowError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    fn failed(&self, error: ArrowError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// A writer of rows that uses these encoders.
pub(super) fn writer<F: JsonFormat, W: Write>(values: &Values, out: W) -> Writer<W, F> {
    WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(values.clone())).build(out)
}

/// Each value of a column as JSON.
pub(super) fn texts(field: &FieldRef, column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let values = Values::default();
    let options = values.options();
    let mut encoder = make_encoder(field, column.as_ref(), &options)?;
    let nulls = column.logical_nulls();
    let mut texts = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            texts.push(None);
            continue;
        }
        let mut text = Vec::new();
        encoder.encode(row, &mut text);
        texts.push(Some(String::from_utf8(text).map_err(|error| ArrowError::JsonError(error.to_string()))?));
    }
    values.all_written()?;
    Ok(StringArray::from(texts))
}

impl EncoderFactory for Values {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let nulls = array.logical_nulls();
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Float16 => {
                let floats = array.as_primitive::<Float16Type>();
                Box::new(Floats(move |row| f64::from(floats.value(row))))
            }
            DataType::Float32 => {
                let floats = array.as_primitive::<Float32Type>();
                // The shortest text of a narrow float differs from the shortest text of the same number as a
                // wide float.
                Box::new(Narrow(move |row| floats.value(row)))
            }
            DataType::Float64 => {
                let floats = array.as_primitive::<Float64Type>();
                Box::new(Floats(move |row| floats.value(row)))
            }
            kind if kind.is_temporal() => Box::new(Texts { cells: Cells::new(array)?, values: self.clone() }),
            DataType::Map(entries, _) => {
                let map = array.as_map();
                let DataType::Struct(fields) = entries.data_type() else { return Ok(None) };
                let Some(of_values) = fields.get(1) else { return Ok(None) };
                Box::new(Map {
                    offsets: map.offsets(),
                    keys: Texts { cells: Cells::new(map.keys().as_ref())?, values: self.clone() },
                    held: make_encoder(of_values, map.values().as_ref(), options)?,
                })
            }
            DataType::Union(fields, _) => {
                let Some(union) = array.as_any().downcast_ref::<UnionArray>() else { return Ok(None) };
                let of = |(id, field): (i8, &'a Arc<Field>)| {
                    Ok((id, make_encoder(field, union.child(id).as_ref(), options)?))
                };
                let held = fields.iter().map(of).collect::<Result<_, ArrowError>>()?;
                Box::new(Union { union, held })
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, nulls)))
    }
}

/// Floats, including the ones that JSON cannot write as numbers.
struct Floats<F>(F);

impl<F: Fn(usize) -> f64> Encoder for Floats<F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = (self.0)(row);
        out.extend(
            unusual(value)
                .map_or_else(|| zmij::Buffer::new().format_finite(value).to_owned(), quoted)
                .bytes(),
        );
    }
}

/// Narrow floats, including the ones that JSON cannot write as numbers.
struct Narrow<F>(F);

impl<F: Fn(usize) -> f32> Encoder for Narrow<F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = (self.0)(row);
        let usual = || zmij::Buffer::new().format_finite(value).to_owned();
        out.extend(unusual(f64::from(value)).map_or_else(usual, quoted).bytes());
    }
}

fn unusual(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    // A text always has a form in JSON.
    serde_json::to_string(text).unwrap_or_default()
}

/// Values as texts.
struct Texts<'a> {
    cells: Cells<'a>,
    values: Values,
}

impl Encoder for Texts<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let mut text = String::new();
        if let Err(error) = self.cells.write(row, &mut text) {
            self.values.failed(error);
        }
        out.extend(quoted(&text).bytes());
    }
}

/// A map as an object.
struct Map<'a> {
    offsets: &'a [i32],
    keys: Texts<'a>,
    held: NullableEncoder<'a>,
}

impl Encoder for Map<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let at = |row: usize| self.offsets.get(row).map_or(0, |at| *at as usize);
        let (from, to) = (at(row), at(row + 1));
        out.push(b'{');
        for entry in from..to {
            if entry > from {
                out.push(b',');
            }
            self.keys.encode(entry, out);
            out.push(b':');
            if self.held.is_null(entry) {
                out.extend(b"null");
            } else {
                self.held.encode(entry, out);
            }
        }
        out.push(b'}');
    }
}

/// The value that a union has in each row.
struct Union<'a> {
    union: &'a UnionArray,
    held: Vec<(i8, NullableEncoder<'a>)>,
}

impl Encoder for Union<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let (id, at) = (self.union.type_id(row), self.union.value_offset(row));
        match self.held.iter_mut().find(|(of, _)| *of == id) {
            Some((_, held)) if !held.is_null(at) => held.encode(at, out),
            _ => out.extend(b"null"),
        }
    }
}
