//! Backups with damaged files, and with files of commits that are long past.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use ostracon::{BackupOptions, ErrorKind, Store, backup};

use super::{assert_whole, some_store};
use crate::command::{Folder, KNOWN};
use crate::support::{both_files, lines_at, scratch};

fn more() -> BackupOptions {
    BackupOptions::new().incremental(true).copy(true)
}

fn a_segment(root: &Path) -> PathBuf {
    root.join("events").read_dir().unwrap().next().unwrap().unwrap().path()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn quarantined(root: &Path) -> usize {
    root.join("quarantine").read_dir().unwrap().count()
}

#[test]
fn a_segment_that_was_cut_off_in_the_backup_is_put_there_again() {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = some_store(&root);
    store.backup(&saved, more()).unwrap();
    let segment = a_segment(&saved);
    let bytes = fs::metadata(&segment).unwrap().len();
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(bytes - 9).unwrap();
    let report = store.backup(&saved, more()).unwrap();
    assert_eq!((report.replaced, quarantined(&saved)), (1, 1));
    assert_eq!(lines_at(&saved), lines_at(&root));
    assert_whole(&saved);
    assert_eq!(store.backup(&saved, more()).unwrap().replaced, 0);
}

#[test]
fn a_flipped_byte_in_the_backup_is_found_by_a_run_that_verifies() {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = some_store(&root);
    store.backup(&saved, more()).unwrap();
    flip(&a_segment(&saved), 100);
    let report = store.backup(&saved, more()).unwrap();
    assert!(!report.verified && report.replaced == 0, "its size is the right one");
    let report = store.backup(&saved, more().verify(true)).unwrap();
    assert!(report.verified && report.replaced == 1, "{report:?}");
    assert_whole(&saved);
    assert_eq!(lines_at(&saved), lines_at(&root));
}

#[test]
fn damaged_commits_of_the_backup_are_put_there_again() {
    for side in 0..2 {
        let folder = scratch();
        let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
        let store = some_store(&root);
        store.backup(&saved, more()).unwrap();
        flip(&both_files(&saved, 1)[side], 40);
        let error = store.backup(&saved, more()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains("--incremental --verify"), "{error}");
        assert_eq!(store.backup(&saved, more().verify(true)).unwrap().replaced, 1);
        assert_whole(&saved);
    }
}

#[test]
fn a_damaged_journal_of_the_backup_is_kept_aside() {
    let folder = scratch();
    let (root, saved) = (folder.path().join("facts"), folder.path().join("backup"));
    let store = some_store(&root);
    store.backup(&saved, more()).unwrap();
    let journal = saved.join("journal/1").read_dir().unwrap().next().unwrap().unwrap().path();
    let bytes = fs::metadata(&journal).unwrap().len() as usize;
    flip(&journal, bytes - 3);
    let open = Store::builder().access(ostracon::Access::Read).open(&saved).unwrap();
    let error = open.after(&ostracon::Cursor::start()).err();
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Damaged), "a lost fact is told of");
    backup(&root, &saved, more()).unwrap();
    assert_eq!(quarantined(&saved), 1);
    assert_eq!(lines_at(&saved), lines_at(&root));
    assert_whole(&saved);
}

#[test]
fn a_backup_goes_on_after_the_ledger_has_forgotten_what_an_import_was_merged_from() {
    let folder = Folder::new();
    for again in [None, Some("--again")] {
        let args = ["import", "facts", KNOWN].into_iter().chain(again);
        folder.run(&args.collect::<Vec<_>>()).ok();
    }
    folder.run(&["backup", "facts", "copy"]).ok();
    let line = fs::read_to_string(KNOWN).unwrap().lines().next().unwrap().to_owned();
    for _ in 0..4 {
        folder.run_with(&["record", "facts"], format!("{line}\n").as_bytes()).ok();
        folder.run(&["compact", "facts"]).ok();
        folder.run(&["backup", "facts", "copy", "--incremental"]).ok();
        assert_eq!(lines_at(&folder.path("copy")), lines_at(&folder.path("facts")));
        assert_whole(&folder.path("copy"));
    }
    // And what the first backup had is there still.
    folder.run(&["backup", "copy", "older", "--at-commit", "2"]).ok();
    assert_eq!(lines_at(&folder.path("older")).len(), 168);
}
