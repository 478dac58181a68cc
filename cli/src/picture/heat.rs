//! The cells of a heat map: the sum or the number of rows for each pair of x and y.

use std::collections::HashMap;

use anyhow::ensure;

use super::axis::Axis;
use super::compose::{Picture, Room, Shape, missing, step_text};
use super::series::{Class, Table};

pub(super) struct Heat {
    pub(super) x: Side,
    pub(super) y: Side,
    /// By y, then by x. `None` if there is no row.
    pub(super) cells: Vec<Vec<Option<f64>>>,
    /// The axis of the values, from the smallest to the largest.
    pub(super) z: Axis,
}

/// One side of the map, cut into cells.
pub(super) struct Side {
    pub(super) title: String,
    pub(super) labels: Vec<String>,
    /// The step from cell to cell, if it is worth showing.
    step: Option<String>,
    /// The scale of the cells and the length of each, if they are parts of a scale.
    scale: Option<(Axis, f64)>,
    of_rows: Vec<Option<u32>>,
    /// The number of values of the answer that have no cell.
    more: usize,
}

impl Side {
    fn new(table: &Table<'_>, column: usize, most: usize) -> anyhow::Result<Self> {
        let most = most.max(1);
        if table.columns[column].class == Class::Text {
            Self::of_texts(table, column, most)
        } else {
            Self::of_scale(table, column, most)
        }
    }

    /// A side of texts: those with most rows, in the order of the answer.
    fn of_texts(table: &Table<'_>, column: usize, most: usize) -> anyhow::Result<Self> {
        let codes = table.codes(column)?;
        let kept = codes.most_frequent(most);
        let cells: HashMap<u32, u32> =
            kept.iter().enumerate().map(|(cell, code)| (*code as u32, cell as u32)).collect();
        Ok(Self {
            title: table.columns[column].title(),
            labels: kept.iter().map(|code| codes.labels[*code].clone()).collect(),
            step: None,
            scale: None,
            of_rows: codes.of_rows.iter().map(|code| cells.get(code).copied()).collect(),
            more: codes.labels.len() - kept.len(),
        })
    }

    /// A side of a scale, in parts of equal length. Parts without rows have a cell, too, so that a gap can be
    /// seen.
    fn of_scale(table: &Table<'_>, column: usize, most: usize) -> anyhow::Result<Self> {
        let mut numbers = table.numbers(column)?;
        let mut known = different(&numbers);
        let name = table.columns[column].title();
        ensure!(!known.is_empty(), "there is nothing to draw: every {name} is NULL or not finite");
        let is_time = table.columns[column].class == Class::Time;
        let mut axis = Axis::over(name, table.zone(column), known.iter().copied());
        // Not finer than the values.
        let finest = |axis: &Axis, known: &[f64]| {
            let nearest = known.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
            ((axis.high - axis.low) / nearest).round().clamp(1.0, most as f64) as usize
        };
        let mut wanted = finest(&axis, &known);
        if known.len() > 1 {
            let step = axis.step(wanted);
            axis = axis.cut(step, &mut numbers);
            known = different(&numbers);
            wanted = finest(&axis, &known);
        }
        let mut step = axis.step(wanted);
        let origin = axis.origin();
        let nth = |number: f64, step: f64| ((number - origin) / step).floor();
        let cells = |step: f64| nth(axis.high, step) - nth(axis.low, step) + 1.0;
        while cells(step) > most as f64 && wanted > 1 {
            wanted = wanted * 3 / 4;
            step = axis.step(wanted);
        }
        if known.len() == 1 {
            (step, axis.low, axis.high) =
                (if is_time { 1.0 } else { known[0].abs().max(1.0) }, known[0], known[0]);
        }
        let first = nth(axis.low, step);
        let count = (nth(axis.high, step) - first).clamp(0.0, most as f64 - 1.0) as u32 + 1;
        let cell = |number: f64| ((nth(number, step) - first).max(0.0) as u32).min(count - 1);
        let labels = if known.len() == 1 {
            vec![table.labels(column)?.into_iter().find(|label| label != "NULL").unwrap_or_default()]
        } else {
            let begins: Vec<_> = (0..count).map(|nth| origin + (first + f64::from(nth)) * step).collect();
            axis.labels(&begins, step)
        };
        let title = axis.title();
        let at = |cell: f64| origin + cell * step;
        (axis.low, axis.high) = (at(first), at(first + f64::from(count) - 1.0));
        Ok(Self {
            title,
            labels,
            step: (known.len() > 1 && (is_time || (step - 1.0).abs() > 1e-9))
                .then(|| step_text(step, is_time)),
            scale: (known.len() > 1).then_some((axis, step)),
            of_rows: numbers.into_iter().map(|number| number.map(cell)).collect(),
            more: 0,
        })
    }
}

/// The different values, in order.
fn different(numbers: &[Option<f64>]) -> Vec<f64> {
    let mut known: Vec<f64> = numbers.iter().copied().flatten().collect();
    known.sort_by(f64::total_cmp);
    known.dedup();
    known
}

impl Side {
    /// Whether the labels are names that may be shortened.
    pub(super) fn is_cut(&self) -> bool {
        self.scale.is_none() && self.labels.len() > 1
    }

    /// The cells with a label, about `most` of them. On a scale they are at round numbers and times.
    pub(super) fn marks(&self, most: usize) -> Vec<(usize, String)> {
        let Some((axis, step)) = &self.scale else {
            return self.labels.iter().cloned().enumerate().collect();
        };
        let cell = |at: f64| (at - axis.low) / step;
        axis.ticks(most.clamp(1, self.labels.len()))
            .into_iter()
            .filter(|tick| (cell(tick.at) - cell(tick.at).round()).abs() < axis.slack(*step))
            .map(|tick| (cell(tick.at).round() as usize, tick.text))
            .collect()
    }
}

/// Makes the heat map of two columns.
pub(super) fn compose(
    table: &Table<'_>,
    [x, y]: [usize; 2],
    z: Option<usize>,
    room: Room,
) -> anyhow::Result<Picture> {
    let values = z.map(|z| table.numbers(z)).transpose()?;
    let name = z.map_or_else(|| "rows".to_owned(), |z| table.columns[z].title());
    let (x, y) = (Side::new(table, x, room.columns)?, Side::new(table, y, room.rows)?);
    let mut cells = vec![vec![None; x.labels.len()]; y.labels.len()];
    let (mut left_out, mut is_summed) = (0, false);
    for (row, sides) in x.of_rows.iter().zip(&y.of_rows).enumerate() {
        let value = values.as_ref().map_or(Some(1.0), |values| values[row]);
        let (Some(column), Some(line)) = sides else { continue };
        let Some(value) = value else {
            left_out += 1;
            continue;
        };
        let cell: &mut Option<f64> = &mut cells[*line as usize][*column as usize];
        is_summed |= cell.is_some();
        *cell = Some((cell.unwrap_or(0.0) + value).clamp(-1e300, 1e300));
    }
    let known = cells.iter().flatten().copied().flatten();
    ensure!(known.clone().next().is_some(), "there is nothing to draw: every {name} is NULL or not finite");
    let (low, high) =
        known.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let z_axis = Axis::over(name.clone(), None, [low.min(0.0), high.max(0.0)]);
    let mut notes = Vec::new();
    for side in [&x, &y] {
        if side.more > 0 {
            notes.push(format!("{} more {} are left out", side.more, side.title));
        }
    }
    missing(table, left_out, &mut notes);
    let sum = if is_summed && z.is_some() { "sum of " } else { "" };
    let spans: Vec<_> = [&x, &y]
        .into_iter()
        .map(|side| {
            let name = side.title.split(": ").next().unwrap_or_default();
            side.step.as_ref().map_or_else(|| name.to_owned(), |step| format!("{name} ({step} each)"))
        })
        .collect();
    let title = format!("{sum}{name} by {}", spans.join(" and "));
    Ok(Picture { title, notes, shape: Shape::Heat(Box::new(Heat { x, y, cells, z: z_axis })) })
}
