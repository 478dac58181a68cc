//! Each test uses a real directory, so that it checks what a store would find there.

mod faults;
mod power;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::{TempDir, tempdir};

use super::{Disk, DiskError, DiskFile, Fault, FaultPlan, Op, PowerFailure, Syncer};

/// A store's directory, on a disk with a plan that records.
struct Scene {
    dir: TempDir,
    plan: FaultPlan,
    disk: Disk,
}

impl Scene {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let plan = FaultPlan::new().record_for_power_failure(dir.path());
        let disk = Disk::with_plan(plan.clone());
        Self { dir, plan, disk }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn publish(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.disk.publish(&self.path(&format!("{name}.temp")), &self.path(name), bytes)
    }

    /// A file with `synced` and then `unsynced`, whose name is durable.
    fn write(&self, name: &str, synced: &[u8], unsynced: &[u8]) -> DiskFile {
        let mut file = self.disk.create_new(&self.path(name)).unwrap();
        self.disk.sync_dir(self.root()).unwrap();
        file.append(synced).unwrap();
        file.sync_data().unwrap();
        file.append(unsynced).unwrap();
        file
    }

    fn after(&self, choice: PowerFailure) -> Aftermath {
        let dir = tempdir().unwrap();
        self.plan.power_failure(self.root(), dir.path(), choice).unwrap();
        Aftermath(dir)
    }
}

struct Aftermath(TempDir);

impl Aftermath {
    fn names(&self) -> Vec<String> {
        names(self.0.path())
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.0.path().join(name)).ok()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let found = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const EVERY_CHOICE: [PowerFailure; 5] = [
    PowerFailure::DropUnsynced,
    PowerFailure::KeepNames,
    PowerFailure::KeepAllData,
    PowerFailure::Random(1),
    PowerFailure::Random(2),
];

// The real disk.

#[test]
fn a_file_grows_by_what_is_appended() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a");
    let mut file = Disk::new().create_new(&path).unwrap();
    file.append(b"one ").unwrap();
    file.write_all(b"two").unwrap();
    file.flush().unwrap();
    file.sync_data().unwrap();
    assert_eq!((file.len(), file.torn()), (7, false));
    assert_eq!(fs::read(&path).unwrap(), b"one two");
}

#[test]
fn a_file_is_synced_from_another_thread() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let scene = Scene::new();
    let mut file = scene.write("a", b"one", b"two");
    let syncer: Syncer = file.syncer();
    shared(&syncer);
    shared(&scene.disk);
    thread::spawn(move || syncer.sync_data()).join().unwrap().unwrap();
    file.append(b"three").unwrap();
    assert_eq!(scene.after(PowerFailure::DropUnsynced).read("a").unwrap(), b"onetwo");
}

#[test]
fn directories_and_lock_files_may_be_there_already() {
    let dir = tempdir().unwrap();
    let (sub, lock) = (dir.path().join("sub"), dir.path().join("lock"));
    for disk in [Disk::new(), Disk::new(), Disk::with_plan(FaultPlan::new())] {
        disk.create_dir(&sub).unwrap();
        disk.lock_file(&lock).unwrap();
    }
    assert_eq!(fs::read(&lock).unwrap(), b"");
    let error = Disk::new().create_dir(&lock).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "a file is no directory");
}

#[test]
fn an_error_says_what_where_and_why() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("absent");
    let error = Disk::new().remove(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let inner = DiskError::of(&error).unwrap();
    assert_eq!((inner.op(), inner.path(), inner.raw_os_error()), (Op::Remove, &*path, Some(2)));
    assert_eq!(
        error.to_string(),
        format!("cannot remove {}: No such file or directory (os error 2)", path.display())
    );
}

#[test]
fn the_boot_id_changes_with_a_power_failure() {
    let scene = Scene::new();
    let before = scene.disk.boot_id();
    assert_eq!(before, Disk::new().boot_id());
    assert_ne!(before, Disk::after_power_failure().boot_id());
    scene.after(PowerFailure::DropUnsynced);
    assert_ne!(before, scene.disk.boot_id());
}

// Publishing.

#[test]
fn publish_never_overwrites_and_leaves_no_temp() {
    let scene = Scene::new();
    scene.publish("a", b"first").unwrap();
    let error = scene.publish("a", b"second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(DiskError::of(&error).unwrap().op(), Op::Link);
    assert_eq!(fs::read(scene.path("a")).unwrap(), b"first");
    assert_eq!(names(scene.root()), ["a"]);
}

#[test]
fn publish_leaves_a_strangers_temp_alone() {
    let scene = Scene::new();
    fs::write(scene.path("a.temp"), "a stranger's").unwrap();
    let error = scene.publish("a", b"mine").unwrap_err();
    assert_ne!(error.kind(), ErrorKind::AlreadyExists, "that would mean that the target exists");
    assert_eq!(DiskError::of(&error).unwrap().op(), Op::CreateNew);
    assert_eq!(names(scene.root()), ["a.temp"]);
}

#[test]
fn of_many_who_publish_at_once_one_wins() {
    let scene = Scene::new();
    let won = AtomicUsize::new(0);
    thread::scope(|scope| {
        for n in 0..8 {
            let (scene, won) = (&scene, &won);
            scope.spawn(move || {
                let temp = scene.path(&format!("{n}.temp"));
                let done = scene.disk.publish(&temp, &scene.path("a"), &[n]).is_ok();
                won.fetch_add(usize::from(done), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(won.into_inner(), 1);
    assert_eq!(names(scene.root()), ["a"]);
}

#[test]
fn publish_that_fails_leaves_all_or_nothing() {
    let rehearsal = Scene::new();
    rehearsal.publish("a", b"whole").unwrap();
    assert_eq!(rehearsal.plan.operations(), 6, "{:?}", rehearsal.plan.log());

    for fault in [Fault::Io, Fault::NoSpace, Fault::ShortWrite] {
        for n in 1..=6 {
            let scene = Scene::new();
            scene.plan.fail_at(n, fault);
            let result = scene.publish("a", b"whole");
            let found = fs::read(scene.path("a")).ok();
            let log = scene.plan.log();
            let (op, _) = log[n as usize - 1];
            match op {
                Op::Remove => assert!(result.is_ok(), "{log:?}"),
                Op::SyncDir => {
                    assert_eq!(DiskError::of(&result.unwrap_err()).unwrap().op(), Op::SyncDir);
                }
                _ => {
                    assert!(result.is_err(), "{log:?}");
                    assert_eq!(names(scene.root()), Vec::<String>::new(), "{log:?}");
                    continue;
                }
            }
            assert_eq!(found.unwrap(), b"whole", "{log:?}");
        }
    }
}

#[test]
fn publish_that_dies_leaves_all_or_nothing() {
    for n in 1..=6 {
        for choice in EVERY_CHOICE {
            let scene = Scene::new();
            scene.plan.halt_at(n);
            let error = scene.publish("a", b"whole").unwrap_err();
            assert!(DiskError::of(&error).unwrap().is_halted());
            for found in [fs::read(scene.path("a")).ok(), scene.after(choice).read("a")] {
                assert!(found.is_none_or(|bytes| bytes == b"whole"), "{n}, {choice:?}");
            }
        }
    }
}
