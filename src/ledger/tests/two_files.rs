//! Every commit has two files, and one of them is enough.

use super::*;
use crate::disk::{Fault, Op};

/// A ledger of five commits and their copies.
fn five() -> Scene {
    let scene = Scene::new();
    let ledger = scene.open().unwrap();
    (0..4).for_each(|_| commit_one(&ledger, StreamId(1)));
    scene
}

fn head(scene: &Scene) -> u64 {
    scene.open().unwrap().known().head.number.0
}

#[test]
fn a_copy_has_the_bytes_of_its_commit_and_is_a_file_of_its_own() {
    let scene = five();
    for number in 0..=4 {
        let (own, copy) = (scene.path(number), scene.copy(number));
        assert_eq!(fs::read(&own).unwrap(), fs::read(&copy).unwrap());
        fs::write(&copy, b"?").unwrap();
        assert_ne!(fs::read(own).unwrap(), b"?", "a link would be one file");
    }
}

#[test]
fn the_ledger_is_read_whatever_becomes_of_one_file_of_each_commit() {
    let damages: [fn(&Path); 5] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, b"").unwrap(),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[100] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.replacen("\"format\": 1", "\"format\": 9", 1)).unwrap();
        },
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
    ];
    for damage in damages {
        for which in 0..32_u32 {
            let scene = five();
            let whole = scene.open().unwrap().known();
            for number in 0..=4 {
                let own = which >> number & 1 == 0;
                damage(&if own { scene.path(number) } else { scene.copy(number) });
            }
            assert_eq!(*scene.open().unwrap().known(), *whole);
        }
    }
}

#[test]
fn of_two_sound_files_that_differ_the_chain_tells_which_is_right() {
    let (scene, other) = (five(), five());
    let whole = scene.open().unwrap().known();
    // A commit of another store, of another number, and a changed commit with a digest that fits.
    for number in 1..=4 {
        fs::copy(other.path(number), scene.path(number)).unwrap();
    }
    assert_eq!(*scene.open().unwrap().known(), *whole);
    fs::copy(scene.copy(4), scene.path(2)).unwrap();
    assert_eq!(*scene.open().unwrap().known(), *whole);
    for number in 0..=3 {
        fs::copy(scene.copy(number), scene.path(number)).unwrap();
        edit(&scene.path(number), |commit| commit["by"] = "another program".into());
        assert_eq!(*scene.open().unwrap().known(), *whole, "commit {number}");
    }
}

#[test]
fn nothing_is_committed_over_a_number_that_only_the_copy_has() {
    let scene = five();
    let ledger = scene.open().unwrap();
    let other = scene.open().unwrap();
    commit_one(&other, StreamId(2));
    fs::remove_file(scene.path(5)).unwrap();
    // By a process that has the ledger open, and by one that opens it.
    commit_one(&ledger, StreamId(1));
    assert_eq!(ledger.known().head.number, CommitNumber(6));
    assert_eq!(ledger.known().committed(StreamId(2)), Seq(1));
    assert!(!scene.path(5).exists());
    fs::remove_file(scene.path(6)).unwrap();
    let ledger = scene.open().unwrap();
    commit_one(&ledger, StreamId(1));
    assert_eq!(head(&scene), 7);
    // Nor over a commit that cannot be read.
    fs::remove_file(scene.path(7)).unwrap();
    fs::write(scene.copy(7), b"{").unwrap();
    assert_eq!(scene.failure().kind(), ErrorKind::Damaged);
    assert!(!scene.path(7).exists());
}

#[test]
fn a_ledger_whose_folder_is_gone_is_read_from_the_copies() {
    let scene = five();
    fs::remove_dir_all(scene.dir.path().join("ledger")).unwrap();
    assert_eq!(head(&scene), 4);
}

#[test]
fn a_checkpoint_stands_on_either_file() {
    let scene = Scene::new();
    let ledger = scene.open().unwrap();
    (0..130).for_each(|_| commit_one(&ledger, StreamId(1)));
    fs::remove_file(scene.path(128)).unwrap();
    for number in 0..128 {
        fs::remove_file(scene.path(number)).unwrap();
        fs::remove_file(scene.copy(number)).unwrap();
    }
    assert_eq!(head(&scene), 130);
}

#[test]
fn a_commit_stands_though_its_copy_cannot_be_written_and_the_next_one_writes_both() {
    // The operations of a copy come after the six of its commit.
    for n in 7..=12 {
        for op in [Fault::NoSpace, Fault::Io] {
            let scene = five();
            let plan = FaultPlan::new();
            let ledger = Ledger::open(Disk::with_plan(plan.clone()), scene.dir.path()).unwrap();
            plan.fail_at(n, op);
            commit_one(&ledger, StreamId(1));
            assert_eq!(head(&scene), 5, "operation {n}");
            commit_one(&ledger, StreamId(1));
            let copies = (0..=6).filter(|number| scene.copy(*number).exists()).count();
            assert_eq!(copies, 7, "operation {n}");
        }
    }
}

#[test]
fn a_process_that_dies_before_it_writes_the_copy_leaves_that_to_the_next_one() {
    for n in 7..=12 {
        let scene = five();
        let plan = FaultPlan::new();
        let ledger = Ledger::open(Disk::with_plan(plan.clone()), scene.dir.path()).unwrap();
        plan.halt_at(n);
        commit_one(&ledger, StreamId(1));
        assert_eq!(head(&scene), 5);
        scene.open().unwrap().sync().unwrap();
        assert_eq!(fs::read(scene.copy(5)).unwrap(), fs::read(scene.path(5)).unwrap(), "operation {n}");
    }
}

#[test]
fn a_store_of_an_older_program_gets_its_copies() {
    let scene = Scene::with_commits(100);
    let plan = FaultPlan::new();
    let ledger = Ledger::open(Disk::with_plan(plan.clone()), scene.dir.path()).unwrap();
    assert_eq!(plan.operations(), 0, "a reader writes nothing");
    let copies = || (0..=110).filter(|number| scene.copy(*number).exists()).count();
    ledger.sync().unwrap();
    assert_eq!(copies(), 64, "some at a time");
    commit_one(&ledger, StreamId(1));
    assert_eq!(copies(), 102);
    assert!(!plan.log().iter().any(|(op, _)| *op == Op::RemoveDir));
    (0..=101).for_each(|n| assert_eq!(fs::read(scene.copy(n)).unwrap(), fs::read(scene.path(n)).unwrap()));
}

#[test]
fn what_is_no_sound_commit_is_not_copied() {
    let scene = Scene::with_commits(3);
    fs::copy(scene.path(1), scene.path(2)).unwrap();
    let left = two_copies::complete(&Disk::new(), &scene.dir.path().join("ledger"), 100).unwrap();
    assert_eq!(left, 0);
    assert!(!scene.copy(2).exists() && scene.copy(1).exists() && scene.copy(3).exists());
}

#[test]
fn a_copy_that_is_missing_in_the_middle_is_written_by_the_next_opening() {
    let scene = five();
    fs::remove_file(scene.copy(2)).unwrap();
    // Reading writes nothing.
    let ledger = scene.open().unwrap();
    assert!(!scene.copy(2).exists());
    ledger.sync().unwrap();
    assert_eq!(fs::read(scene.copy(2)).unwrap(), fs::read(scene.path(2)).unwrap());
    fs::write(scene.path(2), b"").unwrap();
    assert_eq!(head(&scene), 4);
    // Or by the next commit of a process that did not sync.
    fs::remove_file(scene.copy(3)).unwrap();
    commit_one(&scene.open().unwrap(), StreamId(1));
    assert!(scene.copy(3).exists());
}

#[test]
fn copies_of_another_store_beyond_the_head_are_passed_over() {
    let (scene, other) = (five(), five());
    let running = scene.open().unwrap();
    let others = other.open().unwrap();
    commit_one(&others, StreamId(1));
    commit_one(&others, StreamId(1));
    for number in [5, 6] {
        fs::copy(other.path(number), scene.copy(number)).unwrap();
    }
    assert_eq!(head(&scene), 4);
    assert_eq!(running.refresh().unwrap().head.number.0, 4);
    // The number is free: no commit of this store has it.
    commit_one(&running, StreamId(1));
    assert_eq!((head(&scene), running.known().head.number.0), (5, 5));
    // In the ledger's own folder it counts as a commit.
    fs::copy(other.path(6), scene.path(6)).unwrap();
    let error = scene.failure();
    assert!(error.kind() == ErrorKind::Moved && error.to_string().contains("/ledger/"), "{error}");
}

#[test]
fn a_commit_of_which_only_the_copy_is_left_counts_though_a_stranger_follows() {
    let (scene, other) = (five(), five());
    let others = other.open().unwrap();
    commit_one(&others, StreamId(1));
    fs::copy(other.path(5), scene.copy(5)).unwrap();
    fs::remove_file(scene.path(4)).unwrap();
    assert_eq!(head(&scene), 4);
    // A commit of another store comes before it: this commit cannot be recognised alone.
    fs::copy(other.path(3), scene.copy(3)).unwrap();
    fs::remove_file(scene.path(3)).unwrap();
    let error = scene.failure().to_string();
    assert!(error.contains("ledger-copy"), "{error}");
}

#[test]
fn an_error_names_the_file_that_was_read() {
    let scene = five();
    fs::write(scene.copy(5), b"no commit").unwrap();
    let error = scene.failure();
    assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains("ledger-copy/"), "{error}");
    fs::copy(scene.copy(2), scene.copy(5)).unwrap();
    let error = scene.failure().to_string();
    assert!(error.contains("ledger-copy/00000000000000000005.json"), "{error}");
}
