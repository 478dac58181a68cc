//! `ostracon record`: facts from standard input, recorded live.

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
use super::rejects::{keep_apart, open_rejects, stdin_metadata};
use super::scan::counted;

/// Record facts from standard input, one JSON line each, as they come.
///
/// The store is created if there is none. Every fact is recorded, even if the store has it already; use
/// `import` for files, which skips lines that it imported before. Lines that are no facts are reported on stderr,
/// and written to the file of --rejects. What gzip or zstd has packed is unpacked on the way. With --ack, `stream:seq` is
/// printed for each fact in the order of the input, once the fact is as safe as the durability says; a line that was
/// refused is answered with `-`. Where every line was refused, that is a failure.
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
    /// How safe: buffered, journaled or synced; as ostracon.toml says if not given
    #[arg(long)]
    durability: Option<Durability>,
    /// Add the lines that were not recorded to this file, byte for byte
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Fail if any line was refused; the others are recorded all the same
    #[arg(long)]
    strict: bool,
    /// Flush when so many facts are buffered
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
    // What cannot be read leaves nothing, not even an empty store.
    let input = Lines::new(BufReader::new(input::text(io::stdin(), "-")?));
    let rejects = Rejects(args.rejects.as_deref().map(rejects_of_stdin).transpose()?);
    let store = Arc::new(builder.open(&args.store.store)?);
    interrupt::at_end({
        // Only the recording below owns the store: where it panics, the store is closed on the way.
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
    // However this ends: facts that were acknowledged from memory are safe only after it.
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
            say(&format!("{summary}; what was not flushed waits in the journal for the next writer"));
        }
        return Err(error.into());
    }
    say(&summary);
    refuse(refused, refused + recorded, recorded == 0 || args.strict)
}

/// Opens the file for malformed lines of standard input.
fn rejects_of_stdin(path: &Path) -> anyhow::Result<BufWriter<File>> {
    keep_apart(path, stdin_metadata().as_ref())?;
    open_rejects(path)
}

/// Closes a store on the way out, where there is something else to report already.
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
            let doubt =
                if input::is_damage(&error) { ", and what was recorded of it may be wrong" } else { "" };
            anyhow::Error::new(error)
                .context(format!("cannot read standard input after line {before}{doubt}"))
        })
    }

    /// Keeps a line aside that was not recorded. An error that the next lines would meet, too, is the end.
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

    /// An error that ends the recording. It is text alone: a reader of acknowledgements or rejects that has closed
    /// its end leaves lines that are not recorded, unlike one that has seen enough of an answer.
    fn stopped(&self, error: &anyhow::Error) -> anyhow::Error {
        let were = if self.recorded == 1 { "was" } else { "were" };
        anyhow::anyhow!(
            "{}; {} {were} recorded, and no more are",
            chain(error),
            counted(self.recorded, "fact")
        )
    }
}

fn record(store: &Store, line: &[u8]) -> ostracon::Result<ostracon::Position> {
    let fact = Fact::from_json(line)?;
    let mut patience = 50;
    loop {
        match store.record(fact.clone()) {
            // Whoever pipes facts in can wait longer than an actor system.
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

/// Where lines go that are not recorded.
struct Rejects(Option<BufWriter<File>>);

impl Rejects {
    fn keep(&mut self, text: &[u8]) -> anyhow::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        file.write_all(text).context(ASIDE)
    }

    /// Ends a line; it is in the file from then on.
    fn end_line(&mut self) -> anyhow::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        file.write_all(b"\n").and_then(|()| file.flush()).context(ASIDE)
    }
}

const ASIDE: &str = "cannot keep a line aside";

/// Lines of standard input. Of a line that is too long only the beginning is in memory.
struct Lines<R> {
    input: R,
    /// One byte more than a fact may have, at most; without its break.
    line: Vec<u8>,
    /// That of the line.
    number: u64,
    /// More of the line is still to be read.
    goes_on: bool,
}

impl<R: BufRead> Lines<R> {
    const fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0, goes_on: false }
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
                self.goes_on = false;
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
                self.goes_on = !is_whole;
                return Ok(true);
            }
        }
    }

    /// Leaves the line, and keeps all of it there.
    fn pass(&mut self, mut to: Option<&mut Rejects>) -> anyhow::Result<()> {
        if let Some(to) = &mut to {
            to.keep(&self.line)?;
        }
        while self.goes_on {
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
            self.goes_on = end.is_none() && !available.is_empty();
            self.input.consume(taken + usize::from(end.is_some()));
        }
        Ok(())
    }
}
