//! `import`, `record` and `demo`: facts on their way in.

use std::io::{BufRead, BufReader, Write};

use insta::assert_snapshot;

use super::super::command::{Folder, KNOWN, lines_of};

#[test]
fn import_sums_up_what_it_did() {
    let folder = Folder::new();
    let first = folder.run(&["import", "facts", KNOWN]).ok();
    assert_eq!(first.out, "");
    assert_snapshot!(first.talk(), @"imported 84 facts (65 events, 10 audits, 9 dead letters) in ⏱");
    assert_snapshot!(folder.run(&["import", "facts", KNOWN]).ok().talk(), @"imported 0 facts (0 events, 0 audits, 0 dead letters) in ⏱; the first 84 lines were imported before");
    assert_snapshot!(folder.run(&["import", "facts", KNOWN, "--again"]).ok().talk(), @"imported 84 facts (65 events, 10 audits, 9 dead letters) in ⏱");
}

#[test]
fn import_reads_standard_input() {
    let folder = Folder::new();
    let text = std::fs::read(KNOWN).unwrap();
    assert!(folder.run_with(&["import", "facts", "-"], &text).ok().err.starts_with("imported 84 facts ("));
    // Input from a pipe is recognised by its content, too.
    assert!(folder.run_with(&["import", "facts", "-"], &text).ok().err.starts_with("imported 0 facts ("));
}

#[test]
fn import_takes_the_instant_at_which_the_facts_clock_started() {
    let folder = Folder::new();
    folder.write(
        "f.ndjson",
        "{\"kind\": \"event\", \"system_id\": \"s\", \"actor_address\": \"s:1\", \"event_type\": \"E\", \"payload\": {}, \"timestamp\": 60.5}\n",
    );
    folder.run(&["import", "facts", "f.ndjson", "--epoch", "2026-11-23T08:00:00Z"]).ok();
    let said =
        folder.run(&["sql", "facts", "--format", "csv", "-c", "SELECT at, timestamp FROM events"]).ok();
    assert_eq!(said.out, "at,timestamp\n2026-11-23T08:01:00.500Z,1970-01-01T00:01:00.500Z\n");
    folder.run(&["import", "sample", super::super::command::SAMPLE, "--epoch", "2026-11-23T08:00:00Z"]).ok();
    let late = "SELECT count(*) AS n FROM events WHERE at > '2027-01-01'";
    let late = folder.run(&["sql", "sample", "--format", "csv", "-c", late]).ok().out;
    assert_eq!(late, "n\n0\n", "what has a date of its own keeps it");
    let tail = folder.run(&["tail", "facts"]).ok().out;
    assert!(tail.contains("\"timestamp\": 60.5"), "the fact keeps its own time: {tail}");
}

#[test]
fn import_takes_several_files_and_what_was_rotated_oldest_first() {
    let folder = Folder::new();
    let line = |n: u32| {
        format!(
            "{{\"kind\": \"event\", \"system_id\": \"s\", \"actor_address\": \"s:{n}\", \"event_type\": \"E\", \"payload\": {{}}, \"timestamp\": 1.0}}\n"
        )
    };
    for (name, n) in [("log", 4), ("log.1", 3), ("log.2", 2), ("log.10", 1), ("log.old", 9), ("more", 5)] {
        folder.write(name, line(n));
    }
    assert!(
        folder
            .run(&["import", "alone", "log"])
            .ok()
            .err
            .contains("log.10 is not imported: it is a rotated file of log; --rotated")
    );
    let said = folder.run(&["import", "facts", "--rotated", "log", "more"]).ok();
    assert_snapshot!(said.talk(), @r"
    log.old is not imported, because its name has no number of a rotated file; to import it, name it before the newer files
    log.10: imported 1 fact (1 event, 0 audits, 0 dead letters) in ⏱
    log.2: imported 1 fact (1 event, 0 audits, 0 dead letters) in ⏱
    log.1: imported 1 fact (1 event, 0 audits, 0 dead letters) in ⏱
    log: imported 1 fact (1 event, 0 audits, 0 dead letters) in ⏱
    more: imported 1 fact (1 event, 0 audits, 0 dead letters) in ⏱
    ");
    let sql = "SELECT string_agg(actor_address, ' ' ORDER BY recorded_at, stream, seq) AS told FROM events";
    let told = folder.run(&["sql", "facts", "--format", "tsv", "-c", sql]).ok().out;
    assert_eq!(told, "told\ns:1 s:2 s:3 s:4 s:5\n");
    assert!(
        folder.run(&["import", "facts", "--rotated", "log", "more"]).ok().err.contains("imported 0 facts")
    );
    assert!(folder.run(&["import", "others", "more", "none"]).failed().contains("cannot open none"));
    assert!(!folder.path("others").exists(), "nothing is imported if something cannot be");
    let refused = folder.run(&["import", "facts", "redis://localhost:1/0"]).failed();
    assert!(
        refused.starts_with("error: cannot read the streams of Redis at redis://localhost:1/0"),
        "{refused}"
    );
}

#[test]
fn import_names_what_it_cannot_open() {
    let folder = Folder::new();
    assert_snapshot!(folder.run(&["import", "facts", "none.ndjson"]).failed(), @"error: cannot open none.ndjson: No such file or directory (os error 2)");
    assert_snapshot!(folder.run(&["import", "facts", "."]).failed(), @"error: cannot import .: it is a folder; import its files one by one");
    assert!(folder.tree().is_empty(), "no store is made for nothing");
}

#[test]
fn rejects_never_go_into_the_file_that_is_read() {
    let folder = Folder::new();
    folder.write("f.ndjson", "nonsense\n");
    let error = folder.run(&["import", "facts", "f.ndjson", "--rejects", "./f.ndjson"]).failed();
    assert_snapshot!(error, @"error: cannot write refused lines to ./f.ndjson: it is the input itself; name another file with --rejects");
    std::fs::hard_link(folder.path("f.ndjson"), folder.path("linked")).unwrap();
    let error = folder.run(&["import", "facts", "f.ndjson", "--rejects", "linked"]).failed();
    assert!(error.contains("linked: it is the input itself"), "{error}");
    // Each refused line would become one more line of input: a limit keeps the disk from filling up.
    for args in [&["record", "facts"][..], &["import", "facts", "-"]] {
        let args = [args, &["--rejects", "linked"]].concat();
        let error = folder.run_limited("ulimit -f 1000; exec < f.ndjson", &args).failed();
        assert!(error.contains("linked: it is the input itself"), "{args:?}: {error}");
    }
    assert_eq!(folder.read("f.ndjson"), b"nonsense\n");
    assert!(!folder.path("facts").exists());
}

#[test]
fn record_answers_each_line_in_order() {
    let folder = Folder::new();
    let fact = lines_of(KNOWN)[0].clone();
    let input = format!("{fact}\nnonsense\n\n{fact}\r\n{{}}\n{fact}");
    let said = folder.run_with(&["record", "facts", "--ack"], input.as_bytes()).ok();
    assert_eq!(said.out, "1:1\n-\n1:2\n-\n1:3\n");
    assert_snapshot!(said.err, @r#"
        line 2: this line is not a fact: not a JSON object: expected a value at byte 1
        line 5: this line is not a fact: field "kind" is missing
        recorded 3 facts; 2 lines were refused
    "#);
    let without = folder.run_with(&["record", "facts"], input.as_bytes()).ok();
    assert_eq!(without.out, "");
}

#[test]
fn lines_that_are_all_refused_are_a_failure_and_some_only_if_strict() {
    let folder = Folder::new();
    let fact = lines_of(KNOWN)[0].clone();
    folder.write("none.ndjson", "nonsense\n\n{}\n");
    folder.write("some.ndjson", format!("{fact}\nnonsense\n"));
    for command in ["import", "record"] {
        let run = |file: &str, strict: &[&str]| {
            let from = if command == "import" { file } else { "facts" };
            let args: &[&str] =
                if command == "import" { &["import", "facts", from] } else { &["record", "facts"] };
            folder.run_with(&[args, strict].concat(), &folder.read(file))
        };
        let said = run("none.ndjson", &[]);
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.err.contains("error: all of 2 lines were refused"), "{said:#?}");
        let said = run("some.ndjson", &[]).ok();
        assert!(said.err.contains("1 line ") && said.err.contains("1 fact"), "{said:#?}");
        folder.write("some.ndjson", format!("{{\"x\": 1}}\n{fact}\n"));
        let said = run("some.ndjson", &["--strict"]);
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(said.err.contains("error: 1 of 2 lines was refused"), "{said:#?}");
    }
    // Nothing to do is no failure.
    folder.write("empty.ndjson", "\n");
    folder.run(&["import", "facts", "empty.ndjson"]).ok();
    folder.run(&["record", "facts"]).ok();
}

#[test]
fn the_demo_does_not_mix_its_facts_with_others() {
    let folder = Folder::with_known_facts();
    let before = folder.tree();
    let error = folder.run(&["demo", "facts"]).failed();
    assert_snapshot!(error, @"error: cannot make the demo in facts: it is already a store with other facts; name a new folder, for example: ostracon demo facts-demo");
    assert!(folder.tree() == before);
    // Nor where the ledger had to begin again, and no flush is in it any more.
    crate::support::lose_ledger(&folder.path("facts"));
    folder.run(&["recover", "facts", "--mode", "rebuild"]).ok();
    assert!(folder.run(&["demo", "facts"]).failed().contains("is already a store"));
}

#[test]
fn record_acknowledges_a_fact_when_it_is_safe_and_not_at_the_end() {
    for durability in ["buffered", "journaled", "synced"] {
        let folder = Folder::new();
        let mut child = folder.spawn(&["record", "facts", "--ack", "--durability", durability]);
        let (mut stdin, mut acks) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        for (at, fact) in lines_of(KNOWN).iter().take(5).enumerate() {
            writeln!(stdin, "{fact}").unwrap();
            let mut ack = String::new();
            acks.read_line(&mut ack).unwrap();
            assert_eq!(ack, format!("1:{}\n", at + 1));
            if durability != "buffered" {
                let seen = folder.run(&["tail", "facts"]).ok().out;
                assert_eq!(seen.lines().count(), at + 1, "others see what was acknowledged");
            }
        }
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn record_gives_back_the_very_lines() {
    let folder = Folder::new();
    let odd = r#"{"kind": "event", "system_id": "sé", "actor_address": "s://5", "event_type": "Odd", "payload": {"b": 1, "a": [NaN, -Infinity, 123456789012345678901234567890, "\ud800", 1.0, 1e+16]}, "timestamp": 175453.78744096754}"#;
    let mut lines = lines_of(KNOWN);
    lines.push(odd.to_owned());
    folder.run_with(&["record", "facts"], lines.join("\n").as_bytes()).ok();
    let tail = folder.run(&["tail", "facts"]).ok().out;
    for (told, line) in tail.lines().zip(&lines) {
        assert!(told.starts_with(line.strip_suffix('}').unwrap()), "{line}\n{told}");
    }
    assert_eq!(tail.lines().count(), lines.len());
}

/// Without the folder of the program.
fn as_called(text: &str) -> String {
    text.replace(env!("CARGO_BIN_EXE_ostracon"), "ostracon")
}

#[test]
fn the_demo_tells_its_story_once_and_again() {
    let folder = Folder::new();
    let first = folder.run(&["demo"]).ok();
    assert!(folder.path("ostracon-demo/ledger").is_dir());
    assert_snapshot!(as_called(&first.err), @r#"
        imported 1,760 facts into ostracon-demo

        Ask more at the prompt: ostracon ostracon-demo
        or on the command line: ostracon query ostracon-demo last_crashes
    "#);
    let titles: Vec<_> =
        first.out.lines().filter(|line| line.contains(": ")).filter(|l| !l.starts_with('|')).collect();
    assert_eq!(titles.len(), 5, "{}", first.out);
    let tables = first.out.lines().filter(|line| !titles.contains(line));
    assert!(tables.clone().all(|line| line.chars().count() <= 80), "it fits a terminal:\n{}", first.out);
    assert!(tables.count() < 60, "and is no flood:\n{}", first.out);
    let second = folder.run(&["demo"]).ok();
    assert_snapshot!(as_called(&second.err), @r#"
        ostracon-demo already has the facts of the demo

        Ask more at the prompt: ostracon ostracon-demo
        or on the command line: ostracon query ostracon-demo last_crashes
    "#);
    assert_eq!(first.out, second.out, "nothing was doubled");
}

#[test]
fn the_demo_does_not_go_into_a_folder_of_something_else() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("photos")).unwrap();
    folder.write("photos/cat.jpg", "a cat");
    assert_snapshot!(folder.run(&["demo", "photos"]).failed(), @"error: photos is not an Ostracon store: the folder has other files, such as cat.jpg");
    assert_eq!(folder.tree().len(), 2);
}
