//! Removes journal files of dead processes whose facts the ledger covers.

use std::path::Path;
use std::sync::Arc;

use super::leftovers::{leftovers, read_journal};
use super::lost_facts::{LostFacts, kept_aside};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Seq, StreamId};
use crate::flush;
use crate::frame::FileHeader;
use crate::journal::claim::{self, JournalFile};
use crate::journal::replay::{self, Ending};
use crate::ledger::StreamRange;
use crate::recorder::Sealed;

/// Removes the journal files of a dead process's stream whose facts the ledger covers. Returns the number
/// of files and of bytes.
///
/// If the ledger covers all facts of the stream, the stream is left as a writer leaves it that continues
/// with another stream: it ends if numbers may have been given out that are in no file. If not, the
/// remaining files must still show that; so a file is removed only if the files show no such loss. A
/// backup's files stay for its first writer. A file also stays if `may_go` refuses its covered facts,
/// because the segments that have them are damaged.
pub(crate) fn retire_covered(
    context: &Context,
    stream: StreamId,
    may_go: impl FnOnce(StreamRange) -> bool,
) -> Result<(u64, u64)> {
    let Some(claim) = claim::try_claim(&context.disk, &context.root, stream)? else { return Ok((0, 0)) };
    let state = context.ledger.refresh()?;
    let files = claim::files(&claim.folder)?;
    if files.iter().any(JournalFile::is_of_backup) {
        return Ok((0, 0));
    }
    let ended = state.streams.get(&stream).is_some_and(|stream| stream.ended);
    let gave_up = LostFacts::in_files(&context.ledger, &state, stream, &files);
    if gave_up == LostFacts::Known {
        return Ok((0, 0));
    }
    let left = match leftovers(&context.disk, &state, stream, &files) {
        Ok(left) => left,
        // It is left for `recover`.
        Err(error) if error.kind() == ErrorKind::Damaged => return Ok((0, 0)),
        Err(error) => return Err(error),
    };
    let committed = state.committed(stream);
    if covered(&files, FileHeader { stream, store: state.store }, committed)?
        .is_some_and(|range| !may_go(range))
    {
        return Ok((0, 0));
    }
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let sizes: Vec<_> = files.iter().map(|file| (file.path.clone(), size(&file.path))).collect();
    let folder = claim.folder.clone();
    if left.chunks.is_empty() {
        let sealed = Sealed {
            stream,
            chunks: Vec::new(),
            journals: files.iter().map(|file| file.path.clone()).collect(),
            last_recorded_at: left.last_recorded_at,
            ends_stream: left.numbers_lost && !ended,
            keep_aside: kept_aside(left.keep_aside, gave_up, &files),
            claim: Some(claim),
        };
        flush::flush_taken_over(context, &Arc::new(sealed))?;
    } else if !left.numbers_lost && gave_up == LostFacts::None {
        let header = FileHeader { stream, store: state.store };
        for file in &files {
            let bytes = read_journal(file)?;
            let contents = replay::read(&bytes, &header, true);
            let covered = contents.facts.is_some_and(|facts| facts.last <= committed);
            if covered && contents.ending == Ending::Clean {
                context.disk.remove(&file.path).map_err(|error| Error::io("remove", &file.path, error))?;
            }
        }
    }
    let gone: Vec<u64> = sizes.into_iter().filter(|(path, _)| !path.exists()).map(|(_, size)| size).collect();
    if !gone.is_empty() {
        context.disk.sync_dir(&folder).map_err(|error| Error::io("sync the folder", &folder, error))?;
    }
    Ok((gone.len() as u64, gone.iter().sum()))
}

/// The facts in these files that the ledger covers, from the first to the last.
fn covered(files: &[JournalFile], header: FileHeader, committed: Seq) -> Result<Option<StreamRange>> {
    let mut covered: Option<StreamRange> = None;
    for file in files {
        let facts = replay::read(&read_journal(file)?, &header, true).facts;
        if let Some(facts) = facts.filter(|facts| facts.first <= committed) {
            let first_seq = covered.map_or(facts.first, |known| known.first_seq.min(facts.first));
            covered = Some(StreamRange { stream: header.stream, first_seq, last_seq: committed });
        }
    }
    Ok(covered)
}
