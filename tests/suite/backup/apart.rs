//! A restored store and the one that it is of never give one name to two facts.

use std::collections::BTreeSet;
use std::path::Path;

use ostracon::{BackupOptions, CompactOptions, Cursor, ErrorKind, FactId, Import, Store, backup};

use crate::support::copy_tree;
use crate::support::{crash, scratch};

fn record(store: &Store, facts: u64) -> BTreeSet<FactId> {
    (0..facts).map(|n| store.record(crash(n)).unwrap().id()).collect()
}

/// A cursor behind all that is there now.
fn cursor_at_the_end(path: &Path) -> Cursor {
    let store = Store::builder().access(ostracon::Access::Read).open(path).unwrap();
    let mut facts = store.after(&Cursor::start()).unwrap();
    let mut cursor = Cursor::start();
    for fact in facts.by_ref() {
        cursor.advance(&fact.unwrap());
    }
    facts.sign(&mut cursor);
    cursor
}

#[test]
fn a_cursor_of_a_lost_store_passes_over_no_fact_of_the_restored_one() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let store = Store::open(at("facts")).unwrap();
    record(&store, 5);
    store.flush().unwrap();
    store.backup(at("backup"), BackupOptions::new()).unwrap();
    let second = Store::open(at("facts")).unwrap();
    let gone = record(&second, 3);
    let cursor = cursor_at_the_end(&at("facts"));
    drop((store, second));
    std::fs::remove_dir_all(at("facts")).unwrap();

    backup(at("backup"), at("facts"), BackupOptions::new()).unwrap();
    let restored = Store::open(at("facts")).unwrap();
    let new = record(&restored, 5);
    assert!(gone.is_disjoint(&new), "{new:?}");
    let error = restored.after(&cursor).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    // Of what was there at the backup nothing comes again.
    let known: Cursor = "1:5".parse().unwrap();
    assert_eq!(restored.after(&known).unwrap().count(), 5);
}

#[test]
fn streams_are_apart_whatever_the_store_and_its_backup_do_first() {
    for streams_before in [0, 1, 3] {
        for first in ["record", "import", "compact"] {
            let folder = scratch();
            let at = |name: &str| folder.path().join(name);
            let store = Store::open(at("facts")).unwrap();
            for n in 0..streams_before {
                let writer = Store::open(at("facts")).unwrap();
                record(&writer, n + 1);
            }
            store.backup(at("backup"), BackupOptions::new()).unwrap();
            copy_tree(&at("backup"), &at("sibling"));
            if first == "compact" {
                let maintainer =
                    Store::builder().access(ostracon::Access::Maintain).open(at("backup")).unwrap();
                maintainer.compact(CompactOptions::default()).unwrap();
            }
            let mut given = BTreeSet::new();
            for path in ["facts", "backup", "sibling"] {
                let before = super::ids_at(&at(path));
                let (one, two) = (Store::open(at(path)).unwrap(), Store::open(at(path)).unwrap());
                if first == "import" {
                    let line = crash(7).to_line();
                    one.import(line.as_bytes(), Import::named("input")).unwrap();
                }
                record(&one, 2);
                record(&two, 2);
                drop((one, two));
                let again = Store::open(at(path)).unwrap();
                record(&again, 2);
                drop(again);
                let new: BTreeSet<_> = super::ids_at(&at(path)).difference(&before).copied().collect();
                assert!(new.len() >= 6);
                assert!(given.is_disjoint(&new), "{streams_before} {first} {path}: {new:?}");
                given.extend(new);
                super::assert_whole(&at(path));
            }
        }
    }
}

#[test]
fn a_backup_of_a_backup_goes_on_as_often_as_one_likes() {
    let folder = scratch();
    let at = |generation: u32| folder.path().join(format!("{generation}"));
    let store = Store::open(at(0)).unwrap();
    record(&store, 1);
    drop(store);
    for generation in 1..=20 {
        backup(at(generation - 1), at(generation), BackupOptions::new()).unwrap();
        let store = Store::open(at(generation)).unwrap();
        record(&store, 1);
    }
    assert_eq!(super::ids_at(&at(20)).len(), 21);
    super::assert_whole(&at(20));
}
