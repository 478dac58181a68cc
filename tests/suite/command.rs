//! The command as people meet it: arguments and standard input go in; two texts and an exit code come out.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::support::ostracon;

/// 84 facts whose answers are known; see `tests/data/queries/README.md`.
pub(crate) const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/queries/known.ndjson");
/// Facts that Papyra recorded, by the clock of its event loop.
pub(crate) const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/sample.ndjson");

/// A folder of its own, in which commands run: so what they say names no temporary paths.
pub(crate) struct Folder(tempfile::TempDir);

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

impl Folder {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder in which `facts` is a store of the known facts.
    pub(crate) fn with_known_facts() -> Self {
        let folder = Self::new();
        folder.run(&["import", "facts", KNOWN]).ok();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The names of what is in it.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(".")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// A command in this folder, away from what the tester's terminal is like.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = ostracon();
        command.args(args).current_dir(self.0.path());
        command.env("XDG_CONFIG_HOME", self.path("config")).env("XDG_STATE_HOME", self.path("state"));
        for name in [
            "OSTRACON_FORMAT",
            "PAGER",
            "COLUMNS",
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
            "RUST_LOG",
            "RUST_BACKTRACE",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command without input.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, b"")
    }

    /// Runs a command with this on its standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Said {
        let mut child = self.spawn(args);
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // One that fails early leaves its input unread.
            scope.spawn(move || stdin.write_all(input).ok());
            let output = child.wait_with_output().unwrap();
            Said {
                out: String::from_utf8(output.stdout).unwrap(),
                err: String::from_utf8(output.stderr).unwrap(),
                code: output.status.code(),
            }
        })
    }

    /// Runs a command without input, in a shell that has said this before: `ulimit -n 11`.
    pub(crate) fn run_limited(&self, limit: &str, args: &[&str]) -> Said {
        let ostracon = self.command(args);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{limit}; exec \"$0\" \"$@\"")).arg(ostracon.get_program());
        shell.args(args).current_dir(self.0.path());
        for (name, value) in ostracon.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let output = shell.stdin(Stdio::null()).output().unwrap();
        Said {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code(),
        }
    }

    /// Starts a command, with pipes to all its ends.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Every file and folder below this one, with its content.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.0.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                    tree.insert(path, None);
                } else {
                    let content = fs::read(&path).unwrap();
                    tree.insert(path, Some(content));
                }
            }
        }
        tree
    }
}

impl Said {
    /// It went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// It failed as it should: exit code 1, nothing on stdout, and this on stderr.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!(self.code, Some(1), "{self:#?}");
        assert_eq!(self.out, "", "a failure is no result");
        assert!(self.err.starts_with("error: "), "{self:#?}");
        self.err
    }

    /// What it told people, without how long it took.
    pub(crate) fn talk(&self) -> String {
        without_times(&self.err)
    }
}

/// `12 rows in 3.4 ms` as `12 rows in ⏱`.
pub(crate) fn without_times(text: &str) -> String {
    let mut parts = text.split(" in ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let unit = [" ms", " s"].into_iter().find(|unit| rest.len() < part.len() && rest.starts_with(unit));
        match unit {
            Some(unit) => out += &format!(" in ⏱{}", &rest[unit.len()..]),
            None => out += &format!(" in {part}"),
        }
    }
    out
}

/// The lines of a file of the repository.
pub(crate) fn lines_of(path: impl AsRef<Path>) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}
