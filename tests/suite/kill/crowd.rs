//! Writers and readers at once, and writers killed among them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ostracon::Store;

use super::check::{
    Dice, FACTS, Place, Scene, assert_conserved, assert_gapless, assert_left, assert_no_journal_files,
    read_all, reader, rows,
};
use super::writer::{Ended, Writer};
use crate::support::ostracon;

/// Writers at a time.
const WRITERS: u64 = 4;
/// How often each of them is killed and replaced.
const KILLS_PER_WRITER: u64 = 5;
/// Kills in all scenarios here.
pub(super) const KILLS: u64 = WRITERS * KILLS_PER_WRITER;
/// Readers that do nothing but count.
const COUNTERS: usize = 6;
/// Facts sent to each writer.
const SENT: u64 = 150;

#[test]
fn four_writers_are_killed_and_replaced_while_readers_see_every_stream_only_grow() {
    let scene = Scene::new(5);
    let path = scene.store.as_path();
    drop(Store::open(path).unwrap());
    let done = AtomicBool::new(false);
    let (lives, looks) = std::thread::scope(|scope| {
        let readers = [
            scope.spawn(|| look_at_facts(path, &done)),
            scope.spawn(|| look_with_sql(path, &done)),
            scope.spawn(|| look_with_the_command(path, &done)),
        ];
        // More of them than cores: one is often interrupted in the middle of taking a snapshot.
        let counters = [(); COUNTERS].map(|()| scope.spawn(|| look_at_the_sum(path, &done)));
        let writers: Vec<_> =
            (0..WRITERS).map(|slot| scope.spawn(move || write_and_die(path, slot))).collect();
        let lives: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        let looks = readers.map(|reader| reader.join().unwrap());
        for counter in counters {
            assert!(counter.join().unwrap() >= 20);
        }
        (lives.into_iter().flat_map(Result::unwrap).collect::<Vec<_>>(), looks)
    });
    assert!(looks.iter().all(|looks| *looks >= 3), "the readers had only {looks:?} looks");
    assert_eq!(lives.iter().filter(|(_, ended)| ended.killed).count() as u64, KILLS);

    let store = Store::open(path).unwrap();
    let found = read_all(&store);
    assert_gapless(&found);
    let mut left = 0;
    for (life, ended) in &lives {
        let first = life * SENT;
        let of_it: Vec<_> =
            found.iter().copied().filter(|(_, number)| (first..first + SENT).contains(number)).collect();
        left += assert_left(&of_it, first, SENT, &ended.acked);
    }
    assert_eq!(left, found.len(), "facts that nobody sent");
    assert_conserved(&store, left);
    store.close().unwrap();
    assert_no_journal_files(path);
    let store = reader(path).unwrap();
    assert_eq!(read_all(&store), found);
    assert_conserved(&store, left);
}

/// One writer's place, and those who have it one after the other: all but the last are killed.
fn write_and_die(path: &Path, slot: u64) -> Vec<(u64, Ended)> {
    let mut dice = Dice(slot);
    let lives = (0..=KILLS_PER_WRITER).map(|turn| {
        let life = slot * (KILLS_PER_WRITER + 1) + turn;
        let dies = turn < KILLS_PER_WRITER;
        let mut writer = Writer::start(path, &["--flush-rows", "12"], life * SENT..(life + 1) * SENT, dies);
        if !dies {
            return (life, writer.wait());
        }
        writer.read_acks(10 + dice.below(SENT - 10));
        std::thread::sleep(Duration::from_micros(dice.below(60_000)));
        (life, writer.kill())
    });
    lives.collect()
}

/// Looks until all is done, and once more; counts the looks.
fn look(done: &AtomicBool, mut once: impl FnMut()) -> u64 {
    let mut looks = 0;
    loop {
        let last = done.load(Ordering::Relaxed);
        once();
        looks += 1;
        if last {
            return looks;
        }
    }
}

/// Reads everything, over and over, with one store that stays open.
fn look_at_facts(path: &Path, done: &AtomicBool) -> u64 {
    let store = reader(path).unwrap();
    let mut before: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    look(done, || {
        let found: Vec<(Place, u64)> = read_all(&store);
        assert_gapless(&found);
        let mut now: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for ((stream, _), number) in found {
            now.entry(stream).or_default().push(number);
        }
        for (stream, before) in &before {
            let now = now.get(stream).map_or(&[][..], Vec::as_slice);
            assert!(now.starts_with(before), "stream {stream} was {before:?} and is {now:?}");
        }
        before = now;
    })
}

/// Counts all facts without reading them, over and over: looks as many as there can be.
fn look_at_the_sum(path: &Path, done: &AtomicBool) -> u64 {
    let store = reader(path).unwrap();
    let mut before = 0;
    look(done, || {
        let now = store.summary().unwrap().facts();
        assert!(now >= before, "there were {before} facts, and now there are {now}");
        before = now;
    })
}

/// Per stream: facts, different ones, the first and the last.
fn per_stream() -> String {
    format!("SELECT stream, count(*), count(DISTINCT seq), min(seq), max(seq) FROM {FACTS} GROUP BY stream")
}

/// The last fact of each stream; fails at gaps and doubles, and if it was further on before.
fn assert_grown(before: &mut BTreeMap<i64, i64>, rows: &[Vec<i64>]) {
    let mut now = BTreeMap::new();
    for row in rows {
        let [stream, count, different, first, last] = row[..] else { panic!("{row:?}") };
        assert_eq!((count, different, first), (last, last, 1), "stream {stream}");
        now.insert(stream, last);
    }
    for (stream, before) in before.iter() {
        let now = now.get(stream);
        assert!(now >= Some(before), "stream {stream} was at {before} and is at {now:?}");
    }
    *before = now;
}

/// Counts with SQL, over and over, each time with a store just opened.
fn look_with_sql(path: &Path, done: &AtomicBool) -> u64 {
    let mut before = BTreeMap::new();
    look(done, || assert_grown(&mut before, &rows(&reader(path).unwrap(), &per_stream())))
}

/// Counts with `ostracon sql`, over and over.
fn look_with_the_command(path: &Path, done: &AtomicBool) -> u64 {
    let mut before = BTreeMap::new();
    look(done, || {
        let output =
            ostracon().arg("sql").arg(path).args(["-c", &per_stream(), "--format", "csv"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let rows =
            text.lines().skip(1).map(|line| line.split(',').map(|field| field.parse().unwrap()).collect());
        assert_grown(&mut before, &rows.collect::<Vec<_>>());
    })
}
