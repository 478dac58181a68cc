//! Checks the environment of a store: its settings, users, clock and file system. It opens first what
//! recording will open.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::anomaly::{Anomaly, AnomalyKind, Note, ScanReport};
use crate::context::Context;
use crate::disk::{is_of_another, open_regular, owner};
use crate::fact::UnixNanos;
use crate::journal::claim;
use crate::ledger::{Segment, State, commit_path};
use crate::recorder::is_ahead;
use crate::retention::{self, ConditionParser, RetentionDoubt, Rules};
use crate::settings::{self, Settings};
use crate::store_folder::FOLDERS;
use crate::system_failures::has_no_locks;

/// A finding names at most this many paths.
const MOST_NAMED: usize = 3;

pub(super) fn look(root: &Path, state: Option<&State>, parser: ConditionParser, report: &mut ScanReport) {
    let usable = Settings::load(root);
    match usable.and_then(|settings| Rules::new(&settings.retention, parser).map(|_| settings)) {
        Ok(settings) => {
            report.notes.extend(state.and_then(|state| beyond_memory(state, settings.query.memory_bytes)));
        }
        Err(error) => {
            let expected = "settings with which the store can be opened";
            let found = error.to_string();
            report.anomalies.push(Anomaly::new(
                AnomalyKind::SettingsUnusable,
                settings::FILE,
                expected,
                found,
            ));
        }
    }
    report.notes.extend(of_others(root));
    report.notes.extend(links(root));
    if let Some(state) = state {
        report.notes.extend(ahead_of_the_clock(state, UnixNanos::now()));
        report.notes.extend(without_locks(root, state));
        report.notes.extend(copied_while_in_use(root, state, &report.anomalies));
    }
}

/// Finds rules and holds that fail on facts. Their conditions are evaluated as a query does it: only in a
/// deep scan, and only in a store without anomalies.
pub(super) fn doubts(root: &Path, parser: ConditionParser) -> Vec<Note> {
    let found = Context::open_for_reading(root, parser)
        .and_then(|context| retention::doubts(root, &context.retention, &context.snapshot()?));
    let note = |doubt: &RetentionDoubt| {
        Note::new(if doubt.is_hold { "ledger" } else { settings::FILE }, doubt.to_string())
    };
    match found {
        Ok(found) => found.iter().map(note).collect(),
        Err(error) => {
            vec![Note::new(
                settings::FILE,
                format!("the conditions of rules and holds could not be tried on the facts: {error}"),
            )]
        }
    }
}

/// Finds segments with facts that are so large that a query's smallest batch exceeds
/// `query.memory_bytes`.
fn beyond_memory(state: &State, memory_bytes: usize) -> Option<Note> {
    let needed = |segment: &Segment| {
        (segment.fact_bytes / segment.rows.max(1)).saturating_mul(settings::LEAST_ROWS_AT_ONCE)
    };
    let live = state.segments.iter().flatten();
    let large: Vec<&Segment> =
        live.map(AsRef::as_ref).filter(|segment| needed(segment) > memory_bytes as u64).collect();
    let most = large.iter().map(|segment| needed(segment)).max()?;
    let named: Vec<_> = large.iter().map(|segment| segment.path.clone()).collect();
    Some(Note::new(
        settings::FILE,
        format!(
            "16 facts of {} come to {most} bytes, and query.memory_bytes is {memory_bytes}: a query that sorts or groups \
             them may be refused; raise it in ostracon.toml",
            some(&named)
        ),
    ))
}

/// Finds facts that were recorded by a clock that was ahead: they count as the newest until that time has
/// come.
pub(in crate::maintain) fn ahead_of_the_clock(state: &State, now: UnixNanos) -> Option<Note> {
    let ahead: Vec<_> =
        state.streams.iter().filter(|(_, stream)| is_ahead(stream.last_recorded_at, now)).collect();
    let (_, furthest) = ahead.iter().max_by_key(|(_, stream)| stream.last_recorded_at)?;
    let segments = state.segments.iter().flatten().filter(|segment| is_ahead(segment.recorded_at.max, now));
    let facts: u64 = segments.map(|segment| segment.rows).sum();
    let named: Vec<_> =
        ahead.iter().map(|(stream, known)| format!("{stream} (up to {})", known.last_recorded_at)).collect();
    Some(Note::new(
        "ledger",
        format!(
            "facts of stream {} are recorded later than now: the clock was ahead then, or is late now. Up to \
             {facts} facts count as the newest until {}, also where retention keeps the newest",
            some(&named),
            furthest.last_recorded_at
        ),
    ))
}

/// Finds links in the places of the store's folders and files. They are followed; a copy of the store may
/// lack their targets.
fn links(root: &Path) -> Option<Note> {
    let mut links = Vec::new();
    for path in places(root) {
        let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        let below = fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in below.chain([path]).filter(|path| is_link(path)) {
            let name = path.strip_prefix(root).unwrap_or(&path).display();
            let target = fs::read_link(&path).unwrap_or_default();
            links.push(format!("{name} (to {})", target.display()));
        }
    }
    links.sort();
    links.dedup();
    let are = if links.len() == 1 { "is a symbolic link" } else { "are symbolic links" };
    let what = format!(
        "{} {are}: the target is part of the store, and a copy of the store needs it, too",
        some(&links)
    );
    (!links.is_empty()).then(|| Note::new(".", what))
}

/// Lists the settings, the folders of the store, and the folders of its streams.
fn places(root: &Path) -> Vec<PathBuf> {
    let streams = claim::streams(root).unwrap_or_default();
    let folders = FOLDERS.iter().filter(|name| **name != "quarantine").map(|name| root.join(name));
    let streams = streams.into_iter().map(|stream| claim::folder(root, stream));
    folders.chain(streams).chain([root.join(settings::FILE)]).collect()
}

/// Finds files that belong to another user than the store's folder: that user's processes may need them.
fn of_others(root: &Path) -> Option<Note> {
    let folder = fs::metadata(root).ok()?;
    let mut others = Vec::new();
    let mut look = |path: &Path| {
        if fs::symlink_metadata(path).is_ok_and(|found| is_of_another(&folder, &found)) {
            others.push(path.strip_prefix(root).unwrap_or(path).display().to_string());
        }
    };
    let streams = claim::streams(root).unwrap_or_default();
    let folders = FOLDERS.iter().map(|name| root.join(name));
    let folders: Vec<PathBuf> =
        folders.chain(streams.into_iter().map(|stream| claim::folder(root, stream))).collect();
    for path in folders {
        look(&path);
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            look(&entry.path());
        }
    }
    others.sort();
    others.dedup();
    (!others.is_empty()).then(|| {
        let what = format!(
            "{} of another user than the store ({}): {}; its processes may not be able to open them: `chown -R {} {}`",
            if others.len() == 1 { "1 file is".to_owned() } else { format!("{} files are", others.len()) },
            owner(&folder),
            some(&others),
            owner(&folder),
            root.display()
        );
        Note::new(".", what)
    })
}

/// Detects a copy that was made during a compaction: a segment is missing, and the segments that it was
/// merged from are there.
fn copied_while_in_use(root: &Path, state: &State, anomalies: &[Anomaly]) -> Option<Note> {
    let missing = anomalies.iter().find(|anomaly| anomaly.kind == AnomalyKind::SegmentMissing)?;
    let removed: Vec<_> = state.removed.iter().map(|removed| removed.path.clone()).collect();
    let there: Vec<_> = removed.into_iter().filter(|path| root.join(path).exists()).collect();
    (!there.is_empty()).then(|| {
        let what = format!(
            "the store looks like a copy that was made while the original was in use: {} is missing, and {} \
             is there, which a compaction had removed. Copy it again with `ostracon backup`, for which no \
             process needs to stop; else `ostracon recover STORE --mode repair` restores as much as it can",
            missing.path,
            some(&there)
        );
        Note::new(".", what)
    })
}

/// Detects a file system without locks.
fn without_locks(root: &Path, state: &State) -> Option<Note> {
    let path = commit_path(&root.join("ledger"), state.head.number);
    let error = open_regular(&path).ok()?.lock_shared().err().filter(has_no_locks)?;
    Some(Note::new(
        ".",
        format!(
            "the file system has no locks ({error}): the store can be read, but facts cannot be recorded, \
             and a compaction in another process may delete files that a query still reads"
        ),
    ))
}

fn some(names: &[String]) -> String {
    let first = names.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
