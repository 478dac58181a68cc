//! JSON in SQL: every operator and function reads a payload as Python does, and as `->>` on one key.

use std::io::Write;
use std::process::{Command, Stdio};

use ostracon::{Hold, Kind, QueryOptions, Store};

use super::{NULL, column, event, failure, rows, strings, try_rows};

/// One event for each payload: half of them in a segment, the others in the tail.
fn store(payloads: &[&str]) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    for (n, payload) in payloads.iter().enumerate() {
        store.record(event("A", payload, 1_795_404_290.0 + n as f64)).unwrap();
        if n == payloads.len() / 2 {
            store.flush().unwrap();
        }
    }
    (folder, store)
}

/// What an expression gives for each payload.
#[track_caller]
fn each(store: &Store, expression: &str) -> Vec<String> {
    column(store, &format!("SELECT {expression} FROM events ORDER BY seq"))
}

/// Payloads at which other readers of JSON stop, or that they read otherwise.
fn hard() -> Vec<String> {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    vec![
        r#"{"ratio": NaN, "order": {"id": 7}}"#.to_owned(),
        r#"{"ratio": [Infinity, -Infinity], "order": {"id": 7}}"#.to_owned(),
        r#"{"lone": "\ud800", "order": {"id": 7}}"#.to_owned(),
        r#"{"\udc00": 1, "order": {"\udc00": 2, "id": 7}}"#.to_owned(),
        format!(r#"{{"deep": {}, "order": {{"id": 7}}}}"#, deep(10_000)),
        r#"{"order": {"id": 1}, "order": {"id": 8, "id": 7}}"#.to_owned(),
        r#"{"order": 1, "\u006frder": {"\u0069d": 7}}"#.to_owned(),
        r#"{"big": 1180591620717411303424, "far": 1e400, "order": {"id": 7}}"#.to_owned(),
        format!(r#"{{"large": "{}", "order": {{"id": 7}}}}"#, "x".repeat(1 << 20)),
    ]
}

#[test]
fn every_way_to_a_nested_value_reads_what_python_reads() {
    let payloads = hard();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    let (_folder, store) = store(&payloads);
    for (expression, wanted) in [
        ("payload->'order'->>'id'", "7"),
        ("payload->'order'->'id'", "7"),
        ("payload#>>'{order,id}'", "7"),
        ("payload#>'{order,id}'", "7"),
        ("payload#>>ARRAY['order', 'id']", "7"),
        ("payload #>> '{\"order\", id}'", "7"),
        ("json_get(payload, 'order', 'id')", "7"),
        ("json_get(payload->'order', 'id')", "7"),
        ("json_get_json(payload, 'order', 'id')", "7"),
        ("json_text(payload, 'order', 'id')", "7"),
        ("json_as_text(payload, 'order', 'id')", "7"),
        ("json_get_int(payload, 'order', 'id')", "7"),
        ("json_get_float(payload, 'order', 'id')", "7.0"),
        ("json_get_str(payload, 'order', 'id')", NULL),
        ("json_get_bool(payload, 'order', 'id')", NULL),
        ("json_contains(payload, 'order', 'id')", "true"),
        ("payload ? 'order'", "true"),
        ("payload->'order' ? 'id'", "true"),
        ("payload->'order' ? 'ID'", "false"),
        ("(payload->'order'->'id')::bigint + 1", "8"),
        ("payload->('or' || 'der')->>lower('ID')", "7"),
        ("json_text(payload, 'order', CASE WHEN seq > 0 THEN 'id' END)", "7"),
        ("json_text(payload, 'order', CASE WHEN seq < 0 THEN 'id' END)", NULL),
    ] {
        assert_eq!(each(&store, expression), vec![wanted; payloads.len()], "{expression}");
    }
    let lengths = each(&store, "json_length(payload)");
    assert_eq!(lengths, ["2", "2", "2", "2", "2", "1", "1", "3", "2"]);
    assert_eq!(each(&store, "json_length(payload, 'order')")[3..6], ["2", "1", "1"]);
    assert_eq!(each(&store, "json_object_keys(payload)")[5..7], ["[order]", "[order]"]);
    assert_eq!(column(&store, "SELECT max(length(payload->'deep')) FROM events"), ["20001"]);
}

#[test]
fn numbers_and_strings_of_any_size_are_read() {
    let (_folder, store) = store(&[
        r#"{"v": 1180591620717411303424}"#,
        r#"{"v": 1e400}"#,
        r#"{"v": NaN}"#,
        r#"{"v": -Infinity}"#,
        r#"{"v": "\ud800x"}"#,
        r#"{"v": 123456789012345678.0}"#,
        r#"{"v": [1, "b", null, {"c": 2}]}"#,
        r#"{"v": true}"#,
        r#"{"v": null}"#,
        r#"{"w": 0}"#,
    ]);
    let wanted = [
        (
            "payload->'v'",
            [
                "1180591620717411303424",
                "1e400",
                "NaN",
                "-Infinity",
                r#""\ud800x""#,
                "123456789012345678.0",
                r#"[1, "b", null, {"c": 2}]"#,
                "true",
                "null",
                NULL,
            ],
        ),
        (
            "payload->>'v'",
            [
                "1180591620717411303424",
                "1e400",
                "NaN",
                "-Infinity",
                "\u{fffd}x",
                "123456789012345678.0",
                r#"[1, "b", null, {"c": 2}]"#,
                "true",
                NULL,
                NULL,
            ],
        ),
        (
            "json_get_int(payload, 'v')",
            [NULL, NULL, NULL, NULL, NULL, "123456789012345678", NULL, NULL, NULL, NULL],
        ),
        (
            "json_get_float(payload, 'v')",
            [
                "1.1805916207174113e21",
                "inf",
                "NaN",
                "-inf",
                NULL,
                "1.2345678901234568e17",
                NULL,
                NULL,
                NULL,
                NULL,
            ],
        ),
        ("json_get_bool(payload, 'v')", [NULL, NULL, NULL, NULL, NULL, NULL, NULL, "true", NULL, NULL]),
        (
            "json_get_array(payload, 'v')",
            [NULL, NULL, NULL, NULL, NULL, NULL, r#"[1, "b", null, {"c": 2}]"#, NULL, NULL, NULL],
        ),
        ("json_length(payload, 'v')", [NULL, NULL, NULL, NULL, NULL, NULL, "4", NULL, NULL, NULL]),
        ("payload->'v'->>1", [NULL, NULL, NULL, NULL, NULL, NULL, "b", NULL, NULL, NULL]),
        ("payload->'v'->-1->>'c'", [NULL, NULL, NULL, NULL, NULL, NULL, "2", NULL, NULL, NULL]),
        ("payload->'v'->>-5", [NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL]),
        ("payload#>>'{v,-1,c}'", [NULL, NULL, NULL, NULL, NULL, NULL, "2", NULL, NULL, NULL]),
        ("payload->'v'->(seq - 6)", [NULL, NULL, NULL, NULL, NULL, NULL, r#""b""#, NULL, NULL, NULL]),
        (
            "payload->'v' ? 'b'",
            ["false", "false", "false", "false", "false", "false", "true", "false", "false", NULL],
        ),
        ("payload ? 'v'", ["true", "true", "true", "true", "true", "true", "true", "true", "true", "false"]),
    ];
    for (expression, wanted) in wanted {
        let found = each(&store, expression);
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, wanted, "{expression}");
    }
}

#[test]
fn json_paths_of_other_databases_are_refused_with_the_way_to_say_it() {
    let (_folder, store) = store(&[r#"{"a": {"b": 1}, "$.a.b": 2, "": 3}"#]);
    let error = failure(&store, "SELECT payload->>'$.a.b' FROM events").to_string();
    assert!(error.contains("payload->'a'->>'b'"), "{error}");
    let error = failure(&store, "SELECT payload->'$.a[0]' FROM events").to_string();
    assert!(error.contains("payload->'a'->0"), "{error}");
    assert_eq!(column(&store, "SELECT json_text(payload, '$.a.b') FROM events"), ["2"]);
    assert_eq!(column(&store, "SELECT payload#>>'{a,b}' FROM events"), ["1"]);
    assert_eq!(column(&store, "SELECT payload#>'{}' = payload FROM events"), ["true"]);
    assert_eq!(column(&store, "SELECT payload->>'' FROM events"), ["3"]);
    for path in ["a,b", "{a", "{a,}", "{{a}}", "{\"a}"] {
        let error = failure(&store, &format!("SELECT payload#>>'{path}' FROM events")).to_string();
        assert!(error.contains("write it as '{a,b,0}'"), "{path}: {error}");
    }
    for sql in ["seq->'a'", "payload->1.5", "json_get(seq, 'a')", "json_get()", "payload #> 5"] {
        failure(&store, &format!("SELECT {sql} FROM events"));
    }
}

#[test]
fn the_arrow_is_json_text_to_every_cast_comparison_and_aggregate() {
    let (_folder, store) =
        store(&[r#"{"n": 5}"#, r#"{"n": "x"}"#, r#"{"n": 5.5}"#, r#"{"n": null}"#, r#"{"n": "5"}"#, "{}"]);
    let n = "payload->'n'";
    for (expression, wanted) in [
        (n, ["5", "\"x\"", "5.5", "null", "\"5\"", NULL]),
        ("(payload->'n')::text", ["5", "\"x\"", "5.5", "null", "\"5\"", NULL]),
        ("concat(payload->'n', '!')", ["5!", "\"x\"!", "5.5!", "null!", "\"5\"!", "!"]),
        ("TRY_CAST(payload->'n' AS DOUBLE)", ["5.0", NULL, "5.5", NULL, NULL, NULL]),
        ("TRY_CAST(payload->'n' AS BIGINT)", ["5", NULL, "6", NULL, NULL, NULL]),
        ("TRY_CAST(payload->'n' AS DECIMAL(10, 2))", ["5.00", NULL, "5.50", NULL, NULL, NULL]),
    ] {
        assert_eq!(each(&store, expression), wanted, "{expression}");
    }
    assert_eq!(
        column(&store, "SELECT string_agg(payload->'n', ',' ORDER BY seq) FROM events"),
        ["5,\"x\",5.5,null,\"5\""]
    );
    assert_eq!(
        column(&store, "SELECT (payload->'n')::double FROM events WHERE seq IN (1, 3) ORDER BY seq"),
        ["5.0", "5.5"]
    );
    assert_eq!(
        column(&store, "SELECT sum((payload->'n')::double) FROM events WHERE seq IN (1, 3, 4)"),
        ["10.5"]
    );
    let error = failure(&store, "SELECT (payload->'n')::double FROM events").to_string();
    assert!(error.contains("Cannot cast string '\""), "{error}");
    assert_eq!(
        rows(&store, "SELECT payload->'n' AS n, count(*) FROM events GROUP BY 1 ORDER BY 1 LIMIT 2"),
        [strings(&["\"5\"", "1"]), strings(&["\"x\"", "1"])]
    );
}

#[test]
fn a_hold_and_a_rule_see_what_queries_see() {
    let payloads = hard();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    for condition in [
        "payload->'order'->>'id' = '7'",
        "payload#>>'{order,id}' = '7'",
        "json_get_int(payload, 'order', 'id') = 7",
        "(payload->'order'->'id')::bigint = 7",
        "payload->'order' ? 'id' AND json_length(payload) > 0",
    ] {
        let (_folder, store) = store(&payloads);
        store.hold("case", Hold::new("a claim").kind(Kind::Event).predicate(condition)).unwrap();
        let explained = store.explain_retention(Some(Kind::Event), Some(condition)).unwrap();
        let facts: u64 = explained.fates.iter().map(|fate| fate.facts).sum();
        assert_eq!(facts, payloads.len() as u64, "{condition}");
    }
}

/// A generator of numbers that is the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides) as usize
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.roll(all.len() as u64)]
    }

    fn value(&mut self, depth: usize) -> String {
        let scalars = [
            "null",
            "true",
            "false",
            "NaN",
            "-Infinity",
            "0",
            "-0",
            "7",
            "7.0",
            "5.5",
            "-1e-3",
            "1e400",
            "2e3",
            "9223372036854775807",
            "9223372036854775808",
            "123456789012345678.0",
            r#""""#,
            r#""a""#,
            r#""\ud800""#,
            r#""\ud83d\ude00é""#,
            r#""\"\\\n""#,
            r#""7""#,
        ];
        match self.roll(if depth == 0 { 1 } else { 3 }) {
            0 => self.pick(&scalars).to_owned(),
            1 => {
                let elements: Vec<_> = (0..self.roll(4)).map(|_| self.value(depth - 1)).collect();
                format!("[{}]", elements.join(self.pick(&[",", ", ", " ,\n"])))
            }
            _ => {
                let members: Vec<_> = (0..self.roll(5))
                    .map(|_| {
                        let key =
                            self.pick(&[r#""a""#, r#""b""#, r#""\u0061""#, r#""0""#, r#""""#, r#""\udc00""#]);
                        format!("{key}{}{}", self.pick(&[":", ": ", " : "]), self.value(depth - 1))
                    })
                    .collect();
                format!("{{{}}}", members.join(self.pick(&[",", ", "])))
            }
        }
    }
}

/// Compares what each line says that SQL answered with what Python's `json` makes of the document.
const PYTHON: &str = include_str!("json.py");

#[test]
fn python_reads_the_same() {
    let mut dice = Dice(0x5eed_0f0b);
    let documents: Vec<String> = (0..400).map(|_| dice.value(4)).collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let (_folder, store) = store(&documents);
    let paths: [(&str, &str); 9] = [
        ("[]", ""),
        (r#"["a"]"#, ", 'a'"),
        (r#"["a", "b"]"#, ", 'a', 'b'"),
        ("[0]", ", 0"),
        ("[-1]", ", -1"),
        (r#"[1, "a"]"#, ", 1, 'a'"),
        (r#"["b", -2, 0]"#, ", 'b', -2, 0"),
        (r#"["", "0"]"#, ", '', '0'"),
        (r#"["a", 0, "a", 0]"#, ", 'a', 0, 'a', 0"),
    ];
    let mut lines = String::new();
    for (path, steps) in paths {
        let functions = ["json_get", "json_text", "json_get_int", "json_length", "json_get_bool"];
        let asked = functions.map(|name| format!("{name}(payload{steps})")).join(", ");
        let sql = format!(
            "SELECT payload, {asked}, array_to_string(json_object_keys(payload{steps}), '|'), json_contains(payload{steps}) FROM events ORDER BY seq"
        );
        for row in rows(&store, &sql) {
            let row: Vec<_> = row.iter().map(|text| if text == NULL { None } else { Some(text) }).collect();
            lines += &serde_json::json!({ "path": path, "row": row }).to_string();
            lines.push('\n');
        }
    }
    let mut python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is needed to compare with its json module");
    python.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let said = python.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&said.stdout);
    assert_eq!(
        out.trim(),
        format!("{} the same", 9 * documents.len()),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
}

#[test]
fn a_query_with_a_key_as_a_parameter_is_answered() {
    let (_folder, store) = store(&[r#"{"a": {"b": 1}}"#]);
    let options = QueryOptions::new().param("key", "b");
    let found = try_rows(&store, "SELECT payload->'a'->>$key FROM events", options).unwrap();
    assert_eq!(found, [strings(&["1"])]);
}
