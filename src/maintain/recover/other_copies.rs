//! Other places with facts of a damaged segment, exactly as they were recorded: files of removed
//! segments, which have their digests, and journals, whose frames have checksums.
//!
//! A fact with a place in the damaged segment that is in no other live segment belongs to the damaged
//! segment, or was dropped by a rule, or was lost. These facts are *proven* to belong to the segment
//!
//! - if rules never dropped facts of the kind, and none was lost; or
//! - if the sources hold every fact that the segment had, and their number and bytes are equal to the
//!   segment's. Equal sums alone prove nothing: a dropped fact could replace one that is in no source.
//!
//! Otherwise some of them may have been dropped. In doubt they are kept, but no more facts than the
//! segment had: first those of a rule that never dropped a fact, then the newest. They are noted as
//! unverified.

use std::path::PathBuf;

use arrow::array::RecordBatch;

use super::accepted_rows::Gate;
use super::journals;
use super::recovery_state::Work;
use super::replacements::Heirs;
use super::segments::Damaged;
use super::write_rows::{covered_range, write_rows};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::columns::{self, Rows};
use crate::fact::{Kind, Seq, StreamId, UnixNanos};
use crate::ledger::{State, StoreId, StreamRange, Total};
use crate::maintain::coverage::Coverage;
use crate::maintain::damaged_segment::DamagedSegment;
use crate::retention::{Rules, may_be_dropped};
use crate::settings::Settings;

/// A place with facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file with the digest of a segment.
    File(PathBuf),
    /// The journals of a stream, limited to these facts.
    Journals(StreamRange),
}

impl Source {
    /// Visits its facts of a kind, in order. A file is open only while it is read.
    fn read(
        &self,
        work: &Work<'_>,
        store: StoreId,
        kind: Kind,
        visit: &mut dyn FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::File(path) => {
                let Some(wreck) = DamagedSegment::by_footer(path, kind)? else {
                    let why = format!("{} changes while it is read; try again", path.display());
                    return Err(Error::new(ErrorKind::Contended, why));
                };
                wreck.read(visit)
            }
            Self::Journals(range) => journals::read_rows(work, store, *range, kind, visit),
        }
    }
}

/// The facts that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Only facts that are proven to belong to the segment.
    Proven,
    /// Also facts that may have been dropped since.
    Doubtful,
}

/// Places with facts of a damaged segment.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) all: Vec<Source>,
    /// Whether every fact that the segment had is in a source, or in another live segment.
    pub(super) hold_everything: bool,
    /// The name of the places, for people.
    pub(super) name: &'static str,
}

impl Sources {
    /// Adds facts of the damaged segment from these places to the new segments, as far as they are proven
    /// or wanted.
    pub(super) fn take(
        &self,
        work: &mut Work<'_>,
        damaged: &Damaged<'_>,
        heirs: &mut Heirs,
        trust: Trust,
    ) -> Result<()> {
        let Damaged { state, segment, others, .. } = damaged;
        let mut taken = others.clone();
        taken.add_all(&heirs.saved.ranges());
        let (found, missing) = (self.count(work, damaged, &taken)?, heirs.missing_of(segment));
        let fits = found.facts <= missing.facts && found.bytes <= missing.bytes;
        let proven = (damaged.none_is_gone && fits) || (self.hold_everything && found == missing);
        if proven != (trust == Trust::Proven) || found.facts == 0 {
            return Ok(());
        }
        let only_kept = damaged.is_given_up && !proven && !self.hold_everything;
        let places = if fits && !only_kept {
            segment.streams.clone()
        } else {
            self.newest(work, damaged, &taken, missing, only_kept)?
        };
        let before = heirs.saved.clone();
        for source in &self.all {
            let mut gate = Gate::new(segment.kind, &places, Some(segment.recorded_at), &taken);
            let read = |visit: &mut dyn FnMut(&RecordBatch) -> Result<()>| {
                source.read(work, state.store, segment.kind, visit)
            };
            let range = |stream| covered_range(segment, stream);
            let written = write_rows(work, state.store, &mut gate, range, read)?;
            let own = gate.passed.ranges();
            heirs.add_written(written, &own, proven);
            taken.add_all(&own);
        }
        let facts = heirs.saved.facts() - before.facts();
        let (path, name) = (&segment.path, self.name);
        work.note(if proven {
            format!("{facts} facts of {path} were restored from {name}")
        } else {
            format!(
                "{facts} facts were restored for {path} from {name}; facts of its kind were dropped or lost \
                 since, and it is unknown which"
            )
        });
        Ok(())
    }

    /// Visits the facts that may belong to the segment, each once.
    fn visit(
        &self,
        work: &Work<'_>,
        damaged: &Damaged<'_>,
        taken: &Coverage,
        visit: &mut dyn FnMut(&Rows),
    ) -> Result<()> {
        let Damaged { state, segment, .. } = damaged;
        let mut taken = taken.clone();
        for source in &self.all {
            let mut gate = Gate::new(segment.kind, &segment.streams, Some(segment.recorded_at), &taken);
            source.read(work, state.store, segment.kind, &mut |batch| {
                gate.pass(batch)?.iter().for_each(|(_, rows)| visit(rows));
                Ok(())
            })?;
            let passed = gate.passed.ranges();
            taken.add_all(&passed);
        }
        Ok(())
    }

    /// The number of facts that may belong to the segment, and their bytes.
    fn count(&self, work: &Work<'_>, damaged: &Damaged<'_>, taken: &Coverage) -> Result<Total> {
        let mut found = Total::default();
        self.visit(work, damaged, taken, &mut |rows| {
            found.facts = found.facts.saturating_add(rows.batch.num_rows() as u64);
            found.bytes = found.bytes.saturating_add(rows.fact_bytes);
        })?;
        Ok(found)
    }

    /// Selects as many facts as are missing, and returns their places: first the facts that no rule can
    /// have dropped, then the newest. With `only_kept`, only the facts that no rule can have dropped.
    fn newest(
        &self,
        work: &Work<'_>,
        damaged: &Damaged<'_>,
        taken: &Coverage,
        missing: Total,
        only_kept: bool,
    ) -> Result<Vec<StreamRange>> {
        let kind = damaged.segment.kind;
        // A rule that cannot be parsed drops nothing; rules before it may have dropped facts.
        let rules =
            Settings::load(work.root).and_then(|settings| Rules::new(&settings.retention, work.parser)).ok();
        let mut facts: Vec<(bool, UnixNanos, StreamId, Seq, u64)> = Vec::new();
        self.visit(work, damaged, taken, &mut |rows| {
            let found = columns::facts(kind, &rows.batch).unwrap_or_default();
            let known =
                rules.as_ref().and_then(|rules| may_be_dropped(rules, damaged.state, kind, &rows.batch).ok());
            let kept = known.into_iter().flatten().map(|dropped| !dropped).chain(std::iter::repeat(false));
            facts.extend(found.iter().zip(kept).map(|(found, kept)| {
                let place = found.position;
                (kept, place.recorded_at, place.stream, place.seq, found.fact.line_len())
            }));
        })?;
        facts.retain(|(kept, ..)| *kept || !only_kept);
        facts.sort_unstable_by(|one, other| other.cmp(one));
        let (mut chosen, mut total) = (Coverage::default(), Total::default());
        for (_, _, stream, seq, bytes) in facts {
            let more = Total { facts: total.facts + 1, bytes: total.bytes.saturating_add(bytes) };
            if more.facts <= missing.facts && more.bytes <= missing.bytes {
                total = more;
                chosen.insert(stream, seq);
            }
        }
        Ok(chosen.ranges())
    }
}

/// Whether every fact of a kind that was ever recorded is still live.
pub(super) fn none_is_gone(state: &State, kind: Kind) -> bool {
    !is_dropped(state, kind) && state.lost[kind].facts == 0
}

/// Whether rules ever dropped a fact of a kind.
pub(super) fn is_dropped(state: &State, kind: Kind) -> bool {
    state.dropped.values().any(|totals| totals[kind].facts > 0)
}
