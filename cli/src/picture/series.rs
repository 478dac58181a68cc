//! The columns of an answer as numbers, times and labels.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, bail};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use jiff::tz::TimeZone;

use super::{text, times};

/// Numbers beyond this count as infinite: the difference of two could be infinite.
const LARGEST: f64 = 1e300;

/// The label of NULL.
const NULL: &str = "NULL";

/// The use of a column in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Time,
    Number,
    Text,
    /// Lists and other types that no picture shows.
    Other,
}

impl Class {
    fn of(kind: &DataType) -> Self {
        match kind {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Self::Time,
            DataType::Duration(_) | DataType::Interval(_) => Self::Number,
            kind if kind.is_numeric() => Self::Number,
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Boolean
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Text,
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::RunEndEncoded(_, values) => Self::of(values.data_type()),
            _ => Self::Other,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Time => "a time",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Other => "neither a number, a time nor a text",
        }
    }
}

/// The name and use of a column; its values are read when they are needed.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// The name in the answer.
    pub(super) name: String,
    pub(super) class: Class,
    is_span: bool,
    /// Whether the values are instants, whose time of day depends on the zone.
    is_zoned: bool,
}

impl Column {
    /// The name in a picture.
    pub(super) fn title(&self) -> String {
        let name = text::harmless(&self.name);
        if self.is_span { format!("{name} (s)") } else { name }
    }
}

/// The rows that a picture is made of.
pub(super) struct Table<'a> {
    batches: &'a [RecordBatch],
    pub(super) columns: Vec<Column>,
    pub(super) rows: usize,
    codes: Vec<OnceCell<Codes>>,
    zone: TimeZone,
}

/// The code of the value of each row of a column.
pub(super) struct Codes {
    pub(super) of_rows: Vec<u32>,
    /// The different values, in the order in which they appear.
    pub(super) labels: Vec<String>,
}

impl<'a> Table<'a> {
    pub(super) fn new(batches: &'a [RecordBatch], zone: &TimeZone) -> Self {
        let columns = batches.first().map(|batch| {
            let column = |field: &Arc<arrow::datatypes::Field>| Column {
                name: field.name().clone(),
                class: Class::of(field.data_type()),
                is_span: matches!(field.data_type(), DataType::Duration(_) | DataType::Interval(_)),
                is_zoned: matches!(field.data_type(), DataType::Timestamp(_, Some(_))),
            };
            batch.schema().fields().iter().map(column).collect()
        });
        let columns: Vec<_> = columns.unwrap_or_default();
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let codes = columns.iter().map(|_| OnceCell::new()).collect();
        Self { batches, columns, rows, codes, zone: zone.clone() }
    }

    /// The column with this name, or with this name in another case.
    pub(super) fn find(&self, name: &str) -> anyhow::Result<usize> {
        let exact = self.columns.iter().position(|column| column.name == name);
        let found = exact.or_else(|| {
            self.columns.iter().position(|column| column.name.to_lowercase() == name.to_lowercase())
        });
        found.with_context(|| format!("the answer has no column {name:?}; it has {}", self.listed()))
    }

    /// The columns, for a message.
    pub(super) fn listed(&self) -> String {
        let all: Vec<_> = self
            .columns
            .iter()
            .map(|column| format!("{} ({})", text::harmless(&column.name), column.class.name()))
            .collect();
        if all.is_empty() { "no columns at all".to_owned() } else { all.join(", ") }
    }

    /// The zone of the times of a column, if it has times.
    pub(super) fn zone(&self, column: usize) -> Option<TimeZone> {
        let column = &self.columns[column];
        let zone = if column.is_zoned { self.zone.clone() } else { TimeZone::UTC };
        (column.class == Class::Time).then_some(zone)
    }

    /// The numbers of a column, or its times as seconds since 1970. Values that are NULL, not finite or too
    /// large are `None`.
    pub(super) fn numbers(&self, column: usize) -> anyhow::Result<Vec<Option<f64>>> {
        let mut out = Vec::with_capacity(self.rows);
        for array in self.arrays(column) {
            add_numbers(array?.as_ref(), &mut out)?;
        }
        for number in &mut out {
            *number = number.filter(|number| number.abs() <= LARGEST);
        }
        Ok(out)
    }

    /// The values of a column as labels.
    pub(super) fn labels(&self, column: usize) -> anyhow::Result<Vec<String>> {
        match self.columns[column].class {
            Class::Time => {
                let times = self.numbers(column)?;
                let known: Vec<f64> = times.iter().copied().flatten().collect();
                let zone = self.zone(column).unwrap_or(TimeZone::UTC);
                let mut labels = times::labels(&known, &zone).into_iter();
                Ok(times
                    .iter()
                    .map(|time| time.and_then(|_| labels.next()).unwrap_or_else(|| NULL.to_owned()))
                    .collect())
            }
            Class::Number => {
                let label = |number: Option<f64>| number.map_or_else(|| NULL.to_owned(), text::number);
                Ok(self.numbers(column)?.into_iter().map(label).collect())
            }
            Class::Text => self.texts(column),
            Class::Other => bail!("{} is {}", self.columns[column].title(), Class::Other.name()),
        }
    }

    /// The codes of the rows: rows with equal values have equal codes.
    pub(super) fn codes(&self, column: usize) -> anyhow::Result<&Codes> {
        let cell = &self.codes[column];
        if let Some(codes) = cell.get() {
            return Ok(codes);
        }
        let labels = self.labels(column)?;
        let codes = if self.columns[column].class == Class::Text {
            Codes::of(labels.clone(), labels)
        } else {
            // Labels of numbers and times are rounded, so they do not distinguish all values.
            let keys = self.numbers(column)?.into_iter().map(|number| number.map(f64::to_bits));
            Codes::of(keys.collect(), labels)
        };
        Ok(cell.get_or_init(|| codes))
    }

    fn texts(&self, column: usize) -> anyhow::Result<Vec<String>> {
        let mut out = Vec::with_capacity(self.rows);
        let options = FormatOptions::default().with_null(NULL);
        for array in self.arrays(column) {
            let array = array?;
            let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
            for row in 0..array.len() {
                // Payloads may be long, but a label is short.
                let mut label = Bounded(String::new());
                let whole = std::fmt::Write::write_fmt(&mut label, format_args!("{}", formatter.value(row)));
                if whole.is_err() {
                    label.0.push('…');
                }
                out.push(text::harmless(&label.0));
            }
        }
        Ok(out)
    }

    /// The arrays of a column, without the encodings that only save space.
    fn arrays(&self, column: usize) -> impl Iterator<Item = anyhow::Result<ArrayRef>> {
        self.batches.iter().map(move |batch| {
            let mut array = Arc::clone(batch.columns().get(column).context("a batch lacks a column")?);
            loop {
                let plain = match array.data_type() {
                    DataType::Dictionary(_, values) => values.as_ref().clone(),
                    DataType::RunEndEncoded(_, values) => values.data_type().clone(),
                    _ => return Ok(array),
                };
                array = cast(&array, &plain)?;
            }
        })
    }
}

impl Codes {
    fn of<K: std::hash::Hash + Eq>(keys: Vec<K>, labels: Vec<String>) -> Self {
        let mut known = HashMap::new();
        let mut different = Vec::new();
        let mut code = |(key, label)| {
            *known.entry(key).or_insert_with(|| {
                different.push(label);
                different.len() as u32 - 1
            })
        };
        let of_rows = keys.into_iter().zip(labels).map(&mut code).collect();
        Self { of_rows, labels: different }
    }

    /// The values with most rows, at most `most` of them, in the order in which they appear.
    pub(super) fn most_frequent(&self, most: usize) -> Vec<usize> {
        let mut sizes = vec![0usize; self.labels.len()];
        self.of_rows.iter().for_each(|code| sizes[*code as usize] += 1);
        let mut kept: Vec<usize> = (0..sizes.len()).collect();
        kept.sort_by_key(|code| std::cmp::Reverse(sizes[*code]));
        kept.truncate(most);
        kept.sort_unstable();
        kept
    }
}

/// Takes the beginning of a text and refuses the rest.
struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        const ENOUGH: usize = 1024;
        self.0.extend(more.chars().take(ENOUGH));
        if self.0.len() > ENOUGH { Err(std::fmt::Error) } else { Ok(()) }
    }
}

fn add_numbers(array: &dyn Array, out: &mut Vec<Option<f64>>) -> anyhow::Result<()> {
    let scaled = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 1.0,
        TimeUnit::Millisecond => 1e3,
        TimeUnit::Microsecond => 1e6,
        TimeUnit::Nanosecond => 1e9,
    };
    let divisor = match array.data_type() {
        DataType::Timestamp(unit, _) | DataType::Duration(unit) => scaled(unit),
        DataType::Date32 => 1.0 / 86_400.0,
        DataType::Date64 => 1e3,
        DataType::Interval(_) => {
            let spans = cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let seconds = |span: arrow::datatypes::IntervalMonthDayNano| {
                // A month has the average length.
                f64::from(span.months) * 2_629_746.0
                    + f64::from(span.days) * 86_400.0
                    + span.nanoseconds as f64 / 1e9
            };
            out.extend(spans.as_primitive::<IntervalMonthDayNanoType>().iter().map(|span| span.map(seconds)));
            return Ok(());
        }
        _ => {
            let numbers = cast(array, &DataType::Float64)?;
            out.extend(numbers.as_primitive::<Float64Type>());
            return Ok(());
        }
    };
    let whole = cast(array, &DataType::Int64)?;
    out.extend(
        whole.as_primitive::<Int64Type>().iter().map(|number| number.map(|number| number as f64 / divisor)),
    );
    Ok(())
}
