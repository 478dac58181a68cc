//! Checks whether the journals hold the facts that the ledger does not: each frame and each file, without
//! gaps.
//!
//! One damage cannot be found: the newest files of a stream were deleted. No other file says how many
//! facts they had, and their numbers are given out again. A file that was deleted before other files of
//! its stream leaves a gap.

use std::fs::File;
use std::io::Seek;
use std::path::Path;

use super::super::anomaly::{Affected, Anomaly, AnomalyKind, Debris, Span};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{PerKind, Seq, StreamId, codec};
use crate::frame::{FRAME_HEADER_BYTES, FileHeader, Frame, verified_frames};
use crate::journal::begin::is_unused;
use crate::journal::claim::{self, JournalFile};
use crate::journal::intact_frames::sound;
use crate::journal::replay::{self, Contents, Ending, FactSums, Facts};
use crate::journal::source;
use crate::journal::tail::two_facts;
use crate::ledger::{LostNumbers, StoreId};
use crate::maintain::commit_chain::reason;
use crate::maintain::inventory::look_at;
use crate::maintain::lossy_repair::LostPlaces;

/// The journal files of one stream, as they were at one moment.
pub(crate) struct StreamFiles {
    pub(crate) stream: StreamId,
    files: Vec<OpenJournal>,
}

struct OpenJournal {
    /// The file and its length, or the reason why it cannot be read.
    content: Result<(File, u64), String>,
    named: JournalFile,
    same_boot: bool,
}

/// Opens the journal files of all streams. Call this before reading the ledger: a file that is removed in
/// between is still open, and the ledger covers its facts.
pub(crate) fn open_all(disk: &Disk, root: &Path) -> Result<Vec<StreamFiles>> {
    claim::streams(root)?.into_iter().map(|stream| open(disk, root, stream)).collect()
}

/// Opens the journal files of one stream.
pub(crate) fn open(disk: &Disk, root: &Path, stream: StreamId) -> Result<StreamFiles> {
    let folder = claim::folder(root, stream);
    let is_folder = look_at(&folder)?.is_some_and(|found| found.is_dir());
    let mut files = Vec::new();
    let named = if is_folder { claim::files(&folder)? } else { Vec::new() };
    for named in named.into_iter().rev() {
        let content = match source::open(&named.path) {
            Ok(Some(opened)) => Ok(opened),
            Ok(None) => continue,
            Err(error) if error.kind() == ErrorKind::Damaged => Err(reason(&error)),
            Err(error) => return Err(error),
        };
        files.push(OpenJournal { content, same_boot: claim::same_boot(disk, &named), named });
    }
    files.reverse();
    Ok(StreamFiles { stream, files })
}

/// The findings in a stream's journal files.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) anomalies: Vec<Anomaly>,
    /// Files that the stream's dead owner left and that are no longer needed.
    pub(crate) debris: Vec<Debris>,
    /// Ranges of facts that can be read from the files.
    pub(crate) readable: Vec<(Seq, Seq)>,
    /// The facts that can be read and that the ledger does not cover, of each kind.
    pub(crate) unflushed: PerKind<u64>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl StreamFiles {
    /// Reads the files, and compares them with the facts of the stream that the ledger covers.
    pub(crate) fn judge(&mut self, store: Option<StoreId>, committed: Seq) -> Result<Judged> {
        let mut judge = Judge::new(self.stream, committed);
        let mut sums = FactSums::default();
        for journal in &mut self.files {
            judge.judged.files += 1;
            let name = name(self.stream, &journal.named.path);
            let bytes = match journal.read() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    judge.damaged(name, "a journal file that can be read", reason(&error), None);
                    continue;
                }
                Err(error) => return Err(error),
            };
            judge.judged.bytes += bytes.len() as u64;
            // Where no commit can be read, the file itself names its store.
            let own =
                || FileHeader::decode(&bytes).map_or(StoreId::from_bytes([0; 16]), |header| header.store);
            let header = FileHeader { stream: self.stream, store: store.unwrap_or_else(own) };
            let contents = replay::read(&bytes, &header, journal.same_boot);
            for frame in verified_frames(bytes.get(contents.sound.clone()).unwrap_or_default()) {
                if frame.seq > judge.reached
                    && let Some(kind) = codec::kind_of(frame.body)
                {
                    judge.judged.unflushed[kind] += 1;
                }
            }
            let mut frames = verified_frames(bytes.get(contents.sound.clone()).unwrap_or_default());
            if let Some(frame) = frames.find(|frame| !sums.fits(frame)) {
                let found = two_facts(frame.seq, self.stream);
                judge.damaged(name.clone(), "one fact of each number", found, None);
            }
            let opened = journal.content.as_ref().ok().and_then(|(file, _)| file.metadata().ok());
            judge.is_unused = opened.is_some_and(|found| is_unused(&found));
            judge.add(name, &contents, bytes.len(), journal.same_boot);
        }
        Ok(judge.judged)
    }

    /// Finds files with facts that a recovery gave up as lost: the files were put back.
    pub(super) fn restored(
        &mut self,
        store: StoreId,
        numbers: &LostNumbers,
        places: &LostPlaces<'_>,
    ) -> Result<Vec<Anomaly>> {
        if !numbers.has_some_of(self.stream) && places.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let header = FileHeader { stream: self.stream, store };
        for journal in &mut self.files {
            let bytes = match journal.read() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::Damaged => continue,
                Err(error) => return Err(error),
            };
            if FileHeader::decode(&bytes).is_ok_and(|found| found != header) {
                continue;
            }
            let mut spans: Vec<Span> = Vec::new();
            // Also after damage.
            for Frame { seq, body, .. } in sound(&bytes).facts {
                let of_segment = || match codec::kind_of(body) {
                    Some(kind) => places.contains(kind, self.stream, seq),
                    None => Ok(false),
                };
                if !numbers.contains(self.stream, seq) && !of_segment()? {
                    continue;
                }
                match spans.last_mut() {
                    Some(span) if span.last.next() == seq => span.last = seq,
                    _ => spans.push(Span { stream: self.stream, first: seq, last: seq }),
                }
            }
            if spans.is_empty() {
                continue;
            }
            let facts = spans.iter().map(|span| span.last.0 - span.first.0 + 1).sum();
            let what =
                format!("{facts} facts of stream {} that an earlier recovery gave up as lost", self.stream);
            let expected = "a journal whose facts the ledger does not have";
            let path = name(self.stream, &journal.named.path);
            let anomaly = Anomaly::new(AnomalyKind::JournalUnknown, path, expected, what);
            let affected = Affected { kind: None, facts: Some(facts), spans, recorded_at: None };
            found.push(anomaly.touching(affected));
        }
        Ok(found)
    }
}

impl OpenJournal {
    fn read(&mut self) -> Result<Vec<u8>> {
        let path = &self.named.path;
        let (file, bytes) = self.content.as_mut().map_err(|why| Error::damaged(path, why))?;
        // The file may have been read before.
        file.rewind().map_err(|error| Error::io("read the journal", path, error))?;
        source::read(file, path, *bytes)
    }
}

/// A journal file's path, relative to the root.
fn name(stream: StreamId, path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    format!("journal/{stream}/{file}")
}

/// Reads a stream's files in order, as `TailReader` does, but continues after damage.
struct Judge {
    stream: StreamId,
    committed: Seq,
    /// The ledger and the files so far account for every fact up to this one: it is there, or its loss is
    /// reported.
    reached: Seq,
    /// A power failure took the facts before the remaining files.
    cut: bool,
    /// The current file has not changed since it was begun.
    is_unused: bool,
    judged: Judged,
}

impl Judge {
    fn new(stream: StreamId, committed: Seq) -> Self {
        Self {
            stream,
            committed,
            reached: committed,
            cut: false,
            is_unused: false,
            judged: Judged::default(),
        }
    }

    fn add(&mut self, name: String, contents: &Contents, len: usize, same_boot: bool) {
        let Contents { facts, synced, ending, .. } = contents;
        if let Some(Facts { first, last, .. }) = facts {
            if *first > self.reached.next() {
                self.gap(&name, *first, *synced, same_boot);
            }
            self.judged.readable.push((*first, *last));
            self.reached = self.reached.max(*last);
        }
        if *synced > self.reached {
            let found = format!("a mark that facts up to {synced} were synced");
            let affected = Affected::facts(self.stream, self.reached.next(), *synced);
            let expected = format!("the facts after {} in the files before", self.reached);
            let gap = Anomaly::new(AnomalyKind::JournalGap, name.clone(), expected, found).touching(affected);
            self.judged.anomalies.push(gap);
            self.reached = *synced;
        }
        let left = |offset: usize| len.saturating_sub(offset);
        // No frame of a fact is shorter than this: the remaining bytes have at most this many numbers.
        let most =
            |offset: usize| Seq(self.reached.0.saturating_add((left(offset) / FRAME_HEADER_BYTES) as u64));
        match ending {
            Ending::Clean => {}
            Ending::Torn { offset, sound_after: false } => {
                let what = format!(
                    "a journal's torn end, {} bytes from offset {offset} on: if a crash has cut it, its \
                     facts were not acknowledged; the stream's numbers are not used again",
                    left(*offset)
                );
                self.judged.debris.push(Debris { path: name, what, bytes: len as u64 });
                return;
            }
            Ending::Torn { offset, sound_after: true } => {
                let affected = self.unknown_up_to(most(*offset));
                let found = format!(
                    "a hole at offset {offset}, and sound frames after it: a power failure, or the disk, \
                     took bytes that were not synced"
                );
                let torn = Anomaly::new(AnomalyKind::JournalTorn, name, "frames without a gap", found);
                self.judged.anomalies.push(torn.touching(affected));
                return;
            }
            Ending::Damaged { offset, reason } => {
                let affected = self.unknown_up_to(most(*offset));
                let found = format!("{reason} (at offset {offset})");
                self.damaged(name, "frames as they were written", found, Some(affected));
                return;
            }
        }
        let what = match facts {
            None if self.is_unused => "a journal without facts",
            None => {
                "a journal without facts, which was changed or copied since it was begun: if it had facts, \
                 they are gone; the stream's numbers are not used again"
            }
            Some(facts) if facts.last <= self.committed => "a journal whose facts are in the ledger",
            Some(_) => return,
        };
        self.judged.debris.push(Debris { path: name, what: what.to_owned(), bytes: len as u64 });
    }

    /// An unknown number of the facts after `reached`. If not even one fits into the rest of the file, it
    /// is also unknown which.
    fn unknown_up_to(&self, last: Seq) -> Affected {
        let next = self.reached.next();
        let known = if last < next { Affected::default() } else { Affected::facts(self.stream, next, last) };
        Affected { facts: None, ..known }
    }

    /// Reports that the facts between `reached` and this one are nowhere.
    fn gap(&mut self, name: &str, first: Seq, synced: Seq, same_boot: bool) {
        let before = Seq(first.0.saturating_sub(1));
        let affected = Affected::facts(self.stream, self.reached.next(), before);
        let expected = format!("fact {} of stream {}", self.reached.next(), self.stream);
        let unsynced = !same_boot && synced <= self.reached;
        let (kind, why) = if self.cut || unsynced {
            (AnomalyKind::JournalTorn, ": a power failure, or the disk, took facts that were not synced")
        } else {
            (AnomalyKind::JournalGap, "")
        };
        self.cut |= unsynced;
        let found = format!("fact {first}{why}");
        self.judged.anomalies.push(Anomaly::new(kind, name, expected, found).touching(affected));
        self.reached = before;
    }

    fn damaged(&mut self, name: String, expected: &str, found: String, affected: Option<Affected>) {
        let damaged = Anomaly::new(AnomalyKind::JournalDamaged, name, expected, found);
        self.judged.anomalies.push(damaged.touching(affected.unwrap_or_default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::UnixNanos;

    fn file(first: u64, last: u64, synced: u64, ending: Ending) -> Contents {
        let facts = (last > 0).then_some(Facts {
            first: Seq(first),
            last: Seq(last),
            last_recorded_at: UnixNanos(0),
        });
        Contents { sound: 36..100, facts, synced: Seq(synced), ending }
    }

    /// Judges these files of a stream that the ledger covers up to fact 10.
    fn judge(files: &[Contents], same_boot: bool) -> Vec<(AnomalyKind, Option<(u64, u64)>)> {
        let mut judge = Judge::new(StreamId(1), Seq(10));
        for file in files {
            judge.add("journal".to_owned(), file, 1000, same_boot);
        }
        let anomalies = judge.judged.anomalies.into_iter();
        anomalies
            .map(|a| (a.kind, a.affected.spans.first().map(|span| (span.first.0, span.last.0))))
            .collect()
    }

    #[test]
    fn files_that_follow_each_other_are_sound() {
        let clean = || Ending::Clean;
        for files in [
            vec![],
            vec![file(1, 10, 0, clean())],
            vec![file(5, 20, 0, clean()), file(21, 30, 20, clean())],
            vec![file(0, 0, 10, clean())],
            vec![file(11, 12, 0, Ending::Torn { offset: 100, sound_after: false }), file(13, 14, 0, clean())],
        ] {
            assert_eq!(judge(&files, true), [], "{files:?}");
        }
    }

    #[test]
    fn facts_that_are_nowhere_are_a_gap() {
        let gap = [(AnomalyKind::JournalGap, Some((11, 14)))];
        assert_eq!(judge(&[file(15, 20, 0, Ending::Clean)], true), gap);
        // Also after a restart of the machine, if the facts were synced.
        assert_eq!(judge(&[file(15, 20, 14, Ending::Clean)], false), gap);
        assert_eq!(judge(&[file(0, 0, 14, Ending::Clean)], false), gap);
        // Reported once, though more files follow.
        assert_eq!(judge(&[file(15, 20, 0, Ending::Clean), file(21, 22, 0, Ending::Clean)], true), gap);
    }

    #[test]
    fn what_a_power_failure_took_is_torn() {
        let torn = [(AnomalyKind::JournalTorn, Some((11, 14)))];
        assert_eq!(judge(&[file(15, 20, 0, Ending::Clean)], false), torn);
        let hole = Ending::Torn { offset: 100, sound_after: true };
        assert_eq!(judge(&[file(11, 12, 0, hole)], false), [(AnomalyKind::JournalTorn, Some((13, 49)))]);
    }

    #[test]
    fn of_an_emptied_file_nobody_knows_which_facts_it_had() {
        let mut judge = Judge::new(StreamId(1), Seq(10));
        let emptied = Ending::Damaged { offset: 0, reason: "it is empty".to_owned() };
        judge.add("journal".to_owned(), &file(0, 0, 0, emptied), 0, true);
        let spans: Vec<_> = judge.judged.anomalies.iter().map(|found| found.affected.spans.len()).collect();
        assert_eq!(spans, [0]);
    }

    #[test]
    fn damage_may_touch_as_many_facts_as_there_is_room_for() {
        let damage = Ending::Damaged { offset: 760, reason: "a frame".to_owned() };
        let damaged = (AnomalyKind::JournalDamaged, Some((13, 22)));
        assert_eq!(judge(&[file(11, 12, 0, damage)], true), [damaged]);
    }
}
