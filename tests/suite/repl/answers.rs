//! How answers look: widths, blocks, pager, places; and that payloads do no harm.

use insta::assert_snapshot;

use super::super::command::{Folder, without_times};
use super::terminal::Terminal;

const CRASHES: &str = "SELECT at, actor_address, error_type, payload FROM crashes ORDER BY at, seq LIMIT 3;";

/// The part of the screen after the last typed line.
fn answered(screen: &str, typed: &str) -> String {
    let (_, answer) = screen.rsplit_once(typed).unwrap();
    let lines: Vec<_> = answer.trim().lines().filter(|line| !line.starts_with("facts>")).collect();
    without_times(&lines.join("\n"))
}

#[test]
fn tables_fit_80_columns() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 80);
    let screen = terminal.ask(CRASHES, "3 rows in");
    assert_snapshot!(answered(&screen, "LIMIT 3;"));
}

#[test]
fn tables_fit_behind_a_pipe_that_ends_on_the_terminal() {
    let folder = Folder::with_known_facts();
    let program = [("OSTRACON", env!("CARGO_BIN_EXE_ostracon"))];
    let mut terminal = Terminal::open_with(&folder, 80, &program);
    let fits = |screen: String| {
        let (_, answer) = screen.rsplit_once("| cat").unwrap();
        let lines: Vec<_> = answer.lines().filter(|line| line.contains("…")).collect();
        assert_eq!(lines.len(), 3, "{screen}");
        assert!(lines.iter().all(|line| line.ends_with('|')), "{screen}");
    };
    fits(terminal.ask(&format!("{CRASHES} | cat"), "3 rows in"));
    terminal.keys("\x0c");
    fits(terminal.ask(&format!("SELECT 1; | $OSTRACON sql facts -c '{CRASHES}' | cat"), "3 rows in"));
}

#[test]
fn tables_fit_200_columns_also_after_the_terminal_grew() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 80);
    terminal.ask("SELECT 1 AS a;", "1 row in");
    terminal.resize(200);
    // A line editor notices it at its next read; the text that was typed before stays in its place.
    terminal.ask("SELECT 2 AS b;", "| 2 |");
    let screen = terminal.ask(CRASHES, "3 rows in");
    assert_snapshot!(answered(&screen, "LIMIT 3;"));
}

#[test]
fn rows_are_blocks_when_asked_for() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 120);
    terminal.ask("\\x auto", "block if the table would be cut");
    let screen =
        terminal.ask("SELECT * FROM actors ORDER BY crashes DESC, actor_address LIMIT 1;", "1 row in");
    assert_snapshot!(answered(&screen, "LIMIT 1;"));
}

#[test]
fn what_does_not_fit_goes_through_the_pager() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open_with(&folder, 80, &[("PAGER", "sed 's/^/paged: /' | tail -3")]);
    let short = terminal.ask("SELECT 1 AS a;", "1 row in");
    assert!(!short.contains("paged"), "{short}");
    terminal.ask("SELECT seq FROM events ORDER BY seq;", "paged: +--");
    terminal.ask("\\pager off", "the pager is off");
    terminal.ask("SELECT seq + 1 AS next FROM events ORDER BY seq;", "65 rows in");
}

#[test]
fn a_pager_that_is_not_there_costs_no_answer() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open_with(&folder, 80, &[("PAGER", "no-such-pager")]);
    terminal.ask("SELECT seq FROM events ORDER BY seq;", "`no-such-pager` failed: exit code 127");
    assert!(terminal.bytes().contains("|   8 |"), "{}", terminal.bytes());
}

#[test]
fn a_terminal_comes_to_no_harm_by_any_command() {
    let folder = Folder::new();
    let fact = r#"{"kind": "event", "system_id": "shop", "actor_address": "a\u001b]0;owned\u0007", "event_type": "ActorStarted", "payload": {}, "timestamp": 1.0}"#;
    folder.run_with(&["record", "facts"], fact.as_bytes()).ok();
    for command in ["sql", "repl"] {
        for format in ["csv", "tsv", "json", "ndjson", "markdown", "table"] {
            let args =
                [command, "facts", "--format", format, "-c", "SELECT actor_address, 'é' AS e FROM events"];
            let mut terminal = Terminal::start(&folder, &args, 120, &[]);
            terminal.wait_for("é");
            let sent = terminal.bytes();
            assert!(!sent.contains("\x1b]0;") && !sent.contains("\\x1b[1m"), "{command} {format}: {sent:?}");
            assert_eq!(terminal.end(), 0);
        }
    }
    for args in [
        &["inspect", "facts", "events"][..],
        &["tail", "facts"],
        &["sql", "facts", "-c", "SELECT CAST(concat(actor_address, 'é') AS BIGINT) FROM events"],
    ] {
        let mut terminal = Terminal::start(&folder, args, 200, &[]);
        terminal.wait_for("owned");
        assert!(!terminal.bytes().contains("\x1b]0;"), "{args:?}: {:?}", terminal.bytes());
    }
}

#[test]
fn payloads_do_no_harm() {
    let folder = Folder::new();
    let fact = r#"{"kind": "event", "system_id": "shop", "actor_address": "shop:é日本", "event_type": "ActorCrashed", "payload": {"error": "a\u001b[2J\u001b]0;owned\u0007\ttab\nline\r\u0000\u009b31m end"}, "timestamp": 1795404290.0}"#;
    folder.run_with(&["record", "facts"], fact.as_bytes()).ok();
    let mut terminal = Terminal::open(&folder, 120);
    let screen = terminal.ask("SELECT actor_address, error FROM crashes;", "1 row in");
    assert_snapshot!(answered(&screen, "crashes;"), @r"
    +---------------+------------------------------------------------------+
    | actor_address | error                                                |
    +---------------+------------------------------------------------------+
    | shop:é日本    | a\x1b[2J\x1b]0;owned\x07\ttab\nline\r\x00\x9b31m end |
    +---------------+------------------------------------------------------+
    1 row in ⏱
    ");
    for format in ["csv", "tsv", "json", "ndjson", "markdown"] {
        terminal.ask(&format!("\\format {format}"), &format!("written as {format}"));
        terminal.ask(&format!("SELECT '{format}' AS f, error, 'é¬' AS e FROM crashes;"), "1 row in");
    }
    assert!(terminal.contents().contains("é¬"));
    assert!(!terminal.bytes().contains("\x1b]0;owned") && !terminal.bytes().contains('\u{9b}'));
    let piped = folder.run(&["sql", "facts", "-c", "SELECT error FROM crashes"]).ok();
    assert!(!piped.out.contains('\x1b') && piped.out.contains("\\x1b[2J"), "{}", piped.out);
}

#[test]
fn pictures_fit_the_terminal_and_have_its_colours() {
    let folder = Folder::with_known_facts();
    for (cols, env, coloured) in [(80, &[][..], true), (120, &[("NO_COLOR", "1")][..], false)] {
        let mut terminal = Terminal::open_with(&folder, cols, env);
        terminal.ask("SELECT event_type, count(*) AS n FROM events GROUP BY 1 ORDER BY 2 DESC;", "rows in");
        let screen = terminal.ask("\\plot", "n by event_type");
        let width = screen.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(width > usize::from(cols) * 9 / 10 && width <= usize::from(cols), "{screen}");
        assert_eq!(terminal.is_coloured('█'), Some(coloured), "{screen}");
    }
}

#[test]
fn times_are_shown_in_a_zone() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 100);
    terminal.ask("\\timezone Asia/Tokyo", "times are shown in Asia/Tokyo");
    terminal.ask("SELECT at FROM crashes ORDER BY at LIMIT 1;", "+09:00 |");
    terminal.ask("\\d crashes", "+09:00 |");
    terminal.ask("\\actor shop:2", "Five seconds around the crash at 2026-03-03T20:00:00+09:00");
    terminal.ask("SELECT at, seq FROM events;", "rows in");
    terminal.ask("\\plot line y=seq", "Asia/Tokyo");
}
