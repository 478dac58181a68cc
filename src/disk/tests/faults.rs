//! How a fault plan affects single operations, and the process.

use std::process::Command;

use super::*;

#[test]
fn every_operation_can_fail_and_then_has_done_nothing() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let plan = FaultPlan::new();
    let disk = Disk::with_plan(plan.clone());
    let mut file = disk.create_new(&path("a")).unwrap();
    for (fault, number) in [(Fault::Io, 5), (Fault::NoSpace, 28)] {
        let fails = |op: Op, act: &mut dyn FnMut() -> io::Result<()>| {
            plan.fail_at(1, fault);
            let error = act().unwrap_err();
            let inner = DiskError::of(&error).unwrap();
            assert_eq!((inner.op(), inner.raw_os_error()), (op, Some(number)), "{error}");
            assert_eq!(error.kind() == ErrorKind::StorageFull, fault == Fault::NoSpace);
            assert_eq!(names(dir.path()), ["a"], "{op:?}");
        };
        fails(Op::CreateDir, &mut || disk.create_dir(&path("sub")));
        fails(Op::CreateNew, &mut || disk.create_new(&path("b")).map(drop));
        fails(Op::Append, &mut || file.append(b"bytes"));
        fails(Op::SyncData, &mut || file.sync_data());
        fails(Op::SyncDir, &mut || disk.sync_dir(dir.path()));
        fails(Op::Link, &mut || disk.publish_link(&path("a"), &path("b")));
        fails(Op::Remove, &mut || disk.remove(&path("a")));
        fails(Op::LockFile, &mut || disk.lock_file(&path("lock")).map(drop));
    }
    assert_eq!((file.len(), file.torn()), (0, false));
    file.append(b"bytes").unwrap();
    assert_eq!(fs::read(path("a")).unwrap(), b"bytes");
}

#[test]
fn a_short_write_tears_the_file() {
    let scene = Scene::new();
    let mut file = scene.write("a", b"whole", b"");
    scene.plan.fail_at(1, Fault::ShortWrite);
    let error = file.append(b"torn apart").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(error.to_string().contains("at byte 5"), "{error}");
    assert_eq!((file.len(), file.torn()), (5, true));

    let found = fs::read(scene.path("a")).unwrap();
    assert!(found.len() > 5 && b"wholetorn apart".starts_with(&found) && found.len() < 15);
    assert_eq!(scene.after(PowerFailure::KeepAllData).read("a").unwrap(), found);

    file.append(b"more").unwrap_err();
    assert_eq!(fs::read(scene.path("a")).unwrap(), found, "nothing follows torn bytes");
}

#[test]
fn a_real_full_disk_is_told_as_such() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let error = fs::OpenOptions::new().write(true).open(full).unwrap().write_all(b"x").unwrap_err();
    let error = DiskError::wrap_at(Op::Append, full, 0, error);
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(DiskError::of(&error).unwrap().raw_os_error(), Some(28));
}

#[test]
fn a_fault_for_good_breaks_one_kind_of_operation_until_healed() {
    let scene = Scene::new();
    let file = scene.write("a", b"", b"");
    scene.plan.fail_from(2, Fault::Io);
    file.sync_data().unwrap();
    file.sync_data().unwrap_err();
    scene.disk.sync_dir(scene.root()).unwrap();
    file.sync_data().unwrap_err();
    scene.plan.heal();
    file.sync_data().unwrap();
}

#[test]
fn only_one_kind_is_counted() {
    let scene = Scene::new();
    let before = scene.plan.operations();
    let plan = scene.plan.only(Op::SyncDir).fail_at(2, Fault::Io);
    let file = scene.write("a", b"one", b"two");
    file.sync_data().unwrap();
    scene.disk.sync_dir(scene.root()).unwrap_err();
    assert_eq!((before, plan.operations()), (0, 2));
    plan.restrict_to(Op::Append);
    assert_eq!(plan.operations(), 2);
    assert_eq!(plan.log().len(), 7);
    assert_eq!(plan.log()[0], (Op::CreateNew, scene.path("a")));
}

#[test]
fn a_halted_disk_is_touched_no_more() {
    let scene = Scene::new();
    let mut file = scene.write("a", b"one", b"two");
    scene.plan.halt_at(2);
    file.append(b"three").unwrap();
    let error = file.append(b"four").unwrap_err();
    assert!(error.to_string().ends_with(": disk halted"), "{error}");
    assert!(scene.plan.is_halted() && !file.torn());
    scene.plan.heal();
    scene.disk.remove(&scene.path("a")).unwrap_err();
    file.sync_data().unwrap_err();
    assert_eq!(fs::read(scene.path("a")).unwrap(), b"onetwothree");
    assert_eq!(scene.after(PowerFailure::DropUnsynced).read("a").unwrap(), b"one");
}

const ABORT_IN: &str = "OSTRACON_DISK_TEST_ABORT_IN";

/// Does nothing unless the next test starts it.
#[test]
fn child_that_is_killed() {
    let Some(dir) = std::env::var_os(ABORT_IN).map(PathBuf::from) else {
        return;
    };
    let mut file = Disk::with_plan(FaultPlan::new().abort_at(3)).create_new(&dir.join("a")).unwrap();
    file.append(b"two").unwrap();
    file.append(b"three").unwrap();
    fs::write(dir.join("survived"), "").unwrap();
}

#[test]
#[cfg(unix)]
fn abort_kills_the_process_before_the_operation() {
    use std::os::unix::process::ExitStatusExt;
    let dir = tempdir().unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let child = format!("{module}::child_that_is_killed");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &child])
        .env(ABORT_IN, dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
    assert_eq!(names(dir.path()), ["a"]);
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"two");
}
