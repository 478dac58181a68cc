//! The place of a store: its folder may be renamed, replaced, emptied or unmounted under those who
//! have it open. Acknowledged facts stay where they were journaled, and nothing is put elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ostracon::{
    Cursor, Durability, Error, ErrorKind, Kind, ScanDepth, StartAt, Store, StoreBuilder, UnixNanos, scan,
};

use super::support::tree;
use super::support::{crash, lines_at, scratch};

/// A store with one fact, closed.
fn other_store(root: &Path) {
    let other = Store::open(root).unwrap();
    other.record(crash(1000)).unwrap();
    other.close().unwrap();
}

/// A writer whose clock goes on by so much at each look.
fn writer(step_millis: i64) -> StoreBuilder {
    let clock = Arc::new(AtomicI64::new(1_795_404_290_000_000_000));
    Store::builder().clock(move || UnixNanos::new(clock.fetch_add(step_millis * 1_000_000, Ordering::SeqCst)))
}

fn is_moved<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Moved, "{error}");
    error.to_string()
}

/// How the store goes from its place, and what comes there.
type Mishap = fn(root: &Path, away: &Path);

const MISHAPS: [(&str, Mishap); 4] = [
    ("renamed", |root, away| fs::rename(root, away).unwrap()),
    ("replaced", |root, away| {
        fs::rename(root, away).unwrap();
        other_store(root);
    }),
    ("emptied and made anew", |root, away| {
        fs::create_dir(away).unwrap();
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            fs::rename(&path, away.join(path.file_name().unwrap())).unwrap();
        }
        other_store(root);
    }),
    ("replaced by a copy of itself", |root, away| {
        fs::rename(root, away).unwrap();
        assert!(std::process::Command::new("cp").arg("-a").arg(away).arg(root).status().unwrap().success());
    }),
];

#[test]
fn a_writer_whose_store_was_moved_puts_nothing_into_another_one() {
    for durability in [Durability::Buffered, Durability::Journaled, Durability::Synced] {
        for (name, mishap) in MISHAPS {
            let folder = scratch();
            let (root, away) = (folder.path().join("facts"), folder.path().join("away"));
            let store = writer(0).durability(durability).open(&root).unwrap();
            store.record(crash(0)).unwrap();
            store.flush().unwrap();
            let mut acknowledged = vec![crash(0).to_line()];
            for n in 1..5 {
                store.record(crash(n)).unwrap();
                acknowledged.push(crash(n).to_line());
            }
            mishap(&root, &away);
            let before = root.exists().then(|| tree(&root));
            // Its clock stands still, so nobody has looked yet.
            store.record(crash(5)).unwrap();
            acknowledged.push(crash(5).to_line());

            let said = is_moved(store.flush());
            assert!(said.contains("renamed, replaced, removed or unmounted"), "{name}: {said}");
            is_moved(store.record(crash(6)));
            is_moved(store.append(crash(7)));
            is_moved(store.summary());
            is_moved(store.close());
            drop(store);

            assert_eq!(root.exists().then(|| tree(&root)), before, "{name}: another folder was changed");
            let kept = Store::open(&away).unwrap();
            kept.close().unwrap();
            let mut there = lines_at(&away);
            there.sort();
            acknowledged.sort();
            assert_eq!(there, acknowledged, "{name}, {durability:?}");
            assert!(scan(&away, ScanDepth::Deep).unwrap().is_clean(), "{name}");
        }
    }
}

#[test]
fn who_records_learns_within_a_second_that_the_store_is_gone() {
    for (name, mishap) in MISHAPS {
        let folder = scratch();
        let (root, away) = (folder.path().join("facts"), folder.path().join("away"));
        let store = writer(600).open(&root).unwrap();
        let mut acknowledged = Vec::new();
        for n in 0..5 {
            store.record(crash(n)).unwrap();
            acknowledged.push(crash(n).to_line());
        }
        mishap(&root, &away);
        let refused = (5..9).find_map(|n| match store.record(crash(n)) {
            Ok(_) => {
                acknowledged.push(crash(n).to_line());
                None
            }
            Err(error) => Some(error),
        });
        let refused = refused.unwrap_or_else(|| panic!("{name}: it went on"));
        assert_eq!(refused.kind(), ErrorKind::Moved);
        if cfg!(target_os = "linux") && name != "emptied and made anew" {
            assert!(refused.to_string().contains(&format!("it is now {}", away.display())), "{refused}");
        }
        drop(store);
        assert_eq!(lines_at(&away), acknowledged, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_is_pointed_elsewhere_is_another_place() {
    let folder = scratch();
    let (link, one, two) =
        (folder.path().join("facts"), folder.path().join("one"), folder.path().join("two"));
    other_store(&one);
    other_store(&two);
    std::os::unix::fs::symlink(&one, &link).unwrap();
    let store = Store::open(&link).unwrap();
    store.record(crash(0)).unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&two, &link).unwrap();
    let before = tree(&two);
    is_moved(store.flush());
    drop(store);
    assert_eq!(tree(&two), before);
    assert_eq!(lines_at(&one).len(), 2);
}

#[test]
fn readers_consumers_and_maintainers_touch_no_other_store_either() {
    let folder = scratch();
    let (root, away) = (folder.path().join("facts"), folder.path().join("away"));
    let store = Store::open(&root).unwrap();
    for n in 0..3 {
        store.record(crash(n)).unwrap();
        store.flush().unwrap();
    }
    store.consumer_group(Kind::Event, "g").unwrap().create(StartAt::Beginning).unwrap();
    store.close().unwrap();
    let reader = Store::builder().access(ostracon::Access::Read).open(&root).unwrap();
    let maintainer = Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap();
    fs::rename(&root, &away).unwrap();
    other_store(&root);
    let (before, kept) = (tree(&root), tree(&away));
    is_moved(reader.summary());
    is_moved(maintainer.compact(Default::default()));
    let group = maintainer.consumer_group(Kind::Event, "g").unwrap();
    is_moved(group.consume("c", 10).map(drop));
    is_moved(group.summary().map(drop));
    assert!(group.remove().is_err());
    is_moved(reader.list(Kind::Event, None, None).map(drop));
    is_moved(reader.after(&Cursor::start()).map(drop));
    drop((reader, maintainer));
    assert_eq!((tree(&root), tree(&away)), (before, kept));
}

/// A reader opens segments as it comes to them.
#[test]
fn a_store_that_goes_while_it_is_read_is_not_told_as_damage() {
    for (name, mishap) in MISHAPS {
        if name == "replaced by a copy of itself" {
            continue;
        }
        let folder = scratch();
        let (root, away) = (folder.path().join("facts"), folder.path().join("away"));
        let store = Store::open(&root).unwrap();
        for n in 0..3 {
            store.record(crash(n)).unwrap();
            store.flush().unwrap();
        }
        store.close().unwrap();
        let reader = Store::builder().access(ostracon::Access::Read).open(&root).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let question =
            runtime.block_on(reader.sql("SELECT count(*) FROM events WHERE payload LIKE '%sku%'")).unwrap();
        let mut facts = reader.after(&Cursor::start()).unwrap();
        mishap(&root, &away);
        let error = facts.find_map(Result::err).unwrap();
        is_moved(Err::<(), _>(error));
        let error = runtime.block_on(question.collect());
        is_moved(error.map(drop));
    }
}

#[test]
fn a_relative_path_is_bound_when_it_is_given() {
    let folder = scratch();
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let relative = up.join(folder.path().strip_prefix("/").unwrap()).join("facts");
    assert!(relative.is_relative());
    let store = Store::open(&relative).unwrap();
    assert!(store.path().is_absolute(), "{}", store.path().display());
    store.record(crash(0)).unwrap();
    store.close().unwrap();
    assert_eq!(lines_at(&folder.path().join("facts")).len(), 1);
}
