//! `ostracon record` as a process that is fed, acknowledges, and is killed.

use std::io::{BufRead, BufReader, Lines, Write};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread::JoinHandle;

use super::check::{Place, numbered};
use crate::support::ostracon;

/// SIGKILL.
const KILLED: i32 = 9;

/// A process that records facts.
pub(super) struct Writer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    acked: Vec<Place>,
    /// Returns the pipe, which stays open until then.
    feeder: JoinHandle<Option<ChildStdin>>,
}

/// What came of a writer.
pub(super) struct Ended {
    pub(super) acked: Vec<Place>,
    /// Whether it was killed; otherwise it came to its end.
    pub(super) killed: bool,
}

impl Writer {
    /// Starts a writer that will be sent the facts of these numbers, and after them the end of its
    /// input or, if `more`, nothing.
    pub(super) fn start(store: &Path, options: &[&str], numbers: Range<u64>, more: bool) -> Self {
        let mut command = ostracon();
        command.arg("record").arg(store).arg("--ack").args(options);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let feeder = std::thread::spawn(move || {
            let text: String = numbers.map(|number| numbered(number).to_line() + "\n").collect();
            // A writer that is killed takes no more.
            let _ = stdin.write_all(text.as_bytes());
            more.then_some(stdin)
        });
        Self { child, lines, acked: Vec::new(), feeder }
    }

    /// Reads so many acknowledgements, or all there will ever be.
    pub(super) fn read_acks(&mut self, most: u64) {
        while (self.acked.len() as u64) < most {
            let Some(line) = self.lines.next() else { break };
            let line = line.unwrap();
            let (stream, seq) =
                line.split_once(':').unwrap_or_else(|| panic!("no acknowledgement: {line:?}"));
            self.acked.push((stream.parse().unwrap(), seq.parse().unwrap()));
        }
    }

    /// How many facts it has acknowledged so far, of those that were read.
    pub(super) fn acknowledged(&self) -> usize {
        self.acked.len()
    }

    /// Kills it now, unless it has refused to go on. Returns what it had acknowledged.
    pub(super) fn kill_or_refused(mut self) -> Vec<Place> {
        self.child.kill().unwrap();
        self.read_acks(u64::MAX);
        self.child.wait().unwrap();
        self.feeder.join().unwrap();
        self.acked
    }

    /// Kills it now, unless it has ended, and reads what else it had acknowledged.
    pub(super) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.wait()
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) -> Ended {
        self.read_acks(u64::MAX);
        let status = self.child.wait().unwrap();
        let killed = status.signal() == Some(KILLED);
        assert!(killed || status.success(), "the writer failed by itself: {status}");
        self.feeder.join().unwrap();
        Ended { acked: self.acked, killed }
    }
}

/// Runs [`child_entry`](super::child_entry) in a process of its own, as the child of this name.
/// Returns what it printed behind `ack `, and whether it was killed.
pub(super) fn run_child(name: &str, variables: &[(&str, String)]) -> Ended {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_entry", "--nocapture"])
        .env("OSTRACON_KILL_CHILD", name)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let killed = output.status.signal() == Some(KILLED);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(killed || output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    let acked = stdout.lines().filter_map(|line| line.strip_prefix("ack ")?.split_once(':'));
    Ended {
        acked: acked.map(|(stream, seq)| (stream.parse().unwrap(), seq.parse().unwrap())).collect(),
        killed,
    }
}

/// What the parent has told this child.
pub(super) fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}
