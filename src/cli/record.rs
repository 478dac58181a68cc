//! `ostracon record`: facts from standard input, recorded live.

use std::io::{self, BufRead, BufWriter, Write};
use std::time::Duration;

use crate::{Durability, ErrorKind, Fact, Store};
use anyhow::Context;

use super::import::refuse;
use super::scan::counted;
use super::{StoreArg, grouped, say};

/// Longer lines are refused, and never wholly in memory.
const MAX_LINE_BYTES: usize = 16 << 20;

/// Record facts from standard input, one JSON line each, as they come.
///
/// The store is created if there is none. A line that is no fact is told on stderr, and the rest
/// goes on. With --ack, `stream:seq` is printed for each fact in the order of the input, once the
/// fact is as safe as the durability says; a line that was refused is answered with `-`. Where every
/// line was refused, that is a failure.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  tail -F papyra.ndjson | ostracon record facts/ --ack --durability synced"
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
    let store = builder.open(&args.store.store)?;
    let mut input = io::stdin().lock();
    let mut acks = BufWriter::new(io::stdout().lock());
    let (mut number, mut recorded, mut refused) = (0_u64, 0_u64, 0_u64);
    let mut line = Vec::new();
    while read_line(&mut input, &mut line).context("cannot read standard input")? {
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match record(&store, &line) {
            Ok(position) => {
                recorded += 1;
                if args.ack {
                    writeln!(acks, "{}", position.id())?;
                    acks.flush()?;
                }
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Io | ErrorKind::NoSpace) =>
            {
                return Err(anyhow::Error::new(error).context(format!("line {number} was not recorded")));
            }
            Err(error) => {
                refused += 1;
                say(&format!("line {number}: {error}"));
                if args.ack {
                    writeln!(acks, "-")?;
                    acks.flush()?;
                }
            }
        }
    }
    store.close()?;
    let mut summary = format!("recorded {}", counted(recorded, "fact"));
    summary += &match refused {
        0 => String::new(),
        1 => "; 1 line was refused".to_owned(),
        lines => format!("; {} lines were refused", grouped(lines)),
    };
    say(&summary);
    refuse(refused, refused + recorded, recorded == 0 || args.strict)
}

fn record(store: &Store, line: &[u8]) -> crate::Result<crate::Position> {
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

/// Reads a line without its break. Of a line that is too long only the beginning is kept, one
/// byte more than is allowed. `false` at the end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = available.iter().position(|&b| b == b'\n');
        let taken = end.unwrap_or(available.len());
        let room = (MAX_LINE_BYTES + 1).saturating_sub(line.len());
        line.extend(available.iter().take(taken.min(room)));
        let consumed = end.map_or(taken, |end| end + 1);
        input.consume(consumed);
        if end.is_some() {
            return Ok(true);
        }
    }
}
