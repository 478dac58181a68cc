//! Killed writers on a store that something else happens to: it is backed up, a commit of it is damaged,
//! or it is renamed and another store takes its place.
//!
//! `OSTRACON_KILLS` is how often each scenario kills: a few times in a usual run, 500 times in `make kills`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use ostracon::{Cursor, ScanDepth, Store, scan};

use super::check::{
    Dice, Place, Scene, assert_conserved, assert_gapless, assert_left, numbered, read_all, read_on, reader,
};
use super::writer::Writer;
use crate::support::ostracon;

/// Kills in each scenario of a usual run.
const FEW: u64 = 12;
/// Facts sent to each writer.
const SENT: u64 = 120;
const OPTIONS: [&str; 2] = ["--flush-rows", "8"];

fn kills() -> u64 {
    std::env::var("OSTRACON_KILLS").map_or(FEW, |kills| kills.parse().unwrap())
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output
}

fn assert_whole(store: &Path) {
    let report = scan(store, ScanDepth::Deep).unwrap();
    assert!(report.is_clean(), "{}: {:#?}", store.display(), report.anomalies);
}

#[test]
fn a_backup_taken_while_writers_are_killed_has_what_was_acknowledged_before_it() {
    let mut dice = Dice(11);
    let mut scene = Scene::new(11);
    drop(Store::open(&scene.store).unwrap());
    let target = scene.store.with_file_name("backup");
    let mut history: Vec<(Place, u64)> = Vec::new();
    let mut cursor = Cursor::start();
    let mut kills_left = kills();
    while kills_left > 0 {
        let first = scene.round * SENT;
        let mut writer = Writer::start(&scene.store, &OPTIONS, first..first + SENT, true);
        writer.read_acks(1 + dice.below(SENT / 2));
        let before = history.len() + writer.acknowledged();
        // A whole backup into a new folder, or what is new into the one that is there.
        let anew = dice.below(4) == 0;
        if anew && target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        let mut command = ostracon();
        command.arg("backup").arg(&scene.store).arg(&target);
        if target.exists() {
            command.arg("--incremental");
        }
        let mut backup = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(dice.below(40_000)));
        let ended = writer.kill();
        let dies = dice.below(3) == 0;
        if dies {
            backup.kill().unwrap();
        }
        let finished = backup.wait().unwrap().success();
        assert!(finished || dies, "round {}: the backup failed by itself", scene.round);
        kills_left = kills_left.saturating_sub(u64::from(ended.killed));

        let left = read_on(&reader(&scene.store).unwrap(), &mut cursor);
        assert_left(&left, first, SENT, &ended.acked);
        history.extend(left);
        assert_gapless(&history);
        // What is at the target is a backup, this one or the one before, or nothing.
        if finished || target.exists() {
            let copied = read_all(&reader(&target).unwrap());
            assert_prefix_of_each_stream(&copied, &history);
            assert!(
                !finished || copied.len() >= before,
                "{} of {before} facts are in the backup",
                copied.len()
            );
            assert_conserved(&reader(&target).unwrap(), copied.len());
            if finished {
                assert_whole(&target);
            }
        }
        // What the backup's head names, and the next one adds to, is merged in between.
        if dice.below(3) == 0 {
            run(ostracon().arg("compact").arg(&scene.store));
        }
        scene.round += 1;
    }
    assert_whole(&scene.store);
    // A backup is a store: recording goes on in it.
    if target.exists() {
        let copied = read_all(&reader(&target).unwrap()).len();
        let store = Store::open(&target).unwrap();
        store.record(numbered(1_000_000)).unwrap();
        store.close().unwrap();
        assert_conserved(&reader(&target).unwrap(), copied + 1);
    }
}

fn assert_prefix_of_each_stream(copied: &[(Place, u64)], history: &[(Place, u64)]) {
    assert_gapless(copied);
    let known: std::collections::BTreeMap<_, _> = history.iter().copied().collect();
    for (place, number) in copied {
        assert_eq!(known.get(place), Some(number), "{place:?} of the backup");
    }
}

#[test]
fn writers_and_readers_outlive_damage_to_either_copy_of_a_commit() {
    let mut dice = Dice(12);
    let mut scene = Scene::new(12);
    drop(Store::open(&scene.store).unwrap());
    let mut history: Vec<(Place, u64)> = Vec::new();
    let mut cursor = Cursor::start();
    let mut kills_left = kills();
    while kills_left > 0 {
        let first = scene.round * SENT;
        let mut writer = Writer::start(&scene.store, &OPTIONS, first..first + SENT, true);
        writer.read_acks(1 + dice.below(SENT));
        std::thread::sleep(Duration::from_micros(dice.below(40_000)));
        let ended = writer.kill();
        kills_left = kills_left.saturating_sub(u64::from(ended.killed));
        // A writer that was killed between the two files of its last commit leaves one of them alone:
        // an opening for writing completes it, and only then may the other be damaged.
        Store::open(&scene.store).unwrap().close().unwrap();
        let damaged = damage_a_commit(&mut dice, &scene.store);

        let left = read_on(&reader(&scene.store).unwrap(), &mut cursor);
        assert_left(&left, first, SENT, &ended.acked);
        history.extend(left);
        assert_gapless(&history);
        assert_conserved(&reader(&scene.store).unwrap(), history.len());
        let report = scan(&scene.store, ScanDepth::Quick).unwrap();
        // A copy that is missing is told, but is no damage: stores of earlier versions have none.
        let is_missing_copy = !damaged.exists() && damaged.starts_with(scene.store.join("ledger-copy"));
        assert!(report.is_clean() == is_missing_copy, "{} is damaged: {report:#?}", damaged.display());
        assert!(!is_missing_copy || !report.debris.is_empty(), "{report:#?}");
        if dice.below(2) == 0 {
            let mode = if dice.below(2) == 0 { "repair" } else { "quarantine" };
            let aside = scene.store.join("quarantine");
            let mut command = ostracon();
            command.arg("recover").arg(&scene.store).args(["--mode", mode]);
            if mode == "quarantine" {
                command.arg("--quarantine-dir").arg(&aside);
            }
            run(&mut command);
            assert_whole(&scene.store);
            assert_eq!(read_all(&reader(&scene.store).unwrap()), history);
        } else {
            // The next damage may be to the other copy of the same commit.
            run(ostracon().arg("recover").arg(&scene.store).args(["--mode", "repair"]));
        }
        scene.round += 1;
    }
    assert_whole(&scene.store);
}

/// Damages one of the two files of one commit, at random. Returns which.
fn damage_a_commit(dice: &mut Dice, store: &Path) -> PathBuf {
    let folder = store.join(if dice.below(2) == 0 { "ledger" } else { "ledger-copy" });
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut commits: Vec<_> = files.filter(|path| path.extension().is_some_and(|is| is == "json")).collect();
    commits.sort();
    // The newest ones are what everybody reads.
    let newest = commits.len() as u64;
    let at = if dice.below(2) == 0 { newest - 1 } else { dice.below(newest) };
    let path = commits[at as usize].clone();
    let mut bytes = fs::read(&path).unwrap();
    let place = dice.below(bytes.len() as u64) as usize;
    match dice.below(4) {
        0 => bytes[place] ^= 1 << dice.below(8),
        1 => bytes.truncate(place),
        2 => bytes.clear(),
        _ => {
            fs::remove_file(&path).unwrap();
            return path;
        }
    }
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_writer_whose_store_is_renamed_puts_nothing_into_the_one_that_takes_its_place() {
    let mut dice = Dice(13);
    let mut scene = Scene::new(13);
    for _ in 0..kills() {
        let folder = tempfile::tempdir().unwrap();
        let (path, renamed) = (folder.path().join("facts"), folder.path().join("facts.old"));
        let mut writer = Writer::start(&path, &OPTIONS, 0..4 * SENT, true);
        writer.read_acks(1 + dice.below(SENT));
        fs::rename(&path, &renamed).unwrap();
        let replaced = dice.below(3) > 0;
        if replaced {
            let other = Store::open(&path).unwrap();
            other.record(numbered(1_000_000)).unwrap();
            other.close().unwrap();
        }
        std::thread::sleep(Duration::from_micros(dice.below(60_000)));
        let acked = writer.kill_or_refused();

        // All that was acknowledged is where the writer's store is now.
        run(ostracon().arg("recover").arg(&renamed).args(["--mode", "repair"]));
        let left = read_all(&reader(&renamed).unwrap());
        assert_gapless(&left);
        let places: Vec<Place> = left.iter().map(|(place, _)| *place).collect();
        for (at, place) in acked.iter().enumerate() {
            assert!(places.contains(place), "round {}: fact {at} at {place:?} is gone", scene.round);
        }
        assert_whole(&renamed);
        if replaced {
            assert_eq!(read_all(&reader(&path).unwrap()), [((1, 1), 1_000_000)]);
            assert_whole(&path);
        } else {
            assert!(!path.exists(), "a folder was made at {}", path.display());
        }
        scene.round += 1;
    }
}
