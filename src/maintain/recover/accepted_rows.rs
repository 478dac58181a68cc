//! Decides which rows of a damaged file are accepted.
//!
//! Parquet has no checksums here, so a row that decodes may differ from the row that was written. A row
//! is accepted if it passes all possible checks:
//!
//! - the ledger gives its place to the segment, no other fact has the place, and it comes after the row
//!   before it in the store's order; its `recorded_at` is within the ledger's bounds;
//! - its texts are JSON where they should be, and repeated data agrees: the columns `error`, `error_type`
//!   and `reason` equal the payload's keys.
//!
//! These checks are necessary, but not sufficient: a flipped bit in a name still gives a valid name. So
//! accepted rows are *unverified*, until their own digest proves them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampNanosecondType;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::columns::{self, Rows, error_type};
use crate::fact::{Fact, Json, Kind, Position, Seq, StreamId, UnixNanos};
use crate::ledger::{StreamRange, TimeRange};
use crate::maintain::coverage::Coverage;

/// Checks the rows of one file.
pub(super) struct Gate<'a> {
    pub(super) kind: Kind,
    /// The places that rows may have.
    pub(super) places: &'a [StreamRange],
    pub(super) recorded_at: Option<TimeRange>,
    /// Places of facts that are in other segments.
    pub(super) taken: &'a Coverage,
    /// The earliest time of recording. Earlier rows get this time: the time of a stream never goes back.
    not_before: UnixNanos,
    /// Places of accepted rows.
    pub(super) passed: Coverage,
    last: Option<(UnixNanos, StreamId, Seq)>,
}

impl<'a> Gate<'a> {
    pub(super) fn new(
        kind: Kind,
        places: &'a [StreamRange],
        recorded_at: Option<TimeRange>,
        taken: &'a Coverage,
    ) -> Self {
        let not_before = UnixNanos::new(i64::MIN);
        Self { kind, places, recorded_at, taken, not_before, passed: Coverage::default(), last: None }
    }

    /// Sets the earliest time of recording.
    pub(super) const fn not_before(mut self, at: UnixNanos) -> Self {
        self.not_before = at;
        self
    }

    /// The accepted rows of a batch, by stream.
    pub(super) fn pass(&mut self, batch: &RecordBatch) -> Result<Vec<(StreamId, Rows)>> {
        let batch = &recorded_from(batch, self.not_before);
        let Some(facts) = columns::facts(self.kind, batch) else { return Ok(Vec::new()) };
        let consistent = consistent(self.kind, batch, &facts);
        let mut streams: BTreeMap<StreamId, (Vec<bool>, u64)> = BTreeMap::new();
        for (row, found) in facts.iter().enumerate() {
            let place = found.position;
            if !consistent.get(row).is_some_and(|sound| *sound) || !self.admits(place) {
                continue;
            }
            self.last = Some((place.recorded_at, place.stream, place.seq));
            self.passed.insert(place.stream, place.seq);
            let (mask, bytes) = streams.entry(place.stream).or_insert_with(|| (vec![false; facts.len()], 0));
            if let Some(kept) = mask.get_mut(row) {
                *kept = true;
            }
            *bytes += found.fact.line_len();
        }
        let filtered = streams.into_iter().map(|(stream, (mask, fact_bytes))| {
            let batch = filter_record_batch(batch, &BooleanArray::from(mask)).map_err(|error| {
                Error::with_source(ErrorKind::Damaged, "cannot take rows out of a damaged segment", error)
            })?;
            Ok((stream, Rows { batch, fact_bytes }))
        });
        filtered.collect()
    }

    fn admits(&self, place: Position) -> bool {
        let given = self.places.iter().any(|range| {
            range.stream == place.stream && range.first_seq <= place.seq && place.seq <= range.last_seq
        });
        let in_time = self
            .recorded_at
            .is_none_or(|bounds| bounds.min <= place.recorded_at && place.recorded_at <= bounds.max);
        given
            && in_time
            && self.last.is_none_or(|last| last < (place.recorded_at, place.stream, place.seq))
            && !self.taken.contains(place.stream, place.seq)
            && !self.passed.contains(place.stream, place.seq)
    }
}

/// The rows, with times of recording of at least `from`.
fn recorded_from(batch: &RecordBatch, from: UnixNanos) -> RecordBatch {
    let raised = || {
        let (at, field) =
            batch.schema().column_with_name("recorded_at").map(|(at, field)| (at, field.clone()))?;
        let times = batch.column(at).as_primitive_opt::<TimestampNanosecondType>()?;
        if arrow::compute::min(times)? >= from.get() {
            return None;
        }
        let raised: TimestampNanosecondArray = times.unary(|time| time.max(from.get()));
        let mut columns = batch.columns().to_vec();
        *columns.get_mut(at)? = Arc::new(raised.with_data_type(field.data_type().clone()));
        RecordBatch::try_new(batch.schema(), columns).ok()
    };
    raised().unwrap_or_else(|| batch.clone())
}

/// For each row, whether it has all required values and does not contradict itself.
fn consistent(kind: Kind, batch: &RecordBatch, facts: &[crate::fact::Recorded<Fact<'_>>]) -> Vec<bool> {
    let complete = batch.schema().fields().iter().zip(batch.columns()).fold(
        vec![true; facts.len()],
        |mut complete, (field, column)| {
            if !field.is_nullable() && column.null_count() > 0 {
                for (row, complete) in complete.iter_mut().enumerate() {
                    *complete &= column.is_valid(row);
                }
            }
            complete
        },
    );
    let text = |name: &str| batch.column_by_name(name)?.as_string_view_opt();
    let hot = ["error", "error_type", "reason"].map(text);
    let json = |json: &Json<'_>| Json::parse(json.as_str()).is_ok();
    facts
        .iter()
        .zip(complete)
        .enumerate()
        .map(|(row, (found, complete))| {
            if !complete {
                return false;
            }
            let (payload, extra) = match &found.fact {
                Fact::Event(event) => (Some(&event.payload), &event.extra),
                Fact::Audit(audit) => (None, &audit.extra),
                Fact::DeadLetter(letter) => (Some(&letter.payload), &letter.extra),
            };
            if !payload.is_none_or(json) || !extra.as_ref().is_none_or(json) {
                return false;
            }
            let Some(payload) = payload.filter(|_| kind == Kind::Event) else { return true };
            let [error, class, reason] =
                hot.map(|column| column.filter(|c| c.is_valid(row)).map(|c| c.value(row)));
            let in_payload = payload.text_of("error");
            error == in_payload.as_deref()
                && class == in_payload.as_deref().and_then(error_type)
                && reason == payload.text_of("reason").as_deref()
        })
        .collect()
}
