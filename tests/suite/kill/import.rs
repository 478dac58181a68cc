//! An import that is killed, and the one that completes it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use ostracon::disk::{Disk, FaultPlan, Op};
use ostracon::{Import, Store};

use super::check::{
    Scene, assert_conserved, assert_gapless, assert_no_journal_files, numbered, read_all, reader,
};
use super::writer::{run_child, told};
use crate::support::ostracon;

/// The import dies before it links its n-th file: a part is linked as three segments, and then its
/// commit.
const BEFORE_LINK: [u64; 5] = [1, 4, 5, 8, 12];
/// The import dies before its n-th sync of a folder: after a link, that is.
const BEFORE_SYNC_DIR: [u64; 3] = [5, 9, 13];
/// Kills in all scenarios here.
pub(super) const KILLS: u64 = (BEFORE_LINK.len() + BEFORE_SYNC_DIR.len()) as u64;

/// The file has so many blocks of a MiB: three parts of an import, which are 64 MiB each.
const BLOCKS: u64 = 150;
/// Facts in each block. The rest is blank, for it is not the parsing that is tried here.
const FACTS_PER_BLOCK: u64 = 4;
const FACTS: u64 = BLOCKS * FACTS_PER_BLOCK;

#[test]
fn an_import_killed_around_its_commits_is_completed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("papyra.ndjson");
    write_file(&file);
    let mut prefixes = BTreeSet::new();
    let mut kills = 0;
    for (op, n) in
        BEFORE_LINK.map(|n| ("link", n)).into_iter().chain(BEFORE_SYNC_DIR.map(|n| ("sync_dir", n)))
    {
        let mut scene = Scene::new(0);
        scene.round = n;
        drop(Store::open(&scene.store).unwrap());
        let variables = [
            ("OSTRACON_KILL_STORE", scene.store.display().to_string()),
            ("OSTRACON_KILL_FILE", file.display().to_string()),
            ("OSTRACON_KILL_OP", op.to_owned()),
            ("OSTRACON_KILL_AT", n.to_string()),
        ];
        let ended = run_child("import", &variables);
        assert!(ended.killed, "there is no {n}. {op}");
        kills += 1;

        let left = assert_prefix(&reader(&scene.store).unwrap());
        prefixes.insert(left);

        let again = ostracon().arg("import").arg(&scene.store).arg(&file).output().unwrap();
        let told = String::from_utf8(again.stderr).unwrap();
        assert!(again.status.success(), "{told}");
        assert!(told.contains(&format!("imported {} facts", FACTS - left)), "{left} were there: {told}");
        assert_eq!(assert_prefix(&reader(&scene.store).unwrap()), FACTS);
        assert_no_journal_files(&scene.store);
    }
    assert_eq!(kills, KILLS);
    assert!(prefixes.contains(&0) && prefixes.len() >= 3, "the kills left only {prefixes:?} facts");
}

/// Fails unless the store has the first facts of the file, and nothing else. Returns how many.
fn assert_prefix(store: &Store) -> u64 {
    let found = read_all(store);
    assert_gapless(&found);
    let numbers: Vec<_> = found.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, (0..found.len() as u64).collect::<Vec<_>>());
    assert_conserved(store, found.len());
    found.len() as u64
}

fn write_file(path: &Path) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let blank = vec![b' '; 1 << 20];
    for number in 0..FACTS {
        writeln!(file, "{}", numbered(number).to_line()).unwrap();
        if number % FACTS_PER_BLOCK == FACTS_PER_BLOCK - 1 {
            file.write_all(&blank).unwrap();
            writeln!(file).unwrap();
        }
    }
    file.flush().unwrap();
}

/// The process that dies while it imports.
pub(super) fn child() {
    let op = match told("OSTRACON_KILL_OP").as_str() {
        "link" => Op::Link,
        _ => Op::SyncDir,
    };
    let plan = FaultPlan::new().only(op).abort_at(told("OSTRACON_KILL_AT").parse().unwrap());
    let store = Store::builder().disk(Disk::with_plan(plan)).open(told("OSTRACON_KILL_STORE")).unwrap();
    let file = File::open(told("OSTRACON_KILL_FILE")).unwrap();
    store.import(file, Import::named("papyra.ndjson")).unwrap();
}
