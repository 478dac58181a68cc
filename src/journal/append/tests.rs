//! Tests which file takes the next frame, and what its header says about the files before it.

use std::path::Path;

use super::*;
use crate::fact::{Event, Fact, Json, StreamId, UnixNanos};
use crate::frame::{FILE_HEADER_BYTES, FrameBuffer};
use crate::journal::claim::{JournalFile, files};
use crate::journal::replay::{self, Contents, Ending};
use crate::ledger::StoreId;

const HEADER: FileHeader = FileHeader { stream: StreamId(1), store: StoreId::from_bytes([7; 16]) };

fn journal(folder: &Path) -> Journal {
    Journal::new(Disk::new(), folder.to_path_buf(), HEADER, 1).durability(Durability::Synced)
}

fn append(journal: &mut Journal, seq: u64) {
    let fact = Fact::from(Event::new("s", "s:1", "ActorStarted", Json::empty_object(), 1.0));
    let mut frame = FrameBuffer::default();
    frame.add(&fact).unwrap();
    frame.finish(Seq(seq), UnixNanos(seq as i64));
    journal.append(frame.bytes()).unwrap();
}

fn begin_spare(journal: &mut Journal) -> Option<BegunFile> {
    let begun = journal.missing_spare().unwrap().begin().unwrap();
    journal.keep_spare(begun)
}

/// Syncs everything up to this fact, which is the last.
fn sync(journal: &mut Journal, last: u64) {
    let point = journal.sync_point();
    point.sync().unwrap();
    journal.mark_synced(&point, Seq(last));
}

fn read(file: &JournalFile) -> Contents {
    let contents = replay::read(&std::fs::read(&file.path).unwrap(), &HEADER, true);
    assert_eq!(contents.ending, Ending::Clean);
    contents
}

/// A file: its number, its first and last fact, and the fact up to which it says that all were synced.
type FileSummary = (u64, Option<(u64, u64)>, u64);

/// A summary of each file, oldest first.
fn summarize(folder: &Path) -> Vec<FileSummary> {
    let of = |file: &JournalFile| {
        let Contents { facts, synced, .. } = read(file);
        (file.number, facts.map(|facts| (facts.first.0, facts.last.0)), synced.0)
    };
    files(folder).unwrap().iter().map(of).collect()
}

#[test]
fn a_spare_says_what_is_true_when_it_is_opened_and_not_when_it_was_begun() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    append(&mut journal, 1);
    sync(&mut journal, 1);
    assert!(begin_spare(&mut journal).is_none());
    // Appended and synced while a spare exists.
    append(&mut journal, 2);
    sync(&mut journal, 2);
    journal.finish_file(Seq(2));
    append(&mut journal, 3);
    assert_eq!(summarize(folder.path()), [(1, Some((1, 2)), 1), (2, Some((3, 3)), 2)]);
    // The mark stands before the fact.
    let path = &files(folder.path()).unwrap().pop().unwrap().path;
    let bytes = std::fs::read(path).unwrap();
    let first = crate::frame::Frame::decode(&bytes[FILE_HEADER_BYTES..]).unwrap();
    assert_eq!(first.mark(), Some(FILE_HEADER_BYTES as u64));
}

#[test]
fn a_file_behind_one_that_was_not_synced_claims_nothing_until_both_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    append(&mut journal, 1);
    journal.finish_file(Seq(1));
    append(&mut journal, 2);
    journal.finish_file(Seq(2));
    assert!(begin_spare(&mut journal).is_none());
    append(&mut journal, 3);
    assert_eq!(journal.sync_point().files.len(), 3, "the finished files come first");
    append(&mut journal, 4);
    assert_eq!(
        summarize(folder.path()),
        [(1, Some((1, 1)), 0), (2, Some((2, 2)), 0), (3, Some((3, 4)), 0)],
        "nothing was synced yet"
    );
    sync(&mut journal, 4);
    assert!(journal.sync_point().is_synced());
    append(&mut journal, 5);
    assert_eq!(summarize(folder.path()).pop(), Some((3, Some((3, 5)), 4)));
}

#[test]
fn a_sync_of_a_file_that_was_finished_meanwhile_counts_for_what_it_covered() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    append(&mut journal, 1);
    let point = journal.sync_point();
    append(&mut journal, 2);
    journal.finish_file(Seq(2));
    point.sync().unwrap();
    journal.mark_synced(&point, Seq(1));
    assert!(!journal.sync_point().is_synced(), "fact 2 came after the sync began");
    append(&mut journal, 3);
    assert_eq!(summarize(folder.path()).pop(), Some((2, Some((3, 3)), 0)));

    // In the other order: everything was there, and the next file may say so.
    let point = journal.sync_point();
    journal.finish_file(Seq(3));
    point.sync().unwrap();
    journal.mark_synced(&point, Seq(3));
    append(&mut journal, 4);
    assert_eq!(summarize(folder.path()).pop(), Some((3, Some((4, 4)), 3)));
}

#[test]
fn a_spare_that_comes_after_another_file_was_begun_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path());
    append(&mut journal, 1);
    let late = journal.missing_spare().unwrap();
    // The open file takes no more frames, and a writer does not wait for the spare.
    journal.finish_file(Seq(1));
    append(&mut journal, 2);
    let late = journal.keep_spare(late.begin().unwrap()).unwrap();
    journal.finish_file(Seq(2));
    append(&mut journal, 3);
    let facts: Vec<_> =
        summarize(folder.path()).into_iter().map(|(number, facts, _)| (number, facts)).collect();
    assert_eq!(facts, [(1, Some((1, 1))), (2, None), (3, Some((2, 2))), (4, Some((3, 3)))]);
    late.remove();
    assert_eq!(summarize(folder.path()).len(), 3);
}
