//! A prompt in a zone of its own: its days, its texts, its pictures; and rules that change while it is open.

use super::super::command::Folder;
use super::terminal::Terminal;

#[test]
fn the_zone_is_that_of_days_and_of_what_is_shown() {
    let folder = Folder::new();
    let line = |at: u64| {
        format!(
            r#"{{"kind":"event","timestamp":{at},"system_id":"shop","actor_address":"shop:1","event_type":"A","payload":{{}}}}"#
        ) + "\n"
    };
    // 23:30 on the 22nd of November 2026 in UTC, and noon after it.
    folder.write("facts.ndjson", line(1_795_390_200) + &line(1_795_435_200));
    folder.run(&["import", "facts", "facts.ndjson"]).ok();
    let count = "SELECT date_trunc('day', at) AS day, at::date AS date, count(*) AS n FROM events GROUP BY 1, 2 ORDER BY 1;\n";
    let said = |script: &str| folder.run_with(&["facts"], script.as_bytes()).ok().out;
    let utc = said(count);
    assert!(utc.contains("2026-11-22T00:00:00Z | 2026-11-22 | 1 |"), "{utc}");
    let athens = said(&format!("\\timezone europe/athens\n{count}"));
    assert!(athens.contains("2026-11-23T00:00:00+02:00 | 2026-11-23 | 2 |"), "{athens}");
    let picture = said(&format!("\\timezone Europe/Athens\n{count}\\plot bar x=day y=n\n"));
    assert!(picture.contains("2026-11-23"), "{picture}");
    let wrong = folder.run_with(&["facts"], b"\\timezone Athens\n");
    assert!(wrong.err.contains("Did you mean Europe/Athens?"), "{}", wrong.err);
}

#[test]
fn a_rule_counts_at_once_in_a_prompt_that_is_open() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 100);
    terminal.ask("SELECT count(*) AS before FROM events;", "1 row in");
    folder.write("facts/ostracon.toml", "[retention]\nmax_records = 10\n");
    terminal.ask("SELECT count(*) + 990 AS after FROM (SELECT 1 FROM events UNION ALL SELECT 1 FROM audits UNION ALL SELECT 1 FROM dead_letters);", "1000 |");
    folder.write("facts/ostracon.toml", "[retention]\nmax_record = 10\n");
    terminal.keys("SELECT 7 AS seven;\r");
    terminal.wait_for("stay in force");
    drop(terminal);
    folder.write("facts/ostracon.toml", "[retention]\nmax_records = 10\n");
    let mut again = Terminal::open(&folder, 100);
    again.ask("SELECT 8 AS eight;", "Rules of retention hide 74 more");
}
