//! A rule or a hold whose condition fails on a fact: the fact is kept, counted and named, and everything
//! else goes on.

use std::fs;

use ostracon::{Hold, Kind, RetentionLimits, RetentionPolicy, RetentionRule, Store};

use super::super::command::Folder;
use super::{Hand, support};

const RULES: &str = r#"
[retention.events]
max_records = 0

[[retention.rule]]
name = "tries"
kind = "events"
where = "CAST(payload->>'attempt' AS BIGINT) > 5"
max_records = 0
"#;

/// Facts with an attempt each, in one segment.
fn folder(rules: &str) -> Folder {
    let folder = Folder::new();
    let lines: String = ["1", "9", "\"n/a\"", "7", "2"]
        .iter()
        .map(|attempt| {
            format!(
                r#"{{"kind":"event","system_id":"shop","actor_address":"shop:1","event_type":"A","payload":{{"attempt":{attempt}}},"timestamp":1795404290.4}}"#
            ) + "\n"
        })
        .collect();
    folder.write("facts.ndjson", lines);
    folder.run(&["import", "facts", "facts.ndjson"]).ok();
    fs::write(folder.path("facts/ostracon.toml"), rules).unwrap();
    folder
}

/// Who opens a pipe waits for ever.
#[cfg(unix)]
fn is_not_asked_of_a_damaged_store(folder: &Folder) {
    let pipe = folder.path("facts/journal/1/00000009-00000000.journal");
    fs::create_dir_all(pipe.parent().unwrap()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for command in [vec!["scan", "facts", "--deep"], vec!["doctor", "facts"], vec!["startup-check", "facts"]]
    {
        let said = folder.run(&command);
        assert_ne!(said.code, Some(0), "{said:?}");
    }
    fs::remove_file(pipe).unwrap();
}

#[test]
fn everything_goes_on_and_the_fact_is_named() {
    let folder = folder(RULES);
    let asked = ["sql", "facts", "--format", "csv", "-c", "SELECT payload->>'attempt' AS a FROM events"];
    assert_eq!(folder.run(&asked).ok().out, "a\nn/a\n");
    for command in [vec!["tail", "facts"], vec!["inspect", "facts", "events"], vec!["scan", "facts"]] {
        let said = folder.run(&command);
        assert_eq!(said.code, Some(0), "{command:?}: {}", said.err);
    }
    let show = folder.run(&["retention", "show", "facts"]).ok();
    assert!(
        show.out.contains("the retention rule \"tries\" fails on 1 fact of events, which is kept"),
        "{}",
        show.out
    );
    assert!(show.out.contains("n/a"), "{}", show.out);
    let json = folder.run(&["retention", "show", "facts", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json[0]["undecided_facts"], 1, "{json}");
    let explained = folder.run(&["retention", "explain", "facts"]).ok();
    assert!(explained.out.contains("undecided"), "{}", explained.out);
    let scanned = folder.run(&["scan", "facts", "--deep"]).ok();
    let notes = &scanned.out[scanned.out.find("worth knowing").unwrap()..];
    assert!(notes.contains("the retention rule \"tries\" fails on 1 fact"), "{notes}");
    for command in ["startup-check", "doctor"] {
        let said = folder.run(&[command, "facts"]).ok();
        assert!(said.err.contains("the retention rule \"tries\" fails on 1 fact"), "{command}: {}", said.err);
    }
    #[cfg(unix)]
    is_not_asked_of_a_damaged_store(&folder);
    folder.run(&["compact", "facts", "--insist"]).ok();
    assert_eq!(folder.run(&asked).ok().out, "a\nn/a\n", "and it is there after compaction");
}

/// A pattern that is none: nothing is dropped by it, and nobody is kept from recording.
#[test]
fn a_rule_that_fails_on_every_fact_keeps_them_and_is_named() {
    let rules = RULES.replace("CAST(payload->>'attempt' AS BIGINT) > 5", "event_type ~ '(A'");
    let folder = folder(&rules);
    let store = Store::open(folder.path("facts")).unwrap();
    store.record(support::any_fact(0)).unwrap();
    store.close().unwrap();
    let show = folder.run(&["retention", "show", "facts"]).ok();
    assert!(show.out.contains("\"tries\" fails on 6 facts of events, which are kept"), "{}", show.out);
    folder.run(&["compact", "facts"]).ok();
    let count =
        folder.run(&["sql", "facts", "--format", "csv", "-c", "SELECT count(*) AS n FROM events"]).ok();
    assert_eq!(count.out, "n\n6\n");
    // Who asks for it now is told.
    let hold =
        ["hold", "add", "facts", "case", "--kind", "events", "--reason", "x", "--where", "event_type ~ '(A'"];
    let refused = folder.run(&hold);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.err.contains("cannot add the hold") && refused.err.contains("unclosed group"),
        "{}",
        refused.err
    );
}

#[test]
fn a_hold_covers_a_fact_of_which_it_cannot_be_asked_and_says_so() {
    let folder = folder("[retention]\nmax_records = 0\n");
    let add = [
        "hold",
        "add",
        "facts",
        "case",
        "--kind",
        "events",
        "--where",
        "CAST(payload->>'attempt' AS BIGINT) = 7",
        "--reason",
        "claim",
        "--by",
        "legal",
    ];
    let said = folder.run(&add).ok();
    assert!(said.err.contains("it now covers 2 facts"), "{}", said.err);
    let asked =
        ["sql", "facts", "--format", "csv", "-c", "SELECT payload->>'attempt' AS a FROM events ORDER BY seq"];
    assert_eq!(folder.run(&asked).ok().out, "a\nn/a\n7\n");
    let show = folder.run(&["retention", "show", "facts"]).ok();
    assert!(show.out.contains("the hold \"case\" fails on 1 fact of events, which is kept"), "{}", show.out);
}

#[test]
fn a_fact_in_doubt_is_kept_in_segments_and_in_the_tail_whatever_other_rules_say() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let writer = hand.builder().open(&root).unwrap();
    let record = |writer: &Store, attempt: &str| {
        let payload = ostracon::Json::parse(format!(r#"{{"attempt": {attempt}}}"#)).unwrap();
        writer.record(ostracon::Event::new("shop", "shop:1", "A", payload, hand.seconds())).unwrap();
    };
    for attempt in ["1", "\"n/a\"", "9"] {
        record(&writer, attempt);
    }
    writer.flush().unwrap();
    for attempt in ["\"?\"", "3", "8"] {
        record(&writer, attempt);
    }
    let none = RetentionLimits::new().max_records(0);
    let all = RetentionLimits::new();
    for (policy, kept) in [
        // Those of the rule are kept, all others go, and doubts stay.
        (RetentionPolicy::new().store(none.clone()).rule(rule(all.clone())), "9,n/a,8,?"),
        (RetentionPolicy::new().store(all).rule(rule(none.clone())), "1,n/a,?,3"),
        (RetentionPolicy::new().store(none.clone()).rule(rule(none)), "n/a,?"),
    ] {
        let store = hand.read(&root, policy);
        let asked = "SELECT payload->>'attempt' AS a FROM events";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut found: Vec<String> = runtime.block_on(async {
            let batches = store.sql(asked).await.unwrap().collect().await.unwrap();
            let texts = batches.iter().flat_map(|batch| {
                let column = batch.column(0);
                (0..batch.num_rows())
                    .map(|row| arrow::util::display::array_value_to_string(column, row).unwrap())
                    .collect::<Vec<_>>()
            });
            texts.collect()
        });
        let mut kept: Vec<_> = kept.split(',').map(str::to_owned).collect();
        found.sort();
        kept.sort();
        assert_eq!(found, kept);
        let doubts = store.retention_doubts().unwrap();
        assert_eq!(doubts.iter().map(|doubt| doubt.facts).sum::<u64>(), 2);
    }
    writer.hold("all", Hold::new("x").kind(Kind::Event)).unwrap();
}

fn rule(limits: RetentionLimits) -> RetentionRule {
    RetentionRule::new("tries", limits).kind(Kind::Event).predicate("CAST(payload->>'attempt' AS BIGINT) > 5")
}
