//! `--plot`: answers as pictures, in the terminal and in files.

use insta::assert_snapshot;

use super::command::{Folder, SAMPLE, Said};

/// The output of a command on a terminal or a pipe of this width.
fn drawn(folder: &Folder, args: &[&str], width: u16) -> String {
    let output = folder.command(args).env("COLUMNS", width.to_string()).output().unwrap();
    let said = Said {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    };
    said.ok().out
}

fn sample() -> Folder {
    let folder = Folder::new();
    folder.run(&["import", "facts", SAMPLE]).ok();
    folder
}

#[test]
fn names_are_bars() {
    let folder = sample();
    let types = ["query", "facts", "error_types", "--plot"];
    assert_snapshot!(drawn(&folder, &types, 80));
    assert_snapshot!(drawn(&folder, &types, 200));
    assert_snapshot!(drawn(&folder, &["query", "facts", "top_crashers", "--set", "limit=40", "--plot"], 80));
}

#[test]
fn times_are_lines_and_histograms() {
    let folder = Folder::with_known_facts();
    assert_snapshot!(drawn(&folder, &["query", "facts", "busiest_hours", "--plot"], 80));
    assert_snapshot!(drawn(&folder, &["query", "facts", "last_crashes", "--plot"], 200));
    let audits =
        ["query", "facts", "audit_trend", "--set", "system=shop", "--plot", "line y=max_alive,last_total"];
    assert_snapshot!(drawn(&folder, &audits, 80));
}

#[test]
fn two_sides_are_a_heat_map() {
    let folder = Folder::with_known_facts();
    let sql = "SELECT date_trunc('hour', at) AS hour, event_type, count(*) AS facts FROM events
               GROUP BY hour, event_type ORDER BY event_type, hour";
    let heat = ["sql", "facts", "-c", sql, "--plot", "heat"];
    assert_snapshot!(drawn(&folder, &heat, 80));
    assert_snapshot!(drawn(&folder, &heat, 200));
}

#[test]
fn every_saved_query_makes_a_picture() {
    let folder = Folder::with_known_facts();
    for query in ostracon::SavedQuery::all() {
        let said = folder.run(&["query", "facts", query.name, "--plot"]).ok();
        assert!(said.out.lines().count() > 2, "{}\n{}", query.name, said.out);
        assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{}\n{}", query.name, said.out);
    }
}

#[test]
fn a_picture_goes_into_a_file() {
    let folder = Folder::with_known_facts();
    let said = folder.run(&["query", "facts", "error_types", "--plot", "out.svg"]).ok();
    assert_eq!((said.out.as_str(), said.talk().as_str()), ("", "wrote out.svg\n8 rows in ⏱\n"));
    let svg = String::from_utf8(folder.read("out.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("KeyError"), "{svg}");
    folder.run(&["query", "facts", "error_types", "--plot", "bar 'a picture.png'"]).ok();
    assert_eq!(folder.read("a picture.png")[..8], *b"\x89PNG\r\n\x1a\n");
    assert!(folder.names().iter().all(|name| !name.contains("partial")));
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let folder = Folder::with_known_facts();
    let plot =
        |request: &str, sql: &str| folder.run(&["sql", "facts", "-c", sql, "--plot", request]).failed();
    assert_snapshot!(plot("pie", "SELECT 1"), @r#"
    error: invalid value 'pie' for '--plot [<PICTURE>]': cannot use "pie" in a picture: a picture may have a kind (bar, line, histogram or heat), columns (x=, y=, z= and by=), and a file that ends in .svg or .png; for example: line x=day y=crashes

    For more information, try '--help'.
    "#);
    assert_snapshot!(plot("", "SELECT make_array(1) AS list"), @"error: there is nothing to draw: a picture needs a time, a number or a text, and the answer has list (neither a number, a time nor a text)");
    assert_snapshot!(plot("", "SELECT at FROM events WHERE false"), @"error: there is nothing to draw: the answer has no rows");
    assert_snapshot!(plot("x=daye", "SELECT at AS day FROM events"), @r#"error: the answer has no column "daye"; it has day (a time)"#);
}

#[test]
fn a_long_answer_is_drawn_whole() {
    let folder = Folder::with_known_facts();
    let sql = "SELECT value FROM generate_series(1, 300000)";
    let said = folder.run(&["sql", "facts", "-c", sql, "--plot"]).ok();
    assert!(said.err.starts_with("300,000 rows in "), "{}", said.err);
    assert!(said.out.contains("300k") && !said.out.contains("Only the first"), "{}", said.out);
}
