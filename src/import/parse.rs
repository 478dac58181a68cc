//! Parses the lines of a part of an import into rows.

use std::thread::ScopedJoinHandle;

use super::lines::cut;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::columns::RowsBuilder;
use crate::fact::{FIRST_EPOCH_NANOS, Fact, LineParser, PerKind, Seq, UnixNanos, is_blank};

/// Facts of some lines, numbered from 0.
pub(super) struct Parsed {
    pub(super) rows: PerKind<RowsBuilder>,
    pub(super) facts: u64,
    pub(super) lines: u64,
    /// Facts with values that no column holds.
    pub(super) inexact: u64,
    /// The line within the piece, from 0; the reason; the text.
    pub(super) rejects: Vec<(u64, String, Vec<u8>)>,
}

/// Parses lines in parallel. `epoch` is the time at which the clock of timestamps started that are no dates.
pub(super) fn parse(text: &[u8], recorded_at: UnixNanos, epoch: Option<UnixNanos>) -> Result<Vec<Parsed>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    if text.len() < 64 << 10 {
        return Ok(vec![parse_piece(text, recorded_at, epoch)]);
    }
    std::thread::scope(|scope| {
        let pieces: Vec<ScopedJoinHandle<'_, Parsed>> = cut(text, threads)
            .into_iter()
            .map(|piece| scope.spawn(move || parse_piece(piece, recorded_at, epoch)))
            .collect();
        pieces.into_iter().map(|piece| piece.join().map_err(|_| panicked("parsing"))).collect()
    })
}

pub(super) fn panicked(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{what} the lines of the import failed: a thread panicked"))
}

fn parse_piece(text: &[u8], recorded_at: UnixNanos, epoch: Option<UnixNanos>) -> Parsed {
    let mut parsed = Parsed {
        rows: PerKind::from_fn(RowsBuilder::new),
        facts: 0,
        lines: 0,
        inexact: 0,
        rejects: Vec::new(),
    };
    let mut parser = LineParser::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = match memchr::memchr(b'\n', rest) {
            Some(end) => (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default()),
            None => (rest, &[][..]),
        };
        rest = after;
        let number = parsed.lines;
        parsed.lines += 1;
        if is_blank(line) {
            continue;
        }
        match parser.parse(line) {
            Ok(fact) => {
                let wall_time = epoch.and_then(|epoch| clock_time(epoch, &fact));
                parsed.rows[fact.kind()].push(Seq(parsed.facts), recorded_at, &fact, wall_time);
                parsed.facts += 1;
                parsed.inexact += u64::from(!fact.inexact_fields().is_empty());
            }
            Err(reason) => parsed.rejects.push((number, reason.to_string(), line.to_vec())),
        }
    }
    parsed
}

/// The wall time of a fact whose clock started at this time; `None` if the timestamp is a date.
fn clock_time(epoch: UnixNanos, fact: &Fact<'_>) -> Option<UnixNanos> {
    let since = fact.timestamp().to_nanos().filter(|since| *since < FIRST_EPOCH_NANOS)?;
    epoch.get().checked_add(since).map(UnixNanos::new)
}
