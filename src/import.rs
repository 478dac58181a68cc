//! Import: adds many facts at once, from text with one JSON line for each fact.
//!
//! An import has a stream of its own and no journal: its facts stay in the input until they are
//! committed. It works part by part ([`lines`]): the lines of a part are parsed in parallel, numbered,
//! and written as segments while the next part is parsed. Each part is one commit. So after a crash the
//! store holds a prefix of the input. Every commit says how far into the input it reaches, and which
//! content identifies the input ([`resume`]): a repeated import continues from there. An input that is
//! packed with gzip or zstd is unpacked on the way ([`encoding`]).

pub(crate) mod encoding;
mod lines;
mod parse;
mod parts;
#[cfg(feature = "redis")]
mod redis;
mod resume;
mod rotated;

use std::io::{Read, Write};

use crate::context::Context;
use crate::counters::count;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, PerKind, UnixNanos};
use crate::ledger::{EntryId, EntryRange};
#[cfg(feature = "redis")]
pub use redis::RedisStreams;
#[cfg(feature = "redis")]
pub(crate) use redis::import_redis;
pub use rotated::{rotated_files, unknown_rotated_files, without_packing};

/// The options of an import.
#[derive(Default)]
#[must_use]
pub struct Import<'a> {
    name: String,
    epoch: Option<UnixNanos>,
    again: bool,
    rejects: Option<&'a mut dyn Write>,
    on_reject: Option<OnReject<'a>>,
    on_progress: Option<OnProgress<'a>>,
    entries: Option<Entries>,
}

/// The lines of an input that are named entries of another source.
struct Entries {
    /// The entries that the lines are, and the one before them.
    range: EntryRange,
    /// The entries may have been imported before, and are imported all the same.
    again: bool,
    /// The name of each line's entry.
    names: Vec<EntryId>,
    /// The number of lines before these.
    before: u64,
}

impl Entries {
    /// The entry's name of the line with this number, from 1.
    fn name(&self, line: u64) -> EntryId {
        let at = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
        at.and_then(|at| self.names.get(at)).copied().unwrap_or(self.range.last)
    }
}

type OnReject<'a> = Box<dyn FnMut(&Reject<'_>) + 'a>;
type OnProgress<'a> = Box<dyn FnMut(&ImportReport) + 'a>;

/// A line that was not imported.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Reject<'a> {
    /// The line's number in the input, from 1.
    pub line: u64,
    /// The reason why the line was not imported.
    pub reason: &'a str,
}

/// The result of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Lines that this import read, sound and malformed ones, without those of an earlier import.
    pub lines: u64,
    /// Bytes of the input that were read, including those of an earlier import.
    pub bytes: u64,
    /// Facts committed.
    pub(crate) facts: PerKind<u64>,
    /// Lines that are not facts.
    pub rejected: u64,
    /// Facts with a value that no column holds exactly; the exact value is in `extra`.
    pub inexact: u64,
    /// Lines at the input's beginning that an earlier import had imported.
    pub resumed_after: u64,
}

impl ImportReport {
    /// The number of committed facts of all kinds.
    pub fn total(&self) -> u64 {
        self.facts.iter().sum()
    }

    /// The number of committed facts of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.facts[kind]
    }
}

impl<'a> Import<'a> {
    /// Options for an import with this name. The name is written to the ledger, for people.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Sets the time at which the actor system's clock started. The column `at` becomes this time plus
    /// the timestamp, unless the timestamp is a date itself (from 2000 on).
    pub const fn epoch(mut self, epoch: UnixNanos) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// Sets whether to import everything, also lines that an earlier import has imported.
    pub const fn again(mut self, again: bool) -> Self {
        self.again = again;
        self
    }

    /// Writes malformed lines to `rejects`, byte for byte.
    pub fn rejects(mut self, rejects: &'a mut dyn Write) -> Self {
        self.rejects = Some(rejects);
        self
    }

    /// Calls this for every malformed line, in order.
    pub fn on_reject(mut self, call: impl FnMut(&Reject<'_>) + 'a) -> Self {
        self.on_reject = Some(Box::new(call));
        self
    }

    /// Calls this from time to time with the progress so far.
    pub fn on_progress(mut self, call: impl FnMut(&ImportReport) + 'a) -> Self {
        self.on_progress = Some(Box::new(call));
        self
    }

    fn reject(&mut self, line: u64, reason: &str, text: &[u8]) -> Result<()> {
        if let Some(call) = &mut self.on_reject {
            match &self.entries {
                None => call(&Reject { line, reason }),
                Some(entries) => {
                    let reason = format!("entry {} of {}: {reason}", entries.name(line), self.name);
                    call(&Reject { line: entries.before + line, reason: &reason });
                }
            }
        }
        self.keep_aside(text)?;
        self.keep_aside(b"\n")
    }

    fn keep_aside(&mut self, text: &[u8]) -> Result<()> {
        let Some(rejects) = &mut self.rejects else { return Ok(()) };
        rejects.write_all(text).map_err(not_kept)
    }

    fn flush_rejects(&mut self) -> Result<()> {
        let Some(rejects) = &mut self.rejects else { return Ok(()) };
        rejects.flush().map_err(not_kept)
    }
}

/// Imports facts from JSON lines into a store that is open for writing.
pub(crate) fn import(
    context: &Context,
    input: impl Read + Send,
    mut import: Import<'_>,
) -> Result<ImportReport> {
    let text = encoding::text(input, &import.name)?;
    parts::run(context, text, &mut import)
}

/// Counts and logs facts with values that no column holds.
fn count_inexact(context: &Context, input: &str, facts: u64) {
    count(&context.metrics.inexact, facts);
    tracing::warn!(
        input,
        facts,
        "no column holds a value of some facts exactly: the column has the nearest one, `extra` the exact one"
    );
}

fn not_kept(error: std::io::Error) -> Error {
    Error::with_source(ErrorKind::Io, "cannot write a malformed line to the rejects", error)
}
