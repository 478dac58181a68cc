//! The set of facts that a scan saw: one bit for each fact.
//!
//! Facts come from many segments at once and in no order, and each must come once. The bits of a stream
//! are kept in blocks. A full block is only a mark, so a store in which nothing was dropped takes almost
//! no memory. The set never takes more than one bit for each number that was ever given out.

use std::collections::BTreeMap;

use crate::fact::{Seq, StreamId};
use crate::ledger::StreamRange;

/// Numbers in a block.
const BLOCK: u64 = 1 << 16;
const WORDS: usize = (BLOCK / 64) as usize;

/// The facts that a scan saw.
#[derive(Debug, Default)]
pub(super) struct FactSet {
    streams: BTreeMap<StreamId, BTreeMap<u64, Block>>,
}

#[derive(Debug)]
enum Block {
    Full,
    Part { words: Box<[u64; WORDS]>, count: u32 },
}

impl FactSet {
    /// Adds facts of a stream, and returns those that were in the set before.
    pub(super) fn add(&mut self, stream: StreamId, seqs: impl IntoIterator<Item = u64>) -> Vec<Seq> {
        let blocks = self.streams.entry(stream).or_default();
        let mut again = Vec::new();
        let mut seqs = seqs.into_iter().peekable();
        while let Some(seq) = seqs.peek().copied() {
            let at = seq / BLOCK;
            let block =
                blocks.entry(at).or_insert_with(|| Block::Part { words: Box::new([0; WORDS]), count: 0 });
            while let Some(seq) = seqs.next_if(|seq| seq / BLOCK == at) {
                if !block.add(seq % BLOCK) {
                    again.push(Seq(seq));
                }
            }
        }
        again
    }

    /// Runs of facts, from the first fact to `last`, that were not seen.
    pub(super) fn unseen(&self, stream: StreamId, last: Seq) -> Vec<StreamRange> {
        let mut gaps = Gaps { stream, from: 1, found: Vec::new() };
        for (at, block) in self.streams.get(&stream).into_iter().flatten() {
            let begin = at * BLOCK;
            match block {
                Block::Full => gaps.seen(begin, begin + BLOCK - 1),
                Block::Part { words, .. } => {
                    for (word, bits) in words.iter().enumerate() {
                        let begin = begin + word as u64 * 64;
                        match *bits {
                            0 => {}
                            u64::MAX => gaps.seen(begin, begin + 63),
                            bits => (0..64).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| {
                                gaps.seen(begin + bit, begin + bit);
                            }),
                        }
                    }
                }
            }
        }
        gaps.seen(last.0.saturating_add(1), u64::MAX);
        gaps.found
    }
}

impl Block {
    /// Returns `false` if it was there before.
    fn add(&mut self, at: u64) -> bool {
        let Self::Part { words, count } = self else { return false };
        let Some(word) = words.get_mut((at / 64) as usize) else { return false };
        let bit = 1 << (at % 64);
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        *count += 1;
        if u64::from(*count) == BLOCK {
            *self = Self::Full;
        }
        true
    }
}

struct Gaps {
    stream: StreamId,
    /// Every fact before this one was seen, or is among the gaps.
    from: u64,
    found: Vec<StreamRange>,
}

impl Gaps {
    fn seen(&mut self, first: u64, last: u64) {
        if first > self.from {
            self.found.push(StreamRange {
                stream: self.stream,
                first_seq: Seq(self.from),
                last_seq: Seq(first - 1),
            });
        }
        self.from = self.from.max(last.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unseen(seen: &FactSet, last: u64) -> Vec<(u64, u64)> {
        let gaps = seen.unseen(StreamId(1), Seq(last));
        gaps.into_iter().map(|gap| (gap.first_seq.0, gap.last_seq.0)).collect()
    }

    #[test]
    fn every_fact_once_and_no_gaps() {
        let mut seen = FactSet::default();
        assert_eq!(seen.add(StreamId(1), 100_000..=200_000), []);
        assert_eq!(seen.add(StreamId(1), 1..100_000), []);
        assert_eq!(unseen(&seen, 200_000), []);
        let full = seen.streams[&StreamId(1)].values().filter(|block| matches!(block, Block::Full)).count();
        // Not the first, which begins with 0, and not the last.
        assert_eq!(full, 2);
        assert_eq!(seen.add(StreamId(2), [5]), []);
    }

    #[test]
    fn doubles_and_gaps_are_told() {
        let mut seen = FactSet::default();
        seen.add(StreamId(1), (1..=70_000).filter(|seq| ![1, 64, 65, 66_000].contains(seq)));
        assert_eq!(seen.add(StreamId(1), [64, 66_001, 3]), [Seq(66_001), Seq(3)]);
        assert_eq!(unseen(&seen, 70_000), [(1, 1), (65, 65), (66_000, 66_000)]);
        assert_eq!(unseen(&seen, 70_005).last(), Some(&(70_001, 70_005)));
        assert_eq!(unseen(&FactSet::default(), 3), [(1, 3)]);
        assert_eq!(unseen(&FactSet::default(), 0), []);
    }
}
