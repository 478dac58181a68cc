//! The rules for a commit that follows another, and the changes that it makes.
//!
//! A ledger is a balance sheet. A commit that does not add up is refused, whichever program wrote it:
//!
//! - a flush or a salvage covers the next numbers of one stream, after those that were covered before;
//!   for each number it has a row, or says that the fact is lost;
//! - a commit that restores facts has a row for each of their numbers, which were unaccounted for before;
//! - a compaction or a repair removes live segments, and every fact in them is in a segment that it adds,
//!   or was dropped by a named rule, or is lost.
//!
//! So at every commit, of each kind, *recorded = live + dropped + lost*; and over all kinds and
//! streams, *numbers given out and covered = recorded + unaccounted* ([`State::imbalance`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::action::{Action, Dropped, Lost, Rebuilt};
use super::commit::{Commit, CommitNumber, ImportMark, Segment, StreamRange};
use super::state::{Head, State, Stream, Tombstone, Total};
use crate::fact::{Kind, PerKind, UnixNanos};

/// The number of newest imports whose marks keep the digests of all first lines: it makes a mark ten
/// times as long.
const MARKS_WITH_LINES: usize = 1000;
/// The length that older marks keep of [`ImportMark::head_lines`]: the digests of 16 lines, which are
/// enough to see that an input may be known.
const OLD_MARK_DIGITS: usize = 16 * 8;

impl State {
    /// The state after the first commit of a ledger.
    pub(crate) fn begin(commit: &Commit, digest: String) -> Result<Self, String> {
        let mut state = Self {
            store: commit.store,
            root: commit.number,
            head: Head { number: commit.number, blake3: digest },
            at: commit.at,
            segments: PerKind::default(),
            streams: BTreeMap::new(),
            recorded: PerKind::default(),
            dropped: BTreeMap::new(),
            lost: PerKind::default(),
            unaccounted: 0,
            unverified: Vec::new(),
            compacted_at: UnixNanos::default(),
            holds: BTreeMap::new(),
            removed: Vec::new(),
            imports: Vec::new(),
        };
        match &commit.action {
            Action::Create if commit.number == CommitNumber(0) && commit.parent.is_empty() => {}
            Action::Rebuild(rebuilt) if commit.parent.is_empty() => state.rebuild(rebuilt)?,
            _ => return Err("it is not the first commit of a ledger".to_owned()),
        }
        Ok(state)
    }

    /// Whether a commit names this state as the one before it. Its action must still add up.
    pub(crate) fn precedes(&self, commit: &Commit) -> bool {
        commit.store == self.store
            && commit.number == self.head.number.next()
            && commit.parent == self.head.blake3
    }

    /// Applies a commit. An error says why the commit cannot follow; then the state must not be used any
    /// more.
    pub(crate) fn apply(&mut self, commit: &Commit, digest: String) -> Result<(), String> {
        if commit.store != self.store {
            return Err(format!("it belongs to store {}, not {}", commit.store, self.store));
        }
        if commit.number != self.head.number.next() {
            return Err(format!("it calls itself commit {}", commit.number));
        }
        if commit.parent != self.head.blake3 {
            return Err(format!(
                "the commit before it has digest {}, and it names {}",
                self.head.blake3, commit.parent
            ));
        }
        match &commit.action {
            Action::Create | Action::Rebuild(_) => {
                return Err("it creates the store a second time".to_owned());
            }
            Action::Flush { range, last_recorded_at, ends_stream, import, add } => {
                self.cover(*range, add, &[], *last_recorded_at, *ends_stream)?;
                self.note_imports(import);
            }
            Action::Salvage { range, last_recorded_at, ends_stream, add, lost, imports, unverified } => {
                self.cover(*range, add, lost, *last_recorded_at, *ends_stream)?;
                self.note_imports(imports);
                self.unverified.extend_from_slice(unverified);
            }
            Action::Compact { remove, add, dropped, swept } => {
                if *swept > self.head.number {
                    return Err(format!("it says that files removed by commit {swept} are gone"));
                }
                self.removed.retain(|tombstone| tombstone.by > *swept);
                let gone = by_kind(dropped.iter().map(|dropped| (dropped.kind, dropped.total)))?;
                self.replace(commit.number, remove, add, gone, PerKind::default())?;
                self.count_dropped(dropped)?;
                self.compacted_at = commit.at;
            }
            Action::Repair { remove, add, lost, found, proven, unverified } => {
                let gone = by_kind(lost.iter().map(|lost| (lost.kind, lost.total)))?;
                let back = by_kind(found.iter().map(|found| (found.kind, found.total)))?;
                self.replace(commit.number, remove, add, gone, back)?;
                self.count_lost(lost)?;
                self.count_found(back)?;
                self.unverified.retain(|known| !proven.contains(known));
                self.unverified.extend_from_slice(unverified);
            }
            Action::Restore { numbers, add } => self.restore(numbers, add)?,
            Action::Hold { name, hold } => {
                if self.holds.insert(name.clone(), hold.clone()).is_some() {
                    return Err(format!("a hold {name:?} exists already"));
                }
            }
            Action::Release { name, .. } => {
                if self.holds.remove(name).is_none() {
                    return Err(format!("no hold {name:?} exists"));
                }
            }
        }
        self.head = Head { number: commit.number, blake3: digest };
        self.at = commit.at;
        Ok(())
    }

    /// Checks whether the numbers add up. If not, returns the difference.
    pub(crate) fn imbalance(&self) -> Option<String> {
        for kind in Kind::ALL {
            let (live, lost) = (self.live(kind), self.lost[kind]);
            let dropped =
                self.dropped.values().map(|totals| totals[kind]).try_fold(Total::default(), Total::plus);
            let accounted = dropped.and_then(|dropped| live.plus(dropped)?.plus(lost));
            let recorded = self.recorded[kind];
            if accounted != Some(recorded) {
                return Some(format!(
                    "of {} {} recorded, {} are live, {} dropped and {} lost",
                    recorded.facts,
                    kind.table(),
                    live.facts,
                    dropped.map_or(u64::MAX, |dropped| dropped.facts),
                    lost.facts
                ));
            }
        }
        let covered = sum(self.streams.values().map(|stream| stream.committed.0));
        let recorded = sum(self.recorded.iter().map(|total| total.facts).chain([self.unaccounted]));
        (covered != recorded || covered.is_none())
            .then(|| format!("the streams' numbers come to {covered:?} facts, and the facts to {recorded:?}"))
    }

    /// Covers the next range of a stream.
    fn cover(
        &mut self,
        range: StreamRange,
        add: &[Segment],
        lost: &[StreamRange],
        last_recorded_at: UnixNanos,
        ended: bool,
    ) -> Result<(), String> {
        let before = self.committed(range.stream);
        // A stream may end without further facts: then its range is empty.
        let Some(facts) = range.facts().filter(|_| range.first_seq == before.next()) else {
            return Err(format!(
                "it covers facts {} to {} of stream {}, which is at {before}",
                range.first_seq, range.last_seq, range.stream
            ));
        };
        let within = |part: &StreamRange| {
            part.stream == range.stream
                && part.first_seq >= range.first_seq
                && part.last_seq <= range.last_seq
        };
        let missing = sum(lost.iter().map(|part| part.facts().filter(|_| within(part)).unwrap_or(u64::MAX)));
        let rows = sum(add.iter().map(|segment| segment.rows));
        if missing.zip(rows).and_then(|(missing, rows)| missing.checked_add(rows)) != Some(facts) {
            return Err(format!("it covers {facts} facts, but its segments have other rows"));
        }
        for segment in add {
            self.count_recorded(segment.kind, Total::of(segment))?;
        }
        self.add_segments(add)?;
        self.unaccounted = self.unaccounted.saturating_add(missing.unwrap_or_default());
        // Later flushes from the journal of an ended stream do not begin it again.
        let ended = ended || self.streams.get(&range.stream).is_some_and(|stream| stream.ended);
        self.streams.insert(range.stream, Stream { committed: range.last_seq, last_recorded_at, ended });
        Ok(())
    }

    /// Adds facts whose numbers were unaccounted for.
    fn restore(&mut self, numbers: &[StreamRange], add: &[Segment]) -> Result<(), String> {
        let facts = sum(numbers.iter().map(|range| range.facts().unwrap_or(u64::MAX)));
        let rows = sum(add.iter().map(|segment| segment.rows));
        let rest = facts.filter(|_| facts == rows).and_then(|facts| self.unaccounted.checked_sub(facts));
        self.unaccounted = rest.ok_or("it restores other facts than the lost ones")?;
        for segment in add {
            self.count_recorded(segment.kind, Total::of(segment))?;
        }
        self.add_segments(add)
    }

    /// Replaces live segments by others. `gone` counts the facts that only the removed segments have, by
    /// kind, and `back` the facts that only the added segments have.
    fn replace(
        &mut self,
        number: CommitNumber,
        remove: &[Segment],
        add: &[Segment],
        gone: PerKind<Total>,
        back: PerKind<Total>,
    ) -> Result<(), String> {
        let before = remove.iter().map(|segment| (segment.kind, Total::of(segment)));
        let before = by_kind(before.chain(Kind::ALL.into_iter().zip(back)))?;
        let after = by_kind(add.iter().map(|segment| (segment.kind, Total::of(segment))))?;
        for ((kind, before), (after, gone)) in
            Kind::ALL.into_iter().zip(before).zip(after.into_iter().zip(gone))
        {
            if after.plus(gone) != Some(before) {
                return Err(format!(
                    "it removes or restores {} {} ({} bytes), but accounts for {} and {} ({} and {} bytes)",
                    before.facts,
                    kind.table(),
                    before.bytes,
                    after.facts,
                    gone.facts,
                    after.bytes,
                    gone.bytes
                ));
            }
        }
        let mut leaving: HashMap<&str, &Segment> =
            remove.iter().map(|segment| (segment.path.as_str(), segment)).collect();
        if leaving.len() != remove.len() {
            return Err("it removes a segment twice".to_owned());
        }
        for live in &mut self.segments {
            live.retain(|segment| {
                let path = segment.path.as_str();
                let leaves = leaving.get(path).is_some_and(|leaving| **leaving == **segment);
                if leaves {
                    leaving.remove(path);
                }
                !leaves
            });
        }
        if let Some(path) = leaving.keys().next() {
            return Err(format!("it removes {path}, which is not live"));
        }
        self.removed.extend(remove.iter().map(|segment| Tombstone {
            path: segment.path.clone(),
            bytes: segment.bytes,
            by: number,
        }));
        self.add_segments(add)
    }

    fn rebuild(&mut self, rebuilt: &Rebuilt) -> Result<(), String> {
        self.streams.extend(rebuilt.streams.iter().copied());
        if self.streams.len() != rebuilt.streams.len() {
            return Err("it names a stream twice".to_owned());
        }
        self.holds.clone_from(&rebuilt.holds);
        self.imports.clone_from(&rebuilt.imports);
        self.unverified.clone_from(&rebuilt.unverified);
        self.removed = rebuilt.removed.iter().map(Tombstone::of).collect();
        if let Some(path) = self.path_out_of_place() {
            return Err(format!("{path:?} is not a valid path of a segment"));
        }
        self.count_dropped(&rebuilt.dropped)?;
        self.count_lost(&rebuilt.lost)?;
        self.add_segments(&rebuilt.add)?;
        let live = rebuilt.add.iter().map(|segment| (segment.kind, Total::of(segment)));
        let dropped = rebuilt.dropped.iter().map(|dropped| (dropped.kind, dropped.total));
        let lost = rebuilt.lost.iter().map(|lost| (lost.kind, lost.total));
        for (kind, total) in live.chain(dropped).chain(lost) {
            self.count_recorded(kind, total)?;
        }
        let covered = sum(self.streams.values().map(|stream| stream.committed.0));
        let recorded = sum(self.recorded.iter().map(|total| total.facts));
        let rest = covered.zip(recorded).and_then(|(covered, recorded)| covered.checked_sub(recorded));
        self.unaccounted = rest.ok_or("it has more facts than its streams gave numbers to")?;
        Ok(())
    }

    /// The mark of a longer part of a file replaces the mark of the shorter part.
    fn note_imports<'a>(&mut self, marks: impl IntoIterator<Item = &'a ImportMark>) {
        for mark in marks {
            if self.imports.iter().any(|known| known.has_entries_of(mark)) {
                continue;
            }
            self.imports.retain(|known| match (&known.entries, &mark.entries) {
                (Some(_), Some(_)) => known.name != mark.name,
                (None, None) => {
                    known.head_blake3 != mark.head_blake3
                        || known.bytes > mark.bytes
                        || known.name != mark.name
                }
                _ => true,
            });
            self.imports.push(mark.clone());
            let old = self.imports.len().checked_sub(MARKS_WITH_LINES + 1);
            if let Some(old) = old.and_then(|at| self.imports.get_mut(at)) {
                shorten(&mut old.head_lines);
            }
        }
    }

    fn add_segments(&mut self, add: &[Segment]) -> Result<(), String> {
        for segment in add {
            if !segment.is_in_place() {
                return Err(format!("{:?} is not a valid path of a segment", segment.path));
            }
            self.segments[segment.kind].push(Arc::new(segment.clone()));
        }
        Ok(())
    }

    fn count_recorded(&mut self, kind: Kind, total: Total) -> Result<(), String> {
        add_to(&mut self.recorded, kind, total)
    }

    fn count_dropped(&mut self, dropped: &[Dropped]) -> Result<(), String> {
        dropped.iter().try_for_each(|dropped| {
            add_to(self.dropped.entry(dropped.rule.clone()).or_default(), dropped.kind, dropped.total)
        })
    }

    fn count_lost(&mut self, lost: &[Lost]) -> Result<(), String> {
        lost.iter().try_for_each(|lost| add_to(&mut self.lost, lost.kind, lost.total))
    }

    fn count_found(&mut self, found: PerKind<Total>) -> Result<(), String> {
        for (lost, found) in self.lost.iter_mut().zip(found) {
            let less = lost.facts.checked_sub(found.facts).zip(lost.bytes.checked_sub(found.bytes));
            let (facts, bytes) = less.ok_or("it restores more facts than were lost")?;
            *lost = Total { facts, bytes };
        }
        Ok(())
    }
}

/// Removes all but the first lines of a mark.
fn shorten(head_lines: &mut Option<String>) {
    let first = head_lines.as_deref().and_then(|lines| lines.get(..OLD_MARK_DIGITS)).map(str::to_owned);
    if first.is_some() {
        *head_lines = first;
    }
}

fn add_to(totals: &mut PerKind<Total>, kind: Kind, more: Total) -> Result<(), String> {
    let total = &mut totals[kind];
    *total = total.plus(more).ok_or("it counts more facts than are possible")?;
    Ok(())
}

fn by_kind(totals: impl Iterator<Item = (Kind, Total)>) -> Result<PerKind<Total>, String> {
    let mut sums = PerKind::default();
    for (kind, total) in totals {
        add_to(&mut sums, kind, total)?;
    }
    Ok(sums)
}

fn sum(mut numbers: impl Iterator<Item = u64>) -> Option<u64> {
    numbers.try_fold(0_u64, u64::checked_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_marks_keep_the_digests_of_their_first_lines() {
        let mut state = State::begin(&Commit::first(), String::new()).unwrap();
        let digests = "0123456789abcdef".repeat(20);
        let mark = |n: usize| ImportMark {
            name: format!("f{n}"),
            head_bytes: 10,
            head_blake3: n.to_string(),
            bytes: 10,
            blake3: n.to_string(),
            lines: 40,
            rejected: 0,
            entries: None,
            head_lines: Some(if n == 1 { "short".to_owned() } else { digests.clone() }),
        };
        for n in 0..MARKS_WITH_LINES + 2 {
            state.note_imports(&[mark(n)]);
        }
        let lines = |at: usize| state.imports[at].head_lines.as_deref().unwrap();
        assert_eq!((lines(0), lines(1)), (&digests[..OLD_MARK_DIGITS], "short"));
        assert_eq!(lines(2), digests);
    }
}
