//! The arguments of a JSON function, for all rows of a batch: the documents, and the steps into them.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::ColumnarValue;

use super::RawValue;
use super::functions::Way;
use super::path::{Step, find, parse};

/// Converts a value into the texts of all rows. A constant becomes an array with one text.
pub(super) fn texts(value: &ColumnarValue, rows: usize) -> Result<Texts> {
    let repeated = matches!(value, ColumnarValue::Scalar(_));
    let array = value.clone().into_array(if repeated { 1 } else { rows })?;
    let array = cast(&array, &DataType::Utf8View)?;
    Ok(Texts { repeated, array: array.as_string_view().clone(), rows })
}

pub(super) struct Texts {
    repeated: bool,
    array: StringViewArray,
    pub(super) rows: usize,
}

impl Texts {
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        let row = if self.repeated { 0 } else { row };
        self.array.is_valid(row).then(|| self.array.value(row))
    }
}

/// The steps of all rows, one column for each argument.
pub(super) struct Paths(pub(super) Vec<StepColumn>);

/// One argument of a function: a step, or a path.
pub(super) enum StepColumn {
    /// The steps of a constant; `None` is NULL.
    Same(Option<Vec<Step<'static>>>),
    Keys(Texts),
    Indices(Int64Array),
    /// Paths in PostgreSQL's syntax.
    Written(Texts),
    Lists(ArrayRef),
}

impl StepColumn {
    pub(super) fn of(value: &ColumnarValue, way: Way, rows: usize) -> Result<Self> {
        let repeated = matches!(value, ColumnarValue::Scalar(_));
        let of_type = value.data_type();
        let column = match &of_type {
            DataType::Int64 => Self::Indices(
                value
                    .clone()
                    .into_array(if repeated { 1 } else { rows })?
                    .as_primitive::<Int64Type>()
                    .clone(),
            ),
            DataType::List(_) => Self::Lists(value.clone().into_array(if repeated { 1 } else { rows })?),
            _ if way == Way::Path => Self::Written(texts(value, rows)?),
            _ => Self::Keys(texts(value, rows)?),
        };
        if !repeated {
            return Ok(column);
        }
        let mut steps = Vec::new();
        let known = column.push(0, &mut steps)?;
        let owned = steps.into_iter().map(|step| match step {
            Step::Key(key) => Step::Key(Cow::Owned(key.into_owned())),
            Step::Either(name) => Step::Either(Cow::Owned(name.into_owned())),
            Step::Index(index) => Step::Index(index),
        });
        Ok(Self::Same(known.then(|| owned.collect())))
    }

    /// Adds the steps of a row; `false` if one of them is NULL.
    pub(super) fn push<'a>(&'a self, row: usize, steps: &mut Vec<Step<'a>>) -> Result<bool> {
        match self {
            Self::Same(Some(same)) => steps.extend(same.iter().map(|step| match step {
                Step::Key(key) => Step::Key(Cow::Borrowed(key.as_ref())),
                Step::Either(name) => Step::Either(Cow::Borrowed(name.as_ref())),
                Step::Index(index) => Step::Index(*index),
            })),
            Self::Keys(keys) => match keys.get(row) {
                Some(key) => steps.push(Step::Key(Cow::Borrowed(key))),
                None => return Ok(false),
            },
            Self::Indices(indices) if indices.is_valid(row) => steps.push(Step::Index(indices.value(row))),
            Self::Same(None) | Self::Indices(_) => return Ok(false),
            Self::Written(paths) => match paths.get(row).map(parse) {
                Some(Ok(path)) => steps.extend(path),
                Some(Err(why)) => return exec_err!("{why}"),
                None => return Ok(false),
            },
            Self::Lists(lists) => {
                let lists = lists.as_list::<i32>();
                if lists.is_null(row) {
                    return Ok(false);
                }
                let names = cast(&lists.value(row), &DataType::Utf8View)?;
                for name in names.as_string_view() {
                    let Some(name) = name else { return Ok(false) };
                    steps.push(Step::Either(Cow::Owned(name.to_owned())));
                }
            }
        }
        Ok(true)
    }
}

impl Paths {
    /// Calls a function for each row, with the document and the row's steps. The argument is `None` if the
    /// document or a step is NULL.
    pub(super) fn each<'d>(
        &self,
        documents: &'d Texts,
        mut call: impl FnMut(Option<(RawValue<'d>, &[Step<'_>])>),
    ) -> Result<()> {
        let mut steps = Vec::new();
        let mut known = true;
        let same = self.0.iter().all(|column| matches!(column, StepColumn::Same(_)));
        for row in 0..documents.rows {
            if !same || row == 0 {
                steps.clear();
                known = true;
                for column in &self.0 {
                    known &= column.push(row, &mut steps)?;
                }
            }
            let document = documents.get(row).filter(|_| known).map(RawValue::trusted);
            call(document.map(|document| (document, steps.as_slice())));
        }
        Ok(())
    }
}

/// Returns the value that a row's steps lead to.
pub(super) fn inside<'d>(at: Option<(RawValue<'d>, &[Step<'_>])>) -> Option<RawValue<'d>> {
    at.and_then(|(document, steps)| find(document, steps))
}
