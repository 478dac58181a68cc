//! The look of pictures.

use insta::assert_snapshot;

use super::*;

#[test]
fn bars() {
    assert_snapshot!(drawn(&errors(), "", 80));
    assert_snapshot!(drawn(&errors(), "", 200));
    assert_snapshot!(drawn(&errors(), "", 20));
}

#[test]
fn bars_on_both_sides_of_zero() {
    let growth = table(vec![
        ("actor", texts(["a", "b", "c", "d"])),
        ("growth", Arc::new(Float64Array::from(vec![Some(3.5), Some(-2.0), None, Some(0.0)]))),
    ]);
    assert_snapshot!(drawn(&growth, "", 80));
}

#[test]
fn bars_of_several_columns() {
    let moves = table(vec![
        ("day", minutes([2 * 1440, 1440, 0])),
        ("starts", whole([5, 3, 4])),
        ("stops", whole([1, 3, 2])),
    ]);
    assert_snapshot!(drawn(&moves, "bar y=starts,stops", 80));
}

#[test]
fn more_bars_than_lines() {
    let names: Vec<String> = (0..300).map(|n| format!("actor:{n}")).collect();
    let many = table(vec![("actor", texts(names.iter().map(String::as_str))), ("n", whole((0..300).rev()))]);
    let picture = drawn(&many, "", 80);
    assert_eq!(picture.lines().count(), 16);
    assert_eq!(picture.lines().last().unwrap(), "… 286 more");
}

#[test]
fn lines() {
    let load = table(vec![("value", whole(0..200)), ("load", floats(noise(200).map(|load| load * 90.0)))]);
    assert_snapshot!(drawn(&load, "", 80));
    assert_snapshot!(drawn(&two_systems(), "by=system_id", 80));
    assert_snapshot!(drawn(&two_systems(), "", 200));
}

#[test]
fn histograms() {
    assert_snapshot!(drawn(&lags(), "", 80));
    assert_snapshot!(drawn(&lags(), "", 200));
    let crashes = table(vec![("at", minutes(noise(200).map(|share| (share * share * 600.0) as i64)))]);
    assert_snapshot!(drawn(&crashes, "", 80));
}

#[test]
fn heat_maps() {
    let tall = |width| draw(&week(), &Request::default(), &TimeZone::UTC, width, 32, false).unwrap();
    assert_snapshot!(tall(80));
    assert_snapshot!(tall(200));
}

#[test]
fn colours() {
    let coloured = |batches: &[RecordBatch], request: &str| {
        draw(batches, &Request::parse(request).unwrap(), &TimeZone::UTC, 40, 10, true)
            .unwrap()
            .replace('\x1b', "␛")
    };
    assert_snapshot!(coloured(&two_systems(), ""));
    assert_snapshot!(coloured(&week(), "heat x=hour y=day"));
    assert_snapshot!(coloured(&errors(), ""));
}

#[test]
fn a_million_rows_are_drawn() {
    let (rows, step) = (1_000_000, 2);
    let many =
        table(vec![("at", minutes((0..rows).map(|row| row * step))), ("load", floats(noise(rows as usize)))]);
    let line = drawn(&many, "", 80);
    assert!(line.contains("2027") && line.lines().count() == 16, "{line}");
    let histogram = drawn(&many, "histogram y=load", 80);
    assert!(histogram.starts_with("rows by load"), "{histogram}");
}

#[test]
fn times_are_told_in_a_zone() {
    const HOUR: i64 = 3_600_000_000_000;
    let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
    let hours = |hours: &[i64]| {
        let times = hours.iter().map(|hour| 1_772_323_200_000_000_000 + hour * HOUR);
        Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC")) as ArrayRef
    };
    let draw = |batches: &[RecordBatch], request: &str| {
        draw(batches, &Request::parse(request).unwrap(), &tokyo, 80, 16, false).unwrap()
    };
    // Midnight in Tokyo, three times.
    let days =
        table(vec![("day", hours(&[15, 39, 63])), ("n", whole([1, 2, 3])), ("of", texts(["a", "b", "a"]))]);
    assert_snapshot!(
        "zone",
        format!(
            "{}\n{}\n{}\n{}",
            draw(&days, "bar x=day y=n"),
            draw(&days, "line x=day y=n"),
            draw(&days, "histogram x=day"),
            draw(&days, "heat x=day y=of z=n")
        )
    );
}
