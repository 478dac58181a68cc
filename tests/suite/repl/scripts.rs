//! Without a terminal: statement by statement, no decoration, and an exit code.

use insta::assert_snapshot;
use ostracon::SavedQuery;

use super::super::command::Folder;

#[test]
fn standard_input_is_answered_statement_by_statement() {
    let folder = Folder::with_known_facts();
    let script = b"SELECT count(*) AS n FROM events;\n-- a comment; of no meaning\nSELECT ';' AS\n  text;\nSELECT 1 AS last";
    let said = folder.run_with(&["repl", "facts", "--format", "csv"], script).ok();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("n\n65\ntext\n;\nlast\n1\n", ""));
}

#[test]
fn the_first_error_ends_it_with_its_line() {
    let folder = Folder::with_known_facts();
    let script = b"SELECT 1 AS a;\n\nSELECT nothing\n  FROM events;\nSELECT 2 AS b;\n\\nonsense\n";
    let said = folder.run_with(&["repl", "facts", "--format", "csv"], script);
    assert_eq!((said.out.as_str(), said.code), ("a\n1\n", Some(1)));
    assert!(said.err.starts_with("error: line 3: No field named nothing."), "{}", said.err);
    let said = folder.run_with(&["repl", "facts", "--format", "csv", "--keep-going"], script);
    assert_eq!((said.out.as_str(), said.code), ("a\n1\nb\n2\n", Some(1)));
    assert!(said.err.contains("error: line 6: there is no command \\nonsense"), "{}", said.err);
}

#[test]
fn questions_on_the_command_line_are_answered_in_their_order() {
    let folder = Folder::with_known_facts();
    folder.write("two.sql", "SELECT 2 AS n;\n\nSELEC;");
    let csv = ["--format", "csv"];
    for command in ["repl", "sql"] {
        let args = [command, "facts", "-c", "SELECT 1 AS n", "-f", "ok.sql", "-c", "SELECT 3 AS n"];
        folder.write("ok.sql", "SELECT 2 AS n");
        let said = folder.run(&[&args[..], &csv].concat()).ok();
        assert_eq!(said.out, "n\n1\nn\n2\nn\n3\n", "{command}");
    }
    let said = folder.run(&["repl", "facts", "-f", "two.sql", "--format", "csv"]);
    assert_eq!((said.out.as_str(), said.code), ("n\n2\n", Some(1)));
    assert!(said.err.starts_with("error: two.sql, line 3: failed to parse the SQL"), "{}", said.err);
}

#[test]
fn no_answer_differs_from_that_of_the_command_sql() {
    let folder = Folder::with_known_facts();
    for format in ["table", "csv", "tsv", "json", "ndjson", "markdown"] {
        for query in SavedQuery::all().iter().filter(|query| query.parameters.is_empty()) {
            let asked =
                folder.run_with(&["sql", "facts", "--format", format, "-f", "-"], query.sql.as_bytes()).ok();
            let script = format!("{};", query.sql.trim_end().trim_end_matches(';'));
            let told = folder.run_with(&["repl", "facts", "--format", format], script.as_bytes()).ok();
            assert_eq!(told.out, asked.out, "{format} {}", query.name);
        }
    }
    for query in SavedQuery::all() {
        let asked = folder.run(&["query", "facts", query.name, "--format", "csv"]).ok();
        let told =
            folder.run(&["repl", "facts", "--format", "csv", "-c", &format!("\\run {}", query.name)]).ok();
        assert_eq!(told.out, asked.out, "{}", query.name);
    }
}

#[test]
fn the_environment_and_the_config_file_say_how_it_begins() {
    let folder = Folder::with_known_facts();
    let ask = |env: Option<&str>| {
        let mut command = folder.command(&["repl", "facts", "-c", "SELECT 1 AS n"]);
        if let Some(format) = env {
            command.env("OSTRACON_FORMAT", format);
        }
        let output = command.output().unwrap();
        (
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
            output.status.code(),
        )
    };
    assert_eq!(ask(Some("ndjson")), ("{\"n\":1}\n".to_owned(), Some(0)));
    assert_snapshot!(ask(Some("xml")).0, @r#"error: unknown format in OSTRACON_FORMAT: "xml"; use table, csv, tsv, json, ndjson, markdown"#);
    std::fs::create_dir_all(folder.path("config/ostracon")).unwrap();
    folder.write("config/ostracon/config.toml", "format = \"csv\"\n");
    assert_eq!(ask(None), ("n\n1\n".to_owned(), Some(0)));
    assert_eq!(ask(Some("json")).0, "[{\"n\":1}]\n");
    folder.write("config/ostracon/config.toml", "colour = true\n");
    let (said, code) = ask(None);
    assert!(said.contains("config.toml") && said.contains("unknown field `colour`"), "{said}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_config_that_cannot_be_read_keeps_nobody_from_asking() {
    let folder = Folder::with_known_facts();
    let ask = |home: &str| {
        let mut command = folder.command(&["repl", "facts", "-c", "SELECT 1 AS n", "--format", "csv"]);
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME").env("HOME", home);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    assert_eq!(ask("/dev/null"), (Some(0), "n\n1\n".to_owned()));
    std::fs::create_dir_all(folder.path("home/.config/ostracon/config.toml")).unwrap();
    let (code, said) = ask(folder.path("home").to_str().unwrap());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("config.toml: ") && said.contains("its settings are not used"), "{said}");
}

#[test]
fn a_script_that_ends_within_something_fails_and_says_so() {
    let folder = Folder::with_known_facts();
    let first = "SELECT 1 AS n;\n";
    for (end, told) in [
        ("/* SELECT 2;", "line 2: the text ends within a comment, which */ ends"),
        ("SELECT 2 /* /* */", "line 2: the text ends within a comment"),
        ("SELECT 'a;\n", "line 2: the text ends within a text"),
        ("SELECT \"a;\n", "line 2: the text ends within a name"),
        ("SELECT $$;\n", "line 2: the text ends within a text"),
        ("SELECT (2;", "line 2: "),
        ("SELECT (2", "line 2: "),
        ("SELECT 2 +\n\\q\n", "line 3: this command leaves within a statement"),
    ] {
        let text = format!("{first}{end}");
        folder.write("open.sql", &text);
        let csv = ["--format", "csv"];
        for said in [
            folder.run_with(&["repl", "facts", "--format", "csv"], text.as_bytes()),
            folder.run(&[&["repl", "facts", "-c", &text][..], &csv].concat()),
            folder.run(&[&["repl", "facts", "-f", "open.sql"][..], &csv].concat()),
            folder.run(&[&["repl", "facts", "-c", "\\i open.sql"][..], &csv].concat()),
        ] {
            assert_eq!((said.code, said.out.as_str()), (Some(1), "n\n1\n"), "{end}: {}", said.err);
            assert!(said.err.contains(told), "{end}: {}", said.err);
        }
    }
}

#[test]
fn a_command_within_a_statement_leaves_the_statement_alone() {
    let folder = Folder::with_known_facts();
    let script = "SELECT 1 AS a,\n\\echo between\n  2 AS b\n\\format csv\n;\nSELECT 3 AS c\n\\echo last\n";
    folder.write("within.sql", script);
    for said in [
        folder.run_with(&["repl", "facts"], script.as_bytes()).ok(),
        folder.run(&["repl", "facts", "-f", "within.sql"]).ok(),
        folder.run(&["repl", "facts", "-c", "\\i within.sql"]).ok(),
    ] {
        assert_eq!(said.out, "between\na,b\n1,2\nlast\nc\n3\n");
    }
    // Line numbers go on, and a byte that is not UTF-8 costs only its statement or command.
    let script = b"SELECT 1\n\\echo \xff\n  AS a;\nSELECT 2\n\\x\nFROM nothing;\n";
    let said = folder.run_with(&["repl", "facts", "--format", "csv", "--keep-going"], script);
    assert!(said.err.contains("error: line 2: this is not UTF-8"), "{}", said.err);
    assert!(said.err.contains("error: line 4: "), "{}", said.err);
}

#[test]
fn commands_use_or_refuse_what_they_are_given() {
    let folder = Folder::with_known_facts();
    let shown = folder.run(&["repl", "facts", "-c", "\\queries crash_loops"]).ok().out;
    assert_eq!(shown, folder.run(&["queries", "crash_loops"]).ok().out);
    for (command, told) in [
        ("\\queries crash_lops", "crash_loops"),
        ("\\stats events", "\\stats takes no arguments, but got events"),
        ("\\q now", "\\q takes no arguments"),
    ] {
        let said = folder.run(&["repl", "facts", "-c", command]);
        assert_eq!(said.code, Some(1), "{command}");
        assert!(said.err.contains(told), "{command}: {}", said.err);
    }
}

#[cfg(unix)]
#[test]
fn a_store_may_have_any_name_that_the_system_allows() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let name = std::ffi::OsStr::from_bytes(b"f\xe9te");
    let run = |before: &[&str], after: &[&str]| {
        let mut command = folder.command(before);
        command.arg(name).args(after);
        let output = command.output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), err)
    };
    let (code, _, err) = run(&[], &[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("is neither a command nor a store"), "{err}");
    let known = super::super::command::KNOWN;
    let (code, _, err) = run(&["import"], &[known]);
    assert_eq!(code, Some(0), "{err}");
    let (code, out, err) = run(&[], &["--format", "csv", "-c", "SELECT count(*) AS n FROM events"]);
    assert_eq!((code, out.as_str()), (Some(0), "n\n65\n"), "{err}");
    let (code, out, err) = run(&["tail"], &[]);
    assert_eq!((code, out.lines().count()), (Some(0), 84), "{err}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = Folder::with_known_facts();
    let mut child =
        folder.spawn(&["repl", "facts", "--format", "csv", "-c", "SELECT a.* FROM events a, events b"]);
    drop((child.stdin.take(), child.stdout.take()));
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn shells_and_the_manual_know_the_commands() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = folder.run(&["completions", shell]).ok();
        assert!(said.out.contains("startup-check") && said.out.contains("keep-going"), "{shell}");
    }
    let saved = folder.run(&["completions", "bash"]).ok().out;
    assert!(saved.matches("crash_loops").count() >= 2, "of query and of queries");
    let first = folder.run(&["man"]).ok().out;
    assert!(first.starts_with(".ie") && first.contains("\\fBostracon\\fR <STORE>"), "{first}");
    folder.run(&["man", "pages"]).ok();
    let page = String::from_utf8(folder.read("pages/ostracon-repl.1")).unwrap();
    assert!(page.contains("keep\\-going") && page.contains(".SH EXAMPLES\n  ostracon repl"), "{page}");
    let pages = std::fs::read_dir(folder.path("pages")).unwrap().map(|page| page.unwrap().file_name());
    let pages: Vec<_> = pages.map(|name| name.into_string().unwrap()).collect();
    assert!(pages.contains(&"ostracon-group-list.1".to_owned()), "{pages:?}");
    assert!(pages.iter().all(|name| !name.contains("help")), "{pages:?}");
}

#[test]
fn a_program_that_fails_is_an_error_of_its_statement() {
    let folder = Folder::with_known_facts();
    for command in ["false", "no-such-program 2>/dev/null"] {
        let script = format!("SELECT 1; | {command}\nSELECT 2;");
        let said = folder.run_with(&["repl", "facts"], script.as_bytes());
        assert_eq!((said.out.as_str(), said.code), ("", Some(1)), "{command}");
        assert!(said.err.contains(&format!("`{command}` failed: exit code ")), "{}", said.err);
    }
    let said = folder.run_with(&["repl", "facts"], b"SELECT seq FROM events; | head -1").ok();
    assert!(said.out.starts_with('+'), "who has read enough has not failed: {}", said.out);
}

#[test]
fn a_saved_query_is_a_statement_like_any_other() {
    let folder = Folder::with_known_facts();
    let run = "\\format csv\nSELECT 42 AS n;\n\\run top_crashers limit=1\n";
    let once = folder.run_with(&["repl", "facts"], run.as_bytes()).ok().out;
    let again = folder.run_with(&["repl", "facts"], format!("{run}\\g\n").as_bytes()).ok().out;
    let answer = once.strip_prefix("n\n42\n").unwrap();
    assert_eq!(again, format!("{once}{answer}"));
    let fact = r#"{"kind": "event", "system_id": "s", "actor_address": "o'brien", "event_type": "ActorStarted", "payload": {}, "timestamp": 1795404290.0}"#;
    folder.run_with(&["record", "facts"], fact.as_bytes()).ok();
    for word in ["o'brien", "'o''brien'"] {
        let script = format!("\\format csv\n\\run actor_history actor={word}\n");
        let said = folder.run_with(&["repl", "facts"], script.as_bytes()).ok();
        assert_eq!(said.out.lines().count(), 2, "{word}: {}", said.out);
    }
    let said = folder.run_with(&["repl", "facts"], b"\\run actor_history actor='x");
    assert!(said.err.contains("a quote is not closed"), "{}", said.err);
}

#[test]
fn bytes_that_are_no_text_are_an_error_with_a_line() {
    let folder = Folder::with_known_facts();
    let script = b"\xef\xbb\xbfSELECT 1 AS n;\nSELECT '\xff';\nSELECT 2 AS n;\n";
    let said = folder.run_with(&["repl", "facts", "--format", "csv", "--keep-going"], script);
    assert_eq!((said.out.as_str(), said.code), ("n\n1\nn\n2\n", Some(1)));
    assert!(said.err.starts_with("error: line 2: this is not UTF-8"), "{}", said.err);
}

#[test]
fn a_statement_is_not_asked_without_what_is_no_text_in_it() {
    let folder = Folder::with_known_facts();
    let script = b"SELECT 1 AS n;\nSELECT 2\n  + '\xff'\n  AS n; SELECT 3 AS n;\nSELECT '\xff' \\g\n\\echo \xff\n-- \xff";
    let said = folder.run_with(&["repl", "facts", "--format", "csv", "--keep-going"], script);
    assert_eq!((said.out.as_str(), said.code), ("n\n1\nn\n3\n", Some(1)));
    let places = |line: &str| line.split(':').nth(1).map(str::to_owned);
    let told: Vec<_> = said.err.lines().filter_map(places).collect();
    assert_eq!(told, [" line 3", " line 5", " line 5", " line 6", " line 7"], "{}", said.err);
    let said = folder.run_with(&["repl", "facts", "--format", "csv"], script);
    assert_eq!((said.out.as_str(), said.code), ("n\n1\n", Some(1)));
}

#[test]
fn whoever_keeps_going_goes_on_behind_a_file_that_is_not_there() {
    let folder = Folder::with_known_facts();
    let asked = ["-f", "none.sql", "-c", "SELECT 7 AS n", "-c", "SELEC"];
    let said = folder.run(&[&["repl", "facts", "--format", "csv", "--keep-going"][..], &asked].concat());
    assert_eq!((said.out.as_str(), said.code), ("n\n7\n", Some(1)));
    assert!(said.err.contains("error: query 1: cannot read none.sql"), "{}", said.err);
    assert!(said.err.contains("error: query 3, line 1: "), "{}", said.err);
}

#[test]
fn a_word_that_is_nothing_is_told_so() {
    let said = Folder::new().run(&["quary"]);
    assert_eq!(said.code, Some(1));
    let told = "error: quary is neither a command nor a store; did you mean query?";
    assert!(said.err.starts_with(told), "{}", said.err);
}

#[test]
fn what_failed_before_the_reader_left_is_not_forgotten() {
    let folder = Folder::with_known_facts();
    let mut child = folder
        .command(&["repl", "facts", "--keep-going", "--format", "csv", "-c", "SELEC", "-c"])
        .arg("SELECT a.payload FROM events a, events b")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
