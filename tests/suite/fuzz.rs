//! Mutated stores: whatever bytes a store has, no reader panics, aborts or takes memory without a
//! bound, and what recover leaves is a sound store that still has each fact whose bytes were not
//! touched.
//!
//! A seed gives the mutations and the questions; a failure names its seed. An abort cannot be caught,
//! so the seeds run in processes of their own, which have little memory:
//!
//! ```text
//! make fuzz SECONDS=3600                        an hour of new seeds
//! OSTRACON_FUZZ_SEEDS=7..8 cargo nextest run mutated_stores    one seed again
//! ```

mod mutate;
mod run;
mod store;
mod thrift;

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Seeds of an ordinary test run.
const SEEDS: Range<u64> = 0..16;
/// Seeds that one process takes.
const AT_ONCE: u64 = 8;
/// What a process may have of memory, in KiB: what it has with sound stores, and 512 MiB.
const MEMORY: u64 = 2 << 20;
/// A seed never takes longer.
const MOST_SECONDS: u64 = 120;

/// Which seeds a process takes.
const SEEDS_VARIABLE: &str = "OSTRACON_FUZZ_SEEDS";
/// A process that runs seeds itself.
const CHILD_VARIABLE: &str = "OSTRACON_FUZZ_CHILD";
/// How long new seeds are tried.
const SECONDS_VARIABLE: &str = "OSTRACON_FUZZ_SECONDS";

#[test]
fn mutated_stores() {
    let seeds = variable(SEEDS_VARIABLE).map(|text| {
        let (begin, end) = text.split_once("..").expect("seeds look like 7..8");
        begin.parse().unwrap()..end.parse().unwrap()
    });
    if variable(CHILD_VARIABLE).is_some() {
        return run::seeds(seeds.unwrap());
    }
    let seconds: Option<u64> = variable(SECONDS_VARIABLE).map(|text| text.parse().unwrap());
    let failures = match seconds {
        None => in_processes(seeds.unwrap_or(SEEDS), None),
        Some(seconds) => {
            let begin = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() * 1000;
            in_processes(begin..u64::MAX, Some(Duration::from_secs(seconds)))
        }
    };
    assert!(failures.is_empty(), "{} seeds failed:\n{}", failures.len(), failures.join("\n"));
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Runs seeds in processes, two at a time. Returns what failed.
fn in_processes(seeds: Range<u64>, time: Option<Duration>) -> Vec<String> {
    let (begin, next) = (Instant::now(), std::sync::Mutex::new(seeds.start));
    let failures = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let from = {
                        let mut next = next.lock().unwrap();
                        let from = *next;
                        *next = from.saturating_add(AT_ONCE);
                        from
                    };
                    if from >= seeds.end || time.is_some_and(|time| begin.elapsed() > time) {
                        return;
                    }
                    let mut rest = from..seeds.end.min(from.saturating_add(AT_ONCE));
                    // One that fails ends its process: the others have another.
                    while let Some((seed, why)) = in_process(&rest) {
                        eprintln!("seed {seed}: {why}");
                        failures.lock().unwrap().push(format!("seed {seed}: {why}"));
                        rest.start = seed + 1;
                    }
                }
            });
        }
    });
    if let Some(time) = time {
        let tried = next.into_inner().unwrap() - seeds.start;
        eprintln!("{tried} seeds in {} s, {} failed", time.as_secs(), failures.lock().unwrap().len());
    }
    failures.into_inner().unwrap()
}

/// Runs seeds in a process with little memory. Returns the first that failed, and why.
fn in_process(seeds: &Range<u64>) -> Option<(u64, String)> {
    if seeds.is_empty() {
        return None;
    }
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ulimit -v {MEMORY}; exec \"$0\" --exact fuzz::mutated_stores --nocapture --test-threads 1"
        ))
        .arg(program)
        .env(CHILD_VARIABLE, "1")
        .env(SEEDS_VARIABLE, format!("{}..{}", seeds.start, seeds.end))
        .env_remove(SECONDS_VARIABLE)
        .env("MALLOC_ARENA_MAX", "2")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let stderr = child.stderr.take().unwrap();
    let said = std::thread::spawn(move || {
        // The end of what it said; all of it may be long.
        let lines = BufReader::new(stderr).lines().map_while(Result::ok);
        lines.fold(Vec::new(), |mut last: Vec<String>, line| {
            last.push(line);
            let surplus = last.len().saturating_sub(30);
            last.drain(..surplus);
            last
        })
    });
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let seed = line.split("seed ").nth(1).and_then(|rest| rest.trim().parse::<u64>().ok());
            if let Some(seed) = seed
                && tell.send(seed).is_err()
            {
                return;
            }
        }
    });
    let (mut seed, mut hangs) = (seeds.start, false);
    loop {
        match told.recv_timeout(Duration::from_secs(MOST_SECONDS)) {
            Ok(begun) => seed = begun,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                hangs = true;
                child.kill().unwrap();
                break;
            }
        }
    }
    let status = child.wait().unwrap();
    if status.success() {
        return None;
    }
    let said = said.join().unwrap().join("\n    ");
    let how = if hangs { format!("it takes longer than {MOST_SECONDS} s") } else { status.to_string() };
    Some((seed, format!("{how}\n    {said}")))
}
