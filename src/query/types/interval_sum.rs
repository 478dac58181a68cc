//! Computes the sum and the average of intervals, part by part, without overflow.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType,
};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::Accumulator;

use super::scaled_lengths;

const DAY: i128 = 24 * 60 * 60 * 1_000_000_000;
const EXACT: DataType = DataType::Decimal128(38, 0);

/// The sum of the months, days and nanoseconds so far.
#[derive(Debug, Default)]
pub(super) struct IntervalSum {
    parts: [i128; 3],
    /// The number of intervals.
    intervals: i128,
    /// Whether the result is the average.
    averages: bool,
}

impl IntervalSum {
    /// Makes the sum, or the average, of no intervals.
    pub(super) fn new(averages: bool) -> Self {
        Self { averages, ..Self::default() }
    }

    /// Returns the fields of the state that is passed between the phases of an aggregation.
    pub(super) fn state_fields(name: &str) -> Vec<FieldRef> {
        let fields = ["intervals", "months", "days", "nanoseconds"].map(|part| format!("{name}[{part}]"));
        fields.into_iter().map(|part| FieldRef::new(Field::new(part, EXACT, true))).collect()
    }

    fn add(&mut self, intervals: &ArrayRef, sign: i128) {
        let Some(intervals) = intervals.as_primitive_opt::<IntervalMonthDayNanoType>() else { return };
        for interval in intervals.iter().flatten() {
            let IntervalMonthDayNano { months, days, nanoseconds } = interval;
            for (sum, part) in
                self.parts.iter_mut().zip([months.into(), days.into(), i128::from(nanoseconds)])
            {
                *sum += sign * part;
            }
            self.intervals += sign;
        }
    }
}

impl Accumulator for IntervalSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for intervals in values {
            self.add(intervals, 1);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for intervals in values {
            self.add(intervals, -1);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.intervals == 0 {
            return Ok(ScalarValue::IntervalMonthDayNano(None));
        }
        let [months, mut days, mut nanoseconds] = self.parts;
        // Nanoseconds that do not fit 64 bits become days.
        if i64::try_from(nanoseconds).is_err() {
            days += nanoseconds / DAY;
            nanoseconds %= DAY;
        }
        let too_long = || {
            exec_datafusion_err!(
                "the sum of intervals, {months} months and {days} days, is too long for an interval"
            )
        };
        let part = |part: i128| i32::try_from(part).map_err(|_| too_long());
        let nanoseconds = i64::try_from(nanoseconds).map_err(|_| too_long())?;
        let mut answer = IntervalMonthDayNano::new(part(months)?, part(days)?, nanoseconds);
        if self.averages {
            answer = scaled_lengths::divided(answer, self.intervals)?;
        }
        Ok(ScalarValue::IntervalMonthDayNano(Some(answer)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let [months, days, nanoseconds] = self.parts;
        let parts = [self.intervals, months, days, nanoseconds];
        Ok(parts.map(|part| ScalarValue::Decimal128(Some(part), 38, 0)).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [months, days, nanoseconds] = &mut self.parts;
        for (sum, states) in [&mut self.intervals, months, days, nanoseconds].into_iter().zip(states) {
            if let Some(states) = states.as_primitive_opt::<Decimal128Type>() {
                *sum += states.iter().flatten().sum::<i128>();
            }
        }
        Ok(())
    }
}
