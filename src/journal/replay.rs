//! Reading a journal file: which facts it holds, and how it ends.
//!
//! A crash cuts a file's tail; anything else is damage. The two are told apart so that a fact is
//! never dropped in silence:
//!
//! - zeros, or nothing, after the last sound frame: a **clean** end;
//! - bytes that are no frame, and no sound frame after them: a **torn** tail, if a crash explains
//!   it. A process that is killed leaves a frame that is cut short; only when the machine itself
//!   stopped in between may a whole frame be wrong;
//! - a sound frame somewhere behind bytes that are none: **damage** — unless the machine has
//!   restarted since and no mark says that those bytes were synced. Then the power failed and the
//!   disk kept later bytes but not earlier ones: nobody was promised more, the tail is torn.

use crate::fact::{Seq, UnixNanos, codec};
use crate::frame::{FILE_HEADER_BYTES, FileHeader, Frame, HeaderError, Unsound};

/// What a journal file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Where the sound frames begin and end.
    pub(crate) sound: std::ops::Range<usize>,
    /// First and last fact, and when the last was recorded. `None` without facts.
    pub(crate) facts: Option<Facts>,
    /// Everything up to this fact, in this file or before it, was synced; so a mark says.
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

/// What the facts of a stream were in the files so far. Two processes that both believe to own a stream give
/// the same number to two facts.
#[derive(Debug, Default)]
pub(crate) struct FactSums {
    /// The number of the first fact, and the checksums of all from there on; 0 for one that is missing.
    first: Option<Seq>,
    sums: Vec<u32>,
}

impl FactSums {
    /// Notes a fact; `false` if another one has its number.
    pub(crate) fn fits(&mut self, frame: &Frame<'_>) -> bool {
        /// Numbers that are missing in between: more are not from the same stream's files.
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
    /// With its last frame.
    Clean,
    /// With what a crash left of a frame that was not acknowledged.
    Torn {
        /// Where the tail begins.
        offset: usize,
        /// Sound frames follow: the power failed, or the disk lost something.
        sound_behind: bool,
    },
    /// Not by a crash: facts may be missing.
    Damaged {
        /// Where the damage begins.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
}

/// Reads a file's bytes. `expected` is the header it must have; `same_boot` says whether the
/// machine is still running as it was when the file was begun.
pub(crate) fn read(bytes: &[u8], expected: &FileHeader, same_boot: bool) -> Contents {
    let nothing = |ending| Contents { sound: 0..0, facts: None, synced: Seq(0), ending };
    match FileHeader::decode(bytes) {
        Ok(header) if header == *expected => {}
        Ok(header) => {
            let reason = format!("it belongs to stream {} of store {}", header.stream, header.store);
            return nothing(Ending::Damaged { offset: 0, reason });
        }
        Err(HeaderError::NewerFormat(version)) => {
            let reason = format!("it has format version {version}, which is newer than this program");
            return nothing(Ending::Damaged { offset: 0, reason });
        }
        Err(HeaderError::Unsound) => {
            // A file gets its name when its header is on the disk: no crash explains this.
            let reason = match bytes {
                [] => "it is empty, and had a header once, and perhaps facts",
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
                (false, format!("{} is no number of a fact", frame.seq))
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
    // Of a batch that is not whole nothing was acknowledged.
    if let Some(batch) = batch {
        (offset, facts) = (batch.offset, batch.before);
        if !matches!(ending, Ending::Damaged { .. }) {
            ending = Ending::Torn { offset, sound_behind: false };
        }
    }
    Contents { sound: FILE_HEADER_BYTES..offset, facts, synced: synced_seq, ending }
}

/// A batch of which facts are still to come.
struct Batch {
    offset: usize,
    before: Option<Facts>,
    left: u64,
}

/// How a file ends whose bytes from `offset` on are no frame.
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
    match frames_behind(rest, last) {
        Behind::None if cut || !same_boot => Ending::Torn { offset, sound_behind: false },
        Behind::None => damaged(reason.to_owned()),
        Behind::Unknown => damaged(format!("{reason}, and too much follows to tell what it is")),
        Behind::Some { at, mark } => {
            synced = synced.max(mark);
            if !same_boot && synced <= offset as u64 {
                Ending::Torn { offset, sound_behind: true }
            } else {
                damaged(format!("{reason}, and sound frames follow at offset {}", offset + at))
            }
        }
    }
}

enum Behind {
    None,
    /// The first sound frame, and the furthest mark in any.
    Some {
        at: usize,
        mark: u64,
    },
    /// Looking further would take too long.
    Unknown,
}

/// Looks for sound frames behind the first byte. A file made to be slow is not looked at for ever:
/// the bytes summed up for checksums are bounded by four times the file, and some.
fn frames_behind(rest: &[u8], last: Seq) -> Behind {
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
        // A frame has 25 bytes at least, so seq numbers have a bound: it keeps random bytes from
        // being looked at more closely.
        let most = last.0.saturating_add(rest.len() as u64 / 25 + 1);
        let possible = last.0 == 0 || (frame.seq > last && frame.seq.0 <= most);
        if !frame.is_control() && !possible {
            at += 1;
            continue;
        }
        let Some(left) = budget.checked_sub(frame.bytes()) else { return Behind::Unknown };
        budget = left;
        if Frame::decode(candidate).is_ok() {
            let (first, mark) = found.unwrap_or((at, 0));
            found = Some((first, mark.max(frame.mark().unwrap_or(0))));
            at += frame.bytes();
        } else {
            at += 1;
        }
    }
    found.map_or(Behind::None, |(at, mark)| Behind::Some { at, mark })
}
