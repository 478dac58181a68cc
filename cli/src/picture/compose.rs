//! From rows to shapes. A shape does not depend on the output in characters or pixels.

use anyhow::ensure;

use super::axis::Axis;
use super::choose::{MOST_SERIES, Plan};
use super::heat::{self, Heat};
use super::lines::{self, Lines};
use super::series::{Class, Codes, Table};
use super::text;

/// The number of bars that are made; a picture may have room for fewer.
pub(super) const MOST_BARS: usize = 1000;

/// The number of parts that a picture has room for.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) bins: usize,
}

/// A picture, ready to draw.
pub(super) struct Picture {
    pub(super) title: String,
    /// Notes about rows that the picture leaves out.
    pub(super) notes: Vec<String>,
    pub(super) shape: Shape,
}

pub(super) enum Shape {
    Bars(Bars),
    Lines(Lines),
    Histogram(Histogram),
    Heat(Box<Heat>),
}

pub(super) struct Bars {
    /// The names of the series, which differ in colour; there is one if there are no series.
    pub(super) series: Vec<String>,
    pub(super) rows: Vec<Bar>,
    /// From the smallest to the largest value, and zero.
    pub(super) axis: Axis,
    /// The number of bars that the answer has.
    pub(super) all: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) series: usize,
    /// `None` for NULL and for values that are not finite.
    pub(super) value: Option<f64>,
}

impl Bar {
    /// The value as text.
    pub(super) fn value(&self) -> String {
        self.value.map_or_else(|| "–".to_owned(), text::number)
    }
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
        Plan::Lines { x, ys, by } => lines::compose(table, *x, ys, *by),
        Plan::Histogram { of } => histogram(table, *of, room.bins),
        Plan::Heat { x, y, z } => heat::compose(table, [*x, *y], *z, room),
    }
}

pub(super) fn titles(table: &Table<'_>, columns: &[usize]) -> String {
    columns.iter().map(|column| table.columns[*column].title()).collect::<Vec<_>>().join(", ")
}

/// The names of columns, and of one more column.
fn also(table: &Table<'_>, columns: &[usize], more: Option<usize>) -> String {
    let more = more.map(|more| format!(" and {}", table.columns[more].title()));
    titles(table, columns) + &more.unwrap_or_default()
}

/// The labels of several columns, joined to one label.
fn joined(table: &Table<'_>, columns: &[usize]) -> anyhow::Result<Vec<String>> {
    let parts = columns.iter().map(|column| table.labels(*column)).collect::<anyhow::Result<Vec<_>>>()?;
    let label = |row: usize| {
        let parts: Vec<_> = parts.iter().map(|part| part[row].as_str()).collect();
        text::harmless(&parts.join(" · "))
    };
    Ok((0..table.rows).map(label).collect())
}

fn bars(table: &Table<'_>, labels: &[usize], values: &[usize], by: Option<usize>) -> anyhow::Result<Picture> {
    ensure!(by.is_none() || values.len() == 1, "bars can have several y or a column as by=, but not both");
    let names = joined(table, labels)?;
    let columns = values.iter().map(|y| table.numbers(*y)).collect::<anyhow::Result<Vec<_>>>()?;
    let codes = by.map(|by| series_codes(table, by)).transpose()?;
    let mut order: Vec<usize> = (0..table.rows).collect();
    if let [label] = labels
        && table.columns[*label].class == Class::Time
    {
        // Times are drawn from early to late, in whatever order the answer has them.
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
    let is_missing = |row: &usize| columns.iter().all(|column| column[*row].is_none());
    let mut notes = Vec::new();
    missing(table, (0..table.rows).filter(is_missing).count(), &mut notes);
    Ok(bars_of(title, notes, series, rows, table.rows * values.len()))
}

fn series_codes<'t>(table: &'t Table<'_>, by: usize) -> anyhow::Result<&'t Codes> {
    let codes = table.codes(by)?;
    ensure!(
        codes.labels.len() <= MOST_SERIES,
        "by={} has {} different values: at most {MOST_SERIES} can be drawn",
        table.columns[by].title(),
        codes.labels.len()
    );
    Ok(codes)
}

/// The number of rows of each label.
fn counted(table: &Table<'_>, labels: &[usize], by: Option<usize>) -> anyhow::Result<Picture> {
    let names = joined(table, labels)?;
    let codes = by.map(|by| series_codes(table, by)).transpose()?;
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
    Ok(bars_of(title, Vec::new(), series, rows, all))
}

fn bars_of(title: String, notes: Vec<String>, series: Vec<String>, rows: Vec<Bar>, all: usize) -> Picture {
    // If all values are zero, something must define the scale.
    let values = rows.iter().filter_map(|bar| bar.value);
    let largest = values.clone().fold(0.0, |most: f64, value| most.max(value.abs()));
    let axis = Axis::over(String::new(), None, values.chain([0.0, if largest > 0.0 { 0.0 } else { 1.0 }]));
    Picture { title, notes, shape: Shape::Bars(Bars { series, rows, axis, all }) }
}

fn histogram(table: &Table<'_>, of: usize, most: usize) -> anyhow::Result<Picture> {
    let column = &table.columns[of];
    let mut numbers = table.numbers(of)?;
    let mut known: Vec<f64> = numbers.iter().copied().flatten().collect();
    ensure!(!known.is_empty(), "there is nothing to draw: every {} is NULL or not finite", column.title());
    let is_time = column.class == Class::Time;
    let mut x = Axis::over(column.title(), table.zone(of), known.iter().copied());
    // Numbers have bins by Rice's rule. Times have as many bins as there is room for, to show when something
    // happened.
    let wanted = if is_time {
        most
    } else {
        ((2.0 * (known.len() as f64).cbrt()).ceil() as usize).clamp(8, most.max(8))
    };
    let step = x.step(wanted.min(most).max(1));
    x = x.cut(step, &mut numbers);
    known.clear();
    known.extend(numbers.iter().copied().flatten());
    let origin = x.origin();
    let nth = |value: f64| ((value - origin) / step).floor();
    let first = nth(x.low);
    // The largest value may begin a bin of its own.
    let bins = ((nth(x.high) - first).max(0.0) as usize + 1).min(2 * most.max(8) + 2);
    x.low = origin + first * step;
    x.high = origin + (first + bins as f64) * step;
    let mut counts = vec![0u64; bins];
    for number in &known {
        let bin = (nth(*number) - first).max(0.0) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    // The step may be smaller than the precision of the numbers.
    ensure!(
        x.low < x.high,
        "cannot draw a histogram: the values of {} are too close together",
        column.title()
    );
    let most = counts.iter().copied().max().unwrap_or(0);
    let y = Axis::over("rows".to_owned(), None, [0.0, most as f64]);
    let mut notes = Vec::new();
    missing(table, numbers.len() - known.len(), &mut notes);
    let title = format!("rows by {}, {} each", column.title(), step_text(step, is_time));
    Ok(Picture { title, notes, shape: Shape::Histogram(Histogram { x, y, bins: counts }) })
}

/// The text of a step: 15 min, 0.5.
pub(super) fn step_text(step: f64, is_time: bool) -> String {
    if !is_time {
        return text::number(step);
    }
    for (unit, name) in [(365.25 * 86_400.0, "years"), (86_400.0, "d"), (3600.0, "h"), (60.0, "min")] {
        if step >= unit {
            return format!("{} {name}", text::number(step / unit));
        }
    }
    if step >= 1.0 { format!("{} s", text::number(step)) } else { format!("{} ms", text::number(step * 1e3)) }
}

pub(super) fn missing(table: &Table<'_>, rows: usize, notes: &mut Vec<String>) {
    if rows > 0 {
        let of = text::number(table.rows as f64);
        notes.push(format!("NULL or not finite: {} of {of} rows", text::number(rows as f64)));
    }
}
