//! Lines that are no facts, for `import` and `record`.

use insta::assert_snapshot;

use super::super::command::{Folder, Said};
use super::super::support::lines_at;

/// A sound line, distinguishable from every other.
fn sound(n: usize) -> String {
    format!(
        r#"{{"kind": "event", "system_id": "shop", "actor_address": "shop:{n}", "event_type": "ActorStarted", "payload": {{}}, "timestamp": {n}.5}}"#
    )
}

/// Everything that the issue calls bad, with what is said about it.
fn bad_lines() -> Vec<(Vec<u8>, &'static str)> {
    let sound = sound(0);
    let with = |from: &str, to: &str| {
        assert!(sound.contains(from));
        sound.replace(from, to).into_bytes()
    };
    let mut not_utf8 = sound.clone().into_bytes();
    not_utf8[50] = 0xff;
    vec![
        (b"not JSON".to_vec(), "not a JSON object: "),
        (b"{'kind': 'event'}".to_vec(), "not a JSON object: "),
        (b"[1, 2]".to_vec(), "not a JSON object: "),
        (b"\"text\"".to_vec(), "not a JSON object: "),
        (b"null".to_vec(), "not a JSON object: "),
        (b"{}".to_vec(), "field \"kind\" is missing"),
        (
            with("\"event\"", "\"gossip\""),
            "kind \"gossip\" is not one of \"event\", \"audit\", \"dead_letter\"",
        ),
        (with("\"event\"", "7"), "kind 7 is not one of \"event\", \"audit\", \"dead_letter\""),
        (with(", \"timestamp\": 0.5", ""), "field \"timestamp\" is missing"),
        (not_utf8, "not UTF-8 at byte 50"),
        (sound.as_bytes()[..80].to_vec(), "not a JSON object: "),
        (format!("{sound}{sound}").into_bytes(), "not a JSON object: "),
        (with("{}", &format!("{{\"a\": \"{}\"}}", "x".repeat(20 << 20))), "longer than 16 MiB"),
        (vec![0; 40], "not a JSON object: "),
    ]
}

/// A file in which sound and bad lines alternate, and the number of each bad line.
fn mixed(line_end: &str) -> (Vec<u8>, Vec<(usize, Vec<u8>, &'static str)>) {
    let (mut text, mut line, mut bad) = (Vec::new(), 0, Vec::new());
    for (at, (bytes, why)) in bad_lines().into_iter().enumerate() {
        text.extend(format!("{}{line_end}", sound(at + 1)).bytes());
        line += 1;
        if at % 3 == 0 {
            // Blank lines are no facts, and no mistakes; but they are lines.
            text.extend(format!("{line_end}  {line_end}").bytes());
            line += 2;
        }
        line += 1;
        bad.push((line, bytes.clone(), why));
        text.extend(bytes);
        text.extend(line_end.bytes());
    }
    text.extend(format!("{}{line_end}", sound(999)).bytes());
    (text, bad)
}

/// Each bad line is told by its number, with the reason.
fn all_told(said: &Said, bad: &[(usize, Vec<u8>, &'static str)], before: &str) {
    let told: Vec<&str> = said.err.lines().filter(|line| line.starts_with(before)).collect();
    assert_eq!(told.len(), bad.len(), "{}", said.err);
    for (told, (line, _, why)) in told.iter().zip(bad) {
        assert!(
            told.starts_with(&format!("{before}{line}: ")) && told.contains(why),
            "line {line}, {why}: {told}"
        );
        assert!(told.len() < 300, "a bad line is not told in full: {told}");
    }
}

fn sound_lines(folder: &Folder) -> Vec<String> {
    let mut lines = lines_at(&folder.path("facts"));
    lines.sort();
    lines
}

fn expected_lines() -> Vec<String> {
    let mut lines: Vec<String> = (1..=bad_lines().len()).chain([999]).map(sound).collect();
    lines.sort();
    lines
}

#[test]
fn import_counts_numbers_and_keeps_aside_every_bad_line() {
    for line_end in ["\n", "\r\n"] {
        let folder = Folder::new();
        let (text, bad) = mixed(line_end);
        folder.write("f.ndjson", text);
        let said = folder.run(&["import", "facts", "f.ndjson", "--rejects", "bad.ndjson"]).ok();
        all_told(&said, &bad, "f.ndjson:");
        assert!(said.err.contains(&format!("; {} lines are not facts", bad.len())), "{}", said.err);
        assert_eq!(sound_lines(&folder), expected_lines());
        let aside: Vec<u8> =
            bad.iter().flat_map(|(_, bytes, _)| [bytes.as_slice(), line_end.as_bytes()].concat()).collect();
        assert!(folder.read("bad.ndjson") == aside, "rejects are kept byte for byte");
    }
}

#[test]
fn what_is_packed_is_one_error_and_makes_nothing() {
    let folder = Folder::new();
    folder.write("f.ndjson.gz", b"\x1f\x8b\x08\0\0\0\0\0\n\n\n");
    let error = folder.run(&["import", "facts", "f.ndjson.gz"]).failed();
    assert!(error.starts_with("error: cannot read f.ndjson.gz: ") && error.lines().count() == 1, "{error}");
    assert_eq!(folder.names(), ["f.ndjson.gz"]);
    let said = folder.run_with(&["import", "facts", "-"], b"nonsense\n");
    assert!(said.err.ends_with("\nerror: the only line was refused\n"), "{}", said.err);
}

#[test]
fn import_tells_the_first_bad_lines_and_counts_the_others() {
    let folder = Folder::new();
    folder.write("f.ndjson", "nonsense\n".repeat(1234));
    let said = folder.run(&["import", "facts", "f.ndjson"]);
    // None is a fact, and the last line says that this is a failure.
    assert_eq!((said.code, said.err.lines().count()), (Some(1), 23));
    assert!(said.err.ends_with("\nerror: all of 1,234 lines were refused\n"), "{}", said.err);
    assert!(said.err.contains("f.ndjson:20: "));
    assert!(said.err.contains("\n… and 1,214 more lines that are not facts\n"), "{}", said.err);
}

#[test]
fn record_refuses_every_bad_line_and_records_the_rest() {
    let folder = Folder::new();
    let (text, bad) = mixed("\n");
    let said = folder.run_with(&["record", "facts", "--ack"], &text).ok();
    all_told(&said, &bad, "line ");
    assert_eq!(said.out.lines().filter(|ack| *ack == "-").count(), bad.len());
    let acked: Vec<&str> = said.out.lines().filter(|ack| *ack != "-").collect();
    assert_eq!(acked, (1..=bad.len() + 1).map(|seq| format!("1:{seq}")).collect::<Vec<_>>());
    assert!(said.err.ends_with(&format!(
        "recorded {} facts; {} lines were refused\n",
        acked.len(),
        bad.len()
    )));
    assert_eq!(sound_lines(&folder), expected_lines());
}

#[test]
fn a_line_of_one_hundred_mebibytes_is_passed_over() {
    let folder = Folder::new();
    let long = "y".repeat(100 << 20);
    let text = format!("{}\n{long}\n{}\nnonsense\n", sound(1), sound(2));
    folder.write("f.ndjson", &text);
    let said = folder.run(&["import", "facts", "f.ndjson", "--rejects", "bad.ndjson"]).ok();
    assert!(
        said.err.starts_with("f.ndjson:2: longer than 16 MiB\nf.ndjson:4: not a JSON object"),
        "{}",
        said.err
    );
    assert!(folder.read("bad.ndjson") == format!("{long}\nnonsense\n").as_bytes());
    assert_eq!(sound_lines(&folder), [sound(1), sound(2)]);
    // What a later run says has the right numbers, too.
    folder.write("f.ndjson", text + "more nonsense\n");
    let said = folder.run(&["import", "facts", "f.ndjson"]).ok();
    assert!(said.err.contains("f.ndjson:5: not a JSON object"), "{}", said.err);
}

/// Every place at which a file of three lines can be cut.
#[test]
fn a_file_that_was_cut_anywhere_is_completed_without_doubling() {
    let text = format!("{}\r\n\n{}\nnonsense\n{}\n", sound(1), sound(2), sound(3));
    let whole = [sound(1), sound(2), sound(3)];
    let folder = Folder::new();
    for cut in (0..=text.len()).step_by(7).chain([sound(1).len(), sound(1).len() + 1, sound(1).len() + 2]) {
        let store = ostracon::Store::open(folder.path(&format!("facts{cut}"))).unwrap();
        for (text, last) in [(&text[..cut], false), (&text[..], true)] {
            let mut told = Vec::new();
            let import = ostracon::Import::named("f").on_reject(|reject| told.push(reject.line));
            let report = store.import(text.as_bytes(), import).unwrap();
            if last {
                let behind = text[..cut].lines().count() as u64;
                let unfinished = u64::from(!text[..cut].ends_with('\n') && cut > 0);
                assert!(behind - report.resumed_after <= unfinished.max(1), "cut at {cut}: {report:?}");
                assert!(told.is_empty() || told == [4], "cut at {cut}: told {told:?}");
            }
        }
        assert_eq!(super::super::support::lines(&store), whole, "cut at {cut}");
        let report = store.import(text.as_bytes(), ostracon::Import::named("f")).unwrap();
        assert_eq!((report.total(), report.resumed_after), (0, 5), "cut at {cut}");
    }
}

#[test]
fn a_line_that_was_cut_off_is_told_and_completed_by_the_next_run() {
    let folder = Folder::new();
    let whole = format!("{}\n{}\n{}\n", sound(1), sound(2), sound(3));
    folder.write("f.ndjson", &whole[..sound(1).len() + 40]);
    let said = folder.run(&["import", "facts", "f.ndjson"]).ok();
    assert!(said.err.starts_with("f.ndjson:2: not a JSON object: "), "{}", said.err);
    assert_eq!(sound_lines(&folder), [sound(1)]);
    folder.write("f.ndjson", &whole);
    let said = folder.run(&["import", "facts", "f.ndjson"]).ok();
    assert_snapshot!(said.talk(), @"imported 2 facts (2 events, 0 audits, 0 dead letters) in ⏱; the first line was imported before");
    assert_eq!(sound_lines(&folder), [sound(1), sound(2), sound(3)]);
}

#[test]
fn numbers_stay_right_behind_a_last_line_without_a_break() {
    let folder = Folder::new();
    folder.write("f.ndjson", format!("{}\n\nbad\n{}", sound(1), sound(2)));
    let said = folder.run(&["import", "facts", "f.ndjson", "--rejects", "bad.ndjson"]).ok();
    assert!(said.err.starts_with("f.ndjson:3: "), "{}", said.err);
    folder.write("f.ndjson", format!("{}\n\nbad\n{}\r\n\nworse\n{}\nworst", sound(1), sound(2), sound(3)));
    let said = folder.run(&["import", "facts", "f.ndjson", "--rejects", "bad.ndjson"]).ok();
    let numbers: Vec<&str> =
        said.err.lines().filter_map(|line| line.strip_prefix("f.ndjson:")?.split(':').next()).collect();
    assert_eq!(numbers, ["6", "8"], "{}", said.err);
    assert_eq!(sound_lines(&folder), [sound(1), sound(2), sound(3)]);
    assert_eq!(folder.read("bad.ndjson"), b"bad\nworse\nworst\n", "what the first run kept aside stays");
}

#[test]
fn a_file_that_changed_before_the_end_of_what_was_imported_is_not_guessed_at() {
    let folder = Folder::new();
    let lines: Vec<String> = (0..1000).map(sound).collect();
    folder.write("f.ndjson", lines.join("\n") + "\n");
    folder.run(&["import", "facts", "f.ndjson"]).ok();
    let before = folder.tree();
    // Same beginning, other end.
    folder.write(
        "f.ndjson",
        (lines[..999].join("\n") + "\n").replace("shop:990", "shop:xyz") + &sound(5000).repeat(9),
    );
    let error = folder.run(&["import", "facts", "f.ndjson"]).failed();
    assert!(error.contains("f.ndjson") && error.contains("--again"), "{error}");
    assert_eq!(folder.tree().len(), before.len());
    assert_eq!(sound_lines(&folder).len(), 1000);
}
