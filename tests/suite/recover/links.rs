//! A store whose files are elsewhere, behind links; and names of the store under which nothing can be read: links
//! that lead nowhere, folders, pipes, and what the disk does not give.
//!
//! `/proc/self/mem` is a file for its size and its kind, and a broken disk for who reads it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ostracon::{
    AnomalyKind, BackupOptions, ErrorKind, RecoveryConfig, RecoveryMode, RecoveryReport, ScanDepth, Store,
    recover, scan,
};

use super::scene::{ALL, FLUSHED, Scene};
use crate::support;

fn repair(root: &Path) -> RecoveryReport {
    recover(root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap()
}

/// Moves something of the store to another place, and leaves a link to it.
fn move_away(scene: &Scene, path: &Path) {
    let place = scene.folder.path().join("elsewhere");
    fs::create_dir_all(&place).unwrap();
    let place = place.join(path.file_name().unwrap());
    fs::rename(path, &place).unwrap();
    symlink(place, path).unwrap();
}

/// Puts a link there that leads nowhere, and gives what was there.
fn break_link(path: &Path) -> PathBuf {
    let gone = path.with_extension("away");
    let gone = gone.file_name().unwrap();
    let place = path.ancestors().find(|above| above.ends_with("facts")).unwrap().parent().unwrap().join(gone);
    fs::rename(path, &place).unwrap();
    symlink("/not/mounted/there", path).unwrap();
    place
}

#[test]
fn what_is_elsewhere_behind_links_is_part_of_the_store() {
    let places: [fn(&Scene) -> PathBuf; 4] = [
        |scene| scene.root().join("journal/1"),
        |scene| scene.events(0),
        |scene| scene.root().join("ostracon.toml"),
        |scene| scene.commit(2),
    ];
    let original = Scene::new();
    for place in places {
        let scene = original.copy();
        let path = place(&scene);
        move_away(&scene, &path);
        let report = repair(&scene.root());
        assert!(report.scan.is_clean(), "{}: {:?}", path.display(), report.scan.anomalies);
        assert!(report.quarantined_files.is_empty() && path.is_symlink());
        let note = report.scan.notes.iter().find(|note| note.what.contains("symbolic link")).unwrap();
        assert!(note.what.contains(path.file_name().unwrap().to_str().unwrap()), "{note:?}");
        assert_eq!(support::lines_at(&scene.root()), scene.lines);

        let store = Store::open(scene.root()).unwrap();
        let place = store.record(support::any_fact(ALL)).unwrap();
        assert_eq!(place.seq.get(), ALL + 1, "{}", path.display());
        store.close().unwrap();
        assert_eq!(support::lines_at(&scene.root()).len(), scene.lines.len() + 1);
    }
}

#[test]
fn a_journal_file_behind_a_link_is_flushed() {
    let scene = Scene::new();
    let journal = scene.journal();
    move_away(&scene, &journal);
    assert!(repair(&scene.root()).scan.is_clean());
    Store::open(scene.root()).unwrap().close().unwrap();
    assert_eq!(support::lines_at(&scene.root()), scene.lines);
    assert!(!journal.is_symlink());
}

#[test]
fn settings_behind_a_link_stay_there_whatever_else_is_recovered() {
    let scene = Scene::new();
    let settings = scene.root().join("ostracon.toml");
    fs::write(&settings, "durability = \"synced\"\n").unwrap();
    move_away(&scene, &settings);
    fs::write(scene.root().join("events/stranger"), "?").unwrap();
    let report = repair(&scene.root());
    assert!(report.is_clean() && !report.scan.is_clean(), "{report:?}");
    assert!(settings.is_symlink() && !scene.root().join("events/stranger").exists());
}

#[test]
fn a_segment_that_is_not_mounted_is_not_lost() {
    let scene = Scene::new();
    let events = scene.events(0);
    let place = break_link(&events);
    let report = repair(&scene.root());
    assert_eq!(report.facts_lost(), 0);
    assert!(!report.is_clean() && events.is_symlink());
    assert!(report.notes.iter().any(|note| note.contains("is it mounted?")), "{:?}", report.notes);

    fs::remove_file(&events).unwrap();
    fs::rename(place, &events).unwrap();
    assert!(repair(&scene.root()).scan.is_clean());
    assert_eq!(support::lines_at(&scene.root()), scene.lines);
}

#[test]
fn a_segment_that_the_disk_does_not_give_is_not_lost() {
    let scene = Scene::new();
    let events = scene.events(0);
    let place = break_link(&events);
    fs::remove_file(&events).unwrap();
    symlink("/proc/self/mem", &events).unwrap();
    let report = repair(&scene.root());
    assert_eq!(report.facts_lost(), 0);
    assert!(!report.is_clean() && events.is_symlink());
    assert!(report.notes.iter().any(|note| note.contains("ddrescue")), "{:?}", report.notes);

    // Half of it could be copied off.
    let bytes = fs::read(place).unwrap();
    fs::remove_file(&events).unwrap();
    fs::write(&events, &bytes[..bytes.len() / 2]).unwrap();
    assert!(repair(&scene.root()).is_clean());
}

#[test]
fn a_stream_that_is_not_mounted_keeps_its_numbers() {
    let scene = Scene::new();
    let folder = scene.root().join("journal/1");
    let place = break_link(&folder);
    let read = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap();
    assert_eq!(read.summary().unwrap_err().kind(), ErrorKind::Damaged);
    let report = repair(&scene.root());
    assert!(!report.is_clean() && folder.is_symlink(), "{report:?}");

    // Others record meanwhile, into another stream.
    let store = Store::open(scene.root()).unwrap();
    assert_ne!(store.record(support::any_fact(ALL)).unwrap().stream.get(), 1);
    store.close().unwrap();
    fs::remove_file(&folder).unwrap();
    fs::rename(place, &folder).unwrap();
    assert!(scan(scene.root(), ScanDepth::Deep).unwrap().is_clean());
    assert_eq!(support::lines_at(&scene.root()).len(), scene.lines.len() + 1);
}

#[test]
fn a_journal_that_cannot_be_read_stops_nobody_and_hides_nothing() {
    let make: [(&str, fn(&Path)); 3] = [
        ("a device", |path| symlink("/dev/zero", path).unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a pipe", |path| {
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
    ];
    let scene = Scene::new();
    for (what, make) in make {
        let scene = scene.copy();
        let journal = scene.journal();
        fs::rename(&journal, scene.folder.path().join("away")).unwrap();
        make(&journal);
        let read = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap();
        assert_eq!(read.summary().unwrap_err().kind(), ErrorKind::Damaged, "{what}");

        let store = Store::open(scene.root()).unwrap();
        let place = store.record(support::any_fact(ALL)).unwrap();
        assert_ne!(place.stream.get(), 1, "{what}");
        store.close().unwrap();

        let found = scan(scene.root(), ScanDepth::Quick).unwrap().anomalies;
        assert!(found.iter().any(|it| it.kind == AnomalyKind::JournalDamaged), "{what}: {found:?}");
        let report = repair(&scene.root());
        assert!(report.is_clean(), "{what}: {report:?}");
        // Its numbers are not given out again.
        let store = Store::open(scene.root()).unwrap();
        assert_ne!(store.record(support::any_fact(ALL + 1)).unwrap().stream.get(), 1, "{what}");
    }
}

#[test]
fn a_journal_file_that_is_not_mounted_is_not_lost() {
    let scene = Scene::new();
    let journal = scene.journal();
    let place = break_link(&journal);
    let store = Store::open(scene.root()).unwrap();
    assert_ne!(store.record(support::any_fact(ALL)).unwrap().stream.get(), 1);
    store.close().unwrap();
    let report = repair(&scene.root());
    assert!(!report.is_clean() && journal.is_symlink(), "{report:?}");
    assert_eq!(report.facts_lost(), 0);
    assert!(report.notes.iter().any(|note| note.contains("is it mounted?")), "{:?}", report.notes);

    fs::remove_file(&journal).unwrap();
    fs::rename(place, &journal).unwrap();
    assert!(repair(&scene.root()).is_clean());
    assert_eq!(support::lines_at(&scene.root()).len(), scene.lines.len() + 1);
}

/// After a ledger was rolled back, files that it does not name hold numbers that were given out.
#[test]
fn numbers_of_a_segment_behind_a_link_are_not_given_out_again() {
    let scene = Scene::new();
    fs::remove_file(scene.journal()).unwrap();
    for path in support::both_files(&scene.root(), 2) {
        fs::remove_file(path).unwrap();
    }
    for kind in ["events", "audits", "dead_letters"] {
        move_away(&scene, &scene.files(kind)[1]);
    }
    let pipe = scene.root().join("events/00000001-00000000000000000001-00000000000000000002.parquet");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    let store = Store::open(scene.root()).unwrap();
    let place = store.record(support::any_fact(ALL)).unwrap();
    assert!(place.stream.get() != 1 || place.seq.get() > 2 * FLUSHED, "{place:?}");
}

#[test]
fn names_of_the_store_without_end_or_answer_keep_nobody_waiting() {
    let scene = Scene::new();
    let pipe = |path: &Path| {
        fs::rename(path, scene.folder.path().join("away")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let settings = scene.root().join("ostracon.toml");
    pipe(&settings);
    assert_eq!(Store::open(scene.root()).unwrap_err().kind(), ErrorKind::Io);
    fs::remove_file(&settings).unwrap();
    symlink("/dev/zero", &settings).unwrap();
    assert_eq!(Store::open(scene.root()).unwrap_err().kind(), ErrorKind::Io);
    fs::remove_file(&settings).unwrap();

    let scene = Scene::new();
    let events = scene.events(0);
    fs::remove_file(&events).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&events).status().unwrap().success());
    let read = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap();
    let facts = read.after(&ostracon::Cursor::start()).unwrap().find_map(Result::err).unwrap();
    assert_eq!(facts.kind(), ErrorKind::Damaged);
    let options = BackupOptions::default();
    assert_eq!(
        read.backup(scene.folder.path().join("copy"), options).unwrap_err().kind(),
        ErrorKind::Damaged
    );
}

#[test]
fn a_stranger_whose_name_is_no_text_is_moved_aside() {
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.parquet");
    fs::write(scene.root().join("events").join(name), "?").unwrap();
    let report = repair(&scene.root());
    assert!(!report.scan.is_clean() && report.is_clean(), "{report:?}");
    assert_eq!(fs::read(scene.root().join("quarantine/events").join(name)).unwrap(), b"?");
}

#[test]
fn numbers_that_no_writer_reaches_stop_nobody() {
    let scene = Scene::new();
    let journal = scene.journal();
    let tag = journal.file_name().unwrap().to_str().unwrap().split_once('-').unwrap().1.to_owned();
    for number in [u64::MAX, i64::MAX as u64] {
        fs::copy(&journal, scene.root().join(format!("journal/1/{number}-{tag}"))).unwrap();
    }
    for stream in [u32::MAX, i32::MAX as u32] {
        fs::create_dir(scene.root().join(format!("journal/{stream}"))).unwrap();
    }
    let store = Store::open(scene.root()).unwrap();
    let streams: Vec<_> = (0..3)
        .map(|_| {
            let other = Store::open(scene.root()).unwrap();
            let place = other.record(support::any_fact(ALL)).unwrap();
            (place.stream.get(), other)
        })
        .collect();
    for (stream, _) in &streams {
        assert!(i32::try_from(*stream).is_ok(), "{stream}");
    }
    drop(streams);
    store.close().unwrap();
    let found = scan(scene.root(), ScanDepth::Quick).unwrap().anomalies;
    let names: Vec<_> = found.iter().map(|anomaly| anomaly.path.as_str()).collect();
    assert!(names.contains(&"journal/4294967295"), "{names:?}");
}

/// Facts of segments that are behind a link to the whole folder of their kind.
#[test]
fn what_comes_back_behind_a_linked_folder_is_found() {
    let original = Scene::new();
    fs::remove_file(original.journal()).unwrap();
    let lines = support::lines_at(&original.root());

    // The file of a segment that an earlier repair lost.
    let scene = original.copy();
    move_away(&scene, &scene.root().join("events"));
    let (events, away) = (scene.events(0), scene.folder.path().join("away"));
    fs::rename(&events, &away).unwrap();
    assert!(repair(&scene.root()).facts_lost() > 0);
    fs::rename(&away, &events).unwrap();
    let report = repair(&scene.root());
    assert!(report.is_clean() && !report.scan.is_clean(), "{report:#?}");
    assert_eq!(support::lines_at(&scene.root()), lines);

    // Facts whose commit is lost; and, beside them, a segment of another store.
    let scene = original.copy();
    move_away(&scene, &scene.root().join("events"));
    let other = Scene::new();
    let foreign = scene.root().join("events").join("1-101-112-0123456789abcdef0123456789abcdef.parquet");
    fs::copy(other.events(0), &foreign).unwrap();
    let newest = scene.commit(2);
    fs::remove_file(scene.root().join("ledger-copy").join(newest.file_name().unwrap())).unwrap();
    fs::remove_file(newest).unwrap();
    let report = repair(&scene.root());
    assert!(report.is_clean() && !report.scan.is_clean(), "{report:#?}");
    assert_eq!(support::lines_at(&scene.root()), lines);
    assert!(foreign.exists(), "it is none of this store's");
}

#[test]
fn a_backup_has_what_a_link_leads_to() {
    let scene = Scene::new();
    move_away(&scene, &scene.events(0));
    let backup = scene.folder.path().join("backup");
    let keeper = Store::builder().access(ostracon::Access::Maintain).open(scene.root()).unwrap();
    keeper.backup(&backup, BackupOptions::new()).unwrap();
    let name = scene.events(0).file_name().unwrap().to_owned();
    let copy = backup.join("events").join(&name);
    assert!(!copy.is_symlink() && copy.is_file());

    // A backup of an older program has a link to the store's own file: that is no second one.
    fs::remove_file(&copy).unwrap();
    symlink(fs::canonicalize(scene.events(0)).unwrap(), &copy).unwrap();
    keeper.backup(&backup, BackupOptions::new().incremental(true)).unwrap();
    assert!(!copy.is_symlink() && copy.is_file());
    assert_eq!(support::lines_at(&backup), scene.lines);
}
