//! Saved queries, asked about facts whose answers were worked out without SQL.
//!
//! `tests/data/queries/README.md` tells the story that the facts tell, and the form of the answers.

use std::collections::BTreeSet;
use std::fs;

use ostracon::{Fact, QueryOptions, SavedQuery, Store};

use super::command::{Folder, KNOWN, SAMPLE, lines_of};

const ANSWERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/queries");

/// Query, parameter that is set (if one is), and answer, of every file there.
fn known_answers() -> Vec<(String, Option<String>, String)> {
    let mut known = Vec::new();
    for entry in fs::read_dir(ANSWERS).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "csv") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let (name, set) =
                name.split_once("--").map_or((name, None), |(name, set)| (name, Some(set.to_owned())));
            known.push((name.to_owned(), set, fs::read_to_string(&path).unwrap()));
        }
    }
    known.sort();
    known
}

/// Asks every query with a known answer about the store `facts` in this folder.
#[track_caller]
fn all_answer_as_known(folder: &Folder) {
    let mut wrong = Vec::new();
    for (name, set, answer) in known_answers() {
        let mut args = vec!["query", "facts", &name, "--format", "csv"];
        if let Some(set) = &set {
            args.extend(["--set", set]);
        }
        let said = folder.run(&args).ok();
        if said.out != answer {
            wrong.push(format!("{name} {set:?}\nknown:\n{answer}\nanswered:\n{}", said.out));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imported_facts_give_the_known_answers() {
    all_answer_as_known(&Folder::with_known_facts());
}

#[test]
fn facts_that_are_only_journaled_give_the_known_answers() {
    let folder = Folder::new();
    let store = Store::open(folder.path("facts")).unwrap();
    for line in lines_of(KNOWN) {
        store.record(Fact::from_line(&line).unwrap()).unwrap();
    }
    assert_eq!(store.summary().unwrap().unflushed, 84);
    all_answer_as_known(&folder);
}

#[test]
fn facts_of_several_segments_and_a_tail_give_the_known_answers() {
    let folder = Folder::new();
    let store = Store::open(folder.path("facts")).unwrap();
    for (at, line) in lines_of(KNOWN).iter().enumerate() {
        store.record(Fact::from_line(line).unwrap()).unwrap();
        if at % 17 == 16 {
            store.flush().unwrap();
        }
    }
    assert_eq!(store.summary().unwrap().unflushed, 84 % 17);
    all_answer_as_known(&folder);
}

#[test]
fn every_saved_query_has_a_known_answer() {
    let known: BTreeSet<String> = known_answers().into_iter().map(|(name, ..)| name).collect();
    let without: Vec<_> =
        SavedQuery::all().into_iter().map(|q| q.name).filter(|name| !known.contains(*name)).collect();
    assert_eq!(without, ["ingest_lag"], "its answer depends on when the facts were imported");
    assert_eq!(SavedQuery::all().len(), 20);
}

#[test]
fn ingest_lag_counts_every_fact_once_for_its_system() {
    let folder = Folder::with_known_facts();
    let said = folder.run(&["query", "facts", "ingest_lag", "--format", "json"]).ok();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&said.out).unwrap();
    let facts = |system: &str| -> i64 {
        rows.iter().filter(|row| row["system_id"] == system).map(|row| row["facts"].as_i64().unwrap()).sum()
    };
    assert_eq!((facts("billing-eu"), facts("shop")), (31, 53), "{}", said.out);
    assert!((2..=4).contains(&rows.len()), "{}", said.out);
}

/// Asks all of them, and returns how many rows each gave.
fn ask_all(store: &Store) -> Vec<(&'static str, usize)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = async |query: SavedQuery| {
        let frame = store.saved_query(query.name, &[], QueryOptions::new()).await;
        let batches = frame.unwrap_or_else(|error| panic!("{}: {error}", query.name)).collect().await;
        let batches = batches.unwrap_or_else(|error| panic!("{}: {error}", query.name));
        (query.name, batches.iter().map(|batch| batch.num_rows()).sum())
    };
    SavedQuery::all().into_iter().map(|query| runtime.block_on(ask(query))).collect()
}

#[test]
fn every_saved_query_can_be_asked_of_an_empty_store() {
    let folder = Folder::new();
    let store = Store::open(folder.path("facts")).unwrap();
    let rows = ask_all(&store);
    assert_eq!(rows.len(), 20);
    assert_eq!(rows.iter().filter(|(_, rows)| *rows > 0).collect::<Vec<_>>(), Vec::<&(&str, usize)>::new());
}

#[test]
fn every_saved_query_can_be_asked_of_facts_whose_clock_is_no_wall_clock() {
    let folder = Folder::new();
    folder.run(&["import", "facts", SAMPLE]).ok();
    let store = Store::builder().access(ostracon::Access::Read).open(folder.path("facts")).unwrap();
    let silent: Vec<_> =
        ask_all(&store).into_iter().filter(|(_, rows)| *rows == 0).map(|(name, _)| name).collect();
    // All facts of the sample have one wall time, that of the import, so nothing came after anything.
    for name in ["crash_summary", "error_groups", "top_crashers", "system_overview", "dead_letter_hotspots"] {
        assert!(!silent.contains(&name), "{name} has nothing to say; nor have {silent:?}");
    }
}
