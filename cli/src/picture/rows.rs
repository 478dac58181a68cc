//! Collects the rows of a picture: all rows, as long as there is memory for the columns that the picture
//! shows.
//!
//! While the rows are few, all their columns are kept. Then the picture is chosen by these rows, and from all
//! rows only the columns that it shows are kept. Rows that still do not fit are left out, and the picture
//! says so.

use std::sync::Arc;

use anyhow::Context;
use arrow::array::{ArrayRef, NullArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};
use jiff::tz::TimeZone;

use super::super::output::bytes_of;
use super::choose::{self, Plan};
use super::request::Request;
use super::series::Table;

/// The number of rows that are kept with all columns, and the limits for all rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) whole_rows: usize,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

const LIMITS: Limits = Limits { whole_rows: 200_000, rows: 10_000_000, bytes: 256 << 20 };

/// Rows that a picture is made of.
pub(crate) struct Rows {
    limits: Limits,
    batches: Vec<RecordBatch>,
    taken: usize,
    bytes: usize,
    /// The picture, chosen when there were too many rows to keep all columns.
    plan: Option<Plan>,
    is_cut: bool,
}

impl Rows {
    /// No rows yet.
    pub(crate) const fn new() -> Self {
        Self::within(LIMITS)
    }

    pub(super) const fn within(limits: Limits) -> Self {
        Self { limits, batches: Vec::new(), taken: 0, bytes: 0, plan: None, is_cut: false }
    }

    /// All rows of the batches.
    pub(crate) fn all(batches: &[RecordBatch]) -> Self {
        Self { batches: batches.to_vec(), ..Self::new() }
    }

    /// Adds rows. Returns whether there is room for more.
    pub(crate) fn add(
        &mut self,
        batch: &RecordBatch,
        request: &Request,
        zone: &TimeZone,
    ) -> anyhow::Result<bool> {
        if self.plan.is_none()
            && (self.taken + batch.num_rows() > self.limits.whole_rows || self.bytes > self.limits.bytes / 2)
            && self.taken > 0
        {
            let plan = choose::choose(&Table::new(&self.batches, zone), request)?;
            let stripped =
                self.batches.iter().map(|batch| stripped(batch, &plan)).collect::<anyhow::Result<_>>()?;
            self.batches = stripped;
            self.bytes = self.batches.iter().map(bytes_of).sum();
            self.plan = Some(plan);
        }
        let batch = match &self.plan {
            Some(plan) => stripped(batch, plan)?,
            None => batch.clone(),
        };
        let room = if self.bytes > self.limits.bytes { 0 } else { self.limits.rows - self.taken };
        let taken = batch.num_rows().min(room);
        self.is_cut |= taken < batch.num_rows();
        // A batch without rows is kept if it is the first: it shows the columns.
        if taken > 0 || self.batches.is_empty() {
            self.taken += taken;
            self.bytes += bytes_of(&batch);
            self.batches.push(batch.slice(0, taken));
        }
        Ok(!self.is_cut)
    }

    pub(super) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The picture, if it is chosen already.
    pub(super) const fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The number of rows, if further rows were left out.
    pub(super) fn cut(&self) -> Option<usize> {
        self.is_cut.then_some(self.taken)
    }
}

/// The columns that a picture shows; the others are empty.
fn stripped(batch: &RecordBatch, plan: &Plan) -> anyhow::Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (at, (field, column)) in batch.schema().fields().iter().zip(batch.columns()).enumerate() {
        if plan.shows(at) {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        } else {
            fields.push(Arc::new(Field::new(field.name(), DataType::Null, true)));
            columns.push(Arc::new(NullArray::new(batch.num_rows())));
        }
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
        .context("cannot keep the rows")
}
