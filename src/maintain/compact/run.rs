//! A compaction from beginning to end.
//!
//! 1. Take the maintenance lock, and remove files that earlier compactions had to leave.
//! 2. Take a snapshot, and select the facts that retention keeps; release the snapshot.
//! 3. Examine the segments: which facts are dropped from each ([`examine`]).
//! 4. In rounds, until nothing is left to merge: plan ([`plan`]), and merge the parts in parallel on two
//!    threads ([`merge`]). The new segments of a round are inputs of the next one.
//! 5. Commit: the removed segments, the new ones, and the dropped facts. This one commit changes the
//!    store.
//! 6. Remove files that are no longer needed.
//!
//! If the process is killed before step 5, the store is unchanged, except for files that no commit names;
//! the next sweep removes them. If it is killed after step 5, the next sweep removes the remaining files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::account::{Made, settle};
use super::examine::{Examined, examine, must_be_read};
use super::merge::{Input, Merged, Merging, Stop, merge};
use super::parallel::run_parallel;
use super::plan::{Limits, Part, Piece, plan};
use super::report::{
    CompactOptions, CompactProgress, CompactReport, DroppedFacts, Holding, OnProgress, UnacknowledgedFacts,
};
use super::source::{ByRule, memory};
use super::sweep::{Swept, sweep};
use crate::consume::Watch;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::flush;
use crate::ledger::{Action, CommitNumber, Dropped, Segment, State};
use crate::maintain::Maintenance;
use crate::maintain::scan::surroundings::ahead_of_the_clock;
use crate::retention::Selection;
use crate::segment::discard;
use crate::snapshot::Snapshot;

/// The most memory for the open segments of one merge.
const OPEN_BYTES: u64 = 128 << 20;
/// The most rounds. Every round leaves fewer segments than it found; the rest is left for the next
/// compaction.
const MOST_ROUNDS: usize = 16;
/// How often a compaction begins again because rules or holds have changed meanwhile.
const MOST_ATTEMPTS: usize = 3;

/// Compacts a store.
pub(super) fn run(context: &Context, mut options: CompactOptions<'_>) -> Result<CompactReport> {
    let begun = Instant::now();
    if options.target_bytes == 0 {
        return Err(Error::new(ErrorKind::Settings, "cannot make segments of 0 bytes"));
    }
    let mut report = if options.dry_run {
        Compaction::begin(context, &mut options)?.rehearse()?
    } else {
        context.check_commits("compact it")?;
        flush_own(context)?;
        let _maintenance = Maintenance::claim(&context.disk, &context.root)?;
        let before = sweep(context);
        let mut report = compact(context, &mut options, before.through)?;
        let after = sweep(context);
        report.files_removed = before.files + after.files;
        report.bytes_freed = before.bytes + after.bytes;
        let Swept { waiting, waiting_bytes, .. } = after;
        (report.files_waiting, report.bytes_waiting) = (waiting, waiting_bytes);
        report
    };
    report.elapsed = begun.elapsed();
    Ok(report)
}

/// Flushes the facts of this process first, so that they can be merged, too.
fn flush_own(context: &Context) -> Result<()> {
    match &context.recorder {
        Some(recorder) if !recorder.lock().closed => {
            recorder.seal()?;
            flush::flush_sealed(context, recorder)
        }
        _ => Ok(()),
    }
}

fn compact(
    context: &Context,
    options: &mut CompactOptions<'_>,
    swept: CommitNumber,
) -> Result<CompactReport> {
    for _ in 0..MOST_ATTEMPTS {
        let mut compaction = Compaction::begin(context, options)?;
        let result = compaction.merge_all().and_then(|()| compaction.commit(swept));
        match result {
            Ok(Some(report)) => return Ok(report),
            Ok(None) => compaction.discard_made(),
            Err(error) => {
                compaction.discard_made();
                return Err(error);
            }
        }
    }
    let why = "rules or holds were changed again and again during the compaction; the store is unchanged";
    Err(Error::new(ErrorKind::Contended, why))
}

/// A running compaction.
pub(super) struct Compaction<'a, 'o> {
    context: &'a Context,
    pub(super) options: &'a mut CompactOptions<'o>,
    cancel: Option<Arc<AtomicBool>>,
    /// The state of the store at the beginning.
    state: Arc<State>,
    /// Keeps the files of a dry run, which does not have the maintenance lock.
    _pinned: Option<Snapshot>,
    rules: Selection,
    kinds: Vec<Kind>,
    /// The segments to remove, and below those that replace them.
    pub(super) remove: Vec<Arc<Segment>>,
    add: Vec<Arc<Segment>>,
    dropped: BTreeMap<Kind, ByRule>,
    watch: Watch,
    /// The number of facts to drop that each group has not acknowledged.
    unacknowledged: Vec<u64>,
}

impl<'a, 'o> Compaction<'a, 'o> {
    pub(super) fn begin(context: &'a Context, options: &'a mut CompactOptions<'o>) -> Result<Self> {
        let snapshot = context.snapshot()?;
        context.retention.check()?;
        let rules = context.selection(&snapshot, context.now())?;
        let kinds = options.kind.map_or_else(|| Kind::ALL.to_vec(), |kind| vec![kind]);
        let dry_run = options.dry_run;
        Ok(Self {
            context,
            cancel: options.cancel.clone(),
            options,
            state: Arc::clone(&snapshot.state),
            _pinned: dry_run.then_some(snapshot),
            rules,
            kinds,
            remove: Vec::new(),
            add: Vec::new(),
            dropped: BTreeMap::new(),
            watch: Watch::begin(context)?,
            unacknowledged: Vec::new(),
        })
    }

    /// Examines the live segments of all kinds of this compaction.
    pub(super) fn examine(&mut self, measure: bool) -> Result<Vec<Examined>> {
        let of_kinds = self.kinds.iter().flat_map(|kind| self.state.segments(*kind));
        let segments: Vec<_> = of_kinds.cloned().collect();
        let all = segments.iter().filter(|segment| must_be_read(&self.rules, &self.watch, segment));
        let all = all.map(|segment| segment.rows).sum();
        let (done, cancel) = (AtomicU64::new(0), self.cancel.clone());
        let stop = Stop { asked: cancel.as_deref(), failed: AtomicBool::new(false) };
        let (context, rules, watch) = (self.context, &self.rules, &self.watch);
        let on_progress = &mut self.options.on_progress;
        let tick = || report_progress(on_progress, &done, all);
        let look = |segment: &Arc<Segment>| examine(context, rules, watch, segment, measure, &done, &stop);
        let (examined, error) = run_parallel(&segments, &stop, look, tick);
        self.unacknowledged = vec![0; watch.groups().len()];
        for examined in &examined {
            for (sum, count) in self.unacknowledged.iter_mut().zip(&examined.unacknowledged) {
                *sum += count;
            }
        }
        error.map_or(Ok(examined), Err)
    }

    /// Refuses to drop facts because newer ones exist, if a clock that was ahead has stamped those newer
    /// ones.
    pub(super) fn check_newest(&self, examined: &[Examined]) -> Result<()> {
        let counts = |rule| !self.rules.rule_name(rule).ends_with(".max_age");
        let drops = examined.iter().any(|examined| examined.dropped.keys().any(|rule| counts(*rule)));
        let Some(ahead) = ahead_of_the_clock(&self.state, self.context.now()).filter(|_| drops) else {
            return Ok(());
        };
        Err(Error::new(
            ErrorKind::Refused,
            format!(
                "newer facts would be dropped instead of facts that a wrong clock has stamped: {}. Nothing \
                 was dropped; if the newer facts may be dropped, insist (--insist)",
                ahead.what
            ),
        ))
    }

    /// Runs steps 3 and 4.
    fn merge_all(&mut self) -> Result<()> {
        let examined = self.examine(false)?;
        if examined.iter().any(|examined| !examined.dropped.is_empty()) && !self.options.insist {
            self.rules.check_clock()?;
            self.check_newest(&examined)?;
        }
        let mut inputs: BTreeMap<Kind, Vec<Input>> = BTreeMap::new();
        for examined in examined {
            let (segment, kept) = (Arc::clone(&examined.segment), examined.kept());
            let of_kind = inputs.entry(segment.kind).or_default();
            if kept == 0
                && examined.dropped.values().map(|total| total.bytes).sum::<u64>() == segment.fact_bytes
            {
                self.count_dropped(segment.kind, &examined.dropped);
                self.remove.push(segment);
            } else {
                let piece = Piece::of(&segment, kept, memory(&segment));
                of_kind.push(Input { segment, piece, judged: !examined.dropped.is_empty() });
            }
        }
        for _ in 0..MOST_ROUNDS {
            if !self.round(&mut inputs)? {
                break;
            }
        }
        Ok(())
    }

    /// Runs one round. Returns `false` if there was nothing left to do.
    fn round(&mut self, inputs: &mut BTreeMap<Kind, Vec<Input>>) -> Result<bool> {
        let limits = limits(self.options);
        let mut jobs: Vec<(Kind, Part)> = Vec::new();
        for (kind, inputs) in &*inputs {
            let pieces: Vec<_> = inputs.iter().map(|input| input.piece.clone()).collect();
            jobs.extend(plan(&pieces, limits).into_iter().map(|part| (*kind, part)));
        }
        if jobs.is_empty() {
            return Ok(false);
        }
        let rows = |(kind, part): &(Kind, Part)| -> u64 {
            let inputs = inputs.get(kind).map(Vec::as_slice).unwrap_or_default();
            part.pieces.iter().filter_map(|at| inputs.get(*at)).map(|input| input.segment.rows).sum()
        };
        // The largest first, so that both threads end at about the same time.
        jobs.sort_by_key(|job| std::cmp::Reverse(rows(job)));
        let all = jobs.iter().map(rows).sum();
        let (done, cancel) = (AtomicU64::new(0), self.cancel.clone());
        let stop = Stop { asked: cancel.as_deref(), failed: AtomicBool::new(false) };
        let merging = Merging {
            context: self.context,
            store: self.state.store,
            rules: &self.rules,
            target_bytes: self.options.target_bytes,
            done: &done,
            stop: &stop,
        };
        let job = |(kind, part): &(Kind, Part)| {
            let inputs = inputs.get(kind).map(Vec::as_slice).unwrap_or_default();
            merge(&merging, *kind, inputs, part)
        };
        let on_progress = &mut self.options.on_progress;
        let (merged, error) = run_parallel(&jobs, &stop, job, || report_progress(on_progress, &done, all));
        if let Some(error) = error {
            for merged in merged {
                discard(&self.context.disk, &self.context.root, &merged.segments);
            }
            return Err(error);
        }
        self.replace_inputs(inputs, &jobs, merged)
    }

    /// Replaces the inputs of a round with its new segments.
    fn replace_inputs(
        &mut self,
        inputs: &mut BTreeMap<Kind, Vec<Input>>,
        jobs: &[(Kind, Part)],
        merged: Vec<Merged>,
    ) -> Result<bool> {
        let mut of_kinds: BTreeMap<Kind, (Vec<Merged>, BTreeSet<usize>)> = BTreeMap::new();
        for ((kind, part), merged) in jobs.iter().zip(merged) {
            // Noted from here on, so that they are removed if the numbers do not add up.
            self.add.extend(merged.segments.iter().cloned().map(Arc::new));
            let (of_kind, gone) = of_kinds.entry(*kind).or_default();
            of_kind.push(merged);
            gone.extend(&part.pieces);
        }
        for (kind, (merged, gone)) in of_kinds {
            let of_kind = inputs.entry(kind).or_default();
            let Made { segments, dropped } = settle(of_kind, merged)?;
            self.count_dropped(kind, &dropped);
            for made in &segments {
                self.add.retain(|known| known.path != made.path);
            }
            self.add.extend(segments.iter().cloned());
            let mut at = 0;
            let mut used = Vec::new();
            of_kind.retain(|input| {
                let goes = gone.contains(&at);
                at += 1;
                if goes {
                    used.push(Arc::clone(&input.segment));
                }
                !goes
            });
            of_kind.extend(segments.into_iter().map(|segment| {
                let piece = Piece::of(&segment, segment.rows, memory(&segment));
                Input { segment, piece, judged: false }
            }));
            for used in used {
                if self.add.iter().any(|made| made.path == used.path) {
                    // A segment of an earlier round: no commit will name it.
                    self.add.retain(|made| made.path != used.path);
                    discard(&self.context.disk, &self.context.root, std::slice::from_ref(&used));
                } else {
                    self.remove.push(used);
                }
            }
        }
        Ok(true)
    }

    pub(super) fn count_dropped(&mut self, kind: Kind, dropped: &ByRule) {
        let of_kind = self.dropped.entry(kind).or_default();
        for (rule, total) in dropped {
            let known = of_kind.entry(*rule).or_default();
            *known = known.plus(*total).unwrap_or(*known);
        }
    }

    /// Runs step 5; `None` if rules or holds have changed meanwhile.
    fn commit(&mut self, swept: CommitNumber) -> Result<Option<CompactReport>> {
        if self.remove.is_empty() {
            return Ok(Some(self.report(None)));
        }
        if self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            Stop { asked: self.cancel.as_deref(), failed: AtomicBool::new(false) }.check()?;
        }
        let owned = |segments: &[Arc<Segment>]| segments.iter().map(|segment| (**segment).clone()).collect();
        let action = Action::Compact {
            remove: owned(&self.remove),
            add: owned(&self.add),
            dropped: self.ledger_dropped(),
            swept,
        };
        let committed = self.context.ledger.commit(|state| {
            if !self.rules.has_holds_of(state) || !self.rules.has_rules_of(&self.context.retention) {
                return Ok(None);
            }
            self.context.retention.check()?;
            let live: BTreeSet<&str> =
                state.segments.iter().flatten().map(|segment| segment.path.as_str()).collect();
            if let Some(gone) = self.remove.iter().find(|segment| !live.contains(segment.path.as_str())) {
                let why = format!(
                    "another process has removed {} meanwhile; the store was not compacted",
                    gone.path
                );
                return Err(Error::new(ErrorKind::Contended, why));
            }
            Ok(Some(action.clone()))
        });
        match committed {
            Ok(Some(state)) => Ok(Some(self.report(Some(state.head.number)))),
            Ok(None) => Ok(None),
            Err(error) => {
                // The commit may have been published all the same, without a sync of its name.
                if self.is_committed() {
                    self.add.clear();
                    return Err(error.context("the compaction is committed, but a power failure may undo it"));
                }
                Err(error)
            }
        }
    }

    /// Whether the ledger names the new segments, as far as that can be found out.
    fn is_committed(&self) -> bool {
        self.context.ledger.refresh().map_or(true, |state| {
            let first = self.remove.first();
            first.is_some_and(|gone| !state.segments(gone.kind).iter().any(|live| live.path == gone.path))
        })
    }

    /// Removes the new segments, because no commit will name them.
    fn discard_made(&mut self) {
        for made in std::mem::take(&mut self.add) {
            discard(&self.context.disk, &self.context.root, std::slice::from_ref(&made));
        }
    }

    fn ledger_dropped(&self) -> Vec<Dropped> {
        let of_kinds = self
            .dropped
            .iter()
            .flat_map(|(kind, rules)| rules.iter().map(move |(rule, total)| (kind, rule, total)));
        of_kinds
            .map(|(kind, rule, total)| Dropped {
                rule: self.rules.rule_name(*rule).to_owned(),
                kind: *kind,
                total: *total,
            })
            .collect()
    }

    pub(super) fn report(&self, commit: Option<CommitNumber>) -> CompactReport {
        let mut before = Holding::default();
        for segment in self.kinds.iter().flat_map(|kind| self.state.segments(*kind)) {
            before.count(segment);
        }
        let dropped = self.ledger_dropped().into_iter().map(|dropped| DroppedFacts {
            rule: dropped.rule,
            kind: dropped.kind,
            facts: dropped.total.facts,
            bytes: dropped.total.bytes,
        });
        let unacknowledged = self.watch.groups().iter().zip(&self.unacknowledged);
        let unacknowledged = unacknowledged.filter(|(_, facts)| **facts > 0).map(|(group, facts)| {
            UnacknowledgedFacts { group: group.name.clone(), kind: group.kind, facts: *facts }
        });
        CompactReport {
            unacknowledged: unacknowledged.collect(),
            commit: commit.map(|commit| commit.0),
            before,
            after: before.without(&self.remove).with(&self.add),
            segments_removed: self.remove.len() as u64,
            segments_added: self.add.len() as u64,
            dropped: dropped.collect(),
            ..CompactReport::default()
        }
    }
}

pub(super) const fn limits(options: &CompactOptions<'_>) -> Limits {
    Limits { target_bytes: options.target_bytes, open_pieces: options.open_segments, open_bytes: OPEN_BYTES }
}

fn report_progress(call: &mut Option<OnProgress<'_>>, done: &AtomicU64, all: u64) {
    if let Some(call) = call {
        call(CompactProgress { done: done.load(Ordering::Relaxed).min(all), all });
    }
}
