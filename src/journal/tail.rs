//! A stream's tail: the facts of its journal files that the ledger does not cover yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::intact_frames::sound;
use super::replay::{self, Contents, Ending, FactSums};
use crate::buffer::{Buffer, Chunk};
use crate::error::{Error, Result};
use crate::fact::{Seq, StreamId, UnixNanos};
use crate::frame::{FileHeader, HeaderError, verified_frames};
use crate::ledger::StoreId;

/// The error if a journal file and an earlier one have different facts of one number.
pub(crate) fn two_facts(seq: Seq, stream: StreamId) -> String {
    format!(
        "it has another fact {seq} of stream {stream} than the file before it: two processes have owned the stream at the \
         same time"
    )
}

/// Puts a stream's tail together from its journal files, oldest first.
pub(crate) struct TailReader {
    header: FileHeader,
    buffer: Buffer,
    pub(crate) last: Seq,
    pub(crate) last_recorded_at: UnixNanos,
    sums: FactSums,
    /// A power failure took the facts before the remaining files.
    cut: bool,
    /// There may have been facts after the last one: a file ends within a frame, or has no facts.
    pub(crate) may_lack_facts: bool,
    /// Files with bytes that could not be read.
    pub(crate) keep_aside: Vec<PathBuf>,
}

impl TailReader {
    /// An empty tail that begins after the facts that the ledger covers.
    pub(crate) fn new(store: StoreId, stream: StreamId, committed: Seq) -> Self {
        Self {
            header: FileHeader { stream, store },
            buffer: Buffer::new(stream),
            last: committed,
            last_recorded_at: UnixNanos::default(),
            sums: FactSums::default(),
            cut: false,
            may_lack_facts: false,
            keep_aside: Vec::new(),
        }
    }

    /// Adds the facts of a file. Damage, and a gap before its first fact, are errors.
    pub(crate) fn add(&mut self, path: &Path, bytes: &[u8], same_boot: bool) -> Result<()> {
        let Contents { sound, facts, synced, ending } = replay::read(bytes, &self.header, same_boot);
        if matches!(ending, Ending::Torn { sound_after: true, .. }) {
            self.keep_aside.push(path.to_path_buf());
        }
        if let Ending::Damaged { offset, reason } = ending {
            return Err(Error::damaged(
                path,
                format_args!(
                    "{reason} (at offset {offset}); facts of stream {} after {} may be affected",
                    self.header.stream,
                    self.last.max(facts.map_or(Seq(0), |facts| facts.last))
                ),
            ));
        }
        let frames = || verified_frames(bytes.get(sound.clone()).unwrap_or_default());
        if let Some(frame) = frames().find(|frame| !self.sums.fits(frame)) {
            return Err(Error::damaged(path, two_facts(frame.seq, self.header.stream)));
        }
        let is_torn = matches!(ending, Ending::Torn { .. });
        // If the ledger covers a file beyond its last fact, no fact of it is missing.
        self.may_lack_facts |= facts.is_none_or(|facts| is_torn && facts.last >= self.last);
        let Some(facts) = facts.filter(|facts| facts.last > self.last) else { return Ok(()) };
        if self.cut || (facts.first > self.last.next() && !same_boot && synced <= self.last) {
            // The disk kept a later file but not an earlier one, whose facts were never promised to be
            // durable.
            self.cut = true;
            self.keep_aside.push(path.to_path_buf());
            return Ok(());
        }
        if facts.first > self.last.next() {
            return Err(Error::damaged(
                path,
                format_args!(
                    "it begins with fact {} of stream {}, and the facts after {} are nowhere",
                    facts.first, self.header.stream, self.last
                ),
            ));
        }
        // The facts that an earlier file may have had are in this one, or were never given a number.
        self.may_lack_facts = is_torn;
        for frame in frames() {
            if frame.seq > self.last {
                self.buffer.push(frame.seq, frame.raw);
                self.last = frame.seq;
            }
        }
        self.last_recorded_at = facts.last_recorded_at;
        Ok(())
    }

    /// Adds the facts with sound frames of a file that could not be added: before and after its damage,
    /// or after a gap.
    pub(crate) fn add_sound(&mut self, bytes: &[u8]) {
        let is_foreign = match FileHeader::decode(bytes) {
            Ok(header) => header != self.header,
            Err(HeaderError::NewerFormat(_)) => true,
            // By its path it belongs to the stream.
            Err(HeaderError::Unsound) => false,
        };
        if is_foreign {
            return;
        }
        // A crash cannot have cut the last batch of a damaged file: its facts count.
        let found = sound(bytes);
        for frame in found.facts.iter().chain(&found.incomplete) {
            if frame.seq > self.last {
                self.buffer.push(frame.seq, frame.raw);
                self.last = frame.seq;
            }
        }
    }

    pub(crate) fn finish(mut self) -> Vec<Arc<Chunk>> {
        self.buffer.seal()
    }
}
