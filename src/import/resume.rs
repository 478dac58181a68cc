//! Recognises a file by its content.
//!
//! A commit of an import keeps the digest of the file's first bytes, and the digest of all bytes up to
//! the end of the commit. A file with equal first bytes may be the same one; it is, if the second digest
//! fits as well. A file that is shorter than the first bytes of a known one may be an earlier state of
//! it; it is, if it ends at the end of one of the known file's lines, and the digest up to there fits. If
//! too few of the lines' digests are kept to decide, the input is refused. Names do not count: log files
//! are renamed and rotated.
//!
//! Two imports at one time may have two states of one file, and neither knows of the other when it
//! begins. So before its first commit an import reads the ledger again ([`FirstLook`]): the import that
//! commits first continues.

use std::io::Read;

use super::Import;
use super::lines::Source;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::LineParser;
use crate::ledger::{CommitNumber, EntryRange, ImportMark, State};

/// The number of first bytes that show whether a file may be known.
const HEAD_BYTES: usize = 64 << 10;
/// The number of lines with a digest of their own: more than the number of facts that fit in the first
/// bytes.
const HEAD_LINES: usize = 768;
/// Hexadecimal digits of the digest of a line.
const LINE_DIGITS: usize = 8;

/// The beginning of an input.
struct Beginning {
    bytes: Vec<u8>,
    /// Whether the input has no more bytes.
    is_whole: bool,
    lines: usize,
    /// The digests of its first lines.
    digests: String,
}

impl Beginning {
    fn new(read: &[u8]) -> Self {
        let bytes = read.get(..HEAD_BYTES).unwrap_or(read).to_vec();
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').count();
        let digests = line_digests(&bytes);
        Self { is_whole: read.len() < HEAD_BYTES, bytes, lines, digests }
    }

    /// Whether it begins with the first bytes of a known input.
    fn begins_with(&self, mark: &ImportMark) -> bool {
        let head = usize::try_from(mark.head_bytes).ok().and_then(|bytes| self.bytes.get(..bytes));
        let is_same = |head: &[u8]| blake3::hash(head).to_hex().as_str() == mark.head_blake3;
        mark.head_bytes > 0 && head.is_some_and(is_same)
    }

    /// Whether it may be an earlier state of an input, and too few lines of that are known to decide.
    fn may_be_earlier_state(&self, mark: &ImportMark) -> bool {
        let known = mark.head_lines.as_deref().unwrap_or_default();
        !known.is_empty()
            && self.lines > known.len() / LINE_DIGITS
            && self.digests.starts_with(known)
            && (self.bytes.len() as u64) < mark.head_bytes
    }
}

/// The result of looking for an input in the ledger.
struct Recognition<'a> {
    /// Of the known inputs with equal first bytes, the one of which most was imported.
    known: Option<&'a ImportMark>,
    /// The number of bytes and lines of the input that are the beginning of another one, if that is more.
    earlier: Option<(usize, u64)>,
    /// A known input of which this one may be an earlier state.
    doubtful: Option<&'a ImportMark>,
}

impl<'a> Recognition<'a> {
    fn new(input: &Beginning, state: &'a State) -> Self {
        let of_files = || state.imports.iter().filter(|mark| mark.entries.is_none());
        let known = of_files().filter(|mark| input.begins_with(mark)).max_by_key(|mark| mark.bytes);
        let is_further = |bytes: usize| known.is_none_or(|known| known.bytes < bytes as u64);
        let (mut earlier, mut doubtful) = (None, None);
        if input.is_whole && is_further(input.bytes.len()) {
            earlier = of_files()
                .filter_map(|mark| is_earlier_state(&input.bytes, &input.digests, mark))
                .max()
                .filter(|(bytes, _)| is_further(*bytes));
            if earlier.is_none() {
                doubtful = of_files().find(|mark| input.may_be_earlier_state(mark));
            }
        }
        Self { known, earlier, doubtful }
    }

    /// A summary of the recognition, to compare two of them.
    fn summary(&self) -> Summary {
        let known = self.known.map(|mark| (mark.bytes, mark.blake3.clone()));
        Summary { known, earlier: self.earlier, is_doubtful: self.doubtful.is_some() }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Summary {
    known: Option<(u64, String)>,
    earlier: Option<(usize, u64)>,
    is_doubtful: bool,
}

/// The ledger's knowledge of an input when its import began.
pub(super) struct FirstLook {
    input: Beginning,
    summary: Summary,
    /// The head of the ledger at that time.
    at: CommitNumber,
}

impl FirstLook {
    /// Whether the ledger has changed: another state of this input was imported meanwhile.
    pub(super) fn differs(&self, state: &State) -> bool {
        state.head.number != self.at && Recognition::new(&self.input, state).summary() != self.summary
    }
}

/// How far an input was read, and the digests that identify it.
pub(super) struct Progress {
    name: String,
    head_bytes: u64,
    head_blake3: String,
    head_lines: String,
    hasher: blake3::Hasher,
    /// The number of bytes that were imported before, according to the ledger.
    pub(super) known: Option<u64>,
    /// The ledger knows the input's beginning, but it is imported all the same.
    pub(super) again: bool,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) rejected: u64,
    /// The entries of a source that the input consists of.
    entries: Option<EntryRange>,
}

/// The place to begin with an input.
pub(super) struct Begin {
    pub(super) progress: Progress,
    /// Bytes that were read and are not imported yet.
    pub(super) read: Vec<u8>,
    /// Lines that an earlier import has imported. The last of them may have had no line break; then the
    /// next bytes are the rest of that line, and `progress` does not count it yet.
    pub(super) resumed_after: u64,
    /// The first look; `None` if an input is identified in another way.
    pub(super) first_look: Option<FirstLook>,
}

impl Progress {
    /// Adds bytes that were parsed.
    pub(super) fn add(&mut self, text: &[u8], lines: u64, rejected: u64) {
        self.hasher.update(text);
        self.bytes += text.len() as u64;
        self.lines += lines;
        self.rejected += rejected;
    }

    pub(super) fn mark(&self) -> ImportMark {
        ImportMark {
            name: self.name.clone(),
            head_bytes: self.head_bytes,
            head_blake3: self.head_blake3.clone(),
            bytes: self.bytes,
            blake3: self.hasher.finalize().to_hex().to_string(),
            lines: self.lines,
            rejected: self.rejected,
            entries: self.entries,
            head_lines: (self.entries.is_none() && !self.head_lines.is_empty())
                .then(|| self.head_lines.clone()),
        }
    }
}

/// The digests of all bytes up to the end of each of the first lines, one after another.
fn line_digests(head: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut digests = String::new();
    for line in head.split_inclusive(|byte| *byte == b'\n').take(HEAD_LINES) {
        let (text, end) = line.split_at(line.len() - usize::from(line.ends_with(b"\n")));
        hasher.update(text);
        digests += hasher.finalize().to_hex().get(..LINE_DIGITS).unwrap_or_default();
        hasher.update(end);
    }
    digests
}

/// The bytes and lines of a whole input, with these digests, that were imported as the beginning of
/// another one. `None` unless that includes all its facts: the input's last line may be torn off.
fn is_earlier_state(input: &[u8], digests: &str, mark: &ImportMark) -> Option<(usize, u64)> {
    let known = mark.head_lines.as_deref()?;
    let lines = input.split_inclusive(|byte| *byte == b'\n').count();
    if lines > HEAD_LINES {
        // Lines without a digest are not known.
        return None;
    }
    let reaches = |text: &[u8], digests: &str| {
        let bytes = text.strip_suffix(b"\n").unwrap_or(text).len() as u64;
        let is_known = bytes > 0 && bytes <= mark.bytes && known.starts_with(digests);
        is_known.then_some((text.len(), (digests.len() / LINE_DIGITS) as u64))
    };
    let torn_off = || {
        let whole = input.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let (lines, torn) = input.split_at(whole);
        let found = reaches(lines, digests.get(..digests.len().checked_sub(LINE_DIGITS)?)?)?;
        (!torn.is_empty() && LineParser::default().parse(torn).is_err()).then_some(found)
    };
    reaches(input, digests).or_else(torn_off)
}

/// Reads an input's beginning, which may identify it.
pub(super) fn read_beginning(input: &mut Source<impl Read>) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < HEAD_BYTES && input.fill(&mut read) {}
    read
}

/// Skips the part of an input that was imported before, according to the ledger.
pub(super) fn begin(
    input: &mut Source<impl Read>,
    mut read: Vec<u8>,
    state: &State,
    import: &Import<'_>,
) -> Result<Begin> {
    let again = import.again;
    let beginning = Beginning::new(&read);
    let mut progress = Progress {
        name: import.name.clone(),
        head_bytes: beginning.bytes.len() as u64,
        head_blake3: blake3::hash(&beginning.bytes).to_hex().to_string(),
        head_lines: beginning.digests.clone(),
        hasher: blake3::Hasher::new(),
        known: None,
        again: false,
        bytes: 0,
        lines: 0,
        rejected: 0,
        entries: import.entries.as_ref().map(|entries| entries.range),
    };
    if let Some(entries) = &import.entries {
        progress.again = entries.again;
        return Ok(Begin { progress, read, resumed_after: 0, first_look: None });
    }
    progress.known = state.imported(&progress.head_blake3);
    let found = Recognition::new(&beginning, state);
    let first_look = Some(FirstLook { input: beginning, summary: found.summary(), at: state.head.number });
    progress.again = again && (found.earlier.is_some() || found.doubtful.is_some() || found.known.is_some());
    if again {
        return Ok(Begin { progress, read, resumed_after: 0, first_look });
    }
    if let Some((bytes, lines)) = found.earlier {
        let torn = read.split_off(bytes);
        progress.add(&read, lines, 0);
        return Ok(Begin { progress, read: torn, resumed_after: lines, first_look });
    }
    if let Some(mark) = found.doubtful {
        return Err(input
            .failure()
            .map_or_else(|| may_be_known(mark), |error| cannot_read(&import.name, error)));
    }
    let Some(mark) = found.known else { return Ok(Begin { progress, read, resumed_after: 0, first_look }) };

    let mut left = mark.bytes;
    let mut last = b'\n';
    while left > 0 {
        if read.is_empty() && !input.fill(&mut read) {
            return Err(input
                .failure()
                .map_or_else(|| differs(mark, "ends before"), |error| cannot_read(&import.name, error)));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(read.len());
        let rest = read.split_off(most);
        progress.add(&read, 0, 0);
        last = read.last().copied().unwrap_or(last);
        left -= most as u64;
        read = rest;
    }
    if progress.mark().blake3 != mark.blake3 {
        return Err(differs(mark, "differs before"));
    }
    progress.lines = mark.lines - u64::from(last != b'\n').min(mark.lines);
    progress.rejected = mark.rejected;
    Ok(Begin { progress, read, resumed_after: mark.lines, first_look })
}

fn cannot_read(name: &str, error: std::io::Error) -> Error {
    Error::with_source(ErrorKind::Io, format!("cannot read {name}"), error)
}

fn may_be_known(mark: &ImportMark) -> Error {
    let message = format!(
        "the input begins like {:?}, of which {} bytes were imported, and may be an earlier state of it; too \
         few of its lines are known to decide that; to import the whole input, ask for it (--again)",
        mark.name, mark.bytes
    );
    Error::new(ErrorKind::InvalidFact, message)
}

fn differs(mark: &ImportMark, how: &str) -> Error {
    let message = format!(
        "the input begins like {:?}, of which {} bytes were imported, but {how} their end; to import the \
         whole input again, ask for it (--again)",
        mark.name, mark.bytes
    );
    Error::new(ErrorKind::InvalidFact, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_state_is_known_line_by_line() {
        let fact = |n: u8| {
            format!(
                "{{\"kind\": \"event\", \"system_id\": \"s\", \"actor_address\": \"s:{n}\", \"event_type\": \"E\", \
                 \"payload\": {{}}, \"timestamp\": 1.0}}\n"
            )
        };
        let text: String = (1..=4).map(fact).collect();
        let mark = |bytes: usize| ImportMark {
            name: String::new(),
            head_bytes: text.len() as u64,
            head_blake3: String::new(),
            bytes: bytes as u64,
            blake3: String::new(),
            lines: 4,
            rejected: 0,
            entries: None,
            head_lines: Some(line_digests(text.as_bytes())),
        };
        let line = text.len() / 4;
        let all = mark(text.len());
        let is_earlier =
            |input: &str, mark| is_earlier_state(input.as_bytes(), &line_digests(input.as_bytes()), mark);
        let known = |input: &str| is_earlier(input, &all);
        assert_eq!(known(&text), Some((text.len(), 4)));
        assert_eq!(known(&text[..2 * line]), Some((2 * line, 2)));
        assert_eq!(known(&text[..2 * line - 1]), Some((2 * line - 1, 2)), "without its last line break");
        assert_eq!(known(&text[..2 * line + 20]), Some((2 * line, 2)), "its last line is torn off");
        assert_eq!(known(&(text[..2 * line].to_owned() + &fact(9))), None, "it continued in another way");
        assert_eq!(
            known(&(text[..2 * line].to_owned() + fact(9).trim())),
            None,
            "and ends without a line break"
        );
        assert_eq!(known(&text[line..]), None);
        assert_eq!((known(""), known("\n"), known(&text[..20])), (None, None, None));
        let half = mark(2 * line);
        assert_eq!(is_earlier(&text[..3 * line], &half), None, "less than that was imported");
        // An old mark knows only the first lines.
        let mut old = mark(text.len());
        old.head_lines = old.head_lines.map(|lines| lines[..2 * LINE_DIGITS].to_owned());
        assert_eq!(is_earlier(&text[..2 * line], &old), Some((2 * line, 2)));
        let may_be =
            |input: &str, mark: &ImportMark| Beginning::new(input.as_bytes()).may_be_earlier_state(mark);
        assert!(may_be(&text[..3 * line], &old) && may_be(&text[..3 * line - 9], &old));
        assert!(!may_be(&text[..2 * line], &old), "that is known for certain");
        assert!(!may_be(&(text.clone() + &fact(9)), &old), "a longer input has grown, or is another input");
        assert!(!may_be(&(text[..line].to_owned() + &fact(9) + &fact(9)), &old));
        assert!(!may_be(&text[..3 * line], &all), "all lines are known");
    }
}
