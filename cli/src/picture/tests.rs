//! Pictures of small known tables, and of arbitrary tables.

#![expect(clippy::from_iter_instead_of_collect, reason = "which array it is stands in front")]
#![expect(clippy::naive_bytecount, reason = "a picture is small")]

mod any;
mod chosen;
mod drawn;
mod files;
mod whole;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

use super::*;

fn draw(
    batches: &[RecordBatch],
    request: &Request,
    zone: &TimeZone,
    width: u16,
    height: u16,
    colour: bool,
) -> anyhow::Result<String> {
    super::draw(&Rows::all(batches), request, zone, width, height, colour)
}

fn write(batches: &[RecordBatch], request: &Request, zone: &TimeZone, path: &Path) -> anyhow::Result<()> {
    super::write(&Rows::all(batches), request, zone, path)
}

fn table(columns: Vec<(&str, ArrayRef)>) -> Vec<RecordBatch> {
    vec![
        RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap(),
    ]
}

fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn whole(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

/// Times that are these numbers of minutes after the beginning of 1 March 2026.
fn minutes(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    const START: i64 = 1_772_323_200_000_000_000;
    Arc::new(TimestampNanosecondArray::from_iter_values(
        values.into_iter().map(|minute| START + minute * 60_000_000_000),
    ))
}

fn drawn(batches: &[RecordBatch], request: &str, width: u16) -> String {
    draw(batches, &Request::parse(request).unwrap(), &TimeZone::UTC, width, 16, false).unwrap()
}

fn refused(batches: &[RecordBatch], request: &str) -> String {
    draw(batches, &Request::parse(request).unwrap(), &TimeZone::UTC, 80, 24, false).unwrap_err().to_string()
}

/// Numbers that look like measurements, and are equal in every run.
fn noise(n: usize) -> impl Iterator<Item = f64> {
    let mut state = 7u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 31)
    })
    .take(n)
}

fn errors() -> Vec<RecordBatch> {
    table(vec![
        ("error_type", texts(["KeyError", "TimeoutError", "Fehler «groß» 日本\n\x1b[31m", "OSError"])),
        ("crashes", whole([1200, 345, 12, 0])),
    ])
}

/// Two systems over a day and a half, with a quiet night.
fn two_systems() -> Vec<RecordBatch> {
    let hours: Vec<i64> = (0..36).flat_map(|hour| [hour, hour]).collect();
    let load =
        |hour: i64, shift: f64| ((hour as f64 / 24.0 + shift) * std::f64::consts::TAU).sin() * 40.0 + 45.0;
    table(vec![
        ("hour", minutes(hours.iter().map(|hour| hour * 60))),
        ("system_id", texts((0..72).map(|row| ["shop", "billing"][row % 2]))),
        (
            "facts",
            floats(hours.iter().enumerate().map(|(row, hour)| load(*hour, [0.0, 0.3][row % 2]).round())),
        ),
    ])
}

fn lags() -> Vec<RecordBatch> {
    table(vec![(
        "lag_ms",
        floats(noise(2000).zip(noise(4000).skip(1999)).map(|(a, b)| -20.0 * (a * b + 1e-3).ln())),
    )])
}

/// A week, every hour of it.
fn week() -> Vec<RecordBatch> {
    let cells: Vec<(i64, i64)> = (0..7).flat_map(|day| (0..24).map(move |hour| (day, hour))).collect();
    let busy = |(day, hour): &(i64, i64)| (12 - (hour - 13).abs()).max(0) * if *day < 5 { 3 } else { 1 };
    table(vec![
        ("day", minutes(cells.iter().map(|(day, _)| day * 24 * 60))),
        ("hour", whole(cells.iter().map(|(_, hour)| *hour))),
        ("crashes", whole(cells.iter().map(busy))),
    ])
}
