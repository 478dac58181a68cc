//! Pictures of long answers, and of times around a change of clocks: nothing is left out silently, and
//! nothing is merged.

use arrow::array::TimestampNanosecondArray;

use super::super::compose::{Picture, Room, Shape};
use super::super::rows::Limits;
use super::*;

const ROOM: Room = Room { columns: 60, rows: 30, bins: 40 };

fn composed(rows: &Rows, request: &str, zone: &TimeZone) -> Picture {
    super::super::compose(rows, &Request::parse(request).unwrap(), zone, ROOM).unwrap()
}

fn limited(batches: &[RecordBatch], request: &str, limits: Limits) -> Rows {
    let mut rows = Rows::within(limits);
    for batch in batches {
        if !rows.add(batch, &Request::parse(request).unwrap(), &TimeZone::UTC).unwrap() {
            break;
        }
    }
    rows
}

/// Growing numbers, in small batches, with a text that takes space.
fn long(rows: i64) -> Vec<RecordBatch> {
    let batch = |from: i64| {
        let numbers = from..from + 100;
        let payloads = numbers.clone().map(|_| "x".repeat(1000)).collect::<Vec<_>>();
        table(vec![("n", whole(numbers)), ("payload", texts(payloads.iter().map(String::as_str)))])
    };
    (0..rows / 100).flat_map(|nth| batch(nth * 100)).collect()
}

fn counts(picture: &Picture) -> u64 {
    let Shape::Histogram(histogram) = &picture.shape else { panic!("no histogram") };
    histogram.bins.iter().sum()
}

#[test]
fn a_histogram_of_a_long_answer_is_of_all_its_rows() {
    let limits = Limits { whole_rows: 200, rows: 1_000_000, bytes: 100_000 };
    let rows = limited(&long(5_000), "histogram x=n", limits);
    let picture = composed(&rows, "histogram x=n", &TimeZone::UTC);
    assert_eq!((counts(&picture), picture.notes.len()), (5_000, 0));
}

#[test]
fn what_is_left_out_is_said_in_the_picture() {
    let limits = Limits { whole_rows: 200, rows: 1_000, bytes: 1 << 20 };
    let rows = limited(&long(5_000), "histogram x=n", limits);
    let picture = composed(&rows, "histogram x=n", &TimeZone::UTC);
    assert_eq!(counts(&picture), 1_000);
    let said = "Only the first 1,000 rows are drawn; there are more.";
    assert_eq!(picture.notes, [said]);
    let drawn =
        super::super::draw(&rows, &Request::parse("histogram x=n").unwrap(), &TimeZone::UTC, 80, 16, false);
    assert!(drawn.unwrap().contains(said));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.svg");
    super::super::write(&rows, &Request::parse("histogram x=n").unwrap(), &TimeZone::UTC, &path).unwrap();
    assert!(std::fs::read_to_string(path).unwrap().contains("Only the first 1,000 rows"));
}

fn athens() -> TimeZone {
    TimeZone::get("Europe/Athens").unwrap()
}

fn instants(seconds: impl IntoIterator<Item = i64>) -> ArrayRef {
    let nanos = seconds.into_iter().map(|second| second * 1_000_000_000);
    Arc::new(TimestampNanosecondArray::from_iter_values(nanos).with_timezone("UTC"))
}

/// The midnights of Athens from 20 October to 2 November 2026; clocks are put back on the 25th.
fn midnights() -> Vec<i64> {
    let day = |day: i64| 1_792_443_600 + day * 86_400 + if day > 5 { 3_600 } else { 0 };
    (0..14).map(day).collect()
}

#[test]
fn every_day_has_its_own_cell_across_a_change_of_clocks() {
    let days = midnights();
    let batches = table(vec![
        ("day", instants(days.clone())),
        ("name", texts(days.iter().map(|_| "all"))),
        ("n", whole((1..).take(days.len()))),
    ]);
    let picture = composed(&Rows::all(&batches), "heat x=day y=name z=n", &athens());
    let Shape::Heat(heat) = &picture.shape else { panic!("no heat map") };
    let cells: Vec<_> = heat.cells[0].iter().map(|cell| cell.map(|n| n as i64)).collect();
    assert_eq!(cells, (1..=14).map(Some).collect::<Vec<_>>());
    let labels: Vec<_> =
        (20..=31).map(|day| format!("Oct {day}")).chain((1..=2).map(|d| format!("Nov {d}"))).collect();
    assert_eq!(heat.x.labels, labels);
}

#[test]
fn a_histogram_of_days_has_whole_days_across_a_change_of_clocks() {
    // Each day at its first and its last second.
    let days = midnights();
    let ends = days[..13].iter().zip(&days[1..]).flat_map(|(begin, next)| [*begin, next - 1]);
    let batches = table(vec![("at", instants(ends))]);
    let rows = Rows::all(&batches);
    let room = Room { bins: 14, ..ROOM };
    let request = Request::parse("histogram x=at").unwrap();
    let picture = super::super::compose(&rows, &request, &athens(), room).unwrap();
    let Shape::Histogram(histogram) = &picture.shape else { panic!("no histogram") };
    assert!(picture.title.contains("1 d each"), "{}", picture.title);
    assert_eq!(histogram.bins, [2; 13]);
}

#[test]
fn an_hour_that_comes_twice_has_two_labels_and_two_cells() {
    // From 02:00 to 04:00 in Athens, when the hour from three to four comes twice.
    let hours: Vec<i64> = (0..4).map(|hour| 1_792_882_800 + hour * 3_600).collect();
    let batches = table(vec![("hour", instants(hours)), ("n", whole([1, 2, 3, 4]))]);
    let rows = Rows::all(&batches);
    let Shape::Bars(bars) = composed(&rows, "bar x=hour y=n", &athens()).shape else { panic!("no bars") };
    let labels: Vec<_> = bars.rows.iter().map(|bar| bar.label.as_str()).collect();
    let known = [
        "2026-10-25 02:00+03:00",
        "2026-10-25 03:00+03:00",
        "2026-10-25 03:00+02:00",
        "2026-10-25 04:00+02:00",
    ];
    assert_eq!(labels, known);
    let picture = composed(&rows, "heat x=hour y=n", &athens());
    let Shape::Heat(heat) = &picture.shape else { panic!("no heat map") };
    assert_eq!(heat.x.labels, ["02:00+03:00", "03:00+03:00", "03:00+02:00", "04:00+02:00"]);
}
