//! Finds the rows of segments that no commit names, and whose facts are nowhere else.

use std::collections::BTreeSet;
use std::path::Path;

use super::accepted_rows::Gate;
use super::import_positions::Imported;
use super::recovery_state::Work;
use crate::error::Result;
use crate::fact::{Kind, PerKind, Seq, StreamId, UnixNanos};
use crate::ledger::{State, StoreId, StreamRange, Unverified};
use crate::maintain::coverage::Coverage;
use crate::maintain::damaged_segment::{DamagedSegment, Label};
use crate::maintain::inventory::is_file;

/// Rows of segments that no commit names.
#[derive(Default)]
pub(super) struct UncommittedRows {
    pub(super) wrecks: Vec<DamagedSegment>,
    pub(super) passed: Coverage,
    pub(super) facts: PerKind<u64>,
    pub(super) places: PerKind<Coverage>,
    pub(super) last: Option<Seq>,
    pub(super) last_recorded_at: UnixNanos,
    /// Parts of inputs that are restored.
    pub(super) parts: Vec<(Label, Vec<StreamRange>)>,
    /// Facts in unnamed segments that are not restored: the ledger has facts with their numbers.
    pub(super) refused: Coverage,
    /// The inputs of parts that are not restored, because other facts have some of their numbers.
    pub(super) giving_way: BTreeSet<String>,
}

impl UncommittedRows {
    /// Looks for the facts of a stream after those in the ledger, in these files. `taken` are the places of facts that
    /// were found elsewhere.
    pub(super) fn look(
        work: &Work<'_>,
        state: &State,
        stream: StreamId,
        unknown: &BTreeSet<String>,
        mut taken: Coverage,
    ) -> Result<Self> {
        let mut found = Self::default();
        let committed = state.committed(stream);
        taken.add(stream, Seq(1), committed);
        let mut wrecks = Vec::new();
        for path in unknown {
            wrecks.extend(adoptable(work.root, path, state.store)?);
        }
        // Recorded facts have no other source, and come before imported ones.
        wrecks.sort_by_cached_key(|wreck| wreck.label().part());
        for wreck in wrecks {
            let imported = Imported::of(&wreck)?;
            if let Some(imported) = &imported
                && imported.gives_way(&taken, &found.of_import(imported)?)
            {
                found.giving_way.extend(imported.input());
                continue;
            }
            let kind = wreck.kind();
            let places = beyond(stream, committed);
            let mut gate = Gate::new(kind, &places, None, &taken).not_before(newest_known(state, stream));
            let (mut rows, mut newest) = (0, UnixNanos::default());
            wreck.read(&mut |batch| {
                for (_, passed) in gate.pass(batch)? {
                    rows += passed.batch.num_rows() as u64;
                    newest = newest.max(newest_of(&passed.batch));
                }
                Ok(())
            })?;
            let passed = gate.passed;
            found.last_recorded_at = found.last_recorded_at.max(newest);
            found.last = found.last.max(passed.last(stream));
            for range in passed.ranges() {
                // If several have a fact, the first counts.
                taken.add(stream, range.first_seq, range.last_seq);
                found.passed.add(stream, range.first_seq, range.last_seq);
                found.places[kind].add(stream, range.first_seq, range.last_seq);
            }
            found.facts[kind] += rows;
            if let Some(Imported { label, .. }) = imported {
                let saved = label.streams.iter().flat_map(|range| found.passed.within(*range)).collect();
                found.parts.push((label, saved));
            }
            if rows > 0 {
                found.add_refused(&wreck, stream, committed)?;
                found.wrecks.push(wreck);
            }
        }
        Ok(found)
    }

    /// Notes facts of a file whose other facts are restored, if the ledger has other facts with their
    /// numbers now.
    fn add_refused(&mut self, wreck: &DamagedSegment, stream: StreamId, committed: Seq) -> Result<()> {
        wreck.read_places(&mut |place| {
            if place.stream == stream && place.seq <= committed {
                self.refused.insert(stream, place.seq);
            }
        })
    }

    /// The places of an import's own facts among the facts that were found: a recovery that was killed
    /// leaves such files.
    fn of_import(&self, imported: &Imported) -> Result<Coverage> {
        let mut own = Coverage::default();
        self.wrecks.iter().try_for_each(|wreck| imported.find_in(wreck, &mut own))?;
        Ok(own)
    }

    /// The doubts about these facts: the digests of their segments are unknown.
    pub(super) fn doubts(&self) -> Vec<Unverified> {
        let each = Kind::ALL.into_iter().zip(self.facts).zip(&self.places);
        each.filter(|((_, facts), _)| *facts > 0)
            .map(|((kind, facts), places)| Unverified { kind, facts, within: places.ranges() })
            .collect()
    }
}

/// When the newest fact of a stream in the ledger was recorded.
pub(super) fn newest_known(state: &State, stream: StreamId) -> UnixNanos {
    state.streams.get(&stream).map_or_else(UnixNanos::default, |known| known.last_recorded_at)
}

fn newest_of(batch: &arrow::array::RecordBatch) -> UnixNanos {
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampNanosecondType;
    let column = batch.column_by_name("recorded_at");
    let column = column.and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    UnixNanos::new(column.and_then(arrow::compute::max).unwrap_or_default())
}

pub(super) fn beyond(stream: StreamId, committed: Seq) -> [StreamRange; 1] {
    [StreamRange { stream, first_seq: committed.next(), last_seq: Seq(i64::MAX as u64) }]
}

/// A sound segment of this store.
pub(super) fn adoptable(root: &Path, path: &str, store: StoreId) -> Result<Option<DamagedSegment>> {
    let Some(kind) = Kind::of_segment(path) else { return Ok(None) };
    let place = root.join(path);
    if !is_file(&place)? {
        return Ok(None);
    }
    let Some(wreck) = DamagedSegment::by_footer(&place, kind)? else { return Ok(None) };
    let label = wreck.label();
    let is_ours = label.store == Some(store.to_string()) && label.kind.as_deref() == Some(kind.tag());
    Ok(is_ours.then_some(wreck))
}
