//! Rules that are written while stores are open: every read goes by what `ostracon.toml` says now.

use std::fs;
use std::path::Path;

use ostracon::{CompactOptions, Kind, Store};

use super::super::command::Folder;
use super::{Hand, listed, store_of_segments};
use crate::support::number;

const NEWEST_TEN: &str = "[retention]\nmax_records = 10\n";

fn write(root: &Path, rules: &str) {
    fs::write(root.join("ostracon.toml"), rules).unwrap();
}

/// A store of 35 events, open for writing, and the same store open for reading.
fn open_twice() -> (tempfile::TempDir, Store, Store) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("facts");
    let hand = Hand::new();
    let writer = store_of_segments(&root, &hand, 3);
    let reader = hand.builder().access(ostracon::Access::Read).open(&root).unwrap();
    (folder, writer, reader)
}

fn counted(store: &Store) -> i64 {
    number(store, "SELECT count(*) FROM events")
}

#[test]
fn a_new_rule_counts_for_every_store_that_is_open() {
    let (_folder, writer, reader) = open_twice();
    assert_eq!((counted(&writer), counted(&reader)), (35, 35));
    write(writer.path(), NEWEST_TEN);
    for store in [&writer, &reader] {
        assert_eq!((counted(store), listed(store).len()), (10, 10));
        let summary = store.summary().unwrap();
        assert_eq!((summary.facts(), summary.hidden()), (35, Some(25)));
        assert_eq!(store.retention_rules().len(), 1);
        let explained = store.explain_retention(None, None).unwrap();
        assert_eq!(explained.totals(), (10, 25));
    }
    // The next one takes its place at once, although it is as long.
    write(writer.path(), "[retention]\nmax_records = 20\n");
    assert_eq!((counted(&writer), counted(&reader)), (20, 20));
    fs::remove_file(writer.path().join("ostracon.toml")).unwrap();
    assert_eq!((counted(&writer), counted(&reader)), (35, 35));
}

#[test]
fn a_compaction_drops_by_the_rules_of_now() {
    let (_folder, writer, reader) = open_twice();
    writer.flush().unwrap();
    write(writer.path(), NEWEST_TEN);
    writer.compact(CompactOptions::new()).unwrap();
    write(writer.path(), "");
    assert_eq!((counted(&writer), counted(&reader)), (10, 10));
}

#[test]
fn rules_that_are_not_understood_change_nothing_and_nothing_is_dropped_by_them() {
    let (_folder, writer, reader) = open_twice();
    writer.flush().unwrap();
    write(writer.path(), NEWEST_TEN);
    assert_eq!((counted(&writer), counted(&reader)), (10, 10));
    for wrong in [
        "[retention]\nmax_record = 5\n",
        "[retention",
        "[[retention.rule]]\nname = \"x\"\nwhere = \"nonsense(\"\n",
    ] {
        write(writer.path(), wrong);
        for store in [&writer, &reader] {
            assert_eq!(counted(store), 10, "{wrong}");
            let problem = store.retention_problem().unwrap().to_string();
            assert!(problem.contains("ostracon.toml"), "{problem}");
            assert!(problem.contains("stay in force"), "{problem}");
        }
        let error = writer.compact(CompactOptions::new()).unwrap_err().to_string();
        assert!(error.contains("no fact is dropped"), "{error}");
        assert!(reader.explain_retention(Some(Kind::Event), None).is_err());
    }
    write(writer.path(), "[retention]\nmax_records = 11\n");
    assert!(writer.retention_problem().is_none());
    assert_eq!((counted(&writer), counted(&reader)), (11, 11));
}

/// The rules are asked again when the compaction commits.
#[test]
fn a_rule_that_is_relaxed_during_a_compaction_counts() {
    let (_folder, writer, reader) = open_twice();
    writer.flush().unwrap();
    let all = counted(&reader);
    write(writer.path(), NEWEST_TEN);
    let root = writer.path().to_path_buf();
    let options = CompactOptions::new().on_progress(|_| write(&root, ""));
    let report = writer.compact(options).unwrap();
    assert!(report.dropped.is_empty(), "{report:#?}");
    assert_eq!((counted(&writer), counted(&reader)), (all, all));
}

#[test]
fn a_policy_given_in_code_stays() {
    let (_folder, writer, _reader) = open_twice();
    let limits = ostracon::RetentionLimits::new().max_records(7);
    let policy = ostracon::RetentionPolicy::new().store(limits);
    let own = Hand::new().read(writer.path(), policy);
    assert_eq!(counted(&own), 7);
    write(writer.path(), NEWEST_TEN);
    assert_eq!((counted(&own), counted(&writer)), (7, 10));
}

#[test]
fn a_prompt_tells_what_rules_hide() {
    let folder = Folder::with_known_facts();
    folder.write("facts/ostracon.toml", NEWEST_TEN);
    let said = folder.run_with(&["facts"], b"\\stats\nSELECT count(*) AS n FROM events;\n").ok();
    assert!(said.out.contains("         hidden"), "{}", said.out);
    let explained = folder.run(&["retention", "explain", "facts"]).ok().out;
    assert!(explained.ends_with("10 kept, 74 hidden: the next compaction drops them\n"), "{explained}");
    folder.run(&["compact", "facts"]).ok();
    let explained = folder.run(&["retention", "explain", "facts"]).ok().out;
    assert!(explained.ends_with("10 kept, 0 hidden\n"), "{explained}");
}
