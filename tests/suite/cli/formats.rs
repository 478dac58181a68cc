//! Answers that other programs read: nothing is lost, renamed or made up on the way without a word.

use std::process::Command;

use serde_json::{Value, json};

use super::super::command::Folder;
use super::super::interop::{done, python};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/suite/answers.py");

/// Two columns of one name; NULL, an empty text, and texts that end cells and lines.
const NAMES_AND_TEXTS: &str = r#"SELECT a.n, b.n, a.t FROM
    (VALUES (1, NULL), (2, ''), (3, E'tab\t, "quote"\nline\\back\\N'), (4, '\N')) AS a(n, t)
    JOIN (VALUES (1), (2), (3), (4)) AS b(n) ON a.n = b.n ORDER BY a.n"#;

/// Values of types that not every file has.
const TYPES: &str = "SELECT named_struct('x', 1, 'y', '') AS s, map(make_array('k'), make_array(2)) AS m, \
    map(make_array(7), make_array(2)) AS numbered, make_array('a', NULL) AS l, INTERVAL '1 month 2 days' AS i, \
    arrow_cast(9223372036854775, 'Timestamp(Millisecond, None)') AS far, CAST('NaN' AS DOUBLE) AS nan, \
    CAST('-inf' AS DOUBLE) AS inf, arrow_cast(90, 'Duration(Second)') AS d, CAST(1.5 AS DECIMAL(10, 2)) AS dec, \
    arrow_cast(5, 'Timestamp(Second, None)') AS seconds, CAST(0.25 AS REAL) AS narrow";

/// The answer as each reader reads it from a file of this kind, and the messages on stderr.
fn read(sql: &str, ending: &str) -> (Value, String) {
    let folder = Folder::with_known_facts();
    let file = format!("answer.{ending}");
    let said = folder.run(&["sql", "facts", "-o", &file, "-c", sql]).ok();
    let output = Command::new(python()).arg(SCRIPT).arg(folder.path(&file)).output();
    let read = done(output, ending, "see tests/suite/answers.py");
    (serde_json::from_str(&read).unwrap(), said.err)
}

#[test]
fn two_columns_of_one_name_and_odd_texts_come_back_from_every_file() {
    let odd = "tab\t, \"quote\"\nline\\back\\N";
    for ending in ["parquet", "arrow", "csv", "tsv", "json", "ndjson"] {
        let (read, _) = read(NAMES_AND_TEXTS, ending);
        for (reader, answer) in read.as_object().unwrap() {
            let number = |n: i64| if ending.ends_with("json") { json!(n) } else { json!(n.to_string()) };
            let texts = [json!(null), json!(""), json!(odd), json!("\\N")];
            let mut rows: Vec<_> =
                (1..=4).zip(texts).map(|(n, text)| json!([number(n), number(n), text])).collect();
            if reader == "csv" {
                // Python's own reader knows no NULL.
                rows[0][2] = json!("");
            }
            assert_eq!(answer["columns"], json!(["n", "n_2", "t"]), "{ending} {reader}");
            assert_eq!(answer["rows"], json!(rows), "{ending} {reader}");
        }
    }
}

#[test]
fn null_and_an_empty_text_are_two_things_in_csv_and_tsv() {
    let folder = Folder::with_known_facts();
    let ask = |format: &str, sql: &str| folder.run(&["sql", "facts", "--format", format, "-c", sql]).ok().out;
    let one = "SELECT t FROM (VALUES (1, NULL), (2, ''), (3, 'x')) AS v(n, t) ORDER BY n";
    assert_eq!(ask("csv", one), "t\n\n\"\"\nx\n");
    assert_eq!(ask("tsv", one), "t\n\\N\n\nx\n");
    assert_eq!(ask("tsv", "SELECT E'a\\tb\\\\c\\r\\n' AS \"x\ty\""), "x\\ty\na\\tb\\\\c\\r\\n\n");
}

#[test]
fn every_type_has_a_form_in_every_file() {
    for ending in ["csv", "tsv"] {
        let (read, _) = read(TYPES, ending);
        for (reader, answer) in read.as_object().unwrap() {
            let row = &answer["rows"][0];
            assert_eq!(row[0], r#"{"x":1,"y":""}"#, "{ending} {reader}");
            assert_eq!((&row[1], &row[2]), (&json!(r#"{"k":2}"#), &json!(r#"{"7":2}"#)));
            assert_eq!((&row[3], &row[4]), (&json!(r#"["a",null]"#), &json!("1 mons 2 days")));
            assert_eq!(row[5], "+294247-01-10T04:00:54.775", "{ending} {reader}");
        }
    }
    for ending in ["json", "ndjson"] {
        let (read, err) = read(TYPES, ending);
        let row = &read["json"]["rows"][0];
        let expected = json!([
            {"x": 1, "y": ""}, {"k": 2}, {"7": 2}, ["a", null], "1 mons 2 days", "+294247-01-10T04:00:54.775",
            "NaN", "-Infinity", "PT90S", 1.50, "1970-01-01T00:00:05", 0.25
        ]);
        assert_eq!(row, &expected, "{ending}");
        assert!(!err.contains("ERROR"), "{err}");
    }
    for ending in ["parquet", "arrow"] {
        // No reader has years of six digits.
        let (read, err) = read(&TYPES.replace("9223372036854775", "0"), ending);
        for (reader, answer) in read.as_object().unwrap() {
            let row = &answer["rows"][0];
            assert_eq!(row[4], "1 mons 2 days", "{ending} {reader}: {answer}");
            assert_eq!(row[3], "['a', None]", "{ending} {reader}");
            assert_eq!((&row[6], &row[9]), (&json!("nan"), &json!("1.50")), "{ending} {reader}");
            assert_eq!(row[10], "1970-01-01 00:00:05", "{ending} {reader}");
        }
        for (column, kind, is_text) in
            [("i", "intervals", true), ("d", "lengths of time", ending == "parquet")]
        {
            let note = format!("{column}: a file of this kind has no type for {kind}; it is written as text");
            assert_eq!(err.contains(&note), is_text, "{ending}: {err}");
        }
        if ending == "parquet" {
            for (reader, answer) in read.as_object().unwrap() {
                assert_eq!(answer["rows"][0][8], "PT90S", "{reader}");
            }
        }
    }
}

#[test]
fn a_value_that_cannot_be_told_is_an_error_and_never_its_text() {
    let folder = Folder::with_known_facts();
    let sql = "SELECT arrow_cast(9223372036854775, 'Timestamp(Millisecond, None)') AS far";
    for format in ["table", "csv", "tsv", "json", "ndjson", "markdown"] {
        let said = folder.run(&["sql", "facts", "--format", format, "-c", sql]).ok();
        assert!(said.out.contains("+294247-01-10T04:00:54.775"), "{format}: {}", said.out);
        // A time of day of 100,000 seconds is none.
        let none = "SELECT arrow_cast(arrow_cast(100000, 'Int32'), 'Time32(Second)') AS t";
        let said = folder.run(&["sql", "facts", "--format", format, "-c", none]);
        assert!(!said.out.contains("ERROR"), "{format}: {said:?}");
    }
}

#[test]
fn a_files_ending_and_the_format_must_agree() {
    let folder = Folder::with_known_facts();
    let write = |args: &[&str]| folder.run(&[&["sql", "facts", "-c", "SELECT 1 AS a"][..], args].concat());
    for (args, content) in [
        (&["-o", "a.txt", "--format", "json"][..], "[{\"a\":1}]\n"),
        (&["-o", "a.csv", "--format", "csv"], "a\n1\n"),
        (&["-o", "a.tsv"], "a\n1\n"),
        (&["-o", "a.ndjson"], "{\"a\":1}\n"),
        (&["-o", "a.jsonl"], "{\"a\":1}\n"),
        (&["-o", "a.md"], "| a |\n| ---: |\n| 1 |\n"),
    ] {
        write(args).ok();
        assert_eq!(String::from_utf8(folder.read(args[1])).unwrap(), content);
        std::fs::remove_file(folder.path(args[1])).unwrap();
    }
    let told = write(&["-o", "x.csv", "--format", "json"]).failed();
    assert!(told.contains("cannot write json to x.csv: the name ends in .csv"), "{told}");
    assert!(
        write(&["-o", "x.parquet", "--format", "csv"]).failed().contains("cannot write csv to x.parquet")
    );
    assert!(write(&["-o", "x.txt"]).failed().contains("cannot write x.txt: its name must end in .parquet"));
    assert_eq!(folder.names(), ["facts"]);
}
