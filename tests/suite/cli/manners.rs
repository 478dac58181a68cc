//! How the command behaves among others: pipes, terminals, exit codes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use super::super::command::{Folder, KNOWN};

/// Every command that prints a result, and enough of it to fill a pipe.
fn talkers(folder: &Folder) -> Vec<Vec<&'static str>> {
    // 65 × 65 events are about a megabyte of text.
    const MANY: &str = "SELECT a.* FROM events a, events b";
    folder.run(&["import", "facts", KNOWN, "--again"]).ok();
    let mut talkers = vec![vec!["tail", "facts"], vec!["inspect", "facts", "events"], vec!["queries"]];
    talkers.push(vec!["metrics", "facts", "--prometheus"]);
    for format in ["table", "csv", "tsv", "json", "ndjson", "markdown"] {
        talkers.push(vec!["sql", "facts", "--format", format, "-c", MANY]);
    }
    talkers
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = Folder::with_known_facts();
    for args in talkers(&folder) {
        let mut child = folder.spawn(&args);
        drop(child.stdin.take());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_until(b'\n', &mut Vec::new()).unwrap();
        drop(out);
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {err}");
        assert!(!err.contains("error") && !err.contains("panic"), "{args:?}: {err}");
    }
}

#[test]
fn a_reader_that_never_looked_is_no_error() {
    let folder = Folder::with_known_facts();
    for args in talkers(&folder) {
        let mut child = folder.spawn(&args);
        drop((child.stdin.take(), child.stdout.take()));
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {err}");
        assert!(!err.contains("error"), "{args:?}: {err}");
    }
}

#[test]
fn what_is_wrong_is_in_the_exit_code_also_where_nobody_reads() {
    let folder = Folder::with_known_facts();
    let segment = std::fs::read_dir(folder.path("facts/events")).unwrap().next().unwrap().unwrap();
    std::fs::File::options().write(true).open(segment.path()).unwrap().set_len(100).unwrap();
    for args in [
        &["startup-check", "facts"][..],
        &["doctor", "facts"],
        &["doctor", "facts", "--quick"],
        &["recover", "facts"],
        &["recover", "facts", "--json"],
        &["scan", "facts"],
        &["scan", "facts", "--json"],
    ] {
        let heard = folder.command(args).stdin(Stdio::null()).output().unwrap().status.code();
        assert!(matches!(heard, Some(1 | 2)), "{args:?}: {heard:?}");
        let mut child = folder.spawn(args);
        drop((child.stdin.take(), child.stdout.take()));
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), heard, "{args:?}: {err}");
    }
}

#[test]
fn nobody_listening_to_the_talk_is_no_error() {
    let folder = Folder::with_known_facts();
    let mut child = folder.spawn(&["sql", "facts", "-c", "SELECT 1 AS a", "--format", "csv"]);
    drop((child.stdin.take(), child.stderr.take()));
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"a\n1\n"[..], Some(0)));
}

#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    let folder = Folder::with_known_facts();
    for args in talkers(&folder) {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = folder.command(&args).stdin(Stdio::null()).stdout(full).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {err}");
        assert!(err.contains("No space left on device"), "{args:?}: {err}");
    }
}

#[test]
fn there_is_no_colour_and_no_progress_where_there_is_no_terminal() {
    let folder = Folder::new();
    for args in [
        &["import", "facts", KNOWN][..],
        &["sql", "facts", "-c", "SELECT * FROM crashes"],
        &["sql", "facts", "-c", "SELEC"],
        &["--help"],
        &["frobnicate"],
    ] {
        let said = folder.run(args);
        assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'), "{said:?}");
        assert!(!said.err.contains('\r'), "{said:?}");
    }
}

/// Runs a command on a terminal of its own, and returns all that this shows.
fn on_a_terminal(folder: &Folder, args: &[&str], no_color: bool) -> String {
    let exe = env!("CARGO_BIN_EXE_ostracon");
    let line: Vec<String> =
        std::iter::once(exe).chain(args.iter().copied()).map(|word| format!("'{word}'")).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).current_dir(folder.path("."));
    script.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    let output =
        script.stdin(Stdio::null()).output().expect("`script`, of util-linux, gives a command a terminal");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn on_a_terminal_there_is_colour_unless_no_color_is_set() {
    let folder = Folder::new();
    let colour = "\x1b[1m";
    assert!(on_a_terminal(&folder, &["--help"], false).contains(colour));
    let plain = on_a_terminal(&folder, &["--help"], true);
    assert!(plain.contains("Usage: ostracon") && !plain.contains('\x1b'), "{plain}");
    let plain = on_a_terminal(&folder, &["frobnicate"], true);
    assert!(plain.contains("neither a command nor a store") && !plain.contains('\x1b'), "{plain}");
}

#[test]
fn results_are_the_same_on_a_terminal() {
    let folder = Folder::with_known_facts();
    let sql = ["sql", "facts", "-c", "SELECT error_type, count(*) AS n FROM crashes GROUP BY 1 ORDER BY 1"];
    let piped = folder.run(&sql).ok().out;
    let shown = on_a_terminal(&folder, &sql, false).replace("\r\n", "\n");
    assert!(shown.contains(&piped), "{shown}");
}

#[test]
fn talk_is_on_stderr_and_results_are_on_stdout() {
    let folder = Folder::new();
    for (args, results, talk) in [
        (&["import", "facts", KNOWN][..], false, true),
        (&["sql", "facts", "-c", "SELECT 1"], true, true),
        (&["query", "facts", "crash_summary"], true, true),
        (&["queries"], true, false),
        (&["inspect", "facts", "events"], true, false),
        (&["tail", "facts"], true, true),
        (&["metrics", "facts"], true, false),
        (&["record", "facts"], false, true),
    ] {
        let said = folder.run(args).ok();
        assert_eq!((!said.out.is_empty(), !said.err.is_empty()), (results, talk), "{said:?}");
        assert!(!said.out.contains(" in ") || results, "{said:?}");
    }
}

#[test]
fn reading_commands_change_nothing_in_the_store() {
    let folder = Folder::with_known_facts();
    let before = folder.tree();
    for args in [
        &["sql", "facts", "-c", "SELECT count(*) FROM events"][..],
        &["query", "facts", "mtbf"],
        &["inspect", "facts", "audits"],
        &["tail", "facts"],
        &["metrics", "facts"],
    ] {
        folder.run(args).ok();
    }
    assert!(folder.tree() == before);
}

#[test]
fn reading_commands_make_no_store() {
    let folder = Folder::new();
    for args in [
        &["sql", "facts", "-c", "SELECT 1"][..],
        &["query", "facts", "mtbf"],
        &["inspect", "facts", "summary"],
        &["tail", "facts"],
        &["metrics", "facts"],
    ] {
        let error = folder.run(args).failed();
        assert_eq!(error, "error: facts is not an Ostracon store: no store is there\n", "{args:?}");
    }
    assert!(folder.tree().is_empty());
}

#[test]
fn a_kind_may_be_spelt_as_in_sql_and_as_an_option() {
    let folder = Folder::with_known_facts();
    for kind in ["dead-letters", "dead_letters"] {
        for args in [
            &["tail", "facts", "--kind", kind][..],
            &["retention", "explain", "facts", "--kind", kind],
            &["hold", "add", "facts", kind, "--kind", kind, "--reason", "r", "--by", "me"],
            &["compact", "facts", "--dry-run", "--kind", kind],
            &["inspect", "facts", kind],
        ] {
            folder.run(args).ok();
        }
    }
}

#[test]
fn one_is_not_told_as_many() {
    let folder = Folder::new();
    let fact = super::super::command::lines_of(KNOWN)[0].clone();
    folder.write("one.ndjson", format!("{fact}\n"));
    let said = folder.run(&["import", "facts", "one.ndjson"]).ok();
    assert!(said.err.contains("imported 1 fact ("), "{said:#?}");
    folder.run_with(&["record", "facts"], fact.as_bytes()).ok();
    let said = folder.run(&["import", "facts", "one.ndjson"]).ok();
    assert!(said.err.contains("the first line was imported before"), "{said:#?}");
    let said = folder.run(&["compact", "facts"]).ok();
    assert!(!said.out.contains("1 files"), "{said:#?}");
    std::fs::remove_file(folder.path("facts/ledger/00000000000000000001.json")).unwrap();
    let said = folder.run(&["verify", "facts"]);
    assert!(said.out.contains("not sound: 1 anomaly in "), "{said:#?}");
}

#[test]
fn sql_over_a_broken_segment_names_it_and_says_what_to_do() {
    let path = |folder: &Folder| {
        std::fs::read_dir(folder.path("facts/events")).unwrap().next().unwrap().unwrap().path()
    };
    let damages: [fn(&std::path::Path); 2] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() - 100]).unwrap();
        },
    ];
    for damage in damages {
        let folder = Folder::with_known_facts();
        let segment = path(&folder);
        damage(&segment);
        let name = format!("events/{}", segment.file_name().unwrap().to_str().unwrap());
        let error = folder.run(&["sql", "facts", "-c", "SELECT max(payload) FROM events"]).failed();
        assert!(error.contains(&format!("{name} is damaged: ")), "{error}");
        assert!(
            error.contains("`ostracon scan --deep STORE`")
                && error.contains("`ostracon recover STORE --mode repair`"),
            "{error}"
        );
    }
    let folder = Folder::with_known_facts();
    let mut bytes = std::fs::read(path(&folder)).unwrap();
    bytes[300..700].fill(0xff);
    std::fs::write(path(&folder), bytes).unwrap();
    let error =
        folder.run(&["sql", "facts", "-c", "SELECT max(payload), max(actor_address) FROM events"]).failed();
    assert!(error.contains(" is damaged: ") && error.contains("`ostracon scan --deep STORE`"), "{error}");
}
