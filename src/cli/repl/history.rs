//! What was typed, kept between sessions: `$XDG_STATE_HOME/ostracon/history`.
//!
//! One entry a line, with line breaks as `\n`. Each entry is there once, where it was last typed. Two
//! prompts may be open at once: each reads what the other has added before it writes.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use super::config::folder;

/// The entries, oldest first.
pub(super) struct Kept {
    file: Option<PathBuf>,
    entries: Vec<String>,
    most: usize,
}

impl Kept {
    /// Those of the user. Without a place to keep them they are kept while the prompt is open.
    pub(super) fn load(most: usize) -> Self {
        let file = folder("XDG_STATE_HOME", ".local/state").map(|folder| folder.join("history"));
        let mut kept = Self { file, entries: Vec::new(), most };
        kept.reload();
        kept
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(String::as_str)
    }

    fn reload(&mut self) {
        let text = self.file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        if let Some(text) = text {
            self.entries = Vec::new();
            for line in text.lines() {
                self.fold(&unescaped(line));
            }
        }
    }

    /// Puts an entry last; tells whether others moved.
    fn fold(&mut self, entry: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|known| known != entry);
        let mut moved = self.entries.len() < before;
        self.entries.push(entry.to_owned());
        let surplus = self.entries.len().saturating_sub(self.most);
        moved |= surplus > 0;
        self.entries.drain(..surplus);
        moved
    }

    /// Adds an entry, and tells whether more changed than that. That it cannot be kept stops nobody.
    pub(super) fn add(&mut self, entry: &str) -> bool {
        let before = self.entries.len();
        self.reload();
        let others = self.entries.len() != before;
        let moved = self.fold(entry);
        let _ = self.save();
        moved || others
    }

    fn save(&self) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let temp = file.with_extension(format!("{}.tmp", std::process::id()));
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = std::io::BufWriter::new(options.open(&temp)?);
        for entry in &self.entries {
            writeln!(out, "{}", escaped(entry))?;
        }
        out.flush()?;
        fs::rename(&temp, file)
    }
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

    #[test]
    fn each_entry_is_there_once_where_it_was_last_typed() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let mut kept =
                Kept { file: Some(folder.path().join("state/history")), entries: Vec::new(), most: 3 };
            kept.reload();
            kept
        };
        let mut kept = open();
        for entry in ["one;", "two\n;", "\\d", "two\n;", "three \\n;"] {
            kept.add(entry);
        }
        assert_eq!(open().entries, ["\\d", "two\n;", "three \\n;"]);
        let mut other = open();
        other.add("four;");
        kept.add("five;");
        assert_eq!(open().entries, ["three \\n;", "four;", "five;"], "what the other added is kept");
    }
}
