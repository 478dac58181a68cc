//! Killed before every single operation on the disk.

use std::path::Path;

use ostracon::disk::{Disk, FaultPlan};
use ostracon::{Cursor, Durability, Store};

use super::check::{
    Place, Scene, assert_books, assert_conserved, assert_gapless, assert_left, assert_no_journal_files,
    numbered, read_all, read_on, reader,
};
use super::writer::{Ended, run_child, told};

/// At least so many steps there are from nothing to a store that was flushed twice.
const STEPS_FROM_NOTHING: u64 = 90;
/// At least so many steps there are when something is left to be taken over.
const STEPS_WHEN_TAKING_OVER: u64 = 60;
/// Kills in all scenarios here, at least.
pub(super) const KILLS: u64 = STEPS_FROM_NOTHING + STEPS_WHEN_TAKING_OVER;

/// Facts before the flush, and again after it.
const FACTS: u64 = 5;

#[test]
fn a_store_whose_first_process_dies_at_any_step_has_what_was_acknowledged() {
    let mut n = 1;
    loop {
        let mut scene = Scene::new(0);
        scene.round = n;
        let ended = run(&scene.store, n, 0, "synced");
        let left = reader(&scene.store).map(|store| {
            let left = read_all(&store);
            assert_books(&store, left.len());
            left
        });
        let left = left.unwrap_or_default();
        assert_left(&left, 0, 2 * FACTS, &ended.acked);
        assert_gapless(&left);
        write_and_look(&scene.store, &left);
        if !ended.killed {
            assert_eq!(ended.acked.len() as u64, 2 * FACTS);
            break;
        }
        n += 1;
    }
    eprintln!("killed before each of {} steps", n - 1);
    assert!(n > STEPS_FROM_NOTHING, "it took only {n} steps");
}

#[test]
fn processes_that_die_one_step_further_each_take_over_from_one_another() {
    let mut scene = Scene::new(0);
    let mut history: Vec<(Place, u64)> = Vec::new();
    let mut cursor = Cursor::start();
    drop(Store::open(&scene.store).unwrap());
    loop {
        let first = scene.round * 2 * FACTS;
        scene.round += 1;
        let ended = run(&scene.store, scene.round, first, "journaled");
        let store = reader(&scene.store).unwrap();
        let left = read_on(&store, &mut cursor);
        assert_left(&left, first, 2 * FACTS, &ended.acked);
        history.extend(left);
        assert_eq!(read_all(&store), history, "everything that was ever seen, once and in order");
        assert_gapless(&history);
        assert_books(&store, history.len());
        if !ended.killed {
            break;
        }
    }
    eprintln!("killed before each of {} steps", scene.round - 1);
    assert!(scene.round > STEPS_WHEN_TAKING_OVER, "it took only {} steps", scene.round);
    write_and_look(&scene.store, &history);
}

/// Opens for writing what a reader has seen like this, goes on, and closes.
fn write_and_look(path: &Path, seen: &[(Place, u64)]) {
    let store = Store::open(path).unwrap();
    assert_eq!(read_all(&store), seen, "a writer sees what a reader saw");
    assert_books(&store, seen.len());
    let number = 1_000_000;
    let position = store.record(numbered(number)).unwrap();
    store.close().unwrap();
    assert_no_journal_files(path);

    let store = reader(path).unwrap();
    let mut expected = seen.to_vec();
    expected.push(((position.stream.get(), position.seq.get()), number));
    let found = read_all(&store);
    assert_eq!(found, expected);
    assert_gapless(&found);
    assert_conserved(&store, expected.len());
}

fn run(store: &Path, n: u64, first: u64, durability: &str) -> Ended {
    let variables = [
        ("OSTRACON_KILL_STORE", store.display().to_string()),
        ("OSTRACON_KILL_AT", n.to_string()),
        ("OSTRACON_KILL_FIRST", first.to_string()),
        ("OSTRACON_KILL_DURABILITY", durability.to_owned()),
    ];
    run_child("steps", &variables)
}

/// The process that dies before its n-th operation: it opens, records, flushes, records, closes.
pub(super) fn child() {
    let plan = FaultPlan::new().abort_at(told("OSTRACON_KILL_AT").parse().unwrap());
    let durability: Durability = told("OSTRACON_KILL_DURABILITY").parse().unwrap();
    let first: u64 = told("OSTRACON_KILL_FIRST").parse().unwrap();
    // The test's own name stands on the line.
    println!();
    let store = Store::builder()
        .disk(Disk::with_plan(plan))
        .durability(durability)
        .open(told("OSTRACON_KILL_STORE"))
        .unwrap();
    let record = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let position = store.record(numbered(number)).unwrap();
            println!("ack {}:{}", position.stream, position.seq);
        }
    };
    record(first..first + FACTS);
    store.flush().unwrap();
    record(first + FACTS..first + 2 * FACTS);
    store.close().unwrap();
}
