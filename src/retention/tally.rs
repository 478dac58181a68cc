//! Tallies: how many facts of a segment belong to each rule.
//!
//! The ledger knows the facts of a segment, but not how many of them a predicate picks, nor where in the
//! segment a limit cuts. That needs a few columns, which are read once: segments never change, and the
//! rules do not change while they are in force. So the tally of a segment is kept as long as the segment
//! is live: a few numbers for every block of rows.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;

use super::rows::{Extent, PLACE, Places, line_sizes, read};
use super::rules::{RuleIndex, Rules};
use crate::error::Result;
use crate::fact::{Kind, columns};
use crate::ledger::{Segment, State, Total};

/// The rows of one block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) rows: Range<usize>,
    pub(super) extent: Extent,
    /// The totals by rule; bytes only if they were counted.
    totals: Vec<Total>,
}

/// The blocks of one segment.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) blocks: Vec<Block>,
}

impl Block {
    pub(super) fn total(&self, rule: RuleIndex) -> Total {
        self.totals.get(usize::from(rule.0)).copied().unwrap_or_default()
    }
}

impl Tally {
    /// The number of facts that belong to any rule.
    pub(super) fn facts(&self) -> u64 {
        self.blocks.iter().flat_map(|block| &block.totals).map(|total| total.facts).sum()
    }

    /// Whether any fact belongs to the rule.
    pub(super) fn has(&self, rule: RuleIndex) -> bool {
        self.blocks.iter().any(|block| block.total(rule).facts > 0)
    }
}

/// The rules that the rows of a batch belong to.
pub(super) struct Belonging {
    /// For each row the rule that it belongs to, if any.
    pub(super) rules: Vec<Option<RuleIndex>>,
    /// For each row the rule whose condition fails on it, if any. Such a row belongs to no rule, and is
    /// kept: it might belong to that rule or to a later one.
    pub(super) doubts: Vec<Option<RuleIndex>>,
}

/// The rule that each row of a batch belongs to, if any.
pub(super) fn belonging(rules: &Rules, kind: Kind, batch: &RecordBatch) -> Result<Belonging> {
    let mut belongs: Vec<Option<RuleIndex>> = vec![None; batch.num_rows()];
    let mut doubts: Vec<Option<RuleIndex>> = vec![None; batch.num_rows()];
    let mut open = batch.num_rows();
    for candidate in rules.candidates(kind) {
        if open == 0 {
            break;
        }
        let asked = candidate.condition.as_ref().map(|condition| condition.evaluate(batch)).transpose()?;
        let matches = |row: usize| match &asked {
            Some(asked) => row < asked.matching.len() && asked.matching.value(row),
            None => true,
        };
        for (row, (rule, doubt)) in belongs.iter_mut().zip(&doubts).enumerate() {
            if rule.is_none() && doubt.is_none() && matches(row) {
                *rule = Some(candidate.rule);
                open -= 1;
            }
        }
        for row in asked.iter().flat_map(|asked| &asked.doubtful) {
            let taken = belongs.get(*row).is_none_or(Option::is_some);
            if let Some(doubt) = doubts.get_mut(*row).filter(|doubt| doubt.is_none() && !taken) {
                *doubt = Some(candidate.rule);
                open -= 1;
                rules.warn(candidate, asked.as_ref().and_then(|asked| asked.why.as_ref()));
            }
        }
    }
    Ok(Belonging { rules: belongs, doubts })
}

/// For each row whether a rule may have dropped it: if the rule that it belongs to has dropped facts of
/// the kind, or a rule has that is no longer in force. Facts of other rules are all kept.
pub(crate) fn may_be_dropped(
    rules: &Rules,
    state: &State,
    kind: Kind,
    batch: &RecordBatch,
) -> Result<Vec<bool>> {
    let dropping = state.dropped.iter().filter(|(_, totals)| totals[kind].facts > 0);
    // `crashes.max_age`: the rule, and its limit.
    let dropping: Vec<&str> =
        dropping.map(|(name, _)| name.rsplit_once('.').map_or(name.as_str(), |(rule, _)| rule)).collect();
    let is_known = |name: &str| rules.iter().any(|(_, rule)| rule.name == name);
    if !dropping.iter().all(|name| is_known(name)) {
        return Ok(vec![true; batch.num_rows()]);
    }
    let belongs = belonging(rules, kind, batch)?.rules.into_iter();
    let name = |rule: RuleIndex| rules.get(rule).map_or("", |rule| rule.name.as_str());
    Ok(belongs.map(|rule| rule.is_some_and(|rule| dropping.contains(&name(rule)))).collect())
}

/// The columns of places, timestamps, and the rules' conditions.
pub(super) fn needed_columns(rules: &Rules, kind: Kind) -> Vec<usize> {
    let conditions = rules.candidates(kind).iter().filter_map(|candidate| candidate.condition.as_ref());
    indices(
        kind,
        PLACE
            .into_iter()
            .chain(["timestamp", "timestamp_bits"])
            .chain(conditions.flat_map(|condition| condition.columns())),
    )
}

/// The indices of the columns with these names among the stored ones, in their order.
pub(super) fn indices<'n>(kind: Kind, names: impl Iterator<Item = &'n str>) -> Vec<usize> {
    let schema = columns::schema(kind);
    let mut indices: Vec<usize> = names.filter_map(|name| schema.index_of(name).ok()).collect();
    indices.sort_unstable();
    indices.dedup();
    indices
}

/// All columns: the size of a fact depends on all of them.
pub(super) fn all_columns(kind: Kind) -> Vec<usize> {
    (0..columns::schema(kind).fields().len()).collect()
}

/// Tallies that were made, by the segment's path, and by whether bytes were counted.
#[derive(Debug, Default)]
pub(crate) struct Tallies(Mutex<HashMap<(String, bool), Arc<Tally>>>);

/// The most tallies beyond the live segments: above this, those of removed segments are dropped.
const SPARE: usize = 64;

impl Tallies {
    /// A tally that was made before.
    pub(super) fn known(&self, segment: &Segment) -> Option<Arc<Tally>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |bytes| known.get(&(segment.path.clone(), bytes)).cloned();
        of(false).or_else(|| of(true))
    }

    /// The tally of a segment; reads the segment if necessary.
    pub(super) fn of(
        &self,
        root: &Path,
        rules: &Rules,
        segment: &Segment,
        bytes: bool,
    ) -> Result<Arc<Tally>> {
        let key = (segment.path.clone(), bytes);
        if let Some(tally) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(tally));
        }
        let tally = Arc::new(count(root, rules, segment, bytes)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&tally));
        Ok(tally)
    }

    /// Drops the tallies of segments that are no longer live.
    pub(super) fn forget_others(&self, state: &State) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let live: usize = Kind::ALL.iter().map(|kind| state.segments(*kind).len()).sum();
        if known.len() > 2 * live + SPARE {
            let live: HashSet<&str> = Kind::ALL
                .iter()
                .flat_map(|kind| state.segments(*kind))
                .map(|segment| segment.path.as_str())
                .collect();
            known.retain(|(path, _), _| live.contains(path.as_str()));
        }
    }
}

fn count(root: &Path, rules: &Rules, segment: &Segment, bytes: bool) -> Result<Tally> {
    let kind = segment.kind;
    let columns = if bytes { all_columns(kind) } else { needed_columns(rules, kind) };
    let mut tally = Tally::default();
    read(root, segment, &columns, None, |first, batch| {
        let Some(extent) = Extent::of_rows(&Places::of(batch)?) else { return Ok(()) };
        let sizes = if bytes { line_sizes(kind, batch)? } else { vec![0; batch.num_rows()] };
        let mut totals = vec![Total::default(); rules.len()];
        for (rule, size) in belonging(rules, kind, batch)?.rules.into_iter().zip(sizes) {
            if let Some(total) = rule.and_then(|rule| totals.get_mut(usize::from(rule.0))) {
                total.facts += 1;
                total.bytes += size;
            }
        }
        tally.blocks.push(Block { rows: first..first + batch.num_rows(), extent, totals });
        Ok(())
    })?;
    Ok(tally)
}
