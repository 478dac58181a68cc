//! `ostracon record`: records facts from standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ostracon::input::{self, MAX_LINE_BYTES, is_blank};
use ostracon::{Durability, ErrorKind, Fact, Store};

use super::arguments::StoreArg;
use super::import::refuse;
use super::interrupt;
use super::print::{chain, grouped, say};
use super::rejects::{ensure_not_input, open_rejects, stdin_metadata};
use super::scan::counted;

/// Record facts from standard input, one JSON line each, as they arrive.
///
/// The store is created if there is none. Every fact is recorded, even if the store has it already. For files
/// use `import`, which skips lines that it imported before. Input that is packed with gzip or zstd is
/// unpacked. Lines that are not facts are reported on stderr and refused. With --ack, the command prints a
/// line for each line of input, in their order: `stream:seq` once the fact is as safe as the durability says,
/// or `-` if the line was refused. If every line was refused, the command fails.
#[derive(clap::Args)]
#[command(
    after_help = "A fact:\n  {\"kind\": \"event\", \"system_id\": \"shop\", \"actor_address\": \"shop:5\", \"event_type\": \"ActorCrashed\", \"payload\": {\"error\": \"timeout\"}, \"timestamp\": 1795404290.4}\n\nExample:\n  tail -n 0 -F papyra.ndjson | ostracon record facts/ --ack --durability synced"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Print stream:seq for each fact once it is safe
    #[arg(long)]
    ack: bool,
    /// How safe a fact is before it counts as recorded: buffered, journaled or synced; the default is in
    /// ostracon.toml
    #[arg(long)]
    durability: Option<Durability>,
    /// Append each refused line to this file, unchanged
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Fail if any line was refused; the other lines are still recorded
    #[arg(long)]
    strict: bool,
    /// Flush when this many facts are buffered
    #[arg(long, value_name = "N")]
    flush_rows: Option<u64>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut builder = Store::builder();
    if let Some(durability) = args.durability {
        builder = builder.durability(durability);
    }
    if let Some(rows) = args.flush_rows {
        builder = builder.flush_rows(rows);
    }
    // Input that cannot be read creates nothing, not even an empty store.
    let input = Lines::new(BufReader::new(input::text(io::stdin(), "-")?));
    let rejects = Rejects(args.rejects.as_deref().map(rejects_of_stdin).transpose()?);
    let store = Arc::new(builder.open(&args.store.store)?);
    interrupt::at_end({
        // Only the recording below owns the store: if it panics, the store is closed when it is dropped.
        let store = Arc::downgrade(&store);
        move || {
            if let Some(store) = store.upgrade() {
                close(&store);
            }
        }
    });
    let acks = Acks(args.ack.then(|| BufWriter::new(io::stdout())));
    let mut recording = Recording { store: &store, input, rejects, acks, recorded: 0, refused: 0 };
    let done = recording.run();
    let (recorded, refused) = (recording.recorded, recording.refused);
    // Close the store in every case: facts that were acknowledged from memory are safe only after that.
    if done.is_err() {
        close(&store);
    }
    done?;
    let closed = store.close();
    let mut summary = format!("recorded {}", counted(recorded, "fact"));
    summary += &match refused {
        0 => String::new(),
        1 => "; 1 line was refused".to_owned(),
        lines => format!("; {} lines were refused", grouped(lines)),
    };
    if let Err(error) = closed {
        if recorded > 0 {
            say(&format!("{summary}; facts that were not flushed stay in the journal for the next writer"));
        }
        return Err(error.into());
    }
    say(&summary);
    refuse(refused, refused + recorded, recorded == 0 || args.strict)
}

/// Opens the file for refused lines of standard input.
fn rejects_of_stdin(path: &Path) -> anyhow::Result<BufWriter<File>> {
    ensure_not_input(path, stdin_metadata().as_ref())?;
    open_rejects(path)
}

/// Closes a store while another error is being reported.
fn close(store: &Store) {
    if let Err(error) = store.close() {
        say(&format!("error: cannot close the store: {error}"));
    }
}

/// Records the lines of an input.
struct Recording<'a, R> {
    store: &'a Store,
    input: Lines<R>,
    rejects: Rejects,
    acks: Acks,
    recorded: u64,
    refused: u64,
}

impl<R: BufRead> Recording<'_, R> {
    fn run(&mut self) -> anyhow::Result<()> {
        while self.next()? {
            if is_blank(&self.input.line) {
                self.input.pass(None)?;
                continue;
            }
            match record(self.store, &self.input.line) {
                Ok(position) => {
                    self.recorded += 1;
                    self.input.pass(None)?;
                    self.acknowledge(&position.id().to_string())?;
                }
                // A signal ends this process: the store is being closed.
                Err(error) if error.kind() == ErrorKind::Closed && interrupt::code().is_some() => loop {
                    std::thread::park();
                },
                Err(error) => self.refuse(error)?,
            }
        }
        Ok(())
    }

    /// Reads the next line. `false` at the end.
    fn next(&mut self) -> anyhow::Result<bool> {
        let before = self.input.number;
        self.input.next().map_err(|error| {
            let doubt = if input::is_damage(&error) {
                ", and the facts that were recorded from it may be wrong"
            } else {
                ""
            };
            anyhow::Error::new(error)
                .context(format!("cannot read standard input after line {before}{doubt}"))
        })
    }

    /// Writes a refused line to the rejects file. An error that the next lines would also meet ends the
    /// recording.
    fn refuse(&mut self, error: ostracon::Error) -> anyhow::Result<()> {
        let is_end = matches!(
            error.kind(),
            ErrorKind::Poisoned | ErrorKind::Moved | ErrorKind::Closed | ErrorKind::Io | ErrorKind::NoSpace
        );
        let number = self.input.number;
        let kept = self.input.pass(Some(&mut self.rejects)).and_then(|()| self.rejects.end_line());
        if is_end {
            if let Err(error) = kept {
                say(&format!("error: {}", chain(&error)));
            }
            return Err(anyhow::Error::new(error).context(format!("line {number} was not recorded")));
        }
        kept.map_err(|error| self.stopped(&error))?;
        self.refused += 1;
        say(&format!("line {number}: {error}"));
        self.acknowledge("-")
    }

    fn acknowledge(&mut self, ack: &str) -> anyhow::Result<()> {
        self.acks.give(ack).map_err(|error| self.stopped(&error))
    }

    /// An error that ends the recording. It has no source: a closed pipe of acknowledgements or rejects is a
    /// failure here, because lines are not recorded. A closed pipe of an answer is none.
    fn stopped(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow::anyhow!("{}; recording stopped after {}", chain(error), counted(self.recorded, "fact"))
    }
}

fn record(store: &Store, line: &[u8]) -> ostracon::Result<ostracon::Position> {
    let fact = Fact::from_json(line)?;
    let mut patience = 50;
    loop {
        match store.record(fact.clone()) {
            // A user who pipes facts in can wait longer than an actor system.
            Err(error) if error.kind() == ErrorKind::Overloaded && patience > 0 => {
                patience -= 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            result => return result,
        }
    }
}

/// The acknowledgements of facts.
struct Acks(Option<BufWriter<io::Stdout>>);

impl Acks {
    fn give(&mut self, ack: &str) -> anyhow::Result<()> {
        let Some(out) = &mut self.0 else { return Ok(()) };
        writeln!(out, "{ack}").and_then(|()| out.flush()).context("cannot write an acknowledgement")
    }
}

/// The file for refused lines, if there is one.
struct Rejects(Option<BufWriter<File>>);

impl Rejects {
    fn keep(&mut self, text: &[u8]) -> anyhow::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        file.write_all(text).context(CANNOT_REJECT)
    }

    /// Ends a line and flushes it to the file.
    fn end_line(&mut self) -> anyhow::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        file.write_all(b"\n").and_then(|()| file.flush()).context(CANNOT_REJECT)
    }
}

const CANNOT_REJECT: &str = "cannot write a refused line to the rejects file";

/// Lines of standard input. Only the beginning of a line that is too long is in memory.
struct Lines<R> {
    input: R,
    /// The line without its line break; at most one byte longer than a fact may be.
    line: Vec<u8>,
    /// The number of the line.
    number: u64,
    /// The rest of the line has not been read yet.
    has_more: bool,
}

impl<R: BufRead> Lines<R> {
    const fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0, has_more: false }
    }

    /// Reads the next line, or its beginning. `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        self.line.clear();
        let mut is_any = false;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                self.number += u64::from(is_any);
                self.has_more = false;
                return Ok(is_any);
            }
            is_any = true;
            let end = memchr::memchr(b'\n', available);
            let room = (MAX_LINE_BYTES + 1).saturating_sub(self.line.len());
            let taken = end.unwrap_or(available.len()).min(room);
            self.line.extend(available.iter().take(taken));
            let is_whole = end == Some(taken);
            self.input.consume(taken + usize::from(is_whole));
            if is_whole || self.line.len() > MAX_LINE_BYTES {
                self.number += 1;
                self.has_more = !is_whole;
                return Ok(true);
            }
        }
    }

    /// Skips the rest of the line, and writes the whole line to `to`.
    fn pass(&mut self, mut to: Option<&mut Rejects>) -> anyhow::Result<()> {
        if let Some(to) = &mut to {
            to.keep(&self.line)?;
        }
        while self.has_more {
            let attempt = || format!("cannot read the rest of line {} of standard input", self.number);
            let available = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                available => available.with_context(attempt)?,
            };
            let end = memchr::memchr(b'\n', available);
            let taken = end.unwrap_or(available.len());
            if let (Some(to), Some(rest)) = (&mut to, available.get(..taken)) {
                to.keep(rest)?;
            }
            self.has_more = end.is_none() && !available.is_empty();
            self.input.consume(taken + usize::from(end.is_some()));
        }
        Ok(())
    }
}
