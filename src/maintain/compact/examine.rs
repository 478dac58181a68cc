//! Finds the facts that retention drops from each segment, before anything is written.
//!
//! For most segments the ledger's numbers are enough. For the others the rows are read, only the columns
//! that the rules need, and counted. So a segment that loses no fact is not written again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::merge::Stop;
use super::source::{ByRule, Source, sizes};
use crate::consume::Watch;
use crate::context::Context;
use crate::error::Result;
use crate::fact::{Kind, columns};
use crate::ledger::{Segment, Total};
use crate::retention::{Selection, Verdict};

/// A segment, and the facts that are dropped from it.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) segment: Arc<Segment>,
    /// The dropped facts, with their sizes if these were requested or are known.
    pub(super) dropped: ByRule,
    /// The number of dropped facts that each consumer group has not acknowledged.
    pub(super) unacknowledged: Vec<u64>,
}

impl Examined {
    pub(super) fn kept(&self) -> u64 {
        let dropped = self.dropped.values().map(|total| total.facts).sum();
        self.segment.rows.saturating_sub(dropped)
    }
}

/// The two columns that name a fact, by their index in the schema of the kind.
fn names_of_facts(kind: Kind) -> Vec<usize> {
    ["stream", "seq"].iter().filter_map(|name| columns::schema(kind).index_of(name).ok()).collect()
}

/// Whether a segment's rows must be read.
pub(super) fn must_be_read(rules: &Selection, watch: &Watch, segment: &Segment) -> bool {
    match rules.segment(segment) {
        Verdict::KeepAll => false,
        Verdict::DropAll(Some(_)) => watch.of_all(segment).is_none(),
        Verdict::Mixed | Verdict::DropAll(None) => true,
    }
}

/// Counts the facts that are dropped from a segment; with `measure` also their sizes. If the whole
/// segment is dropped, the sizes are always measured: its facts are not read again.
pub(super) fn examine(
    context: &Context,
    rules: &Selection,
    watch: &Watch,
    segment: &Arc<Segment>,
    measure: bool,
    done: &AtomicU64,
    stop: &Stop<'_>,
) -> Result<Examined> {
    let mut dropped = ByRule::new();
    let mut unacknowledged = Vec::new();
    let verdict = rules.segment(segment);
    match verdict {
        Verdict::KeepAll => {}
        Verdict::DropAll(Some(rule)) => {
            dropped.insert(rule, Total::of(segment));
            if let Some(known) = watch.of_all(segment) {
                unacknowledged = known;
            } else {
                let names = names_of_facts(segment.kind);
                let mut source = Source::look(&context.root, segment, Some(&names))?;
                while let Some(rows) = source.read()? {
                    stop.check()?;
                    watch.count(segment.kind, &rows, |_| true, &mut unacknowledged)?;
                    done.fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
                }
            }
        }
        Verdict::DropAll(None) | Verdict::Mixed => {
            let measure = measure || verdict != Verdict::Mixed;
            let columns = (!measure).then(|| rules.columns(segment.kind));
            let watched = watch.watches(segment);
            let mut source = Source::look(&context.root, segment, columns)?;
            while let Some(rows) = source.read()? {
                stop.check()?;
                let by = rules.dropped(segment.kind, &rows)?;
                if watched {
                    let is_dropped = |row: usize| by.get(row).is_some_and(Option::is_some);
                    watch.count(segment.kind, &rows, is_dropped, &mut unacknowledged)?;
                }
                let sizes = if measure && by.iter().any(Option::is_some) {
                    sizes(segment.kind, &rows)?
                } else {
                    vec![0; by.len()]
                };
                for (rule, bytes) in by.iter().zip(sizes) {
                    let Some(rule) = rule else { continue };
                    let total = dropped.entry(*rule).or_default();
                    *total = total.plus(Total { facts: 1, bytes }).unwrap_or(*total);
                }
                done.fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
            }
        }
    }
    Ok(Examined { segment: Arc::clone(segment), dropped, unacknowledged })
}
