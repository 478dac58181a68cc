//! Sums, averages and variances of floating-point numbers over moving window frames.
//!
//! DataFusion 55.2 adds the values that enter a frame, and subtracts those that leave it. The rounding errors of values
//! that have left remain: after `1e16`, the sum of 1 and 1 is 0, a variance becomes negative, and after one NaN every
//! sum is NaN. So this module only adds, and computes each frame from its own values. Delete it when DataFusion's frames
//! forget what has left them.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;

/// The aggregate of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::query) enum Moving {
    Sum,
    Average,
    Variance { of_sample: bool },
    Deviation { of_sample: bool },
}

impl Moving {
    /// Returns the aggregate with this name, if it is one of them.
    pub(in crate::query) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sum" => Self::Sum,
            "avg" => Self::Average,
            "var" => Self::Variance { of_sample: true },
            "var_pop" => Self::Variance { of_sample: false },
            "stddev" => Self::Deviation { of_sample: true },
            "stddev_pop" => Self::Deviation { of_sample: false },
            _ => return None,
        })
    }

    fn of(self, values: Moments) -> Option<f64> {
        let variance = |of_sample: bool| {
            let divisor = values.count - f64::from(u8::from(of_sample));
            (divisor > 0.0).then(|| values.squares / divisor)
        };
        match self {
            Self::Sum => (values.count > 0.0).then_some(values.sum),
            Self::Average => (values.count > 0.0).then(|| values.sum / values.count),
            Self::Variance { of_sample } => variance(of_sample),
            Self::Deviation { of_sample } => variance(of_sample).map(f64::sqrt),
        }
    }
}

/// The number of values, their sum, their mean, and the squares of their differences from the mean.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: f64,
    sum: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Adds a value, as in B. P. Welford, "Note on a method for calculating corrected sums of squares and products",
    /// Technometrics 4 (1962).
    fn with(self, value: f64) -> Self {
        let count = self.count + 1.0;
        let off = value - self.mean;
        let mean = self.mean + off / count;
        Self { count, sum: self.sum + value, mean, squares: off.mul_add(value - mean, self.squares) }
    }

    /// Adds other values, as in T. F. Chan, G. H. Golub, R. J. `LeVeque`, "Updating formulae and a pairwise algorithm for
    /// computing sample variances", 1979.
    fn and(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        if other.count == 0.0 {
            return self;
        }
        let count = self.count + other.count;
        let off = other.mean - self.mean;
        Self {
            count,
            sum: self.sum + other.sum,
            mean: self.mean + off * other.count / count,
            squares: self.squares + other.squares + off * off * self.count * other.count / count,
        }
    }
}

/// The values of a moving frame, as a queue of two stacks: each value is added twice, whatever the frame's length is.
#[derive(Debug)]
pub(in crate::query) struct MovingFrame {
    computes: Moving,
    /// The moments of the older values: the last is that of all of them, the one before that of all but the oldest.
    older: Vec<Moments>,
    newer: Vec<f64>,
    /// The moments of the newer values.
    of_newer: Moments,
}

impl MovingFrame {
    pub(in crate::query) fn new(computes: Moving) -> Self {
        Self { computes, older: Vec::new(), newer: Vec::new(), of_newer: Moments::default() }
    }

    fn enter(&mut self, value: f64) {
        self.newer.push(value);
        self.of_newer = self.of_newer.with(value);
    }

    fn leave(&mut self) {
        if self.older.is_empty() {
            let mut all = Moments::default();
            self.older.extend(self.newer.drain(..).rev().map(|value| {
                all = Moments::default().with(value).and(all);
                all
            }));
            self.of_newer = Moments::default();
        }
        self.older.pop();
    }
}

fn numbers(values: &[ArrayRef]) -> Result<ArrayRef> {
    let Some(values) = values.first() else { return exec_err!("a moving frame has no values") };
    Ok(cast(values, &DataType::Float64)?)
}

impl Accumulator for MovingFrame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in numbers(values)?.as_primitive::<Float64Type>().iter().flatten() {
            self.enter(value);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let numbers = numbers(values)?;
        for _ in 0..numbers.len() - numbers.null_count() {
            self.leave();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let older = self.older.last().copied().unwrap_or_default();
        Ok(ScalarValue::Float64(self.computes.of(older.and(self.of_newer))))
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.older.capacity() * size_of::<Moments>()
            + self.newer.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(one_frame())
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(one_frame())
    }
}

fn one_frame() -> DataFusionError {
    DataFusionError::Internal("a moving frame is not combined with another".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;
    use proptest::prelude::*;

    use super::*;

    fn moments(values: &[f64]) -> Moments {
        values.iter().fold(Moments::default(), |moments, value| moments.with(*value))
    }

    fn one(value: Option<f64>) -> [ArrayRef; 1] {
        [Arc::new(Float64Array::from(vec![value]))]
    }

    fn close(found: Option<f64>, wanted: Option<f64>) -> bool {
        match (found, wanted) {
            (Some(found), Some(wanted)) => {
                found.total_cmp(&wanted).is_eq()
                    || found.is_nan() && wanted.is_nan()
                    || (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0)
            }
            (found, wanted) => found == wanted,
        }
    }

    proptest! {
        /// Each frame is what its own values give.
        #[test]
        fn a_frame_has_no_memory(
            values in prop::collection::vec(
                prop_oneof![8 => (-1000..1000_i32).prop_map(|n| Some(f64::from(n) / 7.0)), 1 => Just(None),
                            1 => prop_oneof![Just(1e16), Just(f64::NAN), Just(f64::INFINITY)].prop_map(Some)],
                1..60,
            ),
            width in 1..9_usize,
        ) {
            for computes in ["sum", "avg", "var", "var_pop", "stddev", "stddev_pop"] {
                let computes = Moving::named(computes).unwrap();
                let mut frame = MovingFrame::new(computes);
                for (at, value) in values.iter().enumerate() {
                    frame.update_batch(&one(*value)).unwrap();
                    if let Some(gone) = at.checked_sub(width) {
                        frame.retract_batch(&one(values[gone])).unwrap();
                    }
                    let own = &values[(at + 1).saturating_sub(width)..=at];
                    let own: Vec<f64> = own.iter().copied().flatten().collect();
                    let ScalarValue::Float64(found) = frame.evaluate().unwrap() else { panic!() };
                    prop_assert!(close(found, computes.of(moments(&own))), "{found:?} of {own:?}");
                }
            }
        }
    }

    #[test]
    fn a_long_frame_adds_up() {
        let mut frame = MovingFrame::new(Moving::Average);
        let values: Vec<f64> = (0..10_000).map(f64::from).collect();
        frame.update_batch(&[Arc::new(Float64Array::from(values.clone()))]).unwrap();
        frame.retract_batch(&[Arc::new(Float64Array::from(values[..1500].to_vec()))]).unwrap();
        assert_eq!(frame.evaluate().unwrap(), ScalarValue::Float64(Some(f64::midpoint(1500.0, 9999.0))));
        frame.retract_batch(&[Arc::new(Float64Array::from(values[1500..].to_vec()))]).unwrap();
        assert_eq!(frame.evaluate().unwrap(), ScalarValue::Float64(None));
    }
}
