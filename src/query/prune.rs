//! Leaves out segments that cannot match, by their statistics in the ledger.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, TimestampNanosecondArray, UInt64Array,
};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue, Statistics};

use crate::fact::Kind;
use crate::fact::columns::schema;
use crate::ledger::{Segment, TimeRange};

/// The statistics of some segments. Each segment is one container.
pub(super) struct SegmentStatistics<'a>(pub(super) &'a [Arc<Segment>]);

fn instant(nanos: Option<i64>) -> ScalarValue {
    ScalarValue::TimestampNanosecond(nanos, Some("UTC".into()))
}

/// Returns the smallest and the largest value of a column in a segment, if the ledger has them.
fn range(segment: &Segment, column: &str) -> Option<(ScalarValue, ScalarValue)> {
    let times = |range: TimeRange| (instant(Some(range.min.get())), instant(Some(range.max.get())));
    Some(match column {
        // `at` is the wall time, if a fact has one.
        "at" | "wall_time" => times(segment.at),
        "recorded_at" => times(segment.recorded_at),
        "timestamp" => times(segment.timestamp?),
        "seq" => {
            let first = segment.streams.iter().map(|range| range.first_seq.get()).min()?;
            let last = segment.streams.iter().map(|range| range.last_seq.get()).max()?;
            (ScalarValue::Int64(Some(first as i64)), ScalarValue::Int64(Some(last as i64)))
        }
        "stream" => {
            let first = segment.streams.iter().map(|range| range.stream.get()).min()?;
            let last = segment.streams.iter().map(|range| range.stream.get()).max()?;
            (ScalarValue::Int32(Some(first as i32)), ScalarValue::Int32(Some(last as i32)))
        }
        _ => return None,
    })
}

fn nulls(segment: &Segment, column: &str) -> Option<u64> {
    match column {
        "at" | "recorded_at" | "seq" | "stream" => Some(0),
        "timestamp" => Some(segment.timestamp_nulls),
        _ => None,
    }
}

impl SegmentStatistics<'_> {
    fn bounds(
        &self,
        column: &str,
        of: impl Fn((ScalarValue, ScalarValue)) -> ScalarValue,
    ) -> Option<ArrayRef> {
        let bounds = || self.0.iter().map(|segment| range(segment, column).map(&of));
        // Nanoseconds keep their zone. A column without bounds in all segments has no array.
        match column {
            "at" | "recorded_at" | "timestamp" => {
                let values: TimestampNanosecondArray = bounds()
                    .map(|bound| match bound {
                        Some(ScalarValue::TimestampNanosecond(nanos, _)) => nanos,
                        _ => None,
                    })
                    .collect();
                Some(Arc::new(values.with_timezone("UTC")))
            }
            "seq" => {
                let values: Int64Array = bounds()
                    .map(|bound| match bound {
                        Some(ScalarValue::Int64(seq)) => seq,
                        _ => None,
                    })
                    .collect();
                Some(Arc::new(values))
            }
            "stream" => {
                let values: Int32Array = bounds()
                    .map(|bound| match bound {
                        Some(ScalarValue::Int32(stream)) => stream,
                        _ => None,
                    })
                    .collect();
                Some(Arc::new(values))
            }
            _ => None,
        }
    }
}

impl PruningStatistics for SegmentStatistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(&column.name, |(min, _)| min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(&column.name, |(_, max)| max)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts: UInt64Array = self.0.iter().map(|segment| nulls(segment, &column.name)).collect();
        (counts.null_count() < counts.len()).then(|| Arc::new(counts) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.0.iter().map(|segment| Some(segment.rows)).collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Returns the statistics of a segment's stored columns for the planner.
pub(super) fn statistics(kind: Kind, segment: &Segment) -> Statistics {
    let schema = schema(kind);
    let column_statistics = schema
        .fields()
        .iter()
        .map(|field| {
            let mut column = ColumnStatistics::new_unknown();
            if let Some((min, max)) = range(segment, field.name()) {
                column = column.with_min_value(Precision::Exact(min)).with_max_value(Precision::Exact(max));
            }
            if let Some(nulls) = nulls(segment, field.name()) {
                column = column.with_null_count(Precision::Exact(nulls as usize));
            }
            column
        })
        .collect();
    Statistics {
        num_rows: Precision::Exact(segment.rows as usize),
        total_byte_size: Precision::Inexact(segment.bytes as usize),
        column_statistics,
    }
}
