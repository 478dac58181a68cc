//! How far inputs were imported, told by the segments that are left of their imports.
//!
//! An import's commit says how far into its input it reaches, so that the next import goes on from
//! there. Whoever brings facts back whose commit is lost must say it, too, or importing the input
//! again would double them; and may say it only if all facts up to there are in the store.

use super::coverage::Coverage;
use super::wreck::Label;
use crate::ledger::{ImportMark, StreamRange};
use crate::segment::ImportPart;

/// A part of an input, and the places of its facts.
#[derive(Debug)]
pub(super) struct Brought {
    part: ImportPart,
    places: Vec<StreamRange>,
}

impl Brought {
    /// What a segment's footer says; `None` if it was not imported.
    pub(super) fn of(label: Label) -> Option<Self> {
        Some(Self { part: label.import?, places: label.streams })
    }
}

/// How far inputs are in the store, when these parts of them have come back with the facts in
/// `saved`. `known` says how far an input was before.
pub(super) fn reached(
    mut parts: Vec<Brought>,
    saved: &Coverage,
    known: impl Fn(&ImportMark) -> Option<u64>,
) -> Vec<ImportMark> {
    parts.sort_by_key(|brought| (brought.part.mark.bytes, brought.part.begins));
    let mut reached: Vec<ImportMark> = Vec::new();
    for Brought { part, places } in parts {
        let of_input = |mark: &&ImportMark| mark.head_blake3 == part.mark.head_blake3;
        let before = reached.iter().filter(of_input).map(|mark| mark.bytes).max();
        let before = before.max(known(&part.mark)).unwrap_or_default();
        let whole = !places.is_empty() && places.iter().all(|range| saved.gaps(*range).is_empty());
        if whole && part.begins <= before && before < part.mark.bytes {
            reached.push(part.mark);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Seq, StreamId};

    fn brought(begins: u64, bytes: u64, first: u64, last: u64) -> Brought {
        let mark = ImportMark {
            name: "papyra.ndjson".to_owned(),
            head_bytes: 10,
            head_blake3: "head".to_owned(),
            bytes,
            blake3: bytes.to_string(),
            lines: 1,
            rejected: 0,
        };
        let range = StreamRange { stream: StreamId(1), first_seq: Seq(first), last_seq: Seq(last) };
        Brought { part: ImportPart { begins, mark }, places: vec![range] }
    }

    fn reach(parts: Vec<Brought>, saved: &[(u64, u64)], known: Option<u64>) -> Vec<u64> {
        let mut coverage = Coverage::default();
        for (first, last) in saved {
            coverage.add(StreamId(1), Seq(*first), Seq(*last));
        }
        reached(parts, &coverage, |_| known).into_iter().map(|mark| mark.bytes).collect()
    }

    #[test]
    fn an_input_reaches_as_far_as_its_parts_follow_each_other_and_are_whole() {
        let parts = || vec![brought(200, 300, 9, 12), brought(0, 100, 1, 4), brought(100, 200, 5, 8)];
        assert_eq!(reach(parts(), &[(1, 12)], None), [100, 200, 300]);
        assert_eq!(reach(parts(), &[(1, 6), (9, 12)], None), [100], "facts of the second are not saved");
        assert_eq!(reach(parts(), &[(5, 12)], None), [0; 0], "those of the first are not");
        assert_eq!(reach(parts(), &[(5, 12)], Some(100)), [200, 300], "the ledger has the first");
        assert_eq!(reach(parts(), &[(1, 12)], Some(300)), [0; 0], "it has them all");
        assert_eq!(reach(vec![brought(100, 200, 5, 8)], &[(5, 8)], None), [0; 0], "the first is gone");
    }
}
