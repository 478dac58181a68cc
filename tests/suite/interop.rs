//! Others read our files: DuckDB and pyarrow open the segments as they are, and see the same.
//!
//! They come from PyPI, into a virtual environment below the target directory that is made once for
//! each `tests/requirements.txt`. Without python3 or without a way to PyPI these tests fail and say
//! so: a file format that only its writer reads is no archive.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ostracon::{Audit, DeadLetter, Event, Fact, Json, Store};
use serde_json::Value;

use super::command::{Folder, SAMPLE};

const REQUIREMENTS: &str = include_str!("../requirements.txt");
/// Prints what DuckDB or pyarrow make of the segments, as JSON.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/suite/interop.py");

/// The Python that has DuckDB and pyarrow.
pub(crate) fn python() -> PathBuf {
    let digest = blake3::hash(REQUIREMENTS.as_bytes()).to_hex();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{}", &digest[..12]));
    let python = folder.join("bin/python");
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Tests are processes of their own, and one of them makes it for all.
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let complete = folder.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&folder);
        let mut venv = Command::new("python3");
        done(
            venv.args(["-m", "venv"]).arg(&folder).output(),
            "python3 -m venv",
            "install python3 with its venv module",
        );
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            "-r",
        ]);
        pip.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/requirements.txt"));
        done(
            pip.output(),
            "pip install -r tests/requirements.txt",
            "PyPI, or a mirror of it in PIP_INDEX_URL, must be reachable",
        );
        File::create(complete).unwrap();
    }
    python
}

pub(crate) fn done(output: std::io::Result<Output>, attempt: &str, advice: &str) -> String {
    let output = output.unwrap_or_else(|error| panic!("`{attempt}` cannot be run: {error}; {advice}"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{attempt}` failed; {advice}\n{err}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a reader makes of the segments of a store.
fn read_with(reader: &str, folder: &Folder) -> Value {
    let mut script = Command::new(python());
    let output = script.arg(SCRIPT).arg(reader).arg(folder.path("facts")).output();
    serde_json::from_str(&done(output, reader, "see tests/suite/interop.py")).unwrap()
}

/// One value that our SQL answers, as the text that CSV has for it.
fn ours(folder: &Folder, sql: &str) -> String {
    let said = folder.run(&["sql", "facts", "--format", "csv", "-c", &format!("SELECT {sql}")]).ok();
    said.out.lines().nth(1).unwrap_or_default().to_owned()
}

/// Facts whose text, lists and times are odd, in two segments of each kind beside the known ones.
fn odd_store() -> Folder {
    let folder = Folder::with_known_facts();
    folder.run(&["import", "facts", SAMPLE]).ok();
    let store = Store::open(folder.path("facts")).unwrap();
    for (n, text) in
        ["", "None", "naïve ☃ 🏺", "quote\" 'n' \\ back", "new\nline\ttab", "\u{0}nul", "\u{202e}rtl"]
            .iter()
            .enumerate()
    {
        let payload =
            Json::parse(format!(r#"{{"error": {}, "reason": null}}"#, Json::string(text).as_str())).unwrap();
        let timestamp =
            [1_795_404_290.123_456_7, 0.0, -1.5, f64::NAN, 1e300, 253_402_300_799.0, 175_453.787_440_967_54]
                [n];
        store.record(Event::new(*text, *text, "ActorCrashed", payload.clone(), timestamp)).unwrap();
        store
            .record(DeadLetter::new("odd", (n % 2 == 0).then_some(*text), *text, payload, timestamp))
            .unwrap();
        let mut audit = Audit::new("odd", timestamp);
        audit.total_actors = i64::MAX - n as i64;
        audit.registry_orphans = (0..n).map(|_| (*text).into()).collect();
        store.record(Fact::from(audit)).unwrap();
    }
    store.close().unwrap();
    folder
}

/// The same numbers and texts, asked of us.
fn expected(folder: &Folder) -> Value {
    let text = |sql: &str| Value::String(ours(folder, sql));
    let mut all = serde_json::Map::new();
    for table in ["events", "audits", "dead_letters"] {
        let mut of = serde_json::Map::new();
        let from = format!("FROM {table}");
        for (name, sql) in [
            ("rows", "count(*)"),
            ("seqs", "sum(seq)"),
            ("streams", "count(DISTINCT stream)"),
            ("timestamps", "count(timestamp)"),
            ("first_timestamp", "CAST(min(timestamp) AS BIGINT)"),
            ("last_timestamp", "CAST(max(timestamp) AS BIGINT)"),
            ("first_recorded", "CAST(min(recorded_at) AS BIGINT)"),
            ("last_recorded", "CAST(max(recorded_at) AS BIGINT)"),
            ("systems", "count(DISTINCT system_id)"),
        ] {
            of.insert(name.to_owned(), text(&format!("{sql} {from}")));
        }
        all.insert(table.to_owned(), Value::Object(of));
    }
    for (table, name, sql) in [
        ("events", "errors", "count(error)"),
        ("events", "error_lengths", "sum(octet_length(error))"),
        ("events", "payload_lengths", "sum(octet_length(payload))"),
        ("events", "crashes", "count(*) FILTER (WHERE event_type = 'ActorCrashed')"),
        ("events", "addresses", "count(DISTINCT actor_address)"),
        ("events", "snow", "count(*) FILTER (WHERE actor_address = 'naïve ☃ 🏺')"),
        ("audits", "actors", "max(total_actors)"),
        ("audits", "alive", "sum(alive_actors)"),
        ("audits", "orphans", "sum(coalesce(array_length(registry_orphans), 0))"),
        ("audits", "dead", "sum(coalesce(array_length(registry_dead), 0))"),
        ("audits", "stock", "count(*) FILTER (WHERE array_has(registry_orphans, 'stock'))"),
        ("dead_letters", "targets", "count(target)"),
        ("dead_letters", "types", "count(DISTINCT message_type)"),
        ("dead_letters", "empty_targets", "count(*) FILTER (WHERE target = '')"),
    ] {
        all[table][name] = text(&format!("{sql} FROM {table}"));
    }
    Value::Object(all)
}

#[test]
fn duckdb_counts_and_sums_the_same() {
    let folder = odd_store();
    let expected = expected(&folder);
    assert_eq!(expected["events"]["rows"], ours(&folder, "count(*) FROM events").as_str());
    assert_ne!(expected["audits"]["orphans"], "0");
    assert_eq!(read_with("duckdb", &folder), expected);
}

#[test]
fn pyarrow_counts_and_sums_the_same() {
    let folder = odd_store();
    assert_eq!(read_with("pyarrow", &folder), expected(&folder));
}

#[test]
fn duckdb_and_pyarrow_see_the_types_that_people_mean() {
    let folder = Folder::with_known_facts();
    insta::assert_snapshot!(
        "duckdb_types",
        serde_json::to_string_pretty(&read_with("duckdb-types", &folder)).unwrap()
    );
    insta::assert_snapshot!(
        "pyarrow_types",
        serde_json::to_string_pretty(&read_with("pyarrow-types", &folder)).unwrap()
    );
}
