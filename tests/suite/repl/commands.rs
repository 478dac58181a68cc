//! Every command, on known facts.

use insta::assert_snapshot;

use super::super::command::{Folder, Said};

fn script(folder: &Folder, text: &str) -> Said {
    folder.run_with(&["repl", "facts"], text.as_bytes())
}

fn said(text: &str) -> String {
    let said = script(&Folder::with_known_facts(), text).ok();
    assert_eq!(said.err, "");
    said.out
}

#[test]
fn help_lists_every_command() {
    assert_snapshot!("help", said("\\?"));
    assert!(said("\\h date_trunc").contains("date_trunc(precision, expression)"));
    assert!(said("\\h").contains("error_group"));
}

#[test]
fn tables_are_described() {
    assert_snapshot!("tables", said("\\d"));
    assert_snapshot!("table", said("\\d actors"));
}

#[test]
fn every_column_has_a_meaning_and_those_of_the_store_an_example() {
    let folder = Folder::with_known_facts();
    let hold = ["hold", "add", "facts", "case", "--kind", "events", "--where", "seq < 4"];
    folder.run(&[&hold[..], &["--reason", "claim", "--by", "legal"]].concat()).ok();
    folder.write("facts/ostracon.toml", "[retention]\nmax_records = 10\n");
    folder.run(&["consume", "facts", "group", "-n", "1"]).ok();
    folder.run(&["compact", "facts"]).ok();
    let listed = script(&folder, "\\format ndjson\n\\d").ok().out;
    for line in listed.lines() {
        let table: serde_json::Value = serde_json::from_str(line).unwrap();
        let table = table["table"].as_str().unwrap();
        for line in script(&folder, &format!("\\format ndjson\n\\d {table}")).ok().out.lines() {
            let column: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_ne!(column["meaning"], "", "{table}: {line}");
            let has_rows = table.starts_with("store.") && table != "store.unverified";
            assert!(!has_rows || column["example"] != "", "{table}: {line}");
        }
    }
}

#[test]
fn help_names_every_table_about_the_store() {
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'store'";
    let names = said(&format!("\\format csv\n{sql};\n"));
    let helps = [said("\\?"), said("\\d"), Folder::new().run(&["sql", "--help"]).ok().out];
    assert_eq!(names.lines().count(), 7, "{names}");
    for name in names.lines().skip(1) {
        assert!(helps.iter().all(|help| help.contains(&format!("store.{name}"))), "{name}: {helps:#?}");
    }
}

#[test]
fn saved_queries_are_listed_and_asked() {
    assert!(said("\\queries").contains("top_crashers\n"));
    assert_snapshot!("run", said("\\run top_crashers limit=2 since=2026-03-02"));
    let all = said("\\run top_crashers limit=2");
    assert_eq!(said("\\run top_crashers limit=2 since=400000h"), all, "a time may be a length of time");
}

#[test]
fn an_actor_has_a_story() {
    assert_snapshot!("actor", said("\\actor shop:2"));
}

#[test]
fn around_a_crash_are_its_neighbours_also_where_all_is_of_one_instant() {
    let folder = Folder::new();
    let lines: Vec<_> = (0..40)
        .map(|number| {
            let what = if number == 20 { "ActorCrashed" } else { "ActorStarted" };
            format!(
                r#"{{"kind": "event", "system_id": "s", "actor_address": "s:{number}", "event_type": "{what}", "payload": {{}}, "timestamp": 1772000000.0}}"#
            )
        })
        .collect();
    folder.run_with(&["record", "facts"], lines.join("\n").as_bytes()).ok();
    let out = script(&folder, "\\actor s:20").ok().out;
    let (_, around) = out.split_once("Five seconds around").unwrap();
    let names: Vec<_> =
        around.lines().filter_map(|line| line.split('|').nth(3)).map(str::trim).skip(1).collect();
    let expected: Vec<_> = (10..=30).map(|number| format!("s:{number}")).collect();
    assert_eq!(names, expected, "{out}");
    assert!(around.lines().any(|line| line.starts_with("| > |") && line.contains("s:20")), "{out}");
}

#[test]
fn what_reads_a_damaged_store_says_what_to_do() {
    let folder = Folder::with_known_facts();
    folder.run(&["tail", "facts"]).ok();
    for kept in ["ledger", "ledger-copy"] {
        for entry in std::fs::read_dir(folder.path(&format!("facts/{kept}"))).unwrap() {
            let name = format!("facts/{kept}/{}", entry.unwrap().file_name().into_string().unwrap());
            let bytes = folder.read(&name);
            folder.write(&name, &bytes[..bytes.len() / 2]);
        }
    }
    for args in [&["inspect", "facts", "events"][..], &["tail", "facts"], &["sql", "facts", "-c", "SELECT 1"]]
    {
        let error = folder.run(args).failed();
        let remedy = "`ostracon scan --deep STORE` shows the damage, and `ostracon recover STORE --mode repair` saves what can be saved\n";
        assert!(error.ends_with(remedy), "{error}");
        assert_eq!(error.matches("recover").count(), 1, "{error}");
    }
}

#[test]
fn a_window_narrows_every_table_until_it_is_cleared() {
    let text = "\\since 2026-03-02\n\\until 2026-03-03\n\\format csv\n\
        SELECT count(*) AS n, min(at) AS first, max(at) AS last FROM crashes;\n\
        \\since off\nSELECT count(*) AS n FROM crashes;\n\\until off\nSELECT count(*) AS n FROM crashes;\n\
        \\at 2026-03-02\nSELECT count(*) AS n FROM events;\n";
    assert_snapshot!(said(text));
}

#[test]
fn parameters_are_values() {
    let text = "\\set who 'shop:2'' OR true --'\n\\set n 2\n\\format csv\n\\set\n\
        SELECT count(*) AS none FROM events WHERE actor_address = $who;\n\
        \\set who shop:2\nSELECT count(*) AS some FROM events WHERE actor_address = $who;\n\
        SELECT seq FROM events ORDER BY seq LIMIT $n;\n\\unset n\n";
    assert_snapshot!(said(text));
}

#[test]
fn every_format_is_written() {
    let mut text = String::new();
    for format in ["table", "csv", "tsv", "json", "ndjson", "markdown"] {
        text += &format!("\\format {format}\nSELECT 1 AS n, NULL AS nothing, E'é\\n\\t\\x1b[1m' AS text;\n");
    }
    text += "\\format table\n\\x\n\\g\n";
    assert_snapshot!("formats", said(&text).replace('\x1b', "␛"));
}

#[test]
fn answers_look_as_they_are_told_to() {
    let text = "\\pset null ∅\nSELECT 1 AS n, NULL AS nothing \\gx\n\\g\n\\pset null ''\n\\g\n\\gx | head -1\n\
        \\pset format csv\n\\g\n\\pset format aligned\n\\pset x on\n\\pset pager off\n\\g\n\\pset\n";
    assert_snapshot!("pset", said(text));
}

#[test]
fn texts_stand_between_answers() {
    let text = "\\echo the  crashes:\n\\echo -n 'two  spaces'\n\\echo\n\\echo it's '' -n\n\\o out.txt\n\\echo seen\n";
    assert_eq!(said(text), "the crashes:\ntwo  spaces\nit's  -n\nseen\n");
}

#[test]
fn answers_go_into_files_and_to_other_programs() {
    let folder = Folder::with_known_facts();
    let text = "\\format csv\n\\o out.csv\nSELECT 1 AS a;\nSELECT 2 AS b;\n\\o\n\
        SELECT seq FROM events ORDER BY seq; | wc -l\n\\g | head -2\n\
        \\copy crashes TO crashes.parquet\n\\copy (SELECT 1 AS n) to 'n.json'\n\\copy audits TO audits.csv\n\\copy audits TO audits.arrow\n";
    let said = script(&folder, text).ok();
    assert_eq!(said.out.replace(' ', ""), "66\nseq\n1\n");
    assert_eq!(folder.read("out.csv"), b"a\n1\nb\n2\n");
    assert_eq!(folder.read("n.json"), b"[{\"n\":1}]\n");
    assert_eq!(&folder.read("crashes.parquet")[..4], b"PAR1");
    assert_eq!(folder.read("audits.csv").iter().filter(|byte| **byte == b'\n').count(), 11);
    let wrong = script(&folder, "\\copy crashes");
    assert!(wrong.err.contains("cannot read the arguments of \\copy"), "{}", wrong.err);
}

#[test]
fn an_answer_that_fails_is_in_no_file() {
    let folder = Folder::with_known_facts();
    let text =
        "\\format csv\n\\o out.csv\nSELECT 1 AS a;\nSELECT 1 / (seq - 3) AS b FROM events;\nSELECT 2 AS c;\n";
    let said = folder.run_with(&["repl", "facts", "--keep-going"], text.as_bytes());
    assert!(
        said.err.contains("error: line 4: a number is divided by zero") && said.code == Some(1),
        "{}",
        said.err
    );
    assert_eq!(folder.read("out.csv"), b"a\n1\nc\n2\n");
    let failing = "SELECT 1 / (seq - 3) AS b FROM events";
    let copied = script(&folder, &format!("\\copy ({failing}) TO failed.csv"));
    let written = folder.run(&["sql", "facts", "--output", "failed.csv", "-c", failing]);
    assert_eq!((copied.code, written.code), (Some(1), Some(1)));
    let left = folder.names().into_iter().filter(|name| name.contains("failed")).collect::<Vec<_>>();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_last_answer_is_drawn() {
    let question = "\\format csv\n\\o /dev/null\n\\run error_types limit=4\n\\o\n";
    assert_snapshot!("plot", said(&format!("{question}\\plot\n\\plot bar x=error_type y=crashes\n")));
    let folder = Folder::with_known_facts();
    let text = format!("{question}\\plot out.svg\n\\plot bar out.png\n");
    let said = script(&folder, &text).ok();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "wrote out.svg\nwrote out.png\n"));
    assert!(folder.read("out.svg").starts_with(b"<svg") && folder.read("out.png").starts_with(b"\x89PNG"));
}

#[test]
fn a_long_answer_is_drawn_whole_whatever_was_held_after_it() {
    let folder = Folder::with_known_facts();
    let text = "\\format csv\n\\o /dev/null\n\
        SELECT a.seq AS shown FROM events a, events b, events c;\n\\o\n\
        SELECT 7 AS other FROM events LIMIT 10 \\explain\n\\plot histogram x=shown\n";
    let said = script(&folder, text).ok();
    assert!(said.out.contains("shown") && !said.err.contains("error"), "{}\n{}", said.out, said.err);
}

#[test]
fn files_are_included() {
    let folder = Folder::with_known_facts();
    folder.write("a.sql", "\\format csv\nSELECT 1 AS a;\n\\i b.sql\nSELECT 3 AS c");
    folder.write("b.sql", "SELECT 2 AS b;");
    folder.write("loop.sql", "\\i loop.sql");
    folder.write("wrong.sql", "\n\nSELEC;");
    assert_eq!(script(&folder, "\\i a.sql").ok().out, "a\n1\nb\n2\nc\n3\n");
    assert!(script(&folder, "\\i wrong.sql").err.contains("wrong.sql, line 3: "));
    assert!(script(&folder, "\\i loop.sql").err.contains("more than 16 levels deep"));
    folder.write("some.sql", "\\i wrong.sql\n\\i none.sql\nSELECT 5 AS e;\nSELECT nothing;\n");
    let going = ["repl", "facts", "--format", "csv", "--keep-going"];
    let said = folder.run_with(&going, b"\\i some.sql\nSELECT 6 AS f;");
    assert_eq!((said.out.as_str(), said.code), ("e\n5\nf\n6\n", Some(1)));
    for place in ["wrong.sql, line 3", "some.sql, line 2: cannot read none.sql", "some.sql, line 4"] {
        assert!(said.err.contains(&format!("error: {place}: ")), "{}", said.err);
    }
}

#[test]
fn plans_are_told_with_rows_and_times() {
    let out = said("\\explain SELECT count(*) FROM crashes");
    assert!(!out.contains("WatchExec"), "what only watches is no step: {out}");
    assert!(out.starts_with("        rows       time  step\n"), "{out}");
    assert!(
        out.contains("AggregateExec") && out.contains("1 row in ") && out.contains(" for planning"),
        "{out}"
    );
    let out = said("\\since 2026-03-02\n\\explain SELECT error FROM crashes");
    let step = out.lines().find(|line| line.contains("RetainedExec")).unwrap();
    let words: Vec<_> = step.split_whitespace().collect();
    assert!(words[0].parse::<u64>().is_ok() && words[2] == "ms", "every step has rows and a time: {step}");
}

#[test]
fn the_store_is_told_in_numbers() {
    let out = said("\\stats");
    assert!(out.contains("events                    65              0         1"), "{out}");
    assert!(out.contains("| stream | facts | unflushed |"), "{out}");
}

#[test]
fn misuse_says_what_would_be_right() {
    let folder = Folder::with_known_facts();
    for (text, why) in [
        ("\\format xml", "unknown value \"xml\"; use table, csv, tsv, json, ndjson, markdown"),
        ("\\pset format html", "unknown value \"html\"; use table, csv, tsv, json, ndjson, markdown"),
        ("\\pset border 2", "\\pset does not know \"border\"; it knows expanded, format, null, pager"),
        ("\\gx", "there is no statement yet"),
        ("\\echo 'a", "a quote is not closed"),
        ("\\timezone Olympus", "is not a time zone"),
        ("\\since soon", "is not a time; use 2h"),
        ("\\run", "no saved query was given; \\queries lists them"),
        ("\\run top_crashers 5", "must have the form KEY=VALUE"),
        ("\\actor shop:22222", "there are no events of an actor"),
        ("\\set n", "needs a name and a value"),
        ("\\d no_table", "not found"),
        ("\\h no_such_function_here", "there is no function"),
        ("\\i none.sql", "cannot read none.sql"),
        ("\\e", "\\e needs a terminal"),
        ("\\g", "there is no statement yet"),
        ("\\plot", "there is no answer yet to draw"),
        ("\\plot pie", "bar, line, histogram or heat"),
        ("\\watch", "there is no statement to watch yet"),
        ("\\tail nonsense = 1", "No field named nonsense"),
    ] {
        let said = script(&folder, text);
        assert_eq!(said.code, Some(1), "{text}");
        assert!(said.err.starts_with("error: line 1: ") && said.err.contains(why), "{text}: {}", said.err);
    }
}
