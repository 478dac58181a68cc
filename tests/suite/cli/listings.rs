//! `inspect` and `metrics`: facts in Papyra's form, and a store in numbers.

use insta::assert_snapshot;

use super::super::command::Folder;

fn inspect(folder: &Folder, args: &[&str]) -> String {
    let args = [&["inspect", "facts"], args].concat();
    let said = folder.run(&args).ok();
    assert_eq!(said.err, "");
    said.out
}

#[test]
fn events_have_papyras_line() {
    let folder = Folder::with_known_facts();
    assert_snapshot!(inspect(&folder, &["events", "--limit", "3"]), @r"
        [1772535600.000] ActorCrashed shop:2
        [1772535600.750] ActorRestarted shop:2
        [1772537400.000] ActorStarted shop:9
    ");
    let all = inspect(&folder, &["events"]);
    assert_eq!(all.lines().count(), 65);
    assert!(all.starts_with("[1772355600.000] ActorStarted shop:1\n"));
}

#[test]
fn audits_have_papyras_line() {
    assert_snapshot!(inspect(&Folder::with_known_facts(), &["audits", "--limit", "2"]), @r"
        [1772539200.000] total=6 alive=5 stopping=0 restarting=0 dead_letters=2
        [1772539200.000] total=4 alive=2 stopping=0 restarting=0 dead_letters=3
    ");
}

#[test]
fn dead_letters_have_papyras_line() {
    assert_snapshot!(inspect(&Folder::with_known_facts(), &["dead-letters"]), @r#"
        [1772360100.500] target=shop:3 type=SendMail payload={"to": "ann@example.org", "order": 7001}
        [1772360101.000] target=shop:3 type=SendMail payload={"to": "bob@example.org", "order": 7002}
        [1772360190.000] target=shop:3 type=Tick payload=null
        [1772366427.000] target=shop:4 type=StockQuery payload={"sku": "sku-103"}
        [1772366440.000] target=shop:4 type=StockQuery payload={"sku": "sku-104"}
        [1772368200.000] target=shop:4 type=Stocktake payload="all"
        [1772443800.000] target=None type=Ping payload={"n": 1}
        [1772445600.000] target=billing-eu:3 type=Invoice payload={"id": 12345678901234567890123, "total": 19.9}
        [1772535600.250] target=shop:2 type=AddToCart payload={"sku": "sku-300", "qty": 2}
    "#);
}

#[test]
fn the_summary_has_papyras_lines() {
    assert_snapshot!(inspect(&Folder::with_known_facts(), &["summary"]), @r"
        Actors: total=4 alive=2 stopping=0 restarting=0
        Dead letters: 9
    ");
}

#[test]
fn the_limit_keeps_the_newest_in_the_order_of_recording() {
    let folder = Folder::with_known_facts();
    let all: Vec<String> = inspect(&folder, &["events"]).lines().map(str::to_owned).collect();
    for limit in [0, 1, 7, 64, 65, 66, 100_000] {
        let some = inspect_quietly(&folder, &["events", "--limit", &limit.to_string()]);
        let newest = &all[all.len().saturating_sub(limit)..];
        assert_eq!(some.lines().collect::<Vec<_>>(), newest, "limit {limit}");
    }
}

#[test]
fn reverse_shows_the_newest_first() {
    let folder = Folder::with_known_facts();
    let mut lines: Vec<String> =
        inspect(&folder, &["events", "--limit", "9"]).lines().map(str::to_owned).collect();
    lines.reverse();
    assert_eq!(inspect(&folder, &["events", "--limit", "9", "--reverse"]).lines().collect::<Vec<_>>(), lines);
}

#[test]
fn since_is_inclusive_and_in_the_facts_own_seconds() {
    let folder = Folder::with_known_facts();
    let all = inspect(&folder, &["events"]);
    let seconds = |line: &str| line[1..].split(']').next().unwrap().parse::<f64>().unwrap();
    for since in ["1772537400", "1772445600.0", "1772355600", "0", "-5", "1e300"] {
        let some = inspect_quietly(&folder, &["events", "--since", since]);
        let expected: Vec<_> = all.lines().filter(|line| seconds(line) >= since.parse().unwrap()).collect();
        assert_eq!(some.lines().collect::<Vec<_>>(), expected, "since {since}");
    }
}

fn inspect_quietly(folder: &Folder, args: &[&str]) -> String {
    folder.run(&[&["inspect", "facts"], args].concat()).ok().out
}

#[test]
fn filters_count_before_the_limit() {
    let folder = Folder::with_known_facts();
    let crashes: Vec<String> = inspect(&folder, &["events"])
        .lines()
        .filter(|l| l.contains(" ActorCrashed "))
        .map(str::to_owned)
        .collect();
    assert_eq!(crashes.len(), 27);
    let some = inspect(&folder, &["events", "--event-type", "ActorCrashed", "--limit", "20"]);
    assert_eq!(some.lines().collect::<Vec<_>>(), crashes[7..]);
    let one = inspect(
        &folder,
        &["events", "--event-type", "ActorCrashed", "--limit", "1", "--since", "1772445600"],
    );
    assert_eq!(one.lines().collect::<Vec<_>>(), crashes[26..]);

    let letters = inspect(&folder, &["dead-letters"]);
    let to_mailer: Vec<_> = letters.lines().filter(|line| line.contains("target=shop:3 ")).collect();
    assert_eq!(to_mailer.len(), 3);
    let some = inspect(&folder, &["dead-letters", "--target", "shop:3", "--limit", "2"]);
    assert_eq!(some.lines().collect::<Vec<_>>(), to_mailer[1..]);
}

#[test]
fn a_rare_event_far_back_is_found_behind_any_limit() {
    let folder = Folder::new();
    let line = |kind: &str, n: usize| {
        format!(
            r#"{{"kind": "event", "system_id": "s", "actor_address": "s:{n}", "event_type": "{kind}", "payload": {{}}, "timestamp": {n}.5}}"#
        )
    };
    let mut text = format!("{}\n", line("Rare", 0));
    for n in 1..30_000 {
        text += &format!("{}\n", line("Usual", n));
    }
    folder.write("f.ndjson", text);
    folder.run(&["import", "facts", "f.ndjson"]).ok();
    assert_eq!(inspect(&folder, &["events", "--event-type", "Rare", "--limit", "1"]), "[0.500] Rare s:0\n");
    let usual = inspect(&folder, &["events", "--event-type", "Usual", "--limit", "20000"]);
    assert_eq!(usual.lines().count(), 20_000);
    assert!(usual.starts_with("[10000.500] Usual s:10000\n"));
}

#[test]
fn nothing_to_show_is_no_error_and_no_result() {
    let folder = Folder::new();
    folder.run_with(&["record", "facts"], b"").ok();
    for what in ["events", "audits", "dead-letters"] {
        let said = folder.run(&["inspect", "facts", what]).ok();
        assert_eq!((said.out, said.err), (String::new(), format!("no {} to show\n", what.replace('-', " "))));
    }
    assert_eq!(inspect(&folder, &["summary"]), "Actors: no audit recorded\nDead letters: 0\n");
}

#[test]
fn timestamps_that_are_no_epoch_times_are_shown_as_they_are() {
    let folder = Folder::new();
    let mut text = String::new();
    for timestamp in ["0.0", "-3.25", "12.3456", "1e22", "4093.207413239"] {
        text += &format!(
            "{{\"kind\": \"event\", \"system_id\": \"s\", \"actor_address\": \"s:1\", \"event_type\": \"E\", \"payload\": {{}}, \"timestamp\": {timestamp}}}\n"
        );
    }
    folder.run_with(&["record", "facts"], text.as_bytes()).ok();
    assert_snapshot!(inspect(&folder, &["events"]), @r"
        [0.000] E s:1
        [-3.250] E s:1
        [12.346] E s:1
        [10000000000000000000000.000] E s:1
        [4093.207] E s:1
    ");
}

#[test]
fn metrics_come_in_three_forms() {
    let folder = Folder::with_known_facts();
    // This test does not show how small a segment gets.
    let steady = |text: &str| -> String {
        let lines = text.lines().filter(|line| !line.contains("segment_bytes"));
        lines.flat_map(|line| [line, "\n"]).collect()
    };
    let people = folder.run(&["metrics", "facts"]).ok();
    assert_snapshot!(steady(&people.out), @r"
        events                                         65
        events_segments                                 1
        events_fact_bytes                          12,455
        audits                                         10
        audits_segments                                 1
        audits_fact_bytes                           2,445
        dead_letters                                    9
        dead_letters_segments                           1
        dead_letters_fact_bytes                     1,407
        facts                                          84
        unflushed                                       0
        streams                                         1
        commits                                         2
        hidden                                          0
    ");
    let prometheus = folder.run(&["metrics", "facts", "--prometheus"]).ok();
    assert_snapshot!("metrics_prometheus", steady(&prometheus.out));
    let json = folder.run(&["metrics", "facts", "--json"]).ok();
    assert_eq!(json.out.lines().count(), 1);
    let json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["facts"], 84);
    for (name, value) in &json {
        assert!(prometheus.out.contains(&format!("\nostracon_{name} {value}\n")), "{name}");
        assert!(people.out.contains(name.as_str()), "{name}");
    }
    assert_eq!(format!("{}{}{}", people.err, prometheus.err, ""), "");
}

#[test]
fn metrics_count_what_is_only_journaled() {
    let folder = Folder::new();
    let store = ostracon::Store::open(folder.path("facts")).unwrap();
    store.record(super::super::support::crash(1)).unwrap();
    let json = folder.run(&["metrics", "facts", "--json"]).ok().out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["events"], &json["unflushed"], &json["events_segments"]),
        (&1.into(), &1.into(), &0.into())
    );
}
