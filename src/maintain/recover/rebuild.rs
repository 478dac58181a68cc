//! A ledger that is beyond help begins again, from all that is left.
//!
//! 1. Every stream is claimed: a ledger is rebuilt when nobody writes.
//! 2. What the readable commits and checkpoints say is put together ([`evidence`](super::evidence)).
//! 3. Segments that they name and that are there are live. Segments that nobody names may be what
//!    the unreadable commits added. Their facts count if they are nowhere else: neither in a live
//!    segment, row by row, nor in a journal, nor covered by a flush that is known. What a readable
//!    commit has removed does not come back.
//! 4. A commit says all this, under the number behind the highest one. What could not be known is
//!    in it, in words.
//! 5. The old commits and checkpoints are moved aside; now the ledger begins with the new commit.
//!
//! Killed before 4, nothing has happened but that some files were written, whose facts are then
//! found twice and counted once. Killed before 5 is done, the ledger is still broken, its newest
//! commit tells how it goes on, and recovering again does the rest of 5.
//!
//! Live segments that are damaged or gone are left for the repair that follows, which knows how
//! to account for them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::coverage::Coverage;
use super::describe::describe;
use super::evidence::{Evidence, Files};
use super::file::Found;
use super::gate::Gate;
use super::inputs::{self, Brought};
use super::report::spans;
use super::segments::{places, write_passed};
use super::streams::{JournalRead, adoptable, read_journals};
use super::wreck::Wreck;
use super::{LostFacts, UnverifiedFacts, Work, segments};
use crate::buffer::Buffer;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, Seq, StreamId, UnixNanos};
use crate::journal::claim::{self, Claim};
use crate::journal::frame::FileHeader;
use crate::ledger::{
    Commit, CommitNumber, Ledger, Lost, Rebuilt, Segment, State, StoreId, Stream, StreamRange, Total,
    Unverified,
};
use crate::segment::{self, Origin};

/// Makes a new ledger.
pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    let folder = work.root.join("ledger");
    let _claims = claim_all(work)?;
    let mut evidence = Evidence::gather(&folder)?;
    let Some(store) = evidence.store.or_else(|| store_of_files(work)) else {
        let why = format!("{} has nothing left that says whose facts they are", work.root.display());
        return Err(Error::new(ErrorKind::Damaged, why));
    };
    let number = match evidence.highest {
        None => CommitNumber(1),
        Some(highest) => highest.0.checked_add(1).map(CommitNumber).ok_or_else(|| {
            Error::new(ErrorKind::Damaged, format!("there is no number behind commit {highest}"))
        })?,
    };
    let unaccounted = evidence.unaccounted;
    let mut inquiry = Inquiry::begin(work, store, &mut evidence)?;
    inquiry.take_live(work, &evidence)?;
    inquiry.take_unknown(work, &evidence)?;
    inquiry.settle_gone();
    work.report.unverified.append(&mut inquiry.told);
    let mut rebuilt = inquiry.conclude(work, evidence)?;
    work.report.notes.extend(rebuilt.unknown.iter().map(|what| format!("not known: {what}")));
    balance(&mut rebuilt);
    let commit = Commit::again(store, number, rebuilt);
    let state = State::begin(&commit, String::new())
        .map_err(|why| Error::new(ErrorKind::Damaged, format!("the ledger cannot be rebuilt: {why}")))?;
    if !Ledger::begin_again(work.disk, work.root, &commit)? {
        let raced = format!("another process has published commit {number}; try again");
        return Err(Error::new(ErrorKind::Contended, raced));
    }
    let facts = state.unaccounted.saturating_sub(unaccounted);
    if facts > 0 {
        // Numbers of streams that nothing readable has: not even their kinds are known.
        let path = "ledger".to_owned();
        work.report.lost.push(LostFacts { path, kind: None, facts, bytes: None, spans: Vec::new() });
    }
    finish(work, number)
}

/// Moves aside what came before the commit with which the ledger begins again.
pub(super) fn finish(work: &mut Work<'_>, number: CommitNumber) -> Result<()> {
    let folder = work.root.join("ledger");
    // The commit may have been published by somebody who did not live to sync its name.
    work.disk.sync_dir(&folder).map_err(|error| Error::io("sync", &folder, error))?;
    let files = Files::list(&folder)?;
    let commits = files.commits.range(..number).map(|n| format!("{:020}.json", n.0));
    let checkpoints = files.checkpoints.range(..=number).map(|n| format!("{:020}.checkpoint", n.0));
    let paths: Vec<PathBuf> = commits.chain(checkpoints).map(|name| folder.join(name)).collect();
    let moved = work.aside.take_all(&folder, &paths)?;
    work.report.quarantined_files.extend(moved);
    work.repaired("ledger");
    Ok(())
}

/// Claims every stream, so that nothing is recorded or flushed meanwhile.
fn claim_all(work: &Work<'_>) -> Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for stream in claim::streams(work.root)? {
        match claim::try_claim(work.disk, work.root, stream)? {
            Some(claim) => claims.push(claim),
            None => {
                return Err(Error::new(
                    ErrorKind::Contended,
                    format!(
                        "a process has {} open for writing (stream {stream}); a ledger is rebuilt when nobody writes: end it, and try again",
                        work.root.display()
                    ),
                ));
            }
        }
    }
    Ok(claims)
}

/// Whose files these are, by what they say themselves.
fn store_of_files(work: &Work<'_>) -> Option<StoreId> {
    let mut votes: BTreeMap<String, u64> = BTreeMap::new();
    for path in segment_files(work).ok()? {
        let kind = Kind::ALL.into_iter().find(|kind| path.starts_with(kind.table()))?;
        let label = Wreck::by_footer(&work.root.join(&path), kind).map(|wreck| wreck.label());
        if let Some(store) = label.and_then(|label| label.store) {
            *votes.entry(store).or_default() += 1;
        }
    }
    for stream in claim::streams(work.root).ok()? {
        for file in claim::files(&claim::folder(work.root, stream)).ok()? {
            let is_file = std::fs::symlink_metadata(&file.path).is_ok_and(|found| found.is_file());
            let bytes = if is_file { std::fs::read(&file.path).unwrap_or_default() } else { Vec::new() };
            if let Ok(header) = FileHeader::decode(&bytes) {
                *votes.entry(header.store.to_string()).or_default() += 1;
            }
        }
    }
    let (store, _) = votes.into_iter().max_by_key(|(_, votes)| *votes)?;
    StoreId::try_from(store).ok()
}

/// All files that may be segments, below the root.
fn segment_files(work: &Work<'_>) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for kind in Kind::ALL {
        let folder = work.root.join(kind.table());
        let attempt = |error| Error::io("list the segments in", &folder, error);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(attempt(error)),
        };
        for entry in entries {
            let entry = entry.map_err(attempt)?;
            let name = entry.file_name();
            if let Some(name) = name.to_str().filter(|name| name.ends_with(".parquet"))
                && entry.metadata().is_ok_and(|found| found.is_file())
            {
                paths.push(format!("{}/{name}", kind.table()));
            }
        }
    }
    paths.sort();
    Ok(paths)
}

/// What is being found out.
struct Inquiry {
    store: StoreId,
    accepted: Vec<Segment>,
    /// Named by commits, and not there.
    gone: Vec<Segment>,
    journals: BTreeMap<StreamId, Vec<JournalRead>>,
    /// Facts in journals that no known flush covers.
    journaled: Coverage,
    /// Facts that were taken from segments nobody names, in place of others that are gone.
    replaced: Coverage,
    replaced_bytes: [u64; 3],
    replaced_facts: [u64; 3],
    /// Parts of inputs that were taken, and the places of all that was.
    brought: Vec<Brought>,
    taken: Coverage,
    lost: Vec<Lost>,
    unverified: Vec<Unverified>,
    /// The same, for the report.
    told: Vec<UnverifiedFacts>,
    unknown: Vec<String>,
}

impl Inquiry {
    fn begin(work: &Work<'_>, store: StoreId, evidence: &mut Evidence) -> Result<Self> {
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
            replaced_bytes: [0; 3],
            replaced_facts: [0; 3],
            brought: Vec::new(),
            taken: Coverage::default(),
            lost: Vec::new(),
            unverified: Vec::new(),
            told: Vec::new(),
            unknown: std::mem::take(&mut evidence.unknown),
        })
    }

    /// Places of accepted facts that are, perhaps, also in a segment of this kind and these ranges.
    fn accepted_places(&self, work: &Work<'_>, kind: Kind, ranges: &[StreamRange]) -> Result<Coverage> {
        let mut taken = Coverage::default();
        for other in self.accepted.iter().filter(|other| other.kind == kind && touch(&other.streams, ranges))
        {
            places(&work.root.join(&other.path), kind, &mut taken)?;
        }
        Ok(taken)
    }

    /// Takes the segments that readable commits name, the newest first: one that a later compaction
    /// has merged is not live, even if the commit that says so cannot be read.
    fn take_live(&mut self, work: &Work<'_>, evidence: &Evidence) -> Result<()> {
        for segment in evidence.live.iter().rev() {
            let place = work.root.join(&segment.path);
            if !std::fs::symlink_metadata(&place).is_ok_and(|found| found.is_file()) {
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
            let Some(wreck) = Wreck::by_footer(&place, segment.kind) else { continue };
            let mut gate = Gate::new(segment.kind, &segment.streams, Some(segment.recorded_at), &taken);
            let heirs = write_passed(work, self.store, &wreck, &mut gate, |stream| {
                segments::covered_range(segment, stream)
            })?;
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
    fn take_unknown(&mut self, work: &mut Work<'_>, evidence: &Evidence) -> Result<()> {
        let named: std::collections::BTreeSet<&str> =
            evidence.live.iter().map(|segment| segment.path.as_str()).collect();
        let mut found = Vec::new();
        for path in segment_files(work)? {
            if named.contains(path.as_str()) || evidence.removed.contains(&path) {
                continue;
            }
            let Some(wreck) = adoptable(work.root, &path, self.store) else { continue };
            found.push((wreck.rows(), path, wreck));
        }
        // The largest first: it may be what the others were merged into.
        found.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        for (rows, path, wreck) in found {
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
        wreck: &Wreck,
    ) -> Result<()> {
        let kind = wreck.kind();
        let mut own = Coverage::default();
        places(&work.root.join(path), kind, &mut own)?;
        let ranges = own.ranges();
        // A flush that is known has named its segments: another one of these facts is litter, but
        // for what a compaction that is not known has put in the place of segments that are gone.
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
        if passed == 0 {
            return Ok(());
        }
        let whole = passed == rows;
        let heirs = match Found::at(&work.root.join(path))? {
            Found::File { bytes, blake3: Some(blake3) } if whole => {
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
                if let Some(facts) = self.replaced_facts.get_mut(kind.index()).filter(|_| first <= last) {
                    *facts += last.0 + 1 - first.0;
                }
            }
        }
        if let Some(bytes) = self.replaced_bytes.get_mut(kind.index()) {
            *bytes += heirs.iter().map(|heir: &Segment| heir.fact_bytes).sum::<u64>();
        }
        let facts = heirs.iter().map(|heir| heir.rows).sum();
        let within = gate.passed.ranges();
        within.iter().for_each(|range| self.taken.add(range.stream, range.first_seq, range.last_seq));
        self.brought.extend(Brought::of(wreck.label()));
        self.told.push(UnverifiedFacts { path: path.to_owned(), kind, facts, spans: spans(&within) });
        self.unverified.push(Unverified { kind, facts, within });
        self.accepted.extend(heirs);
        Ok(())
    }

    /// Segments that are gone, and in whose place others were found: what is in none of these was
    /// dropped or lost. Others that are gone stay named, for the repair that follows.
    fn settle_gone(&mut self) {
        for kind in Kind::ALL {
            let at = kind.index();
            let replaced = |segment: &Segment| {
                segment.kind == kind
                    && segment.streams.iter().any(|range| !self.replaced.within(*range).is_empty())
            };
            let (merged, gone): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.gone).into_iter().partition(replaced);
            self.gone = gone;
            if merged.is_empty() {
                continue;
            }
            let before = merged.iter().fold(Total::default(), |total, segment| Total {
                facts: total.facts + segment.rows,
                bytes: total.bytes + segment.fact_bytes,
            });
            let found = self.replaced_facts.get(at).copied().unwrap_or_default();
            let bytes = self.replaced_bytes.get(at).copied().unwrap_or_default();
            let total = Total {
                facts: before.facts.saturating_sub(found),
                bytes: before.bytes.saturating_sub(bytes),
            };
            if total.facts > 0 {
                self.unknown.push(format!(
                    "whether {} {kind} of segments that are gone were lost, or dropped by retention",
                    total.facts
                ));
                let within = merged.iter().flat_map(|segment| segment.streams.iter().copied()).collect();
                self.lost.push(Lost { kind, total, within });
            }
        }
        self.accepted.append(&mut self.gone);
    }

    /// All together.
    fn conclude(mut self, work: &Work<'_>, evidence: Evidence) -> Result<Rebuilt> {
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
        for (id, stream) in &mut streams {
            // Commits that are gone may have given out more of its numbers.
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
        let mut imports = evidence.imports;
        imports.extend(inputs::reached(self.brought, &self.taken, |input| {
            let of_input = imports.iter().filter(|mark| mark.head_blake3 == input.head_blake3);
            of_input.map(|mark| mark.bytes).max()
        }));
        Ok(Rebuilt {
            add: self.accepted,
            streams: streams.into_iter().collect(),
            dropped: evidence.dropped,
            lost,
            unverified,
            holds: evidence.holds,
            imports,
            unknown: self.unknown,
        })
    }

    /// Facts of a journal that lie before others that are in segments: the ledger will cover their
    /// numbers, so they must be in segments, too.
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

fn touch(one: &[StreamRange], other: &[StreamRange]) -> bool {
    one.iter().any(|one| {
        other.iter().any(|other| {
            one.stream == other.stream && one.first_seq <= other.last_seq && other.first_seq <= one.last_seq
        })
    })
}

/// What was dropped or lost may be live again, since the commit that removed it is not known. No
/// more facts are told of than there were numbers for.
fn balance(rebuilt: &mut Rebuilt) {
    let covered: u64 = rebuilt.streams.iter().map(|(_, stream)| stream.committed.0).sum();
    let live: u64 = rebuilt.add.iter().map(|segment| segment.rows).sum();
    let mut room = covered.saturating_sub(live);
    let totals = rebuilt.dropped.iter_mut().map(|dropped| &mut dropped.total);
    let mut cut = 0;
    for total in totals.chain(rebuilt.lost.iter_mut().map(|lost| &mut lost.total)) {
        let kept = total.facts.min(room);
        if kept < total.facts {
            cut += total.facts - kept;
            total.bytes = if kept == 0 { 0 } else { total.bytes };
            total.facts = kept;
        }
        room -= kept;
    }
    if cut > 0 {
        rebuilt.unknown.push(format!("which of {cut} facts that were dropped or lost are live again"));
    }
    rebuilt.dropped.retain(|dropped| dropped.total.facts > 0);
    rebuilt.lost.retain(|lost| lost.total.facts > 0);
}
