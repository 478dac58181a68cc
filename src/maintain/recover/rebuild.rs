//! A ledger that is beyond help begins again, from all that is left.
//!
//! 1. Every stream is claimed, and every commit is asked for readers: a ledger is rebuilt when
//!    nobody writes, and when no query needs what it names.
//! 2. What the readable commits and checkpoints say is put together ([`evidence`](super::evidence)).
//! 3. Segments that they name and that are there are live. Segments that nobody names may be what
//!    the unreadable commits added. Their facts count if they are nowhere else: neither in a live
//!    segment, row by row, nor in a journal, nor covered by a flush that is known. What a readable
//!    commit has removed does not come back. A part of an input that was imported, and of whose numbers
//!    others have some, is left to the input.
//! 4. A commit says all this, and what readable commits had removed, under the number behind the highest one. What could not be known is
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
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::evidence::{Evidence, Files};
use super::inquiry::{Inquiry, segment_files};
use super::wreck::Wreck;
use super::{LostFacts, Work};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::journal::claim::{self, Claim};
use crate::journal::frame::FileHeader;
use crate::ledger::{Commit, CommitNumber, Ledger, Rebuilt, State, StoreId, commit_path};

/// Makes a new ledger.
pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    let folder = work.root.join("ledger");
    let _claims = claim_all(work)?;
    let _unread = refuse_readers(&folder)?;
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

/// Refuses while somebody reads by a commit that is going to be moved aside: whoever removes files
/// later asks for readers at the commits of the ledger, and at no others. The newest commit, with
/// which any reader would begin, stays locked as long as the returned file is open.
fn refuse_readers(folder: &Path) -> Result<Option<File>> {
    let mut newest = None;
    for number in Files::list(folder)?.commits.into_iter().rev() {
        let path = commit_path(folder, number);
        let attempt = |error| Error::io("ask for readers of", &path, error);
        if !std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
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
