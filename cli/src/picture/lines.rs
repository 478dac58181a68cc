//! Lines: points in the order of x, few enough to draw.

use anyhow::ensure;

use super::axis::Axis;
use super::choose::MOST_SERIES;
use super::compose::{Picture, Shape, missing, titles};
use super::series::Table;

/// The number of parts of x; in each part only the extreme points of a line are kept.
const STRETCHES: usize = 1000;

pub(super) struct Lines {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Makes a line of each of the numbers `ys`, or of the first of them for each value of the column `by`.
pub(super) fn compose(
    table: &Table<'_>,
    x: usize,
    ys: &[usize],
    by: Option<usize>,
) -> anyhow::Result<Picture> {
    ensure!(by.is_none() || ys.len() == 1, "lines can have several y or a column as by=, but not both");
    let xs = table.numbers(x)?;
    let columns = ys.iter().map(|y| table.numbers(*y)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut notes = Vec::new();
    let mut series = if let Some(by) = by {
        let codes = table.codes(by)?;
        let drawn = codes.most_frequent(MOST_SERIES);
        if codes.labels.len() > drawn.len() {
            let more = codes.labels.len() - drawn.len();
            notes.push(format!("{more} more {} are left out", table.columns[by].title()));
        }
        let mut series: Vec<_> = drawn
            .iter()
            .map(|code| Series { name: codes.labels[*code].clone(), points: Vec::new() })
            .collect();
        for (row, code) in codes.of_rows.iter().enumerate() {
            if let (Ok(nth), Some(point)) =
                (drawn.binary_search(&(*code as usize)), xs[row].zip(columns[0][row]))
            {
                series[nth].points.push(point);
            }
        }
        series
    } else {
        if ys.len() > MOST_SERIES {
            notes.push(format!("{} more columns are left out", ys.len() - MOST_SERIES));
        }
        let points =
            |column: &Vec<Option<f64>>| xs.iter().zip(column).filter_map(|(x, y)| (*x).zip(*y)).collect();
        let one =
            |(y, column): (&usize, _)| Series { name: table.columns[*y].title(), points: points(column) };
        ys.iter().zip(&columns).take(MOST_SERIES).map(one).collect()
    };
    let drawn = || series.iter().flat_map(|series: &Series| series.points.iter());
    ensure!(
        drawn().next().is_some(),
        "there is nothing to draw: in every row {} or {} is NULL or not finite",
        table.columns[x].title(),
        titles(table, ys)
    );
    let x_axis = Axis::over(table.columns[x].title(), table.zone(x), drawn().map(|(x, _)| *x));
    let y_axis = Axis::over(titles(table, ys), None, drawn().map(|(_, y)| *y)).near_zero();
    let is_missing = |row: &usize| xs[*row].is_none() || columns.iter().all(|column| column[*row].is_none());
    missing(table, (0..table.rows).filter(is_missing).count(), &mut notes);
    for series in &mut series {
        series.points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        series.points = thinned(std::mem::take(&mut series.points), &x_axis);
    }
    let title = format!("{} over {}", titles(table, ys), table.columns[x].title());
    let by = by.map(|by| format!(", by {}", table.columns[by].title()));
    let shape = Shape::Lines(Lines { x: x_axis, y: y_axis, series });
    Ok(Picture { title: title + &by.unwrap_or_default(), notes, shape })
}

/// Keeps only the first, the lowest, the highest and the last point of each part of x: the line looks the
/// same.
fn thinned(points: Vec<(f64, f64)>, x: &Axis) -> Vec<(f64, f64)> {
    if points.len() <= 4 * STRETCHES {
        return points;
    }
    let stretch = |point: &(f64, f64)| (x.share(point.0) * STRETCHES as f64) as usize;
    let mut out = Vec::new();
    for chunk in points.chunk_by(|a, b| stretch(a) == stretch(b)) {
        let by_y = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let ends = [chunk.first(), chunk.iter().min_by(by_y), chunk.iter().max_by(by_y), chunk.last()];
        let from = out.len();
        out.extend(ends.into_iter().flatten().copied());
        out[from..].sort_by(|(a, _), (b, _)| a.total_cmp(b));
    }
    out
}
