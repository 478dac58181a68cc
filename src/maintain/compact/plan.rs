//! Plans which segments to merge, from the ledger's numbers alone.
//!
//! The segments of a kind are put in the store's order. Segments that are large enough, and lose nothing,
//! are left alone. Consecutive small segments become one run, and a run is written as few large segments.
//! So after a compaction there are no two small segments next to each other, and a plan for its result is
//! empty: so compactions come to an end.
//!
//! A run is cut into parts that can be merged in parallel, at places in the store's order. A segment that
//! lies across a cut is read by the parts on both sides, each for its own rows. So a run is cut only
//! where few segments lie across. The number of segments that a part has open at one time is limited. If
//! more segments overlap than that (for example a thousand streams at once), the run is first split into
//! layers. Each layer is merged alone, and the results are merged in the next round.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ledger::{Place, Segment};

/// A segment, with the data that the plan needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// None of its facts has a place before this one.
    pub(super) first: Place,
    /// None of its facts has a place after this one.
    pub(super) last: Place,
    /// The size of its file, without the facts that it loses.
    pub(super) bytes: u64,
    /// The memory to have it open.
    pub(super) memory: u64,
    /// Whether it loses rows.
    pub(super) changes: bool,
}

/// The limits of a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The size that segments should have.
    pub(super) target_bytes: u64,
    /// The most segments that one merge may have open at one time.
    pub(super) open_pieces: usize,
    /// The most memory for the open segments of one merge.
    pub(super) open_bytes: u64,
}

/// Segments to be merged: their rows from one place up to before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The indices of the pieces, in the store's order.
    pub(super) pieces: Vec<usize>,
    pub(super) from: Option<Place>,
    pub(super) to: Option<Place>,
}

/// The approximate bytes of a segment's file that do not depend on its rows. When many small segments
/// become a large one, these bytes disappear.
const OVERHEAD_BYTES: u64 = 24 << 10;

impl Piece {
    /// The piece of a segment that keeps `kept` of its rows.
    pub(super) fn of(segment: &Segment, kept: u64, memory: u64) -> Self {
        let bytes = u128::from(segment.bytes) * u128::from(kept) / u128::from(segment.rows.max(1));
        Self {
            first: segment.first_place(),
            last: segment.last_place(),
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            memory,
            changes: kept < segment.rows,
        }
    }

    /// Whether it should be merged with its neighbours.
    const fn is_small(&self, target_bytes: u64) -> bool {
        self.bytes < target_bytes / 2
    }

    /// The approximate bytes that it adds to a larger segment.
    fn body(&self) -> u64 {
        self.bytes.saturating_sub(OVERHEAD_BYTES).max(self.bytes / 8)
    }
}

/// The parts to merge. Empty if all segments are large enough.
pub(super) fn plan(pieces: &[Piece], limits: Limits) -> Vec<Part> {
    let mut order: Vec<(usize, &Piece)> = pieces.iter().enumerate().collect();
    order.sort_by_key(|(at, piece)| (piece.first, piece.last, *at));
    let small = |piece: &Piece| piece.is_small(limits.target_bytes);
    let mut parts = Vec::new();
    for run in order.chunk_by(|(_, one), (_, next)| small(one) && small(next)) {
        for layer in layers(run, limits) {
            match layer.as_slice() {
                [(at, only)] if only.changes => {
                    parts.push(Part { pieces: vec![*at], from: None, to: None });
                }
                [_] => {}
                several => cut(several, limits.target_bytes, &mut parts),
            }
        }
    }
    parts
}

/// Splits a run into layers, so that not too many segments of a layer are open at one time.
fn layers<'p>(run: &[(usize, &'p Piece)], limits: Limits) -> Vec<Vec<(usize, &'p Piece)>> {
    #[derive(Default)]
    struct Layer<'p> {
        pieces: Vec<(usize, &'p Piece)>,
        /// The ends of the open segments, and their memory.
        open: BinaryHeap<Reverse<(Place, u64)>>,
        memory: u64,
    }
    let mut layers: Vec<Layer<'p>> = Vec::new();
    for (at, piece) in run {
        let room = layers.iter_mut().position(|layer| {
            while let Some(Reverse((last, memory))) = layer.open.peek()
                && *last < piece.first
            {
                layer.memory = layer.memory.saturating_sub(*memory);
                layer.open.pop();
            }
            layer.open.is_empty()
                || (layer.open.len() < limits.open_pieces
                    && layer.memory.saturating_add(piece.memory) <= limits.open_bytes)
        });
        let room = room.unwrap_or_else(|| {
            layers.push(Layer::default());
            layers.len() - 1
        });
        let Some(layer) = layers.get_mut(room) else { continue };
        layer.pieces.push((*at, piece));
        layer.open.push(Reverse((piece.last, piece.memory)));
        layer.memory = layer.memory.saturating_add(piece.memory);
    }
    layers.into_iter().map(|layer| layer.pieces).collect()
}

/// Cuts a layer into parts of about equal size, each large enough for a segment.
fn cut(layer: &[(usize, &Piece)], target_bytes: u64, parts: &mut Vec<Part>) {
    let sum = |bytes: &mut dyn Iterator<Item = u64>| bytes.fold(0, u64::saturating_add);
    let total = sum(&mut layer.iter().map(|(_, piece)| piece.body()));
    let target_bytes = target_bytes.max(1);
    // Three quarters, so that two cores share the work of one and a half segments.
    let wanted = (total / target_bytes.saturating_mul(3).div_ceil(4)).max(1);
    let mut left = total;
    let mut part = Part { pieces: Vec::new(), from: None, to: None };
    let mut of_part = 0;
    // The ends of the pieces so far, their indices in the layer, and the bytes that they add.
    let mut open: BinaryHeap<Reverse<(Place, usize, u64)>> = BinaryHeap::new();
    for (rank, (at, piece)) in layer.iter().enumerate() {
        while open.peek().is_some_and(|Reverse((last, ..))| *last < piece.first) {
            open.pop();
        }
        let across = sum(&mut open.iter().map(|Reverse((.., body))| *body));
        let enough = of_part >= total / wanted && left >= target_bytes / 2;
        if enough && across <= target_bytes / 8 {
            let mut ranks: Vec<usize> = open.iter().map(|Reverse((_, rank, _))| *rank).collect();
            ranks.sort_unstable();
            let on_both_sides = ranks.iter().filter_map(|rank| layer.get(*rank)).map(|(at, _)| *at).collect();
            let next = Part { pieces: on_both_sides, from: Some(piece.first), to: None };
            let done = std::mem::replace(&mut part, next);
            parts.push(Part { to: Some(piece.first), ..done });
            of_part = 0;
        }
        part.pieces.push(*at);
        open.push(Reverse((piece.last, rank, piece.body())));
        of_part += piece.body();
        left -= piece.body().min(left);
    }
    parts.push(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Seq, StreamId, UnixNanos};
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { target_bytes: 100 << 20, open_pieces: 4, open_bytes: 1 << 30 };

    fn place(at: i64) -> Place {
        (UnixNanos(at), StreamId(1), Seq(1))
    }

    fn piece(first: i64, last: i64, megabytes: u64) -> Piece {
        Piece {
            first: place(first),
            last: place(last),
            bytes: megabytes << 20,
            memory: 1 << 20,
            changes: false,
        }
    }

    fn pieces_of(parts: &[Part]) -> Vec<&[usize]> {
        parts.iter().map(|part| part.pieces.as_slice()).collect()
    }

    #[test]
    fn small_neighbours_are_merged_and_large_ones_left() {
        let pieces = [piece(0, 9, 3), piece(10, 19, 4), piece(20, 29, 80), piece(30, 39, 5)];
        assert_eq!(pieces_of(&plan(&pieces, LIMITS)), [[0, 1]]);
    }

    #[test]
    fn what_loses_rows_is_written_again() {
        let mut pieces = [piece(0, 9, 90), piece(10, 19, 80), piece(20, 29, 2)];
        assert_eq!(plan(&pieces, LIMITS), []);
        pieces[1].changes = true;
        assert_eq!(pieces_of(&plan(&pieces, LIMITS)), [[1]]);
        pieces[2].changes = true;
        assert_eq!(pieces_of(&plan(&pieces, LIMITS)), [[1], [2]]);
        // It is small because of the rows that it loses, and has a small neighbour.
        pieces[1].bytes = 7 << 20;
        assert_eq!(pieces_of(&plan(&pieces, LIMITS)), [[1, 2]]);
    }

    #[test]
    fn the_order_is_the_stores_and_not_that_of_the_commits() {
        let pieces = [piece(20, 29, 1), piece(0, 9, 1), piece(10, 19, 1)];
        assert_eq!(pieces_of(&plan(&pieces, LIMITS)), [[1, 2, 0]]);
    }

    #[test]
    fn a_long_run_is_cut_where_few_lie_across() {
        let pieces: Vec<_> = (0..30).map(|n| piece(n * 10, n * 10 + 9, 10)).collect();
        let parts = plan(&pieces, LIMITS);
        assert_eq!(parts.len(), 3, "{parts:?}");
        assert_eq!(parts[0].to, parts[1].from);
        assert_eq!(parts[0].to, Some(place(100)));
        assert_eq!(pieces_of(&parts).concat(), (0..30).collect::<Vec<_>>());

        // The segments of two writers: each cut goes through one segment.
        let pieces: Vec<_> = (0..30).map(|n| piece(n * 10, n * 10 + 14, 10)).collect();
        let parts = plan(&pieces, LIMITS);
        assert_eq!(parts[0].pieces.last(), parts[1].pieces.first());

        // A large segment lies across all others: it must not be read again and again.
        let mut pieces: Vec<_> = (0..30).map(|n| piece(n * 10, n * 10 + 9, 10)).collect();
        pieces[0] = piece(0, 400, 40);
        assert_eq!(plan(&pieces, LIMITS).len(), 1);
    }

    #[test]
    fn not_too_many_are_open_at_the_same_time() {
        let pieces: Vec<_> = (0..10).map(|n| piece(n, 100 + n, 1)).collect();
        let parts = plan(&pieces, LIMITS);
        assert_eq!(pieces_of(&parts), [&[0, 1, 2, 3][..], &[4, 5, 6, 7], &[8, 9]]);
        let memory = Limits { open_bytes: 3 << 20, ..LIMITS };
        assert!(plan(&pieces, memory).iter().all(|part| part.pieces.len() <= 3));
    }

    fn any_pieces() -> impl Strategy<Value = Vec<Piece>> {
        let one = (0_i64..100, 0_i64..30, 1_u64..120, any::<bool>());
        prop::collection::vec(
            one.prop_map(|(first, length, bytes, changes)| Piece {
                changes: changes && bytes % 5 == 0,
                ..piece(first, first + length, bytes)
            }),
            0..60,
        )
    }

    proptest! {
        #[test]
        fn every_place_of_a_piece_is_in_one_part_or_the_piece_in_none(pieces in any_pieces()) {
            let parts = plan(&pieces, LIMITS);
            for (at, piece) in pieces.iter().enumerate() {
                let of: Vec<_> = parts.iter().filter(|part| part.pieces.contains(&at)).collect();
                if piece.changes {
                    prop_assert!(!of.is_empty());
                }
                for place in (piece.first.0.0..=piece.last.0.0).map(place) {
                    let here = of.iter().filter(|part| {
                        part.from.is_none_or(|from| from <= place) && part.to.is_none_or(|to| place < to)
                    });
                    prop_assert_eq!(here.count(), usize::from(!of.is_empty()));
                }
                prop_assert!(piece.changes || piece.is_small(LIMITS.target_bytes) || of.is_empty());
            }
        }

        /// Repeated merging by plan comes to an end.
        #[test]
        fn the_plan_for_what_was_merged_is_soon_empty(mut pieces in any_pieces(), shrink in 1_u64..5) {
            for round in 0.. {
                let parts = plan(&pieces, LIMITS);
                if parts.is_empty() {
                    break;
                }
                prop_assert!(round < 6);
                let mut made = Vec::new();
                for part in &parts {
                    let of: Vec<_> = part.pieces.iter().map(|at| &pieces[*at]).collect();
                    let share = |piece: &&Piece| {
                        piece.bytes / parts.iter().filter(|p| p.pieces.iter().any(|at| pieces[*at] == **piece)).count().max(1) as u64
                    };
                    let bytes: u64 = of.iter().map(share).sum::<u64>() / shrink;
                    let first = of.iter().map(|piece| piece.first).min().unwrap();
                    let last = of.iter().map(|piece| piece.last).max().unwrap();
                    made.push(Piece {
                        first: part.from.map_or(first, |from| from.max(first)),
                        last: part.to.map_or(last, |to| to.min(last)),
                        bytes: bytes.max(1),
                        memory: 1 << 20,
                        changes: false,
                    });
                }
                let mut at = 0;
                pieces.retain(|_| {
                    at += 1;
                    !parts.iter().any(|part| part.pieces.contains(&(at - 1)))
                });
                pieces.extend(made);
            }
        }
    }
}
