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

/// Without what is different each time.
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
    fs::write(folder.path("facts/notes.txt"), b"?").unwrap();
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
    // What is kept is what a query gives.
    let count =
        folder.run(&["sql", "facts", "--format", "csv", "-c", "SELECT count(*) AS n FROM events"]).ok();
    assert_eq!((count.out.as_str(), &sheet["kinds"][0]["kept"]), ("n\n90\n", &90.into()));
}
