//! The facts that the rules keep, for one snapshot and one time.
//!
//! Reads hide the facts that a [`Selection`] drops, and compaction removes exactly these. A selection is
//! made once for a query. The limits of every rule become bounds (`bounds`), so the fate of a fact
//! depends only on its rule, its place and its timestamp. So whole segments are judged by the ledger's
//! data, and the others row by row.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use super::bounds::{Bounds, Fates};
use super::count::Facts;
use super::holds::HoldCondition;
use super::in_force::{InForce, Retention};
use super::rows::{Extent, PLACE, Places};
use super::rules::{Candidate, Limit, RuleId, RuleIndex, Rules};
use super::tally::{Belonging, Tallies, belonging, indices};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, PerKind, UnixNanos};
use crate::ledger::{self, Segment, State};
use crate::settings::duration;
use crate::settings::retention::AgeBy;
use crate::snapshot::Snapshot;

/// The result of the ledger's numbers for a whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every row is kept.
    KeepAll,
    /// No row is kept: because of one limit of one rule, if that is known. Otherwise the rows show the
    /// reason ([`Selection::dropped`]).
    DropAll(Option<RuleId>),
    /// The rows must be read.
    Mixed,
}

/// The facts that the rules keep, for one snapshot and one time.
#[derive(Debug)]
pub(crate) struct Selection {
    rules: Arc<Rules>,
    tallies: Arc<Tallies>,
    /// The bounds of the rules, by rule.
    bounds: Vec<Bounds>,
    /// The holds, as in the ledger.
    names: BTreeMap<String, ledger::Hold>,
    /// The conditions of the holds, by kind.
    holds: PerKind<Vec<Arc<HoldCondition>>>,
    /// Paths of segments in which no hold covers a fact.
    free: HashSet<String>,
    columns: PerKind<Vec<usize>>,
    now: UnixNanos,
    /// Times at which facts were recorded, in order: the ends of known ranges.
    instants: Vec<UnixNanos>,
    compacted_at: UnixNanos,
}

/// The fates of the rows of a batch, row by row.
pub(super) struct Judged {
    pub(super) rules: Vec<Option<RuleIndex>>,
    /// The limit that would drop the row if it were not held.
    pub(super) limits: Vec<Option<Limit>>,
    pub(super) held: Vec<bool>,
    /// The rule whose condition fails on the row.
    pub(super) doubts: Vec<Option<RuleIndex>>,
}

impl Selection {
    /// Selects the facts of this snapshot by the rules and holds in force at the time `now`.
    ///
    /// Segments are opened only if a limit on number or bytes cuts through them, or a condition must be
    /// counted. In a snapshot of the readable part of a store, a damaged segment is counted by the
    /// ledger's numbers, and kept where these do not suffice.
    pub(crate) fn of(
        root: &Path,
        retention: &Retention,
        snapshot: &Snapshot,
        now: UnixNanos,
    ) -> Result<Self> {
        let InForce { rules, tallies } = retention.in_force();
        let mut selection = Self {
            rules,
            tallies,
            bounds: Vec::new(),
            names: snapshot.state.holds.clone(),
            holds: PerKind::default(),
            free: HashSet::new(),
            columns: PerKind::default(),
            now,
            instants: Vec::new(),
            compacted_at: snapshot.state.compacted_at,
        };
        if selection.keeps_everything() {
            return Ok(selection);
        }
        let rules = Arc::clone(&selection.rules);
        let needs_tail = rules.iter().any(|(_, rule)| {
            let limits = &rule.limits;
            limits.max_records.is_some() || limits.max_bytes.is_some() || limits.keep_at_least > 0
        });
        let state = &snapshot.state;
        let tail = if needs_tail { snapshot.tail()? } else { Vec::new() };
        selection.tallies.forget_others(state);
        let facts = Facts { root, rules: &rules, tallies: &selection.tallies, state, tail: &tail, snapshot };
        let bounds = rules.iter().map(|(index, rule)| {
            let bounds = Bounds::of(&rule.limits, now);
            if rule.limits.is_unlimited() { Ok(bounds) } else { facts.complete(index, &rule.limits, bounds) }
        });
        selection.bounds = bounds.collect::<Result<_>>()?;
        selection.holds = retention.holds(&state.holds);
        selection.free = selection.free(state);
        selection.columns = PerKind::from_fn(|kind| selection.needed(kind));
        selection.instants = instants(snapshot)?;
        Ok(selection)
    }

    /// Whether no rule can drop a fact.
    pub(crate) fn keeps_everything(&self) -> bool {
        self.rules.keep_everything()
    }

    /// The verdict on a segment without opening it.
    pub(crate) fn segment(&self, segment: &Segment) -> Verdict {
        let verdict = self.by_rules(segment);
        if verdict == Verdict::KeepAll {
            return verdict;
        }
        let holds = self.holds(segment.kind);
        if holds.iter().any(|hold| hold.is_everything()) {
            return Verdict::KeepAll;
        }
        if holds.is_empty() || self.free.contains(&segment.path) { verdict } else { Verdict::Mixed }
    }

    fn by_rules(&self, segment: &Segment) -> Verdict {
        let extent = Extent::of(segment);
        let candidates = self.rules.candidates(segment.kind);
        // If a condition was counted before, it is known whether any fact belongs to the rule.
        let conditional = candidates.iter().any(|candidate| candidate.condition.is_some());
        let tally = if conditional { self.tallies.known(segment) } else { None };
        // A fact on which a condition fails belongs to no rule, even if the last rule takes all facts.
        let mut kept = match &tally {
            Some(tally) => tally.facts() < segment.rows,
            None => {
                candidates.last().is_none_or(|last| last.condition.is_some())
                    || candidates.iter().any(Candidate::may_fail)
            }
        };
        let mut by = Vec::new();
        for candidate in candidates {
            if tally.as_ref().is_some_and(|tally| !tally.has(candidate.rule)) {
                continue;
            }
            let bounds = self.bounds.get(usize::from(candidate.rule.0));
            let fates = bounds.map_or(Fates::KEPT, |bounds| bounds.fates(&extent));
            kept |= fates.kept;
            let limits = [Limit::Age, Limit::Records, Limit::Bytes].into_iter().zip(fates.dropped);
            by.extend(
                limits.filter(|(_, drops)| *drops).map(|(limit, _)| RuleId { rule: candidate.rule, limit }),
            );
        }
        match (kept, by.as_slice()) {
            (true, []) => Verdict::KeepAll,
            (false, [only]) => Verdict::DropAll(Some(*only)),
            (false, [_, ..]) => Verdict::DropAll(None),
            _ => Verdict::Mixed,
        }
    }

    /// For each row of a batch with (at least) [`Self::columns`], the limit that drops it; `None` if the
    /// row is kept.
    pub(crate) fn dropped(&self, kind: Kind, batch: &RecordBatch) -> Result<Vec<Option<RuleId>>> {
        if self.keeps_everything() {
            return Ok(vec![None; batch.num_rows()]);
        }
        let judged = self.judge(kind, batch)?;
        let rows = judged.rules.into_iter().zip(judged.limits).zip(judged.held);
        let dropped = rows.map(|((rule, limit), held)| {
            let (rule, limit) = rule.zip(limit).filter(|_| !held)?;
            Some(RuleId { rule, limit })
        });
        Ok(dropped.collect())
    }

    /// Judges each row: its rule and its fate.
    pub(super) fn judge(&self, kind: Kind, batch: &RecordBatch) -> Result<Judged> {
        let places = Places::of(batch)?;
        let Belonging { rules, doubts } = belonging(&self.rules, kind, batch)?;
        let limits: Vec<_> = rules
            .iter()
            .enumerate()
            .map(|(row, rule)| {
                let bounds = self.bounds.get(usize::from((*rule)?.0))?;
                bounds.judge(places.get(row)?, places.timestamp(row))
            })
            .collect();
        let mut held = vec![false; batch.num_rows()];
        if limits.iter().any(Option::is_some) {
            for hold in self.holds(kind) {
                hold.mark(batch, &mut held);
            }
        }
        Ok(Judged { rules, limits, held, doubts })
    }

    /// The stored columns that [`Self::dropped`] reads, by their index in the schema of the kind.
    pub(crate) fn columns(&self, kind: Kind) -> &[usize] {
        &self.columns[kind]
    }

    /// The rule and its limit as the ledger and reports name them: `starts.max_age`, `store.max_records`.
    pub(crate) fn rule_name(&self, id: RuleId) -> &str {
        self.rules.name(id)
    }

    /// Refuses to drop facts for good if the clock seems to have jumped ahead: then every fact would be
    /// too old at once.
    pub(crate) fn check_clock(&self) -> Result<()> {
        if !self.rules.have_ages() {
            return Ok(());
        }
        let most = self.rules.max_clock_lead;
        let bound = i128::try_from(most.as_nanos()).unwrap_or(i128::MAX);
        let lead = |from: UnixNanos, to: UnixNanos| i128::from(to.get()) - i128::from(from.get());
        let steps = self.instants.iter().zip(self.instants.iter().skip(1).chain([&self.now]));
        // Earlier facts were judged at the last compaction.
        let jump =
            steps.filter(|(_, to)| **to > self.compacted_at).find(|(from, to)| lead(**from, **to) > bound);
        let Some((newest, to)) = jump else { return Ok(()) };
        let lead = Duration::from_secs(u64::try_from(lead(*newest, *to) / 1_000_000_000).unwrap_or_default());
        Err(Error::new(
            ErrorKind::Refused,
            format!(
                "the clock says {}, which is {} days ahead of the newest fact before ({newest}); \
                 retention.max_clock_lead is {}: if the clock is wrong, facts would be dropped that are not \
                 too old. Nothing was dropped; if the clock is right, insist (--insist), or raise \
                 retention.max_clock_lead in ostracon.toml",
                self.now,
                lead.as_secs() / 86_400,
                duration::print(most),
            ),
        ))
    }

    /// Whether this selection has the holds of this state. A compaction checks this again at its commit,
    /// because a hold may have been added in the meantime.
    pub(crate) fn has_holds_of(&self, state: &State) -> bool {
        self.keeps_everything() || self.names == state.holds
    }

    /// Whether this selection has the rules that are in force now.
    pub(crate) fn has_rules_of(&self, retention: &Retention) -> bool {
        self.keeps_everything() || Arc::ptr_eq(&self.rules, &retention.in_force().rules)
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether facts of a kind are held.
    pub(super) fn has_holds(&self, kind: Kind) -> bool {
        !self.holds(kind).is_empty()
    }

    fn holds(&self, kind: Kind) -> &[Arc<HoldCondition>] {
        &self.holds[kind]
    }

    /// The segments in which no hold covers a fact, among the kinds that have holds.
    fn free(&self, state: &State) -> HashSet<String> {
        let mut free = HashSet::new();
        for kind in Kind::ALL.into_iter().filter(|kind| !self.holds(*kind).is_empty()) {
            let segments = state.segments(kind);
            let mut covered = vec![false; segments.len()];
            for hold in self.holds(kind) {
                for (covered, may) in covered.iter_mut().zip(hold.may_cover(segments)) {
                    *covered |= may;
                }
            }
            let open = segments.iter().zip(covered).filter(|(_, covered)| !covered);
            free.extend(open.map(|(segment, _)| segment.path.clone()));
        }
        free
    }

    fn needed(&self, kind: Kind) -> Vec<usize> {
        let by_timestamp = self.rules.look_at(kind, AgeBy::Timestamp);
        let timestamp = ["timestamp", "timestamp_bits"].into_iter().filter(|_| by_timestamp);
        let conditions = self.rules.candidates(kind).iter().filter_map(|c| c.condition.as_ref());
        let of_rules = conditions.flat_map(|condition| condition.columns());
        let of_holds = self.holds(kind).iter().flat_map(|hold| hold.columns());
        indices(kind, PLACE.into_iter().chain(timestamp).chain(of_rules).chain(of_holds))
    }
}

/// Times at which facts were recorded, in order: the first and the last of each segment. A flush spans
/// minutes, so a clock that jumps shows between them.
fn instants(snapshot: &Snapshot) -> Result<Vec<UnixNanos>> {
    let streams = snapshot.state.streams.values().map(|stream| stream.last_recorded_at);
    let segments = Kind::ALL.iter().flat_map(|kind| snapshot.state.segments(*kind));
    let ends = segments.flat_map(|segment| [segment.recorded_at.min, segment.recorded_at.max]);
    let tail = snapshot.tail()?;
    let last = tail.iter().map(|chunk| chunk.last_recorded_at());
    let mut instants: Vec<_> = streams.chain(ends).chain(last).filter(|at| at.get() > 0).collect();
    instants.sort_unstable();
    instants.dedup();
    Ok(instants)
}
