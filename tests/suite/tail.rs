//! `tail`: the facts in the store's order, resumable, so that a shipper loses none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use ostracon::{Audit, DeadLetter, Fact, Json, Store};
use serde_json::Value;

use super::command::{Folder, KNOWN, SAMPLE, lines_of};
use super::support::crash;

/// `stream:seq` of a line.
fn name(line: &str) -> (i64, i64) {
    let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (line["stream"].as_i64().unwrap(), line["seq"].as_i64().unwrap())
}

/// By what the store orders: recorded_at in nanoseconds, stream, seq.
fn order(line: &str) -> (i128, i64, i64) {
    let parsed: Value = serde_json::from_str(line).unwrap();
    let recorded_at: jiff::Timestamp = parsed["recorded_at"].as_str().unwrap().parse().unwrap();
    let (stream, seq) = name(line);
    (recorded_at.as_nanosecond(), stream, seq)
}

fn cursor_told(err: &str) -> &str {
    err.strip_prefix("cursor: ").unwrap_or_else(|| panic!("{err}")).trim_end()
}

/// Facts of all kinds, distinguishable by their number.
fn mixed(from: u64, upto: u64) -> impl Iterator<Item = Fact<'static>> {
    (from..upto).map(|n| match n % 5 {
        0 => Audit::new("shop", n as f64).into(),
        1 => DeadLetter::new("shop", Some("shop:1"), "Order", Json::null(), n as f64).into(),
        _ => crash(n),
    })
}

/// Three streams: one in segments, one in segments and a journal, one in a journal of a process
/// that is still at it.
fn three_streams(folder: &Folder) -> Vec<Store> {
    let stores: Vec<Store> = (0..2).map(|_| Store::open(folder.path("facts")).unwrap()).collect();
    folder.run(&["import", "facts", SAMPLE]).ok();
    for round in 0..6 {
        for (at, store) in stores.iter().enumerate() {
            for fact in mixed(round * 50, round * 50 + 50) {
                store.record(fact).unwrap();
            }
            if at == 0 && round % 2 == 0 {
                store.flush().unwrap();
            }
        }
    }
    stores
}

#[test]
fn each_line_is_papyras_with_position_and_time_added() {
    let folder = Folder::with_known_facts();
    let said = folder.run(&["tail", "facts"]).ok();
    let told: Vec<&str> = said.out.lines().collect();
    for ((told, line), seq) in told.iter().zip(lines_of(KNOWN)).zip(1..) {
        let added = told.strip_prefix(line.strip_suffix('}').unwrap()).unwrap();
        let (position, time) = added.split_once(", \"recorded_at\": \"").unwrap();
        assert_eq!(position, format!(", \"stream\": {}, \"seq\": {seq}", name(told).0));
        time.strip_suffix("\"}").unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    assert_eq!(told.len(), 84);
    let (origin, positions) = cursor_told(&said.err).split_once('@').unwrap();
    assert_eq!(positions, format!("{}:84", name(told[0]).0));
    assert_eq!(origin.split('.').map(str::len).collect::<Vec<_>>(), [32, 1, 12], "{origin}");
}

#[test]
fn lines_of_several_streams_come_in_the_stores_order() {
    let folder = Folder::new();
    let stores = three_streams(&folder);
    let out = folder.run(&["tail", "facts"]).ok().out;
    let keys: Vec<_> = out.lines().map(order).collect();
    assert!(keys.is_sorted());
    assert_eq!(keys.len(), 1760 + 600);
    assert_eq!(keys.iter().map(|key| key.1).collect::<BTreeSet<_>>().len(), 3, "three streams");
    let sql = "SELECT stream, seq FROM (SELECT recorded_at, stream, seq FROM events UNION ALL SELECT recorded_at, stream, seq FROM audits
        UNION ALL SELECT recorded_at, stream, seq FROM dead_letters) ORDER BY recorded_at, stream, seq";
    let same = folder.run(&["sql", "facts", "--format", "csv", "-c", sql]).ok().out;
    let told: Vec<String> = out.lines().map(name).map(|(stream, seq)| format!("{stream},{seq}")).collect();
    assert_eq!(same.lines().skip(1).collect::<Vec<_>>(), told, "SQL has the same order");
    drop(stores);
}

#[test]
fn only_the_kinds_that_are_asked_for_are_told() {
    let folder = Folder::new();
    let _stores = three_streams(&folder);
    let all = folder.run(&["tail", "facts"]).ok();
    let mut told = 0;
    for (arg, kind) in [("events", "event"), ("audits", "audit"), ("dead-letters", "dead_letter")] {
        let some = folder.run(&["tail", "facts", "--kind", arg]).ok();
        let begin = format!("{{\"kind\": \"{kind}\"");
        let expected: Vec<&str> = all.out.lines().filter(|line| line.starts_with(&begin)).collect();
        assert_eq!(some.out.lines().collect::<Vec<_>>(), expected);
        assert_eq!(some.err, all.err, "the cursor is past the others, too");
        told += expected.len();
    }
    assert_eq!(told, all.out.lines().count());
    let two = folder.run(&["tail", "facts", "--kind", "audits", "--kind", "dead-letters"]).ok();
    assert!(two.out.lines().all(|line| !line.starts_with("{\"kind\": \"event\"")) && !two.out.is_empty());
}

#[test]
fn a_cursor_goes_on_behind_what_it_names() {
    let folder = Folder::new();
    let _stores = three_streams(&folder);
    let all = folder.run(&["tail", "facts"]).ok();
    let names: Vec<_> = all.out.lines().map(name).collect();
    for cut in [0, 1, 2, 500, 1760, 1761, 2000, 2359, 2360] {
        let mut cursor = BTreeMap::new();
        for (stream, seq) in &names[..cut] {
            cursor.insert(*stream, *seq);
        }
        let text: Vec<String> = cursor.iter().map(|(stream, seq)| format!("{stream}:{seq}")).collect();
        let rest = folder.run(&["tail", "facts", "--after", &text.join(",")]).ok();
        assert_eq!(rest.out.lines().map(name).collect::<Vec<_>>(), names[cut..], "after {cut}");
        assert_eq!(rest.err, all.err);
    }
}

#[test]
fn a_cursor_beyond_the_end_is_refused() {
    let folder = Folder::with_known_facts();
    let refused = |cursor: &str| folder.run(&["tail", "facts", "--after", cursor]).failed();
    assert_snapshot!(refused("2:999"), @"error: the cursor 2:999 does not belong to this store: stream 2 ends with fact 84, but the cursor is at 999; it would skip facts; begin without a cursor, or with one of this store");
    assert!(refused("77:5").contains("it has no stream 77"));
    folder.write("shipped", "2:85");
    assert!(folder.run(&["tail", "facts", "--cursor", "shipped"]).failed().contains("2:85"));
    assert_eq!(folder.read("shipped"), b"2:85", "it is left as it was");
    assert_eq!(folder.run(&["tail", "facts", "--after", "2:84,77:0"]).ok().out, "");
    let group = ["group", "create", "facts", "g", "--start", "2:999"];
    assert!(folder.run(&group).failed().contains("does not belong to this store"));
}

#[test]
fn a_cursor_of_another_store_is_refused() {
    let folder = Folder::with_known_facts();
    folder.run(&["tail", "facts", "--cursor", "shipped"]).ok();
    fs::rename(folder.path("facts"), folder.path("before")).unwrap();
    folder.run(&["import", "facts", KNOWN]).ok();
    let refused = folder.run(&["tail", "facts", "--cursor", "shipped"]).failed();
    assert!(refused.contains("it belongs to store ") && refused.contains("but this is store "), "{refused}");
    assert_eq!(folder.run(&["tail", "before", "--cursor", "shipped"]).ok().out, "");
}

/// A store that is put back to what it was, and goes on: its numbers are given out once more.
#[test]
fn a_cursor_of_what_an_older_copy_does_not_have_is_refused() {
    let folder = Folder::new();
    let record = |facts: std::ops::Range<u64>| {
        let store = Store::open(folder.path("facts")).unwrap();
        facts.for_each(|n| assert!(store.record(crash(n)).is_ok()));
        store.close().unwrap();
    };
    let copy = |from: &str, to: &str| {
        let copied =
            std::process::Command::new("cp").arg("-a").arg(folder.path(from)).arg(folder.path(to)).status();
        assert!(copied.unwrap().success());
    };
    record(0..10);
    folder.run(&["tail", "facts", "--cursor", "early"]).ok();
    copy("facts", "copy");
    record(10..20);
    folder.run(&["tail", "facts", "--cursor", "late"]).ok();
    fs::remove_dir_all(folder.path("facts")).unwrap();
    copy("copy", "facts");
    let late = || folder.run(&["tail", "facts", "--cursor", "late"]).failed();
    assert!(late().contains("this is an older copy of the store"), "{}", late());
    record(20..50);
    assert!(late().contains("that was written to since"), "{}", late());
    // What was dealt with before the copy was made is the same in both.
    assert_eq!(folder.run(&["tail", "facts", "--cursor", "early"]).ok().out.lines().count(), 30);
}

#[test]
fn a_cursor_without_a_store_is_read_and_warned_of() {
    let folder = Folder::with_known_facts();
    folder.write("shipped", "2:80\n");
    let said = folder.run(&["tail", "facts", "--cursor", "shipped"]).ok();
    assert_eq!(said.out.lines().count(), 4);
    assert!(said.err.contains("the cursor in shipped does not name its store"), "{}", said.err);
    let said = folder.run(&["tail", "facts", "--cursor", "shipped"]).ok();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""), "now it says");
}

#[test]
fn a_cursor_file_is_made_and_gone_on_from() {
    let folder = Folder::new();
    let stores = three_streams(&folder);
    let first = folder.run(&["tail", "facts", "--cursor", "shipped"]).ok();
    assert_eq!((first.out.lines().count(), first.err.as_str()), (2360, ""));
    let kept = String::from_utf8(folder.read("shipped")).unwrap();
    assert_eq!(kept.trim_end(), cursor_told(&folder.run(&["tail", "facts"]).ok().err));
    assert_eq!(folder.run(&["tail", "facts", "--cursor", "shipped"]).ok().out, "");
    let position = stores[1].record(crash(12345)).unwrap();
    let next = folder.run(&["tail", "facts", "--cursor", "shipped"]).ok();
    assert_eq!(next.out.lines().map(name).collect::<Vec<_>>(), [(i64::from(position.stream.get()), 301)]);
    assert!(!folder.path("shipped.tmp").exists());
}

#[test]
fn a_cursor_that_is_none_is_a_clear_error() {
    let folder = Folder::with_known_facts();
    let error = |cursor: &str| {
        folder.write("cursor", cursor);
        let error = folder.run(&["tail", "facts", "--cursor", "cursor"]).failed();
        assert_eq!(folder.read("cursor"), cursor.as_bytes(), "it is not overwritten");
        error
    };
    assert_snapshot!(error("12"), @r#"error: cannot read a cursor from cursor: "12" is not a cursor; write one such as 1:120,2:77"#);
    for cursor in [
        "1:",
        ":5",
        "1:x",
        "1:-5",
        "1:5;2:6",
        "99999999999999:1",
        "1:99999999999999999999",
        "{\"1\": 5}",
        "\0\0\0",
    ] {
        assert!(error(cursor).starts_with("error: cannot read a cursor from cursor: "), "{cursor:?}");
    }
    folder.write("cursor", b"\xff\xfe");
    assert!(folder.run(&["tail", "facts", "--cursor", "cursor"]).failed().contains("cursor"));
    let error = folder.run(&["tail", "facts", "--cursor", "no/such/folder/cursor"]);
    assert_eq!(error.code, Some(1));
    assert!(error.err.contains("cannot save the cursor in no/such/folder/cursor"), "{}", error.err);
}

/// A tail that is read line by line.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(folder: &Folder, args: &[&str]) -> Self {
        let mut child = folder.spawn(args);
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines() {
                // A line that the kill has cut is no line.
                let Ok(line) = line else { return };
                if !line.ends_with('}') || sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_other_processes_record_is_followed_within_a_second() {
    let folder = Folder::new();
    drop(Store::open(folder.path("facts")).unwrap());
    let following = Following::start(&folder, &["tail", "facts", "--follow"]);
    let mut writers: Vec<Child> =
        (0..2).map(|_| folder.spawn(&["record", "facts", "--flush-rows", "7"])).collect();
    let mut seen = BTreeSet::new();
    let mut slowest = Duration::ZERO;
    for round in 0..20_u64 {
        for (at, writer) in writers.iter_mut().enumerate() {
            writeln!(writer.stdin.as_mut().unwrap(), "{}", crash(round * 10 + at as u64).to_line()).unwrap();
        }
        let begun = Instant::now();
        for _ in 0..2 {
            let line =
                following.lines.recv_timeout(Duration::from_secs(20)).expect("what was recorded is told");
            assert!(seen.insert(name(&line)), "told twice: {line}");
        }
        // The first round also waits for three processes to start.
        if round > 0 {
            slowest = slowest.max(begun.elapsed());
        }
    }
    assert!(slowest < Duration::from_secs(1), "one took {slowest:?}");
    for mut writer in writers {
        drop(writer.stdin.take());
        assert!(writer.wait().unwrap().success());
    }
    assert!(
        following.lines.recv_timeout(Duration::from_millis(600)).is_err(),
        "nothing is told again after a flush"
    );
}

#[test]
fn a_shipper_that_is_killed_again_and_again_ships_every_fact() {
    const FACTS: u64 = 6_000;
    let folder = Folder::new();
    let stores: Vec<Store> = (0..2).map(|_| Store::open(folder.path("facts")).unwrap()).collect();
    let mut shipped: BTreeMap<(i64, i64), u64> = BTreeMap::new();
    let mut lives = 0_u64;
    std::thread::scope(|scope| {
        let recording = scope.spawn(|| {
            for n in 0..FACTS {
                stores[(n % 2) as usize].record(mixed(n, n + 1).next().unwrap()).unwrap();
                if n % 512 == 511 {
                    stores[(n / 512 % 2) as usize].flush().unwrap();
                }
                if n % 8 == 7 {
                    std::thread::sleep(Duration::from_millis(3));
                }
            }
        });
        let begun = Instant::now();
        while !recording.is_finished() || shipped.len() < FACTS as usize {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{} facts of {FACTS} were shipped",
                shipped.len()
            );
            lives += 1;
            let following = Following::start(&folder, &["tail", "facts", "--follow", "--cursor", "shipped"]);
            // Some lives end before anything was done, some amid it.
            let life = Instant::now() + Duration::from_millis(lives * 7919 % 700);
            while let Ok(line) = following.lines.recv_timeout(life.saturating_duration_since(Instant::now()))
            {
                *shipped.entry(name(&line)).or_default() += 1;
            }
            kill_and_drain(following, &mut shipped);
        }
    });
    assert!(lives > 5, "{lives} lives are no test");
    let all: BTreeSet<_> = shipped.keys().copied().collect();
    let told = folder.run(&["tail", "facts"]).ok().out;
    assert_eq!(all, told.lines().map(name).collect(), "every fact at least once, and nothing else");
    assert_eq!(all.len(), FACTS as usize);
    let again: u64 = shipped.values().map(|times| times - 1).sum();
    assert!(again < lives * 1001, "{again} were shipped again in {lives} lives");
}

/// Kills it, and takes what was in the pipe: that has left the process.
fn kill_and_drain(mut following: Following, shipped: &mut BTreeMap<(i64, i64), u64>) {
    following.child.kill().unwrap();
    while let Ok(line) = following.lines.recv() {
        *shipped.entry(name(&line)).or_default() += 1;
    }
}

#[test]
fn a_cursor_is_not_kept_for_what_nobody_could_read() {
    let folder = Folder::with_known_facts();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let args = ["tail", "facts", "--cursor", "shipped"];
    let output = folder.command(&args).stdin(std::process::Stdio::null()).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!folder.path("shipped").exists(), "what was not written was not shipped");
    assert_eq!(folder.run(&args).ok().out.lines().count(), 84);
}
