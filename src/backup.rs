//! Backup: makes a second store with the same facts, while writers continue.
//!
//! A plain copy of a store in use takes time, and the store changes meanwhile: facts move from a journal
//! into a segment, and segments are merged into larger ones, perhaps from a folder that is not copied yet
//! into one that is. A backup reads the store at one moment instead, and does not stop writers:
//!
//! 1. The journals are opened and the head is pinned, as for a snapshot, so that no process deletes a
//!    segment that the commit names ([`Frozen`]).
//! 2. Segments are linked if the target is on the same file system. Otherwise they are copied, and their
//!    digests compared with the ledger's. They get their names.
//! 3. Unflushed facts are written as one journal file per stream. The first process that opens the backup
//!    for writing flushes them.
//! 4. The commits follow; a reader sees all of them or none (`ledger`).
//! 5. The journal files get their names, and earlier ones are removed (`tails`); then come the states of
//!    consumer groups, and the settings.
//! 6. The result is scanned.
//!
//! A new backup is made beside its place and renamed at the end: it is complete, or it is not there. If
//! there is a folder already, which may be a mounted volume or a link, the backup is made in a hidden
//! folder within, and the ledger is moved last (`place`). An existing backup only gets the missing files.
//! If the process is killed in between, the backup has the facts that it had, or some of the newer ones,
//! and the next run continues. No file that an older commit of the backup needs is removed. So every
//! state that was ever backed up can be made again from it ([`BackupOptions::at_commit`]).
//!
//! No fact of an existing backup may be lost. So no process may have it open for writing, its head must
//! be a commit of the store, and the facts in its journals must be in the store (`own_facts`).
//!
//! # Recording into a backup
//!
//! A backup is a store. Both it and the original may be recorded into, and neither may give out the
//! other's numbers. So every stream of a backup ends where it ended at that time, and new streams get far
//! higher numbers. The names of its journal files contain no real boot of a machine, which is how
//! [`takeover`](crate::takeover) recognises them.

mod consumers;
mod files;
mod ledger;
mod options;
mod own_facts;
mod place;
mod tails;

use std::path::Path;
use std::time::Instant;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::StreamId;
use crate::journal::claim;
use crate::ledger::{CommitNumber, State, read_commit};
use crate::maintain::{AnomalyKind, Maintenance, ScanDepth, ScanOptions, scan};
use crate::retention::ConditionParser;
use crate::settings;
use crate::snapshot::Frozen;
use crate::store_folder::{FOLDERS, absolute};
use files::Files;
pub use options::{BackupOptions, BackupReport};
use own_facts::OwnFiles;
use place::Place;

/// Makes a backup of an open store at `target`.
pub(crate) fn backup(
    context: &Context,
    target: &Path,
    options: &BackupOptions,
    parser: ConditionParser,
) -> Result<BackupReport> {
    let begun = Instant::now();
    let target = absolute(target)?;
    let result = Backup::begin(context, parser, &target, options).and_then(Backup::run);
    let mut report = result.map_err(|error| {
        error.context(format_args!("cannot back up {} to {}", context.root.display(), target.display()))
    })?;
    report.elapsed = begun.elapsed();
    Ok(report)
}

/// A running backup.
struct Backup<'a> {
    context: &'a Context,
    parser: ConditionParser,
    place: Place<'a>,
    state: State,
    /// The states of consumer groups.
    groups: consumers::Groups,
    frozen: Frozen,
    files: Files<'a>,
    /// Whether it includes unflushed facts and the consumer groups.
    is_newest: bool,
}

impl<'a> Backup<'a> {
    fn begin(
        context: &'a Context,
        parser: ConditionParser,
        target: &'a Path,
        options: &BackupOptions,
    ) -> Result<Self> {
        check_apart(&context.root, target)?;
        let place = Place::choose(target)?;
        if place == Place::There(target) && !options.incremental {
            return Err(refused(
                "something is there already; choose a new folder, or --incremental to add to a backup of this store",
            ));
        }
        if options.incremental && options.at_commit.is_some() {
            return Err(refused(
                "a backup of an older commit needs a folder of its own, and cannot be added to a backup",
            ));
        }
        // First: a group must not have handled facts that the backup does not have.
        let groups = consumers::read(&context.root, context.ledger.refresh()?.store)?;
        let frozen = context.freeze()?;
        let state = match options.at_commit {
            None => (*frozen.state).clone(),
            Some(number) => context.ledger.state_at(CommitNumber(number))?.ok_or_else(|| {
                let (root, head) = (frozen.state.root, frozen.state.head.number);
                refused(&format!("no commit {number} exists; the ledger has {root} to {head}"))
            })?,
        };
        let files = Files::new(&context.disk, &context.root, place.folder().to_path_buf(), options);
        Ok(Self {
            context,
            parser,
            place,
            state,
            groups,
            frozen,
            files,
            is_newest: options.at_commit.is_none(),
        })
    }

    fn run(mut self) -> Result<BackupReport> {
        match self.place {
            Place::There(_) => self.add()?,
            _ => self.make().inspect_err(|_| self.place.clear())?,
        }
        Ok(BackupReport { commit: self.state.head.number.0, ..self.files.report })
    }

    /// Makes a new backup: complete, or not at all.
    fn make(&mut self) -> Result<()> {
        let context = self.context;
        self.place.make_folder(&context.disk, &context.root)?;
        self.files.anchor()?;
        for folder in FOLDERS {
            let folder = self.place.folder().join(folder);
            let attempt = |error| Error::io("make the folder", &folder, error);
            self.files.disk.create_dir(&folder).map_err(attempt)?;
        }
        self.fill(&OwnFiles::default())?;
        self.place.publish(&context.disk)
    }

    /// Adds the files that an existing backup lacks.
    fn add(&mut self) -> Result<()> {
        let (root, target) = (&self.context.root, self.place.folder().to_path_buf());
        check_is_backup(root, &target, &self.state, self.parser)?;
        self.files.anchor()?;
        let _one_at_a_time = Maintenance::claim(&self.files.disk, &target)?;
        let _nobody_records = claim::claim_all(&self.files.disk, &target)?.map_err(is_in_use)?;
        check_is_backup(root, &target, &self.state, self.parser)?;
        let own = own_facts::check(self.context, &self.files.disk, &target, &self.frozen)?;
        self.fill(&own)
    }

    /// Puts all files into their places, beside these journal files of the backup.
    fn fill(&mut self, own: &OwnFiles) -> Result<()> {
        for segment in self.state.segments.iter().flatten() {
            self.files.stage(segment)?;
        }
        self.files.place()?;
        let tails = if self.is_newest { self.frozen.tails.as_slice() } else { &[] };
        let tails = tails::stage(&mut self.files, &self.state, tails)?;
        ledger::put(&mut self.files, &self.state)?;
        tails::publish(&mut self.files, &tails, own)?;
        if self.is_newest {
            consumers::put(&mut self.files, &self.groups)?;
        }
        self.files.replace(settings::FILE)?;
        self.files.sync_folders()?;
        self.check()
    }

    /// Checks whether the result is a store without anomalies.
    fn check(&mut self) -> Result<()> {
        let found = scan(self.place.folder(), ScanOptions::new(ScanDepth::Quick), self.parser)?;
        // The backup's own files were checked before: these are facts that the store has given up.
        let (more, wrong): (Vec<_>, Vec<_>) = found.anomalies.into_iter().partition(|anomaly| {
            matches!(anomaly.kind, AnomalyKind::SegmentUnknown | AnomalyKind::JournalUnknown)
        });
        self.files.report.lost_by_store = more.into_iter().map(|anomaly| anomaly.path).collect();
        let Some(first) = wrong.first() else { return Ok(()) };
        let advice = match self.place {
            Place::There(_) if !self.files.verify => {
                "--incremental --verify replaces files that are damaged in the backup; "
            }
            _ => "",
        };
        Err(Error::new(
            ErrorKind::Damaged,
            format!(
                "the copy has an anomaly: {} at {} (expected {}, found {}); {advice}run `ostracon scan` to \
                 check the store",
                first.kind, first.path, first.expected, first.found
            ),
        ))
    }
}

/// The error for a target with this stream, which cannot be claimed.
fn is_in_use(stream: StreamId) -> Error {
    let why = format!(
        "stream {stream} of the target cannot be locked: a process has the target open for writing, or the \
         stream belongs to another user; a backup that is recorded into is a store of its own: back up to \
         another folder, or, if the two paths were swapped, the other way round"
    );
    Error::new(ErrorKind::Contended, why)
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Refused, why)
}

/// Refuses a store within itself, which would grow for ever.
fn check_apart(root: &Path, target: &Path) -> Result<()> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let parent = target.parent().map(real).unwrap_or_default();
    let target =
        if target.exists() { real(target) } else { parent.join(target.file_name().unwrap_or_default()) };
    let root = real(root);
    if target.starts_with(&root) || root.starts_with(&target) {
        return Err(refused("the backup would be within the store, or the store within the backup"));
    }
    Ok(())
}

/// Refuses to add to a folder that is not a backup of this store, or that has changed since.
fn check_is_backup(root: &Path, place: &Path, state: &State, parser: ConditionParser) -> Result<()> {
    let theirs = Context::open_for_reading(place, parser)?.ledger.refresh()?;
    if theirs.store != state.store {
        return Err(refused(&format!(
            "the backup there belongs to store {}, but this is store {}",
            theirs.store, state.store
        )));
    }
    let head = theirs.head.number;
    let own = if head == state.head.number {
        Some(state.head.blake3.clone())
    } else {
        read_commit(&root.join("ledger"), head)?.map(|(_, digest)| digest)
    };
    if own.as_ref() == Some(&theirs.head.blake3) {
        return Ok(());
    }
    Err(refused(&format!(
        "its commit {head} is not a commit of this store: the backup was written to, or the store was put \
         back to an older state or rebuilt; make a new backup"
    )))
}
