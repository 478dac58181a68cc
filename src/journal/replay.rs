//! Reads a journal file: which facts it holds, and how it ends.
//!
//! A crash cuts a file's tail; anything else is damage. The reader distinguishes the two, so that a fact
//! is never dropped silently:
//!
//! - zeros, or nothing, after the last sound frame: a **clean** end;
//! - bytes that are no frame, and no sound frame after them: a **torn** tail, if a crash explains it. A
//!   killed process leaves a frame that is cut short; a whole frame can be wrong only if the machine
//!   itself stopped in between;
//! - a sound frame somewhere after bytes that are none: **damage**, unless the machine has restarted
//!   since and no mark says that those bytes were synced. Then the power failed, and the disk kept later
//!   bytes but not earlier ones. These were never promised to be durable, so the tail is torn.

use crate::fact::{Seq, UnixNanos, codec};
use crate::frame::{FILE_HEADER_BYTES, FileHeader, Frame, HeaderError, Unsound};

/// The content of a journal file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Where the sound frames begin and end.
    pub(crate) sound: std::ops::Range<usize>,
    /// First and last fact, and when the last was recorded; `None` without facts.
    pub(crate) facts: Option<Facts>,
    /// All facts up to this one, in this file or before it, were synced, according to a mark.
    pub(crate) synced: Seq,
    pub(crate) ending: Ending,
}

/// The facts of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) last_recorded_at: UnixNanos,
}

/// The facts of a stream in the files so far, by number. Two processes that both believe that they own a
/// stream give one number to two facts.
#[derive(Debug, Default)]
pub(crate) struct FactSums {
    /// The number of the first fact, and the checksums of all facts from there on; 0 for a missing one.
    first: Option<Seq>,
    sums: Vec<u32>,
}

impl FactSums {
    /// Adds a fact. Returns `false` if another fact has its number.
    pub(crate) fn fits(&mut self, frame: &Frame<'_>) -> bool {
        /// The most missing numbers in between: with more, the files are not from one stream.
        const MOST_MISSING: usize = 1 << 20;
        let first = self.first.get_or_insert(frame.seq);
        let place = frame.seq.0.checked_sub(first.0).and_then(|place| usize::try_from(place).ok());
        let Some(place) = place.filter(|place| *place <= self.sums.len() + MOST_MISSING) else { return true };
        if place >= self.sums.len() {
            self.sums.resize(place + 1, 0);
        }
        let own = frame.checksum().max(1);
        match self.sums.get_mut(place) {
            Some(sum) if *sum == 0 => {
                *sum = own;
                true
            }
            Some(sum) => *sum == own,
            None => true,
        }
    }
}

/// How a journal file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a whole frame.
    Clean,
    /// With a part of a frame that a crash left and that was not acknowledged.
    Torn {
        /// Where the tail begins.
        offset: usize,
        /// Sound frames follow: the power failed, or the disk lost bytes.
        sound_after: bool,
    },
    /// Not by a crash: facts may be missing.
    Damaged {
        /// Where the damage begins.
        offset: usize,
        /// The kind of the damage.
        reason: String,
    },
}

/// Reads a file's bytes. `expected` is the header that it must have; `same_boot` says whether the machine
/// has not restarted since the file was begun.
pub(crate) fn read(bytes: &[u8], expected: &FileHeader, same_boot: bool) -> Contents {
    let nothing = |ending| Contents { sound: 0..0, facts: None, synced: Seq(0), ending };
    match FileHeader::decode(bytes) {
        Ok(header) if header == *expected => {}
        Ok(header) => {
            let reason = format!("it belongs to stream {} of store {}", header.stream, header.store);
            return nothing(Ending::Damaged { offset: 0, reason });
        }
        Err(HeaderError::NewerFormat(version)) => {
            let reason =
                format!("it has format version {version}, which is newer than this program supports");
            return nothing(Ending::Damaged { offset: 0, reason });
        }
        Err(HeaderError::Unsound) => {
            // A file gets its name when its header is on the disk: a crash cannot explain this.
            let reason = match bytes {
                [] => "it is empty, but once had a header, and perhaps facts",
                _ if bytes.len() < FILE_HEADER_BYTES => "it is shorter than its header",
                _ => "its header is not sound",
            };
            let ending = match tail(bytes, 0, Seq(0), false, same_boot, 0, reason) {
                Ending::Torn { .. } => Ending::Damaged { offset: 0, reason: reason.to_owned() },
                ending => ending,
            };
            return nothing(ending);
        }
    }

    let mut offset = FILE_HEADER_BYTES;
    let mut facts: Option<Facts> = None;
    let mut batch: Option<Batch> = None;
    let mut synced = 0;
    let mut synced_seq = Seq(0);
    let mut ending = loop {
        let rest = bytes.get(offset..).unwrap_or_default();
        let last = facts.map_or(Seq(0), |facts| facts.last);
        let (cut, reason) = match Frame::decode(rest) {
            Ok(frame) if let Some(mark) = frame.mark() => {
                synced = synced.max(mark);
                synced_seq = synced_seq.max(frame.seq);
                offset += frame.bytes();
                continue;
            }
            Ok(frame) if let Some(left) = frame.batch().filter(|_| batch.is_none()) => {
                batch = Some(Batch { offset, before: facts, left }).filter(|batch| batch.left > 0);
                offset += frame.bytes();
                continue;
            }
            Ok(frame) if frame.seq.0 == 0 || i64::try_from(frame.seq.0).is_err() => {
                (false, format!("{} is not the number of a fact", frame.seq))
            }
            Ok(frame) if facts.is_some_and(|facts| frame.seq != facts.last.next()) => {
                (false, format!("fact {} follows fact {last}", frame.seq))
            }
            Ok(frame) if codec::decode(frame.body).is_none() => {
                (false, format!("the frame of fact {} holds no fact", frame.seq))
            }
            Ok(frame) => {
                let first = facts.map_or(frame.seq, |facts| facts.first);
                facts = Some(Facts { first, last: frame.seq, last_recorded_at: frame.recorded_at });
                offset += frame.bytes();
                if let Some(open) = &mut batch {
                    open.left -= 1;
                }
                batch = batch.filter(|batch| batch.left > 0);
                continue;
            }
            Err(_) if rest.iter().all(|&b| b == 0) => break Ending::Clean,
            Err(Unsound::Cut) => (true, "the file ends within a frame".to_owned()),
            Err(Unsound::Length) => (false, "there is no frame of that length".to_owned()),
            Err(Unsound::Checksum) => (false, "a frame does not match its checksum".to_owned()),
        };
        break tail(bytes, offset, last, cut, same_boot, synced, &reason);
    };
    // A batch that is not complete was not acknowledged.
    if let Some(batch) = batch {
        (offset, facts) = (batch.offset, batch.before);
        if !matches!(ending, Ending::Damaged { .. }) {
            ending = Ending::Torn { offset, sound_after: false };
        }
    }
    Contents { sound: FILE_HEADER_BYTES..offset, facts, synced: synced_seq, ending }
}

/// A batch whose facts are not all read yet.
struct Batch {
    offset: usize,
    before: Option<Facts>,
    left: u64,
}

/// The end of a file whose bytes from `offset` on are no frame.
fn tail(
    bytes: &[u8],
    offset: usize,
    last: Seq,
    cut: bool,
    same_boot: bool,
    mut synced: u64,
    reason: &str,
) -> Ending {
    let rest = bytes.get(offset..).unwrap_or_default();
    let damaged = |reason: String| Ending::Damaged { offset, reason };
    match frames_after(rest, last) {
        FramesAfter::None if cut || !same_boot => Ending::Torn { offset, sound_after: false },
        FramesAfter::None => damaged(reason.to_owned()),
        FramesAfter::Unknown => damaged(format!("{reason}, and too many bytes follow to find out more")),
        FramesAfter::Some { at, mark } => {
            synced = synced.max(mark);
            if !same_boot && synced <= offset as u64 {
                Ending::Torn { offset, sound_after: true }
            } else {
                damaged(format!("{reason}, and sound frames follow at offset {}", offset + at))
            }
        }
    }
}

enum FramesAfter {
    None,
    /// The first sound frame, and the furthest mark in any.
    Some {
        at: usize,
        mark: u64,
    },
    /// A longer search would take too long.
    Unknown,
}

/// Looks for sound frames after the first byte. The search in a file that was made to be slow is limited:
/// the bytes that are read for checksums are at most four times the file, plus a constant.
fn frames_after(rest: &[u8], last: Seq) -> FramesAfter {
    let mut budget = rest.len().saturating_mul(4) + (64 << 20);
    let mut found = None;
    let mut at = 1;
    while let Some(candidate) = rest.get(at..) {
        let Ok(frame) = Frame::decode_unverified(candidate) else {
            if candidate.len() < crate::frame::FRAME_HEADER_BYTES {
                break;
            }
            at += 1;
            continue;
        };
        // A frame has at least 25 bytes, which limits the seq numbers. So most random bytes are rejected
        // early.
        let most = last.0.saturating_add(rest.len() as u64 / 25 + 1);
        let possible = last.0 == 0 || (frame.seq > last && frame.seq.0 <= most);
        if !frame.is_control() && !possible {
            at += 1;
            continue;
        }
        let Some(left) = budget.checked_sub(frame.bytes()) else { return FramesAfter::Unknown };
        budget = left;
        if Frame::decode(candidate).is_ok() {
            let (first, mark) = found.unwrap_or((at, 0));
            found = Some((first, mark.max(frame.mark().unwrap_or(0))));
            at += frame.bytes();
        } else {
            at += 1;
        }
    }
    found.map_or(FramesAfter::None, |(at, mark)| FramesAfter::Some { at, mark })
}
