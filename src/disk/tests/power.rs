//! The state after a power failure.

use std::cell::RefCell;

use proptest::prelude::*;

use super::*;
use crate::disk::operation_record::FileId;

#[test]
fn unsynced_content_is_dropped_and_synced_content_kept() {
    let scene = Scene::new();
    scene.write("a", b"synced", b" and not");
    assert_eq!(scene.after(PowerFailure::DropUnsynced).read("a").unwrap(), b"synced");
    assert_eq!(scene.after(PowerFailure::KeepNames).read("a").unwrap(), b"synced");
    assert_eq!(scene.after(PowerFailure::KeepAllData).read("a").unwrap(), b"synced and not");
}

#[test]
fn a_name_is_lost_though_the_content_was_synced() {
    let scene = Scene::new();
    let mut file = scene.disk.create_new(&scene.path("a")).unwrap();
    file.append(b"synced").unwrap();
    file.sync_data().unwrap();
    assert_eq!(scene.after(PowerFailure::DropUnsynced).names(), Vec::<String>::new());
    assert_eq!(scene.after(PowerFailure::KeepAllData).names(), Vec::<String>::new());
    assert_eq!(scene.after(PowerFailure::KeepNames).read("a").unwrap(), b"synced");
}

#[test]
fn a_name_is_kept_though_the_content_was_not_synced() {
    let scene = Scene::new();
    scene.write("a", b"", b"unsynced");
    assert_eq!(scene.after(PowerFailure::DropUnsynced).read("a").unwrap(), b"");
}

#[test]
fn a_link_is_kept_once_its_directory_was_synced() {
    let scene = Scene::new();
    scene.write("a", b"synced", b"");
    scene.disk.publish_link(&scene.path("a"), &scene.path("b")).unwrap();
    assert_eq!(scene.after(PowerFailure::DropUnsynced).names(), ["a"]);
    scene.disk.sync_dir(scene.root()).unwrap();
    for choice in EVERY_CHOICE {
        assert_eq!(scene.after(choice).names(), ["a", "b"]);
        assert_eq!(scene.after(choice).read("b").unwrap(), b"synced");
    }
}

#[test]
fn a_removed_file_comes_back_unless_its_directory_was_synced() {
    let scene = Scene::new();
    scene.write("a", b"synced", b"not");
    scene.disk.remove(&scene.path("a")).unwrap();
    assert_eq!(scene.after(PowerFailure::DropUnsynced).read("a").unwrap(), b"synced");
    assert_eq!(scene.after(PowerFailure::KeepNames).names(), Vec::<String>::new());
    scene.disk.sync_dir(scene.root()).unwrap();
    for choice in EVERY_CHOICE {
        assert_eq!(scene.after(choice).names(), Vec::<String>::new());
    }
}

#[test]
fn a_directory_that_is_lost_takes_all_below_it_along() {
    let scene = Scene::new();
    scene.disk.create_dir(&scene.path("sub")).unwrap();
    scene.publish("sub/a", b"whole").unwrap();
    assert_eq!(scene.after(PowerFailure::DropUnsynced).names(), Vec::<String>::new());
    assert_eq!(scene.after(PowerFailure::KeepNames).read("sub/a").unwrap(), b"whole");
    scene.disk.sync_dir(scene.root()).unwrap();
    assert_eq!(scene.after(PowerFailure::DropUnsynced).read("sub/a").unwrap(), b"whole");

    let dir = tempdir().unwrap();
    let plan = &scene.plan;
    plan.power_failure(&scene.path("sub"), dir.path(), PowerFailure::DropUnsynced).unwrap();
    assert_eq!(names(dir.path()), ["a"]);
}

#[test]
fn a_sync_that_failed_is_not_made_good_by_the_next() {
    let scene = Scene::new();
    let mut file = scene.write("a", b"synced", b" lost");
    scene.plan.fail_at(1, Fault::Io);
    file.sync_data().unwrap_err();
    file.append(b" too").unwrap();
    file.sync_data().unwrap();
    assert_eq!(scene.after(PowerFailure::DropUnsynced).read("a").unwrap(), b"synced");
}

#[test]
fn a_sync_that_failed_with_nothing_to_do_dooms_nothing() {
    let scene = Scene::new();
    let mut file = scene.write("a", b"synced", b"");
    scene.plan.fail_at(1, Fault::Io);
    file.sync_data().unwrap_err();
    file.append(b" too").unwrap();
    file.sync_data().unwrap();
    assert_eq!(scene.after(PowerFailure::DropUnsynced).read("a").unwrap(), b"synced too");
}

#[test]
fn what_was_there_before_recording_is_synced() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/a"), "old").unwrap();
    let plan = FaultPlan::new();
    let disk = Disk::with_plan(plan.clone());
    let mut open = disk.create_new(&dir.path().join("open")).unwrap();
    open.append(b"before").unwrap();
    plan.record_for_power_failure(dir.path());
    disk.publish_link(&dir.path().join("sub/a"), &dir.path().join("b")).unwrap();
    disk.sync_dir(dir.path()).unwrap();
    disk.remove(&dir.path().join("sub/a")).unwrap();
    open.append(b" and after").unwrap();

    let scene = Scene { dir, plan, disk };
    let after = scene.after(PowerFailure::DropUnsynced);
    assert_eq!(after.read("sub/a").unwrap(), b"old");
    assert_eq!(after.read("b").unwrap(), b"old");
    assert_eq!(after.read("open").unwrap(), b"before");
    open.sync_data().unwrap();
    let after = scene.after(PowerFailure::DropUnsynced);
    assert_eq!(after.read("open").unwrap(), b"before and after");
}

#[test]
fn a_root_that_is_not_there_yet_is_recorded_from_its_creation() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("facts");
    let plan = FaultPlan::new().record_for_power_failure(&root);
    let disk = Disk::with_plan(plan.clone());
    disk.create_dir(&root).unwrap();
    disk.lock_file(&root.join("lock")).unwrap();
    disk.publish(&root.join("temp"), &root.join("a"), b"whole").unwrap();
    let into = tempdir().unwrap();
    plan.power_failure(&root, into.path(), PowerFailure::DropUnsynced).unwrap();
    assert_eq!(names(into.path()), ["a", "lock"]);
}

#[test]
fn a_power_failure_needs_a_record_and_an_empty_directory() {
    let scene = Scene::new();
    let (elsewhere, full) = (tempdir().unwrap(), scene.path("full"));
    fs::create_dir(&full).unwrap();
    fs::write(full.join("x"), "").unwrap();
    let choice = PowerFailure::DropUnsynced;
    let kind = |plan: &FaultPlan, root: &Path, into: &Path| {
        plan.power_failure(root, into, choice).unwrap_err().kind()
    };
    let into = elsewhere.path();
    assert_eq!(kind(&FaultPlan::new(), scene.root(), into), ErrorKind::InvalidInput);
    assert_eq!(kind(&scene.plan, elsewhere.path(), into), ErrorKind::InvalidInput);
    assert_eq!(kind(&scene.plan, scene.root(), &full), ErrorKind::DirectoryNotEmpty);
}

#[test]
fn random_failures_reach_every_kind_of_damage() {
    let scene = Scene::new();
    let (synced, unsynced) = (vec![1; 700], vec![2; 4000]);
    scene.write("a", &synced, &unsynced);
    scene.disk.lock_file(&scene.path("b")).unwrap();
    let [mut whole, mut cut, mut zeroed, mut garbage, mut named, mut nameless] = [0; 6];
    for seed in 0..200 {
        let after = scene.after(PowerFailure::Random(seed));
        let bytes = after.read("a").unwrap();
        let (head, tail) = bytes.split_at(700);
        assert_eq!(head, synced);
        assert!(tail.len() <= 4000);
        // Damage is by sectors of the file; 1024 is the first sector that was not synced at all.
        for sector in bytes.get(1024..).unwrap_or_default().chunks(512) {
            let uniform = sector.iter().all(|byte| *byte == sector[0]);
            assert!(uniform || sector.iter().any(|byte| *byte > 2));
        }
        whole += u32::from(tail == unsynced);
        cut += u32::from(tail.len() < 4000 && tail.iter().all(|b| *b == 2));
        zeroed += u32::from(tail.contains(&0));
        garbage += u32::from(tail.iter().any(|b| *b > 2));
        *if after.names().len() == 2 { &mut named } else { &mut nameless } += 1;
    }
    for count in [whole, cut, zeroed, garbage, named, nameless] {
        assert!(count > 5, "{:?}", [whole, cut, zeroed, garbage, named, nameless]);
    }
    let again = |seed| scene.after(PowerFailure::Random(seed)).read("a").unwrap();
    assert_eq!(again(7), again(7));
}

#[test]
fn a_sync_covers_only_what_came_before_it() {
    let scene = Scene::new();
    let (root, path) = (scene.root(), scene.path("a"));
    let file = RefCell::new(scene.write("a", b"before", b""));
    scene.disk.publish_link(&path, &scene.path("before")).unwrap();
    // An id that the record does not have stands for the file that is at the path now.
    let id = FileId::fresh();
    scene
        .plan
        .sync(
            Op::SyncDir,
            root,
            |record| record.name_changes(),
            || scene.disk.publish_link(&path, &scene.path("while")),
            |record, before, done| record.directory_synced(root, before, done),
        )
        .unwrap();
    scene
        .plan
        .sync(
            Op::SyncData,
            &path,
            |record| record.file_len(id, &path),
            || file.borrow_mut().append(b" while"),
            |record, len, done| record.file_synced(id, &path, len, done),
        )
        .unwrap();
    let after = scene.after(PowerFailure::DropUnsynced);
    assert_eq!(after.names(), ["a", "before"]);
    assert_eq!(after.read("a").unwrap(), b"before");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_was_published_survives_every_power_failure(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        fault in prop::option::of(1u64..30),
        seeds in prop::array::uniform4(any::<u64>()),
    ) {
        let scene = Scene::new();
        if let Some(n) = fault {
            scene.plan.fail_at(n, Fault::ShortWrite);
        }
        let made = scene.disk.create_dir(&scene.path("sub")).is_ok()
            && scene.disk.sync_dir(scene.root()).is_ok();
        let published: Vec<String> = ["a", "sub/b", "sub/c", "a"]
            .iter()
            .filter(|name| made && scene.publish(name, &bytes).is_ok())
            .map(ToString::to_string)
            .collect();
        let mut later = scene.disk.create_new(&scene.path("later"));
        if let Ok(file) = &mut later {
            drop(file.append(&bytes));
        }
        for choice in EVERY_CHOICE.into_iter().chain(seeds.map(PowerFailure::Random)) {
            let after = scene.after(choice);
            for name in &published {
                prop_assert_eq!(after.read(name), Some(bytes.clone()), "{} {:?}", name, choice);
            }
            // Nor is there ever a part of a published name.
            for name in ["a", "sub/b", "sub/c"] {
                prop_assert!(after.read(name).is_none_or(|found| found == bytes));
            }
        }
    }
}
