//! `--help`, of which every page has an example that works.

use super::super::command::Folder;

const COMMANDS: &[&str] = &[
    "import",
    "record",
    "sql",
    "query",
    "queries",
    "inspect",
    "tail",
    "metrics",
    "compact",
    "retention",
    "consume",
    "group",
    "hold",
    "scan",
    "verify",
    "head",
    "recover",
    "doctor",
    "startup-check",
    "backup",
    "demo",
    "repl",
    "completions",
    "man",
];

#[test]
fn every_command_tells_what_it_does_and_gives_an_example() {
    let folder = Folder::new();
    for command in COMMANDS {
        let said = folder.run(&[*command, "--help"]).ok();
        assert!(said.out.contains("Example:\n  "), "{}", said.out);
        assert_eq!(said.err, "");
        insta::assert_snapshot!(format!("help_{command}"), said.out);
    }
    assert!(folder.tree().is_empty(), "asking for help makes nothing");
}

#[test]
fn the_first_page_lists_every_command() {
    let said = Folder::new().run(&["--help"]).ok();
    insta::assert_snapshot!("help", said.out);
    for command in COMMANDS {
        assert!(said.out.contains(&format!("\n  {command} ")), "{command}");
    }
}

#[test]
fn without_a_command_the_first_page_is_told_on_stderr() {
    let folder = Folder::new();
    let said = folder.run(&[]);
    assert_eq!((said.out.as_str(), said.code), ("", Some(1)));
    assert_eq!(said.err, folder.run(&["--help"]).out);
}

#[test]
fn the_version_is_a_result() {
    let said = Folder::new().run(&["--version"]).ok();
    assert_eq!(said.out, concat!("ostracon ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn misuse_ends_with_1_and_says_what_was_wrong() {
    let folder = Folder::new();
    for (args, why) in [
        (&["frobnicate"][..], "frobnicate is neither a command nor a store"),
        (&["sql"], "<STORE>"),
        (&["sql", "facts"], "--command <SQL>"),
        (
            &["sql", "facts", "-c", "select 1", "--format", "xml"],
            "[possible values: table, csv, tsv, json, ndjson, markdown]",
        ),
        (&["sql", "facts", "-c", "select 1", "--timeout", "-1s"], "a length of time cannot be negative"),
        (&["sql", "facts", "-c", "select 1", "--timeout", "soon"], "invalid value 'soon'"),
        (&["inspect", "facts", "everything"], "[possible values: events, audits, dead-letters, summary]"),
        (&["inspect", "facts", "events", "--limit", "few"], "invalid value 'few'"),
        (&["record", "facts", "--durability", "eternal"], "not one of buffered, journaled, synced"),
        (&["query", "facts", "top_crashers", "--set", "limit"], "a setting looks like name=value"),
        (&["tail", "facts", "--after", "1:x"], "write one such as 1:120,2:77"),
        (&["metrics", "facts", "--json", "--prometheus"], "cannot be used with"),
        (&["import", "facts", "f.ndjson", "--epoch", "yesterday"], "invalid value 'yesterday'"),
    ] {
        let error = folder.run(args).failed();
        assert!(error.contains(why), "{args:?}: {error}");
    }
    assert!(folder.tree().is_empty(), "misuse makes nothing");
}
