//! Finds facts of a damaged segment in segments that commits have removed: the segments that it was
//! merged from, if their files still exist, or exist again, as in a copy of a store that was made during
//! a compaction; and the segment that it was repaired from.
//!
//! A commit that removes a segment keeps its digest for ever. So a file with this digest, with any name
//! and anywhere in the store, holds facts exactly as they were recorded ([`other_copies`](super::other_copies)).
//!
//! The commit that added the damaged segment names its inputs. If each of them exists, or all the inputs
//! of that input, then every fact of the damaged segment is in one of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::other_copies::{Source, Sources};
use super::path_state;
use super::recovery_state::Work;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::ledger::{Action, CommitNumber, Segment, State, StreamRange, read_commit};
use crate::maintain::damaged_segment::DamagedSegment;
use crate::segment::is_damage;

/// The depth of folders in quarantine that are searched.
const MOST_DEPTH: usize = 8;

/// A commit's description of a segment that it removed.
#[derive(Clone, Debug)]
pub(super) struct RemovedSegment {
    path: String,
    kind: Kind,
    bytes: u64,
    blake3: String,
    streams: Vec<StreamRange>,
}

impl RemovedSegment {
    fn of(segment: &Segment) -> Self {
        let Segment { path, kind, bytes, blake3, streams, .. } = segment.clone();
        Self { path, kind, bytes, blake3, streams }
    }

    /// Whether this segment may have some of its facts.
    fn touches(&self, segment: &Segment) -> bool {
        self.kind == segment.kind && StreamRange::any_touch(&self.streams, &segment.streams)
    }
}

/// All segments that commits of the ledger have removed.
#[derive(Debug, Default)]
pub(super) struct RemovedSegments {
    all: Vec<RemovedSegment>,
    /// The inputs of a segment, by its path: the segments that it replaced.
    inputs: BTreeMap<String, Range<usize>>,
}

impl RemovedSegments {
    fn read(work: &Work<'_>, state: &State) -> Result<Self> {
        let ledger = work.root.join("ledger");
        let mut removed = Self::default();
        for number in (state.root.0..=state.head.number.0).map(CommitNumber) {
            match read_commit(&ledger, number) {
                Ok(Some((commit, _))) => removed.add(&commit.action),
                Err(error) if error.kind() == ErrorKind::NewerFormat || error.is_of_environment() => {
                    return Err(error);
                }
                // A checkpoint may replace commits that are missing or damaged.
                Ok(None) | Err(_) => {}
            }
        }
        Ok(removed)
    }

    fn add(&mut self, action: &Action) {
        let begin = self.all.len();
        self.all.extend(action.removed().iter().map(RemovedSegment::of));
        let inputs = begin..self.all.len();
        // Facts that a repair added in doubt may come from older segments than those that it removed.
        let in_doubt = matches!(action, Action::Repair { unverified, .. } if !unverified.is_empty());
        if !inputs.is_empty() && !in_doubt {
            let added = action.added().iter();
            self.inputs.extend(added.map(|segment| (segment.path.clone(), inputs.clone())));
        }
        let Action::Rebuild(rebuilt) = action else { return };
        for removed in &rebuilt.removed {
            if let (Some(kind), Some(proof)) = (Kind::of_segment(&removed.path), &removed.proof) {
                self.all.push(RemovedSegment {
                    path: removed.path.clone(),
                    kind,
                    bytes: removed.bytes,
                    blake3: proof.blake3.clone(),
                    streams: proof.streams.clone(),
                });
            }
        }
    }

    /// Whether every fact of this segment is in an existing file of a removed segment, by the digests.
    fn hold_everything(&self, segment: &Segment, there: &BTreeSet<&str>) -> bool {
        let (mut pending, mut seen) = (vec![segment.path.as_str()], BTreeSet::new());
        while let Some(path) = pending.pop() {
            if !seen.insert(path) {
                continue;
            }
            // A segment of a flush has no inputs.
            let Some(inputs) = self.inputs.get(path).and_then(|inputs| self.all.get(inputs.clone())) else {
                return false;
            };
            let inputs = inputs.iter().filter(|input| input.touches(segment));
            let missing = inputs.filter(|input| !there.contains(input.blake3.as_str()));
            pending.extend(missing.map(|input| input.path.as_str()));
        }
        true
    }
}

/// Every file that may be a segment, by its size: in the folders of segments, and in quarantine.
pub(super) struct FilesBySize(BTreeMap<u64, Vec<PathBuf>>);

impl FilesBySize {
    /// # Errors
    /// The error of a folder that cannot be read: a copy in it would count as missing.
    pub(super) fn list(work: &Work<'_>) -> Result<Self> {
        let mut files = Self(BTreeMap::new());
        for kind in Kind::ALL {
            files.add(&work.root.join(kind.folder()), 1)?;
        }
        for folder in work.aside.folders() {
            files.add(&folder, MOST_DEPTH)?;
        }
        files.0.values_mut().for_each(|paths| paths.sort());
        Ok(files)
    }

    fn add(&mut self, folder: &Path, depth: usize) -> Result<()> {
        for (path, found) in path_state::entries(folder)? {
            if found.is_file() {
                let paths = self.0.entry(found.len()).or_default();
                if !paths.contains(&path) {
                    paths.push(path);
                }
            } else if found.is_dir() && depth > 1 && !path.is_symlink() {
                self.add(&path, depth - 1)?;
            }
        }
        Ok(())
    }

    /// Finds a file of this size and digest. The path `first` is tried before the others.
    pub(super) fn find(&self, first: &Path, bytes: u64, blake3: &str) -> Result<Option<PathBuf>> {
        let paths = self.0.get(&bytes).map_or(&[][..], Vec::as_slice);
        for path in paths.iter().filter(|path| *path == first).chain(paths) {
            match path_state::digest(path) {
                Ok(found) if found == blake3 => return Ok(Some(path.clone())),
                Err(error) if !is_damage(&error) => {
                    return Err(Error::io("search for a copy in", path, error));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

/// The files of removed segments that may hold facts of this segment.
pub(super) fn sources(work: &mut Work<'_>, state: &State, segment: &Segment) -> Result<Sources> {
    if work.removed.is_none() {
        work.removed = Some(RemovedSegments::read(work, state)?);
    }
    let mut sources = Sources {
        all: Vec::new(),
        hold_everything: false,
        name: "segments that it was merged from, which have their digests",
    };
    let Some(removed) = &work.removed else { return Ok(sources) };
    let candidates: Vec<_> = removed.all.iter().filter(|removed| removed.touches(segment)).collect();
    if candidates.is_empty() {
        return Ok(sources);
    }
    let files = FilesBySize::list(work)?;
    let (mut seen, mut there) = (BTreeSet::new(), BTreeSet::new());
    for removed in candidates {
        if !seen.insert(removed.blake3.as_str()) {
            continue;
        }
        let path = files.find(&work.root.join(&removed.path), removed.bytes, &removed.blake3)?;
        if let Some(path) = path
            && DamagedSegment::by_footer(&path, segment.kind)?.is_some()
        {
            there.insert(removed.blake3.as_str());
            sources.all.push(Source::File(path));
        }
    }
    sources.hold_everything = removed.hold_everything(segment, &there);
    Ok(sources)
}
