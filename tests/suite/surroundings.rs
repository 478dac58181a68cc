//! What a store stands in: users, rights, descriptors, settings, temporary folders. A failure of these
//! is told as what it is, never as damage.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Output;

use ostracon::{AnomalyKind, ErrorKind, ScanDepth, StartupMode, Store, scan};

use super::command::Folder;
use super::support::{crash, lines_at};

/// A user that is not root; only root can become one.
const SERVICE: u32 = 12_345;

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn chown(path: &std::path::Path, user: u32) {
    let status =
        std::process::Command::new("chown").arg("-R").arg(format!("{user}:{user}")).arg(path).status();
    assert!(status.unwrap().success());
}

/// Runs a command as this user, with one fact on its input.
fn run_as(folder: &Folder, user: u32, args: &[&str]) -> Output {
    let usual = folder.command(args);
    // Another user may not be allowed into the folder that the program was built in.
    let program = folder.path("program");
    if !program.exists() && fs::hard_link(usual.get_program(), &program).is_err() {
        fs::copy(usual.get_program(), &program).unwrap();
    }
    let mut command = std::process::Command::new(&program);
    command.args(args).current_dir(folder.path(".")).uid(user).gid(user);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::Write;
    let _ = writeln!(child.stdin.take().unwrap(), "{}", crash(u64::from(user)).to_line());
    child.wait_with_output().unwrap()
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder in which `facts` is a store of the service.
fn store_of_the_service() -> Folder {
    let folder = Folder::new();
    fs::set_permissions(folder.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(folder.path("facts")).unwrap();
    chown(&folder.path("facts"), SERVICE);
    ok(&run_as(&folder, SERVICE, &["record", "facts"]));
    folder
}

#[test]
fn what_root_makes_in_a_store_stays_the_services() {
    if !is_root() {
        return;
    }
    let folder = store_of_the_service();
    for args in [["record", "facts"], ["compact", "facts"], ["record", "facts"]] {
        ok(&run_as(&folder, 0, &args));
        ok(&run_as(&folder, SERVICE, &args));
    }
    ok(&run_as(&folder, 0, &["group", "create", "facts", "g"]));
    ok(&run_as(&folder, SERVICE, &["group", "remove", "facts", "g"]));
    assert_eq!(lines_at(&folder.path("facts")).len(), 5);
    let mut folders = vec![folder.path("facts")];
    while let Some(path) = folders.pop() {
        assert_eq!(fs::metadata(&path).unwrap().uid(), SERVICE, "{}", path.display());
        if path.is_dir() {
            folders.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(scan(folder.path("facts"), ScanDepth::Deep).unwrap().notes.is_empty());
}

#[test]
fn what_root_makes_in_a_backup_stays_the_services() {
    if !is_root() {
        return;
    }
    let folder = store_of_the_service();
    fs::create_dir(folder.path("backups")).unwrap();
    chown(&folder.path("backups"), SERVICE);
    fs::set_permissions(folder.path("facts"), fs::Permissions::from_mode(0o750)).unwrap();
    ok(&run_as(&folder, SERVICE, &["backup", "facts", "backups/one"]));
    ok(&run_as(&folder, SERVICE, &["record", "facts"]));
    folder.run_limited("umask 077", &["backup", "facts", "backups/one", "--incremental"]).ok();
    folder.run_limited("umask 077", &["backup", "facts", "backups/two"]).ok();
    for copy in ["backups/one", "backups/two"] {
        ok(&run_as(&folder, SERVICE, &["tail", copy]));
        ok(&run_as(&folder, SERVICE, &["backup", "facts", copy, "--incremental"]));
        assert_eq!(lines_at(&folder.path(copy)).len(), 2);
        // And no one else may look into what nobody else could look into.
        assert_eq!(fs::metadata(folder.path(copy)).unwrap().mode() & 0o777, 0o750, "{copy}");
    }
}

#[test]
fn a_stream_that_may_not_be_locked_is_passed_by() {
    if !is_root() {
        return;
    }
    let folder = store_of_the_service();
    // As an earlier version left it: a stream of root's, and the lock of the maintenance.
    chown(&folder.path("facts/journal/1"), 0);
    fs::write(folder.path("facts/ledger/maintenance.lock"), "").unwrap();
    chown(&folder.path("facts/ledger/maintenance.lock"), 0);
    let said = ok(&run_as(&folder, SERVICE, &["record", "facts"]));
    assert!(said.contains("chown") && said.contains("is skipped"), "{said}");
    ok(&run_as(&folder, SERVICE, &["compact", "facts"]));
    assert_eq!(lines_at(&folder.path("facts")).len(), 2);
    let report = scan(folder.path("facts"), ScanDepth::Deep).unwrap();
    assert!(report.is_clean(), "{:?}", report.anomalies);
    let note = &report.notes[0].what;
    assert!(
        note.contains("another user") && note.contains(&format!("chown -R {SERVICE}:{SERVICE}")),
        "{note}"
    );
}

#[test]
fn rights_that_are_missing_are_told_in_one_sentence() {
    if !is_root() {
        return;
    }
    let folder = store_of_the_service();
    chown(&folder.path("facts"), 0);
    let output = run_as(&folder, SERVICE, &["record", "facts"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("belongs to user 0") && said.contains(&format!("chown -R {SERVICE}")), "{said}");
    assert!(!said.contains("damaged") && !said.contains("recover"), "{said}");
    // And a segment that may not be read is not a damaged one.
    let segment = fs::read_dir(folder.path("facts/events")).unwrap().next().unwrap().unwrap().path();
    fs::set_permissions(&segment, fs::Permissions::from_mode(0o000)).unwrap();
    for args in [
        vec!["scan", "facts", "--deep"],
        vec!["sql", "facts", "-c", "SELECT payload FROM events"],
        vec!["tail", "facts"],
        vec!["inspect", "facts", "events"],
    ] {
        let output = run_as(&folder, SERVICE, &args);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            continue;
        }
        assert!(said.contains("ermission denied"), "{args:?}: {said}");
        assert!(!said.contains("damaged") && !said.contains("ostracon recover"), "{args:?}: {said}");
    }
}

/// The folders of the store are root's alone: what is in them is not known, and the store not denied.
#[test]
fn folders_that_may_not_be_read_do_not_mean_that_there_is_no_store() {
    if !is_root() {
        return;
    }
    let folder = store_of_the_service();
    for entry in fs::read_dir(folder.path("facts")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            chown(&path, 0);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
    for command in ["scan", "doctor", "startup-check", "verify", "recover", "tail"] {
        let output = run_as(&folder, SERVICE, &[command, "facts"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{command}: {said}");
        assert!(said.contains("ermission denied") && said.contains("chown"), "{command}: {said}");
        assert!(!said.contains("not an Ostracon store") && !said.contains("damaged"), "{command}: {said}");
    }
}

/// Whoever may write into the folder, what is made in it is not for everybody to write.
#[test]
fn in_a_folder_for_everybody_others_may_not_write_the_files() {
    let folder = Folder::new();
    fs::create_dir(folder.path("facts")).unwrap();
    fs::set_permissions(folder.path("facts"), fs::Permissions::from_mode(0o777)).unwrap();
    folder.run_with(&["record", "facts"], crash(1).to_line().as_bytes()).ok();
    let mut folders = vec![folder.path("facts")];
    while let Some(path) = folders.pop() {
        for path in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
            let found = fs::metadata(&path).unwrap();
            assert_eq!(found.mode() & 0o002, 0, "{}: {:o}", path.display(), found.mode());
            if found.is_dir() {
                folders.push(path);
            }
        }
    }
}

#[test]
fn what_is_worth_knowing_is_told_by_all_who_look() {
    if !is_root() {
        return;
    }
    let folder = store_of_the_service();
    chown(&folder.path("facts/events"), 0);
    for command in ["scan", "doctor", "startup-check"] {
        let said = folder.run(&[command, "facts"]).ok();
        assert!(format!("{}{}", said.out, said.err).contains("of another user"), "{command}: {said:?}");
    }
}

#[test]
fn facts_that_were_taken_are_counted_though_the_ledger_cannot_be_read() {
    let folder = Folder::new();
    folder.run_with(&["record", "facts"], crash(1).to_line().as_bytes()).ok();
    for copies in ["ledger", "ledger-copy"] {
        folder.write(&format!("facts/{copies}/00000000000000000001.json"), "garbage");
    }
    let said = folder.run_with(&["record", "facts", "--ack"], crash(2).to_line().as_bytes());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.out.lines().count(), 1, "{said:?}");
    assert!(said.err.contains("recorded 1 fact") && said.err.contains("journal"), "{said:?}");
}

/// The segment's own file lies in quarantine, where only root may look.
#[test]
fn a_quarantine_that_may_not_be_read_is_not_an_empty_one() {
    if !is_root() {
        return;
    }
    for mode in ["repair", "quarantine"] {
        let folder = store_of_the_service();
        let aside = folder.path("facts/quarantine/2026");
        fs::create_dir(&aside).unwrap();
        let segment = fs::read_dir(folder.path("facts/events")).unwrap().next().unwrap().unwrap().path();
        fs::rename(&segment, aside.join(segment.file_name().unwrap())).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o700)).unwrap();
        let output = run_as(
            &folder,
            SERVICE,
            &["recover", "facts", "--mode", mode, "--quarantine-dir", "facts/quarantine"],
        );
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("ermission denied"), "{output:?}");
        assert!(said.contains(&format!("chown -R {SERVICE}")) && !said.contains("lost"), "{said}");
        ok(&run_as(
            &folder,
            0,
            &["recover", "facts", "--mode", mode, "--quarantine-dir", "facts/quarantine"],
        ));
        assert_eq!(lines_at(&folder.path("facts")).len(), 1);
    }
}

#[test]
fn facts_that_a_query_has_no_memory_for_are_told_of() {
    let folder = Folder::new();
    let text = "y".repeat(200_000);
    let line = format!(
        r#"{{"kind":"event","system_id":"s","actor_address":"s:1","event_type":"A","payload":{{"x":"{text}"}},"timestamp":1.0}}"#
    );
    folder.write("in.ndjson", format!("{line}\n{line}\n"));
    folder.run(&["import", "facts", "in.ndjson"]).ok();
    assert!(!folder.run(&["scan", "facts"]).ok().out.contains("memory_bytes"));
    folder.write("facts/ostracon.toml", "[query]\nmemory_bytes = 3_000_000\n");
    let said = folder.run(&["scan", "facts"]).ok();
    assert!(
        said.out.contains("query.memory_bytes is 3000000") && said.out.contains("events/"),
        "{}",
        said.out
    );
    let sorted = folder.run(&["sql", "facts", "-c", "SELECT payload FROM events ORDER BY payload"]);
    assert!(sorted.code == Some(0) || sorted.err.contains("memory_bytes"), "{}", sorted.err);
}

#[test]
fn few_descriptors_are_no_damage() {
    let folder = Folder::with_known_facts();
    for args in [
        "scan facts --deep",
        "sql facts -c 'SELECT payload FROM events'",
        "tail facts",
        "inspect facts events",
        "doctor facts",
        "verify facts",
        "startup-check facts",
    ] {
        for descriptors in [6, 7, 8, 9, 10, 11, 12, 14, 16] {
            let binary = env!("CARGO_BIN_EXE_ostracon");
            let script = format!("ulimit -n {descriptors} && exec {binary} {args}");
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .current_dir(folder.path("."))
                .output()
                .unwrap();
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            if !output.status.success() {
                let is_damage =
                    ["damaged", "anomal", "recover", "not an Ostracon store", "a bug in ostracon"]
                        .iter()
                        .any(|word| said.contains(word));
                assert!(!is_damage, "{descriptors}, {args}: {said}");
            }
        }
    }
}

#[test]
fn a_temporary_folder_that_is_missing_is_no_damage() {
    let folder = Folder::with_known_facts();
    let query = "SELECT a.payload FROM events a, events b, events c ORDER BY a.payload, b.payload, c.payload, a.seq, b.seq, c.seq LIMIT 1000000 OFFSET 590000";
    folder.write("facts/ostracon.toml", "[query]\nmemory_bytes = 8_000_000\n");
    let mut command = folder.command(&["sql", "facts", "--format", "csv", "-c", query]);
    let output = command.env("TMPDIR", "/no/such/folder").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("damaged") && !said.contains("recover"), "{said}");
    if !output.status.success() {
        assert!(said.contains("TMPDIR") || said.contains("memory_bytes"), "{said}");
    }
}

#[test]
fn settings_that_will_fail_are_found_before_they_do() {
    for (settings, said) in [
        ("durability = \"sync\"\n", "sync"),
        ("[flush]\nrowz = 5\n", "rowz"),
        ("[buffer]\nmax_bytes = 5\n", "buffer.max_bytes"),
        ("[[retention.rule]]\nname = 'x'\nmax_age = 'soon'\n", "soon"),
        ("\u{feff}[", "ostracon.toml"),
    ] {
        let folder = Folder::with_known_facts();
        folder.write("facts/ostracon.toml", settings);
        let report = scan(folder.path("facts"), ScanDepth::Quick).unwrap();
        let found: Vec<_> =
            report.anomalies.iter().map(|anomaly| (anomaly.kind, anomaly.path.as_str())).collect();
        assert_eq!(found, [(AnomalyKind::SettingsUnusable, "ostracon.toml")], "{settings}");
        assert!(report.anomalies[0].found.contains(said), "{}", report.anomalies[0].found);
        for args in [["doctor", "facts"], ["startup-check", "facts"]] {
            let output = folder.run(&args);
            assert_eq!(output.code, Some(1), "{output:?}");
            assert!(output.out.contains(said), "{output:?}");
        }
        let open = Store::builder().startup(StartupMode::FailOnAnomaly).open(folder.path("facts"));
        assert!(open.unwrap_err().to_string().contains(said));
        assert_eq!(Store::builder().check(folder.path("facts")).unwrap_err().kind(), ErrorKind::Settings);
    }
}

#[test]
fn settings_are_checked_without_making_anything() {
    let folder = Folder::new();
    let path = folder.path("facts");
    for wrong in [
        Store::builder().flush_rows(0),
        Store::builder().max_buffer_bytes(20_000),
        Store::builder().query_memory_bytes(5),
    ] {
        assert_eq!(wrong.check(&path).unwrap_err().kind(), ErrorKind::Settings);
    }
    Store::builder().check(&path).unwrap();
    assert!(folder.names().is_empty());
}

/// Memory for threads is memory of the process, too. How much a process needs to begin with differs.
#[cfg(target_os = "linux")]
#[test]
fn a_process_without_memory_for_threads_does_not_blame_itself() {
    let folder = Folder::with_known_facts();
    for kilobytes in [300_000, 400_000, 600_000, 900_000] {
        let limit = format!("ulimit -v {kilobytes}");
        let said = folder.run_limited(&limit, &["sql", "facts", "-c", "SELECT count(*) FROM events"]);
        assert!(!said.err.contains("please report it"), "{said:#?}");
        assert!(!said.err.contains("is damaged"), "{said:#?}");
    }
}
