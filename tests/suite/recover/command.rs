//! `ostracon recover`, `doctor` and `startup-check`: their output and their exit codes.

use super::super::command::Folder;
use super::scene::change;
use crate::support::copy_tree;

fn damaged() -> Folder {
    let folder = Folder::with_known_facts();
    let events = events(&folder);
    change(&events, |bytes| bytes.truncate(bytes.len() - 1));
    folder
}

fn events(folder: &Folder) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(folder.path("facts/events")).unwrap();
    files.next().unwrap().unwrap().path()
}

#[test]
fn recover_ends_with_0_when_the_store_is_clean_and_with_2_when_it_is_not() {
    let folder = damaged();
    let said = folder.run(&["recover", "facts"]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.out.contains("segment_size"), "{said:#?}");
    let said = folder.run(&["recover", "facts", "--mode", "repair"]).ok();
    assert!(said.out.contains("repaired    events/") && said.out.ends_with("after       nothing is wrong\n"));
    let said = folder.run(&["recover", "facts"]).ok();
    assert_eq!(said.out, "before      nothing is wrong\nafter       nothing is wrong\n");
}

#[test]
fn recover_without_a_mode_says_that_nothing_was_done() {
    let folder = damaged();
    let said = folder.run(&["recover", "facts"]);
    assert!(said.err.contains("nothing was changed") && said.err.contains("--mode repair"), "{said:#?}");
    let sound = Folder::with_known_facts();
    assert_eq!(sound.run(&["recover", "facts"]).ok().err, "");
    // Its help agrees with the folders that it refuses.
    let help = folder.run(&["recover", "--help"]).ok().out;
    assert!(help.contains("mode quarantine requires it"), "{help}");
}

#[test]
fn who_names_no_recovery_mode_loses_no_damaged_byte() {
    for command in ["doctor", "startup-check"] {
        let folder = Folder::with_known_facts();
        change(&events(&folder), |bytes| {
            let half = bytes.len() / 2;
            bytes[..half].fill(0);
            bytes.pop();
        });
        let damaged = std::fs::read(events(&folder)).unwrap();
        let said = folder.run(&[command, "facts", "--mode", "recover"]).ok();
        assert!(said.err.contains("facts are lost") && said.err.contains("facts/quarantine"), "{said:#?}");
        let kept = std::fs::read_dir(folder.path("facts/quarantine/events")).unwrap();
        let kept: Vec<_> = kept.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
        assert_eq!(kept, [damaged], "{command}");
    }
}

#[test]
fn recover_tells_a_program_everything() {
    let folder = damaged();
    let said =
        folder.run(&["recover", "facts", "--mode", "quarantine", "--quarantine-dir", "aside", "--json"]).ok();
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["mode"], "quarantine");
    assert_eq!(report["scan"]["anomalies"][0]["kind"], "segment_size");
    assert_eq!(report["after"]["anomalies"], serde_json::json!([]));
    assert!(report["quarantined_files"][0].as_str().unwrap().starts_with("aside/events/"));
}

#[test]
fn a_file_beside_the_stores_folders_is_told_and_left_alone() {
    let folder = damaged();
    folder.write("facts/README.txt", "whose facts these are");
    std::fs::create_dir(folder.path("facts/notes")).unwrap();
    for mode in ["repair", "quarantine", "rebuild"] {
        folder.run(&["recover", "facts", "--mode", mode, "--quarantine-dir", "aside"]).ok();
        assert_eq!(folder.read("facts/README.txt"), b"whose facts these are");
        assert!(folder.path("facts/notes").is_dir());
    }
    let said = folder.run(&["scan", "facts"]).ok();
    assert!(said.out.contains("README.txt: not part of the store; it is left alone"), "{said:#?}");
}

#[test]
fn recover_gives_a_summary_and_all_of_it_when_told() {
    let folder = Folder::new();
    let store = ostracon::Store::open(folder.path("facts")).unwrap();
    for n in 0..30 {
        store.record(crate::support::crash(n)).unwrap();
        store.flush().unwrap();
    }
    store.close().unwrap();
    drop(store);
    for entry in std::fs::read_dir(folder.path("facts/events")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let looked = folder.run(&["recover", "facts"]);
    assert_eq!(looked.code, Some(2));
    assert_eq!(looked.out.lines().count(), 5, "{}", looked.out);
    assert!(looked.out.contains("segment_missing: and 27 more; --verbose lists all"), "{}", looked.out);
    assert!(looked.out.ends_with("after       the same anomalies as before\n"), "{}", looked.out);
    let all = folder.run(&["recover", "facts", "--verbose"]);
    assert_eq!(all.out.matches("segment_missing").count(), 30, "{}", all.out);
    let doctor = folder.run(&["doctor", "facts"]);
    assert!(doctor.out.contains("and 27 more"), "{}", doctor.out);

    let said = folder.run(&["recover", "facts", "--mode", "repair"]).ok();
    assert!(said.out.lines().count() < 15, "{}", said.out);
    assert!(said.out.contains("30 facts in total, from 30 files"), "{}", said.out);
    assert!(said.out.ends_with("after       nothing is wrong\n"), "{}", said.out);
}

#[test]
fn misuse_ends_with_1_and_a_reason() {
    let folder = damaged();
    let before = folder.tree();
    for (args, why) in [
        (&["recover", "facts", "--mode", "quarantine"][..], "needs a folder"),
        (&["recover", "facts", "--mode", "pray"], "[possible values: ignore, repair, quarantine, rebuild]"),
        (&["recover", "nowhere", "--mode", "repair"], "is not an Ostracon store"),
        (
            &["recover", "facts", "--mode", "quarantine", "--quarantine-dir", "facts/events"],
            "is within the store",
        ),
        (&["doctor", "facts", "--mode", "recover", "--recovery-mode", "quarantine"], "needs a folder"),
        (&["startup-check", "facts", "--mode", "maybe"], "fail_on_anomaly]"),
    ] {
        let error = folder.run(args).failed();
        assert!(error.contains(why), "{args:?}: {error}");
    }
    assert!(folder.tree() == before, "misuse changes nothing");
}

#[test]
fn doctor_and_startup_check_have_the_codes_of_their_modes() {
    for command in ["doctor", "startup-check"] {
        let sound = Folder::with_known_facts();
        for mode in ["ignore", "scan_only", "recover", "fail_on_anomaly", "fail-on-anomaly"] {
            sound.run(&[command, "facts", "--mode", mode]).ok();
        }
        sound.run(&[command, "facts"]).ok();

        let folder = damaged();
        let before = folder.tree();
        for (mode, code) in [("ignore", 0), ("scan_only", 0), ("fail_on_anomaly", 1)] {
            let said = folder.run(&[command, "facts", "--mode", mode]);
            assert_eq!(said.code, Some(code), "{command} {mode}: {said:#?}");
            assert!(said.out.contains("segment_size"), "{said:#?}");
        }
        assert_eq!(folder.run(&[command, "facts"]).code, Some(1));
        let said = folder.run(&[command, "facts", "--mode", "recover", "--recovery-mode", "ignore"]);
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert!(folder.tree() == before, "nothing was changed so far");
        folder.run(&[command, "facts", "--mode", "recover"]).ok();
        folder.run(&[command, "facts"]).ok();
    }
}

#[test]
fn doctor_looks_at_every_byte_and_startup_check_does_so_when_told() {
    let folder = Folder::with_known_facts();
    change(&events(&folder), |bytes| bytes[40] ^= 1);
    assert_eq!(folder.run(&["startup-check", "facts"]).code, Some(0));
    assert_eq!(folder.run(&["startup-check", "facts", "--deep"]).code, Some(1));
    assert_eq!(folder.run(&["doctor", "facts", "--quick"]).code, Some(0));
    assert_eq!(folder.run(&["doctor", "facts"]).code, Some(1));
}

#[test]
fn a_ledger_beyond_help_needs_to_be_rebuilt() {
    let folder = Folder::with_known_facts();
    let count = || folder.run(&["sql", "facts", "-c", "SELECT count(*) FROM events", "--format", "csv"]);
    let before = count().ok().out;
    let both = crate::support::both_files(&folder.path("facts"), 1);
    both.iter().for_each(|path| change(path, |bytes| bytes[100] ^= 1));
    let aside = Folder::new();
    copy_tree(&folder.path("facts"), &aside.path("."));
    count().failed();
    let said = folder.run(&["recover", "facts", "--mode", "repair"]);
    assert_eq!(said.code, Some(2));
    assert!(said.out.contains("only mode rebuild"), "{said:#?}");
    let said = folder.run(&["recover", "facts", "--mode", "rebuild"]).ok();
    assert!(said.out.contains("not known: what commit 1 did"), "{said:#?}");
    assert_eq!(count().ok().out, before);
}
