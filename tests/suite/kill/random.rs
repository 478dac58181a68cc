//! Killed at a random moment, over and over, on one store.

use std::ops::Range;
use std::time::Duration;

use ostracon::{Cursor, Store};

use super::check::{
    Dice, Place, Scene, assert_conserved, assert_gapless, assert_left, assert_no_journal_files, read_all,
    read_on, reader,
};
use super::writer::{Ended, Writer};

/// Kills on each of the stores.
const KILLS_PER_STORE: u64 = 100;
/// Kills in all scenarios here.
pub(super) const KILLS: u64 = 4 * KILLS_PER_STORE;

#[test]
fn journaled_facts_survive_a_hundred_kills_among_flushes() {
    assert_eq!(
        kill_over_and_over(1, 160, &["--durability", "journaled", "--flush-rows", "8"]),
        KILLS_PER_STORE
    );
}

#[test]
fn synced_facts_survive_a_hundred_kills_among_flushes() {
    assert_eq!(kill_over_and_over(2, 50, &["--durability", "synced", "--flush-rows", "5"]), KILLS_PER_STORE);
}

#[test]
fn facts_survive_a_hundred_kills_when_every_fact_is_a_flush() {
    assert_eq!(kill_over_and_over(3, 24, &["--flush-rows", "1"]), KILLS_PER_STORE);
}

#[test]
fn facts_survive_a_hundred_kills_when_most_are_left_in_the_journal() {
    assert_eq!(kill_over_and_over(4, 200, &["--flush-rows", "150"]), KILLS_PER_STORE);
}

/// Sends so many facts to a writer, kills it at a random moment, looks at what is left, and does so
/// again on the same store.
fn kill_over_and_over(seed: u64, sent: u64, options: &[&str]) -> u64 {
    let mut dice = Dice(seed);
    let mut scene = Scene::new(seed);
    let mut history: Vec<(Place, u64)> = Vec::new();
    let mut cursor = Cursor::start();
    let mut kills = 0;
    while kills < KILLS_PER_STORE {
        let first = scene.round * sent;
        let ended = kill_one(&mut dice, &scene, first..first + sent, options);
        kills += u64::from(ended.killed);

        let left = match reader(&scene.store) {
            Some(store) => read_on(&store, &mut cursor),
            None => Vec::new(),
        };
        assert_left(&left, first, sent, &ended.acked);
        history.extend(left);
        assert_gapless(&history);
        scene.round += 1;
    }

    let store = Store::open(&scene.store).unwrap();
    assert_eq!(read_all(&store), history, "everything that was ever seen, once and in order");
    assert_conserved(&store, history.len());
    store.close().unwrap();
    assert_no_journal_files(&scene.store);
    let store = reader(&scene.store).unwrap();
    assert_eq!(read_all(&store), history);
    assert_conserved(&store, history.len());
    kills
}

/// One writer's life.
fn kill_one(dice: &mut Dice, scene: &Scene, numbers: Range<u64>, options: &[&str]) -> Ended {
    let all = numbers.end - numbers.start;
    // A writer whose input has ended is caught while it closes.
    let ending = dice.below(6) == 0;
    let sent = if ending { dice.below(all / 2) } else { all };
    let mut writer = Writer::start(&scene.store, options, numbers.start..numbers.start + sent, !ending);
    if ending {
        writer.read_acks(sent);
    } else if dice.below(3) > 0 {
        writer.read_acks(1 + dice.below(all));
    }
    // Else it may die before it has begun.
    std::thread::sleep(Duration::from_micros(dice.below(60_000)));
    writer.kill()
}
