//! `ostracon retention` and `ostracon hold`.

use std::fs;

use insta::assert_snapshot;

use super::super::command::{Folder, SAMPLE};

/// The output, without the times of recording.
fn timeless(text: &str) -> String {
    let line = |line: &str| match line.split_once(" recorded ") {
        Some((before, after)) => {
            let after = after.split_once(' ').map_or("", |(_, after)| after);
            format!("{before} recorded ⏱ {after}\n")
        }
        None if line.trim_start().starts_with("since") => "  since   ⏱\n".to_owned(),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn with_rules(rules: &str) -> Folder {
    let folder = Folder::with_known_facts();
    fs::write(folder.path("facts/ostracon.toml"), rules).unwrap();
    folder
}

const RULES: &str = r#"
[retention]
max_records = 10
keep_at_least = 5

[retention.audits]
max_age = "30d"
age_by = "recorded_at"

[[retention.rule]]
name = "crashes"
kind = "events"
where = "event_type = 'ActorCrashed'"
max_bytes = 1_000
"#;

#[test]
fn show_tells_the_rules_and_where_each_is_written() {
    let folder = with_rules(RULES);
    let said = folder.run(&["retention", "show", "facts"]).ok();
    assert_snapshot!(said.out);
    let json = folder.run(&["retention", "show", "facts", "--json"]).ok();
    assert_snapshot!(json.out);
    let none = Folder::with_known_facts().run(&["retention", "show", "facts"]).ok();
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "there are no rules: everything is kept\n"));
}

#[test]
fn explain_counts_what_becomes_of_facts_and_gives_examples() {
    let folder = with_rules(RULES);
    let said = folder.run(&["retention", "explain", "facts"]).ok();
    assert_snapshot!(timeless(&said.out));
    let some = ["retention", "explain", "facts", "--kind", "events", "--where", "actor_address = 'shop:1'"];
    assert_snapshot!(timeless(&folder.run(&some).ok().out));
    let json = folder.run(&["retention", "explain", "facts", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["kept"].as_u64().unwrap() + json["hidden"].as_u64().unwrap(), 84);
    // `explain` counts the facts that queries return.
    let count = "SELECT count(*) FROM (SELECT seq FROM events UNION ALL SELECT seq FROM audits
        UNION ALL SELECT seq FROM dead_letters)";
    let counted = folder.run(&["sql", "facts", "--format", "csv", "-c", count]).ok();
    assert_eq!(counted.out.lines().last().unwrap(), json["kept"].to_string());
}

/// Papyra's default clock counts from the machine's start.
#[test]
fn by_their_own_timestamps_facts_of_papyras_default_clock_are_too_old() {
    let folder = Folder::new();
    folder.run(&["import", "facts", SAMPLE]).ok();
    let dropped = |rules: &str| {
        fs::write(folder.path("facts/ostracon.toml"), rules).unwrap();
        let said = folder.run(&["retention", "explain", "facts", "--json"]).ok();
        let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        (json["kept"].as_u64().unwrap(), json["hidden"].as_u64().unwrap())
    };
    // Half of the facts are of a system that used the wall clock.
    let (all, none) = dropped("");
    assert_eq!((all, none), (1760, 0));
    assert_eq!(dropped("[retention]\nmax_age = '7y'\n"), (880, 880));
    assert_eq!(dropped("[retention]\nmax_age = '7y'\nage_by = 'recorded_at'\n"), (all, 0));
    let fresh = Folder::with_known_facts();
    let template = fs::read_to_string(fresh.path("facts/ostracon.toml")).unwrap();
    assert!(template.contains("With that clock, use \"recorded_at\""), "the template says it");
}

#[test]
fn a_hold_is_added_listed_and_released() {
    let folder = with_rules("[retention]\nmax_records = 0\n");
    let add = [
        "hold",
        "add",
        "facts",
        "case-4711",
        "--kind",
        "events",
        "--where",
        "seq < 4",
        "--reason",
        "claim",
        "--by",
        "legal",
    ];
    let said = folder.run(&add).ok();
    assert_eq!(
        (said.out.as_str(), said.err.as_str()),
        ("", "hold \"case-4711\" is in force; it now covers 3 facts\n")
    );
    assert_snapshot!(timeless(&folder.run(&["hold", "list", "facts"]).ok().out), @r"
    case-4711
      covers  events where seq < 4
      reason  claim
      by      legal
      since   ⏱
    ");
    let json = folder.run(&["hold", "list", "facts", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["where"]), (&"case-4711".into(), &"seq < 4".into()));
    let count = ["sql", "facts", "--format", "csv", "-c", "SELECT count(*) > 0 AS held FROM events"];
    assert_eq!(folder.run(&count).ok().out, "held\ntrue\n");
    assert!(folder.run(&add).failed().contains("already"));
    let streams = fs::read_dir(folder.path("facts/journal")).unwrap().count();
    let release = ["hold", "release", "facts", "case-4711", "--by", "judge", "--reason", "settled"];
    assert_eq!(folder.run(&release).ok().err, "hold \"case-4711\" is released\n");
    assert_eq!(fs::read_dir(folder.path("facts/journal")).unwrap().count(), streams);
    assert_eq!(folder.run(&count).ok().out, "held\nfalse\n");
    assert_eq!(folder.run(&["hold", "list", "facts"]).ok().err, "there are no holds\n");
    assert!(folder.run(&release).failed().contains("in force: none"));
}

#[test]
fn misuse_is_told_and_changes_nothing() {
    let folder = Folder::with_known_facts();
    let before = folder.tree();
    for (args, why) in [
        (&["hold", "add", "facts", "x"][..], "--reason <TEXT>"),
        (&["hold", "add", "facts", "x", "--reason", ""], "reason"),
        (&["hold", "add", "facts", "x", "--reason", "r", "--where", "error = 'x'"], "give it one"),
        (&["hold", "add", "nowhere", "x", "--reason", "r"], "not an Ostracon store"),
        (&["hold", "release", "facts", "x"], "it does not exist"),
        (&["retention", "explain", "facts", "--where", "nonsense"], "nonsense"),
        (&["retention", "explain", "facts", "--kind", "event"], "possible values"),
        (&["retention", "facts"], "Usage"),
        (&["retention", "show", "nowhere"], "not an Ostracon store"),
    ] {
        let said = folder.run(args);
        assert_eq!(said.code, Some(1), "{args:?}: {said:?}");
        assert!(said.err.contains(why), "{args:?}: {}", said.err);
    }
    assert_eq!(folder.tree(), before);
}

#[test]
fn a_hold_says_how_much_it_covers_and_the_ledger_whose_it_is() {
    let folder = with_rules(RULES);
    let add = [
        "hold",
        "add",
        "facts",
        "case",
        "--kind",
        "events",
        "--where",
        "actor_address = 'shop:1'",
        "--reason",
        "claim 4711",
    ];
    let mut command = folder.command(&add);
    for name in ["USER", "LOGNAME", "USERNAME"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let count = "SELECT count(*) AS n FROM events WHERE actor_address = 'shop:1'";
    let count = folder.run(&["sql", "facts", "--format", "csv", "-c", count]).ok().out;
    let count = count.lines().nth(1).unwrap();
    assert_eq!(said, format!("hold \"case\" is in force; it now covers {count} facts\n"));
    let list = folder.run(&["hold", "list", "facts"]).ok().out;
    assert!(!list.contains("unknown") && list.contains("  by      "), "{list}");
    folder.run(&["hold", "release", "facts", "case", "--by", "legal", "--reason", "settled"]).ok();
    folder.run(&["compact", "facts"]).ok();
    let told = "SELECT action, hold, who IS NOT NULL AS who, why, rows_dropped, dropped_by_rule \
                FROM store.commits WHERE number > 1 ORDER BY number";
    let told = folder.run(&["sql", "facts", "--format", "csv", "-c", told]).ok();
    assert_snapshot!(told.out);
    let rule = "SELECT sum(rows_dropped) = sum((dropped_by_rule->>'store.max_records')::bigint \
                + (dropped_by_rule->>'crashes.max_bytes')::bigint) AS same FROM store.commits";
    assert_eq!(folder.run(&["sql", "facts", "--format", "csv", "-c", rule]).ok().out, "same\ntrue\n");
}
