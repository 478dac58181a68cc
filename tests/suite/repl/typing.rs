//! Typing at the prompt: lines, pastes, completion, history, Ctrl-C and Ctrl-D.

use std::time::{Duration, Instant};

use super::super::command::Folder;
use super::terminal::{CTRL_C, CTRL_D, CTRL_R, Terminal, UP};

const ENDLESS: &str = "SELECT count(*) FROM events a, events b, events c, events d, events e WHERE a.seq + b.seq + c.seq + d.seq > e.seq;";

#[test]
fn a_statement_may_go_over_lines_and_ends_with_a_semicolon() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 80);
    assert!(terminal.contents().contains("the store facts: 65 events, 10 audits, 9 dead letters."));
    terminal.keys("SELECT count(*) AS n\rFROM crashes\r");
    terminal.wait_for("-- goes on until a ;");
    let screen = terminal.ask(";", "1 row in");
    assert!(screen.contains("| 27 |"), "{screen}");
    assert!(!screen.contains("goes on"), "{screen}");
    terminal.keys(CTRL_D);
    assert_eq!(terminal.end(), 0);
}

#[test]
fn columns_and_values_are_completed() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 100);
    terminal.keys("SELECT actor_ad");
    terminal.press_until("\t", "SELECT actor_address");
    terminal.keys(" FROM crashes WHERE actor_address = 'cash");
    // Values are gathered beside the prompt.
    terminal.press_until("\t", "'cashier'");
    terminal.stop();
    terminal.keys("SELECT * FROM events WHERE event_type = 'ActorC");
    terminal.press_until("\t", "'ActorCrashed'");
    terminal.stop();
    terminal.keys("\\run top_cr");
    terminal.press_until("\t", "top_crashers");
}

#[test]
fn ctrl_c_clears_the_line_and_stops_the_query() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 160);
    terminal.keys("SELECT nonsense");
    terminal.wait_for("SELECT nonsense");
    terminal.stop();
    terminal.ask("SELECT 40 + 2 AS n;", "| 42 |");
    terminal.keys(ENDLESS);
    terminal.keys("\r");
    terminal.wait_for("Ctrl-C stops");
    let pressed = Instant::now();
    terminal.keys(CTRL_C);
    terminal.wait_for("stopped");
    // On a machine that does something else, too; alone it takes some milliseconds.
    assert!(pressed.elapsed() < Duration::from_secs(5), "{:?}", pressed.elapsed());
    terminal.ask("SELECT 6 * 7 + 1 AS n;", "| 43 |");
}

#[test]
fn a_terminal_that_a_signal_takes_the_prompt_from_is_as_before() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 80);
    terminal.keys("SELECT half");
    terminal.wait_for("SELECT half");
    terminal.signal("TERM");
    let bytes = terminal.bytes_at_end();
    let (on, off) = (bytes.rfind("\x1b[?2004h"), bytes.rfind("\x1b[?2004l"));
    assert!(on.is_some() && off > on, "marks around what is pasted stay on: {bytes:?}");
}

#[test]
fn a_command_between_two_lines_costs_no_line_where_nothing_can_be_edited() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open_with(&folder, 80, &[("TERM", "dumb")]);
    terminal.keys("SELECT 6 *\r");
    terminal.keys("\\echo between\r");
    terminal.wait_for("between\n");
    terminal.keys("7 AS n;\r");
    terminal.wait_for("| 42 |");
}

#[test]
fn what_is_pasted_or_typed_ahead_is_asked_line_by_line() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 100);
    let asked =
        |from: u32| (from..from + 4).map(|n| format!("SELECT {n} * 1001 AS n;\r")).collect::<String>();
    let answered = |terminal: &mut Terminal, from: u32| {
        for n in from..from + 4 {
            terminal.wait_for(&format!("| {} |", n * 1001));
        }
    };
    // Without the marks that most terminals put around pasted text.
    terminal.keys(&asked(10));
    answered(&mut terminal, 10);
    // While something else runs.
    terminal.keys("SELECT 1 AS one; | sleep 2\r");
    std::thread::sleep(Duration::from_millis(700));
    terminal.keys(&asked(20));
    answered(&mut terminal, 20);
    // More than is read at once.
    let long = format!("SELECT 77 * 13 AS n -- {}\r;\r", "x".repeat(700));
    terminal.keys(&long.repeat(3));
    terminal.keys(&asked(30));
    answered(&mut terminal, 30);
    // With the marks, and its last line is typed on.
    terminal.stop();
    // The terminal discards its queue when it takes the signal.
    std::thread::sleep(Duration::from_millis(700));
    terminal
        .keys("\x1b[200~SELECT 40 * 1001 AS n;\nSELECT 41 * 1001 AS n;\nSELECT 42 * 1001\x1b[201~ AS n;\r");
    for n in 40..43 {
        terminal.wait_for(&format!("| {} |", n * 1001));
    }
}

#[test]
fn a_command_between_the_lines_of_a_statement_is_done_and_the_statement_stays() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 100);
    terminal.keys("SELECT 6 *\r");
    terminal.wait_for("-- goes on until a ;");
    terminal.keys("\\d audits\r");
    terminal.wait_for("registry_size");
    terminal.wait("the statement, typed again", |screen| {
        let shown = screen.contents();
        shown
            .rfind("SELECT 6 *")
            .is_some_and(|again| shown.rfind("registry_size").is_some_and(|table| again > table))
    });
    terminal.keys("7 AS n;\r");
    terminal.wait_for("| 42 |");
    terminal.keys("SELECT 5 *\r\\nonsense\r");
    terminal.wait_for("there is no command");
    terminal.keys("5 AS n;\r");
    terminal.wait_for("| 25 |");
}

#[test]
fn a_config_with_a_mistake_or_none_that_can_be_read_does_not_keep_the_prompt_from_starting() {
    let folder = Folder::with_known_facts();
    std::fs::create_dir_all(folder.path("config/ostracon")).unwrap();
    for config in ["colour = true\n", "timezone = \"Olympus\"\n", "format = \"csv", "\u{0}"] {
        folder.write("config/ostracon/config.toml", config);
        let mut terminal = Terminal::open(&folder, 120);
        terminal.ask("SELECT 6 * 7 AS n;", "| 42 |");
        assert!(terminal.bytes().contains("the prompt starts without this file"));
    }
    let nowhere = [("HOME", "/dev/null"), ("XDG_CONFIG_HOME", ""), ("XDG_STATE_HOME", "")];
    let mut terminal = Terminal::open_with(&folder, 120, &nowhere);
    terminal.ask("SELECT 6 * 7 AS n;", "| 42 |");
}

#[test]
fn a_pager_that_shows_no_colours_gets_none() {
    let folder = Folder::with_known_facts();
    const MANY: &str = "SELECT seq, NULL AS nothing FROM events ORDER BY seq LIMIT 60;";
    for (pager, coloured) in [("tee paged > /dev/null; :", false), ("cat > paged; :", true)] {
        let mut terminal = Terminal::open_with(&folder, 100, &[("PAGER", pager)]);
        terminal.keys(MANY);
        terminal.keys("\r");
        terminal.wait_for("60 rows");
        let paged = String::from_utf8(folder.read("paged")).unwrap();
        assert_eq!(paged.contains('\x1b'), coloured, "{pager}");
        assert!(paged.contains("nothing") && paged.lines().count() > 60, "{paged}");
    }
}

/// Rows that never have to be waited for leave no moment to hear it in, unless one is made.
#[test]
fn ctrl_c_stops_an_answer_while_it_is_written() {
    const MANY: &str = "SELECT a.payload FROM events a, events b, events c, events d;";
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open_with(&folder, 120, &[("PAGER", "cat > /dev/null")]);
    for format in ["csv", "json"] {
        terminal.ask(&format!("\\format {format}"), &format!("written as {format}"));
        for line in [MANY.to_owned(), format!("\\copy ({}) TO many.{format}", MANY.trim_end_matches(';'))] {
            terminal.keys(&line);
            terminal.keys("\r");
            std::thread::sleep(Duration::from_millis(1500));
            let pressed = Instant::now();
            terminal.stop();
            assert!(pressed.elapsed() < Duration::from_secs(5), "{line} {:?}", pressed.elapsed());
        }
    }
    let left = folder.names().into_iter().filter(|name| name.contains("many")).collect::<Vec<_>>();
    assert!(left.is_empty(), "nothing half-written stays: {left:?}");
}

#[test]
fn ctrl_c_leaves_no_half_of_an_answer_in_a_file() {
    const MANY: &str = "SELECT a.payload FROM events a, events b, events c, events d";
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 120);
    terminal.ask("\\format csv", "written as csv");
    terminal.ask("\\o out.csv", "\\o out.csv");
    terminal.ask("SELECT 1 AS a;", "1 row in");
    terminal.keys(&format!("{MANY};\r"));
    std::thread::sleep(Duration::from_millis(1500));
    assert!(folder.read("out.csv").len() > 1000, "it was being written");
    terminal.stop();
    terminal.ask("SELECT 2 AS b;", "1 row in");
    assert_eq!(folder.read("out.csv"), b"a\n1\nb\n2\n");

    let args = ["sql", "facts", "--output", "many.csv", "-c", MANY];
    let mut command = Terminal::start(&folder, &args, 120, &[]);
    let partial = || folder.names().into_iter().find(|name| name.starts_with("many.csv"));
    let begun = Instant::now();
    while partial().is_none() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(partial().is_some());
    command.keys(CTRL_C);
    assert_eq!((command.end(), partial()), (130, None));
}

#[test]
fn a_file_and_the_last_statement_are_edited() {
    let folder = Folder::with_known_facts();
    folder.write("a.sql", "SELECT 20 AS n;\n");
    let editor =
        "f() { stat -c %a $1 > mode; case $(cat $1) in *leave*) ;; *) sed -i s/20/40+2/ $1;; esac; }; f";
    let mut terminal = Terminal::open_with(&folder, 100, &[("VISUAL", editor)]);
    terminal.keys("\\e a.sql\r");
    terminal.wait_for("> SELECT 40+2 AS n;");
    terminal.ask(" \\g", "| 42 |");
    assert_eq!(folder.read("a.sql"), b"SELECT 40+2 AS n;\n");
    terminal.ask("SELECT 20 + 1 AS m;", "| 21 |");
    terminal.keys("\\e\r");
    terminal.wait_for("> SELECT 40+2 + 1 AS m;");
    assert_eq!(folder.read("mode"), b"600\n", "what was asked is for nobody else");
    terminal.stop();
    terminal.ask("SELECT 'leave' AS l;", "| leave |");
    // It was not written, and nothing is typed.
    terminal.ask("\\e", "\\e");
    terminal.ask("SELECT 7 * 7 AS k;", "| 49 |");
}

#[test]
fn a_long_paste_is_one_statement() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 80);
    let lines: Vec<_> = (0..198).map(|n| format!("  {n},")).collect();
    let text = format!("SELECT count(*) AS n FROM events WHERE seq IN (\n{}\n  -1);", lines.join("\n"));
    assert_eq!(text.lines().count(), 200);
    terminal.keys(&format!("\x1b[200~{text}\x1b[201~"));
    terminal.wait_for("-1);");
    terminal.keys("\r");
    let screen = terminal.wait_for("1 row in");
    assert!(screen.contains("| 65 |"), "{screen}");
}

#[test]
fn what_was_typed_is_there_in_the_next_session() {
    let folder = Folder::with_known_facts();
    let mut first = Terminal::open(&folder, 80);
    first.ask("SELECT 'the first' AS a;", "1 row");
    first.ask("SELECT 'the second' AS b;", "| the second |");
    first.ask("SELECT 'the first' AS a;", "1 row");
    first.keys(CTRL_D);
    assert_eq!(first.end(), 0);

    let mut second = Terminal::open(&folder, 80);
    second.keys(UP);
    second.wait_for("> SELECT 'the first' AS a;");
    second.keys(UP);
    second.wait_for("> SELECT 'the second' AS b;");
    second.stop();
    second.keys(CTRL_R);
    second.keys("secon");
    second.wait_for("SELECT 'the second' AS b;");
    second.keys("\r");
    second.wait_for("| the second |");
    second.keys("\r");
    let kept = String::from_utf8(folder.read("state/ostracon/history")).unwrap();
    let mut newest: Vec<_> = kept.lines().rev().collect();
    newest.truncate(2);
    assert_eq!(newest, ["SELECT 'the second' AS b;", "SELECT 'the first' AS a;"]);
}

#[test]
fn an_unknown_name_is_likely_another() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 100);
    // The names are gathered beside the prompt.
    terminal.keys("SELECT * FROM crash");
    terminal.press_until("\t", "FROM crashes");
    terminal.stop();
    terminal.ask("SELECT actor_adress FROM crashes;", "Did you mean 'crashes.actor_address'?");
    terminal.ask("SELECT * FROM crashs;", "Did you mean crashes?");
    terminal.ask("\\run top_crasher", "Did you mean top_crashers?");
    terminal.ask("\\qeuries", "did you mean \\queries?");
}

#[test]
fn colours_are_there_unless_no_color_is_set() {
    let folder = Folder::with_known_facts();
    let sgr = |bytes: &str| {
        bytes
            .split("\x1b[")
            .skip(1)
            .any(|rest| rest.find('m') == rest.find(|c: char| c.is_ascii_alphabetic()) && rest.contains('m'))
    };
    let mut terminal = Terminal::open(&folder, 80);
    terminal.ask("SELECT 'x' AS a, NULL AS b;", "1 row");
    assert!(sgr(&terminal.bytes()));
    let mut plain = Terminal::open_with(&folder, 80, &[("NO_COLOR", "1")]);
    plain.ask("SELECT 'x' AS a, NULL AS b;", "1 row");
    assert!(!sgr(&plain.bytes()), "{:?}", plain.bytes());
}

#[test]
fn a_store_alone_is_the_prompt() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::start(&folder, &["facts"], 80, &[]);
    terminal.wait_for("To begin with:");
    terminal.keys("\\q\r");
    assert_eq!(terminal.end(), 0);
}
