//! The journals of a backup: one file per stream, with the unflushed facts.
//!
//! The file's name contains another boot than any real one, and a stream without unflushed facts has an
//! empty file. So the first process that opens the backup for writing ends the stream and begins another,
//! with a far higher number ([`takeover`](crate::takeover)). So a backup and its original never give one
//! name to two facts. A backup always has at least one such file, which identifies it as a backup.
//!
//! New files are prepared before the ledger's new head is there, and get their names after it: in
//! between, the earlier files have the facts that the new head does not cover. They are removed last.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Files, names};
use super::own_facts::OwnFiles;
use crate::buffer::Chunk;
use crate::disk::read_regular;
use crate::error::{Error, Result};
use crate::fact::StreamId;
use crate::frame::FileHeader;
use crate::journal::claim::{BACKUP_TAG, JournalName, folder, journal_name, streams};
use crate::ledger::State;

/// A stream's journal file in the backup.
pub(super) struct StreamTail {
    folder: PathBuf,
    /// The file's place; `None` if the stream has no file now.
    path: Option<PathBuf>,
    /// The path of the prepared file, unless it is in its place already.
    ready: Option<PathBuf>,
}

/// Prepares a file for each stream that has not ended.
pub(super) fn stage(
    files: &mut Files<'_>,
    state: &State,
    tails: &[(StreamId, Vec<Arc<Chunk>>)],
) -> Result<Vec<StreamTail>> {
    let with_files = streams_with_files(state, tails);
    let mut staged = Vec::new();
    for stream in &with_files {
        let chunks = tails.iter().find(|(of, _)| of == stream).map(|(_, chunks)| chunks.as_slice());
        staged.push(stage_stream(files, state, *stream, chunks.unwrap_or_default())?);
    }
    let others = streams(&files.to)?.into_iter().filter(|stream| !with_files.contains(stream));
    staged.extend(others.map(|stream| {
        let folder = folder(&files.to, stream);
        StreamTail { folder, path: None, ready: None }
    }));
    Ok(staged)
}

/// The streams that have not ended, and those with facts that no segment has; at least one.
fn streams_with_files(state: &State, tails: &[(StreamId, Vec<Arc<Chunk>>)]) -> BTreeSet<StreamId> {
    let open = state.streams.iter().filter(|(_, known)| !known.ended).map(|(stream, _)| *stream);
    let with_facts = tails.iter().filter(|(_, chunks)| !chunks.is_empty()).map(|(stream, _)| *stream);
    let mut streams: BTreeSet<StreamId> = open.chain(with_facts).collect();
    if streams.is_empty() {
        streams.insert(state.streams.keys().next_back().copied().unwrap_or(StreamId(1)));
    }
    streams
}

fn stage_stream(
    files: &mut Files<'_>,
    state: &State,
    stream: StreamId,
    chunks: &[Arc<Chunk>],
) -> Result<StreamTail> {
    let folder = folder(&files.to, stream);
    files.disk.create_dir(&folder).map_err(|error| Error::io("make the folder", &folder, error))?;
    let mut bytes = FileHeader { stream, store: state.store }.encode();
    for chunk in chunks {
        files.report.unflushed += chunk.facts();
        bytes.extend_from_slice(chunk.frames());
    }
    let there = journals(&folder)?;
    let newest = there.iter().max_by_key(|(number, _)| *number);
    if let Some((_, path)) = newest
        && read_regular(path, bytes.len() as u64).is_ok_and(|there| there == bytes)
    {
        files.report.kept += 1;
        return Ok(StreamTail { folder, path: Some(path.clone()), ready: None });
    }
    let number = newest.map_or(1, |(number, _)| number.saturating_add(1));
    let path = folder.join(journal_name(number, BACKUP_TAG, false));
    let ready = folder.join("backup.tmp");
    files.prepare(&ready, &bytes)?;
    Ok(StreamTail { folder, path: Some(path), ready: Some(ready) })
}

/// Gives the files their names, and removes the earlier ones. Damaged ones are moved aside instead.
pub(super) fn publish(files: &mut Files<'_>, tails: &[StreamTail], own: &OwnFiles) -> Result<()> {
    for StreamTail { folder, path, ready } in tails {
        if let (Some(path), Some(ready)) = (path, ready) {
            files.put_in_place(ready, path)?;
            files.sync(folder)?;
        }
        remove_others(files, folder, path.as_deref(), own)?;
    }
    files.sync(&files.to.join("journal"))
}

/// Removes all other journal files in a folder.
fn remove_others(files: &mut Files<'_>, folder: &Path, but: Option<&Path>, own: &OwnFiles) -> Result<()> {
    for (_, path) in journals(folder)? {
        if Some(path.as_path()) == but {
            continue;
        }
        if own.lost_by_store.contains(&path) {
            continue;
        }
        if own.damaged.contains(&path) {
            files.set_aside(&path)?;
        } else {
            files.disk.remove(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
    }
    files.sync(folder)
}

fn journals(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let named = names(folder)?.into_iter();
    Ok(named.filter_map(|name| Some((JournalName::parse(&name)?.number, folder.join(name)))).collect())
}
