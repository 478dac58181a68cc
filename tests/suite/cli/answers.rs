//! `sql`, `query` and `queries`: answers in every form.

use std::fs::File;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use insta::assert_snapshot;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::command::Folder;

/// A null, a list, quotes, a bar, a line break, a backslash and a tab; a row without the list.
const ODD: &str = r#"SELECT 1 AS n, NULL AS nothing, E'a|b "q",\nnext\\ \t.' AS text, make_array('x', 'y') AS list, true AS yes, 0.5 AS x
    UNION ALL SELECT 2, NULL, '', NULL, false, NULL ORDER BY n"#;

fn odd(format: &str) -> String {
    let folder = Folder::with_known_facts();
    let said = folder.run(&["sql", "facts", "--format", format, "-c", ODD]).ok();
    assert_eq!(said.talk(), "2 rows in ⏱\n");
    said.out
}

#[test]
fn a_table_is_drawn_for_people() {
    assert_snapshot!(odd("table"), @r#"
        +---+---------+---------------------+--------+-------+------+
        | n | nothing | text                | list   | yes   |    x |
        +---+---------+---------------------+--------+-------+------+
        | 1 | NULL    | a|b "q",\nnext\ \t. | [x, y] | true  |  0.5 |
        | 2 | NULL    |                     | NULL   | false | NULL |
        +---+---------+---------------------+--------+-------+------+
    "#);
}

#[test]
fn csv_has_a_header_and_quotes_where_needed() {
    assert_snapshot!(odd("csv"), @r#"
        n,nothing,text,list,yes,x
        1,,"a|b ""q"",
        next\ 	.","[""x"",""y""]",true,0.5
        2,,"",,false,
    "#);
}

#[test]
fn tsv_has_tabs_and_escapes() {
    assert_snapshot!(odd("tsv"), @r#"
        n	nothing	text	list	yes	x
        1	\N	a|b "q",\nnext\\ \t.	["x","y"]	true	0.5
        2	\N		\N	false	\N
    "#);
}

#[test]
fn json_is_one_array_of_objects() {
    let out = odd("json");
    assert_snapshot!(out, @r#"[{"n":1,"nothing":null,"text":"a|b \"q\",\nnext\\ \t.","list":["x","y"],"yes":true,"x":0.5},{"n":2,"nothing":null,"text":"","list":null,"yes":false,"x":null}]"#);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(rows[0]["text"], "a|b \"q\",\nnext\\ \t.");
    assert!(rows[1]["list"].is_null());
}

#[test]
fn ndjson_is_one_object_a_line() {
    let out = odd("ndjson");
    assert_snapshot!(out, @r#"
        {"n":1,"nothing":null,"text":"a|b \"q\",\nnext\\ \t.","list":["x","y"],"yes":true,"x":0.5}
        {"n":2,"nothing":null,"text":"","list":null,"yes":false,"x":null}
    "#);
    assert!(out.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().is_object()));
}

#[test]
fn markdown_is_a_table_in_one_piece() {
    assert_snapshot!(odd("markdown"), @r#"
        | n | nothing | text | list | yes | x |
        | ---: | --- | --- | --- | --- | ---: |
        | 1 | NULL | a\|b "q",<br>next\\ 	. | [x, y] | true | 0.5 |
        | 2 | NULL |  | NULL | false | NULL |
    "#);
}

#[test]
fn a_table_for_another_program_has_all_rows() {
    let folder = Folder::with_known_facts();
    let said = folder.run(&["sql", "facts", "-c", "SELECT a.seq FROM events a, events b, events c"]).ok();
    assert_eq!(said.out.lines().count(), 65 * 65 * 65 + 4);
}

#[test]
fn an_answer_without_rows_is_still_an_answer() {
    let folder = Folder::with_known_facts();
    for (format, expected) in [
        ("table", "+---+\n| a |\n+---+\n+---+\n"),
        ("csv", "a\n"),
        ("tsv", "a\n"),
        ("json", "[]\n"),
        ("ndjson", ""),
        ("markdown", "| a |\n| ---: |\n"),
    ] {
        let said = folder.run(&["sql", "facts", "--format", format, "-c", "SELECT 1 AS a WHERE false"]).ok();
        assert_eq!((said.out.as_str(), said.talk().as_str()), (expected, "0 rows in ⏱\n"), "{format}");
    }
}

#[test]
fn times_are_in_utc_with_the_decimals_they_need() {
    let folder = Folder::with_known_facts();
    let sql =
        "SELECT timestamp, event_type FROM events WHERE actor_address = 'shop:2' ORDER BY timestamp LIMIT 3";
    assert_snapshot!(folder.run(&["sql", "facts", "--format", "csv", "-c", sql]).ok().out, @r"
        timestamp,event_type
        2026-03-01T09:00:00.125Z,ActorStarted
        2026-03-01T09:10:00Z,ActorCrashed
        2026-03-01T09:10:00.250Z,ActorRestarted
    ");
}

#[test]
fn the_question_may_come_from_a_file_or_from_standard_input() {
    let folder = Folder::with_known_facts();
    let sql = "SELECT count(*) AS n FROM crashes";
    folder.write("q.sql", sql);
    let asked = folder.run(&["sql", "facts", "--format", "csv", "-c", sql]).ok();
    assert_eq!(asked.out, "n\n27\n");
    assert_eq!(asked.talk(), "1 row in ⏱\n");
    assert_eq!(folder.run(&["sql", "facts", "--format", "csv", "-f", "q.sql"]).ok().out, asked.out);
    assert_eq!(
        folder.run_with(&["sql", "facts", "--format", "csv", "-f", "-"], sql.as_bytes()).ok().out,
        asked.out
    );
    let error = folder.run(&["sql", "facts", "-f", "none.sql"]).failed();
    assert_snapshot!(error, @"error: cannot read none.sql: No such file or directory (os error 2)");
}

/// Writes an answer into a file, and checks that stdout stays empty.
fn into_file(folder: &Folder, name: &str) {
    let sql = "SELECT seq, at, error, system_id FROM events ORDER BY seq";
    let said = folder.run(&["sql", "facts", "-c", sql, "--output", name]).ok();
    assert_eq!((said.out.as_str(), said.talk().as_str()), ("", "65 rows in ⏱\n"));
    assert!(folder.names().iter().all(|name| !name.contains("partial")));
}

fn check_batches(batches: &[RecordBatch]) {
    let names: Vec<_> = batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["seq", "at", "error", "system_id"]);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 65);
    let nulls: usize = batches.iter().map(|batch| batch.column(2).null_count()).sum();
    assert_eq!(nulls, 39, "26 of 27 crashes have an error");
    let sum: i64 =
        batches.iter().map(|b| b.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>()).sum();
    assert!(sum > 65 * 33);
}

#[test]
fn an_answer_in_a_parquet_file_reads_back() {
    let folder = Folder::with_known_facts();
    into_file(&folder, "answer.parquet");
    let file = File::open(folder.path("answer.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    check_batches(&reader.collect::<Result<Vec<_>, _>>().unwrap());
}

#[test]
fn an_answer_in_an_arrow_file_reads_back() {
    let folder = Folder::with_known_facts();
    into_file(&folder, "answer.arrow");
    let file = File::open(folder.path("answer.arrow")).unwrap();
    let reader = arrow::ipc::reader::FileReader::try_new(file, None).unwrap();
    check_batches(&reader.collect::<Result<Vec<_>, _>>().unwrap());
}

#[test]
fn an_answer_in_a_csv_or_json_file_is_what_stdout_would_have_had() {
    let folder = Folder::with_known_facts();
    for format in ["csv", "json"] {
        let name = format!("answer.{format}");
        into_file(&folder, &name);
        let sql = "SELECT seq, at, error, system_id FROM events ORDER BY seq";
        let printed = folder.run(&["sql", "facts", "-c", sql, "--format", format]).ok().out;
        assert_eq!(String::from_utf8(folder.read(&name)).unwrap(), printed);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_nothing_half_written_stays() {
    let folder = Folder::with_known_facts();
    std::fs::create_dir(folder.path("taken.csv")).unwrap();
    let before = folder.tree();
    let output = |name: &str, sql: &str| folder.run(&["sql", "facts", "-c", sql, "--output", name]).failed();
    assert_snapshot!(output("no/such/answer.csv", "SELECT 1"), @"error: cannot write no/such/answer.csv: No such file or directory (os error 2)");
    assert_snapshot!(output("taken.csv", "SELECT 1"), @"error: cannot write taken.csv: Is a directory (os error 21)");
    assert_snapshot!(output("answer.txt", "SELECT 1"), @"error: cannot write answer.txt: its name must end in .parquet, .csv, .tsv, .json, .ndjson, .md or .arrow");
    assert_snapshot!(output("answer", "SELECT 1"), @"error: cannot write answer: its name must end in .parquet, .csv, .tsv, .json, .ndjson, .md or .arrow");
    assert_snapshot!(output("answer.parquet", "SELECT nonsense FROM events"), @r"
        error: No field named nonsense.
        Valid fields are events.at, events.system_id, events.actor_address, events.event_type, events.error, events.error_type, events.reason, events.payload, events.recorded_at, events.timestamp, events.stream, events.seq, events.extra.
    ");
    // This one fails after its first rows.
    assert_snapshot!(output("answer.csv", "SELECT 1 / (seq - 60) AS x FROM events"), @"error: a number is divided by zero; write x / NULLIF(y, 0), which gives NULL there");
    assert!(folder.tree() == before, "a failed answer leaves no file behind");
}

#[test]
fn a_failed_answer_does_not_replace_the_one_before() {
    let folder = Folder::with_known_facts();
    folder.write("answer.csv", "yesterday's");
    folder.run(&["sql", "facts", "-c", "SELECT 1 / (seq - 60) FROM events", "-o", "answer.csv"]).failed();
    assert_eq!(folder.read("answer.csv"), b"yesterday's");
    folder.run(&["sql", "facts", "-c", "SELECT 1 AS today", "-o", "answer.csv"]).ok();
    assert_eq!(folder.read("answer.csv"), b"today\n1\n");
}

#[test]
fn a_query_that_takes_too_long_is_stopped_and_says_so() {
    let folder = Folder::with_known_facts();
    let endless = "SELECT count(*) FROM events a, events b, events c, events d, events e WHERE a.seq + b.seq + c.seq + d.seq > e.seq";
    let begun = std::time::Instant::now();
    let error = folder.run(&["sql", "facts", "-c", endless, "--timeout", "200ms"]).failed();
    assert_snapshot!(error, @"error: the query was stopped after 200ms, its timeout; ask for less, or set a longer timeout");
    assert!(begun.elapsed().as_secs() < 20);
}

#[test]
fn sql_that_is_wrong_is_told_why() {
    let folder = Folder::with_known_facts();
    let ask = |sql: &str| folder.run(&["sql", "facts", "-c", sql]).failed();
    assert_snapshot!(ask("SELEC 1"), @"error: failed to parse the SQL: Expected: an SQL statement, found: SELEC at Line: 1, Column: 1");
    assert_snapshot!(ask("SELECT"), @"error: failed to parse the SQL: Expected: an expression, found: EOF");
    assert_snapshot!(ask("SELECT 'open"), @"error: failed to parse the SQL: Unterminated string literal at Line: 1, Column: 8");
    assert_snapshot!(ask("SELECT eror FROM events"), @r"
        error: No field named eror. Did you mean 'events.error'?
        Valid fields are events.at, events.system_id, events.actor_address, events.event_type, events.error, events.error_type, events.reason, events.payload, events.recorded_at, events.timestamp, events.stream, events.seq, events.extra.
    ");
    assert_snapshot!(ask("SELECT * FROM event"), @r"
        error: there is no table event
        Did you mean events?
    ");
    assert_snapshot!(ask("SELECT * FROM commits"), @r"
        error: there is no table commits
        Did you mean store.commits?
    ");
    assert_snapshot!(ask("SELECT 1; SELECT 2"), @"error: there are 2 statements, and each -c or -f takes one: give each statement its own -c, or run all of them with `ostracon facts -c`");
    assert_snapshot!(ask("\\d events"), @r"error: \d is a command of the prompt; run it with `ostracon facts -c`");
    assert!(ask("SELECT actor FROM crashes").ends_with("Did you mean actor_address?\n"));
    assert!(
        folder.run(&["query", "facts", "top_crasher"]).failed().ends_with("Did you mean top_crashers?\n")
    );
    assert_snapshot!(ask(""), @"error: there is no SQL statement in the text");
}

#[test]
fn saved_queries_are_listed_with_what_can_be_set() {
    let said = Folder::new().run(&["queries"]).ok();
    assert_snapshot!("queries", said.out);
    assert_eq!(said.out.lines().filter(|line| !line.starts_with(' ')).count(), 20);
}

#[test]
fn one_saved_query_is_shown_with_its_sql() {
    let folder = Folder::new();
    let said = folder.run(&["queries", "crash_loops"]).ok();
    assert_eq!(said.out, std::fs::read_to_string("../queries/crash_loops.sql").unwrap());
    assert!(folder.run(&["queries", "crash_lops"]).failed().contains("crash_loops, "));
}

#[test]
fn a_saved_query_takes_what_is_set() {
    let folder = Folder::with_known_facts();
    let ask = |set: &[&str]| {
        let mut args = vec!["query", "facts", "top_crashers", "--format", "csv"];
        set.iter().for_each(|set| args.extend(["--set", set]));
        folder.run(&args)
    };
    assert_eq!(ask(&["limit=2"]).ok().out.lines().count(), 3);
    assert_eq!(ask(&["limit=1", "limit=3"]).ok().out.lines().count(), 4, "the last one counts");
    // Values are values, whatever they look like.
    assert_eq!(ask(&["system=x' OR '1'='1"]).ok().out.lines().count(), 1);
    assert_snapshot!(ask(&["limits=2"]).failed(), @r#"error: query top_crashers has no parameter "limits"; its parameters: since, system, limit"#);
    assert_snapshot!(ask(&["limit=two"]).failed(), @r#"error: parameter limit must be a whole number, not "two""#);
    assert_snapshot!(ask(&["since=tomorrow"]).failed(), @r#"error: cannot set since: "tomorrow" is not a time; use 2h, 10:30, yesterday, 2026-03-01 or 2026-03-01T09:30:00Z"#);
    let all = ask(&[]).ok().out;
    for since in ["since=1970", "since='1970-01-02 10:00'", "since=400000h ago"] {
        assert_eq!(ask(&[since]).ok().out, all, "{since}");
    }
    assert_eq!(ask(&["since=2200-01-01T00:00:00+02:00"]).ok().out.lines().count(), 1);
    assert_snapshot!(folder.run(&["query", "facts", "top"]).failed(), @r#"
        error: there is no saved query "top"; the saved queries: actor_growth, actor_history, audit_trend, before_the_crash, busiest_hours, crash_loops, crash_summary, crashes_by_day, dead_letter_hotspots, dead_letters_after_crash, error_groups, error_types, ingest_lag, last_crashes, mtbf, registry_problems, restart_latency, silent_actors, system_overview, top_crashers
        Did you mean top_crashers?
    "#);
}

#[test]
fn a_file_holds_one_answer() {
    let folder = Folder::with_known_facts();
    for (option, file) in [("--output", "x.csv"), ("--plot", "x.svg")] {
        let error = folder.run(&["sql", "facts", "-c", "SELECT 1", "-c", "SELECT 2", option, file]).failed();
        assert!(error.contains(&format!("cannot write several answers to {file}")), "{error}");
        assert!(!folder.path(file).exists());
    }
}

#[test]
fn a_byte_order_mark_before_a_question_is_no_part_of_it() {
    let folder = Folder::with_known_facts();
    let marked = "\u{feff}SELECT 1 AS a";
    folder.write("q.sql", marked);
    folder.write("i.sql", "\\i q.sql\n");
    for command in ["sql", "repl"] {
        let args = |file| [command, "facts", "--format", "csv", "-f", file];
        assert_eq!(folder.run(&args("q.sql")).ok().out, "a\n1\n");
        assert_eq!(folder.run_with(&args("-"), marked.as_bytes()).ok().out, "a\n1\n");
    }
    let said = folder.run(&["repl", "facts", "--format", "csv", "-f", "i.sql"]).ok();
    assert_eq!(said.out, "a\n1\n");
}
