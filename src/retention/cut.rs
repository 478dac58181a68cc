//! Finds the place where a limit cuts: on one side are the newest facts, up to a number or a sum of
//! bytes.
//!
//! "The newest" is by the store's order, and facts are spread over segments of several streams that
//! overlap in time. So a limit on their number or their bytes is one position in that order: the fact at
//! which the limit is exceeded, counted from the newest back. All facts up to that position exceed the
//! limit ([`Cut`]), and no other fact must be read again.
//!
//! The search uses the ledger's data about whole segments, from the newest back. It opens only the part
//! that must contain the position, and then only the part of that part ([`find`]).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::Result;
use crate::fact::{Seq, StreamId, UnixNanos};

/// A fact's place in the store's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(super) recorded_at: UnixNanos,
    pub(super) stream: StreamId,
    pub(super) seq: Seq,
}

impl Place {
    /// No fact comes after this place.
    const END: Self =
        Self { recorded_at: UnixNanos(i64::MAX), stream: StreamId(u32::MAX), seq: Seq(u64::MAX) };

    /// A place just before this one, which no fact has.
    fn before(self) -> Self {
        Self { recorded_at: UnixNanos(self.recorded_at.get().saturating_sub(1)), ..Self::END }
    }
}

/// A position that divides facts: those up to and including a place, and those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut(Option<Place>);

impl Cut {
    /// All facts are after it.
    pub(super) const BEFORE_ALL: Self = Self(None);
    /// No fact is after it.
    pub(super) const AFTER_ALL: Self = Self(Some(Place::END));

    /// Whether a fact at this place is after it.
    pub(super) fn is_before(self, place: Place) -> bool {
        self.0.is_none_or(|cut| place > cut)
    }
}

/// A group of facts with a known first and last place and a weight: the number of facts, or their bytes.
#[derive(Clone, Debug)]
pub(super) struct Lump<T> {
    /// None of the facts comes before this place.
    pub(super) first: Place,
    /// None of the facts comes after this place.
    pub(super) last: Place,
    /// The weight; `None` if it is unknown until the lump is opened.
    pub(super) weight: Option<u64>,
    pub(super) what: T,
}

impl<T> Lump<T> {
    fn is_one_fact(&self) -> bool {
        self.first == self.last && self.weight.is_some()
    }

    /// Marks the lump as one that cannot be opened. A cut within it moves before it, so that all of its
    /// facts are kept. If its weight is unknown, it counts as zero.
    pub(super) fn kept_whole(self) -> Self {
        let place = self.first.before();
        Self { first: place, last: place, weight: Some(self.weight.unwrap_or_default()), what: self.what }
    }
}

/// Weighs and opens lumps.
pub(super) trait Open<T> {
    /// The weight of a lump.
    fn weigh(&mut self, lump: &Lump<T>) -> Result<u64>;

    /// The parts of a lump: smaller lumps, and at the end single facts of known weight. Facts without
    /// weight may be left out.
    fn open(&mut self, lump: Lump<T>) -> Result<Vec<Lump<T>>>;
}

/// Finds the cut: the newest facts after it weigh no more than `most`, and the fact at it is the first
/// that does not fit.
pub(super) fn find<T>(mut lumps: Vec<Lump<T>>, mut most: u64, within: &mut impl Open<T>) -> Result<Cut> {
    loop {
        let Some(taken) = NewestLumps::from(lumps, most, within)? else { return Ok(Cut::BEFORE_ALL) };
        // Facts after the range of the cut are counted already, and need not be opened.
        let (above, around): (Vec<_>, Vec<_>) =
            taken.lumps.into_iter().partition(|lump| lump.first > taken.reach);
        most = above.iter().fold(most, |most, lump| most.saturating_sub(lump.weight.unwrap_or_default()));
        if around.iter().all(Lump::is_one_fact) {
            // Then the newest of them is at the end of the range.
            return Ok(Cut(Some(taken.reach)));
        }
        lumps = Vec::new();
        for lump in around {
            if lump.is_one_fact() {
                lumps.push(lump);
            } else {
                lumps.extend(within.open(lump)?);
            }
        }
    }
}

/// The newest lumps: enough to contain all facts after the cut, and the fact at it.
struct NewestLumps<T> {
    /// The lumps, each with its weight.
    lumps: Vec<Lump<T>>,
    /// The cut is not after this place.
    reach: Place,
}

impl<T> NewestLumps<T> {
    /// Collects them; `None` if all lumps together weigh no more than `most`.
    fn from(mut lumps: Vec<Lump<T>>, most: u64, within: &mut impl Open<T>) -> Result<Option<Self>> {
        lumps.sort_by_key(|lump| Reverse(lump.last));
        let mut taken = Vec::new();
        let (mut sum, mut reach) = (0_u64, None);
        // Lumps that may overlap with later ones, by their first place; and the sum of the lumps that
        // cannot overlap.
        let mut open: BinaryHeap<(Place, u64)> = BinaryHeap::new();
        let mut closed = 0_u64;
        for mut lump in lumps {
            while let Some((first, weight)) = open.peek().copied()
                && first > lump.last
            {
                open.pop();
                closed = closed.saturating_add(weight);
            }
            if closed > most {
                break;
            }
            let weight = match lump.weight {
                Some(weight) => weight,
                None => within.weigh(&lump)?,
            };
            lump.weight = Some(weight);
            sum = sum.saturating_add(weight);
            if sum > most && reach.is_none() {
                reach = Some(lump.last);
            }
            open.push((lump.first, weight));
            taken.push(lump);
        }
        Ok(reach.map(|reach| Self { lumps: taken, reach }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A lump is a list of facts, each a place and a weight.
    type Facts = Vec<(Place, u64)>;

    #[derive(Default)]
    struct Lists {
        weighed: usize,
        opened: usize,
    }

    fn lump(facts: Facts, known: bool) -> Lump<Facts> {
        Lump {
            first: facts.iter().map(|(place, _)| *place).min().unwrap(),
            last: facts.iter().map(|(place, _)| *place).max().unwrap(),
            weight: known.then(|| facts.iter().map(|(_, weight)| weight).sum()),
            what: facts,
        }
    }

    impl Open<Facts> for Lists {
        fn weigh(&mut self, lump: &Lump<Facts>) -> Result<u64> {
            self.weighed += 1;
            Ok(lump.what.iter().map(|(_, weight)| weight).sum())
        }

        fn open(&mut self, lump: Lump<Facts>) -> Result<Vec<Lump<Facts>>> {
            self.opened += 1;
            let parts = if lump.what.len() > 4 { 4 } else { lump.what.len() };
            let facts = lump.what.chunks(lump.what.len().div_ceil(parts));
            Ok(facts.map(|facts| super::tests::lump(facts.to_vec(), true)).collect())
        }
    }

    fn place(recorded_at: i64, stream: u32, seq: u64) -> Place {
        Place { recorded_at: UnixNanos(recorded_at), stream: StreamId(stream), seq: Seq(seq) }
    }

    /// Streams that record from time to time, in lumps of several lengths.
    fn lumps() -> impl Strategy<Value = Vec<Lump<Facts>>> {
        let fact = (0..4_i64, 0..5_u64);
        let lump_of_facts = (prop::collection::vec(fact, 1..9), any::<bool>());
        prop::collection::vec(prop::collection::vec(lump_of_facts, 0..5), 0..4).prop_map(|streams| {
            let mut all = Vec::new();
            for (stream, lumps) in streams.into_iter().enumerate() {
                let (mut recorded_at, mut seq) = (0, 0);
                for (facts, known) in lumps {
                    let facts = facts.into_iter().map(|(later, weight)| {
                        recorded_at += later;
                        seq += 1;
                        (place(recorded_at, stream as u32, seq), weight)
                    });
                    all.push(lump(facts.collect(), known));
                }
            }
            all
        })
    }

    proptest! {
        #[test]
        fn the_cut_is_where_a_walk_from_the_newest_back_stops(lumps in lumps(), most in 0..80_u64) {
            let mut facts: Facts = lumps.iter().flat_map(|lump| lump.what.clone()).collect();
            facts.sort_by_key(|(place, _)| Reverse(*place));
            let cut = find(lumps, most, &mut Lists::default()).unwrap();
            let mut sum = 0;
            let mut fits = true;
            for (place, weight) in facts {
                sum += weight;
                fits &= sum <= most;
                prop_assert_eq!(cut.is_before(place), fits, "{:?} {:?}", cut, place);
            }
        }
    }

    #[test]
    fn a_lump_that_cannot_be_opened_is_kept_whole() {
        struct Closed;
        impl Open<Facts> for Closed {
            fn weigh(&mut self, _: &Lump<Facts>) -> Result<u64> {
                Ok(0)
            }

            fn open(&mut self, lump: Lump<Facts>) -> Result<Vec<Lump<Facts>>> {
                Ok(vec![lump.kept_whole()])
            }
        }
        let of = |from: i64| (from..from + 10).map(|n| (place(n, 1, n as u64), 1)).collect::<Facts>();
        let all = |known| vec![lump(of(10), true), lump(of(20), known), lump(of(30), true)];
        // The cut is within the second one.
        let cut = find(all(true), 15, &mut Closed).unwrap();
        assert!(cut.is_before(place(20, 1, 20)) && !cut.is_before(place(19, 1, 19)));
        // Its size is unknown: it counts as zero.
        let cut = find(all(false), 20, &mut Closed).unwrap();
        assert!(cut.is_before(place(10, 1, 10)));
    }

    #[test]
    fn only_the_lump_in_which_the_cut_lies_is_opened() {
        let of =
            |lump: i64| (0..100).map(|n| (place(lump * 100 + n, 1, (lump * 100 + n) as u64), 1)).collect();
        let lumps: Vec<_> = (0..50).map(|n| lump(of(n), true)).collect();
        let mut lists = Lists::default();
        let cut = find(lumps, 1_234, &mut lists).unwrap();
        assert!(cut.is_before(place(3_766, 1, 3_766)) && !cut.is_before(place(3_765, 1, 3_765)));
        assert_eq!(lists.weighed, 0);
        // One of a hundred facts, then one of 25, one of seven, one of two.
        assert_eq!(lists.opened, 4);
    }

    #[test]
    fn lumps_that_are_too_old_are_not_even_weighed() {
        let of = |lump: i64| (0..10).map(|n| (place(lump * 10 + n, 1, (lump * 10 + n) as u64), 1)).collect();
        let lumps: Vec<_> = (0..50).map(|n| lump(of(n), false)).collect();
        let mut lists = Lists::default();
        find(lumps, 25, &mut lists).unwrap();
        assert_eq!(lists.weighed, 3);
    }
}
