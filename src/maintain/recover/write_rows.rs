//! Writes saved rows into new segments.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use arrow::array::RecordBatch;

use super::accepted_rows::Gate;
use super::recovery_state::Work;
use super::replacements::{Heirs, total_of};
use crate::error::Result;
use crate::fact::{FactId, Seq, StreamId, columns};
use crate::ledger::{Segment, StoreId, StreamRange};
use crate::maintain::coverage::Coverage;
use crate::maintain::damaged_segment::DamagedSegment;
use crate::segment::{self, Origin, SegmentWriter};

/// Writes the rows of a file that the gate accepts, one segment for each stream.
pub(super) fn write_passed(
    work: &Work<'_>,
    store: StoreId,
    wreck: &DamagedSegment,
    gate: &mut Gate<'_>,
    range_of: impl Fn(StreamId) -> StreamRange,
) -> Result<Vec<Segment>> {
    write_rows(work, store, gate, range_of, |visit| wreck.read(visit))
}

/// Writes the rows that `read` visits and the gate accepts, one segment for each stream.
pub(super) fn write_rows(
    work: &Work<'_>,
    store: StoreId,
    gate: &mut Gate<'_>,
    range_of: impl Fn(StreamId) -> StreamRange,
    read: impl FnOnce(&mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()>,
) -> Result<Vec<Segment>> {
    let kind = gate.kind;
    let mut writers: BTreeMap<StreamId, SegmentWriter<'_>> = BTreeMap::new();
    read(&mut |batch| {
        for (stream, rows) in gate.pass(batch)? {
            let writer = match writers.entry(stream) {
                Entry::Occupied(writer) => writer.into_mut(),
                Entry::Vacant(place) => place.insert(SegmentWriter::begin(
                    work.disk,
                    work.root,
                    kind,
                    store,
                    range_of(stream),
                    Origin::Store,
                )?),
            };
            writer.write(&rows)?;
        }
        Ok(())
    })?;
    let mut written = Vec::new();
    for writer in writers.into_values() {
        match writer.finish() {
            Ok(segment) => written.push(segment),
            Err(error) => {
                segment::discard(work.disk, work.root, &written);
                return Err(error);
            }
        }
    }
    Ok(written)
}

/// The range in a segment's footer: that of its flush, as its name has it.
pub(super) fn covered_range(segment: &Segment, stream: StreamId) -> StreamRange {
    let name = segment.path.rsplit('/').next().unwrap_or_default();
    let mut parts = name.split('-').map(|part| part.parse::<u64>().ok());
    let named = (parts.next().flatten(), parts.next().flatten(), parts.next().flatten());
    // Of a loss, only parts of the stream are known.
    let own = segment.streams.iter().filter(|range| range.stream == stream).copied();
    let own = own.reduce(|all, range| StreamRange {
        stream,
        first_seq: all.first_seq.min(range.first_seq),
        last_seq: all.last_seq.max(range.last_seq),
    });
    match (named, own) {
        ((Some(n), Some(first), Some(last)), _) if n == u64::from(stream.0) && first <= last => {
            StreamRange { stream, first_seq: Seq(first), last_seq: Seq(last) }
        }
        (_, Some(range)) => range,
        _ => StreamRange { stream, first_seq: Seq(1), last_seq: Seq(1) },
    }
}

/// Writes the readable rows of a file, but no more bytes than the other new segments leave: a flipped bit
/// may have made a text longer. As few facts as possible are left out for that.
pub(super) fn write_fitting(
    work: &mut Work<'_>,
    store: StoreId,
    segment: &Segment,
    wreck: &DamagedSegment,
    heirs: &Heirs,
    taken: &mut Coverage,
) -> Result<(Vec<Segment>, Vec<StreamRange>)> {
    let write = |taken: &Coverage| -> Result<_> {
        let mut gate = Gate::new(segment.kind, &segment.streams, Some(segment.recorded_at), taken);
        let written = write_passed(work, store, wreck, &mut gate, |stream| covered_range(segment, stream))?;
        Ok((written, gate.passed.ranges()))
    };
    let (written, places) = write(taken)?;
    let bytes = total_of(&written).map_or(u64::MAX, |total| total.bytes);
    let surplus = bytes.saturating_sub(heirs.missing_of(segment).bytes);
    if surplus == 0 {
        return Ok((written, places));
    }
    segment::discard(work.disk, work.root, &written);
    let mut sizes = Vec::new();
    let mut gate = Gate::new(segment.kind, &segment.streams, Some(segment.recorded_at), taken);
    wreck.read(&mut |batch| {
        for (_, rows) in gate.pass(batch)? {
            let facts = columns::facts(segment.kind, &rows.batch).unwrap_or_default();
            sizes.extend(facts.iter().map(|found| (found.fact.line_len(), found.position.id())));
        }
        Ok(())
    })?;
    let left_out = fewest_of_size(sizes, surplus);
    for id in &left_out {
        taken.insert(id.stream, id.seq);
    }
    let fitting = write(taken)?;
    work.note(format!(
        "the readable facts in {} have {surplus} bytes more than were recorded; facts that were left out for \
         that: {}; the file that is kept aside has them",
        segment.path,
        left_out.len()
    ));
    Ok(fitting)
}

/// Selects as few facts as possible that have at least `bytes` bytes together.
fn fewest_of_size(mut sizes: Vec<(u64, FactId)>, mut bytes: u64) -> Vec<FactId> {
    sizes.sort_unstable();
    let mut chosen = Vec::new();
    while bytes > 0 {
        let enough = sizes.partition_point(|(size, _)| *size < bytes);
        if let Some((_, id)) = sizes.get(enough) {
            chosen.push(*id);
            break;
        }
        let Some((size, id)) = sizes.pop() else { break };
        chosen.push(id);
        bytes -= size;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_facts_as_possible_make_room() {
        let sizes = |sizes: &[u64]| -> Vec<(u64, FactId)> {
            let ids = (1..).map(|seq| FactId { stream: StreamId(1), seq: Seq(seq) });
            sizes.iter().copied().zip(ids).collect()
        };
        let chosen = |of: &[u64], bytes| -> Vec<u64> {
            fewest_of_size(sizes(of), bytes).iter().map(|id| id.seq.0).collect()
        };
        assert_eq!(chosen(&[30, 10, 20], 0), [0_u64; 0]);
        assert_eq!(chosen(&[30, 10, 20], 5), [2]);
        assert_eq!(chosen(&[30, 10, 20], 20), [3]);
        assert_eq!(chosen(&[30, 10, 20], 35), [1, 2]);
        assert_eq!(chosen(&[30, 10, 20], 1000), [1, 3, 2]);
        assert_eq!(chosen(&[], 7), [0_u64; 0]);
    }
}
