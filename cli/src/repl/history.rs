//! The texts that the user typed, kept between sessions: `$XDG_STATE_HOME/ostracon/history`.
//!
//! Each line is one entry, with line breaks as `\n`. Entries are appended. If an entry comes twice, the last
//! one counts. From time to time the file is rewritten without duplicates. If two prompts are open at once,
//! each reads the new entries of the other before its next line.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::config::folder;

/// A longer entry is not kept.
const MOST_BYTES: usize = 64 << 10;

/// The entries, oldest first.
pub(super) struct SavedHistory {
    /// `None` if there is no place for the file, or if the file cannot be read: its content must not be lost.
    file: Option<PathBuf>,
    entries: Vec<String>,
    most: usize,
    /// The length of the file when it was last read or appended to.
    seen: u64,
}

impl SavedHistory {
    /// The history of the user. Without a place for the file, entries are kept while the prompt is open.
    pub(super) fn load(most: usize) -> Self {
        let file = folder("XDG_STATE_HOME", ".local/state").map(|folder| folder.join("history"));
        Self::open(file.filter(|_| most > 0), most)
    }

    fn open(file: Option<PathBuf>, most: usize) -> Self {
        let mut kept = Self { file, entries: Vec::new(), most, seen: 0 };
        let lines = kept.reload();
        if lines > most.saturating_mul(2) {
            // A failure here must not prevent the prompt.
            let _ = kept.fold_file();
        }
        kept
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(String::as_str)
    }

    /// Reads the file, and returns the number of its lines.
    fn reload(&mut self) -> usize {
        let Some(file) = &self.file else { return 0 };
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(_) => {
                self.file = None;
                return 0;
            }
        };
        self.seen = bytes.len() as u64;
        let text = String::from_utf8_lossy(&bytes);
        let mut known = HashSet::new();
        let mut newest: Vec<_> = text
            .lines()
            .rev()
            .filter(|line| !line.is_empty() && known.insert(*line))
            .take(self.most)
            .map(unescaped)
            .collect();
        newest.reverse();
        self.entries = newest;
        text.lines().count()
    }

    /// Adds an entry. Returns whether other entries changed, too. An entry that cannot be saved is not an
    /// error.
    pub(super) fn add(&mut self, entry: &str) -> bool {
        if entry.len() > MOST_BYTES || self.most == 0 {
            return false;
        }
        let was_changed = self.file.as_ref().is_some_and(|file| length(file) != self.seen);
        if was_changed {
            self.reload();
        }
        let moved = self.entries.iter().rposition(|known| known == entry);
        if let Some(at) = moved {
            self.entries.remove(at);
        }
        self.entries.push(entry.to_owned());
        let surplus = self.entries.len().saturating_sub(self.most);
        self.entries.drain(..surplus);
        let _ = self.append(entry);
        was_changed || moved.is_some() || surplus > 0
    }

    fn append(&mut self, entry: &str) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let _alone = lock(file)?;
        let mut out = private().append(true).create(true).open(file)?;
        out.write_all(format!("{}\n", escaped(entry)).as_bytes())?;
        self.seen = out.metadata()?.len();
        Ok(())
    }

    /// Rewrites the file, with each entry once.
    fn fold_file(&mut self) -> io::Result<()> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        let _alone = lock(&file)?;
        self.reload();
        let temp = file.with_extension(format!("{}.tmp", std::process::id()));
        let mut out = io::BufWriter::new(private().write(true).create(true).truncate(true).open(&temp)?);
        for entry in &self.entries {
            writeln!(out, "{}", escaped(entry))?;
        }
        out.flush()?;
        fs::rename(&temp, &file)?;
        self.seen = length(&file);
        Ok(())
    }
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// Locks the history: no other process writes it until this is dropped.
fn lock(file: &Path) -> io::Result<File> {
    let lock = private().write(true).create(true).truncate(false).open(file.with_extension("lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Options for a file that only the user can read: statements may hold secrets.
pub(super) fn private() -> fs::OpenOptions {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn escaped(entry: &str) -> String {
    entry.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescaped(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (char, char == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &tempfile::TempDir) -> SavedHistory {
        SavedHistory::open(Some(folder.path().join("state/history")), 3)
    }

    #[test]
    fn each_entry_is_there_once_where_it_was_last_typed() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = open(&folder);
        let moved: Vec<_> =
            ["one;", "two\n;", "\\d", "two\n;", "three \\n;"].map(|entry| kept.add(entry)).to_vec();
        assert_eq!(moved, [false, false, false, true, true]);
        assert_eq!(open(&folder).entries, ["\\d", "two\n;", "three \\n;"]);
        let mut other = open(&folder);
        other.add("four;");
        assert!(kept.add("five;"));
        assert_eq!(open(&folder).entries, ["three \\n;", "four;", "five;"], "what the other added is kept");
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..50 {
            open(&folder).add(&format!("{n};"));
        }
        let text = fs::read_to_string(folder.path().join("state/history")).unwrap();
        assert!(text.lines().count() <= 8, "{text}");
        assert_eq!(open(&folder).entries, ["47;", "48;", "49;"]);
    }

    #[test]
    fn a_bad_byte_costs_one_entry_and_a_file_that_cannot_be_read_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        open(&folder).add("one;");
        let path = folder.path().join("state/history");
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"SELECT \xff;\n");
        fs::write(&path, bytes).unwrap();
        let mut kept = open(&folder);
        kept.add("two;");
        assert_eq!(open(&folder).entries, ["one;", "SELECT \u{fffd};", "two;"]);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        open(&folder).add("three;");
        assert!(path.is_dir());
    }

    #[test]
    fn what_is_too_long_is_not_kept_and_none_may_be_kept_at_all() {
        let folder = tempfile::tempdir().unwrap();
        open(&folder).add(&"x".repeat(MOST_BYTES + 1));
        let mut none = SavedHistory::open(Some(folder.path().join("none")), 0);
        none.add("one;");
        assert!(open(&folder).entries.is_empty() && !folder.path().join("none").exists());
    }
}
