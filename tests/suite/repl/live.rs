//! Beside processes that record.

use std::io::Write;

use super::super::command::Folder;
use super::terminal::Terminal;

fn fact(n: u64) -> String {
    format!(
        r#"{{"kind": "event", "system_id": "shop", "actor_address": "shop:{n}", "event_type": "ActorCrashed", "payload": {{"error": "KeyError: {n}"}}, "timestamp": {}.0}}"#,
        1_795_404_290 + n
    )
}

#[test]
fn every_statement_sees_what_was_recorded_up_to_then() {
    let folder = Folder::with_known_facts();
    let mut writer = folder.spawn(&["record", "facts"]);
    let mut recording = writer.stdin.take().unwrap();
    writeln!(recording, "{}", fact(901)).unwrap();
    let mut terminal = Terminal::open(&folder, 100);
    for n in 902..905 {
        writeln!(recording, "{}", fact(n)).unwrap();
        let sql = format!("SELECT count(*) AS n{n} FROM crashes WHERE actor_address = 'shop:{n}';");
        loop {
            let screen = terminal.ask(&sql, &format!("n{n} |"));
            if screen.rsplit_once("crashes WHERE").unwrap().1.contains("    1 |") {
                break;
            }
        }
    }
    drop(recording);
    assert!(writer.wait().unwrap().success());
}

#[test]
fn facts_are_followed_while_another_process_records() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 100);
    terminal.ask("\\timezone Asia/Tokyo", "times are shown in Asia/Tokyo");
    terminal.keys("\\tail event_type = 'ActorCrashed' AND actor_address <> 'shop:912'\r");
    terminal.wait_for("facts as they are recorded");
    let mut writer = folder.spawn(&["record", "facts"]);
    let mut recording = writer.stdin.take().unwrap();
    for n in [911, 912, 913] {
        writeln!(recording, "{}", fact(n)).unwrap();
    }
    let screen = terminal.wait_for("shop:913  ActorCrashed  KeyError: 913");
    assert!(screen.contains("+09:00  shop:911"), "{screen}");
    assert!(screen.contains("shop:911  ActorCrashed") && !screen.contains("shop:912  "), "{screen}");
    terminal.stop();
    terminal.ask("SELECT 41 + 1 AS n;", "| 42 |");
    drop(recording);
    assert!(writer.wait().unwrap().success());
}

#[test]
fn a_statement_is_watched_until_ctrl_c() {
    let folder = Folder::with_known_facts();
    let mut terminal = Terminal::open(&folder, 100);
    terminal.keys("SELECT count(*) AS n FROM crashes \\watch 0.2\r");
    terminal.wait_for("| 27 |");
    folder.run_with(&["record", "facts"], fact(921).as_bytes()).ok();
    terminal.wait_for("| 28 |");
    terminal.stop();
    terminal.ask("SELECT 41 + 1 AS n;", "| 42 |");
}

#[test]
fn the_banner_names_who_writes_and_what_a_scan_finds() {
    let folder = Folder::with_known_facts();
    let mut writer = folder.spawn(&["record", "facts", "--ack"]);
    let mut recording = writer.stdin.take().unwrap();
    writeln!(recording, "{}", fact(931)).unwrap();
    let mut ack = [0];
    std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut ack).unwrap();
    let terminal = Terminal::open(&folder, 100);
    assert!(terminal.contents().contains("Being written now: stream"), "{}", terminal.contents());
    drop(recording);
    writer.wait().unwrap();

    folder.write("facts/events/stranger.parquet", "no segment");
    let mut terminal = Terminal::open(&folder, 100);
    // A slower scan reports at a later prompt.
    terminal.press_until("SELECT 1;\r", "A quick scan found 1 anomaly");
}
