//! The chosen picture for short requests, and the error if nothing fits.

use arrow::array::{BooleanArray, ListArray, NullArray};
use arrow::datatypes::Int32Type;

use super::choose::{Plan, choose};
use super::*;

fn plan(batches: &[RecordBatch], request: &str) -> Plan {
    choose(&Table::new(batches, &jiff::tz::TimeZone::UTC), &Request::parse(request).unwrap()).unwrap()
}

fn bars(labels: &[usize], values: &[usize], by: Option<usize>) -> Plan {
    Plan::Bars { labels: labels.to_vec(), values: values.to_vec(), by }
}

#[test]
fn a_time_and_a_number_are_a_line_or_a_few_bars() {
    let days = |n: i64| table(vec![("day", minutes((0..n).map(|day| day * 1440))), ("n", whole(0..n))]);
    assert_eq!(plan(&days(5), ""), bars(&[0], &[1], None));
    assert_eq!(plan(&days(50), ""), Plan::Lines { x: 0, ys: vec![1], by: None });
}

#[test]
fn names_tell_apart_what_happened_at_one_time() {
    assert_eq!(plan(&two_systems(), ""), Plan::Lines { x: 0, ys: vec![2], by: Some(1) });
    let names: Vec<String> = (0..200).map(|n| format!("actor:{}", n % 20)).collect();
    let many = table(vec![
        ("day", minutes((0..200).map(|row| row / 20 * 1440))),
        ("actor", texts(names.iter().map(String::as_str))),
        ("n", whole(0..200)),
    ]);
    assert_eq!(plan(&many, ""), Plan::Heat { x: 0, y: 1, z: Some(2) });
}

#[test]
fn an_hour_beside_a_day_is_no_measurement() {
    assert_eq!(plan(&week(), ""), Plan::Heat { x: 0, y: 1, z: Some(2) });
}

#[test]
fn a_name_and_a_number_are_bars() {
    assert_eq!(plan(&errors(), ""), bars(&[0], &[1], None));
    // Of several names, those that distinguish the rows.
    let actors = table(vec![
        ("system", texts(["shop", "shop", "billing"])),
        ("actor", texts(["shop:1", "shop:2", "billing:1"])),
        ("crashes", whole([3, 2, 1])),
        ("last", minutes([1, 2, 3])),
    ]);
    assert_eq!(plan(&actors, ""), bars(&[1], &[2], None));
    let workers = table(vec![
        ("system", texts(["shop", "billing", "billing"])),
        ("actor", texts(["worker:1", "worker:1", "worker:2"])),
        ("state", texts(["running", "running", "crashed"])),
        ("crashes", whole([3, 2, 1])),
    ]);
    assert_eq!(plan(&workers, "bar"), bars(&[0, 1], &[3], None));
}

#[test]
fn names_that_make_a_matrix_are_a_heat_map() {
    let matrix = table(vec![
        ("system", texts(["a", "a", "b", "b"])),
        ("error", texts(["x", "y", "x", "y"])),
        ("n", whole(0..4)),
    ]);
    assert_eq!(plan(&matrix, ""), Plan::Heat { x: 1, y: 0, z: Some(2) });
    assert_eq!(plan(&matrix, "x=system"), bars(&[0], &[2], None));
}

#[test]
fn what_stands_alone_is_counted() {
    assert_eq!(plan(&lags(), ""), Plan::Histogram { of: 0 });
    assert_eq!(plan(&table(vec![("at", minutes(0..9))]), ""), Plan::Histogram { of: 0 });
    assert_eq!(plan(&table(vec![("error", texts(["a", "b", "a"]))]), ""), bars(&[0], &[], None));
    // A sequence number measures nothing.
    assert_eq!(
        plan(&table(vec![("at", minutes(0..9)), ("seq", whole(0..9))]), ""),
        Plan::Histogram { of: 0 }
    );
}

#[test]
fn two_numbers_are_a_line_if_the_first_only_rises() {
    let curve = |xs: [i64; 4]| table(vec![("x", whole(xs)), ("y", whole([3, 1, 4, 1]))]);
    assert_eq!(plan(&curve([1, 2, 3, 5]), ""), Plan::Lines { x: 0, ys: vec![1], by: None });
    assert_eq!(plan(&curve([1, 3, 2, 5]), ""), Plan::Histogram { of: 0 });
}

#[test]
fn what_is_asked_for_is_done() {
    assert_eq!(plan(&week(), "line x=hour y=crashes"), Plan::Lines { x: 1, ys: vec![2], by: None });
    assert_eq!(plan(&week(), "histogram y=CRASHES"), Plan::Histogram { of: 2 });
    assert_eq!(plan(&week(), "bar x=hour"), bars(&[1], &[2], None));
    assert_eq!(plan(&two_systems(), "x=hour y=system_id"), Plan::Heat { x: 0, y: 1, z: Some(2) });
    assert_eq!(plan(&errors(), "line x=crashes y=crashes"), Plan::Lines { x: 1, ys: vec![1], by: None });
}

#[test]
fn errors_say_what_was_looked_for() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)])]);
    let lists = table(vec![("numbers", Arc::new(list)), ("nothing", Arc::new(NullArray::new(1)))]);
    for (batches, request, error) in [
        (
            &lists,
            "",
            "there is nothing to draw: a picture needs a time, a number or a text, and the answer has \
             numbers (neither a number, a time nor a text), nothing (neither a number, a time nor a text)",
        ),
        (
            &errors(),
            "line",
            "a line needs a time or a number as x; the answer has error_type (text), crashes (a number)",
        ),
        (
            &errors(),
            "x=day",
            "the answer has no column \"day\"; it has error_type (text), crashes (a number)",
        ),
        (&errors(), "bar y=error_type", "y=error_type is text; it must be a number"),
        (
            &errors(),
            "histogram y=error_type",
            "error_type is text; a histogram needs numbers or times (bars count texts)",
        ),
        (
            &table(vec![("seq", whole([1, 2]))]),
            "histogram",
            "a histogram needs a number or a time; the answer has seq (a number); stream and seq only give \
             the position of a fact, and are drawn only if they are named, for example y=seq",
        ),
        (&errors(), "bar z=crashes", "only a heat map has a z; for example: heat x=day y=hour z=crashes"),
    ] {
        assert_eq!(refused(batches, request), error, "{request}");
    }
    let nothing = [table(vec![("n", whole([]))]), Vec::new()];
    for batches in nothing {
        assert_eq!(refused(&batches, ""), "there is nothing to draw: the answer has no rows");
    }
    let unknown = table(vec![
        ("who", texts(["a", "b"])),
        ("n", Arc::new(Float64Array::from(vec![None, Some(f64::NAN)]))),
    ]);
    assert_eq!(refused(&unknown, ""), "there is nothing to draw: every n is NULL or not finite");
}

#[test]
fn booleans_are_names() {
    let open =
        table(vec![("is_open", Arc::new(BooleanArray::from(vec![true, false]))), ("n", whole([1, 2]))]);
    assert!(drawn(&open, "", 40).contains("\ntrue"), "{}", drawn(&open, "", 40));
}
