//! Where a backup may be made: a fresh volume, an empty folder, a link to one.

use std::fs;

use ostracon::disk::{Disk, Fault, FaultPlan};
use ostracon::{BackupOptions, Store};

use super::assert_whole;
use crate::command::Folder;
use crate::support::{any_fact, lines_at, scratch};

#[test]
fn what_a_fresh_volume_has_is_nothing() {
    let folder = Folder::with_known_facts();
    fs::create_dir_all(folder.path("volume/lost+found")).unwrap();
    folder.write("volume/.DS_Store", "x");
    for _ in 0..2 {
        folder.run(&["backup", "facts", "volume", "--incremental"]).ok();
        assert_eq!(lines_at(&folder.path("volume")), lines_at(&folder.path("facts")));
        assert_whole(&folder.path("volume"));
    }
    let mut names: Vec<_> =
        fs::read_dir(folder.path("volume")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name.to_string_lossy().starts_with('.'));
    assert_eq!(names, [".DS_Store"], "nothing is left of how it was made");
}

#[cfg(unix)]
#[test]
fn a_link_to_an_empty_folder_is_filled() {
    let folder = Folder::with_known_facts();
    fs::create_dir(folder.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", folder.path("link")).unwrap();
    folder.run(&["backup", "facts", "link"]).ok();
    assert_eq!(lines_at(&folder.path("elsewhere")), lines_at(&folder.path("facts")));
    assert_whole(&folder.path("link"));
    std::os::unix::fs::symlink("nowhere", folder.path("dangling")).unwrap();
    let said = folder.run(&["backup", "facts", "dangling"]).failed();
    assert!(said.contains("a link that leads nowhere"), "{said}");
}

#[test]
fn an_empty_folder_has_a_whole_backup_or_none_whatever_fails() {
    let folder = scratch();
    let (root, target) = (folder.path().join("facts"), folder.path().join("empty"));
    let plan = FaultPlan::new();
    let store = Store::builder().disk(Disk::with_plan(plan.clone())).open(&root).unwrap();
    for n in 0..4 {
        store.record(any_fact(n)).unwrap();
    }
    store.flush().unwrap();
    store.record(any_fact(4)).unwrap();
    let begun = plan.operations();
    store.backup(folder.path().join("rehearsal"), BackupOptions::new()).unwrap();
    // Here the parts are moved one by one, too.
    let operations = plan.operations() - begun + 10;
    assert!(operations > 40, "{operations}");
    for at in 1..=operations {
        fs::create_dir(&target).unwrap();
        plan.fail_at(at, Fault::Io);
        let result = store.backup(&target, BackupOptions::new());
        plan.heal();
        if result.is_err() {
            assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "operation {at}");
            store.backup(&target, BackupOptions::new()).unwrap();
        }
        assert_eq!(lines_at(&target), lines_at(&root), "operation {at}");
        assert_whole(&target);
        fs::remove_dir_all(&target).unwrap();
    }
}
