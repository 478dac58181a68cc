//! Estimates the state of a store whose ledger cannot be read.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use super::commit_chain;
use super::inventory::{self, range_of};
use crate::error::{Error, Result};
use crate::fact::StreamId;
use crate::ledger::{
    Action, Commit, CommitNumber, Side, State, copy_folder, list_commits, read_commit_file,
    read_lone_checkpoint,
};
use crate::segment::footer::Footer;
use crate::segment::is_damage;

/// The sum of the readable commits; `None` if none can be read.
pub(crate) fn guess_state(root: &Path) -> Result<Option<State>> {
    Ok(commit_chain::walk(root, |_, _| {})?.state)
}

/// The highest number of a stream that the store may have used: only higher numbers are certain to be
/// free.
pub(crate) fn highest_stream(root: &Path) -> Result<u32> {
    let ledger = root.join("ledger");
    let mut highest = 0;
    let mut note = |stream: StreamId| highest = highest.max(stream.0);
    let mut numbers = list_commits(&ledger)?;
    numbers.extend(list_commits(&copy_folder(&ledger))?);
    let mut readable: BTreeSet<CommitNumber> = BTreeSet::new();
    for number in numbers.iter().copied() {
        for side in Side::BOTH {
            if let Ok(Some((commit, _))) = read_commit_file(&ledger, side, number) {
                streams_of(&commit).for_each(&mut note);
                readable.insert(number);
            }
        }
    }
    for entry in inventory::list(root)? {
        let path = root.join(&entry.path);
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("checkpoint") => {
                let state = read_lone_checkpoint(&path).ok();
                state.iter().flat_map(|state| state.streams.keys().copied()).for_each(&mut note);
            }
            Some("parquet") => {
                if let Some(range) = range_of(stem) {
                    note(range.stream);
                }
                let footer = match File::open(&path).and_then(|file| Footer::read(&file, entry.bytes)) {
                    Ok(footer) => footer.ok(),
                    Err(error) if is_damage(&error) => None,
                    Err(error) => return Err(Error::io("read the footer of", &path, error)),
                };
                footer.iter().flat_map(|footer| &footer.streams).for_each(|range| note(range.stream));
            }
            _ => {}
        }
    }
    let all =
        numbers.first().zip(numbers.last()).map_or(0, |(first, last)| (last.0 - first.0).saturating_add(1));
    // A number that is far too high is not a commit's.
    let unreadable = all.saturating_sub(readable.len() as u64).min(1 << 20);
    Ok(highest.saturating_add(u32::try_from(unreadable).unwrap_or_default()))
}

/// The streams that a commit names.
fn streams_of(commit: &Commit) -> impl Iterator<Item = StreamId> {
    let action = &commit.action;
    let rebuilt = match action {
        Action::Rebuild(rebuilt) => rebuilt.streams.as_slice(),
        _ => &[],
    };
    let segments = action.added().iter().chain(action.removed());
    let ranges = action.range().into_iter().chain(segments.flat_map(|segment| &segment.streams));
    ranges.map(|range| range.stream).chain(rebuilt.iter().map(|(stream, _)| *stream))
}
