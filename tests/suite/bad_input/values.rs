//! Values that no column holds: the fact is kept, its exact value is in `extra`, and a warning says so.

use super::super::command::Folder;
use super::super::support::{lines, number};
use ostracon::{Fact, Import, Store};

const AUDIT: &str = r#"{"kind": "audit", "system_id": "s", "timestamp": 1.0, "total_actors": 3, "alive_actors": 1, "stopping_actors": 0, "restarting_actors": 0, "registry_size": 4, "registry_orphans": [], "registry_dead": ["x"], "dead_letters_count": 0}"#;
const EVENT: &str = r#"{"kind": "event", "system_id": "shop", "actor_address": "shop:1", "event_type": "ActorStarted", "payload": {}, "timestamp": 0.5}"#;

/// Facts, each with one value that does not fit its column.
fn odd_lines() -> Vec<String> {
    [
        (AUDIT, "\"total_actors\": 3", "\"total_actors\": 36893488147419103232"),
        (AUDIT, "\"total_actors\": 3", "\"total_actors\": -9223372036854775809"),
        (AUDIT, "\"total_actors\": 3", "\"total_actors\": 3.5"),
        (AUDIT, "\"total_actors\": 3", "\"total_actors\": \"3\""),
        (AUDIT, "\"registry_dead\": [\"x\"]", "\"registry_dead\": null"),
        (EVENT, "0.5", "\"0.5\""),
        (EVENT, "0.5", "null"),
        (EVENT, "0.5", "1e999"),
        (EVENT, "\"shop:1\"", "null"),
        (EVENT, "\"ActorStarted\"", "{\"type\": 1}"),
    ]
    .map(|(line, from, to)| {
        assert!(line.contains(from));
        line.replace(from, to)
    })
    .to_vec()
}

#[test]
fn inspect_shows_counters_as_they_were_given() {
    let folder = Folder::new();
    let huge = AUDIT.replace("\"total_actors\": 3", "\"total_actors\": 1180591620717411303424");
    let huge = huge.replace("\"dead_letters_count\": 0", "\"dead_letters_count\": 2.5");
    folder.run_with(&["record", "facts"], huge.as_bytes()).ok();
    let said = folder.run(&["inspect", "facts", "audits"]).ok().out;
    assert_eq!(
        said,
        "[1.000] total=1180591620717411303424 alive=1 stopping=0 restarting=0 dead_letters=2.5\n"
    );
    let said = folder.run(&["inspect", "facts", "summary"]).ok().out;
    assert!(said.starts_with("Actors: total=1180591620717411303424 alive=1 "), "{said}");
}

#[test]
fn every_way_in_keeps_the_fact_and_its_exact_value() {
    let odd = odd_lines();
    let folder = Folder::new();
    for way in ["record", "append", "import"] {
        let store = Store::open(folder.path(way)).unwrap();
        match way {
            "import" => {
                let report = store.import(odd.join("\n").as_bytes(), Import::named("f")).unwrap();
                assert_eq!((report.total(), report.rejected, report.inexact), (10, 0, 10));
            }
            "append" => {
                for line in &odd {
                    store.append(Fact::from_line(line).unwrap()).unwrap();
                }
            }
            _ => {
                store.record_all(odd.iter().map(|line| Fact::from_line(line).unwrap())).unwrap();
            }
        }
        assert_eq!(store.metrics().inexact, 10, "{way}");
        for _ in ["in the buffer", "in segments"] {
            assert_eq!(lines(&store), odd, "{way}");
            assert_eq!(number(&store, "SELECT max(total_actors) FROM audits"), i64::MAX);
            assert_eq!(number(&store, "SELECT min(total_actors) FROM audits"), i64::MIN);
            assert_eq!(number(&store, "SELECT count(*) FROM audits WHERE total_actors = 3"), 3);
            let exact = "SELECT count(*) FROM audits WHERE extra->>'total_actors' = '36893488147419103232'";
            assert_eq!(number(&store, exact), 1);
            assert_eq!(
                number(&store, "SELECT count(*) FROM events WHERE timestamp IS NULL AND at IS NOT NULL"),
                2
            );
            store.flush().unwrap();
        }
        store.close().unwrap();
    }
}

#[test]
fn the_command_line_says_that_a_value_fits_no_column() {
    let folder = Folder::new();
    let text = odd_lines().join("\n") + "\n";
    let said = folder.run_with(&["record", "facts"], text.as_bytes()).ok();
    assert!(said.err.contains("no column holds the exact value of a fact"), "{}", said.err);
    assert!(said.err.ends_with("recorded 10 facts\n"), "{}", said.err);
    folder.write("f.ndjson", &text);
    let said = folder.run(&["import", "facts", "f.ndjson"]).ok();
    assert!(
        said.err.contains("no column holds a value of some facts") && said.err.contains("facts=10"),
        "{}",
        said.err
    );
}

#[test]
fn what_another_kind_calls_a_column_is_an_unknown_field() {
    let line = EVENT.replace("0.5}", "0.5, \"target\": \"shop:2\", \"total_actors\": 7}");
    let folder = Folder::new();
    let store = Store::open(folder.path("facts")).unwrap();
    let fact = Fact::from_line(&line).unwrap();
    assert!(fact.inexact_fields().is_empty());
    store.record(fact).unwrap();
    assert_eq!(lines(&store), [line]);
}
