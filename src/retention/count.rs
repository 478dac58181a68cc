//! Counts the facts of one rule, from the newest back, to find the place where its limits cut.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::bounds::{Bounds, Share};
use super::cut::{Cut, Lump, Open, find};
use super::rows::{Extent, Places, line_sizes, read};
use super::rules::{RuleIndex, Rules};
use super::tally::{Tallies, all_columns, belonging, needed_columns};
use crate::buffer::Chunk;
use crate::error::Result;
use crate::fact::Kind;
use crate::ledger::{Segment, State};
use crate::settings::retention::RetentionLimits;
use crate::snapshot::Snapshot;

/// The unit that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Facts,
    Bytes,
}

/// The place where facts are stored.
#[derive(Clone)]
pub(super) enum Source {
    Segment(Arc<Segment>),
    Block(Arc<Segment>, Range<usize>),
    Chunk(Kind, Arc<Chunk>),
    Fact,
}

/// All facts of a snapshot, and how to read them.
pub(super) struct Facts<'a> {
    pub(super) root: &'a Path,
    pub(super) rules: &'a Rules,
    pub(super) tallies: &'a Tallies,
    pub(super) state: &'a State,
    pub(super) tail: &'a [Arc<Chunk>],
    /// Notes damage, if damage is not an error.
    pub(super) snapshot: &'a Snapshot,
}

impl Facts<'_> {
    /// Completes the bounds of a rule: first its floor, which also protects from the age; then the limit
    /// on the number of facts that are not too old; then the limit on their bytes.
    ///
    /// The bytes are counted as if there were no limit on the number. The result is equal: after the cut
    /// by number both count equal facts, and the facts before it are dropped anyway.
    pub(super) fn complete(
        &self,
        rule: RuleIndex,
        limits: &RetentionLimits,
        mut bounds: Bounds,
    ) -> Result<Bounds> {
        if limits.keep_at_least > 0 {
            bounds.floor = self.cut(rule, Unit::Facts, limits.keep_at_least, None)?;
        }
        let survivors = bounds;
        if let Some(most) = limits.max_records {
            bounds.records = self.cut(rule, Unit::Facts, most, Some(survivors))?;
        }
        if let Some(most) = limits.max_bytes {
            bounds.bytes = self.cut(rule, Unit::Bytes, most, Some(survivors))?;
        }
        Ok(bounds)
    }

    fn cut(&self, rule: RuleIndex, unit: Unit, most: u64, survivors: Option<Bounds>) -> Result<Cut> {
        if most == 0 {
            return Ok(Cut::AFTER_ALL);
        }
        let mut counting = Counting { facts: self, rule, unit, survivors };
        let mut lumps = Vec::new();
        for kind in Kind::ALL {
            if self.rules.candidates(kind).iter().all(|candidate| candidate.rule != rule) {
                continue;
            }
            for segment in self.state.segments(kind) {
                let extent = Extent::of(segment);
                let weight = counting.known(kind, &extent, segment.rows, segment.fact_bytes);
                let what = Source::Segment(Arc::clone(segment));
                lumps.push(Lump { first: extent.first, last: extent.last, weight, what });
            }
            for chunk in self.tail {
                let Some(rows) = chunk.rows(kind) else { continue };
                let Some(extent) = Extent::of_rows(&Places::of(&rows.batch)?) else { continue };
                let weight = counting.known(kind, &extent, extent.rows, rows.fact_bytes);
                let what = Source::Chunk(kind, Arc::clone(chunk));
                lumps.push(Lump { first: extent.first, last: extent.last, weight, what });
            }
        }
        find(lumps, most, &mut counting)
    }
}

/// Counts the facts of one rule.
struct Counting<'a> {
    facts: &'a Facts<'a>,
    rule: RuleIndex,
    unit: Unit,
    /// Counts only facts that are not too old by these bounds; `None` counts all.
    survivors: Option<Bounds>,
}

impl Counting<'_> {
    /// Whether all facts of a kind belong to the rule.
    fn takes_all(&self, kind: Kind) -> bool {
        self.facts.rules.only(kind) == Some(self.rule)
    }

    fn share(&self, extent: &Extent) -> Share {
        self.survivors.map_or(Share::All, |bounds| bounds.surviving_age(extent))
    }

    const fn pick(&self, facts: u64, bytes: u64) -> u64 {
        match self.unit {
            Unit::Facts => facts,
            Unit::Bytes => bytes,
        }
    }

    /// The weight of facts that need not be read.
    fn known(&self, kind: Kind, extent: &Extent, facts: u64, bytes: u64) -> Option<u64> {
        match self.share(extent) {
            Share::None => Some(0),
            Share::All if self.takes_all(kind) => Some(self.pick(facts, bytes)),
            _ => None,
        }
    }

    /// The facts of a segment, as blocks.
    fn blocks(&self, segment: &Arc<Segment>) -> Result<Vec<Lump<Source>>> {
        let bytes = self.unit == Unit::Bytes;
        let facts = self.facts;
        let tally = facts.tallies.of(facts.root, facts.rules, segment, bytes)?;
        let lumps = tally.blocks.iter().map(|block| {
            let total = block.total(self.rule);
            let weight = match self.share(&block.extent) {
                _ if total.facts == 0 => Some(0),
                Share::None => Some(0),
                Share::All => Some(self.pick(total.facts, total.bytes)),
                Share::Some => None,
            };
            let what = Source::Block(Arc::clone(segment), block.rows.clone());
            Lump { first: block.extent.first, last: block.extent.last, weight, what }
        });
        Ok(lumps.collect())
    }

    /// The facts of a block, or of a chunk.
    fn single(&self, kind: Kind, batch: &RecordBatch) -> Result<Vec<Lump<Source>>> {
        let places = Places::of(batch)?;
        let sizes = match self.unit {
            Unit::Facts => vec![1; batch.num_rows()],
            Unit::Bytes => line_sizes(kind, batch)?,
        };
        let mut facts = Vec::new();
        for (row, rule) in belonging(self.facts.rules, kind, batch)?.rules.into_iter().enumerate() {
            let (Some(place), Some(size)) = (places.get(row), sizes.get(row)) else { continue };
            let survives =
                || self.survivors.is_none_or(|bounds| bounds.survives_age(place, places.timestamp(row)));
            if rule == Some(self.rule) && survives() {
                facts.push(Lump { first: place, last: place, weight: Some(*size), what: Source::Fact });
            }
        }
        Ok(facts)
    }
}

impl Open<Source> for Counting<'_> {
    fn weigh(&mut self, lump: &Lump<Source>) -> Result<u64> {
        let mut sum = 0_u64;
        for part in self.open(lump.clone())? {
            let weight = match part.weight {
                Some(weight) => weight,
                None => self.weigh(&part)?,
            };
            sum = sum.saturating_add(weight);
        }
        Ok(sum)
    }

    fn open(&mut self, lump: Lump<Source>) -> Result<Vec<Lump<Source>>> {
        match self.parts(&lump) {
            Err(error) => {
                self.facts.snapshot.note_damage(error)?;
                Ok(vec![lump.kept_whole()])
            }
            parts => parts,
        }
    }
}

impl Counting<'_> {
    fn parts(&self, lump: &Lump<Source>) -> Result<Vec<Lump<Source>>> {
        match &lump.what {
            Source::Segment(segment) => self.blocks(segment),
            Source::Block(segment, rows) => {
                let kind = segment.kind;
                let columns = match self.unit {
                    Unit::Facts => needed_columns(self.facts.rules, kind),
                    Unit::Bytes => all_columns(kind),
                };
                let mut facts = Vec::new();
                read(self.facts.root, segment, &columns, Some(rows.clone()), |_, batch| {
                    facts.extend(self.single(kind, batch)?);
                    Ok(())
                })?;
                Ok(facts)
            }
            Source::Chunk(kind, chunk) => match chunk.rows(*kind) {
                Some(rows) => self.single(*kind, &rows.batch),
                None => Ok(Vec::new()),
            },
            Source::Fact => Ok(vec![lump.clone()]),
        }
    }
}
