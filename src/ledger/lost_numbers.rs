//! Numbers of facts that salvages of damaged journals gave up as lost.

use std::collections::BTreeMap;

use super::action::Action;
use super::commit::{Commit, StreamRange};
use crate::fact::{Seq, StreamId};

/// Numbers whose facts could not be read when their stream was salvaged. The journal file may be restored
/// later, from a backup. Then these facts can be restored, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LostNumbers(
    /// Ranges of each stream, in their order. No number is in two of them.
    BTreeMap<StreamId, Vec<(Seq, Seq)>>,
);

impl LostNumbers {
    /// Adds the numbers that a commit lost, and removes those that it restored.
    pub(crate) fn add_commit(&mut self, commit: &Commit) {
        match &commit.action {
            Action::Salvage { lost, .. } => self.add(lost),
            Action::Restore { numbers, .. } => numbers.iter().for_each(|range| self.remove(*range)),
            Action::Rebuild(rebuilt) => {
                self.0.clear();
                self.add(&rebuilt.lost_numbers);
            }
            _ => {}
        }
    }

    fn add(&mut self, ranges: &[StreamRange]) {
        for range in ranges {
            self.remove(*range);
            let known = self.0.entry(range.stream).or_default();
            known.push((range.first_seq, range.last_seq));
            known.sort_unstable();
        }
    }

    /// Removes numbers whose facts are live.
    pub(crate) fn remove(&mut self, range: StreamRange) {
        let Some(known) = self.0.get_mut(&range.stream) else { return };
        let (first, last) = (range.first_seq, range.last_seq);
        let rest = known.iter().flat_map(|(from, to)| {
            let before = (*from, (*to).min(Seq(first.0.saturating_sub(1))));
            let after = ((*from).max(last.next()), *to);
            [before, after].into_iter().filter(|(from, to)| from <= to)
        });
        *known = rest.collect();
        if known.is_empty() {
            self.0.remove(&range.stream);
        }
    }

    /// Whether a number was lost.
    pub(crate) fn contains(&self, stream: StreamId, seq: Seq) -> bool {
        let ranges = self.0.get(&stream).map_or(&[][..], Vec::as_slice);
        let after = ranges.partition_point(|(from, _)| *from <= seq);
        after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, to)| seq <= *to)
    }

    /// Whether numbers of a stream were lost.
    pub(crate) fn has_some_of(&self, stream: StreamId) -> bool {
        self.0.contains_key(&stream)
    }

    /// How many numbers were lost.
    pub(crate) fn count(&self) -> u64 {
        self.ranges().into_iter().filter_map(StreamRange::facts).fold(0, u64::saturating_add)
    }

    pub(crate) fn ranges(&self) -> Vec<StreamRange> {
        let each = self.0.iter().flat_map(|(stream, ranges)| ranges.iter().map(|range| (*stream, *range)));
        each.map(|(stream, (first_seq, last_seq))| StreamRange { stream, first_seq, last_seq }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_restored_is_not_lost_any_more() {
        let range =
            |first, last| StreamRange { stream: StreamId(1), first_seq: Seq(first), last_seq: Seq(last) };
        let mut lost = LostNumbers::default();
        lost.add(&[range(1, 1), range(3, 9)]);
        lost.remove(range(5, 6));
        assert_eq!(lost.ranges(), [range(1, 1), range(3, 4), range(7, 9)]);
        assert!(lost.contains(StreamId(1), Seq(7)) && !lost.contains(StreamId(1), Seq(5)));
        lost.remove(range(1, 4));
        lost.remove(range(6, 20));
        assert!(!lost.has_some_of(StreamId(1)) && lost.ranges().is_empty());
    }
}
