//! Sums, averages, variances, correlations and regressions of floating-point numbers over moving window frames.
//!
//! DataFusion 55.2 adds the values that enter a frame, and subtracts those that leave it. The rounding errors of values
//! that have left remain: after `1e16`, the sum of 1 and 1 is 0, a variance becomes negative, and after one NaN every
//! sum is NaN. So this module only adds, and computes each frame from its own values. Delete it when DataFusion's frames
//! forget what has left them.

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::Accumulator;

/// The aggregate of a frame. Of two arguments, `y` is the first one, as in `regr_slope(y, x)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::query) enum Moving {
    Sum,
    Average,
    Variance { of_sample: bool },
    Deviation { of_sample: bool },
    Covariance { of_sample: bool },
    Correlation,
    Slope,
    Intercept,
    Determination,
    MeanX,
    MeanY,
    SquaresX,
    SquaresY,
    Products,
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
            "covar_samp" => Self::Covariance { of_sample: true },
            "covar_pop" => Self::Covariance { of_sample: false },
            "corr" => Self::Correlation,
            "regr_slope" => Self::Slope,
            "regr_intercept" => Self::Intercept,
            "regr_r2" => Self::Determination,
            "regr_avgx" => Self::MeanX,
            "regr_avgy" => Self::MeanY,
            "regr_sxx" => Self::SquaresX,
            "regr_syy" => Self::SquaresY,
            "regr_sxy" => Self::Products,
            _ => return None,
        })
    }

    /// The value for a frame, as PostgreSQL defines it; NULL if the frame has too few values.
    fn of(self, frame: Moments) -> Option<f64> {
        let Moments { count, y, x, products } = frame;
        let mean = |sum: f64, of_sample: bool| {
            let divisor = count - f64::from(u8::from(of_sample));
            (divisor > 0.0).then(|| sum / divisor)
        };
        let any = |value: f64| (count > 0.0).then_some(value);
        let is_line = count > 1.0 && x.squares != 0.0;
        let is_curved = is_line && y.squares != 0.0;
        match self {
            Self::Sum => any(y.sum),
            Self::Average | Self::MeanY => mean(y.sum, false),
            Self::Variance { of_sample } => mean(y.squares, of_sample),
            Self::Deviation { of_sample } => mean(y.squares, of_sample).map(f64::sqrt),
            Self::Covariance { of_sample } => mean(products, of_sample),
            Self::Correlation => is_curved.then(|| products / y.squares.sqrt() / x.squares.sqrt()),
            Self::Slope => is_line.then(|| products / x.squares),
            Self::Intercept => is_line.then(|| y.mean - products / x.squares * x.mean),
            Self::Determination => is_curved.then(|| (products / y.squares) * (products / x.squares)),
            Self::MeanX => mean(x.sum, false),
            Self::SquaresX => any(x.squares),
            Self::SquaresY => any(y.squares),
            Self::Products => any(products),
        }
    }
}

/// The sum of values, their mean, and the sum of the squares of their differences from the mean.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    sum: f64,
    mean: f64,
    squares: f64,
}

/// The moments of pairs of values. An aggregate of one argument has 0 for `x`.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: f64,
    y: Spread,
    x: Spread,
    /// The sum of the products of the differences from the two means.
    products: f64,
}

impl Moments {
    fn of((y, x): (f64, f64)) -> Self {
        // An infinity has no difference from the mean.
        let none = |value: f64| if value.is_finite() { 0.0 } else { f64::NAN };
        let spread = |value| Spread { sum: value, mean: value, squares: none(value) };
        Self { count: 1.0, y: spread(y), x: spread(x), products: none(y) + none(x) }
    }

    /// Adds other pairs, as in T. F. Chan, G. H. Golub and R. J. `LeVeque`, "Updating formulae and a pairwise algorithm
    /// for computing sample variances", 1979.
    fn and(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        if other.count == 0.0 {
            return self;
        }
        let count = self.count + other.count;
        let weight = self.count * other.count / count;
        let (off_y, off_x) = (other.y.mean - self.y.mean, other.x.mean - self.x.mean);
        let spread = |one: Spread, two: Spread, off: f64| Spread {
            sum: one.sum + two.sum,
            mean: one.mean + off * other.count / count,
            squares: one.squares + two.squares + off * off * weight,
        };
        Self {
            count,
            y: spread(self.y, other.y, off_y),
            x: spread(self.x, other.x, off_x),
            products: self.products + other.products + off_y * off_x * weight,
        }
    }
}

/// The values of a moving frame, as a queue of two stacks: each value is added twice, whatever the frame's length is.
#[derive(Debug)]
pub(in crate::query) struct MovingFrame {
    computes: Moving,
    /// The moments of the older values: the last is that of all of them, the one before that of all but the oldest.
    older: Vec<Moments>,
    newer: Vec<(f64, f64)>,
    /// The moments of the newer values.
    of_newer: Moments,
}

impl MovingFrame {
    pub(in crate::query) fn new(computes: Moving) -> Self {
        Self { computes, older: Vec::new(), newer: Vec::new(), of_newer: Moments::default() }
    }

    fn enter(&mut self, pair: (f64, f64)) {
        self.newer.push(pair);
        self.of_newer = self.of_newer.and(Moments::of(pair));
    }

    fn leave(&mut self) {
        if self.older.is_empty() {
            let mut all = Moments::default();
            self.older.extend(self.newer.drain(..).rev().map(|pair| {
                all = Moments::of(pair).and(all);
                all
            }));
            self.of_newer = Moments::default();
        }
        self.older.pop();
    }
}

/// Returns the pairs of values without NULL.
fn pairs(values: &[ArrayRef]) -> Result<Vec<(f64, f64)>> {
    let numbers = |values: &ArrayRef| cast(values, &DataType::Float64);
    match values {
        [y] => {
            let y = numbers(y)?;
            Ok(y.as_primitive::<Float64Type>().iter().flatten().map(|y| (y, 0.0)).collect())
        }
        [y, x] => {
            let (y, x) = (numbers(y)?, numbers(x)?);
            let pairs = y.as_primitive::<Float64Type>().iter().zip(x.as_primitive::<Float64Type>());
            Ok(pairs.filter_map(|(y, x)| y.zip(x)).collect())
        }
        _ => exec_err!("a moving frame has one column or two"),
    }
}

impl Accumulator for MovingFrame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for pair in pairs(values)? {
            self.enter(pair);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for _ in pairs(values)? {
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
            + self.newer.capacity() * size_of::<(f64, f64)>()
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

    const OF_ONE: [&str; 6] = ["sum", "avg", "var", "var_pop", "stddev", "stddev_pop"];
    const OF_TWO: [&str; 11] = [
        "covar_samp",
        "covar_pop",
        "corr",
        "regr_slope",
        "regr_intercept",
        "regr_r2",
        "regr_avgx",
        "regr_avgy",
        "regr_sxx",
        "regr_syy",
        "regr_sxy",
    ];

    fn columns(rows: &[[Option<f64>; 2]], of: usize) -> Vec<ArrayRef> {
        let column = |at: usize| rows.iter().map(|row| row[at]).collect::<Float64Array>();
        (0..of).map(|at| Arc::new(column(at)) as ArrayRef).collect()
    }

    fn value(frame: &mut MovingFrame) -> Option<f64> {
        let ScalarValue::Float64(value) = frame.evaluate().unwrap() else { panic!("it is a double") };
        value
    }

    fn close(found: Option<f64>, wanted: Option<f64>) -> bool {
        match (found, wanted) {
            (Some(found), Some(wanted)) => {
                found.total_cmp(&wanted).is_eq()
                    || found.is_nan() && wanted.is_nan()
                    || (found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0)
            }
            (found, wanted) => found == wanted,
        }
    }

    fn number() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            8 => (-1000..1000_i32).prop_map(|n| Some(f64::from(n) / 8.0)),
            1 => Just(None),
            1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY)].prop_map(Some),
        ]
    }

    proptest! {
        /// A frame has the value that its own rows give to a frame that never moved.
        #[test]
        fn a_frame_has_no_memory(rows in prop::collection::vec([number(), number()], 1..60), width in 1..9_usize) {
            for (name, of) in OF_ONE.map(|name| (name, 1)).into_iter().chain(OF_TWO.map(|name| (name, 2))) {
                let computes = Moving::named(name).unwrap();
                let mut frame = MovingFrame::new(computes);
                for (at, row) in rows.iter().enumerate() {
                    frame.update_batch(&columns(&[*row], of)).unwrap();
                    if let Some(gone) = at.checked_sub(width) {
                        frame.retract_batch(&columns(&[rows[gone]], of)).unwrap();
                    }
                    let mut fresh = MovingFrame::new(computes);
                    let own = &rows[(at + 1).saturating_sub(width)..=at];
                    fresh.update_batch(&columns(own, of)).unwrap();
                    let (found, wanted) = (value(&mut frame), value(&mut fresh));
                    prop_assert!(close(found, wanted), "{name}: {found:?} and {wanted:?} of {own:?}");
                }
            }
        }
    }

    /// The values are those of PostgreSQL 15 for these rows.
    #[test]
    fn aggregates_have_the_values_of_postgresql() {
        let rows = [[1.0, 2.0], [2.0, 4.0], [4.0, 4.0], [7.0, 9.0]].map(|row| row.map(Some));
        for (name, wanted) in [
            ("sum", 14.0),
            ("avg", 3.5),
            ("var", 7.0),
            ("var_pop", 5.25),
            ("stddev", 2.645_751_311_064_590_7),
            ("covar_samp", 7.5),
            ("covar_pop", 5.625),
            ("corr", 0.949_316_386_741_628_8),
            ("regr_slope", 0.841_121_495_327_102_8),
            ("regr_intercept", -0.495_327_102_803_738_5),
            ("regr_r2", 0.901_201_602_136_181_6),
            ("regr_avgx", 4.75),
            ("regr_avgy", 3.5),
            ("regr_sxx", 26.75),
            ("regr_syy", 21.0),
            ("regr_sxy", 22.5),
        ] {
            let mut frame = MovingFrame::new(Moving::named(name).unwrap());
            frame.update_batch(&columns(&rows, if OF_ONE.contains(&name) { 1 } else { 2 })).unwrap();
            assert!(close(value(&mut frame), Some(wanted)), "{name}: {:?}", value(&mut frame));
        }
    }

    #[test]
    fn a_long_frame_adds_up() {
        let mut frame = MovingFrame::new(Moving::Average);
        let values: Vec<_> = (0..10_000).map(|n| [Some(f64::from(n)), None]).collect();
        frame.update_batch(&columns(&values, 1)).unwrap();
        frame.retract_batch(&columns(&values[..1500], 1)).unwrap();
        assert_eq!(value(&mut frame), Some(f64::midpoint(1500.0, 9999.0)));
        frame.retract_batch(&columns(&values[1500..], 1)).unwrap();
        assert_eq!(value(&mut frame), None);
    }
}
