//! Finds how far inputs were imported, from the segments that remain of their imports.
//!
//! An import's commit says how far into its input it reaches, so that the next import continues from
//! there. If a recovery restores facts whose commit is lost, it must write this mark, too; otherwise
//! importing the input again would double the facts. It may write the mark only if all facts up to that
//! point are in the store. So a part of an input is not restored if other facts have some of its numbers:
//! a new import restores it as a whole. Files of a repair that was killed hold exactly the facts of a
//! part, and do not count as other facts.

use std::collections::BTreeSet;
use std::path::Path;

use super::uncommitted_rows::adoptable;
use crate::error::Result;
use crate::fact::UnixNanos;
use crate::ledger::{EntryId, ImportMark, StoreId, StreamRange, TimeRange};
use crate::maintain::coverage::Coverage;
use crate::maintain::damaged_segment::{DamagedSegment, Label};
use crate::segment::ImportPart;

/// The identity of a part of an input that was imported once: its beginning, the digest of the input up
/// to its end, and the places of its facts. In this order, a part comes after all parts that it follows.
pub(super) type PartKey = (PartBegin, String, Vec<StreamRange>);
type PartBegin = (Option<EntryId>, u64);

impl Label {
    /// The part of an input whose facts the segment holds; `None` if it was not imported.
    pub(super) fn part(&self) -> Option<PartKey> {
        let part = self.import.as_ref()?;
        Some((part.begins(), part.mark.blake3.clone(), self.streams.clone()))
    }
}

/// A segment that an import left.
#[derive(Clone, Debug)]
pub(super) struct Imported {
    pub(super) label: Label,
    /// The time of recording, which all facts of the import share. Their places alone do not identify
    /// them.
    recorded_at: UnixNanos,
}

impl Imported {
    /// Reads the description in a file; `None` if the file is not of an import.
    pub(super) fn of(wreck: &DamagedSegment) -> Result<Option<Self>> {
        let label = wreck.label();
        if label.import.is_none() {
            return Ok(None);
        }
        let mut recorded_at = UnixNanos::default();
        wreck.read_places(&mut |place| recorded_at = place.recorded_at)?;
        Ok(Some(Self { label, recorded_at }))
    }

    /// The input's name.
    pub(super) fn input(&self) -> Option<String> {
        self.label.import.as_ref().map(|part| part.mark.name.clone())
    }

    /// Adds the places of facts of its import that are in this file.
    pub(super) fn find_in(&self, wreck: &DamagedSegment, found: &mut Coverage) -> Result<()> {
        wreck.read_places(&mut |place| {
            if place.recorded_at == self.recorded_at {
                found.insert(place.stream, place.seq);
            }
        })
    }

    /// Whether all facts of a segment with these times belong to this import.
    pub(super) fn made(&self, recorded_at: TimeRange) -> bool {
        recorded_at.min == self.recorded_at && recorded_at.max == self.recorded_at
    }

    /// Whether facts of others have numbers of this part of an input. `taken` are the taken places, and
    /// `same` those of the import's own facts. The part is restored as a whole, or not at all.
    pub(super) fn gives_way(&self, taken: &Coverage, same: &Coverage) -> bool {
        let mut taken = self.label.streams.iter().flat_map(|range| taken.within(*range));
        taken.any(|range| !same.gaps(range).is_empty())
    }
}

/// The beginning of the first part of an input in these segments.
pub(super) fn first_part(root: &Path, segments: &BTreeSet<String>, store: StoreId) -> Option<PartBegin> {
    let wrecks = segments.iter().filter_map(|path| adoptable(root, path, store).ok().flatten());
    wrecks.filter_map(|wreck| wreck.label().import).map(|part| part.begins()).min()
}

/// Parts of inputs that were restored.
#[derive(Debug, Default)]
pub(super) struct Inputs(Vec<Brought>);

/// A part of an input, and the places of its facts that are in the store.
#[derive(Debug)]
struct Brought {
    part: ImportPart,
    key: PartKey,
    saved: Coverage,
}

impl Brought {
    fn is_whole(&self) -> bool {
        let (.., places) = &self.key;
        !places.is_empty() && places.iter().all(|range| self.saved.gaps(*range).is_empty())
    }
}

impl Inputs {
    /// Notes that a segment's facts at these places are in the store.
    pub(super) fn add(&mut self, label: &Label, saved: &[StreamRange]) {
        let Some((part, key)) = label.import.as_ref().zip(label.part()) else { return };
        if let Some(known) = self.0.iter_mut().find(|known| known.key == key) {
            known.saved.add_all(saved);
            return;
        }
        let mut places = Coverage::default();
        places.add_all(saved);
        self.0.push(Brought { part: part.clone(), key, saved: places });
    }

    /// Marks for inputs that are in the store further than these marks say.
    pub(super) fn reached(&self, known: &[ImportMark]) -> Vec<ImportMark> {
        let mut parts: Vec<_> = self.0.iter().filter(|brought| brought.is_whole()).collect();
        parts.sort_by_key(|brought| (brought.part.begins().0, brought.part.mark.bytes));
        let mut marks = known.to_vec();
        for Brought { part, .. } in parts {
            let mark = &part.mark;
            let is_there = |known: &ImportMark| match (&known.entries, &mark.entries) {
                (None, None) => known.head_blake3 == mark.head_blake3 && known.bytes >= mark.bytes,
                _ => known.has_entries_of(mark),
            };
            let is_further = !marks.iter().any(is_there);
            if is_further && part.follows(&marks) {
                marks.push(mark.clone());
            }
        }
        marks.split_off(known.len())
    }

    /// The inputs of parts that were restored with gaps.
    pub(super) fn with_gaps(&self) -> BTreeSet<String> {
        let gaps = self.0.iter().filter(|brought| !brought.is_whole() && !brought.saved.is_empty());
        gaps.map(|brought| brought.part.mark.name.clone()).collect()
    }
}

/// The note about an input of which a part was restored with gaps.
pub(super) fn has_gaps(input: &str) -> String {
    format!(
        "of a part of {input:?} that an import had committed, some facts were restored and others were not; \
         importing the input again restores these, and doubles those"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Seq, StreamId};

    /// A mark of an input with these first bytes and this number of bytes.
    fn mark(head: &str, bytes: u64) -> ImportMark {
        ImportMark {
            name: "papyra.ndjson".to_owned(),
            head_bytes: 10,
            head_blake3: head.to_owned(),
            bytes,
            blake3: bytes.to_string(),
            lines: 1,
            rejected: 0,
            entries: None,
            head_lines: None,
        }
    }

    fn brought(begins: u64, mark: ImportMark, first: u64, last: u64) -> Label {
        let before = Some(begins.to_string());
        let range = StreamRange { stream: StreamId(1), first_seq: Seq(first), last_seq: Seq(last) };
        Label {
            store: None,
            kind: None,
            rows: 0,
            streams: vec![range],
            import: Some(ImportPart { begins, before, again: false, mark }),
        }
    }

    fn reach(parts: &[Label], saved: &[(u64, u64)], known: &[ImportMark]) -> Vec<u64> {
        let range = |(first, last): &(u64, u64)| StreamRange {
            stream: StreamId(1),
            first_seq: Seq(*first),
            last_seq: Seq(*last),
        };
        let saved: Vec<_> = saved.iter().map(range).collect();
        let mut inputs = Inputs::default();
        for label in parts {
            inputs.add(label, &saved);
        }
        inputs.reached(known).into_iter().map(|mark| mark.bytes).collect()
    }

    #[test]
    fn an_input_reaches_as_far_as_its_parts_follow_each_other_and_are_whole() {
        let mark = |bytes| mark("head", bytes);
        let part = |begins, bytes, first, last| brought(begins, mark(bytes), first, last);
        let parts = [part(200, 300, 9, 12), part(0, 100, 1, 4), part(100, 200, 5, 8)];
        let reach = |saved: &[(u64, u64)], known: &[ImportMark]| reach(&parts, saved, known);
        assert_eq!(reach(&[(1, 12)], &[]), [100, 200, 300]);
        assert_eq!(reach(&[(1, 6), (9, 12)], &[]), [100], "facts of the second are not saved");
        assert_eq!(reach(&[(5, 12)], &[]), [0; 0], "those of the first are not");
        assert_eq!(reach(&[(5, 12)], &[mark(100)]), [200, 300], "the ledger has the first");
        assert_eq!(reach(&[(1, 12)], &[mark(300)]), [0; 0], "it has them all");
    }

    #[test]
    fn a_part_follows_by_the_content_before_it_not_by_the_inputs_beginning() {
        let grown = [brought(100, mark("more", 200), 5, 8)];
        assert_eq!(reach(&grown, &[(5, 8)], &[]), [0; 0], "the first is gone");
        assert_eq!(reach(&grown, &[(5, 8)], &[mark("few", 100)]), [200]);
        let other = ImportMark { blake3: "other".to_owned(), ..mark("more", 100) };
        assert_eq!(reach(&grown, &[(5, 8)], &[other]), [0; 0], "another input of that size");
    }

    #[test]
    fn a_part_that_does_not_say_what_came_before_follows_by_its_inputs_beginning() {
        let mut old = brought(100, mark("head", 200), 5, 8);
        let text = serde_json::to_string(old.import.as_ref().unwrap()).unwrap();
        let text = text.replace(r#""before":"100","#, "");
        old.import = ImportPart::parse(&text);
        assert_eq!(old.import.as_ref().map(|part| (&part.before, part.again)), Some((&None, false)));
        assert_eq!(reach(&[old], &[(5, 8)], &[mark("head", 150)]), [200]);
    }
}
