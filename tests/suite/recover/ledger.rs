//! The ledger's files: one of a commit's two is put right from the other, and where both are damaged a
//! writer journals and lists give the rest.

use std::fs;
use std::path::Path;

use ostracon::{
    AnomalyKind, Cursor, ErrorKind, Kind, RecoveryConfig, RecoveryMode, ScanDepth, StartupMode, Store,
    recover, scan, verify,
};

use super::scene::{ALL, FLUSHED, Scene, change, flip, places};
use crate::support;

fn repair(root: &Path) -> ostracon::RecoveryReport {
    let report = recover(root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.facts_lost(), report.facts_unverified()), (0, 0), "{report:#?}");
    report
}

#[test]
fn the_exact_commit_is_put_back_and_the_chain_goes_on() {
    let scene = Scene::new();
    let head = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap().head().unwrap();
    let before: Vec<_> = (0..3).map(|n| fs::read(scene.commit(n)).unwrap()).collect();
    for number in 0..3 {
        for path in support::both_files(&scene.root(), number) {
            flip(&path, 500);
            let facts = places(&scene.root()).unwrap();
            assert_eq!(facts.len() as u64, ALL, "all is read while one file is damaged");
            let report = repair(&scene.root());
            let name = path.strip_prefix(scene.root()).unwrap().to_str().unwrap();
            assert_eq!(report.repaired_files, [name]);
            assert!(report.scan.anomalies[0].remedy.contains("publishes the file again"), "{report:#?}");
            assert_eq!(fs::read(&path).unwrap(), before[number as usize]);
        }
    }
    let sheet = verify(scene.root(), Some(&head)).unwrap();
    assert!(sheet.is_sound() && sheet.unverified.is_empty() && sheet.root == 0, "{sheet:#?}");
}

#[test]
fn mode_quarantine_keeps_the_damaged_file() {
    let scene = Scene::new();
    flip(&scene.commit(1), 500);
    let damaged = fs::read(scene.commit(1)).unwrap();
    let report = recover(scene.root(), scene.config(RecoveryMode::Quarantine)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let [kept] = &report.quarantined_files[..] else { panic!("{report:#?}") };
    assert!(kept.starts_with(scene.aside()) && fs::read(kept).unwrap() == damaged);
}

#[test]
fn the_ledger_of_an_older_program_gets_its_copies_by_recovering_and_by_writing() {
    let older = Scene::new();
    fs::remove_dir_all(older.root().join("ledger-copy")).unwrap();
    let is_copied = |scene: &Scene| {
        (0..3).all(|n| {
            let [own, copy] = support::both_files(&scene.root(), n).map(|path| fs::read(path).ok());
            own.is_some() && own == copy
        })
    };
    let report = scan(older.root(), ScanDepth::Quick).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    for startup in [StartupMode::FailOnAnomaly, StartupMode::Ignore] {
        let scene = older.copy();
        Store::builder().startup(startup).open(scene.root()).unwrap().close().unwrap();
        assert!(is_copied(&scene));
    }
    let scene = older.copy();
    repair(&scene.root());
    assert!(is_copied(&scene));
    // Who only reads writes nothing.
    places(&older.root()).unwrap();
    assert!(!older.root().join("ledger-copy").exists());
}

#[test]
fn a_commit_that_a_query_reads_by_is_not_replaced_under_it() {
    let scene = Scene::new();
    flip(&scene.commit(2), 500);
    let reader = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap();
    let mut running = reader.after(&Cursor::start()).unwrap();
    running.next().unwrap().unwrap();
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(!report.is_clean());
    assert!(report.notes.iter().any(|note| note.contains("a query is reading")), "{report:#?}");
    assert_eq!(running.count() as u64, ALL - 1);
    drop(reader);
    repair(&scene.root());
}

#[test]
fn files_are_kept_for_a_query_that_began_while_a_commit_file_was_missing() {
    let scene = Scene::new();
    fs::remove_file(scene.commit(2)).unwrap();
    let reader = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap();
    let running = reader.after(&Cursor::start()).unwrap();
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let store = Store::open(scene.root()).unwrap();
    let report = store.compact(ostracon::CompactOptions::new()).unwrap();
    assert!(report.segments_removed > 0 && report.files_waiting == report.segments_removed, "{report:#?}");
    assert_eq!(running.filter(|fact| fact.is_ok()).count() as u64, ALL);
}

#[test]
fn two_sound_commits_of_one_number_are_both_kept() {
    let scene = Scene::new();
    let [own, copy] = support::both_files(&scene.root(), 2);
    let other = Scene::new();
    fs::copy(other.commit(2), &own).unwrap();
    let found = scan(scene.root(), ScanDepth::Quick).unwrap();
    assert_eq!(found.anomalies.iter().map(|it| it.kind).collect::<Vec<_>>(), [AnomalyKind::ChainBroken]);
    let report = repair(&scene.root());
    let [kept] = &report.quarantined_files[..] else { panic!("{report:#?}") };
    assert_eq!(fs::read(kept).unwrap(), fs::read(other.commit(2)).unwrap());
    assert_eq!(fs::read(own).unwrap(), fs::read(copy).unwrap());
}

#[test]
fn a_rebuilding_leaves_no_copy_of_what_came_before() {
    let scene = Scene::new();
    support::both_files(&scene.root(), 1).iter().for_each(|path| flip(path, 500));
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(scene.files("ledger-copy").len(), 1);
    // An older program would have left them.
    fs::write(support::both_files(&scene.root(), 0)[1].clone(), b"{}").unwrap();
    assert_eq!(places(&scene.root()).unwrap().len() as u64, ALL);
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean() && report.quarantined_files.len() == 1, "{report:#?}");
}

/// Whatever is wrong with the ledger, as long as something of it can be read.
const BEYOND_HELP: &[(&str, fn(&Scene))] = &[
    ("first", |scene| both(scene, 0, |path| flip(path, 500))),
    ("between", |scene| both(scene, 1, |path| flip(path, 500))),
    ("newest torn", |scene| both(scene, 2, |path| change(path, |bytes| bytes.truncate(bytes.len() / 2)))),
    ("newest emptied", |scene| both(scene, 2, |path| change(path, Vec::clear))),
    ("between missing", |scene| support::lose_commit(&scene.root(), 1)),
];

fn both(scene: &Scene, number: u64, act: impl Fn(&Path)) {
    support::both_files(&scene.root(), number).iter().for_each(|path| act(path));
}

#[test]
fn a_writer_journals_whatever_is_wrong_with_the_ledger_and_flushes_when_it_is_recovered() {
    for (name, damage) in BEYOND_HELP {
        let scene = Scene::new();
        let known = places(&scene.root()).unwrap();
        damage(&scene);
        let store = Store::open(scene.root()).unwrap();
        let mut given = Vec::new();
        for n in 100..104 {
            given.push(store.record(support::crash(n)).unwrap());
        }
        assert!(given.iter().all(|given| known.iter().all(|(stream, ..)| *stream != given.stream.get())));
        assert_eq!(store.flush().unwrap_err().kind(), ErrorKind::Damaged, "{name}");
        // What asks for an answer that must be right is refused, lists give what can be read.
        assert_eq!(store.after(&Cursor::start()).err().unwrap().kind(), ErrorKind::Damaged, "{name}");
        let listed = store.list_readable(Kind::Event, None, None).unwrap();
        assert!(!listed.damage.is_empty(), "{name}");
        let lines: Vec<_> = listed.facts.iter().map(|found| found.fact.to_line()).collect();
        for n in 100..104 {
            assert!(lines.contains(&support::crash(n).to_line()), "{name}: its own facts are listed");
        }
        drop(store);

        let rebuild = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Rebuild)).unwrap();
        assert!(rebuild.is_clean(), "{name}: {rebuild:#?}");
        assert_eq!(rebuild.facts_lost(), 0, "{name}: {rebuild:#?}");
        Store::open(scene.root()).unwrap().close().unwrap();
        let found = places(&scene.root()).unwrap();
        assert_eq!(found.len() as u64, ALL + 4, "{name}");
        let named: std::collections::BTreeSet<_> =
            found.iter().map(|(stream, seq, _)| (stream, seq)).collect();
        assert_eq!(named.len(), found.len(), "{name}: a place names two facts");
    }
}

#[test]
fn a_writer_that_lives_flushes_when_the_commit_is_there_again() {
    let scene = Scene::new();
    let sound = fs::read(scene.commit(1)).unwrap();
    both(&scene, 1, |path| flip(path, 500));
    let store = Store::open(scene.root()).unwrap();
    store.record(support::crash(100)).unwrap();
    store.flush().unwrap_err();
    // From a backup, say.
    fs::write(scene.commit(1), sound).unwrap();
    store.flush().unwrap();
    assert_eq!(support::count(&store), ALL + 1);
    store.close().unwrap();
    drop(store);
    repair(&scene.root());
    assert_eq!(places(&scene.root()).unwrap().len() as u64, ALL + 1);
}

#[test]
fn lists_give_what_is_sound_of_a_damaged_journal() {
    let scene = Scene::new();
    let journal = scene.journal();
    let at = super::scene::position(&journal, b"sku-26");
    change(&journal, |bytes| bytes[at] ^= 1);
    let store = Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap();
    assert!(store.list(Kind::Event, None, None).is_err());
    let mut all = 0;
    for kind in Kind::ALL {
        let listed = store.list_readable(kind, None, None).unwrap();
        assert_eq!(listed.damage.len(), 1);
        all += listed.facts.len() as u64;
    }
    assert_eq!(all, ALL - 1, "also those after the damage");
}

/// Also through the command line, which says what is missing.
#[test]
fn inspect_gives_what_can_be_read() {
    let folder = crate::command::Folder::with_known_facts();
    let before = folder.run(&["inspect", "facts", "events"]).ok().out;
    let [own, copy] = support::both_files(&folder.path("facts"), 0);
    for path in [own, copy] {
        fs::write(path, b"{").unwrap();
    }
    let said = folder.run(&["inspect", "facts", "events"]).ok();
    assert_eq!(said.out, before);
    assert!(said.err.contains("cannot be read") && said.err.contains("recover"), "{said:#?}");
    folder.run(&["sql", "facts", "-c", "SELECT 1 FROM events"]).failed();
}

#[test]
fn an_emptied_journal_is_damage_and_its_numbers_are_not_given_out_again() {
    for size in [0, 20] {
        let scene = Scene::new();
        change(&scene.journal(), |bytes| bytes.truncate(size));
        let found = scan(scene.root(), ScanDepth::Quick).unwrap();
        let [damaged] = &found.anomalies[..] else { panic!("{found:#?}") };
        assert_eq!(damaged.kind, AnomalyKind::JournalDamaged);
        let told = [damaged.found.clone()].into_iter().chain(found.debris.iter().map(|it| it.what.clone()));
        assert!({ told }.all(|told| !told.contains("never acknowledged")), "{found:#?}");
        // Neither by a writer that comes first, nor after recovering.
        let writer = Store::open(scene.root()).unwrap();
        assert_ne!(writer.record(support::crash(100)).unwrap().stream.get(), 1);
        writer.close().unwrap();
        drop(writer);
        repair_or_lose(&scene);
        let writer = Store::open(scene.root()).unwrap();
        assert_ne!(writer.record(support::crash(101)).unwrap().stream.get(), 1);
        writer.close().unwrap();
        assert_eq!(support::count(&writer), 2 * FLUSHED + 2);
    }
}

fn repair_or_lose(scene: &Scene) {
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.notes.iter().any(|note| note.contains("not given out again")), "{report:#?}");
}

/// A file in `ledger-copy/` beyond the head, which is no commit of this store.
#[test]
fn a_copy_beyond_the_head_that_is_no_commit_is_moved_aside() {
    let other = Scene::new();
    let strays: [(&str, Box<dyn Fn(&Path)>); 4] = [
        ("garbage", Box::new(|path| fs::write(path, "garbage").unwrap())),
        ("nothing", Box::new(|path| fs::write(path, "").unwrap())),
        ("a folder", Box::new(|path| fs::create_dir(path).unwrap())),
        (
            "another store's",
            Box::new(move |path| {
                fs::copy(other.commit(2), path).unwrap();
            }),
        ),
    ];
    for (name, put) in strays {
        for mode in [RecoveryMode::Repair, RecoveryMode::Quarantine, RecoveryMode::Rebuild] {
            let scene = Scene::new();
            let before = places(&scene.root()).unwrap();
            let [own, copy] = support::both_files(&scene.root(), 3);
            assert!(!own.exists() && !copy.exists());
            put(&copy);
            if name == "another store's" {
                assert_eq!(places(&scene.root()).unwrap(), before, "it is passed over");
            }
            let report = recover(scene.root(), scene.config(mode)).unwrap();
            assert!(report.is_clean(), "{name}, {mode}: {report:#?}");
            assert_eq!(
                (report.facts_lost(), report.facts_unverified()),
                (0, 0),
                "{name}, {mode}: {report:#?}"
            );
            let mut paths = report.scan.anomalies.iter().map(|anomaly| anomaly.path.as_str());
            assert!(paths.all(|path| path.starts_with("ledger-copy/")), "{name}, {mode}: {report:#?}");
            assert_eq!(report.quarantined_files.len(), 1, "{name}, {mode}: {report:#?}");
            assert!(!copy.exists());
            assert_eq!(places(&scene.root()).unwrap(), before, "{name}, {mode}");
            assert_eq!(verify(scene.root(), None).unwrap().root, 0, "{name}, {mode}: the ledger is the same");
        }
    }
}

/// What is between them is not looked for number by number.
#[test]
fn copies_far_beyond_the_head_keep_nobody_waiting() {
    let (scene, other) = (Scene::new(), Scene::new());
    let before = places(&scene.root()).unwrap();
    for number in [3, 9, u64::MAX >> 1] {
        let [_, copy] = support::both_files(&scene.root(), number);
        fs::copy(other.commit(2), copy).unwrap();
    }
    assert_eq!(places(&scene.root()).unwrap(), before);
    let report = recover(scene.root(), RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(report.quarantined_files.len(), 3, "{report:#?}");
    assert_eq!(places(&scene.root()).unwrap(), before);
}

#[test]
fn a_commit_whose_first_file_is_lost_is_no_stray_copy() {
    let scene = Scene::new();
    let before = places(&scene.root()).unwrap();
    let [own, copy] = support::both_files(&scene.root(), 2);
    fs::remove_file(&own).unwrap();
    assert_eq!(places(&scene.root()).unwrap(), before);
    let report = repair(&scene.root());
    assert!(report.quarantined_files.is_empty(), "{report:#?}");
    assert_eq!(fs::read(&own).unwrap(), fs::read(&copy).unwrap());
    assert_eq!(places(&scene.root()).unwrap(), before);
}
