//! The steps of an import: parses a part in parallel, writes it while the next one is parsed, and commits
//! parts in order.

use std::collections::VecDeque;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::encoding;
use super::lines::{Lines, Part, Source};
use super::parse::{Parsed, panicked, parse};
use super::resume::{self, Begin, FirstLook, Progress};
use super::{Import, ImportReport};
use crate::context::Context;
use crate::counters::count;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::columns::Rows;
use crate::fact::{PerKind, Seq, StreamId, UnixNanos};
use crate::flush;
use crate::journal::claim::Claim;
use crate::ledger::{Action, EntryId, ImportMark, Segment, State, StreamRange};
use crate::segment::{self, ImportPart, Origin};
use crate::takeover;

/// The number of parts that are written in parallel, and of parts that may wait in addition.
const WRITERS: usize = 2;
/// The most bytes of a line that are skipped. A longer line may have no end, or come from a malicious
/// archive.
const MOST_LINE_BYTES: u64 = 1 << 30;

/// Imports an input, part by part.
pub(super) fn run(
    context: &Context,
    input: impl Read + Send,
    import: &mut Import<'_>,
) -> Result<ImportReport> {
    let mut source = Source::new(input);
    let read = resume::read_beginning(&mut source);
    // The current state: a pipe may have taken a long time.
    let state = context.ledger.refresh()?;
    let Begin { mut progress, read, resumed_after, first_look } =
        resume::begin(&mut source, read, &state, import)?;
    if resumed_after > 0 {
        segment::confirm_live(&context.disk, &context.root, &state)?;
    }
    let mut report = ImportReport { resumed_after, bytes: progress.bytes, ..ImportReport::default() };
    let mut numbering = Numbering::claim(context)?;
    let mut lines = Lines::new(source, read);
    let mut before = progress.mark();
    // The rest of a line that an earlier import has counted.
    let mut counted = resumed_after - progress.lines;
    std::thread::scope(|scope| {
        let expected = match &import.entries {
            Some(entries) if !entries.again => Expected::Entry(entries.range.after),
            _ if import.again => Expected::Anything,
            _ => Expected::Input { known: progress.known, first_look },
        };
        let mut committer = Committer::new(context, scope, numbering.stream(), expected);
        let result = (|| {
            loop {
                let (text, finished) = match lines.next() {
                    Ok(Part::End) => return Ok(None),
                    Ok(Part::Lines(text)) => (text, true),
                    Ok(Part::Unfinished(text)) => (text, false),
                    Ok(Part::TooLong(begun)) => {
                        let lines = &mut lines;
                        if let Some(failure) = skip_line(lines, begun, import, &mut progress, &mut report)? {
                            return Ok(Some(failure));
                        }
                        continue;
                    }
                    Err(error) => return Ok(Some(cannot_read(&import.name, progress.lines, error))),
                };
                let parsed = parse(&text, numbering.recorded_at, import.epoch)?;
                let rejected = parsed.iter().map(|piece| piece.rejects.len() as u64).sum();
                let count: u64 = parsed.iter().map(|piece| piece.lines).sum();
                let mut line = progress.lines;
                // Rejected lines are safe before the commit that goes past them.
                for piece in &parsed {
                    for (at, reason, text) in &piece.rejects {
                        import.reject(line + at + 1, reason, text)?;
                    }
                    line += piece.lines;
                }
                import.flush_rejects()?;
                // A line that was cut off is read again when the file has grown.
                if finished || rejected == 0 {
                    progress.add(&text, count, rejected);
                }
                report.lines += count - std::mem::take(&mut counted).min(count);
                report.rejected += rejected;
                report.inexact += parsed.iter().map(|piece| piece.inexact).sum::<u64>();
                report.bytes += text.len() as u64;
                let part = ImportPart {
                    begins: before.bytes,
                    before: Some(before.blake3.clone()),
                    again: progress.again,
                    mark: progress.mark(),
                };
                if let Some(job) = numbering.job(parsed, &mut report, part) {
                    before = job.part.mark.clone();
                    committer.submit(job)?;
                }
                if let Some(call) = &mut import.on_progress {
                    call(&report);
                }
            }
        })();
        match result {
            Ok(failure) => committer.finish().and(failure.map_or(Ok(()), Err)),
            // Parts that are still being written are not committed: an earlier part is missing.
            Err(error) => Err(error),
        }
    })?;
    if report.inexact > 0 {
        super::count_inexact(context, &import.name, report.inexact);
    }
    Ok(report)
}

/// The error of an input that was imported up to this line only.
fn cannot_read(name: &str, lines: u64, error: std::io::Error) -> Error {
    let reached = match lines {
        0 => format!("cannot read {name}"),
        lines if encoding::is_damage(&error) => format!(
            "cannot read {name} after line {lines}; the lines before were imported, and may be wrong, \
             because the packed input is damaged"
        ),
        lines => format!(
            "cannot read {name} after line {lines}; the lines before were imported, and importing the whole \
             input adds the rest"
        ),
    };
    Error::with_source(ErrorKind::Io, reached, error)
}

/// Skips a line that is too long, without keeping it in memory. Returns the error that kept it from
/// finding the line's end.
fn skip_line(
    lines: &mut Lines<impl Read>,
    begun: Vec<u8>,
    import: &mut Import<'_>,
    progress: &mut Progress,
    report: &mut ImportReport,
) -> Result<Option<Error>> {
    let reason = crate::fact::LineError::TooLong.to_string();
    if let Some(call) = &mut import.on_reject {
        call(&super::Reject { line: progress.lines + 1, reason: &reason });
    }
    let begins = progress.bytes;
    let mut more = Some((begun, false));
    while let Some((text, ended)) = more {
        import.keep_aside(&text)?;
        progress.add(&text, 0, 0);
        report.bytes += text.len() as u64;
        if ended {
            break;
        }
        if progress.bytes - begins > MOST_LINE_BYTES {
            let why = "its next line is longer than one GiB: it is not a line with a fact";
            return Ok(Some(cannot_read(&import.name, progress.lines, std::io::Error::other(why))));
        }
        more = match lines.rest_of_line() {
            Ok(more) => more,
            Err(error) => return Ok(Some(cannot_read(&import.name, progress.lines, error))),
        };
    }
    import.flush_rejects()?;
    progress.add(&[], 1, 1);
    report.lines += 1;
    report.rejected += 1;
    Ok(None)
}

/// Gives the facts of an import their places in a stream of its own.
struct Numbering {
    claim: Claim,
    next: Seq,
    recorded_at: UnixNanos,
}

impl Numbering {
    fn claim(context: &Context) -> Result<Self> {
        let durability = context.settings.durability;
        let opened = takeover::open_stream(
            &context.disk,
            &context.root,
            &context.ledger,
            durability,
            context.now(),
            &context.metrics.replayed,
        )?;
        for sealed in &opened.sealed {
            flush::flush_taken_over(context, sealed)?;
        }
        Ok(Self {
            next: opened.last.next(),
            // A time of its own: it distinguishes the facts of an import from others with equal numbers.
            recorded_at: context.now().max(UnixNanos::new(opened.last_recorded_at.get().saturating_add(1))),
            claim: opened.claim,
        })
    }

    const fn stream(&self) -> StreamId {
        self.claim.stream
    }

    /// The segments and the commit of a part to be written; `None` if the part has no facts.
    fn job(&mut self, parsed: Vec<Parsed>, report: &mut ImportReport, part: ImportPart) -> Option<Job> {
        let mut rows = PerKind::<Vec<Rows>>::default();
        let first_seq = self.next;
        for piece in parsed {
            for ((mut builder, rows), total) in piece.rows.into_iter().zip(&mut rows).zip(&mut report.facts) {
                if !builder.is_empty() {
                    let built = builder.finish(self.claim.stream, self.next);
                    *total += built.batch.num_rows() as u64;
                    rows.push(built);
                }
            }
            self.next = Seq(self.next.0 + piece.facts);
        }
        if self.next == first_seq {
            return None;
        }
        let range = StreamRange { stream: self.claim.stream, first_seq, last_seq: Seq(self.next.0 - 1) };
        Some(Job { range, rows, part, recorded_at: self.recorded_at })
    }
}

/// A part to be written and committed.
struct Job {
    range: StreamRange,
    rows: PerKind<Vec<Rows>>,
    part: ImportPart,
    recorded_at: UnixNanos,
}

/// A part that was written, or the error.
type Written = Result<Action>;

/// The import marks that the ledger should have when a part is committed.
enum Expected {
    Anything,
    /// The input is imported up to here. Before the first commit: the ledger has the marks of the
    /// import's beginning.
    Input {
        known: Option<u64>,
        first_look: Option<FirstLook>,
    },
    /// The entries of the source are imported up to this one.
    Entry(Option<EntryId>),
}

impl Expected {
    /// Whether the ledger has other marks: another import of this input was at work.
    fn differs(&self, state: &State, mark: &ImportMark) -> bool {
        match self {
            Self::Anything => false,
            Self::Input { known, first_look } => {
                state.imported(&mark.head_blake3) != *known
                    || first_look.as_ref().is_some_and(|first| first.differs(state))
            }
            Self::Entry(after) => state.imported_entry(&mark.name) != *after,
        }
    }

    /// Updates the expectation after a part was committed.
    fn advance(&mut self, mark: &ImportMark) {
        match self {
            Self::Anything => {}
            Self::Input { known, first_look } => (*known, *first_look) = (Some(mark.bytes), None),
            Self::Entry(after) => *after = mark.entries.map(|entries| entries.last),
        }
    }
}

/// Writes parts in parallel, and commits them one after another.
struct Committer<'scope, 'env> {
    context: &'env Context,
    scope: &'scope Scope<'scope, 'env>,
    stream: StreamId,
    expected: Expected,
    writing: VecDeque<Receiver<Written>>,
}

impl<'scope, 'env> Committer<'scope, 'env> {
    fn new(
        context: &'env Context,
        scope: &'scope Scope<'scope, 'env>,
        stream: StreamId,
        expected: Expected,
    ) -> Self {
        Self { context, scope, stream, expected, writing: VecDeque::new() }
    }

    fn submit(&mut self, job: Job) -> Result<()> {
        if self.writing.len() >= WRITERS {
            self.commit_oldest()?;
        }
        let (sender, receiver): (SyncSender<Written>, _) = sync_channel(1);
        let context = self.context;
        self.scope.spawn(move || {
            let written = catch_unwind(AssertUnwindSafe(|| write(context, job)));
            // If the receiver is gone, the import has failed already.
            let _ = sender.send(written.unwrap_or_else(|_| Err(panicked("writing"))));
        });
        self.writing.push_back(receiver);
        Ok(())
    }

    fn commit_oldest(&mut self) -> Result<()> {
        let Some(oldest) = self.writing.pop_front() else { return Ok(()) };
        let action = oldest.recv().map_err(|_| panicked("writing"))??;
        let Action::Flush { range, import: Some(mark), add, .. } = &action else { return Ok(()) };
        let (stream, before) = (self.stream, Seq(range.first_seq.0 - 1));
        self.context.ledger.commit(|state| {
            if self.expected.differs(state, mark) {
                let why = "another import of this input is under way, or has committed since this one began; \
                           run the import again: it continues after the other one";
                return Err(Error::new(ErrorKind::Contended, why));
            }
            if state.committed(stream) == before {
                return Ok(Some(action.clone()));
            }
            let why = format!(
                "another process has written to stream {stream}, although this process holds its lock: the \
                 locks of the file system do not work"
            );
            Err(Error::new(ErrorKind::Contended, why))
        })?;
        segment::confirm(&self.context.disk, &self.context.root, add);
        self.expected.advance(mark);
        count(&self.context.metrics.flushes, 1);
        count(&self.context.metrics.records_written, range.last_seq.0 - before.0);
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        while !self.writing.is_empty() {
            self.commit_oldest()?;
        }
        Ok(())
    }
}

fn write(context: &Context, job: Job) -> Written {
    let store = context.ledger.known().store;
    let rows = Arc::new(job.rows);
    let add: Vec<Segment> = segment::write_all(
        &context.disk,
        &context.root,
        store,
        job.range,
        Origin::Import(&job.part),
        |kind| Box::new(rows[kind].iter()),
    )?;
    count(&context.metrics.segments_written, add.len() as u64);
    count(&context.metrics.segment_bytes_written, add.iter().map(|segment| segment.bytes).sum());
    Ok(Action::Flush {
        range: job.range,
        last_recorded_at: job.recorded_at,
        ends_stream: false,
        import: Some(job.part.mark),
        add,
    })
}
