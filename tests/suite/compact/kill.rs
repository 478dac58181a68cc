//! A hundred compactions are killed beside two writers and two readers, and no count ever wavers.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ostracon::{CompactOptions, Store};

use super::{assert_sorted, assert_swept};
use crate::kill::check::{Dice, Scene, assert_gapless, numbered, read_all, reader};
use crate::support::ostracon;

const KILLS: u64 = 100;

#[test]
fn a_hundred_compactions_are_killed_beside_writers_and_readers_whose_counts_never_waver() {
    let scene = Scene::new(7);
    let path = scene.store.as_path();
    drop(Store::open(path).unwrap());
    let done = AtomicBool::new(false);
    let (recorded, looks, killed) = std::thread::scope(|scope| {
        let writers = [0, 1].map(|slot| {
            scope.spawn({
                let done = &done;
                move || write(path, slot, done)
            })
        });
        let readers =
            [scope.spawn(|| look_at_the_sum(path, &done)), scope.spawn(|| look_at_facts(path, &done))];
        let killed = {
            let _done = Done(&done);
            compact_and_die(path)
        };
        let recorded: Vec<u64> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        (recorded, readers.map(|reader| reader.join().unwrap()), killed)
    });
    assert!(looks.iter().all(|looks| *looks >= 10), "the readers had only {looks:?} looks");

    let store = Store::builder().access(ostracon::Access::Maintain).open(path).unwrap();
    store.compact(CompactOptions::new()).unwrap();
    let found = read_all(&store);
    let mut numbers: Vec<u64> = found.iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    let mut expected = recorded;
    expected.sort_unstable();
    assert_eq!(numbers, expected);
    assert_swept(path);
    assert_sorted(path);
    eprintln!(
        "{} facts, {KILLS} compactions killed, {killed} of them after their commit; {looks:?} looks",
        found.len()
    );
    drop(store);
    let mut by_stream = found;
    by_stream.sort_unstable();
    assert_gapless(&by_stream);
    assert_eq!(super::facts_at(path).len(), expected.len());
}

/// Records until all is done, one fact after the other, and flushes often. Returns the numbers of
/// those that were acknowledged, which are all.
fn write(path: &Path, slot: u64, done: &AtomicBool) -> Vec<u64> {
    let store = Store::builder().flush_rows(20).open(path).unwrap();
    let mut numbers = Vec::new();
    let mut number = slot * 1_000_000;
    while !done.load(Ordering::Relaxed) {
        store.record(numbered(number)).unwrap();
        numbers.push(number);
        number += 1;
        std::thread::sleep(Duration::from_millis(8));
    }
    store.close().unwrap();
    numbers
}

/// Compactions in processes of their own, each killed at a random moment of about the time that one
/// takes; every fifth comes to its end, or there would be more to do each time. Returns how many
/// were killed after their commit.
fn compact_and_die(path: &Path) -> u64 {
    let mut dice = Dice(11);
    let (mut kills, mut ended) = (0, 0);
    let mut takes = 100_000;
    for round in 0.. {
        let mut command = ostracon();
        command
            .args(["compact", "--target-size", "1M"])
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        if round % 5 > 0 {
            std::thread::sleep(Duration::from_micros(dice.below(takes * 5 / 4)));
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            None => kills += 1,
            Some(0) => {
                takes = begun.elapsed().as_micros() as u64;
                ended += 1;
            }
            Some(_) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        }
        if kills == KILLS {
            break;
        }
    }
    let commits = std::fs::read_dir(path.join("ledger")).unwrap();
    let compactions = commits.filter(|commit| {
        let text = std::fs::read_to_string(commit.as_ref().unwrap().path()).unwrap_or_default();
        text.contains("\"action\": \"compact\"")
    });
    // Of those that came to their end, some had nothing to do, and made no commit.
    (compactions.count() as u64).saturating_sub(ended)
}

/// Tells the others that all is done, also if the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Looks until all is done; counts the looks.
fn look(done: &AtomicBool, mut once: impl FnMut()) -> u64 {
    let mut looks = 0;
    while !done.load(Ordering::Relaxed) {
        once();
        looks += 1;
        // Not to take the cores from those that are looked at.
        std::thread::sleep(Duration::from_millis(20));
    }
    looks
}

fn look_at_the_sum(path: &Path, done: &AtomicBool) -> u64 {
    let store = reader(path).unwrap();
    let mut before = 0;
    look(done, || {
        let now = store.summary().unwrap().facts();
        assert!(now >= before, "there were {before} facts, and now there are {now}");
        before = now;
    })
}

fn look_at_facts(path: &Path, done: &AtomicBool) -> u64 {
    let store = reader(path).unwrap();
    let mut before = Vec::new();
    look(done, || {
        let mut now = read_all(&store);
        now.sort_unstable();
        assert_gapless(&now);
        assert!(before.iter().all(|fact| now.binary_search(fact).is_ok()), "a fact is gone");
        if before.len() % 7 == 0 {
            assert_conserved_in_sql(&store, before.len());
        }
        before = now;
    })
}

/// SQL finds at least so many facts, all of them different.
fn assert_conserved_in_sql(store: &Store, least: usize) {
    use crate::kill::check::{FACTS, rows};
    let sql = format!("SELECT count(*), count(DISTINCT timestamp) FROM {FACTS}");
    let found = rows(store, &sql);
    assert!(found[0][0] >= least as i64 && found[0][0] == found[0][1], "{found:?}, and {least} before");
}
