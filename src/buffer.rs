//! The buffer: facts that were recorded and are not in a segment yet.
//!
//! A recorder only copies its journal frame here. The frames become Arrow rows one chunk at a time, once,
//! when the flush or a query first needs them.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::fact::columns::{Rows, RowsBuilder};
use crate::fact::{Kind, PerKind, Seq, StreamId, UnixNanos, codec};
use crate::frame::verified_frames;

/// The largest size of a chunk: small enough to copy the unfinished chunk for every query.
const CHUNK_BYTES: usize = 256 << 10;

/// Consecutive facts of one stream, as journal frames and, after the first request, as rows.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) stream: StreamId,
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    frames: Vec<u8>,
    rows: OnceLock<PerKind<Option<Rows>>>,
}

impl Chunk {
    /// A chunk of frames with the facts `first` to `last`, which were verified or made by this process.
    pub(crate) const fn new(stream: StreamId, first: Seq, last: Seq, frames: Vec<u8>) -> Self {
        Self { stream, first, last, frames, rows: OnceLock::new() }
    }

    /// How many facts it holds.
    pub(crate) const fn facts(&self) -> u64 {
        self.last.0 + 1 - self.first.0
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.frames.len()
    }

    /// The facts' frames, as a journal has them.
    pub(crate) fn frames(&self) -> &[u8] {
        &self.frames
    }

    /// When its last fact was recorded.
    pub(crate) fn last_recorded_at(&self) -> UnixNanos {
        verified_frames(&self.frames).last().map(|frame| frame.recorded_at).unwrap_or_default()
    }

    /// Its rows of a kind; `None` if it has none.
    pub(crate) fn rows(&self, kind: Kind) -> Option<&Rows> {
        self.rows.get_or_init(|| self.decode())[kind].as_ref()
    }

    fn decode(&self) -> PerKind<Option<Rows>> {
        let mut builders = PerKind::from_fn(RowsBuilder::new);
        for frame in verified_frames(&self.frames) {
            let Some(fact) = codec::decode(frame.body) else { continue };
            builders[fact.kind()].push(frame.seq, frame.recorded_at, &fact, None);
        }
        builders.map(|mut rows| (!rows.is_empty()).then(|| rows.finish(self.stream, Seq(0))))
    }

    /// The part of the chunk after a fact; `None` if nothing is left.
    pub(crate) fn after(self: &Arc<Self>, seq: Seq) -> Option<Arc<Self>> {
        if self.first > seq {
            return Some(Arc::clone(self));
        }
        if self.last <= seq {
            return None;
        }
        let skipped: usize = verified_frames(&self.frames)
            .take_while(|frame| frame.seq <= seq)
            .map(|frame| frame.bytes())
            .sum();
        let frames = self.frames.get(skipped..)?.to_vec();
        Some(Arc::new(Self::new(self.stream, seq.next(), self.last, frames)))
    }
}

/// The facts of a stream since its buffer was last sealed.
pub(crate) struct Buffer {
    stream: StreamId,
    full: Vec<Arc<Chunk>>,
    frames: Vec<u8>,
    first: Seq,
    last: Seq,
    rows: u64,
    bytes: usize,
    since: Option<Instant>,
}

impl Buffer {
    pub(crate) const fn new(stream: StreamId) -> Self {
        Self {
            stream,
            full: Vec::new(),
            frames: Vec::new(),
            first: Seq(0),
            last: Seq(0),
            rows: 0,
            bytes: 0,
            since: None,
        }
    }

    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When its first fact was added.
    pub(crate) const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Adds the frame of the fact that follows the last one.
    pub(crate) fn push(&mut self, seq: Seq, frame: &[u8]) {
        if self.frames.is_empty() {
            self.first = seq;
            self.frames.reserve(CHUNK_BYTES.max(frame.len()));
        }
        self.frames.extend_from_slice(frame);
        self.last = seq;
        self.rows += 1;
        self.bytes += frame.len();
        self.since.get_or_insert_with(Instant::now);
        if self.frames.len() >= CHUNK_BYTES {
            self.finish_chunk();
        }
    }

    fn finish_chunk(&mut self) {
        if !self.frames.is_empty() {
            let frames = std::mem::take(&mut self.frames);
            self.full.push(Arc::new(Chunk::new(self.stream, self.first, self.last, frames)));
        }
    }

    /// The chunks that are in the buffer now.
    pub(crate) fn chunks(&self) -> Vec<Arc<Chunk>> {
        let mut chunks = self.full.clone();
        if !self.frames.is_empty() {
            chunks.push(Arc::new(Chunk::new(self.stream, self.first, self.last, self.frames.clone())));
        }
        chunks
    }

    /// Empties the buffer, and returns its chunks.
    pub(crate) fn seal(&mut self) -> Vec<Arc<Chunk>> {
        self.finish_chunk();
        std::mem::replace(self, Self::new(self.stream)).full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Event, Fact, Json, UnixNanos};
    use crate::frame::FrameBuffer;

    fn push(buffer: &mut Buffer, seq: u64) {
        let fact = Fact::from(Event::new("s", format!("s:{seq}"), "ActorStarted", Json::empty_object(), 1.0));
        let mut frame = FrameBuffer::default();
        frame.add(&fact).unwrap();
        frame.finish(Seq(seq), UnixNanos(seq as i64));
        buffer.push(Seq(seq), frame.bytes());
    }

    #[test]
    fn a_chunk_is_cut_behind_a_fact() {
        let mut buffer = Buffer::new(StreamId(1));
        (5..=9).for_each(|seq| push(&mut buffer, seq));
        let chunk = Arc::clone(buffer.chunks().first().unwrap());
        assert_eq!(chunk.after(Seq(4)).unwrap().facts(), 5);
        let rest = chunk.after(Seq(7)).unwrap();
        assert_eq!((rest.first, rest.last), (Seq(8), Seq(9)));
        assert_eq!(rest.rows(Kind::Event).unwrap().batch.num_rows(), 2);
        assert!(chunk.after(Seq(9)).is_none());
    }

    #[test]
    fn facts_keep_their_order_over_chunks() {
        let mut buffer = Buffer::new(StreamId(1));
        (1..=10_000).for_each(|seq| push(&mut buffer, seq));
        let chunks = buffer.seal();
        assert!(chunks.len() > 2);
        let mut next = Seq(1);
        for chunk in &chunks {
            assert_eq!(chunk.first, next);
            assert_eq!(chunk.rows(Kind::Event).unwrap().batch.num_rows() as u64, chunk.facts());
            assert!(chunk.rows(Kind::Audit).is_none());
            next = chunk.last.next();
        }
        assert_eq!(next, Seq(10_001));
        assert_eq!((buffer.rows(), buffer.bytes()), (0, 0));
    }
}
