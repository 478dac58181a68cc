//! Places that are no stores, stores of the future, and settings that nobody knows.

use std::fs;

use insta::assert_snapshot;

use super::super::command::{Folder, KNOWN};

/// Every command that opens a store, writing ones first.
fn commands(store: &str) -> Vec<Vec<String>> {
    let writing =
        [vec!["import", store, KNOWN, "--rejects", "bad.ndjson"], vec!["record", store], vec!["demo", store]];
    let reading = [
        vec!["sql", store, "-c", "SELECT 1"],
        vec!["query", store, "mtbf"],
        vec!["inspect", store, "events"],
        vec!["tail", store, "--cursor", "cursor"],
        vec!["metrics", store],
    ];
    writing.into_iter().chain(reading).map(|args| args.into_iter().map(str::to_owned).collect()).collect()
}

/// Every command fails with an error that says all of this, and touches nothing.
#[track_caller]
fn all_fail(folder: &Folder, store: &str, saying: &[&str]) {
    let before = folder.tree();
    for args in commands(store) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let error = folder.run(&args).failed();
        for what in saying {
            assert!(error.contains(what), "{args:?} does not say {what:?}: {error}");
        }
        assert!(folder.tree() == before, "{args:?} has changed something");
    }
}

#[test]
fn a_file_is_no_store() {
    let folder = Folder::new();
    folder.write("facts", "a file");
    all_fail(
        &folder,
        "facts",
        &["facts is not an Ostracon store: a store is a folder, and this is no folder"],
    );
}

#[test]
fn a_folder_of_other_things_is_no_store() {
    let folder = Folder::new();
    fs::create_dir(folder.path("photos")).unwrap();
    folder.write("photos/cat.jpg", "a cat");
    let before = folder.tree();
    for args in commands("photos").into_iter().take(3) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let error = folder.run(&args).failed();
        assert_eq!(
            error,
            "error: photos is not an Ostracon store: the folder has other files, such as cat.jpg\n"
        );
    }
    all_fail(&folder, "photos", &["photos is not an Ostracon store"]);
    assert!(folder.tree() == before);
}

#[test]
fn a_fresh_volume_is_a_place_for_a_store() {
    let folder = Folder::new();
    for name in ["lost+found", "@eaDir", "$RECYCLE.BIN", "System Volume Information", ".Trash-1000"] {
        fs::create_dir_all(folder.path("volume").join(name)).unwrap();
    }
    for name in ["desktop.ini", "Thumbs.db", ".DS_Store", "Icon\r"] {
        folder.write(&format!("volume/{name}"), "?");
    }
    folder.run(&["import", "volume", KNOWN]).ok();
    for name in ["events/@eaDir", "journal/.Trash", "quarantine/lost+found"] {
        fs::create_dir_all(folder.path("volume").join(name)).unwrap();
    }
    folder.write("volume/audits/Thumbs.db", "?");
    for command in
        [&["scan", "volume"][..], &["doctor", "volume"], &["recover", "volume", "--mode", "repair"]]
    {
        folder.run(command).ok();
    }
    assert!(folder.path("volume/desktop.ini").exists() && folder.path("volume/lost+found").exists());
    assert!(folder.path("volume/audits/Thumbs.db").exists());
}

#[test]
fn a_path_below_a_file_cannot_be_made() {
    let folder = Folder::new();
    folder.write("file", "a file");
    all_fail(&folder, "file/facts", &["file/facts"]);
}

#[test]
fn a_place_where_nothing_can_be_written_is_named() {
    // Not even root can make a folder there.
    let folder = Folder::new();
    all_fail(&folder, "/proc/facts", &["/proc/facts"]);
    assert_snapshot!(folder.run(&["record", "/proc/facts"]).failed(), @"error: cannot create a store at /proc/facts: cannot create /proc/facts: cannot create directory /proc/facts: No such file or directory (os error 2)");
    all_fail(&folder, "/proc/no/such/place", &["/proc/no/such/place"]);
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let folder = Folder::with_known_facts();
    let mut commits: Vec<_> =
        fs::read_dir(folder.path("facts/ledger")).unwrap().map(|e| e.unwrap().path()).collect();
    commits.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    commits.sort();
    assert!(commits.len() > 1);
    for commit in [&commits[0], commits.last().unwrap()] {
        let text = fs::read_to_string(commit).unwrap();
        let newer = text.replacen("\"format\": 1", "\"format\": 2", 1);
        assert_ne!(text, newer);
        let copy = folder.path("facts/ledger-copy").join(commit.file_name().unwrap());
        fs::write(commit, &newer).unwrap();
        fs::write(&copy, newer).unwrap();
        let name = commit.file_name().unwrap().to_str().unwrap();
        all_fail(
            &folder,
            "facts",
            &[name, "has store format 2", "knows formats up to 1", "use a newer ostracon"],
        );
        fs::write(commit, &text).unwrap();
        fs::write(copy, text).unwrap();
    }
    folder.run(&["metrics", "facts"]).ok();
}

#[test]
fn a_setting_that_nobody_knows_is_named_with_its_file() {
    let folder = Folder::with_known_facts();
    let told = |text: &str| {
        folder.write("facts/ostracon.toml", text);
        all_fail(&folder, "facts", &["facts/ostracon.toml"]);
        folder.run(&["metrics", "facts"]).failed()
    };
    assert_snapshot!(told("[flush]\nrowz = 5\n"), @r"
        error: cannot parse the settings in facts/ostracon.toml: TOML parse error at line 2, column 1
          |
        2 | rowz = 5
          | ^^^^
        unknown field `rowz`, expected one of `rows`, `bytes`, `age_seconds`
    ");
    assert_snapshot!(told("durabilty = \"synced\"\n"), @r#"
        error: cannot parse the settings in facts/ostracon.toml: TOML parse error at line 1, column 1
          |
        1 | durabilty = "synced"
          | ^^^^^^^^^
        unknown field `durabilty`, expected one of `durability`, `flush`, `buffer`, `query`, `retention`
    "#);
    assert_snapshot!(told("durability = \"eternal\"\n"), @r#"
        error: cannot parse the settings in facts/ostracon.toml: TOML parse error at line 1, column 14
          |
        1 | durability = "eternal"
          |              ^^^^^^^^^
        unknown variant `eternal`, expected one of `buffered`, `journaled`, `synced`
    "#);
    assert_snapshot!(told("[flush]\nrows = \"many\"\n"), @r#"
        error: cannot parse the settings in facts/ostracon.toml: TOML parse error at line 2, column 8
          |
        2 | rows = "many"
          |        ^^^^^^
        invalid type: string "many", expected u64
    "#);
    assert_snapshot!(told("[flush]\nrows = 0\n"), @"error: the settings in facts/ostracon.toml: flush.rows, flush.bytes and flush.age_seconds must be at least 1");
    assert_snapshot!(told("[buffer]\nmax_bytes = 5\n"), @"error: the settings in facts/ostracon.toml: buffer.max_bytes must not be less than flush.bytes: recording would stop before a flush");
    assert_snapshot!(told("[query]\nmemory_bytes = -1\n"), @r"
        error: cannot parse the settings in facts/ostracon.toml: TOML parse error at line 2, column 16
          |
        2 | memory_bytes = -1
          |                ^^
        invalid value: integer `-1`, expected usize
    ");
    assert_snapshot!(told("not toml"), @r"
        error: cannot parse the settings in facts/ostracon.toml: TOML parse error at line 1, column 5
          |
        1 | not toml
          |     ^
        key with no value, expected `=`
    ");
    folder.write("facts/ostracon.toml", b"durability = \"\xff\"\n");
    all_fail(&folder, "facts", &["facts/ostracon.toml"]);
    folder.write("facts/ostracon.toml", "durability = \"synced\"\n[flush]\nrows = 5\n");
    folder.run(&["metrics", "facts"]).ok();
}

#[test]
fn a_setting_that_nobody_knows_keeps_a_store_from_being_made() {
    let folder = Folder::new();
    fs::create_dir(folder.path("facts")).unwrap();
    folder.write("facts/ostracon.toml", "[flush]\nrowz = 5\n");
    let before = folder.tree();
    let error = folder.run(&["record", "facts"]).failed();
    assert!(error.contains("facts/ostracon.toml") && error.contains("rowz"), "{error}");
    assert!(folder.tree() == before);
}

#[test]
fn settings_made_beforehand_are_kept_when_the_store_is_made() {
    let folder = Folder::new();
    fs::create_dir(folder.path("facts")).unwrap();
    folder.write("facts/ostracon.toml", "durability = \"synced\"\n");
    folder.run(&["import", "facts", KNOWN]).ok();
    assert_eq!(folder.read("facts/ostracon.toml"), b"durability = \"synced\"\n");
}

#[test]
fn facts_without_a_ledger_are_not_taken_for_a_new_store() {
    let folder = Folder::with_known_facts();
    crate::support::lose_ledger(&folder.path("facts"));
    let before = folder.tree();
    let error = folder.run(&["record", "facts"]).failed();
    assert_snapshot!(error, @"error: facts/events has files, but the ledger in facts/ledger is gone; `ostracon scan --deep STORE` shows the damage, and `ostracon recover STORE --mode repair` saves what can be saved");
    assert!(folder.tree() == before);
}

#[test]
fn a_stranger_in_the_store_does_no_harm() {
    let folder = Folder::with_known_facts();
    for name in
        ["facts/.DS_Store", "facts/ledger/notes.txt", "facts/events/copy.parquet.bak", "facts/journal/x"]
    {
        folder.write(name, "a stranger");
    }
    folder.run(&["import", "facts", KNOWN, "--again"]).ok();
    let said = folder.run(&["sql", "facts", "--format", "csv", "-c", "SELECT count(*) FROM events"]).ok();
    assert!(said.out.ends_with("\n130\n"), "{}", said.out);
    assert_eq!(folder.read("facts/journal/x"), b"a stranger");
}
