//! Begins a ledger again that cannot be repaired, from all remaining files.
//!
//! 1. Every stream is claimed, and every commit is checked for readers: a ledger is rebuilt only while no
//!    process writes, and no query needs a file that the old ledger names.
//! 2. The data of the readable commits and checkpoints is combined ([`ledger_parts`](super::ledger_parts)).
//! 3. Segments that they name and that exist are live. Unnamed segments may be those that unreadable
//!    commits added. Their facts count if they are nowhere else: neither in a live segment, row by row,
//!    nor in a journal, nor covered by a known flush. A segment that a readable commit removed is not
//!    restored. A part of an imported input is not restored if other facts have some of its numbers: a
//!    new import of the input restores it.
//! 4. A commit has all this data, and the segments that readable commits had removed. Its number is one
//!    above the highest one. It lists the unknown data as text.
//! 5. The old commits and checkpoints are moved aside. Now the ledger begins with the new commit.
//!
//! If the process is killed before step 4, only some files were written, whose facts are then found twice
//! and counted once. If it is killed before step 5 is done, the ledger is still broken, but its newest
//! commit shows how to continue, and the next recovery does the rest of step 5.
//!
//! Damaged or missing live segments are left to the repair that follows, which accounts for them.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::LostFacts;
use super::ledger_parts::{Evidence, Files};
use super::recovery_state::Work;
use super::remaining_files::{Inquiry, segment_files};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::frame::FileHeader;
use crate::journal::claim::{self, Claim};
use crate::ledger::{Commit, CommitNumber, Ledger, Rebuilt, Side, State, StoreId, Total, copy_folder};
use crate::maintain::damaged_segment::DamagedSegment;
use crate::maintain::inventory::is_file;
use crate::segment::is_damage;

/// Makes a new ledger.
pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    let folder = work.root.join("ledger");
    let _claims = claim_all(work)?;
    let _unread = refuse_readers(&folder)?;
    let mut evidence = Evidence::gather(&folder)?;
    let store = match evidence.store {
        None => store_of_files(work)?,
        known => known,
    };
    let Some(store) = store else {
        let why = format!("no file in {} says which store it belongs to", work.root.display());
        return Err(Error::new(ErrorKind::Damaged, why));
    };
    let number = match evidence.highest {
        None => CommitNumber(1),
        Some(highest) => highest.0.checked_add(1).map(CommitNumber).ok_or_else(|| {
            Error::new(ErrorKind::Damaged, format!("there is no number after commit {highest}"))
        })?,
    };
    let unaccounted = evidence.unaccounted;
    let mut inquiry = Inquiry::begin(work, store, &mut evidence)?;
    inquiry.take_live(work, &evidence)?;
    inquiry.take_unknown(work, &evidence)?;
    inquiry.settle_gone(work);
    work.report.unverified.append(&mut inquiry.unverified_facts);
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
        // Numbers of streams that no readable file has: even their kinds are unknown.
        let path = "ledger".to_owned();
        work.report.lost.push(LostFacts { path, kind: None, facts, bytes: None, spans: Vec::new() });
    }
    finish(work, number)
}

/// Moves the files aside from before the commit with which the ledger begins again.
pub(super) fn finish(work: &mut Work<'_>, number: CommitNumber) -> Result<()> {
    let folder = work.root.join("ledger");
    // The process that published the commit may have died before it synced the commit's name.
    work.disk.sync_dir(&folder).map_err(|error| Error::io("sync", &folder, error))?;
    let files = Files::list(&folder)?;
    let is_there = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok();
    let of = |side: Side| {
        let commits = files.commits.range(..number).map(|number| side.path(&folder, *number));
        commits.filter(is_there).collect::<Vec<_>>()
    };
    let mut own = of(Side::Ledger);
    let checkpoints = files.checkpoints.range(..=number);
    own.extend(checkpoints.map(|number| folder.join(format!("{:020}.checkpoint", number.0))));
    // The commits first: the ledger's beginning shows that the remaining copies do not count.
    for (folder, paths) in [(folder.clone(), own), (copy_folder(&folder), of(Side::Copy))] {
        let moved = work.aside.take_all(&folder, &paths)?;
        work.report.quarantined_files.extend(moved);
    }
    work.repaired("ledger");
    Ok(())
}

/// Refuses while a query reads by a commit that will be moved aside. A process that deletes files later
/// checks only the commits of the new ledger for readers. The newest commit, with which any reader would
/// begin, stays locked as long as the returned file is open.
fn refuse_readers(folder: &Path) -> Result<Option<File>> {
    let mut newest = None;
    let numbers = Files::list(folder)?.commits.into_iter().rev();
    for (number, side) in numbers.flat_map(|number| Side::BOTH.map(|side| (number, side))) {
        let path = side.path(folder, number);
        let attempt = |error| Error::io("check for readers of", &path, error);
        if !is_file(&path)? {
            continue;
        }
        let file = File::open(&path).map_err(attempt)?;
        match file.try_lock() {
            Ok(()) => drop(newest.get_or_insert(file)),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(
                    ErrorKind::Contended,
                    format!(
                        "a query is still reading the store as of commit {number}, which would be moved aside; wait \
                         until it has ended, or end its process, and try again"
                    ),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(attempt(error)),
        }
    }
    Ok(newest)
}

/// Claims every stream, so that nothing is recorded or flushed meanwhile.
fn claim_all(work: &Work<'_>) -> Result<Vec<Claim>> {
    claim::claim_all(work.disk, work.root)?.map_err(|stream| {
        Error::new(
            ErrorKind::Contended,
            format!(
                "a process has {} open for writing (stream {stream}); a ledger is rebuilt only while no process writes: end it, and try again",
                work.root.display()
            ),
        )
    })
}

/// The ID of the store, from the files themselves.
fn store_of_files(work: &Work<'_>) -> Result<Option<StoreId>> {
    let mut votes: BTreeMap<String, u64> = BTreeMap::new();
    for path in segment_files(work)? {
        let Some(kind) = Kind::of_segment(&path) else { continue };
        let label = DamagedSegment::by_footer(&work.root.join(&path), kind)?.map(|wreck| wreck.label());
        if let Some(store) = label.and_then(|label| label.store) {
            *votes.entry(store).or_default() += 1;
        }
    }
    for stream in claim::streams(work.root)? {
        for file in claim::files(&claim::folder(work.root, stream))? {
            if !is_file(&file.path)? {
                continue;
            }
            let attempt = |error| Error::io("read the journal", &file.path, error);
            let bytes = match std::fs::read(&file.path) {
                Err(error) if is_damage(&error) => continue,
                bytes => bytes.map_err(attempt)?,
            };
            if let Ok(header) = FileHeader::decode(&bytes) {
                *votes.entry(header.store.to_string()).or_default() += 1;
            }
        }
    }
    let most = votes.into_iter().max_by_key(|(_, votes)| *votes);
    Ok(most.and_then(|(store, _)| StoreId::try_from(store).ok()))
}

/// Dropped or lost facts may be live again, because the commit that removed them is unknown. The sums
/// must not have more facts than there were numbers.
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
    rebuilt.lost.retain(|lost| lost.total != Total::default());
}
