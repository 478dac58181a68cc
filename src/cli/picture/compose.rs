//! From rows to shapes: what a picture shows, still without knowing whether in characters or in pixels.

use anyhow::ensure;

use super::axis::Axis;
use super::choose::{MOST_SERIES, Plan};
use super::heat::{self, Heat};
use super::series::{Class, Table};
use super::text;

/// Bars that are made of an answer; fewer may have room.
pub(super) const MOST_BARS: usize = 1000;
/// A line's points are thinned to the extremes of so many stretches.
const STRETCHES: usize = 1000;

/// How fine a picture may be.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) bins: usize,
}

/// What is to be drawn.
pub(super) struct Picture {
    pub(super) title: String,
    /// What the picture leaves out.
    pub(super) notes: Vec<String>,
    pub(super) shape: Shape,
}

pub(super) enum Shape {
    Bars(Bars),
    Lines(Lines),
    Histogram(Histogram),
    Heat(Heat),
}

pub(super) struct Bars {
    /// The names of what is told apart by colour; one of them if nothing is.
    pub(super) series: Vec<String>,
    pub(super) rows: Vec<Bar>,
    /// From the smallest to the largest value, and zero.
    pub(super) axis: Axis,
    /// How many the answer has.
    pub(super) all: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) series: usize,
    /// None for NULL.
    pub(super) value: Option<f64>,
}

pub(super) struct Lines {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

pub(super) struct Histogram {
    /// Begins with the first bin and ends with the last.
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) bins: Vec<u64>,
}

/// Makes the planned picture of the rows.
pub(super) fn compose(table: &Table<'_>, plan: &Plan, room: Room) -> anyhow::Result<Picture> {
    match plan {
        Plan::Bars { labels, values, by } if values.is_empty() => counted(table, labels, *by),
        Plan::Bars { labels, values, by } => bars(table, labels, values, *by),
        Plan::Lines { x, ys, by } => lines(table, *x, ys, *by),
        Plan::Histogram { of } => histogram(table, *of, room.bins),
        Plan::Heat { x, y, z } => heat::compose(table, [*x, *y], *z, room),
    }
}

pub(super) fn titles(table: &Table<'_>, columns: &[usize]) -> String {
    columns.iter().map(|column| table.columns[*column].title()).collect::<Vec<_>>().join(", ")
}

/// The names of columns, and of one more.
fn also(table: &Table<'_>, columns: &[usize], more: Option<usize>) -> String {
    let more = more.map(|more| format!(" and {}", table.columns[more].title()));
    titles(table, columns) + &more.unwrap_or_default()
}

/// The labels of several columns in one.
fn joined(table: &Table<'_>, columns: &[usize]) -> anyhow::Result<Vec<String>> {
    let parts = columns.iter().map(|column| table.labels(*column)).collect::<anyhow::Result<Vec<_>>>()?;
    let label = |row: usize| parts.iter().map(|part| part[row].as_str()).collect::<Vec<_>>().join(" · ");
    Ok((0..table.rows).map(label).collect())
}

fn bars(table: &Table<'_>, labels: &[usize], values: &[usize], by: Option<usize>) -> anyhow::Result<Picture> {
    ensure!(
        by.is_none() || values.len() == 1,
        "bars are told apart by several y, or by a column, not by both"
    );
    let names = joined(table, labels)?;
    let columns = values.iter().map(|y| table.numbers(*y)).collect::<anyhow::Result<Vec<_>>>()?;
    let codes = by.map(|by| table.codes(by)).transpose()?;
    let mut order: Vec<usize> = (0..table.rows).collect();
    if let [label] = labels
        && table.columns[*label].class == Class::Time
    {
        // Times run from early to late, however the answer has them.
        let times = table.numbers(*label)?;
        order.sort_by(|a, b| {
            times[*a].unwrap_or(f64::INFINITY).total_cmp(&times[*b].unwrap_or(f64::INFINITY))
        });
    }
    let mut rows = Vec::new();
    for row in order.into_iter().take(MOST_BARS) {
        for (nth, column) in columns.iter().enumerate() {
            let series = codes.map_or(nth, |codes| codes.of_rows[row] as usize);
            rows.push(Bar { label: names[row].clone(), series, value: column[row] });
        }
    }
    ensure!(
        rows.iter().any(|bar| bar.value.is_some()),
        "there is nothing to draw: every {} is NULL or not finite",
        titles(table, values)
    );
    let series = match codes {
        Some(codes) => codes.labels.clone(),
        None => values.iter().map(|y| table.columns[*y].title()).collect(),
    };
    let title = format!("{} by {}", titles(table, values), also(table, labels, by));
    Ok(bars_of(title, series, rows, table.rows * values.len()))
}

/// How many rows there are of each label.
fn counted(table: &Table<'_>, labels: &[usize], by: Option<usize>) -> anyhow::Result<Picture> {
    let names = joined(table, labels)?;
    let codes = by.map(|by| table.codes(by)).transpose()?;
    let mut counts = std::collections::HashMap::<_, u64>::new();
    for (row, name) in names.into_iter().enumerate() {
        *counts.entry((name, codes.map_or(0, |codes| codes.of_rows[row] as usize))).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
    let all = counts.len();
    let bar =
        |((label, series), count): ((String, usize), u64)| Bar { label, series, value: Some(count as f64) };
    let rows = counts.into_iter().take(MOST_BARS).map(bar).collect();
    let series = codes.map_or_else(|| vec!["rows".to_owned()], |codes| codes.labels.clone());
    let title = format!("rows by {}", also(table, labels, by));
    Ok(bars_of(title, series, rows, all))
}

fn bars_of(title: String, series: Vec<String>, rows: Vec<Bar>, all: usize) -> Picture {
    let axis = Axis::over(String::new(), false, rows.iter().filter_map(|bar| bar.value)).with_zero();
    Picture { title, notes: Vec::new(), shape: Shape::Bars(Bars { series, rows, axis, all }) }
}

fn lines(table: &Table<'_>, x: usize, ys: &[usize], by: Option<usize>) -> anyhow::Result<Picture> {
    ensure!(by.is_none() || ys.len() == 1, "lines are told apart by several y, or by a column, not by both");
    let xs = table.numbers(x)?;
    let columns = ys.iter().map(|y| table.numbers(*y)).collect::<anyhow::Result<Vec<_>>>()?;
    let points = |column: &Vec<Option<f64>>, of: &dyn Fn(usize) -> bool| {
        let mut points: Vec<(f64, f64)> = xs
            .iter()
            .zip(column)
            .enumerate()
            .filter(|(row, _)| of(*row))
            .filter_map(|(_, (x, y))| (*x).zip(*y))
            .collect();
        points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        points
    };
    let mut notes = Vec::new();
    let mut series: Vec<Series> = match by {
        Some(by) => {
            let codes = table.codes(by)?;
            let mut sizes = vec![0usize; codes.labels.len()];
            codes.of_rows.iter().for_each(|code| sizes[*code as usize] += 1);
            let mut largest: Vec<usize> = (0..sizes.len()).collect();
            largest.sort_by_key(|code| std::cmp::Reverse(sizes[*code]));
            largest.truncate(MOST_SERIES);
            largest.sort_unstable();
            if sizes.len() > largest.len() {
                notes.push(format!(
                    "{} more {} are left out",
                    sizes.len() - largest.len(),
                    table.columns[by].title()
                ));
            }
            let one = |code: usize| Series {
                name: codes.labels[code].clone(),
                points: points(&columns[0], &|row| codes.of_rows[row] as usize == code),
            };
            largest.into_iter().map(one).collect()
        }
        None => {
            if ys.len() > MOST_SERIES {
                notes.push(format!("{} more columns are left out", ys.len() - MOST_SERIES));
            }
            let one = |(y, column): (&usize, _)| Series {
                name: table.columns[*y].title(),
                points: points(column, &|_| true),
            };
            ys.iter().zip(&columns).take(MOST_SERIES).map(one).collect()
        }
    };
    let drawn = || series.iter().flat_map(|series| series.points.iter());
    ensure!(
        drawn().next().is_some(),
        "there is nothing to draw: no row has both {} and {} that are finite",
        table.columns[x].title(),
        titles(table, ys)
    );
    let is_time = table.columns[x].class == Class::Time;
    let x_axis = Axis::over(table.columns[x].title(), is_time, drawn().map(|(x, _)| *x));
    let y_axis = Axis::over(titles(table, ys), false, drawn().map(|(_, y)| *y)).near_zero();
    missing(table, columns.iter().flatten().filter(|y| y.is_none()).count(), &mut notes);
    for series in &mut series {
        series.points = thinned(std::mem::take(&mut series.points), &x_axis);
    }
    let what = format!("{} over {}", titles(table, ys), table.columns[x].title());
    let shape = Shape::Lines(Lines { x: x_axis, y: y_axis, series });
    let title = by.map_or_else(|| what.clone(), |by| format!("{what}, by {}", table.columns[by].title()));
    Ok(Picture { title, notes, shape })
}

/// Of each stretch of x only the first, the lowest, the highest and the last point: it looks the same.
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

fn histogram(table: &Table<'_>, of: usize, most: usize) -> anyhow::Result<Picture> {
    let column = &table.columns[of];
    let numbers = table.numbers(of)?;
    let known: Vec<f64> = numbers.iter().copied().flatten().collect();
    ensure!(!known.is_empty(), "there is nothing to draw: every {} is NULL or not finite", column.title());
    let is_time = column.class == Class::Time;
    let mut x = Axis::over(column.title(), is_time, known.iter().copied());
    // By Rice's rule for numbers; times are looked at for when it was, so as finely as there is room.
    let wanted = if is_time {
        most
    } else {
        ((2.0 * (known.len() as f64).cbrt()).ceil() as usize).clamp(8, most.max(8))
    };
    let mut step = x.step(wanted.min(most).max(1));
    if !is_time && step < 1.0 && known.iter().all(|number| number.fract() == 0.0) {
        step = 1.0;
    }
    let first = (x.low / step).floor();
    // The largest value may begin a bin of its own.
    let bins = (((x.high / step).floor() - first).max(0.0) as usize + 1).min(2 * most.max(8) + 2);
    x.low = first * step;
    x.high = (first + bins as f64) * step;
    let mut counts = vec![0u64; bins];
    for number in &known {
        let bin = ((number / step).floor() - first).max(0.0) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    // A step below what the numbers themselves can tell apart.
    ensure!(x.low < x.high, "the values of {} are too close together to be told apart", column.title());
    let most = counts.iter().copied().max().unwrap_or(0);
    let y = Axis::over("rows".to_owned(), false, [0.0, most as f64]);
    let mut notes = Vec::new();
    missing(table, numbers.len() - known.len(), &mut notes);
    let title = format!("rows by {}, {} each", column.title(), step_text(step, is_time));
    Ok(Picture { title, notes, shape: Shape::Histogram(Histogram { x, y, bins: counts }) })
}

/// A step in words: 15 min, 0.5.
pub(super) fn step_text(step: f64, is_time: bool) -> String {
    if !is_time {
        return text::number(step);
    }
    for (unit, name) in [(86_400.0, "d"), (3600.0, "h"), (60.0, "min")] {
        if step >= unit {
            return format!("{} {name}", text::number(step / unit));
        }
    }
    if step >= 1.0 { format!("{} s", text::number(step)) } else { format!("{} ms", text::number(step * 1e3)) }
}

pub(super) fn missing(table: &Table<'_>, rows: usize, notes: &mut Vec<String>) {
    if rows > 0 {
        let of = text::number(table.rows as f64);
        notes.push(format!("{} of {of} rows are NULL or not finite and left out", text::number(rows as f64)));
    }
}
