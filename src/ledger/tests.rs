//! The ledger alone: two processes that commit at once, broken chains, checkpoints.

mod balance;
mod two_files;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use super::*;
use crate::disk::FaultPlan;
use crate::fact::{Seq, StreamId};

/// A store's folder with only a ledger of one commit.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { dir: tempdir().unwrap() };
        fs::create_dir(scene.dir.path().join("ledger")).unwrap();
        Ledger::create(&Disk::new(), scene.dir.path()).unwrap();
        scene
    }

    fn open(&self) -> Result<Ledger> {
        Ledger::open(Disk::new(), self.dir.path())
    }

    fn path(&self, number: u64) -> PathBuf {
        commit_path(&self.dir.path().join("ledger"), CommitNumber(number))
    }

    fn checkpoint(&self, number: u64) -> PathBuf {
        self.path(number).with_extension("checkpoint")
    }

    /// A ledger of this number of commits after the first.
    fn with_commits(commits: u64) -> Self {
        let scene = Self::new();
        let ledger = scene.open().unwrap();
        for _ in 0..commits {
            commit_one(&ledger, StreamId(1));
        }
        // As in a store of an older program: these tests are about the ledger's own files.
        fs::remove_dir_all(scene.copies()).unwrap();
        scene
    }

    fn copies(&self) -> PathBuf {
        self.dir.path().join(COPY_FOLDER)
    }

    fn copy(&self, number: u64) -> PathBuf {
        commit_path(&self.copies(), CommitNumber(number))
    }

    /// The error of an opening.
    fn failure(&self) -> Error {
        self.open().err().expect("it opens")
    }
}

/// A segment of one fact, without a file: the ledger does not read it.
fn segment(stream: StreamId, seq: Seq) -> Segment {
    let instant = UnixNanos(1_795_404_290_000_000_000 + seq.0 as i64);
    let time = TimeRange { min: instant, max: instant };
    Segment {
        path: format!("events/{stream}-{seq}.parquet"),
        kind: crate::fact::Kind::Event,
        rows: 1,
        bytes: 1000,
        blake3: commit::digest(seq.to_string().as_bytes()),
        fact_bytes: 100,
        streams: vec![StreamRange { stream, first_seq: seq, last_seq: seq }],
        recorded_at: time,
        timestamp: Some(time),
        timestamp_nulls: 0,
        at: time,
    }
}

/// The next fact of a stream.
fn flush_of_one(state: &State, stream: StreamId) -> Action {
    let seq = state.committed(stream).next();
    Action::Flush {
        range: StreamRange { stream, first_seq: seq, last_seq: seq },
        last_recorded_at: UnixNanos(seq.0 as i64),
        ends_stream: false,
        import: None,
        add: vec![segment(stream, seq)],
    }
}

fn commit_one(ledger: &Ledger, stream: StreamId) {
    ledger.commit(|state| Ok(Some(flush_of_one(state, stream)))).unwrap();
}

/// Changes the JSON of a commit's file, and makes its digest match again.
fn edit(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    value.as_object_mut().unwrap().remove("check").unwrap();
    change(&mut value);
    let json = serde_json::to_string_pretty(&value).unwrap();
    let covered = json.strip_suffix("\n}").unwrap();
    let check = commit::digest(covered.as_bytes());
    fs::write(path, format!("{covered},\n  \"check\": \"{check}\"\n}}\n")).unwrap();
}

#[test]
fn of_two_that_commit_at_once_each_gets_all_its_commits_in() {
    const EACH: u64 = 40;
    let scene = Scene::new();
    std::thread::scope(|scope| {
        for stream in 1..=4 {
            let ledger = scene.open().unwrap();
            scope.spawn(move || (0..EACH).for_each(|_| commit_one(&ledger, StreamId(stream))));
        }
    });

    let state = scene.open().unwrap().known();
    assert_eq!(state.head.number, CommitNumber(4 * EACH));
    for stream in 1..=4 {
        assert_eq!(state.committed(StreamId(stream)), Seq(EACH));
    }
    // Exactly once: as many segments as facts, and all different.
    let segments = state.segments(crate::fact::Kind::Event);
    let paths: std::collections::BTreeSet<_> = segments.iter().map(|segment| &segment.path).collect();
    assert_eq!((segments.len() as u64, paths.len() as u64), (4 * EACH, 4 * EACH));
    // Without gaps, and without leftover files.
    let commits: Vec<_> = (0..=4 * EACH).filter(|n| scene.path(*n).exists()).collect();
    assert_eq!(commits.len() as u64, 4 * EACH + 1);
    let temps = fs::read_dir(scene.dir.path().join("ledger")).unwrap();
    let temps = temps.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "tmp"));
    assert_eq!(temps.count(), 0);
}

#[test]
fn whoever_loses_the_race_builds_the_commit_again_from_what_came() {
    let scene = Scene::new();
    let (slow, quick) = (scene.open().unwrap(), scene.open().unwrap());
    let mut seen = Vec::new();
    slow.commit(|state| {
        seen.push(state.head.number.0);
        if seen.len() == 1 {
            commit_one(&quick, StreamId(2));
        }
        Ok(Some(flush_of_one(state, StreamId(1))))
    })
    .unwrap();
    assert_eq!(seen, [0, 1]);
    assert_eq!(slow.known().committed(StreamId(2)), Seq(1));
    assert_eq!(quick.refresh().unwrap().head, slow.known().head);
}

#[test]
fn whoever_finds_nothing_left_to_commit_commits_nothing() {
    let scene = Scene::new();
    assert!(scene.open().unwrap().commit(|_| Ok(None)).unwrap().is_none());
    assert!(!scene.path(1).exists());
}

#[test]
fn a_missing_commit_is_damage_wherever_it_is_missing() {
    for missing in [0, 1, 3, 5] {
        let scene = Scene::with_commits(6);
        fs::remove_file(scene.path(missing)).unwrap();
        let error = scene.failure();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        let name = scene.path(missing).file_name().unwrap().to_str().unwrap().to_owned();
        assert!(error.to_string().contains(&name), "{error}");
    }
}

#[test]
fn a_commit_that_does_not_name_its_parent_is_damage() {
    let scene = Scene::with_commits(4);
    edit(&scene.path(3), |commit| commit["parent"] = "0".repeat(64).into());
    let error = scene.failure();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("the commit before it has digest"), "{error}");
}

#[test]
fn a_commit_that_was_changed_is_not_what_the_next_one_names() {
    let scene = Scene::with_commits(4);
    edit(&scene.path(2), |commit| commit["by"] = "another program".into());
    assert_eq!(scene.failure().kind(), ErrorKind::Damaged);
}

#[test]
fn a_commit_of_another_store_or_place_is_damage() {
    let (scene, other) = (Scene::with_commits(3), Scene::with_commits(3));
    fs::copy(other.path(3), scene.path(3)).unwrap();
    assert!(scene.failure().to_string().contains("it belongs to store"));
    fs::copy(scene.path(2), scene.path(3)).unwrap();
    assert!(scene.failure().to_string().contains("it calls itself commit 2"));
}

#[test]
fn a_range_that_does_not_follow_or_does_not_add_up_is_damage() {
    type Change = fn(&mut serde_json::Value);
    let changes: [(Change, &str); 4] = [
        (
            |commit| commit["range"]["first_seq"] = 3.into(),
            "it covers facts 3 to 2 of stream 1, which is at 1",
        ),
        (
            |commit| commit["range"]["first_seq"] = 1.into(),
            "it covers facts 1 to 2 of stream 1, which is at 1",
        ),
        (
            |commit| commit["range"]["last_seq"] = 9.into(),
            "it covers 8 facts, but its segments have other rows",
        ),
        (|commit| commit["add"][0]["rows"] = 2.into(), "it covers 1 facts, but its segments have other rows"),
    ];
    for (change, why) in changes {
        let scene = Scene::with_commits(2);
        edit(&scene.path(2), change);
        let error = scene.failure();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn numbers_that_overflow_are_damage_and_no_panic() {
    type Change = fn(&mut serde_json::Value);
    let changes: [Change; 3] = [
        |commit| commit["range"]["last_seq"] = u64::MAX.into(),
        |commit| commit["add"][0]["rows"] = u64::MAX.into(),
        |commit| {
            let mut segment = commit["add"][0].clone();
            segment["rows"] = u64::MAX.into();
            commit["add"].as_array_mut().unwrap().extend([segment.clone(), segment]);
        },
    ];
    for change in changes {
        let scene = Scene::with_commits(2);
        edit(&scene.path(2), change);
        assert_eq!(scene.failure().kind(), ErrorKind::Damaged);
    }
}

#[test]
fn a_commit_of_a_newer_format_is_named_so_whatever_else_it_holds() {
    let scene = Scene::with_commits(2);
    fs::write(scene.path(3), format!(r#"{{"format": {}, "novelty": [1, 2]}}"#, FORMAT + 1)).unwrap();
    let error = scene.failure();
    assert_eq!(error.kind(), ErrorKind::NewerFormat);
    assert!(error.to_string().contains("use a newer ostracon"), "{error}");
}

#[test]
fn a_newest_commit_that_was_changed_does_not_match_its_own_digest() {
    let scene = Scene::with_commits(2);
    let text = fs::read_to_string(scene.path(2)).unwrap();
    fs::write(scene.path(2), text.replacen("ostracon", "changed!", 1)).unwrap();
    let error = scene.failure();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("it does not match its own digest"), "{error}");
}

#[test]
fn what_is_no_commit_is_damage() {
    for bytes in [&b""[..], b"{}", b"null", b"{\"format\": 1}", b"\xff\xfe", b"{\"format\": -1}"] {
        let scene = Scene::with_commits(2);
        fs::write(scene.path(3), bytes).unwrap();
        assert_eq!(scene.failure().kind(), ErrorKind::Damaged, "{bytes:?}");
    }
}

#[test]
fn strangers_in_the_folder_do_no_harm() {
    let scene = Scene::with_commits(2);
    for name in [".DS_Store", "7.json", "0000000000000000000x.json", "abc.tmp", "00000000000000000002.bak"] {
        fs::write(scene.dir.path().join("ledger").join(name), b"?").unwrap();
    }
    assert_eq!(scene.open().unwrap().known().head.number, CommitNumber(2));
}

#[test]
fn an_opening_reads_the_newest_checkpoint_and_the_commits_behind_it() {
    let scene = Scene::with_commits(1000);
    let whole = scene.open().unwrap().known();
    assert_eq!(whole.head.number, CommitNumber(1000));
    assert_eq!(whole.committed(StreamId(1)), Seq(1000));

    // It does not need the commits before: 896 is the newest multiple of 128.
    for number in 0..896 {
        fs::remove_file(scene.path(number)).unwrap();
    }
    assert_eq!(*scene.open().unwrap().known(), *whole);
    let checkpoints: Vec<_> = (0..=1000).filter(|n| scene.checkpoint(*n).exists()).collect();
    assert_eq!(checkpoints, [768, 896]);
}

#[test]
fn a_broken_checkpoint_is_not_used_and_changes_nothing() {
    let scene = Scene::with_commits(260);
    let whole = scene.open().unwrap().known();
    let sound = fs::read(scene.checkpoint(256)).unwrap();
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 1;
    let older = fs::read(scene.checkpoint(128)).unwrap();
    for bytes in [&flipped[..], &sound[..sound.len() / 2], b"", b"\n", &older[..]] {
        fs::write(scene.checkpoint(256), bytes).unwrap();
        assert_eq!(*scene.open().unwrap().known(), *whole);
    }
    fs::remove_file(scene.checkpoint(256)).unwrap();
    fs::remove_file(scene.checkpoint(128)).unwrap();
    assert_eq!(*scene.open().unwrap().known(), *whole);
}

#[test]
fn a_checkpoint_that_names_files_elsewhere_is_not_used() {
    let scene = Scene::with_commits(130);
    let whole = scene.open().unwrap().known();
    for edited in [
        |state: &mut serde_json::Value| {
            state["removed"] = serde_json::json!([{"path": "../x.parquet", "bytes": 1, "by": 3}]);
        },
        |state: &mut serde_json::Value| state["segments"][0][0]["path"] = "/etc/passwd".into(),
    ] {
        let text = fs::read_to_string(scene.checkpoint(128)).unwrap();
        let mut state: serde_json::Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
        edited(&mut state);
        let json = state.to_string();
        let forged = format!("{}\n{json}\n", commit::digest(json.as_bytes()));
        fs::write(scene.checkpoint(128), forged).unwrap();
        assert_eq!(*scene.open().unwrap().known(), *whole);
        fs::write(scene.checkpoint(128), text).unwrap();
    }
}

#[test]
fn a_checkpoint_that_does_not_stand_on_its_commit_is_not_used() {
    let scene = Scene::with_commits(130);
    edit(&scene.path(128), |commit| commit["by"] = "another program".into());
    // Neither the checkpoint nor the chain fits: commit 129 names another parent.
    assert_eq!(scene.failure().kind(), ErrorKind::Damaged);
}

#[test]
fn a_commit_stands_though_its_checkpoint_cannot_be_written() {
    let scene = Scene::with_commits(127);
    assert_eq!(two_copies::complete(&Disk::new(), &scene.dir.path().join("ledger"), usize::MAX).unwrap(), 0);
    let plan = FaultPlan::new();
    let ledger = Ledger::open(Disk::with_plan(plan.clone()), scene.dir.path()).unwrap();
    // The commit itself is a file, six operations in all, and so is its copy; the checkpoint comes after
    // them.
    plan.fail_at(13, crate::disk::Fault::NoSpace);
    commit_one(&ledger, StreamId(1));
    assert_eq!(plan.operations(), 13);
    assert!(!scene.checkpoint(128).exists());
    assert_eq!(scene.open().unwrap().known().head.number, CommitNumber(128));
}
