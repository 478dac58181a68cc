//! Finds every fact that can still be read from a damaged journal, before and after the damage.
//!
//! A frame has its own checksum and its fact's number, so each sound frame can be used alone. Where bytes
//! are no frame, the next sound one is searched byte by byte.

use crate::fact::codec;
use crate::frame::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES, Frame};

/// The facts that were found in one file.
#[derive(Debug, Default)]
pub(crate) struct Sound<'b> {
    /// In the order of the file.
    pub(crate) facts: Vec<Frame<'b>>,
    /// Facts at the end, of an incomplete batch: if a crash cut it, they were not acknowledged.
    pub(crate) incomplete: Vec<Frame<'b>>,
    /// Too many bytes follow the damage to search all of them.
    pub(crate) given_up: bool,
}

/// Searches for sound frames in a file, whether or not its header is sound.
pub(crate) fn sound(bytes: &[u8]) -> Sound<'_> {
    let mut found = Sound::default();
    // The last number of the batch that is being read, and where its facts begin.
    let mut batch: Option<(u64, usize)> = None;
    let mut offset = FILE_HEADER_BYTES;
    let mut last = 0_u64;
    // The search in a file that was made to be slow is limited.
    let mut budget = bytes.len().saturating_mul(4) + (64 << 20);
    while let Some(rest) = bytes.get(offset..).filter(|rest| rest.len() > FRAME_HEADER_BYTES) {
        let sound = Frame::decode_unverified(rest).ok().and_then(|unverified| {
            // A frame has at least 25 bytes, which limits its number. So most random bytes are rejected
            // early.
            let most = last.saturating_add(bytes.len() as u64 / 25 + 1);
            let possible = last == 0 || (unverified.seq.0 > last && unverified.seq.0 <= most);
            if !possible && !unverified.is_control() {
                return None;
            }
            budget = budget.checked_sub(unverified.bytes()).or_else(|| {
                found.given_up = true;
                None
            })?;
            Frame::decode(rest).ok()
        });
        if found.given_up {
            break;
        }
        let Some(frame) = sound else {
            offset += 1;
            continue;
        };
        offset += frame.bytes();
        if let Some(facts) = frame.batch() {
            let last = frame.seq.0.saturating_add(facts.saturating_sub(1));
            batch = (facts > 0).then_some((last, found.facts.len()));
            continue;
        }
        let is_fact = !frame.is_control() && frame.seq.0 > 0 && i64::try_from(frame.seq.0).is_ok();
        if !is_fact || codec::decode(frame.body).is_none() {
            continue;
        }
        // Any frame after the batch proves that the batch was complete.
        batch = batch.filter(|(last, _)| frame.seq.0 < *last);
        last = frame.seq.0;
        found.facts.push(frame);
    }
    if let Some((_, begin)) = batch {
        found.incomplete = found.facts.split_off(begin.min(found.facts.len()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Event, Fact, Json, Seq, StreamId, UnixNanos};
    use crate::frame::{FileHeader, FrameBuffer};

    fn batch(first: u64, facts: u64) -> Vec<u8> {
        let mut frames = FrameBuffer::default();
        for n in first..first + facts {
            let fact =
                Fact::from(Event::new("s", format!("s:{n}"), "ActorStarted", Json::empty_object(), 1.0));
            frames.add(&fact).unwrap();
        }
        frames.finish(Seq(first), UnixNanos(first as i64));
        frames.bytes().to_vec()
    }

    fn file(parts: &[Vec<u8>]) -> Vec<u8> {
        let store = crate::ledger::StoreId::from_bytes([7; 16]);
        let mut bytes = FileHeader { stream: StreamId(1), store }.encode();
        for part in parts {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    fn numbers(frames: &[Frame<'_>]) -> Vec<u64> {
        frames.iter().map(|frame| frame.seq.0).collect()
    }

    #[test]
    fn frames_before_and_behind_the_damage_are_found_wherever_it_is() {
        let parts: Vec<_> = (1..=4).map(|n| batch(n, 1)).collect();
        let whole = file(&parts);
        let each = parts.first().unwrap().len();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            let hit = at.checked_sub(FILE_HEADER_BYTES).map(|at| (at / each) as u64 + 1);
            let expected: Vec<u64> = (1..=4).filter(|n| Some(*n) != hit).collect();
            assert_eq!(numbers(&sound(&bytes).facts), expected, "byte {at}");
        }
    }

    #[test]
    fn a_batch_that_was_cut_short_is_told_apart() {
        let whole = file(&[batch(1, 1), batch(2, 3)]);
        let cut = sound(&whole[..whole.len() - 5]);
        assert_eq!((numbers(&cut.facts), numbers(&cut.incomplete)), (vec![1], vec![2, 3]));
        // A frame follows it: it was complete once.
        let mut damaged = file(&[batch(1, 1), batch(2, 3), batch(5, 1)]);
        let at = whole.len() - 5;
        damaged[at] ^= 1;
        let found = sound(&damaged);
        assert_eq!((numbers(&found.facts), numbers(&found.incomplete)), (vec![1, 2, 3, 5], vec![]));
    }

    #[test]
    fn arbitrary_bytes_end_and_give_nothing() {
        assert!(sound(&[]).facts.is_empty());
        assert!(sound(&vec![1; 100_000]).facts.is_empty());
        assert!(sound(&vec![0; 100_000]).facts.is_empty());
    }
}
