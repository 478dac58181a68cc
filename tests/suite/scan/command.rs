//! `ostracon scan`, `verify` and `head` as people meet them.

use std::fs;
use std::io::{BufRead, BufReader, Write};

use serde_json::Value;

use crate::command::{Folder, KNOWN, without_times};

/// A store of the known facts, and its one segment of events.
fn store() -> (Folder, String) {
    let folder = Folder::with_known_facts();
    let segment = fs::read_dir(folder.path("facts/events")).unwrap().next().unwrap().unwrap();
    (folder, format!("facts/events/{}", segment.file_name().to_str().unwrap()))
}

/// The text without the parts that differ from run to run.
fn told(text: &str, segment: &str) -> String {
    let name = segment.strip_prefix("facts/").unwrap();
    let mut out = String::new();
    for line in without_times(&text.replace(name, "events/1-1-84-….parquet")).lines() {
        let line = line.split(" bytes read in").next().unwrap();
        // The footer names the input, wherever that is on this machine.
        let line = if line.starts_with("  expected  ") && line.ends_with(" bytes") {
            "  expected  … bytes"
        } else {
            line
        };
        let line = match line.split_once(", recorded from ") {
            Some((before, _)) => format!("{before}, recorded from … to …"),
            None => line.to_owned(),
        };
        out += &match line.rsplit_once("; ") {
            Some((before, last)) if last.contains(" scan, ") => {
                format!("{before}; {} scan", last.split(' ').next().unwrap())
            }
            _ => line,
        };
        out.push('\n');
    }
    out
}

#[test]
fn a_whole_store() {
    let (folder, _) = store();
    for deep in [&["scan", "facts"][..], &["scan", "facts", "--deep"]] {
        let said = folder.run(deep).ok();
        assert!(
            said.out.starts_with("no anomalies in 2 commits, 3 segments and 0 journal files; "),
            "{}",
            said.out
        );
        assert_eq!(said.err, "");
    }
    let said = folder.run(&["scan", "facts", "--json"]).ok();
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&report["clean"], &report["segments"]), (&true.into(), &3.into()));
    assert!(report["elapsed_seconds"].as_f64().unwrap() < 60.0);
}

#[test]
fn a_damaged_store() {
    let (folder, segment) = store();
    fs::write(folder.path(&segment), b"").unwrap();
    fs::write(folder.path("facts/events/notes.txt"), b"?").unwrap();
    fs::write(folder.path("facts/events/again-0a.tmp"), b"half a segment").unwrap();
    let before = folder.tree();
    let said = folder.run(&["scan", "facts"]);
    assert_eq!((said.code, said.err.as_str()), (Some(2), ""));
    insta::assert_snapshot!("a_damaged_store", told(&said.out, &segment));

    let said = folder.run(&["scan", "facts", "--deep", "--json"]);
    assert_eq!(said.code, Some(2));
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["clean"], false);
    let kinds: Vec<_> =
        report["anomalies"].as_array().unwrap().iter().map(|anomaly| &anomaly["kind"]).collect();
    assert_eq!(kinds, ["segment_size", "unexpected"]);
    assert_eq!(report["anomalies"][0]["affected"]["kind"], "event");
    assert_eq!(report["debris"].as_array().unwrap().len(), 1);
    assert_eq!(folder.tree(), before);
}

#[test]
fn what_cannot_be_scanned_ends_with_1() {
    let folder = Folder::new();
    for command in ["scan", "verify", "head"] {
        let error = folder.run(&[command, "nowhere"]).failed();
        assert!(error.contains("nowhere is not an Ostracon store"), "{error}");
    }
    assert!(folder.tree().is_empty());
}

#[test]
fn the_balance_sheet() {
    let (folder, segment) = store();
    let head = folder.run(&["head", "facts"]).ok().out;
    assert!(head.starts_with("1:") && head.len() == 67, "{head}");
    let said = folder.run(&["verify", "facts", "--against", head.trim()]).ok();
    let told: String = told(&said.out, &segment)
        .lines()
        .map(|line| {
            if line.starts_with("head ") { "head 1:…, made …\n".to_owned() } else { format!("{line}\n") }
        })
        .collect();
    insta::assert_snapshot!("the_balance_sheet", told);

    let other = head.trim().replace(|c: char| c.is_ascii_alphabetic(), "0");
    let said = folder.run(&["verify", "facts", "--against", &other]);
    assert_eq!(said.code, Some(2));
    assert!(said.out.contains("\nrewritten: commit 1 has digest "), "{}", said.out);
    let said = folder.run(&["verify", "facts", "--json", "--against", &format!("9{}", &head[1..])]);
    assert_eq!(said.code, Some(2));
    let sheet: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&sheet["sound"], &sheet["against"]["verdict"]), (&false.into(), &"rolled_back".into()));

    let error = folder.run(&["verify", "facts", "--against", "yesterday"]).failed();
    assert!(error.contains("is no head of a ledger"), "{error}");
}

/// Some facts were lost from a journal, and some with a segment; rules have dropped some, and hide more.
fn store_with_losses() -> Folder {
    let folder = Folder::with_known_facts();
    let mut child = folder.spawn(&["record", "facts", "--ack"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&fs::read(KNOWN).unwrap()).unwrap();
    let mut acks = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(acks.by_ref().take(84).all(|ack| ack.unwrap().contains(':')));
    child.kill().unwrap();
    child.wait().unwrap();
    let journals = fs::read_dir(folder.path("facts/journal/1")).unwrap().map(|entry| entry.unwrap().path());
    let journal = journals.into_iter().find(|path| path.extension().is_some_and(|e| e == "journal")).unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    bytes[5000] ^= 1;
    fs::write(journal, bytes).unwrap();
    fs::remove_file(fs::read_dir(folder.path("facts/audits")).unwrap().next().unwrap().unwrap().path())
        .unwrap();
    folder.run(&["recover", "facts", "--mode", "repair"]).ok();
    folder.write("facts/ostracon.toml", "[retention.events]\nmax_records = 100\n");
    folder.run(&["compact", "facts"]).ok();
    folder.write("facts/ostracon.toml", "[retention.events]\nmax_records = 90\n");
    folder
}

#[test]
fn verify_tells_what_became_of_facts_since_a_head() {
    let folder = Folder::with_known_facts();
    let head = |folder: &Folder| folder.run(&["head", "facts"]).ok().out.trim().to_owned();
    let against =
        |head: &str, more: &[&str]| folder.run(&[&["verify", "facts", "--against", head], more].concat());
    let first = head(&folder);
    let said = against(&first, &[]);
    assert_eq!(said.code, Some(0));
    assert!(said.out.contains("since then: no fact was recorded, dropped or lost"), "{}", said.out);
    assert!(said.out.contains("contents of segments were not read; --deep reads them"), "{}", said.out);

    folder.run(&["import", "facts", super::super::command::SAMPLE]).ok();
    let said = against(&first, &["--deep"]);
    assert_eq!(said.code, Some(0), "to record is to be expected");
    assert!(said.out.contains("recorded\n") && said.out.contains("were read\n"), "{}", said.out);

    folder.write("facts/ostracon.toml", "[retention]\nmax_records = 10\n");
    folder.run(&["compact", "facts"]).ok();
    let said = against(&first, &[]);
    assert_eq!(said.code, Some(3), "{}", said.out);
    assert!(said.out.contains("of events dropped by the rule "), "{}", said.out);
    assert!(
        said.out.contains("; but facts were dropped, lost or read from damaged files since commit 1\n"),
        "{}",
        said.out
    );
    let sheet: Value = serde_json::from_str(&against(&first, &["--json"]).out).unwrap();
    assert_eq!(
        (&sheet["sound"], &sheet["took_facts"], &sheet["contents_read"]),
        (&true.into(), &true.into(), &false.into())
    );
    let number = |value: &Value| value.as_u64().unwrap();
    let gone: u64 = sheet["changes"]["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|of| of["dropped"].as_object().unwrap().values().map(number))
        .sum();
    let dropped = folder.run(&["verify", "facts", "--json"]).ok().out;
    let dropped: Value = serde_json::from_str(&dropped).unwrap();
    let all = dropped["kinds"].as_array().unwrap().iter();
    let all: u64 = all.flat_map(|of| of["dropped"].as_object().unwrap().values().map(number)).sum();
    assert_eq!(gone, all);

    let now = head(&folder);
    assert_eq!(against(&now, &[]).code, Some(0), "all of that was before");
}

#[test]
fn verify_tells_of_losses_since_a_head() {
    let folder = Folder::with_known_facts();
    let head = folder.run(&["head", "facts"]).ok().out.trim().to_owned();
    let audits = fs::read_dir(folder.path("facts/audits")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(audits).unwrap();
    folder.run(&["recover", "facts", "--mode", "repair"]).ok();
    let said = folder.run(&["verify", "facts", "--against", &head]);
    assert_eq!(said.code, Some(3), "{}", said.out);
    assert!(said.out.contains("of audits lost"), "{}", said.out);
}

#[test]
fn contents_are_read_when_they_are_asked_for() {
    let folder = Folder::with_known_facts();
    let segment = fs::read_dir(folder.path("facts/events")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert_eq!(folder.run(&["verify", "facts"]).code, Some(0), "it does not look there");
    let deep = folder.run(&["verify", "facts", "--deep"]);
    assert_eq!(deep.code, Some(2), "{}", deep.out);
}

#[test]
fn an_auditor_can_add_the_sheet_up() {
    let folder = store_with_losses();
    let said = folder.run(&["verify", "facts"]).ok();
    let told: String = said
        .out
        .lines()
        .map(|line| if line.starts_with("head ") { "head …\n".to_owned() } else { format!("{line}\n") })
        .collect();
    insta::assert_snapshot!("a_sheet_with_losses", told);

    let sheet: Value = serde_json::from_str(&folder.run(&["verify", "facts", "--json"]).ok().out).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let mut recorded = 0;
    for kind in sheet["kinds"].as_array().unwrap() {
        let dropped: u64 = kind["dropped"].as_object().unwrap().values().map(number).sum();
        let live = number(&kind["kept"]) + number(&kind["hidden"]);
        assert_eq!(number(&kind["live"]), live, "{kind}");
        assert_eq!(number(&kind["recorded"]), live + dropped + number(&kind["lost"]), "{kind}");
        recorded += number(&kind["recorded"]);
    }
    let (lost, unaccounted) = (number(&sheet["lost_from_journals"]), number(&sheet["unaccounted"]));
    assert_eq!((number(&sheet["numbers"]), lost, unaccounted), (recorded + 1, 1, 0));
    // The kept facts are the facts that a query returns.
    let count =
        folder.run(&["sql", "facts", "--format", "csv", "-c", "SELECT count(*) AS n FROM events"]).ok();
    assert_eq!((count.out.as_str(), &sheet["kinds"][0]["kept"]), ("n\n90\n", &90.into()));
}
