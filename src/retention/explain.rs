//! Explains why facts are kept or hidden: the rules in force, and the outcome for the facts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use arrow::array::RecordBatch;

use super::condition::Condition;
use super::in_force::Retention;
use super::rows::read;
use super::rules::{Limit, RuleIndex, condition};
use super::selection::{Selection, Verdict};
use super::tally::{all_columns, indices, needed_columns};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Fact, Kind, PerKind, Recorded, UnixNanos, columns};
use crate::ledger::Segment;
use crate::settings::retention::RetentionLimits;
use crate::snapshot::Snapshot;

/// The most examples of each outcome.
const EXAMPLES: usize = 2;

/// A retention rule that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleInForce {
    /// The rule's name; `store`, `events`, `audits` or `dead_letters` for limits without a name.
    pub name: String,
    /// The place where the rule was written.
    pub origin: String,
    /// The only kind of facts that the rule applies to, if any.
    pub kind: Option<Kind>,
    /// The SQL condition of the facts that the rule applies to, if any.
    pub predicate: Option<String>,
    /// The limits of the rule.
    pub limits: RetentionLimits,
}

/// The outcome of retention for a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// Its rule keeps it.
    Kept,
    /// Its rule would drop it, but a hold covers it.
    Held,
    /// The condition of the rule fails on it, so it is unknown whether the rule applies: it is kept.
    Undecided,
    /// The fact is too old.
    MaxAge,
    /// The rule has enough newer facts.
    MaxRecords,
    /// The rule has enough bytes of newer facts.
    MaxBytes,
}

impl Outcome {
    const fn of(limit: Option<Limit>, held: bool) -> Self {
        match limit {
            None => Self::Kept,
            Some(_) if held => Self::Held,
            Some(Limit::Age) => Self::MaxAge,
            Some(Limit::Records) => Self::MaxRecords,
            Some(Limit::Bytes) => Self::MaxBytes,
        }
    }

    /// Whether reads return the fact, and a compaction keeps it.
    pub const fn is_kept(self) -> bool {
        matches!(self, Self::Kept | Self::Held | Self::Undecided)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kept => "kept",
            Self::Held => "held",
            Self::Undecided => "undecided",
            Self::MaxAge => "max_age",
            Self::MaxRecords => "max_records",
            Self::MaxBytes => "max_bytes",
        })
    }
}

/// The facts of one rule with one outcome.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Fate {
    /// The rule that the facts belong to; `None` if they belong to no rule, and are kept.
    pub rule: Option<String>,
    /// The outcome of retention for these facts.
    pub outcome: Outcome,
    /// The number of the facts.
    pub facts: u64,
    /// One or two of the facts, as examples.
    pub examples: Vec<Recorded<Fact<'static>>>,
}

/// The outcome of retention for facts, under the rules and holds in force.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The time from which ages were measured.
    pub now: UnixNanos,
    /// The facts, grouped by rule and by outcome.
    pub fates: Vec<Fate>,
}

impl Explanation {
    /// How many facts are kept, and how many are hidden until a compaction drops them.
    pub fn totals(&self) -> (u64, u64) {
        self.fates.iter().fold((0, 0), |(kept, hidden), fate| {
            if fate.outcome.is_kept() { (kept + fate.facts, hidden) } else { (kept, hidden + fate.facts) }
        })
    }
}

/// The rules in force, in the order in which they are tried on a fact.
pub(crate) fn rules_in_force(retention: &Retention) -> Vec<RuleInForce> {
    let rules = retention.in_force().rules;
    let in_force = rules.iter().map(|(_, rule)| RuleInForce {
        name: rule.name.clone(),
        origin: rule.origin.clone(),
        kind: rule.kind,
        predicate: rule.predicate.clone(),
        limits: rule.limits.clone(),
    });
    in_force.collect()
}

/// Explains which facts of a snapshot are kept: of all facts, of one kind, or of the facts that a condition selects.
pub(crate) fn explain(
    root: &Path,
    retention: &Retention,
    snapshot: &Snapshot,
    now: UnixNanos,
    kind: Option<Kind>,
    predicate: Option<&str>,
) -> Result<Explanation> {
    let mut asked = Vec::new();
    for of in Kind::ALL.into_iter().filter(|of| kind.is_none_or(|kind| kind == *of)) {
        asked.push((of, predicate.map(|text| condition(retention.parser, of, kind, text)).transpose()?));
    }
    let selection = Selection::of(root, retention, snapshot, now)?;
    let mut sorting = Sorting { root, selection: &selection, sorted: BTreeMap::new() };
    for (index, rule) in selection.rules().iter() {
        if kind.is_none() || rule.kind.is_none() || kind == rule.kind {
            sorting.sorted.entry((Some(index), Outcome::Kept)).or_default();
        }
    }
    for (kind, condition) in &asked {
        for segment in snapshot.state.segments(*kind) {
            sorting.segment(segment, condition.as_deref())?;
        }
        for chunk in snapshot.tail()? {
            if let Some(rows) = chunk.rows(*kind) {
                sorting.rows(*kind, &rows.batch, condition.as_deref(), |row| {
                    facts(*kind, &rows.batch.slice(row, 1))
                })?;
            }
        }
    }
    let rules = selection.rules();
    let fates = sorting.sorted.into_iter().map(|((rule, outcome), (facts, examples))| Fate {
        rule: rule.and_then(|rule| rules.get(rule)).map(|rule| rule.name.clone()),
        outcome,
        facts,
        examples,
    });
    // Facts that belong to no rule come last.
    let (none, some): (Vec<_>, Vec<_>) = fates.partition(|fate| fate.rule.is_none());
    Ok(Explanation { now, fates: some.into_iter().chain(none).collect() })
}

/// The number of facts of each kind, flushed and unflushed, that the rules hide from reads of a snapshot.
pub(crate) fn hidden(root: &Path, selection: &Selection, snapshot: &Snapshot) -> Result<PerKind<u64>> {
    if selection.keeps_everything() {
        return Ok(PerKind::default());
    }
    let mut hidden = hidden_in_segments(root, selection, snapshot)?;
    for chunk in snapshot.tail()? {
        for (kind, hidden) in hidden.pairs_mut() {
            if let Some(rows) = chunk.rows(kind) {
                let dropped = selection.dropped(kind, &rows.batch)?;
                *hidden += dropped.iter().filter(|dropped| dropped.is_some()).count() as u64;
            }
        }
    }
    Ok(hidden)
}

/// The number of facts in the segments of each kind that the rules hide from reads until a compaction
/// drops them.
pub(crate) fn hidden_in_segments(
    root: &Path,
    selection: &Selection,
    snapshot: &Snapshot,
) -> Result<PerKind<u64>> {
    let mut hidden = PerKind::default();
    for (kind, hidden) in hidden.pairs_mut() {
        if selection.rules().candidates(kind).is_empty() {
            continue;
        }
        let mut sorting = Sorting { root, selection, sorted: BTreeMap::new() };
        for segment in snapshot.state.segments(kind) {
            sorting.segment(segment, None)?;
        }
        let not_kept = sorting.sorted.into_iter().filter(|((_, outcome), _)| !outcome.is_kept());
        *hidden = not_kept.map(|(_, (facts, _))| facts).sum();
    }
    Ok(hidden)
}

type Examples = Vec<Recorded<Fact<'static>>>;

/// Sorts facts by their outcomes.
struct Sorting<'a> {
    root: &'a Path,
    selection: &'a Selection,
    sorted: BTreeMap<(Option<RuleIndex>, Outcome), (u64, Examples)>,
}

impl Sorting<'_> {
    fn segment(&mut self, segment: &Segment, condition: Option<&dyn Condition>) -> Result<()> {
        let kind = segment.kind;
        let root = self.root;
        if condition.is_none()
            && let Some(fate) = self.whole(segment)
        {
            let (facts, examples) = self.sorted.entry(fate).or_default();
            *facts += segment.rows;
            for row in 0..EXAMPLES.saturating_sub(examples.len()).min(segment.rows as usize) {
                examples.extend(example(root, segment, row)?);
            }
            return Ok(());
        }
        let rules = self.selection.rules();
        let mut columns = needed_columns(rules, kind);
        columns.extend(self.selection.columns(kind));
        columns.extend(indices(kind, condition.iter().flat_map(|condition| condition.columns())));
        columns.sort_unstable();
        columns.dedup();
        read(root, segment, &columns, None, |first, batch| {
            self.rows(kind, batch, condition, |row| example(root, segment, first + row))
        })
    }

    /// The outcome of all facts of a segment, if it is one for all.
    fn whole(&self, segment: &Segment) -> Option<(Option<RuleIndex>, Outcome)> {
        if self.selection.rules().candidates(segment.kind).is_empty() {
            return Some((None, Outcome::Kept));
        }
        let rule = self.selection.rules().only(segment.kind)?;
        match self.selection.segment(segment) {
            Verdict::KeepAll if !self.selection.has_holds(segment.kind) => Some((Some(rule), Outcome::Kept)),
            Verdict::DropAll(Some(by)) => Some((Some(rule), Outcome::of(Some(by.limit), false))),
            _ => None,
        }
    }

    fn rows(
        &mut self,
        kind: Kind,
        batch: &RecordBatch,
        condition: Option<&dyn Condition>,
        fact: impl Fn(usize) -> Result<Examples>,
    ) -> Result<()> {
        // Where the condition fails it counts as true: a hold with this condition covers the fact.
        let asked = condition.map(|condition| condition.evaluate(batch)).transpose()?;
        let is_asked_for = |row: usize| match &asked {
            None => true,
            Some(asked) => {
                row < asked.matching.len() && asked.matching.value(row)
                    || asked.doubtful.binary_search(&row).is_ok()
            }
        };
        let judged = self.selection.judge(kind, batch)?;
        let rows = judged.rules.into_iter().zip(judged.limits).zip(judged.held).zip(judged.doubts);
        for (row, (((rule, limit), held), doubt)) in rows.enumerate() {
            if !is_asked_for(row) {
                continue;
            }
            let fate = match doubt {
                Some(rule) => (Some(rule), Outcome::Undecided),
                None => (rule, Outcome::of(limit, held)),
            };
            let (facts, examples) = self.sorted.entry(fate).or_default();
            *facts += 1;
            if examples.len() < EXAMPLES {
                examples.extend(fact(row)?);
            }
        }
        Ok(())
    }
}

/// The fact in this row.
fn example(root: &Path, segment: &Segment, row: usize) -> Result<Examples> {
    let mut found = Vec::new();
    read(root, segment, &all_columns(segment.kind), Some(row..row + 1), |_, batch| {
        found.extend(facts(segment.kind, batch)?);
        Ok(())
    })?;
    Ok(found)
}

fn facts(kind: Kind, batch: &RecordBatch) -> Result<Examples> {
    let facts = columns::facts(kind, batch)
        .ok_or_else(|| Error::new(ErrorKind::Damaged, format!("rows of {kind} lack required columns")))?;
    let owned = facts.into_iter().map(|f| Recorded { position: f.position, fact: f.fact.into_owned() });
    Ok(owned.collect())
}
