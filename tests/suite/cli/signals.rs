//! Signals and closed ends: a command ends when it is asked to, also as the first process of a container.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::command::{Folder, KNOWN, lines_of};

fn send(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// How it ended, which it must soon.
fn end(mut child: Child) -> (Option<i32>, String) {
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(10) {
            let _ = child.kill();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (status.code(), err)
}

/// Commands that go on until they are ended; each has begun when it has written a line.
fn lasting() -> Vec<Vec<&'static str>> {
    const LONG: &str = "SELECT a.seq FROM events a, events b, events c, events d, events e";
    vec![
        vec!["tail", "facts", "--follow"],
        vec!["consume", "facts", "group", "--follow"],
        vec!["record", "facts", "--ack"],
        vec!["sql", "facts", "--format", "csv", "-c", LONG],
        vec!["repl", "facts", "--format", "csv", "-c", LONG],
    ]
}

/// Starts it, and waits until it works.
fn begun(mut command: Command, args: &[&str]) -> (Child, Option<std::process::ChildStdin>) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take();
    if args[0] == "record" {
        writeln!(input.as_mut().unwrap(), "{}", lines_of(KNOWN)[0]).unwrap();
    }
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    if first.is_empty() {
        let (code, err) = end(child);
        panic!("{args:?} ended: {code:?} {err}");
    }
    // The reader has stopped reading, and the pipe is not closed.
    std::mem::forget(out);
    (child, input)
}

#[test]
fn sigterm_sigint_and_sighup_end_what_goes_on() {
    for args in lasting() {
        for (signal, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 129)] {
            let folder = Folder::with_known_facts();
            let (child, input) = begun(folder.command(&args), &args);
            send(signal, child.id());
            let (ended, err) = end(child);
            assert_eq!(ended, Some(code), "{args:?} {signal}: {err}");
            assert!(args[0] != "tail" || err.contains("cursor: "), "how far it got is told: {err}");
            drop(input);
        }
    }
}

#[test]
fn the_first_process_of_a_container_is_ended_as_well() {
    // The kernel gives such a process no signal that it has no handler for.
    let unshare = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child"]).args(args);
        command
    };
    if !unshare(&["true"]).status().is_ok_and(|status| status.success()) {
        eprintln!(
            "skipped: this user may not make a process that is the first of a container (unshare --pid)"
        );
        return;
    }
    for args in lasting() {
        for signal in ["-TERM", "-INT"] {
            let folder = Folder::with_known_facts();
            let mut command = unshare(&[env!("CARGO_BIN_EXE_ostracon")]);
            command.args(&args).current_dir(folder.path("."));
            let (mut child, input) = begun(command, &args);
            let children = format!("/proc/{0}/task/{0}/children", child.id());
            let first = std::fs::read_to_string(children).unwrap();
            send(signal, first.trim().parse().unwrap());
            let begun = Instant::now();
            while child.try_wait().unwrap().is_none() {
                if begun.elapsed() > Duration::from_secs(10) {
                    let _ = child.kill();
                    panic!("{args:?} does not end on {signal}");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            drop(input);
        }
    }
}

#[test]
fn what_was_acknowledged_from_memory_is_kept_when_a_signal_ends_the_recorder() {
    for (signal, code) in [("-TERM", 143), ("-HUP", 129)] {
        let folder = Folder::new();
        let args = ["record", "facts", "--ack", "--durability", "buffered"];
        let (child, input) = begun(folder.command(&args), &args);
        send(signal, child.id());
        assert_eq!(end(child).0, Some(code));
        drop(input);
        assert_eq!(folder.run(&["tail", "facts"]).ok().out.lines().count(), 1);
    }
}

#[test]
fn an_answer_that_is_half_written_into_a_file_goes_when_the_terminal_is_closed() {
    let folder = Folder::with_known_facts();
    let long = "SELECT a.payload FROM events a, events b, events c, events d, events e";
    let child = folder.spawn(&["sql", "facts", "-o", "o.csv", "-c", long]);
    let is_begun = || folder.names().iter().any(|name| name.ends_with(".partial"));
    let begun = Instant::now();
    while !is_begun() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    send("-HUP", child.id());
    assert_eq!(end(child).0, Some(129));
    assert_eq!(folder.names(), ["facts"]);
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    for signal in ["INT", "HUP"] {
        let folder = Folder::new();
        let mut shell = Command::new("sh");
        let exe = env!("CARGO_BIN_EXE_ostracon");
        let script = format!("trap '' {signal}; exec \"$0\" record facts --ack");
        shell.args(["-c", &script, exe]).current_dir(folder.path("."));
        let (child, input) = begun(shell, &["record"]);
        send(&format!("-{signal}"), child.id());
        std::thread::sleep(Duration::from_millis(300));
        drop(input);
        assert_eq!(end(child).0, Some(0), "it went on to the end of its input");
    }
}

#[test]
fn acknowledgements_that_nobody_reads_are_no_quiet_end() {
    for durability in ["journaled", "buffered"] {
        let folder = Folder::new();
        let mut child = folder.spawn(&["record", "facts", "--ack", "--durability", durability]);
        drop(child.stdout.take());
        let mut input = child.stdin.take().unwrap();
        for line in lines_of(KNOWN) {
            if writeln!(input, "{line}").is_err() {
                break;
            }
        }
        drop(input);
        let (code, err) = end(child);
        assert_eq!(code, Some(1), "{err}");
        assert!(
            err.contains("cannot write an acknowledgement: ")
                && err.contains("recording stopped after 1 fact"),
            "{err}"
        );
        assert_eq!(folder.run(&["tail", "facts"]).ok().out.lines().count(), 1, "{durability}");
    }
}

#[test]
fn rejects_that_nobody_reads_are_no_quiet_end() {
    let folder = Folder::new();
    let mut text = Vec::new();
    // More than a pipe holds.
    for line in lines_of(KNOWN) {
        writeln!(text, "{line}\n{}", "x".repeat(9000)).unwrap();
    }
    folder.write("f.ndjson", &text);
    assert!(Command::new("mkfifo").arg(folder.path("bad")).status().unwrap().success());
    for args in [&["record", "facts"][..], &["import", "others", "f.ndjson"]] {
        let mut child = folder.spawn(&[args, &["--rejects", "bad"]].concat());
        let mut input = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _ = input.write_all(&text);
                drop(input);
            });
            // The recorder opens the other end after it has recognised its input.
            let mut bad = std::fs::File::open(folder.path("bad")).unwrap();
            bad.read_exact(&mut [0; 10]).unwrap();
        });
        let (code, err) = end(child);
        assert_eq!(code, Some(1), "{args:?}: {err}");
        assert!(err.contains("cannot write a ") && err.contains(" line to the rejects"), "{args:?}: {err}");
        if args[0] == "record" {
            let kept = folder.run(&["tail", "facts"]).ok().out.lines().count();
            assert!(err.contains(&format!("; recording stopped after {kept} fact")), "{kept}: {err}");
        }
    }
}

#[test]
fn closed_ends_are_no_panic() {
    let folder = Folder::with_known_facts();
    let exe = env!("CARGO_BIN_EXE_ostracon");
    for line in [
        "record facts <&-",
        "record facts --ack <&- >&- 2>&-",
        "sql facts -c 'SELECT 1' <&-",
        "sql facts -c 'SELECT 1' >&- 2>&-",
        "repl facts <&-",
        "repl facts <&- >&- 2>&-",
        "tail facts <&- >&-",
    ] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {exe} {line}")]).current_dir(folder.path("."));
        let output = shell.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
