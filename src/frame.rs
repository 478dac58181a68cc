//! The layout of a journal file, in bytes. All numbers are little-endian.
//!
//! ```text
//! file    0..8    magic "OSTRACON"
//!         8..12   format version, 1
//!         12..16  stream
//!         16..32  store id
//!         32..36  CRC-32C of bytes 0..32
//!         36..    frames; zeros after the last one are unused space
//!
//! frame   0..4    length of the body, 1 to 17 Mi
//!         4..8    CRC-32C of bytes 0..4 and 8..end
//!         8..16   seq
//!         16..24  recorded_at, nanoseconds since the Unix epoch
//!         24..    body: the fact (see `fact::codec`)
//! ```
//!
//! Frames whose body begins with the byte 0 hold no fact:
//!
//! - `0` is a *mark*: all bytes before the offset in its `recorded_at` field were synced when the mark
//!   was written. It distinguishes a hole that a power failure left in unsynced bytes from damage to
//!   synced bytes.
//! - `0 1` is the head of a *batch*: its `recorded_at` field says how many of the next facts were
//!   recorded together. They count only if all of them are there.

use crate::fact::{Fact, Seq, StreamId, UnixNanos, codec};
use crate::ledger::StoreId;

pub(crate) const FILE_HEADER_BYTES: usize = 36;
pub(crate) const FRAME_HEADER_BYTES: usize = 24;
/// The most bytes of a frame's body. A frame with a longer body is not written, and counts as damage.
pub(crate) const MAX_BODY_BYTES: usize = 17 << 20;
const MAGIC: &[u8; 8] = b"OSTRACON";
const FORMAT: u32 = 1;
const MARK: &[u8] = &[0];
const BATCH_HEAD: &[u8] = &[0, 1];
const BATCH_HEAD_BYTES: usize = FRAME_HEADER_BYTES + BATCH_HEAD.len();

/// The header of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) stream: StreamId,
    pub(crate) store: StoreId,
}

/// Why the first bytes of a file are not the header of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// The header is too short, or its bytes have changed.
    Unsound,
    /// A newer version wrote the file.
    NewerFormat(u32),
}

impl FileHeader {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FILE_HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.stream.0.to_le_bytes());
        out.extend_from_slice(&self.store.to_bytes());
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    pub(crate) fn decode(file: &[u8]) -> Result<Self, HeaderError> {
        let header = file.get(..FILE_HEADER_BYTES).ok_or(HeaderError::Unsound)?;
        let (covered, crc) = header.split_at(FILE_HEADER_BYTES - 4);
        if u32_at(crc, 0) != Some(crc32c::crc32c(covered)) || !covered.starts_with(MAGIC) {
            return Err(HeaderError::Unsound);
        }
        match u32_at(covered, 8) {
            Some(FORMAT) => {}
            Some(version) => return Err(HeaderError::NewerFormat(version)),
            None => return Err(HeaderError::Unsound),
        }
        let stream = u32_at(covered, 12).ok_or(HeaderError::Unsound)?;
        let store = covered.get(16..32).and_then(|id| id.try_into().ok()).map(StoreId::from_bytes);
        let store = store.ok_or(HeaderError::Unsound)?;
        Ok(Self { stream: StreamId(stream), store })
    }
}

/// One frame of a file, its checksum verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) seq: Seq,
    pub(crate) recorded_at: UnixNanos,
    pub(crate) body: &'a [u8],
    /// All of its bytes.
    pub(crate) raw: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The checksum of the frame's place and body.
    pub(crate) fn checksum(&self) -> u32 {
        u32_at(self.raw, 4).unwrap_or_default()
    }

    /// Decodes the frame at the beginning of the bytes; the error says why there is none.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Unsound> {
        let frame = Self::decode_unverified(bytes)?;
        let end = FRAME_HEADER_BYTES + frame.body.len();
        let covered = bytes.get(8..end).ok_or(Unsound::Cut)?;
        let length = bytes.get(..4).ok_or(Unsound::Cut)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(length), covered);
        if u32_at(bytes, 4) == Some(crc) { Ok(frame) } else { Err(Unsound::Checksum) }
    }

    /// Decodes a frame from bytes whose checksums were verified before.
    pub(crate) fn decode_unverified(bytes: &'a [u8]) -> Result<Self, Unsound> {
        let length = u32_at(bytes, 0).ok_or(Unsound::Cut)? as usize;
        if length == 0 || length > MAX_BODY_BYTES {
            return Err(Unsound::Length);
        }
        let raw = bytes.get(..FRAME_HEADER_BYTES + length).ok_or(Unsound::Cut)?;
        let body = raw.get(FRAME_HEADER_BYTES..).ok_or(Unsound::Cut)?;
        let seq = u64_at(bytes, 8).ok_or(Unsound::Cut)?;
        let recorded_at = u64_at(bytes, 16).ok_or(Unsound::Cut)? as i64;
        Ok(Self { seq: Seq(seq), recorded_at: UnixNanos(recorded_at), body, raw })
    }

    pub(crate) const fn bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body.len()
    }

    /// If this is a mark: the offset before which all bytes were synced.
    pub(crate) fn mark(&self) -> Option<u64> {
        (self.body == MARK).then_some(self.recorded_at.0 as u64)
    }

    /// If this is the head of a batch: the number of its facts.
    pub(crate) fn batch(&self) -> Option<u64> {
        (self.body == BATCH_HEAD).then_some(self.recorded_at.0 as u64)
    }

    /// Whether this frame holds no fact.
    pub(crate) fn is_control(&self) -> bool {
        self.body.first() == Some(&0)
    }
}

/// Why the bytes are not a sound frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsound {
    /// The file ends before the frame does.
    Cut,
    /// No frame has this length.
    Length,
    /// The checksum does not match.
    Checksum,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// New frames: the bodies are made first, without a lock, and their places are added later.
pub(crate) struct FrameBuffer {
    /// Space for the head of a batch, then the frames.
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        let mut empty = Self { bytes: Vec::new(), ends: Vec::new() };
        empty.clear();
        empty
    }
}

impl FrameBuffer {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(FRAME_HEADER_BYTES, 0);
        self.bytes.extend_from_slice(BATCH_HEAD);
        self.ends.clear();
    }

    /// Adds a frame for this fact; `None` if the fact is too large for a frame.
    pub(crate) fn add(&mut self, fact: &Fact<'_>) -> Option<()> {
        let start = self.bytes.len();
        self.bytes.resize(start + FRAME_HEADER_BYTES, 0);
        codec::encode(fact, &mut self.bytes);
        self.ends.push(self.bytes.len());
        (self.bytes.len() - start <= FRAME_HEADER_BYTES + MAX_BODY_BYTES).then_some(())
    }

    /// How many facts there are.
    pub(crate) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Sets the places of the frames, in order, and their checksums.
    pub(crate) fn finish(&mut self, first: Seq, recorded_at: UnixNanos) {
        if let Some(head) = self.bytes.get_mut(..BATCH_HEAD_BYTES) {
            seal(head, first.0, self.ends.len() as u64);
        }
        let mut start = BATCH_HEAD_BYTES;
        for (seq, end) in (first.0..).zip(&self.ends) {
            if let Some(frame) = self.bytes.get_mut(start..*end) {
                seal(frame, seq, recorded_at.0 as u64);
            }
            start = *end;
        }
    }

    /// The bytes to append to the journal: the frames, with a head if they are a batch.
    pub(crate) fn bytes(&self) -> &[u8] {
        let begin = if self.ends.len() > 1 { 0 } else { BATCH_HEAD_BYTES };
        self.bytes.get(begin..).unwrap_or_default()
    }

    /// The facts' frames one by one.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(BATCH_HEAD_BYTES).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end))
    }

    /// Releases memory that a large batch used.
    pub(crate) fn shrink(&mut self) {
        self.clear();
        self.bytes.shrink_to(1 << 20);
    }
}

/// Makes a mark: all bytes before `offset`, up to the fact `seq`, were synced.
pub(crate) fn mark(seq: Seq, offset: u64) -> Vec<u8> {
    let mut frame = vec![0; FRAME_HEADER_BYTES];
    frame.extend_from_slice(MARK);
    seal(&mut frame, seq.0, offset);
    frame
}

fn seal(frame: &mut [u8], seq: u64, at: u64) {
    let length = (frame.len() - FRAME_HEADER_BYTES) as u32;
    let (header, body) = frame.split_at_mut(FRAME_HEADER_BYTES);
    let (prefix, place) = header.split_at_mut(8);
    let (length_bytes, crc_bytes) = prefix.split_at_mut(4);
    let (seq_bytes, at_bytes) = place.split_at_mut(8);
    length_bytes.copy_from_slice(&length.to_le_bytes());
    seq_bytes.copy_from_slice(&seq.to_le_bytes());
    at_bytes.copy_from_slice(&at.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(length_bytes), place), body);
    crc_bytes.copy_from_slice(&crc.to_le_bytes());
}

/// The frames of facts in bytes that were verified before, in order.
pub(crate) fn verified_frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        loop {
            let frame = Frame::decode_unverified(bytes).ok()?;
            bytes = bytes.get(frame.bytes()..)?;
            if !frame.is_control() {
                return Some(frame);
            }
        }
    })
}
