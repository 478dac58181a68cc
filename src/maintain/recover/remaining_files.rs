//! Finds out which remaining files are part of the store, if the ledger does not say it.
//!
//! [`rebuild`](super::rebuild) works in this order: it finds the segments that readable commits name,
//! then facts in unnamed segments that are nowhere else, and then the fate of missing segments.

mod gone;
mod imports;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::accepted_rows::Gate;
use super::describe_segment::describe;
use super::import_positions::{self, Imported, Inputs};
use super::journals::{JournalRead, read_journals};
use super::ledger_parts::Evidence;
use super::path_state;
use super::path_state::FileState;
use super::recovery_state::Work;
use super::report::UnverifiedFacts;
use super::report::spans;
use super::segments::places;
use super::uncommitted_rows::adoptable;
use super::write_rows::{covered_range, write_passed};
use crate::buffer::Buffer;
use crate::error::Result;
use crate::fact::{Kind, PerKind, Seq, StreamId, UnixNanos};
use crate::journal::claim;
use crate::ledger::{Lost, Rebuilt, Segment, StoreId, Stream, StreamRange, Unverified};
use crate::maintain::coverage::Coverage;
use crate::maintain::damaged_segment::DamagedSegment;
use crate::maintain::inventory::is_file;
use crate::segment::{self, Origin};
use imports::MERGED_IMPORTS;

/// All files that may be segments, below the root.
pub(super) fn segment_files(work: &Work<'_>) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for kind in Kind::ALL {
        let folder = work.root.join(kind.folder());
        for (path, found) in path_state::entries(&folder)? {
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.filter(|name| name.ends_with(".parquet") && found.is_file()) {
                paths.push(format!("{}/{name}", kind.folder()));
            }
        }
    }
    paths.sort();
    Ok(paths)
}

/// The data of the inquiry so far.
pub(super) struct Inquiry {
    store: StoreId,
    accepted: Vec<Segment>,
    /// Segments that commits name and whose files are missing.
    gone: Vec<Segment>,
    journals: BTreeMap<StreamId, Vec<JournalRead>>,
    /// Facts in journals that no known flush covers.
    journaled: Coverage,
    /// Facts that were taken from unnamed segments, to replace missing ones.
    replaced: Coverage,
    replaced_bytes: PerKind<u64>,
    replaced_facts: PerKind<u64>,
    /// Segments that imports left.
    imported: Vec<Imported>,
    lost: Vec<Lost>,
    unverified: Vec<Unverified>,
    /// The unverified facts, for the report.
    pub(super) unverified_facts: Vec<UnverifiedFacts>,
    unknown: Vec<String>,
}

impl Inquiry {
    pub(super) fn begin(work: &Work<'_>, store: StoreId, evidence: &mut Evidence) -> Result<Self> {
        let mut journals = BTreeMap::new();
        let mut journaled = Coverage::default();
        for stream in claim::streams(work.root)? {
            let read = read_journals(work, store, stream)?;
            let committed = evidence.streams.get(&stream).map_or(Seq(0), |known| known.committed);
            for frame in read.iter().flat_map(JournalRead::frames).filter(|frame| frame.seq > committed) {
                journaled.insert(stream, frame.seq);
            }
            journals.insert(stream, read);
        }
        Ok(Self {
            store,
            accepted: Vec::new(),
            gone: Vec::new(),
            journals,
            journaled,
            replaced: Coverage::default(),
            replaced_bytes: PerKind::default(),
            replaced_facts: PerKind::default(),
            imported: Vec::new(),
            lost: Vec::new(),
            unverified: Vec::new(),
            unverified_facts: Vec::new(),
            unknown: std::mem::take(&mut evidence.unknown),
        })
    }

    /// Places of accepted facts that may also be in a segment of this kind and these ranges.
    fn accepted_places(&self, work: &Work<'_>, kind: Kind, ranges: &[StreamRange]) -> Result<Coverage> {
        let mut taken = Coverage::default();
        for other in self
            .accepted
            .iter()
            .filter(|other| other.kind == kind && StreamRange::any_touch(&other.streams, ranges))
        {
            places(&work.root.join(&other.path), kind, &mut taken)?;
        }
        Ok(taken)
    }

    /// Accepts the segments that readable commits name, the newest first: a segment that a later
    /// compaction merged is not live, even if the commit that says so cannot be read.
    pub(super) fn take_live(&mut self, work: &Work<'_>, evidence: &Evidence) -> Result<()> {
        for segment in evidence.live.iter().rev() {
            let place = work.root.join(&segment.path);
            if !is_file(&place)? {
                self.gone.push(segment.clone());
                continue;
            }
            let taken = self.accepted_places(work, segment.kind, &segment.streams)?;
            if taken.is_empty() {
                self.accepted.push(segment.clone());
                continue;
            }
            let mut own = Coverage::default();
            places(&place, segment.kind, &mut own)?;
            let doubled = own.ranges().iter().any(|range| !taken.within(*range).is_empty());
            if !doubled {
                self.accepted.push(segment.clone());
                continue;
            }
            let Some(wreck) = DamagedSegment::by_footer(&place, segment.kind)? else { continue };
            let mut gate = Gate::new(segment.kind, &segment.streams, Some(segment.recorded_at), &taken);
            let heirs =
                write_passed(work, self.store, &wreck, &mut gate, |stream| covered_range(segment, stream))?;
            if !heirs.is_empty() {
                let facts: u64 = heirs.iter().map(|heir| heir.rows).sum();
                self.unknown.push(format!(
                    "whether {facts} facts of {} had been dropped by retention, which are live again",
                    segment.path
                ));
            }
            self.accepted.extend(heirs);
        }
        Ok(())
    }

    /// Takes facts of segments that no readable commit names, if they are nowhere else.
    pub(super) fn take_unknown(&mut self, work: &mut Work<'_>, evidence: &Evidence) -> Result<()> {
        let named: std::collections::BTreeSet<&str> =
            evidence.live.iter().map(|segment| segment.path.as_str()).collect();
        let mut found = Vec::new();
        for path in segment_files(work)? {
            if named.contains(path.as_str()) || evidence.removed.contains_key(&path) {
                continue;
            }
            let place = work.root.join(&path);
            if segment::is_imported(&place) && is_file(&segment::unconfirmed(&place))? {
                // Its facts were never reported as imported: a new import adds them, and they would be
                // doubled.
                continue;
            }
            let Some(wreck) = adoptable(work.root, &path, self.store)? else { continue };
            found.push((wreck.label().part(), wreck.rows(), path, wreck));
        }
        // The largest first: the others may have been merged into it. Recorded facts have no other
        // source, and come before imported ones.
        found.sort_by_cached_key(|(part, rows, path, _)| (part.clone(), Reverse(*rows), path.clone()));
        for (_, rows, path, wreck) in found {
            self.take_candidate(work, evidence, rows, &path, &wreck)?;
        }
        Ok(())
    }

    fn take_candidate(
        &mut self,
        work: &Work<'_>,
        evidence: &Evidence,
        rows: u64,
        path: &str,
        wreck: &DamagedSegment,
    ) -> Result<()> {
        let kind = wreck.kind();
        let mut own = Coverage::default();
        places(&work.root.join(path), kind, &mut own)?;
        let ranges = own.ranges();
        let imported = Imported::of(wreck)?;
        // A known flush has named its segments. So another segment with these facts is debris, unless an
        // unknown compaction made it to replace missing segments.
        let mut open: Vec<StreamRange> =
            ranges.iter().flat_map(|range| evidence.flushed.gaps(*range)).collect();
        let gone: Vec<StreamRange> = self
            .gone
            .iter()
            .filter(|segment| segment.kind == kind)
            .flat_map(|segment| segment.streams.iter().copied())
            .collect();
        open.extend_from_slice(&gone);
        let mut taken = self.accepted_places(work, kind, &ranges)?;
        for range in ranges.iter().flat_map(|range| self.journaled.within(*range)) {
            taken.add(range.stream, range.first_seq, range.last_seq);
        }
        let mut gate = Gate::new(kind, &open, None, &taken);
        let mut passed = 0;
        wreck.read(&mut |batch| {
            passed += gate.pass(batch)?.iter().map(|(_, rows)| rows.batch.num_rows() as u64).sum::<u64>();
            Ok(())
        })?;
        // Also if other segments have all its facts: it shows how far its input is in the store.
        self.imported.extend(imported.clone());
        if passed == 0 {
            return Ok(());
        }
        match &imported {
            Some(imported) if self.gives_way(work, evidence, imported)? => return Ok(()),
            Some(_) => {}
            // A segment of a compaction does not show where its facts come from.
            None => self.note(MERGED_IMPORTS),
        }
        let whole = passed == rows;
        let heirs = match FileState::at(&work.root.join(path))? {
            FileState::File { bytes, blake3: Some(blake3) } if whole => {
                describe(wreck, path, bytes, &blake3)?.into_iter().collect()
            }
            _ => {
                let mut gate = Gate::new(kind, &open, None, &taken);
                let range = |stream| StreamRange {
                    stream,
                    first_seq: Seq(1),
                    last_seq: own.last(stream).unwrap_or(Seq(1)),
                };
                write_passed(work, self.store, wreck, &mut gate, range)?
            }
        };
        for range in gate.passed.ranges() {
            for part in gone.iter().filter(|gone| gone.stream == range.stream) {
                let (first, last) = (range.first_seq.max(part.first_seq), range.last_seq.min(part.last_seq));
                self.replaced.add(range.stream, first, last);
                if first <= last {
                    self.replaced_facts[kind] += last.0 + 1 - first.0;
                }
            }
        }
        self.replaced_bytes[kind] += heirs.iter().map(|heir: &Segment| heir.fact_bytes).sum::<u64>();
        let facts = heirs.iter().map(|heir| heir.rows).sum();
        let within = gate.passed.ranges();
        self.unverified_facts.push(UnverifiedFacts {
            path: path.to_owned(),
            kind,
            facts,
            spans: spans(&within),
        });
        self.unverified.push(Unverified { kind, facts, within });
        self.accepted.extend(heirs);
        Ok(())
    }

    fn note(&mut self, unknown: &str) {
        if !self.unknown.iter().any(|known| known == unknown) {
            self.unknown.push(unknown.to_owned());
        }
    }

    /// Puts the results together.
    pub(super) fn conclude(mut self, work: &Work<'_>, evidence: Evidence) -> Result<Rebuilt> {
        if self.accepted.iter().any(|segment| self.may_be_imported(work, &evidence, segment)) {
            self.note(MERGED_IMPORTS);
        }
        let mut streams = evidence.streams.clone();
        for segment in &self.accepted {
            for range in &segment.streams {
                let stream = streams.entry(range.stream).or_insert(Stream {
                    committed: Seq(0),
                    last_recorded_at: UnixNanos::default(),
                    ended: true,
                });
                stream.committed = stream.committed.max(range.last_seq);
                stream.last_recorded_at = stream.last_recorded_at.max(segment.recorded_at.max);
            }
        }
        // The numbers of missing facts must not be given out again, either.
        let removed = evidence.removed.values().filter_map(|removed| removed.proof.as_ref());
        let lossy = evidence.lossy_repairs.iter().map(|repair| &repair.segment.streams);
        for range in removed.map(|proof| &proof.streams).chain(lossy).flatten() {
            let unknown = Stream { committed: Seq(0), last_recorded_at: UnixNanos::default(), ended: true };
            let stream = streams.entry(range.stream).or_insert(unknown);
            stream.committed = stream.committed.max(range.last_seq);
        }
        for (id, stream) in &mut streams {
            // Missing commits may have given out more of its numbers.
            stream.ended = true;
            let known = evidence.streams.get(id).map_or(Seq(0), |known| known.committed);
            let heirs = self.out_of_journal(work, *id, known, stream.committed)?;
            self.accepted.extend(heirs);
        }
        self.accepted.sort_by_key(|segment| segment.recorded_at.max);
        let mut lost = evidence.lost;
        lost.append(&mut self.lost);
        let mut unverified = evidence.unverified;
        unverified.append(&mut self.unverified);
        let mut lost_numbers = evidence.lost_numbers;
        for segment in &self.accepted {
            let place = work.root.join(&segment.path);
            if segment.streams.iter().any(|range| lost_numbers.has_some_of(range.stream)) && is_file(&place)?
            {
                let mut live = Coverage::default();
                places(&place, segment.kind, &mut live)?;
                for range in live.ranges() {
                    lost_numbers.remove(range);
                }
            }
        }
        let mut inputs = Inputs::default();
        for imported in &self.imported {
            inputs.add(&imported.label, &self.of_import(work, imported)?.ranges());
        }
        let mut imports = evidence.imports;
        imports.extend(inputs.reached(&imports));
        self.unknown.extend(inputs.with_gaps().iter().map(|input| import_positions::has_gaps(input)));
        Ok(Rebuilt {
            add: self.accepted,
            streams: streams.into_iter().collect(),
            dropped: evidence.dropped,
            lost,
            unverified,
            holds: evidence.holds,
            imports,
            removed: evidence.removed.into_values().collect(),
            lossy_repairs: evidence.lossy_repairs,
            lost_numbers: lost_numbers.ranges(),
            unknown: self.unknown,
        })
    }

    /// Facts of a journal with lower numbers than facts in segments: the ledger will cover their numbers,
    /// so they must be in segments, too.
    fn out_of_journal(
        &self,
        work: &Work<'_>,
        stream: StreamId,
        known: Seq,
        committed: Seq,
    ) -> Result<Vec<Segment>> {
        let mut frames: BTreeMap<Seq, &[u8]> = BTreeMap::new();
        for frame in self.journals.get(&stream).into_iter().flatten().flat_map(JournalRead::frames) {
            if frame.seq > known && frame.seq <= committed {
                frames.entry(frame.seq).or_insert(frame.raw);
            }
        }
        if let (Some((first, _)), Some((last, _))) = (frames.first_key_value(), frames.last_key_value()) {
            // An unknown flush may have put some of them into segments.
            let range = [StreamRange { stream, first_seq: *first, last_seq: *last }];
            for kind in Kind::ALL {
                let live = self.accepted_places(work, kind, &range)?;
                frames.retain(|seq, _| !live.contains(stream, *seq));
            }
        }
        let mut buffer = Buffer::new(stream);
        for (seq, raw) in &frames {
            buffer.push(*seq, raw);
        }
        let chunks = buffer.seal();
        let range = StreamRange { stream, first_seq: known.next(), last_seq: committed };
        segment::write_all(work.disk, work.root, self.store, range, Origin::Store, |kind| {
            Box::new(chunks.iter().filter_map(move |chunk| chunk.rows(kind)))
        })
    }
}
